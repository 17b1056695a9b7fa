"""The forms of a key in a program, in a file or in memory."""

from __future__ import annotations

import base64


def forms(key: str) -> dict[str, bytes]:
    """key: 64 hexadecimal digits, of which any may be in lower or upper case."""
    raw, number = bytes.fromhex(key), int(key, 16)
    return {
        "hex": raw.hex().encode(),  # with 0x or without it
        "upper-case hex": raw.hex().upper().encode(),
        "base64": base64.b64encode(raw).rstrip(b"="),
        "base64 for URLs": base64.urlsafe_b64encode(raw).rstrip(b"="),
        "decimal": str(number).encode(),
        "bytes": raw,
        "bytes, the last one first": raw[::-1],
        "Python's integer": b"".join((number >> i & 0x3FFFFFFF).to_bytes(4, "little") for i in range(0, 256, 30)),
    }


def found(content: bytes, key: str) -> set[str]:
    """The forms of the key that are in the content."""
    return {name for name, form in forms(key).items() if form in content}
