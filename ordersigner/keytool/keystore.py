"""A version 3 keystore that some program wrote.

In: its text, then a passphrase. Out: the key in it. Raises Problem, which names the field that is wrong. It quotes
nothing but the names of ciphers and the like.

Every field that decides what the file means is checked before anything is decrypted. The MAC covers the ciphertext
alone, and eth-account reads any cipher as aes-128-ctr: with another cipher it finds another key, and does not notice.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from ordersigner.keytool import forms
from ordersigner.keytool.problem import Problem
from ordersigner.text import counted, listed

KEY_SIZE = 32  # bytes of a private key

# What the passphrase of a keystore may cost. A file can ask for any amount; geth's and eth-account's ask for 256 MiB.
MAX_MEMORY = 1024**3  # bytes of scrypt: 128 * n * r
MAX_WORK = 2**25  # blocks that scrypt mixes, n * r * p; iterations of pbkdf2
_TOO_MUCH = "the passphrase of this keystore takes too much memory or time to check: see its crypto.kdfparams"

_NAMES_OF_KEYS = {"privatekey", "private_key", "secretkey", "secret_key", "secret", "key", "mnemonic", "phrase", "seed"}


class Keystore:
    """A version 3 keystore. It is complete, and does not take too much to open."""

    def __init__(self, text: str) -> None:
        fields = _Fields(_document(text))
        _check_version(fields)
        kdf = fields.word("crypto.kdf", "scrypt", "pbkdf2")
        self._promised = fields.address()
        self._content: dict[str, Any] = {
            "version": 3,
            "crypto": {
                "cipher": fields.word("crypto.cipher", "aes-128-ctr"),
                "cipherparams": {"iv": fields.iv(address_known=bool(self._promised))},
                "ciphertext": fields.ciphertext(),
                "kdf": kdf,
                "kdfparams": fields.scrypt() if kdf == "scrypt" else fields.pbkdf2(),
                "mac": fields.hex("crypto.mac", 32, 32),
            },
        }

    def open(self, passphrase: str) -> str:
        """The key. The passphrase may be in another form of Unicode than the one that the keystore was made with."""
        # geth takes it as it is typed, ethers in NFKC. A file, or another keyboard, may have it in a third form.
        forms_of_it = [passphrase, *(unicodedata.normalize(form, passphrase) for form in ("NFKC", "NFC"))]
        for form in dict.fromkeys(forms_of_it):
            key = forms.decrypted(self._content, form)
            if key is not None:
                break
        else:
            raise Problem("the passphrase does not open this keystore: it is another one, or the file was changed")
        digits = forms.checked(key.rjust(KEY_SIZE, b"\0").hex())  # old programs left out leading zeros
        if self._promised and self._promised != forms.address(digits).lower()[2:]:
            raise Problem("the keystore holds the key of another address than it says")
        return digits


def _document(text: str) -> dict[str, Any]:
    """A JSON object, with all its names in lower case, as ethers and geth read them in any case."""
    try:
        document = json.loads(text, object_pairs_hook=_lowered)
    except json.JSONDecodeError as error:
        if error.pos == len(text):
            raise Problem("this JSON ends too early: give all of it; at a terminal, in one line") from None
        place = f"line {error.lineno}, column {error.colno}"
        raise Problem(f"this begins like JSON, and is not: see {place}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise Problem("this JSON is too deep, or has too long a number") from None
    if isinstance(document, list):
        raise Problem(_of_list(document))
    if "crypto" not in document:
        raise Problem(_without_crypto(document))
    return dict(document)


def _lowered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = {name.lower(): value for name, value in pairs}
    if len(document) != len(pairs):  # programs differ in which one they read
        raise Problem("this JSON has two fields of the same name in one object: remove the one that is wrong")
    return document


def _of_list(values: list[Any]) -> str:
    """Why a list is not a keystore."""
    if any(isinstance(value, dict) and "crypto" in value for value in values):
        return "this is a list of keystores, as web3.js writes them: put the one to import into a file of its own"
    if values and all(type(value) is int for value in values):
        return (
            f"this is a list of {len(values)} numbers, as Solana's tools keep their keys: "
            "a private key of Ethereum is given as 64 hex digits"
        )
    return "this is a list in JSON: give one key, keystore or mnemonic, without brackets, quotes and commas"


def _without_crypto(document: dict[str, Any]) -> str:
    """Why an object without `crypto` is not a keystore."""
    if "encseed" in document:
        return "this is a wallet of the presale of 2014: `geth wallet import` turns it into a keystore"
    if {"data", "iv", "salt"} <= document.keys():
        return "this is a vault, as MetaMask keeps it: export the account's private key in MetaMask, and import that"
    if "kty" in document:
        return "this is a JSON Web Key: give the private key as 64 hex digits"
    if any(isinstance(value, dict) and "crypto" in value for value in document.values()):
        return "this is a JSON object with keystores in it: put the one to import into a file of its own"
    if _NAMES_OF_KEYS & document.keys():
        return "this is JSON, and no keystore: give the private key or the mnemonic in it alone, without quotes"
    return "this is JSON, and no keystore: a keystore has the fields version and crypto"


def _check_version(fields: _Fields) -> None:
    version = fields.value("version")
    if version in (1, "1") and version is not True:
        raise Problem("this is a keystore of version 1: `geth account update` turns it into one of version 3")
    if version in (4, "4"):
        raise Problem(
            "this is a keystore of version 4, which holds the key of a validator: such a key cannot sign here"
        )
    try:
        fields.number("version", 3, 3)
    except Problem:
        raise Problem("this is not a keystore of version 3: import takes no other version") from None


class _Fields:
    """The fields of a keystore by their paths. A method raises Problem for one that is missing or wrong."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def value(self, path: str) -> Any:
        """Never None."""
        value: Any = self._document
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            raise Problem(f"this keystore is not complete: it has no {path}")
        return value

    def word(self, path: str, *known: str) -> str:
        """In lower case."""
        value = self.value(path)
        if isinstance(value, str) and value.lower() in known:
            return value.lower()
        named = value if isinstance(value, str) and re.fullmatch("[A-Za-z0-9-]{1,32}", value) else "something else"
        raise Problem(f"this keystore cannot be opened: its {path} is {named}, and must be {listed(known)}")

    def hex(self, path: str, least: int, most: int | None) -> str:
        """The digits, without 0x. least, most: bytes."""
        value = self.value(path)
        match = re.fullmatch("(?:0[xX])?((?:[0-9A-Fa-f]{2})*)", value) if isinstance(value, str) else None
        if match is None or len(match[1]) < 2 * least or (most is not None and len(match[1]) > 2 * most):
            size = "" if most is None else f" for {most} bytes"
            raise Problem(f"this keystore cannot be opened: its {path} must be hex digits{size}")
        return match[1]

    def number(self, path: str, least: int, most: int) -> int:
        """A whole number, or its digits in quotes, as some programs write it."""
        value = self.value(path)
        if isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise Problem(f"this keystore cannot be opened: its {path} must be a whole number")
        if not least <= value <= most:
            bounds = str(least) if least == most else f"{least:,} to {most:,}"
            raise Problem(f"this keystore cannot be opened: its {path} must be {bounds}")
        return int(value)

    def address(self) -> str:
        """The address that the keystore says it has, as 40 hex digits in lower case; "" if it says none."""
        value = self._document.get("address")
        if value is None or value == "":  # ethers takes both
            return ""
        return self.hex("address", 20, 20).lower()

    def iv(self, *, address_known: bool) -> str:
        """Some versions of eth-account left out leading zeros. Nothing but the address tells that from a damaged iv."""
        return self.hex("crypto.cipherparams.iv", 1 if address_known else 16, 16).zfill(32)

    def ciphertext(self) -> str:
        digits = self.hex("crypto.ciphertext", 1, None)
        if len(digits) > 2 * KEY_SIZE:
            raise Problem(
                f"this keystore holds {counted(len(digits) // 2, 'byte')}, and a private key has {KEY_SIZE}. "
                "If it is a mnemonic, open it with the program that wrote it, and import the mnemonic itself"
            )
        return digits

    def scrypt(self) -> dict[str, Any]:
        n, r, p = (self.number(f"crypto.kdfparams.{name}", 1, 2**63) for name in "nrp")
        if n < 2 or n & (n - 1):
            raise Problem("this keystore cannot be opened: its crypto.kdfparams.n must be a power of 2")
        if 128 * n * r > MAX_MEMORY or n * r * p > MAX_WORK:
            raise Problem(f"{_TOO_MUCH} n, r and p")
        return {**self._salt_and_size(), "n": n, "r": r, "p": p}

    def pbkdf2(self) -> dict[str, Any]:
        prf = self.word("crypto.kdfparams.prf", "hmac-sha256", "hmac-sha512")  # ethers takes both
        c = self.number("crypto.kdfparams.c", 1, 2**63)
        if c > MAX_WORK:
            raise Problem(f"{_TOO_MUCH} c")
        return {**self._salt_and_size(), "prf": prf, "c": c}

    def _salt_and_size(self) -> dict[str, Any]:
        # geth takes more than 32 bytes too. Only the first 32 are used, and they are the same for any size.
        self.number("crypto.kdfparams.dklen", 32, 64)
        return {"dklen": 32, "salt": self.hex("crypto.kdfparams.salt", 0, None)}
