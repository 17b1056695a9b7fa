"""Text from clients, and from files that people write: its bytes, as much of it as others may see, and similar words.

The first functions return None for text that has no certain bytes. The caller refuses it, since only the caller knows
its field. They are no part of payloads/ because the key that a client sends is such text, too.
"""

from __future__ import annotations

import difflib
import re
from binascii import unhexlify
from typing import Iterable, Sequence

MAX_IN_ENTRY = 32  # characters of a client's text in an entry: half of a key's, so that no key fits
KEY_DIGITS = 64  # hexadecimal digits of a private key
MAX_SIMILAR = 32  # characters of a word that is compared with others; the time is quadratic in them
HEX = 'a string of 0x and an even number of hexadecimal digits, such as "0x00ff"'  # for people
# The code and the text of a refusal.
NOT_UTF_8 = ("wrong_encoding", "This text has half of a surrogate pair, which UTF-8 cannot say.")

# It begins only where a row of digits begins. Otherwise the time would be quadratic.
_KEY = re.compile(f"(?<![0-9A-Fa-f])[0-9A-Fa-f]{{{KEY_DIGITS}}}").search


def from_hex(digits: str) -> bytes | None:
    """The bytes that hexadecimal digits stand for, without 0x. None for other text, and for an odd number of digits."""
    try:
        return unhexlify(digits)  # bytes.fromhex() would skip white space
    except ValueError:
        return None


def without_0x(text: str) -> str:
    """`text` without the 0x that it may begin with."""
    return text[2:] if text[:2] == "0x" else text


def utf_8(text: str) -> bytes | None:
    """None for text with half of a surrogate pair. JSON can say such text, as "\\ud83d", and UTF-8 cannot."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def cleaned(value: object) -> str:
    """A client's text or number, cut short, with a question mark for each control character; "" for other values."""
    if not isinstance(value, (str, int)):
        return ""
    text = str(value)[: MAX_IN_ENTRY + KEY_DIGITS]
    if len(text) >= KEY_DIGITS:
        text = masked(text)
    return printable(text[:MAX_IN_ENTRY])


def masked(text: str) -> str:
    """The text up to where it looks like a private key: an ellipsis is in place of the key and of what follows."""
    found = _KEY(text)
    return text if found is None else text[: found.start()] + "…"


def printable(text: str) -> str:
    """The text with a question mark for each control character."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def listed(words: Sequence[object]) -> str:
    """The words with commas between them, and an "or" before the last one."""
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last


def similar(word: str, known: Iterable[str]) -> str:
    """The one of `known` that someone who wrote `word` probably meant, whatever its case; "" if there is none."""
    if len(word) > MAX_SIMILAR:
        return ""
    lower = {one.lower(): one for one in known}
    closest = difflib.get_close_matches(word.strip().lower(), lower, n=1, cutoff=0.7)
    return lower[closest[0]] if closest else ""
