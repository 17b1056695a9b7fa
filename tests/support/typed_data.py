"""Typed data of the vectors, and functions to make more."""

from __future__ import annotations

import json
from typing import Any

from ordersigner.payloads import typed_data
from ordersigner.payloads.typed_data import KEYS, MAX_SCHEMAS
from ordersigner.payloads.typed_types import DOMAIN
from ordersigner.payloads.typed_values import ATOMS, MAX_WORDS
from ordersigner.refusal import Refusal
from ordersigner.signing import protocol
from support.daemon import vectors

FILES = (
    "reference",
    "ethers-v6",
    "ethers-v5-spread",
    "metamask-v4",
    "eth-account",
    "clef",
    "exchanges",
    "exchange-shapes",
    "registry",
    "edge-cases",
)

ROWS = [(name, row) for name in FILES for row in vectors(f"typed-data/{name}")]

CONSTANTS = vectors("typed-data/constants")

NOTHING = object()


def read(content: Any) -> typed_data.TypedData:
    """What a request with this `typed_data` has signed."""
    return typed_data.read({"type": "typed_data", "typed_data": content})


def content_of(row: dict[str, Any]) -> Any:
    """The row's typed data, read from JSON once more so that it shares nothing with the row."""
    text = row.get("typed_data_text") or json.dumps({key: row[key] for key in KEYS if key in row})
    return json.loads(text)


def named(file: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for name_of_file, row in ROWS if (name_of_file, row["name"]) == (file, name))
    return found


SIGNED = [(name, row) for name, row in ROWS if "error" not in row]

REAL = [content_of(row) for name, row in SIGNED if name in ("reference", "exchanges", "exchange-shapes", "registry")]

MAIL = content_of(named("reference", "EIP-712 Mail"))

COW = content_of(named("exchange-shapes", "CoW order, mainnet"))

SEAPORT = content_of(named("exchange-shapes", "Seaport 1.6 OrderComponents"))


def digest(content: Any) -> str:
    return "0x" + read(content).digest.hex()


def edge(kind: str, value: Any, **types: Any) -> dict[str, Any]:
    """Typed data with one field of a type."""
    return {
        "types": {DOMAIN: [{"name": "name", "type": "string"}], "M": [{"name": "v", "type": kind}], **types},
        "primaryType": "M",
        "domain": {"name": "Edge"},
        "message": {} if value is NOTHING else {"v": value},
    }


def fields(*declared: str) -> list[dict[str, str]]:
    """The fields of a type, from "uint256 amount"."""
    return [{"type": kind, "name": name} for kind, _, name in (text.partition(" ") for text in declared)]


def crowd_out() -> None:
    """Make the package forget all other types, addresses and strings: it keeps only the latest."""
    for number in range(MAX_WORDS):
        ATOMS["address"].encode(f"0x{number:040}")
        ATOMS["string"].encode(f"crowd {number}")
    for number in range(MAX_SCHEMAS):
        read(edge("bool", True, **{f"Crowd{number}": []}))


def chain(depth: int, name: int = 1, dimensions: str = "", width: int = 1, tail: str = "bool a") -> Any:
    """Structs in structs: T0 has a T1, and so on. width: fields of each that lead to the next."""
    names = [f"{'T' * name}{number}" for number in range(depth)]
    types: dict[str, Any] = {DOMAIN: []}
    for this, following in zip(names, names[1:]):
        types[this] = fields(*(f"{following}{dimensions} f{field}" for field in range(width)))
    types[names[-1]] = fields(tail)
    return {"types": types, "primaryType": names[0], "domain": {}, "message": nested(depth - 1, dimensions)}


def nested(depth: int, dimensions: str) -> Any:
    value: Any = {"a": 1}  # not a bool: the fault is at the very end
    for _ in range(depth):
        for _ in range(dimensions.count("[")):
            value = [value]
        value = {"f0": value}
    return value


def wide(count: int, kind: str, value: Any, name: int = 1) -> Any:
    """One struct with many fields."""
    names = [f"{'f' * name}{number}" for number in range(count)]
    content = edge("bool", True, M=[{"name": field, "type": kind} for field in names])
    content["message"] = dict.fromkeys(names, value)
    return content


def fits(content: Any) -> bool:
    """Whether a request with this data passes the limits of a line."""
    line = json.dumps({"type": "typed_data", "signer": "0x" + "1" * 64, "typed_data": content}, separators=(",", ":"))
    try:
        protocol.decode(line.encode())
    except Refusal:
        return False
    return len(line) <= 65_536
