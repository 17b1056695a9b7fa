"""What a rule says about orders: every limit on the bytes that are signed, and nothing that could be something else."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_account.messages import encode_intended_validator
from hypothesis import given
from hypothesis import strategies as st
from oracles import oracle
from support.daemon import EXAMPLE, vectors
from support.policies import policy_of

from ordersigner.payloads import orders
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Objection
from ordersigner.refusal import Refusal
from ordersigner.signing.keys import Signer

SPOT = EXAMPLE["request"]
FUTURES = next(row["request"] for row in vectors("published-orders") if row["request"]["type"] == "futures")
ACCOUNT = SPOT["order"]["accountId"]
NOW = 1_575_332_212.0  # seconds

BASE, QUOTE = (SPOT["instrument"][token]["address"] for token in ("base", "quote"))
MARKETS = f"""
[market spot]
base  = {BASE} 9
quote = {QUOTE} 18
[market futures]
instrument = {FUTURES["order"]["instrument"]}
quote = {FUTURES["order"]["quote"]} 18
"""


def objection(
    request: dict[str, Any], settings: str = "", *, accounts: str = "any", markets: str = "any"
) -> Objection | None:
    """What a rule with these settings says of an order."""
    text = (
        f"[rule r]\nkey = 0x{'00' * 20}\nusers = 1\naccounts = {accounts}\nmarkets = {markets}\n{settings}\n{MARKETS}"
    )
    (rule,) = policy_of(text).rules
    (judge,) = rule.judges[request["type"]]
    return judge.judge(KINDS[request["type"]].form.read(request), NOW)


def changed(request: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A request with other values inside its order."""
    return {**request, "order": {**request["order"], **values}}


def left_open(markets: str) -> list[str]:
    """What a rule for these markets says that it does not limit."""
    (rule,) = policy_of(
        f"[rule r]\nkey = 0x{'00' * 20}\nusers = 1\naccounts = any\nmarkets = {markets}\n{MARKETS}"
    ).rules
    (judge,) = rule.judges["futures"]
    return judge.leaves_open()


def denied(found: Objection | None) -> tuple[str, str] | None:
    return found and (found.field, found.code)


@pytest.mark.parametrize("markets", ["any", "futures", "spot futures"])
def test_leverage_is_open_where_futures_are_allowed(markets: str) -> None:
    assert any(words.startswith("the leverage of a futures order") for words in left_open(markets))
    for margin in ("0", str(2**256 - 1)):
        assert objection(changed(FUTURES, marginPerFraction=margin), markets=markets) is None


def test_nothing_is_said_of_leverage_where_only_spot_orders_are_allowed() -> None:
    assert not any("leverage" in words for words in left_open("spot"))


@pytest.mark.parametrize("request_", [SPOT, FUTURES], ids=["spot", "futures"])
def test_an_order_within_all_limits_is_allowed(request_: dict[str, Any]) -> None:
    order = request_["order"]
    settings = f"sides = {order['side']}\ntypes = {order['orderType']}\n"
    assert objection(request_) is None
    assert objection(request_, settings, accounts=order["accountId"], markets=request_["type"]) is None
    assert (
        objection(
            request_, settings, accounts=f"0x{'12' * 20} {order['accountId'].upper()[2:]}", markets="spot futures"
        )
        is None
    )


