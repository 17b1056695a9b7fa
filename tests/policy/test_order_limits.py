"""The limits of a rule on orders: on the signed bytes, and against orders that could be something else."""

from __future__ import annotations

import copy
import re
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
from ordersigner.policy.rules import Judge, Need, Objection, Total
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
instrument = {FUTURES["order"]["instrument"]} 4
quote = {FUTURES["order"]["quote"]} 18
"""


def judge_of(settings: str = "", *, accounts: str = "any", markets: str = "any") -> Judge:
    """The judge of orders of both types for a rule with these settings."""
    text = (
        f"[rule r]\nkey = 0x{'00' * 20}\nusers = 1\naccounts = {accounts}\nmarkets = {markets}\n{settings}\n{MARKETS}"
    )
    (rule,) = policy_of(text).rules
    (judge,) = rule.judges["futures"]
    assert rule.judges["spot"] == (judge,)
    return judge


def objection(
    request: dict[str, Any], settings: str = "", *, accounts: str = "any", markets: str = "any"
) -> Objection | None:
    """The objection of a rule with these settings to an order."""
    payload = KINDS[request["type"]].form.read(request)
    return judge_of(settings, accounts=accounts, markets=markets).judge(payload, NOW)


def changed(request: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A request with other values inside its order."""
    return {**request, "order": {**request["order"], **values}}


def denied(found: Objection | None) -> tuple[str, str] | None:
    return found and (found.field, found.code)


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


# Leverage, which the margin of a futures order stands for


STEP = 10**4  # units, to which the clients round the margin


def margin_of(leverage: str, *, price: str = "9380", up: bool = False) -> int:
    """The margin that the public clients sign, with the digits 4: they round half a step down or up."""
    steps = Fraction(price) * 10**18 / Fraction(leverage) / STEP
    whole, part = divmod(steps, 1)
    return int(whole + (part > Fraction(1, 2) or (part == Fraction(1, 2) and up))) * STEP


