"""Inputs that people give to `import`: those of public bug reports (tests/vectors/given), and others like them.

Whatever is imported is the key that other programs find in it; anything else is refused with a reason that says what it
is and does not repeat it. The tests call the tool directly: the import of eth-account takes a second.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES
from eth_account import Account
from eth_account.hdaccount.mnemonic import Mnemonic
from support.daemon import VECTORS, vectors

from ordersigner.keccak import keccak_256
from ordersigner.keytool import asking, forms, keystore
from ordersigner.keytool import main as keytool
from ordersigner.keytool import mnemonic as mnemonics
from ordersigner.keytool.keystore import Keystore
from ordersigner.keytool.problem import Problem

GIVEN = VECTORS / "given"
KEY = "0123456789abcdef" * 4
ADDRESS = "0xFCAd0B19bB29D4674531d6f115237E16AfCE377c"
ABANDON = "abandon " * 11 + "about"
ABANDON_ADDRESS = "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"  # as ethers has it
LANGUAGES = "Chinese simplified, Chinese traditional, Czech, English, French, Italian, Japanese, Korean and Spanish"


def imported(content: bytes, passphrase: str = "pw") -> str:
    """The address of the key that `import` takes from a file; raises Problem."""
    reading, writing = os.pipe()
    os.write(writing, passphrase.encode())
    os.close(writing)
    file = os.memfd_create("given")
    os.write(file, content)
    try:
        text = asking.read_secret(f"/proc/self/fd/{file}")
        path = [] if text.strip()[:1] in ("{", "[") or forms.KEY.fullmatch(text.strip()) else [forms.FIRST_PATH]
        options = ["--passphrase-fd", str(reading), *(f"--derivation-path={path}" for path in path)]
        return forms.address(keytool.read_key(text, keytool.parser().parse_args(["import", "bids", *options])))
    finally:
        os.close(file)
        os.close(reading)


def refusal(content: str | bytes, passphrase: str = "pw") -> str:
    with pytest.raises(Problem) as refused:
        imported(content if isinstance(content, bytes) else content.encode(), passphrase)
    return str(refused.value)


# The inputs of public bug reports


@pytest.mark.parametrize(
    ("name", "passphrase", "address"),
    [
        ("key-0X.txt", "", ADDRESS),
        ("key-bom.txt", "", ADDRESS),
        ("keys-dir-crlf.txt", "", "0x5CbDd86a2FA8Dc4bDdd8a8f69dBa48572EeC07FB"),
        ("keystore-address-null.json", "pw", ADDRESS),
        ("keystore-nfkc-passphrase.json", "\uff41\uff42", ADDRESS),
        ("keystore-utf8-bom.json", "pw", ADDRESS),
        ("keystore-utf8-bom.json", "\ufeffpw\r\n", ADDRESS),  # a passphrase from a file with a mark
        ("keystore-version-as-string.json", "pw", ADDRESS),
        ("mnemonic-bom.txt", "", ABANDON_ADDRESS),
        ("mnemonic-upper-case.txt", "", ABANDON_ADDRESS),
    ],
)
def test_what_other_programs_open_is_imported(name: str, passphrase: str, address: str) -> None:
    assert imported((GIVEN / name).read_bytes(), passphrase) == address


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keystore-aes-128-cbc-no-address.json", "its crypto.cipher is aes-128-cbc, and must be aes-128-ctr"),
        ("keystore-aes-128-cbc.json", "its crypto.cipher is aes-128-cbc, and must be aes-128-ctr"),
        ("keystore-dklen-16.json", "its crypto.kdfparams.dklen must be 32 to 64"),
        ("keystore-web3js-list.json", "this is a list of keystores"),
        (
            "keystore-holding-a-mnemonic.json",
            "this keystore holds 93 bytes, and a private key has 32. If it is a mnemonic",
        ),
        ("mnemonic-portuguese.txt", f"no list that eth-account has contains most of these words: {LANGUAGES}."),
        ("mnemonic-numbered.txt", "leave out numbers"),
    ],
)
def test_what_holds_no_key_that_can_be_taken_is_refused_with_its_cause(name: str, reason: str) -> None:
    assert reason in refusal((GIVEN / name).read_bytes())


# Keystores


def made(
    passphrase: str = "pw",
    *,
    kdf: str = "pbkdf2",
    prf: str = "sha256",
    dklen: int = 32,
    iv: bytes = b"\x09" * 16,
    secret: bytes = bytes.fromhex(KEY),
) -> dict[str, Any]:
    """A keystore of `secret` that is light to open."""
    salt = b"\x07" * 32
    params: dict[str, Any] = {"dklen": dklen, "salt": salt.hex()}
    if kdf == "scrypt":
        derived = hashlib.scrypt(passphrase.encode(), salt=salt, n=2, r=8, p=1, dklen=dklen)
        params.update(n=2, r=8, p=1)
    else:
        derived = hashlib.pbkdf2_hmac(prf, passphrase.encode(), salt, 10, dklen)
        params.update(c=10, prf=f"hmac-{prf}")
    cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=int.from_bytes(iv, "big"))
    ciphertext = cipher.encrypt(secret)
    return {
        "version": 3,
        "id": "00000000-0000-4000-8000-000000000000",
        "address": ADDRESS[2:].lower(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": kdf,
            "kdfparams": params,
            "mac": keccak_256(derived[16:32] + ciphertext).hex(),
        },
    }


def leaves(document: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all fields, those of objects among them."""
    for name, value in document.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))


