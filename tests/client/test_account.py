"""The account for SDKs, compared with eth-account's own: the same arguments give the same signatures and results."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import eth_account
import pytest
from eth_account.messages import SignableMessage, encode_defunct, encode_intended_validator, encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import SOURCE, Daemon, standalone
from support.held import MESSAGES, address, holding, rule

from ordersigner import client
from ordersigner.account import Account, HexBytes
from ordersigner.client import Client, ProtocolError, SignerError
from ordersigner.payloads.messages import NOT_PLAIN

KEY, OTHER_KEY = 64 * "1", 64 * "2"
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
LOCAL, OTHER = map(eth_account.Account.from_key, (KEY, OTHER_KEY))
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
            {"name": "grid", "type": "uint8[2][]"},
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
        "tag": "0xdeadbeef",
        "sent": 2**256 - 1,
        "offset": -(2**63),
        "urgent": True,
        "grid": [[1, 2], [3, 255]],
    },
}
PARTS: tuple[Any, ...] = (
    MAIL["domain"],
    {name: fields for name, fields in MAIL["types"].items() if name != "EIP712Domain"},
    MAIL["message"],
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two keys, which signs all that can be allowed with the first, and one message with the other."""
    directory: Path = tmp_path_factory.mktemp("daemon")
    policy = MESSAGES + "[message login]\npattern = login\n"
    policy += "[hyperliquid cancels]\nactions = cancel\nnetwork = mainnet\n"
    policy += f"[transaction calls]\nchain = 5\nto = {TOKEN}\nfunction = f(uint8 a)\nfee <= 1000000\nvalue <= 7\n"
    policy += "[transaction creation]\nchain = 5\nto = none\nfee <= 1000000\n"
    allows = "typed = any\nmessages = any\nhyperliquid = cancels\ntransactions = calls creation\n"
    policy += rule("any", address(KEY), allows=allows)
    policy += rule("login", address(OTHER_KEY), allows="messages = login\n")
    with standalone(directory, *holding(directory, {"one": KEY, "other": OTHER_KEY}, policy)) as running:
        yield running


@pytest.fixture
def account(daemon: Daemon) -> Iterator[Account]:
    with Account(LOCAL.address, daemon.path) as account:
        yield account


def same(signed: Any, expected: Any) -> None:
    """Checks everything that a caller can read from a signed message."""
    assert tuple(signed) == tuple(expected)
    for name in ("message_hash", "r", "s", "v", "signature"):
        value = getattr(expected, name)
        assert getattr(signed, name) == signed[name] == value
        assert isinstance(getattr(signed, name), bytes if isinstance(value, bytes) else int)
    assert signed[1:4] == expected[1:4]
    assert signed.messageHash == expected.message_hash
    assert signed.signature.hex() == bytes(expected.signature).hex()
    assert signed.signature.to_0x_hex() == "0x" + bytes(expected.signature).hex()
    assert repr(signed.signature) == f"HexBytes('{signed.signature.to_0x_hex()}')"


def test_typed_data_in_parts_is_signed_as_by_eth_account(account: Account) -> None:
    same(account.sign_typed_data(*PARTS), LOCAL.sign_typed_data(*PARTS))
    named = dict(zip(("domain_data", "message_types", "message_data"), PARTS))
    same(account.sign_typed_data(**named), LOCAL.sign_typed_data(**named))


@pytest.mark.parametrize("absent", [(), ("primaryType",), ("EIP712Domain",), ("primaryType", "EIP712Domain")])
def test_a_full_message_is_signed_as_by_eth_account(account: Account, absent: tuple[str, ...]) -> None:
    types = {name: fields for name, fields in MAIL["types"].items() if name not in absent}
    message = {name: part for name, part in {**MAIL, "types": types}.items() if name not in absent}
    same(account.sign_typed_data(full_message=message), LOCAL.sign_typed_data(full_message=message))


@pytest.mark.parametrize("fields", [(), ("chainId",), ("salt", "name"), ("verifyingContract", "chainId", "version")])
def test_the_domain_type_has_the_fields_of_the_domain_in_eth_accounts_order(
    account: Account, fields: tuple[str, ...]
) -> None:
    domain = {field: MAIL["domain"][field] for field in fields}
    same(account.sign_typed_data(domain, *PARTS[1:]), LOCAL.sign_typed_data(domain, *PARTS[1:]))


