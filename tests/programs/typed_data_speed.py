"""The time for typed data, messages and Hyperliquid's actions, from JSON values to digests, and for conditions on them.

    python tests/programs/typed_data_speed.py

Microseconds, the best of several runs. "first": after others, so that nothing of it is kept. The worst lines are those
that tests/payloads/test_typed_data.py searches for; their limit is the length of a line. Conditions: what they add to
the judgement of an order of CoW's, and how long those on the longest arrays take.
"""

from __future__ import annotations

import functools
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from support.daemon import vectors
from support.policies import section_of
from support.typed_data import ROWS, chain, content_of, crowd_out, digest, edge, fields, fits, wide

from ordersigner.payloads import hyperliquid, messages, typed_data
from ordersigner.policy.typed_limits import TypedLimits
from ordersigner.refusal import Refusal

REAL = (
    "Hyperliquid L1: dummy, mainnet",
    "CoW order, mainnet",
    "Polymarket order, CTF exchange v1",
    "1inch limit order v4, live on mainnet",
    "Permit2 PermitSingle",
    "Seaport 1.6 OrderComponents",
    "Seaport BulkOrder of height 2",
)
WORST = {
    "40 structs in structs, long names": chain(40, 40),
    "54 structs in structs, four fields to each": chain(54, 1, "", 4),
    "22 structs in arrays of 8 dimensions": chain(22, 1, "[]" * 8),
    "50 fields of 8 dimensions": wide(50, "bool" + "[]" * 8, []),
    "490 addresses with checksums": wide(490, "address", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    "2,000 numbers in an array": edge("uint8[]", [0] * 2000),
    "900 strings in an array": edge("string[]", ["x" * 65] * 900),
    "an integer of 60,000 digits": edge("uint256", "9" * 60_000),
    "a type of 500 dimensions": edge("uint8" + "[]" * 500, 0),
    "a string of 60,000 bytes": edge("string", "x" * 60_000),
}

# Conditions on the order of CoW's, with a list and a time that it meets.
PRICE, LIST, TIME = (
    "message.buyAmount(6) / message.sellAmount(18) >= 0",
    "message.sellToken = {sellToken} 0x0000000000000000000000000000000000000000",
    "message.validTo within 1000000000",
)
CONDITIONS = {
    "a price": [PRICE],
    "a list": [LIST],
    "a time": [TIME],
    "a price, a list and a time": [PRICE, LIST, TIME],
    "the old kinds: two values and two limits": [
        "message.sellToken = {sellToken}",
        "message.kind = {kind}",
        "message.sellAmount <= {sellAmount}",
        "message.buyAmount >= {buyAmount}",
    ],
    "bits": ["bits(message.validTo, 0, 32) >= 0"],
    "a total": ["total message.sellAmount(18) <= 5/day"],
}
PARTS = edge("Part[]", [{"a": at, "b": at} for at in range(1, 500)], Part=fields("uint64 a", "uint64 b"))
NUMBERS = edge("uint64[]", list(range(5000)))
LONG = [
    ("a price of each of 499 elements", "message.v.*.a(1) / message.v.*.b(2) >= 10", PARTS),
    ("a limit on each of 5,000 elements", "message.v.*(1) <= 1000", NUMBERS),
    ("the sum of 5,000 elements", "sum(message.v.*) <= 50000000", NUMBERS),
]


NOW = 1_700_000_000.5


def microseconds(task: Callable[[], object]) -> float:
    number = max(1, int(0.02 / timeit.timeit(task, number=1)))
    return min(timeit.repeat(task, number=number, repeat=7)) / number * 1e6


def first_microseconds(task: Callable[[], object]) -> float:
    return min(timeit.repeat(task, setup=crowd_out, number=1, repeat=20)) * 1e6


def hashed(content: Any) -> None:
    try:
        typed_data.read({"typed_data": content})
    except Refusal:
        pass


def judged(content: Any, conditions: list[str]) -> float:
    """How long a section of these conditions takes to allow some data, each time as if no other had read its arrays."""
    data = typed_data.read({"typed_data": content})
    schema = data.schema
    pinned = [f"domain.{name} = {value}" for name, value in content["domain"].items()]
    lines = [f"type = {schema.type}", f"domain = {schema.domain_type}", *pinned, *conditions]
    limits = TypedLimits(section_of("typed", "\n".join(lines)))

    def judge() -> None:
        data.arrays.clear()
        assert limits.judge(data, NOW) is None
        limits.needs(data)

    return microseconds(judge)


def main() -> None:
    rows = {row["name"]: content_of(row) for _, row in ROWS if "error" not in row}
    for name in REAL:
        assert digest(rows[name])  # so that none of the times is that of a refusal
    print(f"{'':45} again   first")
    for name, content in [*((name, rows[name]) for name in REAL), *WORST.items()]:
        task = functools.partial(hashed, content)
        again, first = microseconds(task), first_microseconds(task)
        print(f"{name:45} {again:5.0f} {first:7.0f}", "" if fits(content) else "(longer than a line)")
    (row,) = (row for row in vectors("typed-data/exchanges") if row["name"] == "Hyperliquid L1: limit order, mainnet")
    action = {"action": row["hyperliquid"]["action"], "nonce": 0, "network": "mainnet"}
    print(f"{'Hyperliquid action: an order':45} {microseconds(lambda: hyperliquid.read(action)):5.0f}")
    print(f"{'a message of 13 digits':45} {microseconds(lambda: messages.read({'text': '1550791374642'})):5.0f}")
    order = rows["CoW order, mainnet"]
    alone = judged(order, [])
    print(f"{'judging an order of CoW, type and domain':45} {alone:7.1f}")
    for name, conditions in CONDITIONS.items():
        added = judged(order, [condition.format(**order["message"]) for condition in conditions]) - alone
        print(f"{f'  and {name}':45} {added:7.1f}")
    for name, condition, content in LONG:
        print(f"{name:45} {judged(content, [condition]):7.1f}")


if __name__ == "__main__":
    main()
