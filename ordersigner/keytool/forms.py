"""The calls to eth-account: to make keys, and to write and read the forms in which they are kept.

In: values that the callers have checked. Out: a key, which is 64 lower-case hex digits everywhere in this tool, or its
address. Asks for nothing and reads no file of the user's. Raises Problem, which never quotes what was given.

The only module that imports eth-account, whose own errors can quote a key.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ordersigner.keytool.problem import Problem

INTERRUPTED = 130  # the exit status that shells give to a command that Ctrl-C ended

try:
    from eth_account import Account
    from eth_account.hdaccount import key_from_seed
    from eth_account.hdaccount.mnemonic import Mnemonic, get_wordlist
except KeyboardInterrupt:  # the import takes a second
    raise SystemExit(INTERRUPTED) from None

KEY = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{64})")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1; keys are below it
PATH = re.compile(r"m(?:/[0-9]{1,10}['H]?)+")
FIRST_PATH = "m/44'/60'/0'/0/0"  # of an Ethereum wallet's first account; source: BIP-44, SLIP-44


def create() -> str:
    """A new key."""
    return bytes(Account.create().key).hex()


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
    # Some versions of eth-account leave out leading zeros here, and geth and ethers do not open such a file.
    parameters = content["crypto"]["cipherparams"]
    parameters["iv"] = parameters["iv"].zfill(32)
    return json.dumps(content).encode() + b"\n"


def decrypted(keystore: dict[str, Any], passphrase: str) -> bytes | None:
    """The content of a version 3 keystore; None if the passphrase does not fit.

    keystore: as keystore.py has checked it. eth-account looks at neither the cipher nor the size of the iv.
    """
    try:
        return bytes(Account.decrypt(keystore, passphrase))
    except Exception as error:  # noqa: BLE001 - it raises many kinds, and their texts could quote what was decrypted
        if "MAC mismatch" in str(error):
            return None
        raise Problem(f"eth-account cannot open this keystore: {type(error).__name__}") from None


def word_lists() -> dict[str, list[str]]:
    """The 2,048 words of a mnemonic in each language that eth-account knows, in their order and in Unicode's NFKD."""
    return {language: get_wordlist(language) for language in Mnemonic.list_languages()}


def from_mnemonic(words: str, passphrase: str, path: str) -> str:
    """The key at a derivation path, which derivation_path() has checked.

    words: as mnemonic.py has checked them. Account.from_mnemonic() would guess the language, and so refuse words that
    are in both lists of Chinese; the language makes no difference to the key.
    """
    return bytes(key_from_seed(Mnemonic.to_seed(words, passphrase), path)).hex()


def derivation_path(text: str) -> str:
    """A path of BIP-32, with ' for a hardened step."""
    if not PATH.fullmatch(text) or any(int(number) >= 2**31 for number in re.findall("[0-9]+", text)):
        raise Problem(f"expected a path such as {FIRST_PATH}")
    return text.replace("H", "'")
