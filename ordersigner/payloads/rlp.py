"""RLP, the encoding of transactions: integers, bytes and lists to bytes. Nothing here decodes.

In: integers of at most 256 bits, bytes, and items that are encoded already. Out: bytes. Raises nothing for these. Pure.
Source: the Ethereum yellow paper, appendix B.

An integer is its shortest big-endian bytes, so zero is no byte at all. This holds for r and s of a signature too: one
in 256 begins with a zero byte, which is in the signature and not in the transaction.
"""

from __future__ import annotations

_SHORT = 56  # bytes, from which on the length has bytes of its own
_BYTES, _LIST = 0x80, 0xC0


def integer(number: int) -> bytes:
    """number: not negative."""
    if number < _BYTES:
        return b"\x80" if number == 0 else bytes((number,))
    content = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((_BYTES + len(content),)) + content


def string(content: bytes) -> bytes:
    if len(content) == 1 and content[0] < _BYTES:
        return content
    return _head(len(content), _BYTES) + content


def sequence(items: bytes) -> bytes:
    """items: one after the other, each encoded."""
    return _head(len(items), _LIST) + items


def _head(size: int, kind: int) -> bytes:
    if size < _SHORT:
        return bytes((kind + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(length),)) + length