@pytest.mark.parametrize(
    ("values", "limits", "expected"),
    [
        ({}, {"accounts": "0x" + "12" * 20}, ("order.accountId", "not_allowed")),
        ({}, {"markets": "futures"}, ("instrument", "not_allowed")),
        ({}, {"settings": "sides = sell"}, ("order.side", "not_allowed")),
        ({"orderType": "MKT"}, {"settings": "types = LMT"}, ("order.orderType", "not_allowed")),
        ({"quantity": "10.000000001"}, {"settings": "max-quantity = 10"}, ("order.quantity", "over_limit")),
        ({"price": "9.999999999999999999"}, {"settings": "min-price = 10\ntypes = LMT"}, ("order.price", "over_limit")),
        ({"price": "10.00000000000000001"}, {"settings": "types = LMT\nmax-price = 10"}, ("order.price", "over_limit")),
        ({"quantity": 2, "price": 6}, {"settings": "max-notional = 10\ntypes = LMT"}, ("order.quantity", "over_limit")),
        ({"timestamp": int((NOW - 61) * 1e6)}, {"settings": "clock = 60"}, ("order.timestamp", "over_limit")),
        ({"timestamp": int((NOW + 61) * 1e6)}, {"settings": "clock = 60"}, ("order.timestamp", "over_limit")),
        ({"quantity": "10"}, {"settings": "max-quantity = 10"}, None),
        ({"quantity": "0"}, {"settings": "max-quantity = 0"}, None),
        ({"price": "10"}, {"settings": "min-price = 10\nmax-price = 10\ntypes = LMT"}, None),
        ({"quantity": 2, "price": 5}, {"settings": "max-notional = 10\ntypes = LMT"}, None),
        ({"timestamp": int((NOW + 60) * 1e6)}, {"settings": "clock = 60"}, None),
    ],
)  # fmt: skip
def test_a_limit_holds_exactly(values: dict[str, Any], limits: dict[str, str], expected: object) -> None:
    assert denied(objection(changed(SPOT, **values), **{"markets": "spot", **limits})) == expected


def test_a_market_of_the_other_kind_with_the_same_tokens_is_not_allowed() -> None:
    assert denied(objection(FUTURES, markets="spot")) == ("instrument", "not_allowed")
    assert denied(objection(changed(FUTURES, instrument="12345"), markets="futures")) == ("instrument", "not_allowed")


def test_the_clients_word_for_the_decimals_counts_for_nothing() -> None:
    """With 18 decimals for a token of 9, one token is signed as a thousand million."""
    request = copy.deepcopy(changed(SPOT, quantity=1))
    limit = {"settings": "max-quantity = 1", "markets": "spot"}
    assert objection(request, **limit) is None
    request["instrument"]["base"]["decimals"] = 18
    assert denied(objection(request, **limit)) == ("order.quantity", "over_limit")
    request["instrument"]["base"]["decimals"] = 0
    assert objection(request, **limit) is None


amounts = st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=9).map(
    lambda number: format(number, "f")
)
sizes = st.integers(0, 10**18).map(str) | amounts


@given(sizes, sizes, amounts, amounts, amounts, st.integers(0, 18), st.integers(0, 18))
def test_limits_of_spot_orders_agree_with_fractions(
    quantity: str, price: str, most: str, highest: str, notional: str, base_decimals: int, quote_decimals: int
) -> None:
    """The oracle computes with whole tokens, from the market's decimals and the packed bytes."""
    request = copy.deepcopy(changed(SPOT, quantity=quantity, price=price))
    request["instrument"]["base"]["decimals"], request["instrument"]["quote"]["decimals"] = (
        base_decimals,
        quote_decimals,
    )
    try:
        packed = orders.read(request).packed
    except Refusal:
        return
    tokens = Fraction(int.from_bytes(packed[30:62], "big"), 10**9)
    rate = Fraction(int.from_bytes(packed[62:94], "big"), 10**18)
    if packed[30:34] != bytes(4):
        return
    for settings, allowed in (
        (f"max-quantity = {most}", tokens <= Fraction(most)),
        (f"types = LMT\nmax-price = {highest}", rate <= Fraction(highest)),
        (f"types = LMT\nmin-price = {highest}", rate >= Fraction(highest)),
        (f"types = LMT\nmax-notional = {notional}", tokens * rate <= Fraction(notional)),
    ):
        assert (objection(request, settings, markets="spot") is None) == allowed, settings


