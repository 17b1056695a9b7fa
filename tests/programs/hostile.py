"""How fast a client is served next to 250 hostile ones of each kind, and how much memory the daemon takes.

    python tests/programs/hostile.py                    all kinds, against a daemon of this checkout
    python tests/programs/hostile.py brackets blank     some of them

One client sends orders with its own key, one after the other. Then another one does the same with CoW orders for a key
that the daemon holds, under a policy. Their latencies next to each crowd are compared with those next to 250 ordinary
clients, which send orders in the same way, as ratios. Such a crowd comes before every fourth hostile one, and all that
several times, because other programs on the machine change the figures: these are medians. "first" is the time from
connect() to the first reply. Memory is the most that the daemon had resident. Nothing passes or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from eth_utils.address import to_checksum_address
from oracles.typed_data_reference import encode_type
from support.daemon import EXAMPLE_LINE, Daemon, standalone, vectors, wait_until
from support.held import address, holding, rule

ORDER = EXAMPLE_LINE + b"\n"
MAX_LINE = 64 * 1024
OPTIONS = ("--max-connections-per-user", "512", "--log-level", "warning")  # of the daemon
CROWD = 250
SECONDS = 3.0  # for each client next to each crowd
ROUNDS = 3
ORDINARY = ""  # the name of that crowd
EVERY = 4  # hostile crowds between two of ordinary clients

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
NEWLINE = "\n"  # for f-strings, which take no backslash before Python 3.12
counter = count(1)


def new_address() -> str:
    return str(to_checksum_address(f"0x{next(counter) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**160:040x}"))


def new_schema() -> bytes:
    """Of the length that is just kept: few types with many fields take the most memory."""
    fields = [{"name": f"f{next(counter)}", "type": "uint8[][][][][][][][]"} for _ in range(48)]
    return typed_line("Part", {}, Part=fields)


def chain(depth: int, width: int) -> bytes:
    """Structs in structs, with several fields to each. The fault is in the innermost."""
    types = {f"T{at}": [{"name": f"f{one}", "type": f"T{at + 1}"} for one in range(width)] for at in range(depth)}
    value: Any = {"a": 1}
    for _ in range(depth):
        value = {"f0": value}
    return typed_line("T0", value, **types, **{f"T{depth}": [{"name": "a", "type": "bool"}]})


# Sections whose conditions take long: every element of an array is judged, by each of them.
SECTIONS = {
    f"{kind}-{copy}": f"type = Many({kind}[] field)\ndomain.name = Many\nmessage.field.* = {value}\n"
    for kind, value in (("address", "0x" + "1" * 40), ("uint256", "1"))
    for copy in range(4)
}
POLICY = f"""
[typed cow]
type = {encode_type(COW["primaryType"], COW["types"])}
{NEWLINE.join(f"domain.{name} = {value}" for name, value in COW["domain"].items())}
message.sellToken = {COW["message"]["sellToken"]}
message.sellAmount <= {COW["message"]["sellAmount"]}
message.buyAmount >= {COW["message"]["buyAmount"]}
message.kind = {COW["message"]["kind"]}
{NEWLINE.join(f"[typed {name}]{NEWLINE}{settings}" for name, settings in SECTIONS.items())}
[message long]
pattern = [a-z]?[a-y]*[^z]{{0,999}}z
[hyperliquid small]
actions = order
max-size = 2.5
max-price = 100
[hyperliquid large]
actions = order modify batchModify cancel cancelByCloid
assets = 0 1
max-size = 25
min-price = 0.5
max-price = 100
max-notional = 2500
max-orders = 1000
max-total-notional = 1000000000/day
reduce-only = no
tif = Gtc Ioc
triggers = none
"""
POLICY += rule("all", HELD, allows=f"typed = cow {' '.join(SECTIONS)}\nmessages = long\nhyperliquid = small large\n")


class Kind(NamedTuple):
    """What a client of a crowd does, again and again."""

    sends: Sequence[bytes]  # one after the other
    reads: bool = True  # the responses
    waits: bool = False  # for the response before it sends again
    reconnects: bool = False
    pause: float = 0.0  # seconds before it sends again
    once: bool = False


WORST_KEYS = b"{" + b",".join(b'"%d":0' % number for number in range(2000)) + b"}\n"
ACTION = {"a": 0, "b": True, "p": "1.5", "s": "2.5", "r": False, "t": {"limit": {"tif": "Gtc"}}}
KINDS = {
    "orders": Kind([ORDER], waits=True),
    "orders, pipelined": Kind([ORDER * 20]),
    "orders, never read": Kind([ORDER * 20], reads=False),
    "orders, reconnecting": Kind([ORDER], waits=True, reconnects=True),
    "brackets": Kind([line_of(b"", b"[")]),
    "objects": Kind([line_of(b"", b'{"a":')]),
    "NaN": Kind([line_of(b'{"order":[', b"NaN,", b"0]}")]),
    "zeros": Kind([line_of(b'{"order":[', b"0,", b"0]}")]),
    "escapes": Kind([line_of(b'{"order":"', b"\\u0041", b'"}')]),
    "duplicates": Kind([line_of(b'{"order":{', b'"a":0,', b'"a":0}}', 12_000)]),
    "unexpected keys": Kind([WORST_KEYS]),
    "unexpected keys, reconnecting": Kind([WORST_KEYS], waits=True, reconnects=True),
    "a long key, never read": Kind([line_of(b'{"', b"\x7f", b'":0}')], reads=False),
    "a long line, never ended": Kind([b'{"' + b"x" * (MAX_LINE - 100)], once=True),
    "long strings": Kind([line_of(b'{"order":{"quantity":"', b"1", b'"}}')]),
    "blank lines": Kind([b"\n" * MAX_LINE]),
    "blank bytes": Kind([b" "], pause=0.03),
    "lines of one letter": Kind([b"x\n" * 8000]),
    "too long": Kind([b"x" * (MAX_LINE + 1)], waits=True, reconnects=True),
    "byte by byte": Kind([b"{"], pause=0.5),
    "nothing": Kind([b""], pause=1.0),
    "nothing, reconnecting": Kind([b""], reconnects=True),
    "nothing, reconnecting later": Kind([b""], reconnects=True, pause=0.03),
    # For the held key. What is new with each request is more than the daemon keeps.
    "typed data": Kind([COW_ORDER], waits=True),
    "typed data, pipelined": Kind([COW_ORDER * 20]),
    "new addresses": Kind([typed_line("address[]", [new_address() for _ in range(1380)]) for _ in range(2)]),
    "new strings": Kind([typed_line("string[]", [f"{next(counter):025}" for _ in range(2000)]) for _ in range(2)]),
    "new schemas": Kind([new_schema() for _ in range(100)]),
    "schemas too long to keep": Kind([chain(54, 4)]),
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
        self.next = self.first = next(counter)  # not all clients of a crowd begin with the same
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
                if self.kind.reconnects and not self.kind.waits and self.next > self.first + bool(self.kind.pause):
                    raise ConnectionError
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
    """Seconds that each request of an ordinary client takes; the first one includes the time to be accepted.

    seconds: for all requests after the first.
    """
    found: list[float] = []
    with socket.socket(socket.AF_UNIX) as client:
        end = math.inf
        begin = time.perf_counter()
        client.connect(path)
        while time.monotonic() < end or len(found) < 2:
            client.sendall(request)
            if b'"signature"' not in client.recv(4096):
                raise SystemExit("the ordinary client was refused")
            found.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            end = min(end, time.monotonic() + seconds)
    return found


def resident(pid: int, field: str = "VmHWM") -> float:
    """Megabytes (10^6 bytes): the most so far, or now with VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(field + ":")[1].split()[0]) * 1024 / 1e6