def test_a_domain_that_is_declared_in_another_way_is_signed_as_by_eth_account(account: Account) -> None:
    declared = [{"name": "chainId", "type": "uint64"}, {"name": "name", "type": "string"}]
    types = {**MAIL["types"], "EIP712Domain": declared}
    message = {**MAIL, "types": types, "domain": {"name": "a", "chainId": 5}}
    same(account.sign_typed_data(full_message=message), LOCAL.sign_typed_data(full_message=message))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "pass domain_data, message_types and message_data, or full_message"),
        ({"domain_data": {}, "message_types": {}}, "pass domain_data, message_types and message_data, or"),
        ({"full_message": MAIL, "domain_data": {}}, "not both"),
        ({"full_message": {**MAIL, "domain": {"name": "a"}}}, "does not have the same fields as the domain"),
        ({"domain_data": {"nom": "a"}, "message_types": {}, "message_data": {}}, "domain: only name, version"),
        ({"domain_data": {}, "message_types": {"A": [], "B": []}, "message_data": {}}, "primaryType: cannot be told"),
    ],
)
def test_typed_data_that_is_not_complete_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Account(LOCAL.address, "/nonexistent").sign_typed_data(**arguments)


# Texts that people see as they are. With held keys, the daemon signs no other messages.
PLAIN = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")).filter(lambda letter: not NOT_PLAIN(letter))


@pytest.mark.parametrize("body", [b"", b"Hello", "1 €\n".encode(), b"a" * 300, b"\xff" * 32, "a\u00a0b".encode()])
def test_a_message_is_signed_as_by_eth_account(account: Account, body: bytes) -> None:
    same(account.sign_message(encode_defunct(body)), LOCAL.sign_message(encode_defunct(body)))


@pytest.mark.parametrize("message", ["", "Hello", "1 €\n", b"\xff" * 32, bytearray(b"login")])
def test_text_and_bytes_are_signed_without_eth_account(account: Account, message: Any) -> None:
    encoded = encode_defunct(text=message) if isinstance(message, str) else encode_defunct(bytes(message))
    same(account.sign_message(message), LOCAL.sign_message(encoded))


@pytest.mark.parametrize("message", [None, 5, {"text": "a"}])
def test_what_is_no_message_is_a_type_error(message: Any) -> None:
    with pytest.raises(TypeError, match="is no message: pass text, bytes, or what encode_defunct"):
        Account(LOCAL.address, "/nonexistent").sign_message(message)


def test_accounts_and_signatures_are_compared_like_values(account: Account) -> None:
    assert account == Account(LOCAL.address.lower())
    assert len({account, Account(LOCAL.address), Account(OTHER.address)}) == 2
    assert account != Account(OTHER.address)
    assert account != LOCAL.address
    signed = account.sign_message("a")
    assert signed == account.sign_message("a") == LOCAL.sign_message(encode_defunct(text="a"))
    assert len({signed, account.sign_message("a"), account.sign_message("b")}) == 2
    assert signed != account.sign_message("b")
    assert signed != signed.signature


def test_a_used_account_and_what_it_signed_can_be_copied_and_pickled(account: Account) -> None:
    signed = [account.sign_typed_data(*PARTS), account.sign_message("a")]
    copied, copies = copy.deepcopy((account, signed))
    pickled, again = pickle.loads(pickle.dumps((account, signed)))
    for other, theirs in ((copied, copies), (pickled, again)):
        with other:
            assert other == account
            assert theirs == signed == [other.sign_typed_data(*PARTS), other.sign_message("a")]
            same(theirs[0], LOCAL.sign_typed_data(*PARTS))


