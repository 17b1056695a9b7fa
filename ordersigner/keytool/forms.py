"""The forms in which a private key comes and goes: hex digits, a version 3 keystore, a mnemonic.

In: text, with a passphrase where it needs one. Out: a key, which is 64 lower-case hex digits everywhere in this tool,
or its address. Asks for nothing and reads no file. Raises Problem, which never quotes what was given.

The only module that imports eth-account, whose own errors can quote a key.
"""

from __future__ import annotations

import json
import re
from typing import Any

from eth_account import Account

from ordersigner.keytool.problem import Problem

KEY = re.compile(r"(?:0x)?([0-9A-Fa-f]{64})")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1; keys are below it
WORDS = (12, 15, 18, 21, 24)  # of a mnemonic; source: BIP-39
PATH = re.compile(r"m(?:/[0-9]{1,10}['H]?)+")
FIRST_PATH = "m/44'/60'/0'/0/0"  # of an Ethereum wallet's first account; source: BIP-44, SLIP-44

# What the passphrase of a keystore may cost. A file can ask for any amount; geth's and eth-account's ask for 256 MiB.
MAX_MEMORY = 1024**3  # bytes of scrypt: 128 * n * r
MAX_WORK = 2**25  # blocks that scrypt mixes, n * r * p; iterations of pbkdf2

BROKEN = "this is not a complete keystore, or one of an unknown kind"


def create() -> str:
    """A new key."""
    return _key_of(Account.create())


def address(key: str) -> str:
    """With the checksum of EIP-55."""
    return str(Account.from_key(bytes.fromhex(key)).address)


def checked(digits: str) -> str:
    """The key that 64 hex digits are, if it is in range."""
    if not 0 < int(digits, 16) < ORDER:
        raise Problem("the number is not a private key of secp256k1")
    return digits.lower()


def keystore(key: str, passphrase: str) -> bytes:
    """A version 3 keystore, at the cost that geth calls standard."""
    content = Account.encrypt(bytes.fromhex(key), passphrase, kdf="scrypt", iterations=2**18)
    return json.dumps(content).encode() + b"\n"


class Keystore:
    """A version 3 keystore that some program wrote. It is complete, and does not take too much to open."""

    def __init__(self, text: str) -> None:
        try:
            self._content = json.loads(text, object_pairs_hook=_lowered)
            if not isinstance(self._content, dict) or self._content["version"] != 3:
                raise Problem("this is not a keystore of version 3")
            _check_cost(self._content["crypto"]["kdf"], self._content["crypto"]["kdfparams"])
            self._promised = self._content.get("address", "").lower()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Problem(BROKEN) from None

    def open(self, passphrase: str) -> str:
        """The key."""
        try:
            key = bytes(Account.decrypt(self._content, passphrase))
        except Exception as error:  # noqa: BLE001 - it raises many kinds, and their texts could quote what was decrypted
            if "MAC mismatch" in str(error):
                raise Problem("this is not the passphrase of the keystore") from None
            raise Problem(BROKEN) from None
        if not 0 < len(key) <= 32:
            raise Problem("the keystore does not hold a private key")
        digits = checked(key.rjust(32, b"\0").hex())  # old programs left out leading zeros
        if self._promised and self._promised.rpartition("0x")[2] != address(digits).lower()[2:]:
            raise Problem("the keystore holds the key of another address than it says")
        return digits


def from_mnemonic(words: str, passphrase: str, path: str) -> str:
    """The key at a derivation path, which derivation_path() has checked."""
    Account.enable_unaudited_hdwallet_features()
    try:
        account = Account.from_mnemonic(words, passphrase, path)
    except Exception:  # noqa: BLE001 - its text quotes the mnemonic
        raise Problem("these words are not a mnemonic: a word is wrong, or their order") from None
    return _key_of(account)


def derivation_path(text: str) -> str:
    """A path of BIP-32, with ' for a hardened step."""
    if not PATH.fullmatch(text) or any(int(number) >= 2**31 for number in re.findall("[0-9]+", text)):
        raise Problem(f"expected a path such as {FIRST_PATH}")
    return text.replace("H", "'")


def _key_of(account: Any) -> str:
    """The key of an account of eth-account."""
    return bytes(account.key).hex()


def _lowered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with its keys in lower case, as old programs do not write them."""
    return {key.lower(): value for key, value in pairs}


def _check_cost(kdf: str, values: dict[str, Any]) -> None:
    """Raises Problem for a keystore that takes too much to open, KeyError or TypeError for an incomplete one."""
    numbers = [values[key] for key in (("n", "r", "p") if kdf == "scrypt" else ("c",))]
    if any(type(number) is not int or number < 1 for number in numbers):
        raise TypeError
    if kdf == "scrypt":
        n, r, p = numbers
        too_much = 128 * n * r > MAX_MEMORY or n * r * p > MAX_WORK
    else:
        too_much = numbers[0] > MAX_WORK
    if too_much or not 32 <= values["dklen"] <= 64:
        raise Problem("the passphrase of this keystore takes too much memory or time to check")
