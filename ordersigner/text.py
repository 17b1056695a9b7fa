"""Text from clients and from files that people write: as bytes, as much of it as others may see, and similar words.

The first functions return None for text that does not stand for exact bytes. The caller refuses it, since only the
caller knows its field. They are not in payloads/, because keys that clients send are such text as well.
"""

from __future__ import annotations

import difflib
import re
from binascii import unhexlify
from typing import Iterable

MAX_IN_ENTRY = 32  # characters of a client's text in an entry: half of a key's, so that no key fits
KEY_DIGITS = 64  # hexadecimal digits of a private key
MAX_SIMILAR = 32  # characters of a word that is compared with others; the time is quadratic in them
HEX = 'a string of 0x and an even number of hexadecimal digits, such as "0x00ff"'  # for people
ELLIPSIS = "…"  # where an entry leaves something out
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
    """A client's text or number as a field of an entry shows it; "" for other values. Each control character becomes a
    question mark, and an ellipsis at the end shows that it was cut.
    """
    if not isinstance(value, (str, int)):
        return ""
    text = str(value)
    if len(text) > MAX_IN_ENTRY:
        text = masked(text[: MAX_IN_ENTRY + KEY_DIGITS])
        if len(text) > MAX_IN_ENTRY:
            text = text[:MAX_IN_ENTRY] + ELLIPSIS
    return text if text.isprintable() else printable(text)


def masked(text: str) -> str:
    """The text up to where it looks like a private key: an ellipsis is in place of the key and of what follows."""
    found = _KEY(text)
    return text if found is None else text[: found.start()] + ELLIPSIS


def entered(value: object) -> tuple[str, str]:
    """A client's text or number, cleaned, as a field of an entry and as a part of its words. There, text is in quotes,
    so that it cannot look like more of the words.
    """
    text = cleaned(value)
    return text, in_quotes(text) if type(value) is str else text


def in_quotes(text: str) -> str:
    """The JSON string for a text that is printable."""
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def printable(text: str) -> str:
    """The text with a question mark for each control character."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def listed(words: Iterable[object], conjunction: str = "or") -> str:
    """The words with commas between them, and an "or" or another conjunction before the last one."""
    *first, last = map(str, words)
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def counted(number: int, thing: str) -> str:
    """Such as "1 key" and "2 keys", for a thing with a regular plural."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def similar(word: str, known: Iterable[str], closeness: float = 0.7) -> str:
    """The one of `known` that someone who wrote `word` probably meant, whatever its case; "" if there is none."""
    if len(word) > MAX_SIMILAR:
        return ""
    lower = {one.lower(): one for one in known}
    closest = difflib.get_close_matches(word.strip().lower(), lower, n=1, cutoff=closeness)
    return lower[closest[0]] if closest else ""


def meant_option(arguments: Iterable[str], known: Iterable[str]) -> str:
    """The option of `known` that the first similar one of some wrong arguments probably is; "" if there is none."""
    options = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    known = list(known)
    return next(filter(None, (similar(option, known) for option in options if option not in known)), "")


# Text that a person wrote. Editors on Windows begin a file with a byte order mark. Windows PowerShell writes UTF-16.

MARK = b"\xef\xbb\xbf"  # of UTF-8
UTF_16 = "it is UTF-16 text: save it as UTF-8"  # the reason for a message


def without_mark(content: bytes) -> bytes:
    """A person's text, or its first line, without the mark that it may begin with."""
    return content[len(MARK) :] if content.startswith(MARK) else content


def is_utf_16(content: bytes) -> bool:
    """Whether a person's text is in UTF-16, by its mark, or by the zeros between its first letters."""
    return content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:2]
