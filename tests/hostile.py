"""How fast one polite client is served among 150 hostile ones of each kind, and how much memory the daemon takes.

    python tests/hostile.py                    all kinds, against a daemon of this checkout
    python tests/hostile.py brackets blank     some of them

The polite client sends one order after the other. Its median latency in each crowd is compared with that among 150
clients that send orders in the same way. "first" includes the time to be accepted. There is no pass or fail. Memory is
the most that the daemon had resident.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daemon import EXAMPLE_LINE, standalone

ORDER = EXAMPLE_LINE + b"\n"
MAX_LINE = 64 * 1024
OPTIONS = ("--max-connections-per-user", "512", "--log-level", "warning")  # of the daemon
CROWD = 150
SECONDS = 3.0  # for each kind


def line_of(begin: bytes, repeated: bytes, end: bytes = b"", size: int = MAX_LINE) -> bytes:
    """The longest line up to `size` bytes that repeats `repeated`."""
    return begin + repeated * ((size - len(begin) - len(end)) // len(repeated)) + end + b"\n"


class Kind(NamedTuple):
    """What a client of a crowd does, again and again."""

    sends: bytes
    reads: bool = True  # its responses
    waits: bool = False  # for the response before it sends again
    reconnects: bool = False
    pause: float = 0.0  # seconds before it sends again
    once: bool = False


WORST_KEYS = b"{" + b",".join(b'"%d":0' % number for number in range(4000)) + b"}\n"
KINDS = {
    "orders": Kind(ORDER, waits=True),
    "orders, pipelined": Kind(ORDER * 20),
    "orders, never read": Kind(ORDER * 20, reads=False),
    "orders, a connection each": Kind(ORDER, waits=True, reconnects=True),
    "brackets": Kind(line_of(b"", b"[")),
    "objects": Kind(line_of(b"", b'{"a":')),
    "NaN": Kind(line_of(b'{"order":[', b"NaN,", b"0]}")),
    "zeros": Kind(line_of(b'{"order":[', b"0,", b"0]}")),
    "escapes": Kind(line_of(b'{"order":"', b"\\u0041", b'"}')),
    "duplicates": Kind(line_of(b'{"order":{', b'"a":0,', b'"a":0}}')),
    "unexpected keys": Kind(WORST_KEYS),
    "unexpected keys, a connection each": Kind(WORST_KEYS, waits=True, reconnects=True),
    "a long key, never read": Kind(line_of(b'{"', b"\x7f", b'":0}'), reads=False),
    "a long line, never ended": Kind(b'{"' + b"x" * (MAX_LINE - 100), once=True),
    "long strings": Kind(line_of(b'{"order":{"quantity":"', b"1", b'"}}')),
    "blank lines": Kind(b"\n" * MAX_LINE),
    "blank bytes": Kind(b" ", pause=0.03),
    "lines of one letter": Kind(b"x\n" * 8000),
    "too long": Kind(b"x" * (MAX_LINE + 1), waits=True, reconnects=True),
    "byte by byte": Kind(b"{", pause=0.5),
    "nothing": Kind(b"", pause=1.0),
}


class Hostile:
    """One client of a crowd, on a selector."""

    def __init__(self, path: str, kind: Kind, selector: selectors.BaseSelector) -> None:
        self.path, self.kind, self.selector = path, kind, selector
        self.connect()

    def connect(self) -> None:
        self.unsent = memoryview(b"")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)
        self.socket.setblocking(False)
        self.selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def act(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                if not self.unsent:
                    self.unsent = memoryview(self.kind.sends)
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
                if not self.unsent and (self.kind.waits or self.kind.pause or self.kind.once):
                    self.selector.modify(self.socket, selectors.EVENT_READ, self)
            if events & selectors.EVENT_READ and self.kind.reads:
                chunk = self.socket.recv(65536)
                if not chunk or (self.kind.reconnects and chunk.endswith(b"\n")):
                    raise ConnectionError
                if self.kind.waits and chunk.endswith(b"\n"):
                    self.selector.modify(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        except BlockingIOError:
            pass
        except ConnectionError:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.connect()


def crowd(path: str, kind: Kind, size: int) -> None:
    """`size` clients in this process, until it is ended."""
    with selectors.DefaultSelector() as selector:
        clients = [Hostile(path, kind, selector) for _ in range(size)]
        if not kind.reads:
            for client in clients:
                selector.modify(client.socket, selectors.EVENT_WRITE, client)
        next_round = 0.0
        while True:
            now = time.monotonic()
            if kind.pause and now >= next_round:
                next_round = now + kind.pause
                for client in clients:
                    selector.modify(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
            for key, events in selector.select(0.01):
                key.data.act(events)


@contextlib.contextmanager
def crowded(path: str, kind: Kind, size: int) -> Iterator[None]:
    """The crowd in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=crowd, args=(path, kind, size))
    process.start()
    try:
        yield
        assert process.is_alive(), f"the crowd ended with {process.exitcode}"
    finally:
        process.terminate()
        process.join()


def latencies(path: str, seconds: float) -> list[float]:
    """Seconds that each request of a polite client takes; the first one includes the time to be accepted."""
    found: list[float] = []
    with socket.socket(socket.AF_UNIX) as client:
        end = time.monotonic() + seconds
        begin = time.perf_counter()
        client.connect(path)
        while time.monotonic() < end or len(found) < 2:
            client.sendall(ORDER)
            if b'"signature"' not in client.recv(4096):
                raise SystemExit("the polite client was refused")
            found.append(time.perf_counter() - begin)
            begin = time.perf_counter()
    return found


def resident(pid: int, field: str = "VmHWM") -> float:
    """Megabytes (10^6 bytes): the most so far, or now with VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(field + ":")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"one of: {'; '.join(KINDS)}")
    parser.add_argument("--crowd", type=int, default=CROWD, metavar="N", help="clients (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each kind (default: %(default)s)")
    arguments = parser.parse_args()
    names = [name for name in KINDS if any(name.startswith(word) for word in arguments.kinds)] or list(KINDS)
    base = 0.0
    title = f"among {arguments.crowd} clients"
    print(f"{title:37}{'p50':>9}{'ratio':>8}{'p99':>10}{'first':>10}{'memory':>10}")
    for name in dict.fromkeys(["orders", *names]):
        with tempfile.TemporaryDirectory() as directory, standalone(Path(directory), *OPTIONS) as daemon:
            with crowded(daemon.path, KINDS[name], arguments.crowd):
                time.sleep(0.3)
                first, *found = latencies(daemon.path, arguments.seconds)
                found.sort()
            memory = resident(daemon.pid)
        p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
        base = base or p50
        times = f"{p50 * 1e3:6.1f} ms{p50 / base:8.2f}{p99 * 1e3:7.1f} ms{first * 1e3:7.1f} ms"
        print(f"{name:37}{times}{memory:7.0f} MB", flush=True)


if __name__ == "__main__":
    main()
