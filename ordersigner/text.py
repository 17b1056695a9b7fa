"""What the journal takes of a client's text.

On the ground floor, because each kind of payload uses it to say what it is.
"""

from __future__ import annotations

MAX_IN_ENTRY = 32  # characters of a client's text in an entry: half of a key's, so that no key fits


def cleaned(value: object) -> str:
    """A client's text or number, cut short, with a question mark for each control character; "" for other values."""
    if not isinstance(value, (str, int)):
        return ""
    text = str(value)[:MAX_IN_ENTRY]
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