@contextlib.contextmanager
def attacked(directory: Path) -> Iterator[Daemon]:
    """A daemon with a held key, for crowds."""
    held = holding(directory, {"key": KEY}, POLICY)
    with standalone(directory, *OPTIONS, "--state", str(directory), *held) as daemon:
        yield daemon


class Figures(NamedTuple):
    """What an ordinary client saw next to one crowd. Seconds."""

    own_p50: float  # with a key of their own
    own_p99: float
    held_p50: float  # with typed data and a held key
    held_p99: float
    first: float
    memory: float  # MB


LATENCIES = Figures._fields[:4]


def measure(name: str, size: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory() as directory, attacked(Path(directory)) as daemon:
        with crowded(daemon.path, KINDS[name], size):
            wait_until(lambda: daemon.threads() >= size or KINDS[name].reconnects, 120)
            time.sleep(0.3)
            first, *own = latencies(daemon.path, ORDER, seconds)
            _, *held = latencies(daemon.path, COW_ORDER, seconds)
        memory = resident(daemon.pid)
    own_p50, own_p99, held_p50, held_p99 = (percentile(times, part) for times in (own, held) for part in (0.5, 0.99))
    return Figures(own_p50, own_p99, held_p50, held_p99, first, memory)


def percentile(times: list[float], part: float) -> float:
    """The latency that a client sees for this part of the time.

    Not of its requests: while the machine does not run the crowd, it makes a hundred times as many.
    """
    passed = 0.0
    for latency in sorted(times):
        passed += latency
        if passed >= part * sum(times):
            break
    return latency


def compare(names: Sequence[str], size: int, seconds: float, rounds: int) -> tuple[dict[str, Figures], list[Figures]]:
    """The figures next to a crowd of each kind, medians of all rounds, and those next to each ordinary crowd."""
    found: dict[str, list[Figures]] = {name: [] for name in (ORDINARY, *names)}
    for _ in range(rounds):
        for number, name in enumerate(names):
            for each in (ORDINARY, name) if number % EVERY == 0 else (name,):
                if sys.stderr.isatty():
                    print(f"\r{each or 'ordinary clients':40}", end="", file=sys.stderr)
                found[each].append(measure(each or "orders", size, seconds))
    ordinary = found.pop(ORDINARY)
    return {name: medians(figures) for name, figures in found.items()}, ordinary


def medians(figures: Sequence[Figures]) -> Figures:
    return Figures(*map(statistics.median, zip(*figures)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"one of: {'; '.join(KINDS)}")
    parser.add_argument("--crowd", type=int, default=CROWD, metavar="N", help="clients (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for each ordinary client, each time (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="(default: %(default)s)")
    arguments = parser.parse_args()
    names = [name for name in KINDS if any(name.startswith(word) for word in arguments.kinds)] or list(KINDS)
    heads = [field.replace("_", " ") for field in LATENCIES]
    title = f"next to {arguments.crowd} clients"
    print(f"{title:37}{''.join(f'{head:>10}' for head in heads)}{'first':>9}{'memory':>10}")
    crowds, ordinary = compare(names, arguments.crowd, arguments.seconds, arguments.rounds)
    for name, found in crowds.items():
        ratios = "".join(f"{one / base:10.2f}" for one, base in zip(found[: len(LATENCIES)], medians(ordinary)))
        print(f"{name:37}{ratios}{found.first:7.2f} s{found.memory:7.0f} MB")
    print("\nmilliseconds next to ordinary clients, the median and the range:")
    for head, times in zip(heads, zip(*ordinary)):
        middle, least, most = statistics.median(times), min(times), max(times)
        print(f"{head:37}{middle * 1e3:9.1f}{least * 1e3:9.1f} to {most * 1e3:.1f}")


if __name__ == "__main__":
    main()
