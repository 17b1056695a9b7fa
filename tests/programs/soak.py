"""Mixed clients on a booted system, and a restart, a reload or another instance every few seconds.

    python tests/programs/soak.py --minutes 10 --suite trixie

Builds the package, boots the suite in a container (see system/machine.py) and installs the package there. The clients
run on the host and connect to the container's socket. They check every response: see load.py. Some clients keep
one connection each, to the first process, which is restarted again and again. The others also talk to two instances:
one that comes and goes, and one that stays. Hostile clients come too.

Out: the figures. Raises AssertionError if any request does not get its right signature in the end, if such a client
loses its connection, or if the instance that stays keeps threads, descriptors or memory of clients that are gone.

Needs root.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from support.daemon import EXAMPLE_LINE, connect, wait_until
from support.load import HABITS, HELD, IDLE, LOCK_STEP, ONE_EACH, PIPELINING, Load, faithful, policy, questions
from system.conftest import SERVICE, SOCKET
from system.machine import TIMEOUT, Machine

from programs.booted import run

GUEST = "ordersigner@guest.service"  # comes and goes
STEADY = "ordersigner@steady.service"  # stays
MANAGER = "systemd"
EVENTS: dict[str, tuple[str, ...]] = {
    "restarts of the first process": ("restart", SERVICE),
    "reloads of all processes": ("reload", SERVICE),
    "starts of an instance": ("start", GUEST),
    "restarts of two processes at once": ("restart", SERVICE, GUEST),
    "stops of an instance": ("stop", GUEST),
}
PAUSE = 0.05  # seconds of each client between two batches: the journal gets an entry for each signature
GAP = 2.0  # seconds between two events
ROOM = 6 * 2**20  # bytes that a process may grow by between two moments without clients

FAITHFUL = faithful(*[LOCK_STEP] * 4, *[PIPELINING] * 2, *[IDLE] * 4)
# Those that connect again now and then also come to the instance that is stopped.
OTHERS = (*HABITS, ONE_EACH, *(habit._replace(stays=40) for habit in (LOCK_STEP, LOCK_STEP, PIPELINING, PIPELINING)))
# What hostile clients send before they hang up.
RUDE = (
    b"",
    b"{",
    EXAMPLE_LINE,
    EXAMPLE_LINE[:100] + b"\n",
    EXAMPLE_LINE + b"\n" + EXAMPLE_LINE[:200],
    (EXAMPLE_LINE + b"\n") * 30,
    b"\n" * 1000,
    b"x\n" * 200,
    b"[" * 60_000 + b"\n",
    b"x" * 70_000,
    b'{"type": "spot", "signer": "\xff"}\n',
)


class Size(NamedTuple):
    """What a process takes."""

    threads: int
    descriptors: int
    memory: int  # bytes, resident


class Rude(threading.Thread):
    """Hostile clients, one after the other. Some read a response first; none waits for all."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.connections = 0
        self.stopping = threading.Event()
        self._path = path

    def run(self) -> None:
        for sent in itertools.cycle(RUDE):
            with contextlib.suppress(OSError), connect(self._path) as client:
                self.connections += 1
                client.settimeout(random.choice((0.001, 0.1)))
                client.sendall(sent)
                client.recv(1000)
            if self.stopping.wait(PAUSE):
                return

    def __enter__(self) -> Rude:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self.join()


class Sizes:
    """What processes took at moments that can be compared, by the name of the moment."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._seen: dict[str, list[Size]] = defaultdict(list)

    def measure(self, unit: str) -> Size:
        pid = "1" if unit == MANAGER else self._machine.property(unit, "MainPID")
        directory = self._machine.files / "proc" / pid
        status = (directory / "status").read_text()
        threads, memory = (int(status.split(field)[1].split()[0]) for field in ("Threads:", "VmRSS:"))
        return Size(threads, len(list((directory / "fd").iterdir())), memory * 1024)

    def note(self, moment: str, unit: str) -> Size:
        self._seen[moment].append(self.measure(unit))
        return self._seen[moment][-1]

    def __str__(self) -> str:
        lines = [f"{'min to max':50} threads  descriptors      memory, MB"]
        for moment, sizes in self._seen.items():
            low, high = (Size(*map(limit, zip(*sizes))) for limit in (min, max))
            numbers = f"{low.threads:3} to {high.threads:3}  {low.descriptors:4} to {high.descriptors:3}"
            lines.append(
                f"{moment:46}{numbers}  {low.memory / 1e6:6.1f} to {high.memory / 1e6:.1f} ({len(sizes)} times)"
            )
        return "\n".join(lines)


@contextlib.contextmanager
def prepared(machine: Machine) -> Iterator[str]:
    """The package on `machine` holds the key of the load, and this user may use it. Gives the path of the socket."""
    rules = machine.run("cat", "/etc/ordersigner/policy") + "\n"
    sealed = "/etc/ordersigner/keys/load"
    machine.run("systemd-creds", "encrypt", "--with-key=host", "--name=key_load", "-", sealed, input=HELD[2:])
    machine.run("tee", "/etc/ordersigner/policy", input=policy(0))
    try:
        machine.run("systemctl", "restart", SERVICE)
        yield str(machine.files) + SOCKET
    finally:
        machine.run("systemctl", "stop", "ordersigner.socket", SERVICE, GUEST, STEADY)
        machine.run("rm", sealed)
        machine.run("tee", "/etc/ordersigner/policy", input=rules)


def soak(machine: Machine, seconds: float) -> str:
    """The figures. machine: with the package installed and its socket listening."""
    sizes = Sizes(machine)
    asked = questions()
    counts = dict.fromkeys(EVENTS, 0)
    stored = 0
    with prepared(machine) as path:
        end = time.monotonic() + seconds
        with Load(path, FAITHFUL, asked, pause=PAUSE) as loyal:  # before there is another process to connect to
            machine.run("systemctl", "start", STEADY)
            before = sizes.note("the instance that stays, without clients", STEADY)
            with Load(path, OTHERS, asked, pause=PAUSE) as others, Rude(path) as rude:
                for name in itertools.cycle(EVENTS):
                    deadline = time.monotonic() + GAP
                    wait_until(lambda deadline=deadline: time.monotonic() >= deadline)  # type: ignore[misc]
                    assert loyal.faults() + others.faults() == []
                    sizes.note("the first process, before each event", SERVICE)
                    sizes.note("the instance that stays, before each event", STEADY)
                    sizes.note("systemd, before each event", MANAGER)
                    machine.run("systemctl", *EVENTS[name])
                    counts[name] += 1
                    stored = max(stored, int(machine.property(SERVICE, "NFileDescriptorStore")))
                    if time.monotonic() >= end and all(counts.values()):
                        break
                go_on = others.answered() + 100
                wait_until(lambda: others.answered() >= go_on or others.faults())
            # Its last clients have just hung up.
            wait_until(lambda: sizes.measure(STEADY)[:2] == before[:2], TIMEOUT)
            after = sizes.note("the instance that stays, without clients", STEADY)
        assert machine.property(STEADY, "NRestarts") == "0"
    loyal.tally.check()
    others.tally.check()
    assert loyal.tally.lost == loyal.tally.ended == stored == 0
    assert after.memory - before.memory < ROOM, f"{before}, then {after}"
    events = "\n".join(f"{number} {name}" for name, number in counts.items())
    return (
        f"{events}\n{rude.connections:,} connections of hostile clients\n\nClients that never connect again:\n"
        f"{loyal.tally}\n\nOther clients:\n{others.tally}\n\n{sizes}"
    )


if __name__ == "__main__":
    run(__doc__, soak, "alice")
