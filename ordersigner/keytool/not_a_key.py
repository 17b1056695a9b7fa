"""What people give in place of a key: addresses, keys of other programs, lines of settings.

In: a text that is no key in hex digits. Out: a reason with what it is and what to do, which never quotes the text.
"""

from __future__ import annotations

import re

_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_X = "(?:0[xX])?"
_KEY = f"{_X}[0-9A-Fa-f]{{64}}"
_ALONE = re.compile(rf"(?<![0-9A-Za-z]){_KEY}(?![0-9A-Za-z])")  # a key in a longer text

# Patterns for the whole text, and what such a text is. The first that matches counts.
_PUBLIC = [
    ("", "the input is empty: expected 64 hex digits, a version 3 keystore or a mnemonic"),
    (rf"{_X}[0-9A-Fa-f]{{40}}", "this is an address, which has 40 hex digits; its private key has 64"),
    (
        rf"{_X}0[23][0-9A-Fa-f]{{64}}|{_X}04[0-9A-Fa-f]{{128}}|-----BEGIN [A-Z ]*PUBLIC KEY-----[\s\S]*",
        "this is a public key; the private key has 64 hex digits",
    ),
    (rf"[xyztuv]pub{_BASE58}{{50,}}", "this is an extended public key: no private key follows from it"),
]
_SECRET = [
    (
        rf"{_X}[0-9A-Fa-f]{{128}}",
        "these are 64 bytes in hex, as a public key has, or the seed of a mnemonic; a private key has 64 hex digits",
    ),
    (
        rf"[5KL]{_BASE58}{{50,51}}|[9c]{_BASE58}{{50,51}}|6P{_BASE58}{{56}}",
        "this is a private key as Bitcoin's wallets write it (WIF): give it as 64 hex digits",
    ),
    (
        rf"[xyztuv]prv{_BASE58}{{50,}}",
        "this is an extended private key, for many accounts: export the private key of one account",
    ),
    (r"[0-9A-Za-z+/]{43}=", "this is base64 of 32 bytes: turn it into hex digits with base64 -d | xxd -p -c 32"),
    (r"[0-9]{65,78}", "this is a number in decimal digits: give the key as 64 hex digits"),
    (r"-----BEGIN [\s\S]*", "this is a PEM file: give the private key in it as 64 hex digits"),
    (
        rf"(?:export\s+)?[A-Za-z_]\w*\s*[=:]\s*[\"'`]?{_KEY}[\"'`]?;?",
        "this is a setting, NAME=VALUE: give the digits of the key alone, without the name and without quotes",
    ),
]


def reason(text: str) -> str | None:
    """Why a text is no key; None if it matches nothing here."""
    for pattern, known in _PUBLIC + _SECRET:
        if re.fullmatch(pattern, text):
            return known
    if re.search("ciphertext", text, re.IGNORECASE):
        return "there is a keystore in it with something around: give its JSON alone, from the first { to the last }"
    found = _ALONE.findall(text)
    if len(found) > 1:
        return f"these are {len(found)} keys: give one"
    if found:
        return (
            "there is a key in it with something around: "
            "give its digits alone, without quotes, names, comments or characters that are not shown"
        )
    if re.fullmatch(_KEY, re.sub(r"[\s:]+", "", text)) and re.search("[0-9]", text):
        return "there are blanks, line ends or colons between the digits of the key: take them out"
    if re.match(r"(?:export\s+)?[A-Za-z_]\w*\s*=\s*[^\s=]", text):
        return "this is a setting, NAME=VALUE: give the value alone, without the name and without quotes"
    digits = re.fullmatch(rf"{_X}([0-9A-Fa-f]+)", text)
    if digits:
        return f"a private key has 64 hex digits, and this has {len(digits[1])}"
    digits = re.fullmatch(rf"{_X}(\w{{64}})", text)
    if digits:
        other = re.search("[^0-9A-Fa-f]", digits[1])
        return f"character {other.start() + 1} of this key is none of the hex digits 0-9 and a-f" if other else None
    return None


def may_be_secret(text: str) -> bool:
    """Whether an argument may be a key or a mnemonic, which a message must not repeat."""
    text = text.strip()
    return (
        any(re.fullmatch(pattern, text) for pattern, _ in _SECRET)
        or re.fullmatch(rf"{_X}[0-9A-Fa-f]{{56,}}", text) is not None
        or ("/" not in text and len(text.split()) >= 12)
    )
