"""Whether data is what the standard encoder writes, by eth-abi: decoding it and encoding that again gives the same."""

from __future__ import annotations

from typing import Any, Sequence

from eth_abi.abi import decode, encode


def arguments(types: Sequence[str], data: bytes) -> tuple[Any, ...] | None:
    """The values of a call's arguments, without the selector; None if the data is not in canonical form."""
    try:
        values = decode(types, data, strict=False)
        return values if encode(types, values) == data else None
    except Exception:  # noqa: BLE001 - its decoder raises many kinds
        return None
