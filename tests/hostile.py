"""How fast polite clients are served beside 250 hostile ones of each kind, and how much memory the daemon takes.

    python tests/hostile.py                    all kinds, against a daemon of this checkout
    python tests/hostile.py brackets blank     some of them

One polite client sends orders with its own key, one after the other. Then another one does the same with CoW orders for
a key that the daemon holds, under a policy. Their latencies beside each crowd are compared with those beside 250
clients that send orders in the same way: each hostile crowd comes right after a polite one, several times, and the
figures are medians of the ratios. "first" includes the time to be accepted. There is no pass or fail. Memory is the
most that the daemon had resident.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from daemon import EXAMPLE_LINE, Daemon, standalone, vectors, wait_until
from eth_utils.address import to_checksum_address
from held import address, holding, rule
from typed_data_reference import encode_type

ORDER = EXAMPLE_LINE + b"\n"
MAX_LINE = 64 * 1024
OPTIONS = ("--max-connections-per-user", "512", "--log-level", "warning")  # of the daemon
CROWD = 250
SECONDS = 3.0  # for each polite client beside each crowd
ROUNDS = 3

KEY = "11" * 32
HELD = address(KEY)


def line_of(begin: bytes, repeated: bytes, end: bytes = b"", size: int = MAX_LINE) -> bytes:
    """The longest line up to `size` bytes that repeats `repeated`."""
    return begin + repeated * ((size - len(begin) - len(end)) // len(repeated)) + end + b"\n"


def held_line(**request: Any) -> bytes:
    """A request for the held key."""
    return json.dumps({**request, "signer": HELD}, separators=(",", ":")).encode() + b"\n"


def typed_line(kind: str, value: Any, **types: list[dict[str, str]]) -> bytes:
    """Typed data with one field, for the held key. types: others, by name."""
    content = {
        "types": {"EIP712Domain": DOMAIN, "Many": [{"name": "field", "type": kind}], **types},
        "primaryType": "Many",
        "domain": {"name": "Many"},
        "message": {"field": value},
    }
    return held_line(type="typed_data", typed_data=content)


DOMAIN = [{"name": "name", "type": "string"}]
COW = next(row for row in vectors("typed-data/exchange-shapes") if row["name"] == "CoW order, mainnet")
COW_CONTENT = {key: COW[key] for key in ("types", "primaryType", "domain", "message")}
COW_ORDER = held_line(type="typed_data", typed_data=COW_CONTENT)
number = count(1)


def new_address() -> str:
    return str(to_checksum_address(f"0x{next(number) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**160:040x}"))


def new_schema() -> bytes:
    """Of the length that is just kept: few types with many fields take the most memory."""
    fields = [{"name": f"f{next(number)}", "type": "uint8[][][][][][][][]"} for _ in range(48)]
    return typed_line("Part", {}, Part=fields)


def chain(depth: int, width: int) -> bytes:
    """Structs in structs, with several fields to each. The fault is in the innermost."""
    types = {f"T{at}": [{"name": f"f{one}", "type": f"T{at + 1}"} for one in range(width)] for at in range(depth)}
    value: Any = {"a": 1}
    for _ in range(depth):
        value = {"f0": value}
    return typed_line("T0", value, **types, **{f"T{depth}": [{"name": "a", "type": "bool"}]})


# Sections whose conditions take long: every element of an array is judged, by each of them.
SECTIONS = [
    f"""[typed {name}]
