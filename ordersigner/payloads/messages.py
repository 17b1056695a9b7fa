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
from ordersigner.text import HEX, NOT_UTF_8, cleaned, counted, from_hex, in_quotes, utf_8

KEYS = ("text", "hex")

_HASH_IN_HEX = re.compile(rb"(0[xX])?[0-9A-Fa-f]{64}").fullmatch
# Characters that people do not see as they are. They are listed here because each Python has the tables of another
# version of Unicode, and none has the property Default_Ignorable_Code_Point. Source: Unicode 15.1.
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029"  # categories Cc, Zl and Zp, without tab and newline
_IGNORABLE = (  # not shown, or they change the direction of the text
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_OTHER_FORMATS = (  # the rest of category Cf
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
)
NOT_PLAIN = re.compile(f"[{_CONTROLS}{_IGNORABLE}{_OTHER_FORMATS}]").search


class Message(NamedTuple):
    """A message. text: its text, even if it came in hex; None if it is not UTF-8. key: of KEYS, where it came."""

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
        text = cleaned(f"0x{self.content.hex()}" if self.text is None else self.text)
        words = text if self.text is None else in_quotes(text)
        return f"a message of {counted(len(self.content), 'byte')}, {words},", (f"ORDERSIGNER_TEXT={text}",)

    @property
    def is_hash(self) -> bool:
        """Whether it is 32 bytes, or 64 hexadecimal digits.

        Such a message may be an order or a transaction: CoW, 0x, Safe and Paradex take signatures over one that is the
        digest of theirs.
        """
        return len(self.content) == 32 or _HASH_IN_HEX(self.content) is not None

    @property
    def is_plain(self) -> bool:
        """Whether it is text that people see as it is."""
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