def changed(document: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    """A copy with another value, or without the field if it is `...`."""
    document = copy.deepcopy(document)
    *above, name = path
    place = document
    for step in above:
        place = place[step]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return document


def other_values(value: Any) -> Iterator[object]:
    """Wrong types, values of other fields, and values that are nearly the same."""
    yield from (
        ...,
        None,
        "",
        [],
        {},
        True,
        False,
        0,
        1,
        2,
        3,
        4,
        -1,
        1.5,
        1e400,
        16,
        33,
        64,
        2**70,
        "x",
        "3",
        "0x",
        ["a"],
    )
    yield from ([value], {"a": value}, json.dumps(value), "aes-128-cbc", "aes-256-ctr", "scrypt", "pbkdf2", "argon2id")
    if isinstance(value, str):
        yield from (value.upper(), value.title(), f"0x{value}", f"0X{value}", f" {value}", f"{value}\n", value * 2)
        yield from (value[:-1], value[1:], value[:-2], value[2:], f"{value}00", f"00{value}", value[::-1])
        for index in range(0, len(value), 7):
            yield value[:index] + ("0" if value[index] != "0" else "1") + value[index + 1 :]
        yield from (value.replace("256", other) for other in ("1", "512", "384"))
        yield "".join(chr(ord(letter) + 0xFEE0) for letter in value if letter != " ")  # full-width
    if isinstance(value, int):
        yield from (value + 1, value * 2, -value, value + 0.5, float(value), str(value), f"{value}.0", f"0{value}")
        yield from (f" {value}", hex(value), "\u0663")
    if isinstance(value, dict):
        yield {name.upper(): inner for name, inner in value.items()}
        yield {**value, "extra": 1}


GOOD = {"pbkdf2": made(), "scrypt": made(kdf="scrypt")}


@pytest.mark.parametrize(
    ("kdf", "path"),
    [(kdf, path) for kdf, good in GOOD.items() for path in leaves(good)],
    ids=lambda value: str(value[-1]),
)
def test_a_changed_field_gives_the_same_key_or_a_refusal_and_never_another_key(kdf: str, path: tuple[str, ...]) -> None:
    value: Any = GOOD[kdf]
    for name in path:
        value = value[name]
    outcomes = {opened(changed(GOOD[kdf], path, other)) for other in other_values(value)}
    assert outcomes <= {KEY, None}
    assert outcomes == {KEY} if path == ("id",) else None in outcomes


def opened(document: object, passphrase: str = "pw") -> str | None:
    """The key; None if it is refused. No other exception may end it."""
    try:
        return Keystore(json.dumps(document)).open(passphrase)
    except Problem as problem:
        said = str(problem)
    assert said.isprintable()
    assert KEY not in said
    return None


def test_nothing_but_the_address_tells_another_iv() -> None:
    """So the tool tells its user to compare the address. The other programs find the same key."""
    document = changed(made(), ("crypto", "cipherparams", "iv"), "08" + "09" * 15)
    assert opened(document) is None
    without = changed(document, ("address",), ...)
    assert opened(without) == bytes(Account.decrypt(without, "pw")).hex() != KEY


@pytest.mark.parametrize("path", [path for path in leaves(made()) if path != ("id",)], ids=lambda path: path[-1])
def test_a_name_is_known_in_any_case_but_only_once(path: tuple[str, ...]) -> None:
    *above, name = path
    document = made()
    place = document
    for step in above:
        place = place[step]
    place[name.capitalize()] = place[name]
    assert opened(document) is None
    del place[name]
    assert opened(document) == KEY


@pytest.mark.parametrize(
    "document",
    [
        made(prf="sha512"),  # as ethers takes it
        made(dklen=64),  # as geth takes it
        made(kdf="scrypt", dklen=33),
        changed(made(), ("address",), ADDRESS),
        changed(made(), ("address",), ""),
        changed(made(), ("version",), 3.0),
        changed(made(kdf="scrypt"), ("crypto", "kdf"), "Scrypt"),
        changed(made(kdf="scrypt"), ("crypto", "kdfparams", "n"), "2"),
    ],
)
def test_other_spellings_of_the_same_are_taken(document: dict[str, Any]) -> None:
    assert opened(document) == KEY


def test_an_iv_without_its_leading_zeros_is_taken_if_the_address_proves_it() -> None:
    """Some versions of eth-account wrote it so."""
    document = changed(made(iv=b"\0\0" + b"\x09" * 14), ("crypto", "cipherparams", "iv"), "09" * 14)
    assert opened(document) == KEY == bytes(Account.decrypt(document, "pw")).hex()
    assert opened(changed(document, ("address",), ...)) is None
    assert opened(changed(document, ("crypto", "cipherparams", "iv"), "09" * 13)) is None


def test_a_backup_has_the_leading_zeros_of_its_iv(monkeypatch: pytest.MonkeyPatch) -> None:
    """eth-account 0.10, which the Debian package bundles, leaves them out, and then geth and ethers cannot open it."""
    written = changed(made(), ("crypto", "cipherparams", "iv"), "09" * 14)
    monkeypatch.setattr(Account, "encrypt", lambda *_, **__: written)
    backup = json.loads(forms.keystore(KEY, "pw"))
    assert backup["crypto"]["cipherparams"]["iv"] == "0000" + "09" * 14


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ("ab", "\uff41\uff42"),  # full-width letters
        ("p\u00e4ss", "pa\u0308ss"),
        ("fi", "\ufb01"),  # a ligature
        ("\uac00", "\u1100\u1161"),  # Korean
        ("\uff41\uff42", "\uff41\uff42"),  # as geth takes it
        ("pa\u0308ss", "pa\u0308ss"),
    ],
    ids=lambda text: unicodedata.name(text[-1]),
)
def test_a_passphrase_may_be_given_in_another_form_of_unicode(stored: str, given: str) -> None:
    assert opened(made(stored), given) == KEY