type = Many({kind} field)
domain.name = Many
message.field.* = {value}
"""
    for name, kind, value in (
        *((f"addresses-{copy}", "address[]", "0x" + "1" * 40) for copy in range(4)),
        *((f"numbers-{copy}", "uint256[]", "1") for copy in range(4)),
    )
]
POLICY = f"""
[typed cow]
type = {encode_type(COW["primaryType"], COW["types"])}
{"".join(f"domain.{name} = {value}" + chr(10) for name, value in COW["domain"].items())}
message.sellToken = {COW["message"]["sellToken"]}
message.sellAmount <= {COW["message"]["sellAmount"]}
message.buyAmount >= {COW["message"]["buyAmount"]}
message.kind = {COW["message"]["kind"]}
{"".join(SECTIONS)}
[message long]
pattern = [a-z]?[a-y]*[^z]{{0,999}}z
[hyperliquid small]
actions = order
max-size = 2.5
max-price = 100
[hyperliquid large]
actions = order
max-size = 25
max-price = 100
{
    rule(
        "all",
        HELD,
        allows="typed = cow "
        + " ".join(f"{kind}-{copy}" for kind in ("addresses", "numbers") for copy in range(4))
        + chr(10)
        + "messages = long"
        + chr(10)
        + "hyperliquid = small large"
        + chr(10),
    )
}
"""


class Kind(NamedTuple):
    """What a client of a crowd does, again and again."""

    sends: Sequence[bytes]  # one after the other
    reads: bool = True  # the responses
    waits: bool = False  # for the response before it sends again
    reconnects: bool = False
    pause: float = 0.0  # seconds before it sends again
    once: bool = False


WORST_KEYS = b"{" + b",".join(b'"%d":0' % number for number in range(2000)) + b"}\n"
ACTION = {"a": 0, "b": True, "p": "1.5", "s": "2.5", "r": False}
KINDS = {
    "orders": Kind([ORDER], waits=True),
    "orders, pipelined": Kind([ORDER * 20]),
    "orders, never read": Kind([ORDER * 20], reads=False),
    "orders, a connection each": Kind([ORDER], waits=True, reconnects=True),
    "brackets": Kind([line_of(b"", b"[")]),
    "objects": Kind([line_of(b"", b'{"a":')]),
    "NaN": Kind([line_of(b'{"order":[', b"NaN,", b"0]}")]),
    "zeros": Kind([line_of(b'{"order":[', b"0,", b"0]}")]),
    "escapes": Kind([line_of(b'{"order":"', b"\\u0041", b'"}')]),
    "duplicates": Kind([line_of(b'{"order":{', b'"a":0,', b'"a":0}}', 12_000)]),
    "unexpected keys": Kind([WORST_KEYS]),
    "unexpected keys, a connection each": Kind([WORST_KEYS], waits=True, reconnects=True),
    "a long key, never read": Kind([line_of(b'{"', b"\x7f", b'":0}')], reads=False),
    "a long line, never ended": Kind([b'{"' + b"x" * (MAX_LINE - 100)], once=True),
    "long strings": Kind([line_of(b'{"order":{"quantity":"', b"1", b'"}}')]),
    "blank lines": Kind([b"\n" * MAX_LINE]),
    "blank bytes": Kind([b" "], pause=0.03),
    "lines of one letter": Kind([b"x\n" * 8000]),
    "too long": Kind([b"x" * (MAX_LINE + 1)], waits=True, reconnects=True),
    "byte by byte": Kind([b"{"], pause=0.5),
    "nothing": Kind([b""], pause=1.0),
    # For the held key. What is new with each request is more than the daemon keeps.
    "typed data": Kind([COW_ORDER], waits=True),
    "typed data, pipelined": Kind([COW_ORDER * 20]),
    "new addresses": Kind([typed_line("address[]", [new_address() for _ in range(1380)]) for _ in range(2)]),
    "new strings": Kind([typed_line("string[]", [f"{next(number):025}" for _ in range(2000)]) for _ in range(2)]),
    "new schemas": Kind([new_schema() for _ in range(100)]),
    "schemas that are too long to keep": Kind([chain(54, 4)]),
    "conditions on every element": Kind([typed_line("uint256[]", [1] * 2000 + [2])]),
    "a pattern of 1,000 characters": Kind([held_line(type="message", text="a" * 4096)]),
    "actions of 330 orders": Kind(
        [
            held_line(
                type="hyperliquid",
                action={"type": "order", "orders": [ACTION] * 330 + [{**ACTION, "s": "26"}]},
                nonce=1,
                network="mainnet",
            )
        ]
    ),
}


class Hostile:
    """One client of a crowd, on a selector."""

    def __init__(self, path: str, kind: Kind, selector: selectors.BaseSelector) -> None:
        self.path, self.kind, self.selector = path, kind, selector
        self.connect()

    def connect(self) -> None:
        self.unsent = memoryview(b"")
        self.next = next(number)  # not all clients of a crowd begin with the same
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)
        self.socket.setblocking(False)
        self.selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def act(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                if not self.unsent:
                    self.unsent = memoryview(self.kind.sends[self.next % len(self.kind.sends)])
                    self.next += 1
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


def latencies(path: str, request: bytes, seconds: float) -> list[float]:
    """Seconds that each request of a polite client takes; the first one includes the time to be accepted."""
    found: list[float] = []
    with socket.socket(socket.AF_UNIX) as client:
        end = time.monotonic() + seconds
        begin = time.perf_counter()
        client.connect(path)
        while time.monotonic() < end or len(found) < 2:
            client.sendall(request)
            if b'"signature"' not in client.recv(4096):
                raise SystemExit("the polite client was refused")
            found.append(time.perf_counter() - begin)
            begin = time.perf_counter()
    return found


def resident(pid: int, field: str = "VmHWM") -> float:
    """Megabytes (10^6 bytes): the most so far, or now with VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(field + ":")[1].split()[0]) * 1024 / 1e6