@given(st.integers(0, 10**9), st.integers(0, 9), sizes, amounts, amounts)
def test_limits_of_futures_orders_agree_with_fractions(
    numerator: int, places: int, price: str, most: str, notional: str
) -> None:
    quantity = f"{Fraction(numerator, 10**places).__float__():.9f}"
    request = changed(FUTURES, quantity=quantity, price=price, orderType="LMT")
    try:
        packed = orders.read(request).packed
    except Refusal:
        return
    tokens = Fraction(quantity)
    rate = Fraction(int.from_bytes(packed[34:66], "big"), 10**18)
    for settings, allowed in (
        (f"max-quantity = {most}", tokens <= Fraction(most)),
        (f"types = LMT\nmax-notional = {notional}", tokens * rate <= Fraction(notional)),
    ):
        assert (objection(request, settings, markets="futures") is None) == allowed, settings


# What an order could be instead


def encoded(value: bytes | list[Any]) -> bytes:
    """RLP, source: the Ethereum yellow paper, appendix B."""
    if isinstance(value, bytes):
        if len(value) == 1 and value[0] < 0x80:
            return value
        body, short = value, 0x80
    else:
        body, short = b"".join(map(encoded, value)), 0xC0
    if len(body) <= 55:
        return bytes([short + len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([short + 55 + len(size)]) + size + body


CHAIN = 1
VALUE = 10**18  # wei


def transaction() -> list[bytes]:
    """A legacy transaction that sends one ether, and whose encoding to be signed has the 134 bytes of a spot order.

    Bytes 28 and 29, the type of order and the side, are inside the recipient.
    """
    recipient = bytes.fromhex("c0ffee00c0ffee00c0ffee" + "0101" + "c0ffee00c0ffee")
    fields = [b"\x07", (20 * 10**9).to_bytes(8, "big").lstrip(b"\0").rjust(8, b"\1"), (21_000 * 5).to_bytes(3, "big")]
    fields += [recipient, VALUE.to_bytes(8, "big"), bytes(83), bytes([CHAIN]), b"", b""]
    return fields


def as_order(packed: bytes) -> dict[str, Any]:
    """A request for a spot order with exactly these bytes."""
    return {
        "type": "spot",
        "order": {
            "accountId": packed[:20].hex(),
            "timestamp": int.from_bytes(packed[20:28], "big"),
            "orderType": {1: "LMT", 2: "MKT"}[packed[28]],
            "side": {1: "buy", 2: "sell"}[packed[29]],
            "quantity": int.from_bytes(packed[30:62], "big"),
            "price": int.from_bytes(packed[62:94], "big"),
        },
        "instrument": {
            "base": {"address": packed[94:114].hex(), "decimals": 0},
            "quote": {"address": packed[114:].hex(), "decimals": 0},
        },
        "signer": SPOT["signer"],
    }


def test_a_transaction_that_looks_like_an_order_is_not_signed_with_a_held_key() -> None:
    fields = transaction()
    packed = encoded(fields)
    assert len(packed) == 134
    assert packed[:2] == b"\xf8\x84"
    request = as_order(packed)
    assert orders.read(request).packed == packed

    # The danger is real: with a key of the client's own, the "order" is signed, and is a transaction of that key.
    signature = bytes.fromhex(Signer(SPOT["signer"]).sign(orders.read(request).digest)[2:])
    r, s, v = signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0"), signature[64] - 27 + 35 + 2 * CHAIN
    raw = encoded([*fields[:6], bytes([v]), r, s])
    assert Account.recover_transaction(raw).lower() == oracle.signer_address(SPOT["signer"])

    assert denied(objection(request)) == ("order.accountId", "ambiguous")
    # With a rule that names an account it is refused too, and with that account it is no transaction any more.
    assert denied(objection(request, accounts=ACCOUNT)) == ("order.accountId", "ambiguous")
    harmless = bytes.fromhex(ACCOUNT[2:]) + packed[20:]
    for untyped in (harmless, harmless[1:]):  # neither a legacy transaction nor one behind the byte of a type
        with pytest.raises(rlp.DecodingError):
            rlp.decode(untyped)
    assert rlp.decode(packed) == fields


def test_data_for_a_contract_that_looks_like_an_order_is_not_signed_with_a_held_key() -> None:
    # Version 0 of EIP-191: a contract that takes such signatures sees only its own address, and then its own data.
    data = bytes(6) + b"\1\1" + bytes(31) + b"\1" + bytes(31) + b"\1" + bytes(40)
    signable = encode_intended_validator("0x" + "00" * 20, primitive=data)
    packed = b"\x19" + signable.version + signable.header + signable.body
    request = as_order(packed)
    assert orders.read(request).packed == packed

    signature = Signer(SPOT["signer"]).sign(orders.read(request).digest)
    assert Account.recover_message(signable, signature=signature).lower() == oracle.signer_address(SPOT["signer"])

    assert denied(objection(request)) == ("order.accountId", "ambiguous")


@pytest.mark.parametrize("start", ["f884", "00f883", "01f883", "02f883", "7ff883", "1900"])
@pytest.mark.parametrize("request_", [changed(SPOT, quantity=1), FUTURES], ids=["spot", "futures"])
def test_an_account_that_begins_like_a_transaction_must_be_named(start: str, request_: dict[str, Any]) -> None:
    account = start + "11" * (20 - len(start) // 2)
    request_ = changed(request_, accountId=account)
    assert denied(objection(request_)) == ("order.accountId", "ambiguous")
    assert denied(objection(request_, accounts=ACCOUNT)) == ("order.accountId", "ambiguous")
    assert objection(request_, accounts=f"{ACCOUNT} 0x{account}") is None


@pytest.mark.parametrize(
    "start", ["1901", "1800", "0019", "f883", "f885", "f984", "80f883", "c0f883", "01f884", "01f783", "0001f883"]
)
def test_other_accounts_need_not_be_named(start: str) -> None:
    request = changed(SPOT, accountId=start + "11" * (20 - len(start) // 2))
    assert objection(request) is None


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(2**224 - 1, None), (2**224, ("order.quantity", "ambiguous")), (2**256 - 1, ("order.quantity", "ambiguous"))],
)
def test_a_spot_order_that_could_be_a_futures_order_is_refused(quantity: int, expected: object) -> None:
    request = copy.deepcopy(changed(SPOT, quantity=quantity))
    request["instrument"]["base"]["decimals"] = 0
    assert denied(objection(request)) == expected


@pytest.mark.parametrize(
    ("instrument", "expected"), [(0, ("order.instrument", "ambiguous")), (1, None), (2**32 - 1, None)]
)
def test_a_futures_order_that_could_be_a_spot_order_is_refused(instrument: int, expected: object) -> None:
    assert denied(objection(changed(FUTURES, instrument=instrument))) == expected


ROWS = [row for row in vectors("published-orders") + vectors("peer-orders") if "signature" in row["expect"]]


def test_no_real_order_is_ambiguous() -> None:
    kinds = [row["request"]["type"] for row in ROWS]
    assert min(kinds.count("spot"), kinds.count("futures")) > 150
    assert [row for row in ROWS if objection(row["request"]) is not None] == []


def test_an_order_is_never_an_eip_191_message_or_eip_712_data() -> None:
    """A message of 105 bytes has 134 with its prefix, whose 29th is a digit; typed data has 66 bytes."""
    prefix = b"\x19Ethereum Signed Message:\n105"
    assert len(prefix) + 105 == 134
    assert prefix[28] == 0x35
    assert bytes([prefix[28]]) not in {*orders.SPOT_ORDER_TYPES.values(), *orders.FUTURES_ORDER_TYPES.values()}
    assert {len(orders.read(row["request"]).packed) for row in ROWS} == {134}
