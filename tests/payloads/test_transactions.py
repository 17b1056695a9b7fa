"""Transactions: the signed bytes, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from oracles import oracle
from support.daemon import vectors

from ordersigner.payloads import rlp as ours
from ordersigner.payloads import transactions
from ordersigner.payloads.transactions import KEYS, MAX_CHAIN, MAX_SIGNED
from ordersigner.refusal import CODES, Refusal
from ordersigner.signing.keys import Signer

MEMBERS_OF_REQUEST = {"type", "signer", "id", "transaction"}  # signing/test_vectors.py has the rows with others
ROWS = [row for row in vectors("transactions/transactions") if row["request"].keys() <= MEMBERS_OF_REQUEST]
KEY = "0x" + "11" * 32
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
DYNAMIC: dict[str, Any] = {
    "type": 2,
    "chainId": 1,
    "nonce": 7,
    "maxPriorityFeePerGas": 10**9,
    "maxFeePerGas": 2 * 10**10,
    "gas": 60_000,
    "to": TOKEN,
    "value": 0,
    "data": "0x095ea7b3",
    "accessList": [{"address": TOKEN, "storageKeys": ["0x" + "22" * 32]}],
}


def read(transaction: Any) -> transactions.Transaction:
    return transactions.read({"type": "transaction", "transaction": transaction, "signer": KEY})


def refusal(transaction: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        read(transaction)
    ((field, (problem,)),) = caught.value.context.items()
    assert problem.code in CODES
    return field, problem.code


def signed(transaction: transactions.Transaction, key: str = KEY) -> dict[str, Any]:
    signature = Signer(key).sign(transaction.digest)
    return {"signature": signature, **transactions.response(transaction, signature)}


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_a_published_transaction(row: dict[str, Any]) -> None:
    request = row["request"]
    try:
        transaction = transactions.read(request)
        transactions.check_signer(transaction, Signer(request["signer"]).address)
    except Refusal as refusal:
        ((field, (problem,)),) = refusal.context.items()
        assert {"field": field, "code": problem.code} in [row.get("error"), *row.get("or", [])]
    else:
        assert "error" not in row
        expected = {"signature": row["signature"], "transaction": row["raw"], "hash": row["hash"]}
        assert signed(transaction, request["signer"]) == expected


@given(st.integers(0, 2**256 - 1) | st.integers(0, 300), st.binary(max_size=70) | st.binary(min_size=250, max_size=300))
def test_rlp_is_that_of_another_implementation(number: int, content: bytes) -> None:
    assert ours.integer(number) == rlp.encode(number)
    assert ours.string(content) == rlp.encode(content)
    items = ours.integer(number) + ours.string(content) + ours.sequence(b"")
    assert ours.sequence(items) == rlp.encode([number, content, []])


def test_rlp_of_each_length_around_the_limits_of_its_forms() -> None:
    for size in (0, 1, 55, 56, 57, 255, 256, 65_535, 65_536):
        assert ours.string(bytes(size)) == rlp.encode(bytes(size))
        assert ours.sequence(b"\1" * size) == rlp.encode([1] * size)


INTEGER = st.sampled_from([0, 1, 127, 128, 255, 256]) | st.integers(0, 2**64 - 2)
ADDRESS = st.binary(min_size=20, max_size=20).map(to_checksum_address)
WORD = st.binary(min_size=32, max_size=32).map(lambda content: "0x" + content.hex())
MEMBERS = st.fixed_dictionaries(
    {
        "type": st.sampled_from([0, 1, 2]),
        "chainId": st.integers(1, 300) | st.integers(1, MAX_CHAIN),
        "nonce": INTEGER,
        "gasPrice": INTEGER,
        "maxPriorityFeePerGas": st.integers(0, 10),
        "maxFeePerGas": st.integers(10, 2**256 - 1),
        "gas": INTEGER,
        "to": ADDRESS,
        "value": st.integers(0, 2**256 - 1) | INTEGER,
        "data": (st.binary(max_size=100) | st.binary(max_size=1)).map(lambda content: "0x" + content.hex()),
        "accessList": st.lists(
            st.fixed_dictionaries({"address": ADDRESS, "storageKeys": st.lists(WORD, max_size=3)}), max_size=3
        ),
    }
)


@given(MEMBERS)
def test_any_transaction_is_signed_as_eth_account_signs_it(members: dict[str, Any]) -> None:
    transaction = {key: members[key] for key in ("type", *KEYS[members["type"]])}
    theirs = {key: value for key, value in transaction.items() if key != "type" or value}  # for it, 0 is no type
    expected = Account.sign_transaction(theirs, KEY)
    ours = signed(read(transaction))
    assert ours["transaction"] == expected.raw_transaction.to_0x_hex()
    assert ours["hash"] == "0x" + keccak(expected.raw_transaction).hex()


CHANGED = {
    "type": "0x3",
    "chainId": 2,
    "nonce": 8,
    "maxPriorityFeePerGas": 10**9 + 1,
    "maxFeePerGas": 2 * 10**10 + 1,
    "gas": 60_001,
    "to": "0x" + "33" * 20,
    "value": 1,
    "data": "0x095ea7b4",
    "accessList": [],
}


@pytest.mark.parametrize("key", DYNAMIC)
def test_a_changed_member_changes_the_digest_or_is_refused(key: str) -> None:
    try:
        assert read({**DYNAMIC, key: CHANGED[key]}).digest != read(DYNAMIC).digest
    except Refusal:
        assert key == "type"


@pytest.mark.parametrize("key", [*DYNAMIC, "from"])
def test_a_member_is_never_filled_in_or_converted(key: str) -> None:
    values: list[Any] = [None, True, 1.0, "", {}, "x", []]
    for value in values:
        if (key, value) in (("to", None), ("accessList", [])):
            continue
        field, _ = refusal({**DYNAMIC, key: value})
        assert field.startswith(f"transaction.{key}")
    if key != "from":
        without = {name: member for name, member in DYNAMIC.items() if name != key}
        assert refusal(without) == (f"transaction.{key}", "missing")


def test_a_priority_fee_is_at_most_the_fee() -> None:
    read({**DYNAMIC, "maxPriorityFeePerGas": 2 * 10**10})
    over = {**DYNAMIC, "maxPriorityFeePerGas": 2 * 10**10 + 1}
    assert refusal(over) == ("transaction.maxPriorityFeePerGas", "out_of_range")


def test_a_contract_is_created_by_null_and_code_only() -> None:
    assert read({**DYNAMIC, "to": None}).to is None
    assert refusal({**DYNAMIC, "to": None, "data": "0x"}) == ("transaction.data", "empty")
    assert refusal({**DYNAMIC, "to": "0x"}) == ("transaction.to", "not_address")


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_longest_transaction_and_one_byte_more(kind: int) -> None:
    members = {**DYNAMIC, "gasPrice": 5, "accessList": [], "type": kind}
    transaction = {key: members[key] for key in ("type", *KEYS[kind])}
    head = MAX_SIGNED - size_of({**transaction, "data": "0x" + 15_000 * "22"})
    longest = next(
        size for size in range(15_003 + head, 15_000, -1) if fits({**transaction, "data": "0x" + size * "22"})
    )
    # r or s may begin with zero bytes, for which the limit has room all the same.
    assert MAX_SIGNED - 2 <= size_of({**transaction, "data": "0x" + longest * "22"}) <= MAX_SIGNED
    assert refusal({**transaction, "data": "0x" + (longest + 1) * "22"}) == ("transaction", "too_many_values")


def size_of(transaction: Any) -> int:
    return len(signed(read(transaction))["transaction"]) // 2 - 1


def fits(transaction: Any) -> bool:
    try:
        read(transaction)
    except Refusal:
        return False
    return True


def test_the_sender_must_be_the_signer() -> None:
    address = Signer(KEY).address
    transaction = read({**DYNAMIC, "from": "0x" + address[2:].upper()})
    transactions.check_signer(transaction, address)
    transactions.check_signer(read(DYNAMIC), address)
    with pytest.raises(Refusal) as caught:
        transactions.check_signer(transaction, "0x" + "22" * 20)
    assert caught.value.context["transaction.from"][0].code == "mismatch"


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_bytes_that_are_an_order_too_are_recognized(kind: int) -> None:
    """The daemon's own packing of a spot order gives the same digest."""
    rows = [row for row in vectors("transactions/transaction-policies") if row["name"].startswith("134 bytes")]
    found = [read(row["request"]["transaction"]) for row in rows if row["name"].endswith(f"type {kind}")]
    assert {transaction.is_order for transaction in found} == {True, False}
    for row, transaction in ((row, read(row["request"]["transaction"])) for row in rows):
        assert transaction.is_order == (row["verdict"].get("code") == "ambiguous")
    transaction = next(transaction for transaction in found if transaction.is_order)
    packed = hashed(transaction)
    assert len(packed) == 134
    assert keccak(packed) == transaction.digest
    order = {
        "type": "spot",
        "order": {
            "accountId": "0x" + packed[:20].hex(),
            "timestamp": int.from_bytes(packed[20:28], "big"),
            "orderType": ("LMT", "MKT", "SLM", "STM")[packed[28] - 1],
            "side": ("buy", "sell")[packed[29] - 1],
            "quantity": str(int.from_bytes(packed[30:62], "big")),
            "price": str(int.from_bytes(packed[62:94], "big")),
        },
        "instrument": {
            "base": {"address": "0x" + packed[94:114].hex(), "decimals": 0},
            "quote": {"address": "0x" + packed[114:134].hex(), "decimals": 0},
        },
    }
    assert oracle.digest(order) == transaction.digest


