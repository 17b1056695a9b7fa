"""Transactions as bytes, by pyrlp: those to hash, and those to send. Shares no code with the package."""

from __future__ import annotations

from typing import Any

import rlp

FIELDS = (
    ("nonce", "gasPrice", "gas", "to", "value", "data"),
    ("chainId", "nonce", "gasPrice", "gas", "to", "value", "data", "accessList"),
    ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data", "accessList"),
)


def number(value: Any) -> int:
    return int(value, 0) if isinstance(value, str) else int(value)


def content(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def item(name: str, value: Any) -> Any:
    if name == "accessList":
        return [[content(one["address"]), [content(key) for key in one["storageKeys"]]] for one in value]
    if name in ("to", "data"):
        return b"" if value is None else content(value)
    return number(value)


def items(transaction: dict[str, Any]) -> list[Any]:
    return [item(name, transaction[name]) for name in FIELDS[number(transaction["type"])]]


def unsigned(transaction: dict[str, Any]) -> bytes:
    """The bytes to hash."""
    kind = number(transaction["type"])
    end = [] if kind else [number(transaction["chainId"]), 0, 0]
    return bytes([kind] if kind else []) + bytes(rlp.encode(items(transaction) + end))


def signed(transaction: dict[str, Any], signature: str) -> bytes:
    """The bytes to send. signature: 0x, r, s and v, which is 27 or 28."""
    kind = number(transaction["type"])
    r, s, v = (int(part, 16) for part in (signature[2:66], signature[66:130], signature[130:]))
    parity = v - 27
    last = parity if kind else 35 + 2 * number(transaction["chainId"]) + parity
    return bytes([kind] if kind else []) + bytes(rlp.encode([*items(transaction), last, r, s]))


def is_order(transaction: dict[str, Any]) -> bool:
    """Whether an order is packed into the same bytes: account, timestamp, type, side, and 104 bytes more."""
    packed = unsigned(transaction)
    return len(packed) == 134 and packed[28] in (1, 2, 3, 4) and packed[29] in (1, 2)
