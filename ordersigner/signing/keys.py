"""Turns a digest into a signature. In the daemon, no other module decodes a key.

In: a private key, once, as hex that a client sent (Signer) or in a file (HeldKey); then digests. Out: signatures, and
the key's address. For what is not a private key a Signer raises Refusal, a HeldKey ValueError. The key never shows in a
repr, an error or a log. A Signer frees it, a HeldKey overwrites it.
"""

from __future__ import annotations

import mmap
import os

import coincurve
from coincurve._libsecp256k1 import ffi, lib  # no public function of coincurve takes a key that is not bytes

from ordersigner.keccak import keccak_256
from ordersigner.refusal import Refusal
from ordersigner.text import MARK, UTF_16, from_hex, without_0x

_RECOVERY = ("1b", "1c")  # v: 27 or 28 for the parity of the point R's y; source: the published signatures
_CONTEXT = coincurve.GLOBAL_CONTEXT.ctx
_MADV_WIPEONFORK = 18  # source: asm-generic/mman-common.h; Python has no name for it
_MAX_BLANKS = 64  # after the key in a file
_NIBBLES = {ord(digit): int(digit, 16) for digit in "0123456789abcdefABCDEF"}
# The types of what libsecp256k1 fills: cffi takes longer to find them by name.
_SIGNATURE, _COMPACT, _RECOVERY_ID = map(
    ffi.typeof, ("secp256k1_ecdsa_recoverable_signature *", "unsigned char[64]", "int *")
)


class Signer:
    """A private key, to sign with.

    text: 64 hexadecimal digits with or without 0x, in 1..n-1, the order of secp256k1.
    """

    __slots__ = ("_address", "_secret")

    def __init__(self, text: str) -> None:
        digits = without_0x(text)
        secret = from_hex(digits) if len(digits) == 64 else None  # text may be very long
        if secret is None:
            raise _not_key()
        if not lib.secp256k1_ec_seckey_verify(_CONTEXT, secret):
            message = "This number is not a private key of secp256k1: it is zero, or not below the order of the curve."
            raise Refusal.of("signer", "not_key", message)
        self._secret = ffi.new("unsigned char[32]", secret)  # not bytes, which show themselves and can be pickled
        self._address = ""

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    @property
    def address(self) -> str:
        """0x and 40 lower-case hexadecimal digits: the last 20 bytes of the public key's keccak-256."""
        if not self._address:  # most clients' keys need none, and it takes as long as a signature
            self._address = _address_of(self._secret)
        return self._address

    def sign(self, digest: bytes) -> str:
        """digest: 32 bytes, not hashed again. Returns 0x, r (32 bytes), s (32 bytes, low), v (27 or 28) in hex.

        The nonce is that of RFC 6979, so the same digest always gets the same signature.
        """
        return _signature(self._secret, digest)


class HeldKey:
    """A private key that the daemon holds, to sign with.

    The only copy is in a page of its own, which the kernel leaves out of core dumps and out of child processes. It is
    read there, decoded there, and used there by libsecp256k1.
    """

    __slots__ = ("_page", "_secret", "_wiped", "address")

    def __init__(self, descriptor: int) -> None:
        """descriptor: of a file with 64 hexadecimal digits.

        Before them may be a byte order mark, then 0x or 0X; after them up to 64 blanks and ends of lines.
        """
        self._wiped = False
        self._page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            self._page.madvise(mmap.MADV_DONTDUMP)
            self._page.madvise(_MADV_WIPEONFORK)
            _decode_hex(self._page, os.readv(descriptor, [self._page]))
            self._secret = ffi.from_buffer("unsigned char[]", self._page)
            self.address = _address_of(self._secret)  # 0x and 40 lower-case hexadecimal digits
        except BaseException:
            self.wipe()
            raise

    def __repr__(self) -> str:
        return f"HeldKey({self.address})"

    def sign(self, digest: bytes) -> str:
        """As Signer.sign()."""
        signature = _signature(self._secret, digest)
        # The library reads the key twice, without the interpreter's lock. If it was wiped between, the nonce was made
        # from zeros, so anyone could work out the key from this signature.
        if self._wiped:
            raise ValueError("the key was wiped")
        return signature

    def wipe(self) -> None:
        """Overwrite the key. It cannot sign any more."""
        self._wiped = True  # first, for a thread that is signing
        self._page[:] = bytes(len(self._page))


def address_in(signer: str) -> str | None:
    """The address that a request names in place of a key, in lower case and with 0x; None where it may be a key.

    Raises Refusal for text that has the length of an address but is not one.
    """
    if len(signer) not in (40, 42):
        return None
    digits = without_0x(signer)
    if len(digits) != 40 or from_hex(digits) is None:
        raise _not_key()
    return "0x" + digits.lower()


def _not_key() -> Refusal:
    message = (
        "This is neither an address nor a private key. An address has 40 hexadecimal digits, a private key 64, with or"
        " without 0x. There must be no blanks and no line breaks around it."
    )
    return Refusal.of("signer", "not_key", message)


def _decode_hex(page: mmap.mmap, size: int) -> None:
    """Turn the text in the first `size` bytes of `page` into 32 bytes at its start; raises ValueError.

    Byte by byte, since each slice of the page would be a copy. A single byte is a number below 256, and Python has one
    object for each of these, so they leave nothing behind.
    """
    if {page[0], page[1]} == {0xFE, 0xFF}:
        raise ValueError(UTF_16)
    start = len(MARK) if all(page[index] == byte for index, byte in enumerate(MARK)) else 0
    if page[start] == ord("0") and page[start + 1] in b"xX":
        start += 2
    end = size
    while end > max(start, size - _MAX_BLANKS) and page[end - 1] in b" \t\r\n":
        end -= 1
    try:
        if end != start + 64:
            raise KeyError
        for index in range(32):
            high, low = start + 2 * index, start + 2 * index + 1
            page[index] = _NIBBLES[page[high]] << 4 | _NIBBLES[page[low]]
    except KeyError:
        raise ValueError("it does not hold a private key of 64 hexadecimal digits") from None
    for index in range(32, size + 1):
        page[index] = 0


def _signature(secret: object, digest: bytes) -> str:
    """As Signer.sign(). secret: a pointer to 32 bytes. Raises ValueError if they are zeros, as a wiped key's are."""
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    signature, compact, recovery_id = ffi.new(_SIGNATURE), ffi.new(_COMPACT), ffi.new(_RECOVERY_ID)
    if not lib.secp256k1_ecdsa_sign_recoverable(_CONTEXT, signature, digest, secret, ffi.NULL, ffi.NULL):
        raise ValueError("the key was wiped")
    lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(_CONTEXT, compact, recovery_id, signature)
    r_and_s: bytes = ffi.buffer(compact)[:]
    return "0x" + r_and_s.hex() + _RECOVERY[recovery_id[0]]


def _address_of(secret: object) -> str:
    """secret: a pointer to 32 bytes. Raises ValueError if they are not a private key."""
    point = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_create(_CONTEXT, point, secret):
        raise ValueError("the number in it is not a private key: it must be in 1..n-1")
    return "0x" + keccak_256(coincurve.PublicKey(point).format(compressed=False)[1:])[12:].hex()