@pytest.mark.parametrize("version", ["0.3.1", "1.3.0", None])
def test_hex_of_a_signature_begins_with_0x_where_the_installed_hexbytes_does_so(
    version: str | None, daemon: Daemon, tmp_path: Path
) -> None:
    program = "import sys\n"
    if version is None:
        program += "sys.modules['hexbytes'] = None\n"
    else:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tmp_path), f"hexbytes=={version}"]
        subprocess.run(command, check=True)
    program += (
        "from ordersigner.account import Account\n"
        "signature = Account(sys.argv[1], sys.argv[2]).sign_message('a').signature\n"
        "print(signature.hex(), signature.to_0x_hex(), *(kind.__module__ for kind in type(signature).__mro__[:2]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, LOCAL.address, daemon.path],
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{SOURCE}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    digits = bytes(LOCAL.sign_message(encode_defunct(text="a")).signature).hex()
    prefix = "0x" if version == "0.3.1" else ""
    base = "builtins" if version is None else "hexbytes.main"
    assert run.stdout == f"{prefix}{digits} 0x{digits} ordersigner.account {base}\n"


@given(st.text(PLAIN | st.sampled_from("\n\t"), max_size=300))
def test_any_text_is_signed_as_by_eth_account(daemon: Daemon, text: str) -> None:
    with Account(LOCAL.address, daemon.path) as account:
        same(account.sign_message(encode_defunct(text=text)), LOCAL.sign_message(encode_defunct(text=text)))


@pytest.mark.parametrize("body", [b"\x00", b"\xff", b"a\r\n", "\u202e".encode(), "\u2028".encode()])
def test_a_message_that_people_cannot_read_is_refused(account: Account, body: bytes) -> None:
    with pytest.raises(SignerError, match=r"hex: .*not_allowed"):
        account.sign_message(encode_defunct(body))


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"1700000000000", "text"),
        ("€\t\n".encode(), "text"),
        ("a\u00a0".encode(), "hex"),
        (b"a\x00", "hex"),
        ("a\u202e".encode(), "hex"),
        (b"\r", "hex"),
        (b"\xff\xfe", "hex"),
    ],
)
def test_a_message_goes_to_the_daemon_as_text_if_people_can_read_it(daemon: Daemon, body: bytes, key: str) -> None:
    """The refusal names the key of the request that had the message."""
    with Account(OTHER.address, daemon.path) as account, pytest.raises(SignerError) as caught:
        account.sign_message(encode_defunct(body))
    assert list(caught.value.context) == [key]


def test_the_pattern_of_a_rule_judges_a_message_however_it_comes(daemon: Daemon) -> None:
    with Account(OTHER.address, daemon.path) as account:
        signed = account.sign_message(encode_defunct(b"login"))
    with Client(daemon.path) as client:
        assert client.sign_message(OTHER.address, data=b"login") == signed.signature.to_0x_hex()
        with pytest.raises(SignerError, match=r"hex: .*not_allowed"):
            client.sign_message(OTHER.address, data=b"logout")


@pytest.mark.parametrize(
    "written", [LOCAL.address, LOCAL.address.lower(), LOCAL.address[2:], LOCAL.address[2:].lower()]
)
def test_an_address_is_taken_in_every_case_that_sdks_write(daemon: Daemon, written: str) -> None:
    message = {**MAIL, "message": {**MAIL["message"], "to": [{"name": "", "wallets": [LOCAL.address]}] * 2}}
    with Account(written, daemon.path) as account:
        same(account.sign_typed_data(full_message=message), LOCAL.sign_typed_data(full_message=message))


def test_typed_data_that_is_already_hashed_is_refused_with_what_to_call_instead() -> None:
    with pytest.raises(TypeError, match=r"call sign_typed_data\(\), or call ordersigner\.sdks\.install\(\)"):
        Account(LOCAL.address, "/nonexistent").sign_message(encode_typed_data(*PARTS))


def with_typed_data(body: bytes, data: dict[str, Any]) -> SimpleNamespace:
    """A message with its typed data, as after ordersigner.sdks.install()."""
    encoded = encode_typed_data(*PARTS)
    return SimpleNamespace(version=encoded.version, header=encoded.header, body=body, typed_data=data)


def test_a_message_that_has_its_typed_data_is_signed_if_they_are_what_was_hashed(account: Account) -> None:
    body = encode_typed_data(*PARTS).body
    same(account.sign_message(with_typed_data(body, MAIL)), LOCAL.sign_typed_data(*PARTS))
    other = {**MAIL, "message": {**MAIL["message"], "sent": 5}}
    for wrong in (with_typed_data(bytes(32), MAIL), with_typed_data(body, other)):
        with pytest.raises(ValueError, match=r"^typed data: eth-account has encoded a value in another way"):
            account.sign_message(wrong)
    message = {name: value for name, value in MAIL["message"].items() if name != "sent"}
    with pytest.raises(SignerError, match=r"typed_data\.message\.sent: .*missing"):
        account.sign_message(with_typed_data(body, {**MAIL, "message": message}))


