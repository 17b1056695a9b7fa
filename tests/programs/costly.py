"""Looks for the lines that cost the daemon the most processor time: python tests/programs/costly.py [KIND...]

Each kind makes lines of up to 65,536 bytes that are meant to be slow: many values, deep nesting, long numbers, escapes,
types that refer to each other, batches under a policy. The search begins with lines at random, and then changes the
slowest ones, their sizes first. It prints the slowest line of each kind: the milliseconds that Conversation.respond()
takes for it, of processor time and as the best of several times, and how the line was made. Nothing passes or fails.

The policy is that of hostile.py: each request is judged by every section of its kind. Before each line the package has
forgotten all types, addresses and texts of earlier ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Tuple

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from support.daemon import EXAMPLE
from support.keys import held
from support.typed_data import chain, crowd_out, edge, wide

from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.serving.framing import MAX_LINE
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring
from programs.hostile import HELD, KEY, POLICY, new_address

SECONDS = 10.0  # for each kind
KEPT = 12  # slowest lines, which are changed
FIRST = 40  # lines at random
BOUNDS = [512, 640, 4096, 8192, 65_536]  # sizes that are tried more often

Sizes = Tuple[int, ...]  # what a line is made of: numbers from 0 to 65,536, which each kind reads in its own way


class Found(NamedTuple):
    """A line, and how long it takes."""

    milliseconds: float
    sizes: Sizes
    line: bytes


def request(**members: Any) -> bytes:
    return json.dumps({**members, "signer": HELD}, separators=(",", ":")).encode()


def fitted(make: Callable[[int], bytes], count: int) -> bytes:
    """The line of `count` parts, or of as many as fit."""
    line = make(count)
    while len(line) > MAX_LINE and count:
        count = count * MAX_LINE // (len(line) + 1)
        line = make(count)
    return line


def pick(options: Any, number: int) -> Any:
    return options[number % len(options)]


# The kinds: from three numbers to a line

PIECES = [
    *(
        b"[",
        b'{"a":',
        b"0,",
        b"NaN,",
        b"-1e5,",
        b"1e-99999,",
        b'"",',
        b"[],",
        b"{},",
        b'{"a":0},',
        b'{"a":{"b":0}},',
        b"[[],[]],",
        b'"[",',
    ),
    *(
        b'{"a":0,"a":0},',
        b'"\\u0041",',
        b'"\\ud83d",',
        b'"\\\\",',
        b'"\\"",',
        b"null,",
        b"true,",
        "é,".encode(),
        b'"a":0,',
    ),
    *(
        b'"\xf0\x9f\x98\x80",',
        b"9" * 4000 + b",",
        b"9" * 4400 + b",",
        b"0." + b"9" * 800 + b",",
        b" ",
        b"\\",
        b"]",
        b'"',
    ),
]
FRAMES = [
    b'{"order":[%b0]}',
    b'{"order":{%b"z":0}}',
    b"%b",
    b'{"type":"ping","id":[%b0]}',
    b'"%b"',
    b'{"x":[%b',
    b'{"x":[%b{"b":1,"b":1}]}',
]


def json_line(frame: int, piece: int, count: int) -> bytes:
    """Pieces of JSON, right and wrong."""
    return fitted(lambda count: pick(FRAMES, frame) % (pick(PIECES, piece) * count), count)


def two_pieces(first: int, second: int, count: int) -> bytes:
    """The same, in two halves, and closed as often as it is opened."""

    def make(count: int) -> bytes:
        one = pick(PIECES, first) * min(count, 400)
        closing = bytes(b"]}"[character == b"{"[0]] for character in reversed(one) if character in b"[{")
        return b'{"order":%b%b0%b}' % (one, pick(PIECES, second) * count, closing)

    return fitted(make, count)


def keys_line(length: int, count: int, escaped: int) -> bytes:
    """Many keys, also unexpected ones and with characters that become longer."""
    letter = pick(["k", "\x7f", "é", "\U0001f600", "."], escaped)
    return fitted(
        lambda count: (
            json.dumps({f"{letter * (length % 200)}{number}": 0 for number in range(count)}).encode()[:-1]
            + pick([b"", b',"type":"spot"', b',"a":NaN', b',"a":{"b":1,"b":1}'], length)
            + b"}"
        ),
        count,
    )


def order_line(field: int, value: int, length: int) -> bytes:
    """An order with a long value."""
    asked = json.loads(json.dumps(EXAMPLE["request"]))
    digit = pick(["9", "0", "0.", "1" * 100 + ".", "é", " ", "a", "0x", "\ud83d"], value)
    name = pick([*asked["order"], "more"], field)
    asked["order"][name] = (digit + "9" * length)[: 60_000 + length % 100]
    if value % 3 == 1:
        return json.dumps(asked).replace(f'"{asked["order"][name]}"', "9" * (length % 4301)).encode()
    return json.dumps({**asked, "signer": HELD} if value % 2 else asked).encode()


def signer_line(text: int, length: int, kind: int) -> bytes:
    """A long signer, or a long id."""
    asked = json.loads(json.dumps(EXAMPLE["request"]))
    asked[pick(["signer", "id", "type"], kind)] = pick(["a", " ", "é", "0", "\ud83d", "\x7f"], text) * length
    return json.dumps(asked).encode()[:MAX_LINE]


def message_line(letter: int, count: int, key: int) -> bytes:
    """Texts for a pattern, and bytes."""
    text = pick(["a", "z", "b", "ab", "é", "\U0001f600", "\n", "\x00", "\ud83d", "\u2028"], letter)
    if key % 3:
        return fitted(lambda count: request(type="message", text=text * count), count)
    return fitted(lambda count: request(type="message", hex="0x" + "61" * count), count)


ATOMS: dict[str, Callable[[int], Any]] = {
    "bool": lambda number: bool(number % 2),
    "uint8": lambda number: number % 256,
    "uint256": lambda number: pick([1, "1", "9" * 77, "0x1", "0x" + "f" * 64, 2**255], number // 7),
    "int256": lambda number: -number,
    "address": lambda number: pick([new_address(), "0x" + "1" * 40, new_address().lower()], number // 999),
    "string": lambda number: pick(["", f"{number}", f"{number:025}", "x" * 65, "é" * 40], number // 777),
    "bytes": lambda number: pick(["0x", "0x11", "0x" + "11" * 40], number // 777),
    "bytes1": lambda number: "0x11",
    "bytes32": lambda number: "0x" + "11" * 32,
}
DIMENSIONS = ["[]", "[][]", "[2]", "[][][][][][][][]"]


def typed(content: Any) -> bytes:
    return request(type="typed_data", typed_data=content)


def nested_value(value: Any, dimensions: str) -> Any:
    for _ in range(dimensions.count("[")):
        value = [value]
    return value


def array_line(kind: int, count: int, form: int) -> bytes:
    """Arrays of atoms, under conditions on every element."""
    base = pick(list(ATOMS), kind)
    name = pick(["Many", "Other"], form)

    def make(count: int) -> bytes:
        content = edge("bool", True)
        content["types"] = {**content["types"], name: [{"name": "field", "type": f"{base}[]"}]}
        value = [ATOMS[base](form * 131 + number) for number in range(count)]
        content.update(primaryType=name, domain={"name": "Many"}, message={"field": value})
        del content["types"]["M"]
        return typed(content)

    return fitted(make, count)


def judged_line(kind: int, count: int, fault: int) -> bytes:
    """Arrays whose elements all meet the conditions, but for the last one or none."""
    base, value, other = pick([("uint256", 1, 2), ("address", "0x" + "1" * 40, "0x" + "2" * 40)], kind)
    value = pick([value, str(value)], fault)

    def make(count: int) -> bytes:
        content = edge(f"{base}[]", [])
        content["types"]["Many"] = [{**content["types"].pop("M")[0], "name": "field"}]
        message = {"field": [value] * count + [other] * (fault % 3 == 0)}
        content.update(primaryType="Many", domain={"name": "Many"}, message=message)
        return typed(content)

    return fitted(make, count)


def deep_array_line(kind: int, count: int, dimensions: int) -> bytes:
    """Arrays in arrays."""
    base, brackets = pick(list(ATOMS), kind), pick(DIMENSIONS, dimensions)

    def make(count: int) -> bytes:
        inner = nested_value(ATOMS[base](kind), brackets)
        if brackets == "[2]":
            inner = [ATOMS[base](kind)] * 2
        return typed(edge(f"{base}{brackets}[]", [inner] * count))

    return fitted(make, count)


def structs_line(fields: int, count: int, kind: int) -> bytes:
    """Arrays of structs of several fields."""
    base = pick(list(ATOMS), kind)
    names = [f"f{number}" for number in range(fields % 40)]

    def make(count: int) -> bytes:
        part = [{"name": name, "type": base} for name in names]
        elements = [{name: ATOMS[base](at * 40 + number) for number, name in enumerate(names)} for at in range(count)]
        return typed(edge("Part[]", elements, Part=part))

    return fitted(make, count)


def chain_line(depth: int, name: int, width: int) -> bytes:
    """Types that refer to types."""
    return typed(chain(2 + depth % 62, 1 + name % 400, pick(["", "[]", "[1]", "[]" * 8], name), 1 + width % 20))


def types_line(count: int, kind: int, name: int) -> bytes:
    """Many types, or one type with many fields."""
    if name % 2:
        base = pick(list(ATOMS), kind) + pick(["", *DIMENSIONS], name)
        value = nested_value(ATOMS[pick(list(ATOMS), kind)](count), pick(["", *DIMENSIONS], name))
        return fitted(lambda count: typed(wide(count, base, value, 1 + name % 9)), count % 3000)
    fields = [{"name": f"f{number}", "type": pick(list(ATOMS), kind)} for number in range(kind % 60)]
    return fitted(lambda count: typed(edge("bool", True, **{f"T{at}": fields for at in range(count)})), count % 100)


def domain_line(count: int, kind: int, form: int) -> bytes:
    """A large domain."""
    base = pick(list(ATOMS), kind)

    def make(count: int) -> bytes:
        content = edge("bool", True)
        content["types"]["EIP712Domain"] = [{"name": "name", "type": "string"}, {"name": "field", "type": f"{base}[]"}]
        content["domain"]["field"] = [ATOMS[base](form * 131 + number) for number in range(count)]
        if form % 2:
            content["domain"] = {f"k{number}": 0 for number in range(count)}
        return typed(content)

    return fitted(make, count)


PARTS: list[dict[str, Any]] = [
    {"a": 1, "b": True, "p": "99.5", "s": "0.02", "r": False, "t": {"limit": {"tif": "Gtc"}}},
    {
        "a": 1,
        "b": True,
        "p": "99.123456789",
        "s": "2.1",
        "r": False,
        "t": {"limit": {"tif": "Gtc"}},
        "c": "0x" + "1" * 32,
    },
    {"a": 0, "b": True, "p": "1", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}},
    {"a": 0, "b": True, "p": "1", "s": "1", "t": {"trigger": {"isMarket": True, "triggerPx": "1", "tpsl": "sl"}}},
    {"a": 1, "o": 12345678901},
    {"a": 1, "b": True, "p": "9" * 60 + "." + "9" * 18, "s": "1", "t": {"limit": {"tif": "Ioc"}}},
    {"oid": 1, "order": {"a": 0, "b": True, "p": "1", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}}},
    {"asset": 1, "cloid": "0x1"},
    {"a": [[]], "b": {}},
    {"a": -1},
    {},
    {"˰": "˰"},
]
LARGE = {"a": 0, "b": True, "p": "1", "s": "26", "r": False, "t": {"limit": {"tif": "Gtc"}}}
LAST: list[Any] = [None, LARGE, 0.5, "\ud83d", 2**64, {"a": 0.5}, [], {"z": 1}]
LISTS = [("order", "orders"), ("batchModify", "modifies"), ("cancel", "cancels"), ("cancelByCloid", "cancels")]


def action_line(part: int, count: int, last: int) -> bytes:
    """Actions with many parts. The last one is at fault, or none."""
    kind, key = pick(LISTS, last // len(LAST))
    wrong = pick(LAST, last)

    def make(count: int) -> bytes:
        parts = [pick(PARTS, part)] * count + ([] if wrong is None else [wrong])
        return request(type="hyperliquid", action={"type": kind, key: parts}, nonce=1, network="mainnet")

    return fitted(make, count)


def free_action_line(piece: int, count: int, depth: int) -> bytes:
    """Any content in an action."""
    values = [0, 2**63, "", "a", "é", "˰" * 20, [], {}, [[]], {"a": 1}, None, True, 0.5, -1, "x" * 300]

    def make(count: int) -> bytes:
        inner: Any = [pick(values, piece)] * count
        for _ in range(depth % 500):
            inner = [inner] if piece % 2 else {"a": inner}
        return request(type="hyperliquid", action={"type": "x", "a": inner}, nonce=1, network="mainnet")

    return fitted(make, count)


KINDS: dict[str, Callable[[int, int, int], bytes]] = {
    "json": json_line,
    "json-of-two": two_pieces,
    "keys": keys_line,
    "orders": order_line,
    "signers": signer_line,
    "messages": message_line,
    "arrays": array_line,
    "judged-arrays": judged_line,
    "deep-arrays": deep_array_line,
    "structs": structs_line,
    "chains": chain_line,
    "types": types_line,
    "domains": domain_line,
    "actions": action_line,
    "free-actions": free_action_line,
}


def milliseconds(line: bytes, times: int = 1) -> float:
    """Of processor time, at best."""
    taken = []
    for _ in range(times):
        crowd_out()
        conversation = Conversation(SERVICE, PEER)
        begin = time.thread_time_ns()
        response = conversation.respond(line)
        taken.append((time.thread_time_ns() - begin) / 1e6)
        assert b'"InternalError"' not in response, line
    return min(taken)


PEER = Peer(os.getpid(), os.geteuid(), os.getegid())
READING = reader.read(POLICY, "policy")
assert not READING.errors
SERVICE = Service(Journal(LEVELS["err"], lambda entry, wait: None), Keyring({HELD: held(KEY)}), READING.policy)


def search(kind: str, seconds: float, chance: random.Random) -> Found:
    """The slowest line of a kind that is found in this time."""
    make = KINDS[kind]
    kept: list[Found] = []
    end = time.monotonic() + seconds
    tried: set[Sizes] = set()
    while time.monotonic() < end:
        if len(tried) < FIRST or not kept or chance.random() < 0.2:
            sizes = tuple(chance.choice([chance.randrange(60), chance.randrange(3000), *BOUNDS]) for _ in range(3))
        else:
            sizes = changed(chance.choice(kept).sizes, chance)
        if sizes in tried:
            continue
        tried.add(sizes)
        line = make(*sizes)
        if len(line) > MAX_LINE or b"\n" in line:
            continue
        cost = milliseconds(line)
        if len(kept) < KEPT or cost > kept[-1].milliseconds:  # again: other programs may have slowed it down
            kept.append(Found(min(cost, milliseconds(line, 3)), sizes, line))
            kept = sorted(kept, reverse=True)[:KEPT]
    return max(Found(milliseconds(found.line, 20), found.sizes, found.line) for found in kept[:3])


def changed(sizes: Sizes, chance: random.Random) -> Sizes:
    at = chance.randrange(len(sizes))
    old = sizes[at]
    new = chance.choice([old + 1, max(old - 1, 0), old * 2, old // 2, old * 9 // 10, chance.randrange(100), *BOUNDS])
    return (*sizes[:at], min(new, 65_536), *sizes[at + 1 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random numbers (default: %(default)s)")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    for kind in arguments.kinds or KINDS:
        found = search(kind, arguments.seconds, chance)
        begin = found.line[:40].decode(errors="replace")
        print(f"{kind:15}{found.milliseconds:7.2f} ms{len(found.line):8} bytes  {found.sizes}  {begin}…", flush=True)


if __name__ == "__main__":
    main()
