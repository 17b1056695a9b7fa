"""eth-account in any version: with the address of a held key it gives what it gives with the private key.

Versions offer different ways to sign. A test takes each way that exists, and the first test says which must exist.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import eth_account
import pytest
from eth_account.signers.base import BaseAccount
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from sides import Sides
from support.daemon import SOURCE

from ordersigner import sdks
from ordersigner.account import Account
from ordersigner.client import SignerError
from ordersigner.sdks.eth_account import SDKS

messages: Any = importlib.import_module("eth_account.messages")
Theirs: Any = eth_account.Account
from_key = Theirs.from_key  # bound before install()
sdks.install()

pytest_plugins = ["sdk_fixtures"]
pytestmark = [pytest.mark.filterwarnings("ignore:.*encode_structured_data:DeprecationWarning")]

VERSION = metadata.version("eth-account")
RELEASE = tuple(map(int, VERSION.split(".")))
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ANY_TRANSACTION = "fee <= 1000000\nvalue <= 1\n"
SECTIONS = (
    f"[transaction calls]\nchain = 5\nto = {TOKEN}\nfunction = f(uint8 a)\n{ANY_TRANSACTION}"
    f"[transaction plain]\nchain = 5\nto = {TOKEN}\nfunction = none\n{ANY_TRANSACTION}"
)
ALLOWS = "transactions = calls plain\n"
KINDS: Any = (LocalAccount, BaseAccount)
KEY_NAMES = ("private_key", "key")
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
            {"name": "salt", "type": "bytes32"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallets", "type": "address[]"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person[2]"},
            {"name": "contents", "type": "string"},
            {"name": "attached", "type": "bytes"},
            {"name": "tag", "type": "bytes4"},
            {"name": "sent", "type": "uint256"},
            {"name": "offset", "type": "int64"},
            {"name": "urgent", "type": "bool"},
            {"name": "list", "type": "uint8[]"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail €",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
        "salt": b"\xde\xca" * 16,
    },
    "message": {
        "from": {"name": "Cow", "wallets": ["0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826", "0x" + 40 * "a"]},
        "to": [{"name": "Bob", "wallets": []}, {"name": "", "wallets": ["0x" + 40 * "0"]}],
        "contents": "Hello, Bob!\n",
        "attached": b"\x00\xff",
        "tag": b"\xde\xad\xbe\xef",
        "sent": 2**256 - 1,
        "offset": -(2**63),
        "urgent": True,
        "list": [1, 255],
        "not declared": 5,
    },
}
LOGIN: dict[str, Any] = {  # can be written as JSON
    "types": {
        "EIP712Domain": [{"name": "chainId", "type": "uint64"}, {"name": "name", "type": "string"}],
        "Login": [{"name": "user", "type": "address"}, {"name": "nonce", "type": "uint256"}],
    },
    "primaryType": "Login",
    "domain": {"name": "Venue", "chainId": 5, "unused": 1},
    "message": {"user": TOKEN, "nonce": 3},
    "comment": "eth-account ignores this",
}
LEGACY = {"chainId": 5, "nonce": 3, "gas": 1000, "gasPrice": 7, "to": TOKEN, "value": 1}
DYNAMIC = {"chainId": 5, "nonce": 3, "gas": 1000, "maxFeePerGas": 7, "maxPriorityFeePerGas": 7, "to": TOKEN, "value": 1}
CALL = bytes.fromhex("f0fdf834") + bytes(31) + b"\1"
TRANSACTIONS: list[dict[str, Any]] = [
    LEGACY,
    {**LEGACY, "data": "0x"},
    {**LEGACY, "accessList": ({"address": TOKEN, "storageKeys": ("0x" + 64 * "1",)},)},
    DYNAMIC,
    {**DYNAMIC, "type": 2, "value": "0x1"},
]


# An owner of functions that take keys, or of such as take none, and the rest of their arguments.
def owners(key: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    yield Theirs, (key,)
    yield Theirs(), (key,)
    yield Theirs.from_key(key), ()
    yield Theirs().from_key(private_key=key), ()
    yield from_key(key), ()


def same(name: str, sides: Sides, *arguments: Any, first: bool = False) -> Any:
    """The results of the functions of this name, in every way: the address must give the same as the key."""
    ways = zip(owners("0x" + sides.key), owners(sides.address), strict=True)
    for (theirs, key), (ours, address) in ways:
        if not hasattr(theirs, name):
            assert isinstance(theirs, LocalAccount)
            continue  # LocalAccount has no sign_typed_data() in some versions whose Account has
        expected = getattr(theirs, name)(*key, *arguments) if first else getattr(theirs, name)(*arguments, *key)
        result = getattr(ours, name)(*address, *arguments) if first else getattr(ours, name)(*arguments, *address)
        check(result, expected)
        if key:
            check(getattr(ours, name)(*arguments, private_key=sides.address) if not first else result, expected)
    return expected


def check(result: Any, expected: Any) -> None:
    """All that a program reads from a result: parts by name and by index, and the text of bytes."""
    assert tuple(result) == tuple(expected)
    names = ("message_hash", "messageHash", "signature", "raw_transaction", "rawTransaction", "hash", "r", "s", "v")
    for name in names:
        if hasattr(expected, name):
            theirs: Any = getattr(expected, name)
            ours = getattr(result, name)
            assert ours == theirs == result[name]
            kind: Any = HexBytes if isinstance(theirs, HexBytes) else int
            assert isinstance(ours, kind)
            if kind is HexBytes:
                assert (ours.hex(), repr(ours)) == (theirs.hex(), repr(theirs))


def test_this_version_is_listed_or_newer_and_has_what_it_should_have() -> None:
    assert VERSION in SDKS[0].tried or max(tuple(map(int, tried.split("."))) for tried in SDKS[0].tried) < RELEASE
    parts = {replaced.part for replaced in sdks.replaced() if replaced.distribution == "eth-account"}
    assert {replaced.version for replaced in sdks.replaced() if replaced.distribution == "eth-account"} == {VERSION}
    account = "eth_account.account.Account."
    names = {"from_key", "sign_message", "sign_transaction", "_sign_hash", "encrypt"}
    names |= {"unsafe_sign_hash", "_parse_private_key"} if RELEASE >= (0, 13) else {"signHash", "_parsePrivateKey"}
    names |= {"sign_typed_data"} if RELEASE >= (0, 9) else set()
    names |= {"sign_authorization"} if RELEASE >= (0, 13, 5) else set()
    encode = {"encode_typed_data"} if RELEASE >= (0, 9) else set()
    encode |= {"encode_structured_data"} if RELEASE < (0, 13) else set()
    assert parts == {account + name for name in names} | {f"eth_account.messages.{name}" for name in encode}


@pytest.mark.parametrize("form", ["as it is", "lower", "bare", "text as bytes", "bytes", "HexBytes"])
def test_the_address_is_taken_in_any_form(form: str, sides: Sides) -> None:
    forms = {
        "as it is": sides.address,
        "lower": sides.address.lower(),
        "bare": sides.address[2:],
        "text as bytes": sides.address.encode(),
        "bytes": bytes.fromhex(sides.address[2:]),
        "HexBytes": HexBytes(sides.address),
    }
    for owner in (Theirs, Theirs()):
        account: Any = owner.from_key(forms[form])
        assert isinstance(account, Account)
        assert all(isinstance(account, kind) for kind in KINDS)
        assert account is from_key(forms[form]) is owner.from_key(private_key=sides.address)
        assert account.address == sides.address
    message = messages.encode_defunct(text="a")
    check(
        Theirs.sign_message(message, private_key=forms[form]),
        Theirs.sign_message(message, sides.key),
    )


def test_an_address_with_a_typing_error_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(ValueError, match=r"^address: upper and lower case are not those of EIP-55; check it for a ty"):
        Theirs.from_key(TOKEN[:-1] + "7")


@pytest.mark.parametrize("body", [b"", b"Hello", "1 €\n".encode(), b"a" * 300, b"\xff" * 32])
def test_messages(body: bytes, sides: Sides) -> None:
    same("sign_message", sides, messages.encode_defunct(body))
    same("sign_message", sides, messages.encode_defunct(hexstr=body.hex()))


def parts(data: dict[str, Any]) -> tuple[Any, ...]:
    return (
        data["domain"],
        {name: data["types"][name] for name in data["types"] if name != "EIP712Domain"},
        data["message"],
    )


def encoders(data: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """Every way in which this version encodes typed data."""
    if hasattr(messages, "encode_typed_data"):
        full = {name: data[name] for name in MAIL}
        yield lambda: messages.encode_typed_data(*parts(data))
        yield lambda: messages.encode_typed_data(full_message=full)
        yield lambda: messages.encode_typed_data(None, None, None, full)
        yield lambda: messages.encode_typed_data(
            **dict(zip(("domain_data", "message_types", "message_data"), parts(data), strict=True))
        )
    if hasattr(messages, "encode_structured_data"):
        yield lambda: messages.encode_structured_data(data)
        yield lambda: messages.encode_structured_data(primitive=data)


def encoded(data: dict[str, Any]) -> Any:
    return next(encoders(data))()


def structured(data: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    text = json.dumps(data)
    if hasattr(messages, "encode_structured_data"):
        yield lambda: messages.encode_structured_data(data)
        yield lambda: messages.encode_structured_data(text=text)
        yield lambda: messages.encode_structured_data(text.encode())
        yield lambda: messages.encode_structured_data(hexstr=text.encode().hex())
        yield lambda: messages.encode_structured_data(hexstr="0x" + text.encode().hex())


def test_encoded_typed_data(sides: Sides) -> None:
    results = [same("sign_message", sides, encode()) for encode in encoders(MAIL)]
    assert len(results) >= 2
    assert all(result == results[0] for result in results)
    for encode in structured(LOGIN):
        same("sign_message", sides, encode())


def test_typed_data(sides: Sides) -> None:
    if hasattr(Theirs, "sign_typed_data"):
        result = same("sign_typed_data", sides, *parts(MAIL), first=True)
        assert same("sign_typed_data", sides, None, None, None, MAIL, first=True) == result
        with_name = Theirs.sign_typed_data(full_message=MAIL, private_key=sides.address)
        check(with_name, result)
    else:
        assert RELEASE < (0, 9)
        assert Theirs.from_key(sides.address).sign_typed_data(full_message=MAIL) == same(
            "sign_message", sides, messages.encode_structured_data(MAIL)
        )


@pytest.mark.parametrize("number", range(len(TRANSACTIONS)))
def test_transactions(number: int, sides: Sides) -> None:
    same("sign_transaction", sides, TRANSACTIONS[number])
    same("sign_transaction", sides, {**TRANSACTIONS[number], "from": sides.address})


def test_the_policy_judges_the_content(sides: Sides) -> None:
    with pytest.raises(SignerError, match=r"transaction\.value: .*over_limit"):
        Theirs.sign_transaction({**LEGACY, "value": 2}, sides.address)


def test_typed_data_that_change_after_they_were_encoded_are_signed_as_they_were(sides: Sides) -> None:
    for number in range(len(list(encoders(MAIL)))):
        data = copy.deepcopy(MAIL)
        message = list(encoders(data))[number]()
        data["message"]["contents"] = "Something else"
        data["types"]["Person"].append({"name": "more", "type": "string"})
        data["domain"]["name"] = "Other"
        check(
            Theirs.sign_message(message, sides.address),
            Theirs.sign_message(encoded(MAIL), sides.key),
        )


def test_an_encoded_message_is_signed_in_a_process_that_got_it_pickled(sides: Sides) -> None:
    pickled = pickle.dumps((encoded(MAIL), from_key(sides.address))).hex()
    program = (
        "import pickle, sys\nmessage, account = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "from eth_account.messages import SignableMessage\nassert isinstance(message, SignableMessage)\n"
        "print(bytes(account.sign_message(message).signature).hex())"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, pickled], check=True, stdout=subprocess.PIPE, text=True, env=environment()
    )
    expected = Theirs.sign_message(encoded(MAIL), sides.key)
    assert process.stdout.strip() == bytes(expected.signature).hex()


def test_what_the_daemon_does_not_take_is_refused_by_the_daemon(sides: Sides) -> None:
    """eth-account encodes a name that the daemon refuses in types."""
    name = "Login\u00e9"
    types = {"EIP712Domain": LOGIN["types"]["EIP712Domain"], name: LOGIN["types"]["Login"]}
    data = {**LOGIN, "domain": {"name": "Venue", "chainId": 5}, "types": types, "primaryType": name}
    with pytest.raises(SignerError, match=r"typed_data"):
        Theirs.sign_message(encoded(data), sides.address)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": "0"}


def test_a_message_without_its_typed_data_is_refused_with_what_to_do() -> None:
    message = messages.SignableMessage(*encoded(MAIL))
    with pytest.raises(TypeError, match=r"already hashed.*call ordersigner\.sdks\.install\(\) at the start"):
        Theirs.sign_message(message, TOKEN)


def takes_a_key(function: Any) -> bool:
    return any(name in KEY_NAMES for name in inspect.signature(function).parameters)


def test_whatever_else_takes_a_key_refuses_an_address_and_says_why() -> None:
    """All functions of Account with such a parameter, so that none is forgotten."""
    served = {"from_key", "sign_message", "sign_typed_data", "sign_transaction"}
    refused = set()
    for owner in (Theirs, Theirs()):
        functions = {name: getattr(owner, name) for name in dir(owner) if not name.startswith("__")}
        functions = {name: function for name, function in functions.items() if inspect.isroutine(function)}
        for name in {name for name in functions if takes_a_key(functions[name])} - served:
            needed = [
                TOKEN if parameter.name in KEY_NAMES else 32 * b"\1"
                for parameter in inspect.signature(functions[name]).parameters.values()
                if parameter.default is parameter.empty and parameter.name not in ("self", "cls")
            ]
            kind = sdks.BareHash if "hash" in name.lower() else TypeError
            text = "signs no hash|needs the private key itself|signs no authorizations"
            with pytest.raises(kind, match=text) as caught:
                functions[name](*needed)
            assert TOKEN[2:].lower() not in str(caught.value).lower()
            refused.add(name)
    assert len(refused) >= 4


@pytest.mark.parametrize(
    "name", ["key", "_private_key", "_key_obj", "encrypt", "unsafe_sign_hash", "signHash", "sign_authorization"]
)
def test_an_account_has_nothing_that_needs_the_key(name: str) -> None:
    account = from_key(TOKEN)
    assert not hasattr(account, name)
    assert getattr(account, name, None) is None
    with pytest.raises(AttributeError, match=f"^{name}: the daemon gives no key away"):
        getattr(account, name)
    with pytest.raises(TypeError):
        bytes(account)


def test_private_keys_give_exactly_what_they_gave() -> None:
    """Thousands of calls, right and wrong ones, in a process with install() and in one without."""
    program = [sys.executable, str(Path(__file__).with_name("real_keys.py"))]
    both = [
        subprocess.run([*program, *with_install], check=True, stdout=subprocess.PIPE, text=True, env=environment())
        for with_install in ([], ["install"])
    ]
    assert both[0].stdout == both[1].stdout
    assert both[0].stdout.count("SignedMessage") > 300
    assert both[0].stdout.count("Error: ") > 250


ORDERS = {
    "before": "from ordersigner import sdks\nsdks.install()\n{imports}",
    "after": "{imports}from ordersigner import sdks\nsdks.install()\n",
    "between": "import eth_account\nfrom ordersigner import sdks\nsdks.install()\n{imports}",
}


@pytest.mark.parametrize("order", ORDERS)
def test_install_before_or_after_the_import(order: str, sides: Sides) -> None:
    encode = "encode_typed_data" if hasattr(messages, "encode_typed_data") else "encode_structured_data"
    imports = f"from eth_account import Account\nfrom eth_account.messages import {encode} as encode\n"
    program = ORDERS[order].format(imports=imports) + (
        "import json, sys\n"
        f"message = encode({'full_message=' if 'typed' in encode else ''}json.loads(sys.argv[2]))\n"
        "for key in sys.argv[3:]:\n"
        "    for signed in Account.from_key(key).sign_message(message), Account.sign_message(message, key):\n"
        "        print(bytes(signed.signature).hex())\n"
    )
    data = {**LOGIN, "domain": {"name": "Venue", "chainId": 5}}
    del data["comment"]
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, "", json.dumps(data), sides.key, sides.address],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert len(process.stdout.split()) == 4
    assert len(set(process.stdout.split())) == 1
