"""Thefts of keys from trading bots: they get the key of a bot that has it, and not one that the daemon holds.

thieves/ has the thefts. Each runs twice, as the user of a bot. A bot that has its key must lose it: so a theft that
does not work fails here. A bot whose key the daemon holds must not lose it. docs/trust/thieves.rst describes them.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from eth_account import Account
from eth_account.messages import defunct_hash_message, encode_defunct
from support.daemon import SOURCE, wait_until
from support.forms import found
from support.held import address

from system.conftest import MEMBER, SERVICE, Packages, ask, drop_in, install, one_suite
from system.machine import TIMEOUT, Machine
from system.test_held_keys import holder, refusal, restart, rule, seal, set_policy

__all__ = ["holder"]  # a fixture

pytestmark = one_suite

HOME = f"/home/{MEMBER}"
LIBRARIES = "/usr/local/lib:/usr/lib/ordersigner-keys"  # the thieves and the bot; eth-account
SIGNATURES = 200
KEY = secrets.token_hex(32)  # of the bots that have one
HELD = secrets.token_hex(32)
DAEMON = "ordersignerd"
DENIED = r".*(Permission denied|Operation not permitted)"
ORDERS = """
[message orders]
pattern = order [0-9]+
"""


class Theft(NamedTuple):
    """One program in thieves/ against one kind of bot."""

    program: str
    robbed: str  # the setting of the bot that loses its key: KEY, or WIRE_KEY for one that sends it to the daemon
    ways: Mapping[str, str]  # what the loot of each way has if the daemon holds the key: a pattern


THEFTS = [
    Theft("startup", "KEY", {"environment": "'ADDRESS': '{address}'", "arguments": "{address}"}),
    Theft("hooks", "KEY", {"from_key": "__init__.*'{address}'", "sign": "sign_message.*SignedMessage"}),
    Theft("hooks", "WIRE_KEY", {"send": '"signer": ?"{address}"'}),
    Theft("memory", "KEY", {"memory": "{address}"}),
    Theft(
        "files",
        "KEY",
        {
            "settings": f"{HOME}/.env: ADDRESS={{address}}",
            "environments": "/proc/{pid}/environ:" + DENIED,
            "arguments": "/proc/{pid}/cmdline: .*" + DAEMON,
            "descriptors": "/proc/{pid}/fd:" + DENIED,
            "journal": "ORDERSIGNER_SIGNER[^,]*{address}",
            "units": "LoadCredentialEncrypted=key:/run/ordersigner-keys",
        },
    ),
    Theft(
        "processes",
        "KEY",
        dict.fromkeys(("vm_readv", "mem", "ptrace", "pidfd_getfd", "core"), f"{DAEMON} {{pid}}:{DENIED}"),
    ),
    Theft("listener", "WIRE_KEY", {"listener": '"signer": ?"{address}"'}),
]
STARTED = {"bot": "signed", "listener": "listening"}  # what it prints
INSIDE = ("startup", "hooks", "memory")  # the bot


@pytest.fixture(scope="module")
def _libraries(machine: Machine) -> Iterator[None]:
    """The libraries of the bots and the thieves; and the bots' user may read the journal."""
    for path in (SOURCE / "tests/system/thieves").glob("*.py"):
        machine.write(f"/usr/local/lib/system/thieves/{path.name}", path.read_text())
    machine.run("usermod", "--append", "--groups", "systemd-journal", MEMBER)
    yield
    machine.run("gpasswd", "--delete", MEMBER, "systemd-journal")
    machine.run("apt-get", "purge", "--yes", "ordersigner-keys")
    machine.run("rm", "-r", "/usr/local/lib/system")


