"""How long typed data, messages and Hyperliquid's actions take, from their JSON values to their digests.

    python tests/programs/typed_data_speed.py

Microseconds, the best of several runs. "first": after others, so that nothing of it is kept. The worst lines are those
that tests/payloads/test_typed_data.py searches for; their limit is the length of a line.
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
from support.typed_data import ROWS, chain, content_of, crowd_out, digest, edge, fits, wide

from ordersigner.payloads import hyperliquid, messages, typed_data
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


if __name__ == "__main__":
    main()