def hashed(transaction: transactions.Transaction) -> bytes:
    """The bytes whose hash is the digest."""
    chain = ours.integer(transaction.chain) + b"\x80\x80" if transaction.kind == 0 else b""
    return bytes([transaction.kind] if transaction.kind else []) + ours.sequence(transaction.items + chain)


def test_the_journal_says_what_it_does_and_never_the_bytes_to_send() -> None:
    words, fields = read({**DYNAMIC, "value": "5"}).entry()
    assert words == (
        f"a transaction of type 2 on chain 1 to {TOKEN.lower()}, function 0x095ea7b3, with nonce 7, 5 wei and at most "
        "1200000000000000 wei of fee,"
    )
    assert fields == (
        "ORDERSIGNER_CHAIN=1",
        f"ORDERSIGNER_TO={TOKEN.lower()}",
        "ORDERSIGNER_NONCE=7",
        "ORDERSIGNER_VALUE=5",
        "ORDERSIGNER_FUNCTION=0x095ea7b3",
    )
    assert "ORDERSIGNER_FUNCTION=none" in read({**DYNAMIC, "data": "0x"}).entry()[1]
    words, fields = read({**DYNAMIC, "to": None}).entry()
    assert "that creates a contract" in words
    assert {"ORDERSIGNER_TO=", "ORDERSIGNER_FUNCTION=creation"} <= set(fields)
    for number, shown in ((2**256 - 1, "…"), (10**40, f"1{31 * '0'}…"), (10**31, f"1{31 * '0'}")):
        words, fields = read({**DYNAMIC, "value": number, "maxFeePerGas": number}).entry()
        assert f" {shown} wei " in words
        assert f"ORDERSIGNER_VALUE={shown}" in fields
    assert repr(read(DYNAMIC)) == "Transaction(type 2, chain 1)"
