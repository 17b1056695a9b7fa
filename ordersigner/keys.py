"""The only module that touches secrets: turns a digest into a signature.

In: a private key in hex, once; then digests. Out: signatures, and the signer's address. Raises Refusal for text that is
not a private key. The key never shows in a repr, an error or a log, and is freed with its Signer.
"""

from __future__ import annotations

import coincurve

from ordersigner.keccak import keccak_256
from ordersigner.refusal import Refusal

_RECOVERY = ("1b", "1c")  # v: 27 or 28 for the parity of the point R's y; source: the published signatures


class Signer:
    """A private key, to sign with.

    text: 64 hexadecimal digits with or without 0x, in 1..n-1, the order of secp256k1.
    """

    __slots__ = ("_address", "_key")

    def __init__(self, text: str) -> None:
        digits = text[2:] if text[:2] == "0x" else text
        try:
            if len(digits) != 64:  # checked first: text may be very long
                raise ValueError
            secret = bytes.fromhex(digits)
            if len(secret) != 32:  # fromhex skips white space
                raise ValueError
            self._key = coincurve.PrivateKey(secret)
        except ValueError:
            raise Refusal.of("signer", "not_key", "This value is not a private key in hex.") from None
        self._address = ""

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    @property
    def address(self) -> str:
        """0x and 40 lower-case hexadecimal digits: the last 20 bytes of the public key's keccak-256."""
        if not self._address:
            public_key = self._key.public_key.format(compressed=False)[1:]
            self._address = "0x" + keccak_256(public_key)[12:].hex()
        return self._address

    def sign(self, digest: bytes) -> str:
        """digest: 32 bytes, not hashed again. Returns 0x, r (32 bytes), s (32 bytes, low), v (27 or 28) in hex.

        The nonce is that of RFC 6979, so the same digest always gets the same signature.
        """
        signature = self._key.sign_recoverable(digest, hasher=None)
        return "0x" + signature[:64].hex() + _RECOVERY[signature[64]]
