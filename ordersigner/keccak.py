"""Keccak-256, the hash of Ethereum (not SHA3-256: the padding differs).

The standard library has it if OpenSSL has, from 3.2 on. Otherwise pycryptodome computes it, which takes six times as
long.
"""

from __future__ import annotations

import hashlib

try:
    _EMPTY = hashlib.new("keccak-256")
except ValueError:
    try:
        from Crypto.Hash import keccak
    except ImportError:
        try:  # Debian's package of the same library has another name
            from Cryptodome.Hash import keccak  # type: ignore[no-redef]
        except ImportError:
            raise ImportError("keccak-256 needs OpenSSL 3.2 or later, or pycryptodome: install pycryptodome") from None

    def keccak_256(data: bytes) -> bytes:
        """data: any bytes; returns 32 bytes."""
        return keccak.new(digest_bits=256, data=data).digest()

else:

    def keccak_256(data: bytes) -> bytes:
        """data: any bytes; returns 32 bytes."""
        state = _EMPTY.copy()
        state.update(data)
        return state.digest()