@pytest.mark.parametrize("given", ["PW", " pw", "pw ", "p\u0175", ""])
def test_another_passphrase_does_not_open_it(given: str) -> None:
    assert opened(made(), given) is None


def test_a_passphrase_in_plain_letters_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try of a standard keystore takes a second."""
    tried: list[str] = []
    monkeypatch.setattr(forms, "decrypted", lambda _, passphrase: tried.append(passphrase))
    assert opened(made(), "words") is None
    assert tried == ["words"]


# JSON that is no keystore


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "a list in JSON"),
        ([made()] * 2, "a list of keystores"),
        ([1, 2, 3] * 20, "a list of 60 numbers, as Solana's tools keep their keys"),
        (ABANDON.split(), "a list in JSON: give one key, keystore or mnemonic, without brackets, quotes and commas"),
        ([[KEY]], "a list in JSON"),
        ({"encseed": "00", "ethaddr": "00", "email": "", "btcaddr": ""}, "a wallet of the presale of 2014"),
        ({"data": "", "iv": "", "salt": ""}, "a vault, as MetaMask keeps it"),
        ({"kty": "EC", "crv": "secp256k1", "d": KEY}, "a JSON Web Key"),
        ({"0": made(), "length": 1}, "a JSON object with keystores in it"),
        ({"privateKey": KEY}, "give the private key or the mnemonic in it alone"),
        ({"address": ADDRESS, "private_key": f"0x{KEY}"}, "give the private key or the mnemonic in it alone"),
        ({"mnemonic": ABANDON}, "give the private key or the mnemonic in it alone"),
        ({"type": "spot"}, "a keystore has the fields version and crypto"),
        (changed(made(), ("version",), 1), "a keystore of version 1"),
        (changed(made(), ("version",), "1"), "a keystore of version 1"),
        (changed(made(), ("version",), 2), "not a keystore of version 3"),
        (changed(made(), ("version",), 4), "a keystore of version 4, which holds the key of a validator"),
        (changed(made(), ("version",), ...), "it has no version"),
        (made(secret=ABANDON.encode()), "If it is a mnemonic"),
        (made(secret=KEY.encode()), "this keystore holds 64 bytes, and a private key has 32"),
    ],
)
def test_json_that_is_no_keystore_is_named(document: object, reason: str) -> None:
    said = refusal(json.dumps(document))
    assert reason in said
    assert KEY not in said
    assert "abandon" not in said


# Texts that are no key

PUBLIC = "4646ae5047316b4230d0086c8acec687f00b1cd9d1dc634f6cb358ac0a9a8fff"  # x of a public key
WIF = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"
XPRV = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
ONE_LINE = "this is a setting, NAME=VALUE"
AROUND = "give its digits alone"
KEYSTORE_AROUND = "give its JSON alone"
NEITHER = "neither 64 hex digits"

NO_KEYS = {
    "nothing": ("", "the input is empty"),
    "blanks": (" \r\n\t\n", "the input is empty"),
    "a mark alone": ("\ufeff", "the input is empty"),
    "an address": (ADDRESS, "this is an address"),
    "an address without 0x": (ADDRESS[2:].lower(), "this is an address"),
    "63 digits": (KEY[1:], "a private key has 64 hex digits, and this has 63"),
    "65 digits": (f"0x{KEY}0", "a private key has 64 hex digits, and this has 65"),
    "32 digits": (KEY[:32], "a private key has 64 hex digits, and this has 32"),
    "0x alone": ("0x", NEITHER),
    "a letter": (f"{KEY[:10]}g{KEY[11:]}", "character 11 of this key is none of the hex digits"),
    "the letter O": (f"0x{KEY[:-1]}O", "character 64 of this key is none of the hex digits"),
    "a compressed public key": (f"0x02{PUBLIC}", "this is a public key"),
    "a public key": (f"04{PUBLIC}{PUBLIC}", "this is a public key"),
    "a public key without 04": (f"{PUBLIC}{PUBLIC}", "these are 64 bytes in hex"),
    "a signature": (f"0x{KEY}{KEY}1b", "a private key has 64 hex digits, and this has 130"),
    "WIF": (WIF, "(WIF)"),
    "compressed WIF": ("KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn", "(WIF)"),
    "an extended key": (XPRV, "this is an extended private key"),
    "an extended public key": (XPRV.replace("xprv", "xpub"), "this is an extended public key"),
    "PEM": ("-----BEGIN EC PRIVATE KEY-----\nMHQCAQEEIA==\n-----END EC PRIVATE KEY-----\n", "this is a PEM file"),
    "PEM of OpenSSH": ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "this is a PEM file"),
    "PRIVATE_KEY=": (f"PRIVATE_KEY={KEY}\n", ONE_LINE),
    "KEY=": (f"KEY=0x{KEY}", ONE_LINE),
    "export": (f'export PRIVATE_KEY="0x{KEY}";', ONE_LINE),
    "YAML": (f"private_key: '0x{KEY}'", ONE_LINE),
    "a file of settings": (f"# of the bot\nURL=https://example.org\nKEY={KEY}\n", AROUND),
    "a mnemonic's setting": (f'MNEMONIC="{ABANDON}"', ONE_LINE),
    "quotes": (f'"{KEY}"', AROUND),
    "single quotes": (f"'0x{KEY}'", AROUND),
    "a comma": (f"{KEY},", AROUND),
    "a name": (f"bids 0x{KEY}", AROUND),
    "address and key": (f"{ADDRESS},{KEY}", AROUND),
    "two keys": (f"{KEY}\n0x{KEY}", "these are 2 keys: give one"),
    "groups": (" ".join(KEY[index : index + 8] for index in range(0, 64, 8)), "take them out"),
    "colons": (":".join(KEY[index : index + 2] for index in range(0, 64, 2)), "take them out"),
    "two lines": (f"{KEY[:32]}\n{KEY[32:]}", "take them out"),
    "base64": ("ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8=", "this is base64"),
    "base64 of a URL": ("ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8", NEITHER),
    "base58": ("4Z7cXSyeFR8wNGMVXUE1TwtKn5D5Vu7FzEv69dokLv7KrQk7h6pu4LF8ZRR9yQBhc7uSM6RTTZtU1fmaxiNrxXrs", NEITHER),
    "bech32": ("nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5", NEITHER),
    "ICAP": ("XE7338O073KYGTWWZN0F2WZ0R8PX5ZPPZS", NEITHER),
    "0x twice": (f"0x0x{KEY}", NEITHER),
    "bytes of Python": (repr(bytes.fromhex(KEY)), NEITHER),
    "escapes": ("".join(f"\\x{KEY[index : index + 2]}" for index in range(0, 64, 2)), NEITHER),
    "numbers in hex": (", ".join(f"0x{KEY[index : index + 2]}" for index in range(0, 64, 2)), NEITHER),
    "a hex dump": (" ".join(["00000000:", *(KEY[index : index + 4] for index in range(0, 64, 4)), ".#Eg"]), NEITHER),
    "a decimal number": (str(int(KEY, 16)), "this is a number in decimal digits"),
    "PEM of a public key": ("-----BEGIN PUBLIC KEY-----\nMFYwEAYH\n-----END PUBLIC KEY-----", "this is a public key"),
    "a character that is not shown": (f"0x{KEY}\u200b", "characters that are not shown"),
    "a mnemonic with one": (f"{ABANDON}\u200b", "characters that are not shown"),
    "first letters": (" ".join(word[:4] for word in ABANDON.split()), "give whole words"),
    "a comment above a keystore": (f"// bids\n{json.dumps(made())}", KEYSTORE_AROUND),
    "a prompt above a keystore": (f"$ cat bids.json\n{json.dumps(made(), indent=2)}", KEYSTORE_AROUND),
    "a keystore in Markdown": (f"```json\n{json.dumps(made())}\n```", KEYSTORE_AROUND),
    "a keystore in a string": (json.dumps(json.dumps(made())), KEYSTORE_AROUND),
    "a keystore of Python": (repr(made()), "Expecting property name enclosed in double quotes"),
    "two keystores": ("\n".join(2 * [json.dumps(made())]), "see line 2, column 1: Extra data"),
    "half a keystore": (json.dumps(made(), indent=2)[:100].rpartition(":")[0] + ":", "this JSON ends too early"),
    "the first line of a keystore": ("{", "this JSON ends too early"),
    "one word": ("abandon", NEITHER),
}


@pytest.mark.parametrize("case", NO_KEYS)
def test_a_text_that_is_no_key_is_named_and_not_repeated(case: str) -> None:
    text, reason = NO_KEYS[case]
    said = refusal(text)
    assert reason in said
    assert "mnemonic is wrong" not in said
    for part in (KEY[:32], PUBLIC, WIF, XPRV[10:], ADDRESS[2:], "abandon"):
        assert part.lower() not in said.lower()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [KEY, ABANDON, json.dumps(made())])
def test_utf_16_is_named(codec: str, text: str) -> None:
    assert refusal(text.encode(codec)) == "the input cannot be read: it is UTF-16 text: save it as UTF-8"


def test_other_bytes_are_named() -> None:
    assert "xxd -p -c 32" in refusal(b"\xff" + bytes(range(100, 131)))
    assert refusal(b"\xff\x01\x02") == "this is not UTF-8 text"


@pytest.mark.parametrize("text", [KEY, f"0x{KEY}", f"0X{KEY}", KEY.upper()])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \r\n", "\n\n"])
def test_a_key_may_stand_in_a_file_as_any_editor_writes_it(text: str, end: str) -> None:
    assert imported(f"{text}{end}".encode()) == imported(f"\ufeff{text}{end}".encode()) == ADDRESS


# Mnemonics


def test_the_languages_are_those_that_the_text_names() -> None:
    assert LANGUAGES in refusal((GIVEN / "mnemonic-portuguese.txt").read_bytes())
    assert len(forms.word_lists()) == len(Mnemonic.list_languages()) == 9


@pytest.mark.parametrize("language", forms.word_lists())
def test_a_mnemonic_in_each_language_gives_the_key_that_eth_account_finds(language: str) -> None:
    Account.enable_unaudited_hdwallet_features()
    for size in (16, 20, 24, 28, 32):
        words = in_language(language, hashlib.sha512(language.encode()).digest()[:size])
        address = Account.from_mnemonic(words, "päss").address
        spellings = [words, unicodedata.normalize("NFC", words), words.upper(), words.replace(" ", "\u3000\r\n")]
        assert {imported(spelling.encode(), "päss") for spelling in spellings} == {address}


def in_language(language: str, entropy: bytes) -> str:
    """The mnemonic of `entropy`, as BIP-39 makes it."""
    size = len(entropy) // 4
    check = f"{hashlib.sha256(entropy).digest()[0]:08b}"[:size]
    bits = f"{int.from_bytes(entropy, 'big'):0{len(entropy) * 8}b}{check}"
    return " ".join(forms.word_lists()[language][int(bits[at : at + 11], 2)] for at in range(0, len(bits), 11))


def test_words_that_are_in_both_lists_of_chinese_are_taken() -> None:
    """eth-account takes them for simplified Chinese, whose check they mostly do not pass, and refuses them."""
    simplified, traditional = (forms.word_lists()[f"chinese_{kind}"] for kind in ("simplified", "traditional"))
    both = [index for index, word in enumerate(traditional) if word in set(simplified)]
    for number in range(100):
        chosen = [both[(number * 7 + place * 13) % len(both)] for place in range(11)]
        words = [traditional[index] for index in chosen]
        for last in both:
            candidate = [*words, traditional[last]]
            bits = "".join(f"{index:011b}" for index in (*chosen, last))
            entropy = int(bits[:128], 2).to_bytes(16, "big")
            if in_language("chinese_traditional", entropy).split() == candidate:
                path = forms.derivation_path(forms.FIRST_PATH)
                key = forms.from_mnemonic(" ".join(candidate), "", path)
                assert imported(" ".join(candidate).encode(), "") == forms.address(key)
                return
    pytest.fail("no mnemonic found")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ABANDON.replace(" ", ", "), "leave out numbers, commas, quotes"),
        (f'"{ABANDON}"', "leave out numbers, commas, quotes"),
        ("".join(f"{number}.{word} " for number, word in enumerate(ABANDON.split(), 1)), "leave out numbers"),
        ("".join(f"{number} {word}\n" for number, word in enumerate(ABANDON.split(), 1)), "leave out numbers"),
        (ABANDON.replace(" ", "\u200b "), "leave out numbers"),
        (ABANDON.replace(" ", "_"), "leave out numbers"),
        (ABANDON[8:], "a mnemonic has 12, 15, 18, 21 or 24 words, and these are 11"),
        (f"abandon {ABANDON}", "a mnemonic has 12, 15, 18, 21 or 24 words, and these are 13"),
        (f"{ABANDON} {ABANDON} about", "and these are 25"),
        (ABANDON.replace("about", "abouts"), "word 12 is not in the list of the language, English: check the spelling"),
        (ABANDON.replace("abandon", "abandom", 2), "words 1 and 2 are not in the list of the language, English"),
        (ABANDON.replace("abandon", "abandom", 3), "words 1, 2 and 3 are not in the list of the language, English"),
        (ABANDON.replace("about", "zoo"), "do not pass the check of BIP-39"),
        ("zoo " * 11 + "abandon", "do not pass the check of BIP-39"),
        ("correct horse battery staple " * 3, "not in the list"),
        ("lorem ipsum dolor sit amet consectetur " * 2, LANGUAGES),
    ],
)
def test_a_mnemonic_that_is_none_is_refused_with_what_to_look_at(text: str, reason: str) -> None:
    said = refusal(text, "")
    assert reason in said
    for word in {*text.split()} - {"a", "the", "of", "in", "and", "or"}:
        assert not re.search(rf"\b{re.escape(word.strip('.,'))}\b", said) or word.isdigit()


def test_no_word_of_a_list_is_taken_for_more_than_a_word() -> None:
    """So the characters that the tool says to leave out are not part of a word."""
    for words in forms.word_lists().values():
        assert all(not re.search(r"[\d_]|[^\w\s]", unicodedata.normalize("NFKC", word)) for word in words)
        assert words == [unicodedata.normalize("NFKD", word).lower() for word in words]


# The limits that the manual names


def test_the_manual_names_the_languages_and_the_fields(man: str) -> None:
    assert LANGUAGES in man
    assert f"at least {asking.MIN_PASSPHRASE} characters" in man
    assert keystore.KEY_SIZE == 32
    assert max(mnemonics.COUNTS) == 24


@pytest.fixture
def man() -> str:
    return " ".join((Path(__file__).parents[2] / "docs/man/ordersigner-keys.rst").read_text().split())


def test_every_given_file_is_tried() -> None:
    source = Path(__file__).read_text()
    assert [path.name for path in GIVEN.iterdir() if f'"{path.name}"' not in source] == []


def test_the_keystores_of_ethers_are_those_of_two_versions() -> None:
    assert {row["source"].split(".")[0] for row in vectors("keystores/ethers")} == {"ethers 5", "ethers 6"}
