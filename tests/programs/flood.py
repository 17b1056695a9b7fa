"""A flood of the system's journal, after which all entries about held keys must be there.

    python tests/programs/flood.py --minutes 10 --suite trixie

Builds the package, boots the suite in a container (see system/machine.py) and installs the package there. Both journals
get 16 MB. Then a member of the clients' group without any rule has orders signed with a key of its own, and a user who
is no member writes to the system's journal, each as fast as it can (see system/flooding.py). Before and meanwhile
another client has orders signed with a held key.

Out: the figures. Raises AssertionError if an entry about the held key is missing, if the flood has not pushed older
entries out of the system's journal, or if it could have reached the other one.

Needs root.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from support.daemon import EXAMPLE, SOURCE, connect, wait_until
from support.held import address
from support.load import HELD
from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, SOCKET, STRANGER
from system.machine import Machine, since_argument

from ordersigner.signing import journal
from programs.booted import run
from programs.soak import prepared

SIZE = "16M"
SECONDS = 15.0  # of the short form
GAP = 0.1  # seconds between two signatures with the held key
ABOUT_HELD_KEYS = "/run/systemd/journal.ordersigner"
CONFIGURED = ("journald.conf", "journald@ordersigner.conf")
JOURNALDS = ("systemd-journald.service", "systemd-journald@ordersigner.service")
HELD_REQUEST = {**EXAMPLE["request"], "signer": address(HELD)}
HELD_LINE = json.dumps(HELD_REQUEST).encode() + b"\n"
BAD_LINE = json.dumps({**HELD_REQUEST, "signer": address("22" * 32)}).encode() + b"\n"


@contextlib.contextmanager
def small_journals(machine: Machine) -> Iterator[None]:
    """Until the end, both journals are small and without old entries."""
    directories = [f"/etc/systemd/{name}.d" for name in CONFIGURED]
    try:
        for directory in directories:
            machine.run("mkdir", "-p", directory)
            machine.run(
                "tee", f"{directory}/small.conf", input=f"[Journal]\nSystemMaxUse={SIZE}\nRuntimeMaxUse={SIZE}\n"
            )
        restart(machine)
        yield
    finally:
        machine.run("rm", *(f"{directory}/small.conf" for directory in directories))
        restart(machine)


def restart(machine: Machine) -> None:
    """Have both journals take their settings."""
    machine.run("systemctl", "restart", *JOURNALDS)
    machine.run("systemctl", "reset-failed", *JOURNALDS)


def cannot_write(machine: Machine, user: str, *groups: str) -> None:
    """No socket of the journal for held keys lets this user in, also as a member of more groups."""
    names = machine.run("ls", ABOUT_HELD_KEYS).split()
    assert "socket" in names
    as_user = ["runuser", f"--user={user}", *(f"--supp-group={group}" for group in groups), "--"]
    for name in names:
        kind = "SOCK_DGRAM" if name in ("socket", "dev-log") else "SOCK_STREAM"
        script = f"import socket; socket.socket(socket.AF_UNIX, socket.{kind}).connect('{ABOUT_HELD_KEYS}/{name}')"
        said = machine.run(*as_user, "python3", "-c", script, check=False)
        assert said.endswith("PermissionError: [Errno 13] Permission denied"), (name, said)


def signatures(machine: Machine, since: int, *matches: str) -> int:
    """How many entries about signatures both journals have. There may be too many to read them here."""
    machine.sync_journals()
    shown = f"journalctl --namespace=+ordersigner --boot --quiet --output=cat {since_argument(since)}"
    words = " ".join((f"MESSAGE_ID={journal.SIGNED}", *matches))
    return int(machine.run("sh", "-c", f"{shown} {words} | wc --lines"))


def flood(machine: Machine, seconds: float) -> str:
    """The figures. machine: with the package installed and its socket listening."""
    machine.write("/usr/local/lib/flooding.py", (SOURCE / "tests/system/flooding.py").read_text())
    program = ["python3", "/usr/local/lib/flooding.py"]
    with prepared(machine) as path, small_journals(machine), connect(path) as client:
        for user in (MEMBER, STRANGER):
            cannot_write(machine, user)
        responses = client.makefile("rb")
        before = machine.now()
        own = json.dumps(REQUEST)
        given = 0

        def ask(line: bytes) -> object:
            client.sendall(line)
            return json.loads(responses.readline())

        def ask_with_held_key() -> None:
            nonlocal given
            assert "signature" in ask(HELD_LINE)  # type: ignore[operator]
            given += 1

        # What the flood must push out, and what it must not.
        assert ask(own.encode() + b"\n") == RESPONSE
        machine.run("systemctl", "reload", SERVICE)
        ask_with_held_key()
        assert signatures(machine, before) == 2
        signing = machine.started(*program, "sign", SOCKET, own, json.dumps(RESPONSE), user=MEMBER)
        logging = machine.started(*program, "log", "/run/systemd/journal/socket", user=STRANGER)
        with signing as signer, logging as logger:
            flooders = (signer, logger)
            for each in flooders:
                assert each.stdout is not None
                assert each.stdout.readline() == "started\n"
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                ask_with_held_key()
                deadline = time.monotonic() + GAP
                wait_until(lambda deadline=deadline: time.monotonic() >= deadline)  # type: ignore[misc]
                assert [each.poll() for each in flooders] == [None, None]
            outputs = [each.communicate(timeout=120) for each in flooders]
        numbers = [int(output) for output, _ in outputs]
        assert all(numbers), outputs
        found = signatures(machine, before, "ORDERSIGNER_RULE=load-0")
        left = signatures(machine, before) - found
        in_force = machine.entries(f"MESSAGE_ID={journal.IN_FORCE}", since=before)
    figures = (
        f"{seconds:.0f} s: {numbers[0]:,} signatures with a client's own key and {numbers[1]:,} entries of another"
        f" program; the system's journal still has {left:,} of the first kind;"
        f" {given:,} signatures with a held key, and {found:,} entries"
    )
    assert left < numbers[0], figures
    assert found == given, figures
    assert len(in_force) == 1, figures
    return figures


if __name__ == "__main__":
    run(__doc__, flood, MEMBER, STRANGER)
