"""Keccak-256, the hash of Ethereum (not SHA3-256: the padding differs, so hashlib does not have it)."""

from __future__ import annotations

try:
    from Crypto.Hash import keccak
except ImportError:  # Debian's package of the same library keeps clear of its ancestor's name
    from Cryptodome.Hash import keccak  # type: ignore[no-redef]


def keccak_256(data: bytes) -> bytes:
    """data: any bytes; returns 32 bytes."""
    return keccak.new(digest_bits=256, data=data).digest()