def test_a_message_of_another_version_is_refused() -> None:
    account = Account(LOCAL.address, "/nonexistent")
    for message in (
        encode_intended_validator(LOCAL.address, b"a"),
        SignableMessage(b"E", b"thereum Signed Message:\n2", b"a"),
    ):
        with pytest.raises(TypeError, match="version E only"):
            account.sign_message(message)


def test_the_parts_of_an_actions_signature_have_leading_zeros_only_if_they_are_asked_for(account: Account) -> None:
    def parts(nonce: int, **named: bool) -> dict[str, Any]:
        return account.sign_l1_action(
            {"type": "cancel", "cancels": [{"a": 0, "o": 5}]}, None, nonce, None, True, **named
        )

    full = [parts(nonce, leading_zeros=True) for nonce in range(100)]
    assert {len(each[part]) for each in full for part in "rs"} == {66}
    assert any(each["r"].startswith("0x0") for each in full)
    assert any(each["s"].startswith("0x0") for each in full)
    bare = [parts(nonce) for nonce in range(100)]
    assert bare == [{"r": hex(int(each["r"], 16)), "s": hex(int(each["s"], 16)), "v": each["v"]} for each in full]


DATA = keccak(text="f(uint8)")[:4] + bytes(31) + b"\1"
LEGACY: dict[str, Any] = {"chainId": 5, "nonce": 3, "gas": 1000, "gasPrice": 7, "to": TOKEN, "value": 7, "data": DATA}
DYNAMIC = {"chainId": 5, "nonce": 3, "gas": 1000, "maxFeePerGas": 7, "maxPriorityFeePerGas": 7, "to": TOKEN}
ACCESS = ({"address": TOKEN, "storageKeys": ("0x" + 64 * "1", "0x" + 64 * "2")},)
TRANSACTIONS = [
    LEGACY,
    {**LEGACY, "data": "0x" + DATA.hex(), "gas": "0x3e8", "from": LOCAL.address},
    {**LEGACY, "accessList": ACCESS},
    {**LEGACY, "accessList": [], "type": 1},
    {**DYNAMIC, "data": DATA},
    {**DYNAMIC, "data": bytearray(DATA), "type": "0x2", "accessList": ACCESS, "value": "0x7"},
    {**DYNAMIC, "data": DATA, "to": ""},
    {**DYNAMIC, "data": DATA, "to": b""},
]


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_a_transaction_is_signed_as_by_eth_account(account: Account, transaction: dict[str, Any]) -> None:
    before = dict(transaction)
    signed = account.sign_transaction(transaction)
    assert transaction == before
    theirs = {key: bytes(value) if isinstance(value, bytearray) else value for key, value in transaction.items()}
    theirs = {key: value for key, value in theirs.items() if key != "from"}
    expected = LOCAL.sign_transaction(theirs)
    assert tuple(signed) == tuple(expected)
    assert signed == copy.copy(signed) == pickle.loads(pickle.dumps(signed))
    assert signed == tuple(expected)
    assert signed != account.sign_transaction({**transaction, "nonce": 4})
    for name in ("raw_transaction", "hash", "r", "s", "v"):
        value = getattr(expected, name)
        assert getattr(signed, name) == signed[name] == value
        assert isinstance(getattr(signed, name), bytes if isinstance(value, bytes) else int)
    assert signed[1:3] == expected[1:3]
    assert signed.rawTransaction.to_0x_hex() == "0x" + bytes(expected.raw_transaction).hex()
    assert repr(signed) == f"SignedTransaction(raw_transaction={signed.raw_transaction!r})"


@pytest.mark.parametrize("key", ["chainId", "nonce", "gas", "gasPrice", "to"])
def test_what_eth_account_does_not_fill_in_is_missing(account: Account, key: str) -> None:
    with pytest.raises(SignerError, match=rf"transaction\.{key}: This is missing"):
        account.sign_transaction({name: value for name, value in LEGACY.items() if name != key})


