"""Messages, EIP-191: turns a text, or bytes in hex, into a 32-byte digest.

In: the decoded JSON object of a request. Out: Message, with the digest and what a policy asks about it. Raises Refusal.
Pure: no sockets, no JSON, no keys. Source: EIP-191, version 0x45.

Whether a string is text or hex is never guessed, because others guess differently: each has its own key.
"""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple

from ordersigner.keccak import keccak_256
from ordersigner.payloads.payload import Form
from ordersigner.refusal import MISSING, Refusal, mistyped
from ordersigner.text import HEX, NOT_UTF_8, cleaned, from_hex, utf_8

KEYS = ("text", "hex")

_HASH_IN_HEX = re.compile(rb"(0[xX])?[0-9A-Fa-f]{64}").fullmatch
# Control characters except tab and newline, separators of lines and paragraphs, and what turns the direction of a text.
NOT_PLAIN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]").search


class Message(NamedTuple):
    """A message. text: its text, also if it came in hex; None if it is not UTF-8. key: of KEYS, how it came."""

    digest: bytes
    content: bytes
    text: str | None
    key: str

    def __repr__(self) -> str:
        return f"Message({len(self.content)} bytes)"

    @property
    def type(self) -> str:
        return "message"

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about it, in words and in fields."""
        content = cleaned(f"0x{self.content.hex()}" if self.text is None else self.text)
        return f"a message of {len(self.content)} bytes, {content},", (f"ORDERSIGNER_TEXT={content}",)

    @property
    def is_hash(self) -> bool:
        """Whether it is 32 bytes, or 64 hexadecimal digits.

        Such a message may be an order or a transaction: CoW, 0x, Safe and Paradex take signatures over one that is the
        digest of theirs.
        """
        return len(self.content) == 32 or _HASH_IN_HEX(self.content) is not None

    @property
    def is_plain(self) -> bool:
        """Whether it is text that people see as it is: no control characters but tab and newline, no overrides of the
        direction.
        """
        return self.text is not None and NOT_PLAIN(self.text) is None


def read(request: Mapping[str, object]) -> Message:
    """request: has exactly one of KEYS. `text` may be any valid Unicode; `hex` is 0x and an even number of digits."""
    text, digits = (request.get(key, MISSING) for key in KEYS)
    if digits is not MISSING:
        if text is not MISSING:
            raise Refusal.of("hex", "unexpected", "A message has either text or hex, not both.")
        content = _read_hex(digits)
        return Message(_digest(content), content, _decoded(content), "hex")
    if type(text) is not str:
        raise mistyped(text, "text", str, wanted="a string; bytes go into hex in place of text")
    encoded = utf_8(text)
    if encoded is None:
        raise Refusal.of("text", *NOT_UTF_8)
    return Message(_digest(encoded), encoded, text, "text")


FORM = Form(read, members={}, optional=KEYS)


def _digest(content: bytes) -> bytes:
    return keccak_256(b"\x19Ethereum Signed Message:\n%d%b" % (len(content), content))


def _read_hex(digits: object) -> bytes:
    if type(digits) is not str:
        raise mistyped(digits, "hex", str, wanted=HEX)
    content = from_hex(digits[2:]) if digits[:2] == "0x" else None
    if content is None:
        raise Refusal.of("hex", "not_hex", f"This must be {HEX}. A text goes into text in place of hex.")
    return content


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