@pytest.mark.parametrize(
    ("settings", "margin", "allowed"),
    [
        ("max-leverage = 5", margin_of("5"), True),
        ("max-leverage = 3", margin_of("3"), True),
        ("max-leverage = 3", margin_of("3") - STEP, False),
        ("max-leverage = 5", margin_of("5") - STEP // 2, True),
        ("max-leverage = 5", margin_of("5") - STEP // 2 - 1, False),
        ("max-leverage = 5", margin_of("6"), False),
        ("max-leverage = 5", 2**256 - 1, True),
        ("max-leverage = 5", 0, False),
        ("max-leverage = 0.5", margin_of("0.5"), True),
        ("min-leverage = 2", margin_of("2"), True),
        ("min-leverage = 7", margin_of("7", up=True), True),
        ("min-leverage = 7", margin_of("7", up=True) + STEP, False),
        ("min-leverage = 2", margin_of("2") + STEP // 2, True),
        ("min-leverage = 2", margin_of("2") + STEP // 2 + 1, False),
        ("min-leverage = 2", 2**256 - 1, False),
        ("min-leverage = 2", 0, True),
        ("min-leverage = 0", 2**256 - 1, True),
        ("min-leverage = 2\nmax-leverage = 2", margin_of("2"), True),
    ],
)
def test_a_margin_may_be_off_by_half_a_step(settings: str, margin: int, allowed: bool) -> None:
    request = changed(FUTURES, price="9380", marginPerFraction=str(margin), orderType="LMT")
    found = objection(request, f"types = LMT SLM\n{settings}", markets="futures")
    assert denied(found) == (None if allowed else ("order.marginPerFraction", "over_limit"))


@given(st.integers(0, 10**24), st.integers(0, 10**24), amounts)
def test_limits_of_leverage_agree_with_fractions(price: int, margin: int, leverage: str) -> None:
    instrument = {"quote": {**FUTURES["instrument"]["quote"], "decimals": 0}}
    request = {**changed(FUTURES, price=price, orderType="LMT", marginPerFraction=margin), "instrument": instrument}
    limit = Fraction(leverage)
    for settings, allowed in (
        (f"max-leverage = {leverage}", price <= limit * (margin + Fraction(STEP, 2))),
        (f"min-leverage = {leverage}", price >= limit * (margin - Fraction(STEP, 2))),
    ):
        if limit:
            assert (objection(request, f"types = LMT\n{settings}", markets="futures") is None) == allowed, settings


@pytest.mark.parametrize("types", ["", "types = LMT MKT", "types = STM"])
@pytest.mark.parametrize("markets", ["any", "futures", "spot futures"])
def test_without_a_limit_leverage_is_open_where_futures_are_allowed(markets: str, types: str) -> None:
    (words,) = [each for each in judge_of(types, markets=markets).leaves_open() if "order.marginPerFraction" in each]
    assert words.startswith(
        "how low and how high order.marginPerFraction may be, so the leverage of futures: nothing can"
    )
    for margin in ("0", str(2**256 - 1)):
        assert objection(changed(FUTURES, marginPerFraction=margin), markets=markets) is None


@pytest.mark.parametrize(
    ("limits", "side"),
    [
        ("", "how low and how high order.marginPerFraction may be, so the leverage of futures"),
        ("max-leverage = 5", "how high order.marginPerFraction may be, so how low the leverage"),
        ("min-leverage = 1", "how low order.marginPerFraction may be, so how high the leverage"),
    ],
)
def test_the_side_of_the_leverage_that_is_open_is_named(limits: str, side: str) -> None:
    assert side in judge_of(f"types = LMT\n{limits}", markets="futures").leaves_open()


def test_nothing_is_said_of_leverage_where_it_is_limited_or_only_spot_orders_are_allowed() -> None:
    limited = judge_of("types = LMT\nmin-leverage = 1\nmax-leverage = 5", markets="futures")
    for judge in (limited, judge_of(markets="spot")):
        assert not any("leverage" in words.lower() for words in judge.leaves_open())
    assert any("the leverage, from 1 to 5, but for the rounding" in words for words in limited.permits())


@pytest.mark.parametrize(
    ("microseconds", "is_allowed"), [(-60_000_001, False), (-60_000_000, True), (60_000_001, False)]
)
def test_the_clock_is_not_rounded(microseconds: int, is_allowed: bool) -> None:
    now, whole = 1_700_643_681.377265, 1_700_643_681_377_264  # as a double, now is a little earlier than it looks
    judge = judge_of("clock = 60", markets="any")
    order = orders.read(changed(SPOT, timestamp=whole + microseconds))
    assert (judge.judge(order, now) is None) == is_allowed


# Totals


def needs(request: dict[str, Any], market: str, quote_decimals: int = 18) -> Need:
    text = MARKETS.replace(" 18\n", f" {quote_decimals}\n")
    rule = f"[rule r]\nkey = 0x{'00' * 20}\nusers = 1\naccounts = any\nmarkets = {market}\ntypes = LMT\n"
    (found,) = policy_of(f"{rule}max-total-notional = 50.5/day\n{text}").rules
    assert found.totals == [Total("", "max-total-notional", 86400, 505 * 10 ** (quote_decimals - 1), quote_decimals)]
    (need,) = found.judges[request["type"]][0].needs(KINDS[request["type"]].form.read(request))
    assert need.total in found.totals
    return need


@pytest.mark.parametrize(
    ("quantity", "price", "units"),
    [("2", "5", 10 * 10**18), ("0.000000001", 1, 1), ("1.5", 1, 2), ("0", "5", 0), ("3", "0", 0)],
)
def test_a_total_of_spot_orders_counts_whole_units_of_the_quote(quantity: str, price: str | int, units: int) -> None:
    request = changed(SPOT, quantity=quantity, price=f"0.{price:018}" if isinstance(price, int) else price)
    assert needs(request, "spot")[1:] == (units, "order.quantity")


@given(st.integers(0, 2**64 - 1), st.integers(0, 19), st.integers(0, 2**256 - 1))
def test_a_total_of_futures_orders_is_never_under_counted(numerator: int, places: int, price: int) -> None:
    """A quantity is a fraction, and so may be its product with a price."""
    quantity = f"{numerator:020}"
    request = {
        **changed(
            FUTURES, quantity=f"{quantity[: 20 - places]}.{quantity[20 - places :]}0", price=price, orderType="LMT"
        ),
        "instrument": {"quote": {**FUTURES["instrument"]["quote"], "decimals": 0}},
    }
    amount = Fraction(numerator * price, 10**places)
    counted = needs(request, "futures").amount
    assert counted == min(-(-amount.numerator // amount.denominator), 2**256 - 1)


def test_a_total_is_named_with_what_it_cannot_promise() -> None:
    judge = judge_of("types = LMT\nmax-total-notional = 50.50/hour", markets="spot")
    assert judge.permits()[-1] == (
        "at most 50.5 of order.quantity times order.price in all signatures of any hour, for all users and keys of"
        " this rule together"
    )
    assert (
        "how much is open at one time: the total counts what is signed, even if it is cancelled" in judge.leaves_open()
    )


# Texts


ABOVE, BELOW = (f"This value is {side} the limit of [rule r]" for side in ("above", "below"))


@pytest.mark.parametrize(
    ("values", "limits", "text"),
    [
        ({}, {"accounts": "0x" + "12" * 20}, f"[rule r] does not allow this value: {ACCOUNT.lower()}."),
        ({}, {"markets": "futures"}, f"[rule r] does not allow this market: base {BASE.lower()}, quote {QUOTE}."),
        ({}, {"settings": "sides = sell"}, "[rule r] does not allow this value: buy."),
        ({"orderType": "MKT"}, {"settings": "types = LMT"}, "[rule r] does not allow this value: MKT."),
        ({"quantity": "10.500"}, {"settings": "max-quantity = 10"}, f"{ABOVE}: 10.5."),
        ({"price": "9.75"}, {"settings": "min-price = 10\ntypes = LMT"}, f"{BELOW}: 9.75."),
        ({"price": "12"}, {"settings": "types = LMT\nmax-price = 10"}, f"{ABOVE}: 12."),
        ({"quantity": 2, "price": 6}, {"settings": "max-notional = 10\ntypes = LMT"}, f"{ABOVE}: 12."),
        ({"timestamp": 7}, {"settings": "clock = 60"}, "This time is too early for [rule r]: 7."),
    ],
)  # fmt: skip
def test_a_refusal_says_which_rule_and_which_value(values: dict[str, Any], limits: dict[str, str], text: str) -> None:
    found = objection(changed(SPOT, **values), **{"markets": "spot", **limits})
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(("margin", "shown"), [(margin_of("6"), ": 6"), (margin_of("7"), ": 7"), (0, "")])
def test_a_refusal_says_the_leverage(margin: int, shown: str) -> None:
    request = changed(FUTURES, price="9380", orderType="LMT", marginPerFraction=margin)
    found = objection(request, "types = LMT\nmax-leverage = 5", markets="futures")
    assert found is not None
    assert found.text == f"This leverage is above the limit of [rule r]{shown}."


def test_a_number_that_could_be_a_key_is_not_repeated() -> None:
    key = int.from_bytes(b"\x7f" * 32, "big")
    request = changed(FUTURES, price=str(key), orderType="LMT")
    request["instrument"] = {"quote": {**FUTURES["instrument"]["quote"], "decimals": 0}}
    for limit in ("max-price = 1", "max-notional = 1", "max-quantity = 0", "max-leverage = 1"):
        found = objection(request, f"types = LMT\n{limit}", markets="futures")
        assert found is not None
        digits = "".join(re.findall("[0-9]", found.text))
        assert str(key)[:20] not in digits


# Orders that could be something else


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