@pytest.mark.parametrize("name", ["blobVersionedHashes", "maxFeePerBlobGas", "authorizationList"])
def test_transactions_of_other_types_are_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        Account(LOCAL.address).sign_transaction({**DYNAMIC, name: []})
    with pytest.raises(TypeError, match=r"^blobs: "):
        Account(LOCAL.address).sign_transaction(DYNAMIC, blobs=[b""])


def test_what_the_policy_does_not_allow_of_a_transaction_is_refused(account: Account) -> None:
    with pytest.raises(SignerError, match=r"transaction\.value: .*over_limit"):
        account.sign_transaction({**LEGACY, "value": 8})


@pytest.mark.parametrize("changed", ["transaction", "hash", "signature"])
def test_other_bytes_than_those_of_what_was_sent_are_no_answer(
    account: Account, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = account.sign_transaction(LEGACY)
    other = account.sign_transaction({**LEGACY, "nonce": 4})
    parts, theirs = (
        {
            "transaction": signed.raw_transaction.to_0x_hex(),
            "hash": signed.hash.to_0x_hex(),
            "signature": f"0x{signed.r:064x}{signed.s:064x}{signed.v - 35 - 2 * LEGACY['chainId'] + 27:x}",
        }
        for signed in (honest, other)
    )
    answer = client.SignedTransaction(**{**parts, changed: theirs[changed]})
    monkeypatch.setattr(Client, "sign_transaction", lambda self, signer, transaction: answer)
    with pytest.raises(ProtocolError, match="not the transaction that was sent"):
        account.sign_transaction(LEGACY)


def test_a_library_that_wants_a_local_account_takes_a_registered_one() -> None:
    program = (
        "from eth_account.signers.local import LocalAccount\nfrom ordersigner.account import Account\n"
        f"account = Account({LOCAL.address!r})\nassert not isinstance(account, LocalAccount)\n"
        "LocalAccount.register(Account)\nassert isinstance(account, LocalAccount)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=SOURCE)


def test_a_refusal_is_raised(daemon: Daemon) -> None:
    with Account("0x" + 40 * "3", daemon.path) as account, pytest.raises(
        SignerError, match=r"signer: .*unknown_signer"
    ):
        account.sign_message(encode_defunct(b"a"))


# From the standard, EIP-55.
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_an_address_has_the_case_of_eip_55(address: str) -> None:
    for written in (address, address.lower(), "0x" + address[2:].upper(), address[2:], address[2:].lower()):
        assert Account(written).address == address
    with pytest.raises(ValueError, match="not those of EIP-55"):
        Account(CHECKSUMMED[2][:-1] + "D")


@pytest.mark.parametrize("wrong", ["", "0x", 39 * "a", 41 * "a", 64 * "1", "0x" + 64 * "1", 40 * "g", 40 * "a" + "\n"])
def test_what_is_not_an_address_is_refused_and_not_quoted(wrong: str) -> None:
    for other in (None, 5, b"x"):
        with pytest.raises(TypeError, match=r"^address: must be text, not (NoneType|int|bytes)$"):
            Account(other)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^address: must be 40 hexadecimal digits, with or without 0x$"):
        Account(wrong)


@pytest.mark.parametrize("name", ["key", "_private_key", "sign_authorization", "unsafe_sign_hash", "encrypt"])
def test_what_the_daemon_never_does_is_an_attribute_error_that_says_so(name: str) -> None:
    account = Account(LOCAL.address)
    assert not hasattr(account, name)
    with pytest.raises(AttributeError, match=f"^{name}: the daemon gives no key away"):
        getattr(account, name)
    with pytest.raises(AttributeError, match=r"^Account has no attribute other$"):
        _ = account.other


def test_it_does_not_need_eth_account() -> None:
    program = "import sys; sys.modules['eth_account'] = None; import ordersigner.account; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=True, cwd=SOURCE, stdout=subprocess.PIPE, text=True)
    assert not {"coincurve", "msgpack", "systemd", "ordersigner.signing.keys"}.intersection(run.stdout.split())


def test_a_repr_shows_the_address_and_the_signature(account: Account) -> None:
    assert repr(account) == f"Account('{LOCAL.address}')"
    signed = account.sign_message(encode_defunct(b"a"))
    assert repr(signed) == f"SignedMessage(signature={HexBytes(signed.signature)!r})"