@contextlib.contextmanager
def attacked(directory: Path) -> Iterator[Daemon]:
    """A daemon with a held key, for crowds."""
    with standalone(directory, *OPTIONS, *holding(directory, {"key": KEY}, POLICY)) as daemon:
        yield daemon


class Figures(NamedTuple):
    """What polite clients see beside one crowd. Seconds."""

    p50: float
    p99: float
    held_p50: float  # with a held key and typed data
    held_p99: float
    first: float
    memory: float  # MB


def measure(name: str, size: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory() as directory, attacked(Path(directory)) as daemon:
        with crowded(daemon.path, KINDS[name], size):
            wait_until(lambda: daemon.threads() >= size or KINDS[name].reconnects)
            time.sleep(0.3)
            first, *own = latencies(daemon.path, ORDER, seconds)
            _, *held = latencies(daemon.path, COW_ORDER, seconds)
        return Figures(*middle_and_worst(own), *middle_and_worst(held), first, resident(daemon.pid))


def middle_and_worst(found: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    return statistics.median(found), sorted(found)[int(len(found) * 0.99)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"one of: {'; '.join(KINDS)}")
    parser.add_argument("--crowd", type=int, default=CROWD, metavar="N", help="clients (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for each polite client, each time (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="(default: %(default)s)")
    arguments = parser.parse_args()
    names = [name for name in KINDS if any(name.startswith(word) for word in arguments.kinds)] or list(KINDS)
    print(f"{'':37}{'key of its own':^24}{'held key, typed data':^24}")
    title = f"beside {arguments.crowd} clients, ratios to polite ones"
    print(f"{'ratios beside ' + str(arguments.crowd) + ' clients':37}{'p50':>12}{'p99':>12}{'p50':>12}{'p99':>12}{'first':>10}{'memory':>10}")
    polite: list[Figures] = []
    for name in names:
        found: list[Figures] = []
        for _ in range(arguments.rounds):
            polite.append(measure("orders", arguments.crowd, arguments.seconds))
            found.append(measure(name, arguments.crowd, arguments.seconds))
        ratios = [
            statistics.median(one[field] / base[field] for one, base in zip(found, polite[-arguments.rounds :]))
            for field in range(4)
        ]
        first, memory = statistics.median(one.first for one in found), max(one.memory for one in found)
        print(
            f"{name:37}{''.join(f'{ratio:12.2f}' for ratio in ratios)}{first * 1e3:7.1f} ms{memory:7.0f} MB", flush=True
        )
    print("\nbeside polite clients, the median and the range of all times:")
    for field in Figures._fields[:4]:
        times = sorted(getattr(one, field) * 1e3 for one in polite)
        print(f"{field:37}{statistics.median(times):9.1f} ms{times[0]:9.1f} to {times[-1]:.1f} ms")


if __name__ == "__main__":
    main()
