"""Keccak-256, the hash of Ethereum (not SHA3-256: the padding differs).

The standard library has it with OpenSSL 3.2 or later. Otherwise pycryptodome computes it, which takes six times as
long. Without either, this module does so in Python, in a quarter of a millisecond or more: enough for programs, which
hash little, but the daemon does not start.
"""

from __future__ import annotations

import hashlib
import struct

LIBRARY: str | None  # the library that computes the hashes; None if this module does

try:
    _EMPTY = hashlib.new("keccak-256")
    LIBRARY = "OpenSSL"
except ValueError:
    try:
        from Crypto.Hash import keccak

        LIBRARY = "pycryptodome"
    except ImportError:
        try:  # Debian's package of the same library has another name
            from Cryptodome.Hash import keccak  # type: ignore[no-redef]

            LIBRARY = "pycryptodome"
        except ImportError:
            LIBRARY = None

if LIBRARY == "OpenSSL":

    def keccak_256(data: bytes) -> bytes:
        """data: any bytes; returns 32 bytes."""
        state = _EMPTY.copy()
        state.update(data)
        return state.digest()

elif LIBRARY == "pycryptodome":

    def keccak_256(data: bytes) -> bytes:
        """data: any bytes; returns 32 bytes."""
        return keccak.new(digest_bits=256, data=data).digest()

else:
    # Source: "The Keccak reference", version 3.0. The state is 25 numbers of 64 bits, its lane (x, y) at x + 5 * y.
    _RATE = 136  # bytes of data in a block
    _MASK = 2**64 - 1

    # For the lanes in the order in which the step pi leaves them: from where, and how far rho rotates them.
    _FROM = [(x + 3 * y) % 5 + 5 * x for y in range(5) for x in range(5)]
    _ROTATED = [0] * 25
    _x, _y = 1, 0
    for _t in range(24):
        _ROTATED[_x + 5 * _y] = (_t + 1) * (_t + 2) // 2 % 64
        _x, _y = _y, (2 * _x + 3 * _y) % 5
    _RHO_PI = [(lane, _ROTATED[lane], 64 - _ROTATED[lane]) for lane in _FROM]
    _CHI = [(lane, lane // 5 * 5 + (lane + 1) % 5, lane // 5 * 5 + (lane + 2) % 5) for lane in range(25)]

    # The constants of the step iota, from a shift register of 8 bits.
    _IOTA, _register = [], 1
    for _round in range(24):
        _IOTA.append(0)
        for _j in range(7):
            _IOTA[-1] |= (_register & 1) << (2**_j - 1)
            _register = (_register << 1) ^ (_register >> 7) * 0x171

    def keccak_256(data: bytes) -> bytes:
        """data: any bytes; returns 32 bytes."""
        padded = bytearray(data) + bytes(_RATE - len(data) % _RATE)
        padded[len(data)] ^= 0x01
        padded[-1] ^= 0x80
        lanes = [0] * 25
        for block in struct.iter_unpack(f"<{_RATE // 8}Q", padded):
            lanes = [lane ^ word for lane, word in zip(lanes, (*block, *[0] * 8))]
            for constant in _IOTA:
                c = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
                d = [c[x - 1] ^ (c[x - 4] << 1 & _MASK | c[x - 4] >> 63) for x in range(5)]
                lanes = [lane ^ column for lane, column in zip(lanes, d * 5)]
                lanes = [lanes[i] << left & _MASK | lanes[i] >> right for i, left, right in _RHO_PI]
                lanes = [lanes[i] ^ ~lanes[j] & lanes[k] for i, j, k in _CHI]
                lanes[0] ^= constant
        return struct.pack("<4Q", *lanes[:4])