@pytest.fixture
def victim(holder: Machine, packages: Packages, _libraries: None) -> Iterator[Machine]:
    """The machine, where the daemon holds a key for the bots' user."""
    if not holder.succeeds("test", "-e", "/usr/lib/ordersigner-keys"):
        install(holder, packages.tool)
    seal(holder, "bot", HELD)
    set_policy(holder, ORDERS, rule("bot", HELD).partition("accounts")[0] + "messages = orders\n")
    restart(holder)
    yield holder
    holder.run("systemctl", "stop", "bot.service", check=False)
    holder.run(
        "sh", "-c", f"rm -rf {HOME}/loot {HOME}/.local {HOME}/.config {HOME}/.env {HOME}/daemon.sock {HOME}/core*"
    )


@pytest.fixture(scope="module")
def _plain_dumps() -> Iterator[None]:
    """Core dumps go into the working directory. The kernel has one setting for the host and all its machines."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    before = pattern.read_text()
    if before != "core\n":
        pattern.write_text("core")
    yield
    if before != "core\n":
        pattern.write_text(before)


@contextlib.contextmanager
def program(machine: Machine, name: str, *arguments: str, **environment: str) -> Iterator[None]:
    """Run a module of thieves/ as the bots' user until the end of the block; first it prints a line."""
    settings = [f"{name}={value}" for name, value in {"PYTHONPATH": LIBRARIES, **environment}.items()]
    command = ["env", *settings, "python3", "-m", f"system.thieves.{name}", *arguments]
    with machine.started(*command, user=MEMBER, merge=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if first != f"{STARTED[name]}\n":
            raise AssertionError(first + process.communicate(timeout=TIMEOUT)[0])
        yield
        assert process.communicate(timeout=TIMEOUT)[0] in ("", "Aborted (core dumped)\n")


def rob(machine: Machine, thief: str, setting: str, value: str) -> dict[str, bytes]:
    """Have a bot with this setting robbed, and return the loot of each way."""
    settings = {setting: value}
    with contextlib.ExitStack() as stack:
        if thief == "listener":
            settings["ORDERSIGNER_SOCKET"] = f"{HOME}/daemon.sock"
            stack.enter_context(program(machine, thief))
        if thief in INSIDE:
            packages = machine.run("python3", "-m", "site", "--user-site", user=MEMBER)
            machine.write(f"{packages}/helper.pth", f"import system.thieves.{thief}\n")
        if thief == "files" and setting == "KEY":  # bots run as services too, and have their keys in their units
            machine.run("systemd-run", "--unit=bot", f"--uid={MEMBER}", f"--setenv=KEY={value}", "sleep", "infinity")
        machine.write(f"{HOME}/.env", "".join(f"{name}={value}\n" for name, value in settings.items()))
        stack.enter_context(program(machine, "bot", str(SIGNATURES), value, **settings))
        if thief in ("files", "processes"):
            command = ["env", f"PYTHONPATH={LIBRARIES}", "python3", "-m", f"system.thieves.{thief}"]
            assert machine.run(*command, user=MEMBER) == ""
    return {path.name: path.read_bytes() for path in (machine.tree / HOME[1:] / "loot").iterdir()}


each_theft = pytest.mark.parametrize("theft", THEFTS, ids=lambda theft: f"{theft.program}-{'-'.join(theft.ways)}")


@pytest.mark.usefixtures("_plain_dumps")
@each_theft
def test_a_bot_that_has_its_key_loses_it(victim: Machine, theft: Theft) -> None:
    loot = rob(victim, theft.program, theft.robbed, KEY)
    assert {way: bool(found(loot[way], KEY)) for way in theft.ways} == dict.fromkeys(theft.ways, True)


@pytest.mark.usefixtures("_plain_dumps")
@each_theft
def test_a_bot_whose_key_the_daemon_holds_does_not_lose_it(victim: Machine, theft: Theft) -> None:
    pid = victim.property(SERVICE, "MainPID")
    loot = rob(victim, theft.program, "ADDRESS", address(HELD))
    assert {way: found(content, HELD) for way, content in loot.items() if found(content, HELD)} == {}
    for way, pattern in theft.ways.items():
        wanted = pattern.format(address=address(HELD), pid=pid).encode()
        assert re.search(wanted, loot[way], re.IGNORECASE), (way, wanted)
    assert victim.property(SERVICE, "MainPID") == pid


def test_what_holds_keys_is_closed_to_the_bots_user(victim: Machine) -> None:
    loot = rob(victim, "files", "ADDRESS", address(HELD))
    pid = victim.property(SERVICE, "MainPID")
    closed = [
        "/etc/ordersigner/keys",
        "/etc/ordersigner/policy",
        "/run/ordersigner-keys",
        "/run/ordersigner-refused-keys",
        f"/run/credentials/{SERVICE}",
        "/var/lib/systemd/credential.secret",
    ]
    assert [path for path in closed if f"{path}: Permission denied\n".encode() not in loot["settings"]] == []
    assert f"/proc/{pid}/maps: Permission denied\n".encode() in loot["maps"]
    assert b"[heap]" in loot["maps"]  # of the bot


@pytest.mark.usefixtures("_plain_dumps")
def test_a_crash_leaves_no_key_even_where_dumps_are_wanted(victim: Machine) -> None:
    """The service may write dumps of any size into a directory that everybody can read. A program there leaves one."""
    place = "/var/lib/dumps"
    victim.run("install", "--directory", "--mode=1777", place)
    wanted = f"LimitCORE=infinity\nWorkingDirectory={place}\nReadWritePaths={place}\nUMask=0\n"
    try:
        keeps = "import os, sys, signal; key = bytes.fromhex(sys.stdin.read()); os.kill(os.getpid(), signal.SIGABRT)"
        drop_in(victim, SERVICE, f"[Service]\n{wanted}Restart=no\n")
        sandbox = [f"--property={line}" for line in [*wanted.split(), "User=nobody"]]
        victim.run("systemd-run", "--pipe", "--quiet", *sandbox, "python3", "-c", keeps, input=KEY, check=False)
        assert "bytes" in found(dumps(victim, place), KEY)

        victim.run("sh", "-c", f"rm {place}/*")
        restart(victim)
        pid = victim.property(SERVICE, "MainPID")
        victim.write(f"{HOME}/.env", f"ADDRESS={address(HELD)}\n")
        with program(victim, "bot", str(SIGNATURES)):
            victim.run("kill", "-s", "ABRT", pid)
            wait_until(lambda: victim.property(SERVICE, "ActiveState") == "failed", TIMEOUT)
        assert victim.property(SERVICE, "ExecMainStatus") == str(int(signal.SIGABRT))
        assert dumps(victim, place) == b""
    finally:
        victim.run("rm", "-r", place)


def dumps(machine: Machine, directory: str) -> bytes:
    return b"".join(path.read_bytes() for path in (machine.tree / directory[1:]).iterdir())


def test_a_thief_can_use_a_rule_until_it_is_gone_and_the_journal_has_what_was_signed(victim: Machine) -> None:
    before = victim.now()
    request = {"type": "message", "signer": address(HELD)}
    messages = [encode_defunct(text=f"order {number}") for number in range(3)]
    for message in messages:
        signature = bytes(Account.sign_message(message, HELD).signature)
        response = {"ok": True, "signature": "0x" + signature.hex()}
        assert ask(victim, {**request, "text": message.body.decode()}) == response
    assert refusal(ask(victim, {**request, "text": "withdraw 1"})) == ("text", "not_allowed")
    set_policy(victim, ORDERS)
    victim.run("systemctl", "reload", SERVICE)
    assert refusal(ask(victim, {**request, "text": "order 3"})) == ("signer", "unknown_signer")
    entries = victim.entries(f"ORDERSIGNER_SIGNER={address(HELD)}", since=before)
    digests = [defunct_hash_message(message.body) for message in messages]
    signed = [entry["ORDERSIGNER_DIGEST"] for entry in entries if entry["MESSAGE"].startswith("Signed ")]
    assert signed == ["0x" + bytes(digest).hex() for digest in digests]
