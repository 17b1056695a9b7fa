"""Orders and their digests: the layouts, the number rules, and how the exchange sees both."""

from __future__ import annotations

import copy
import itertools
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import oracle
from support.daemon import EXAMPLE, SOURCE, vectors

from ordersigner.payloads import orders
from ordersigner.refusal import Refusal

SPOT = EXAMPLE["request"]
FUTURES = next(row["request"] for row in vectors("published-orders") if row["request"]["type"] == "futures")
REQUESTS = {"spot": SPOT, "futures": FUTURES}
LAYOUTS = {"spot": orders.SPOT, "futures": orders.FUTURES}

SPOT_FIELDS = {
    "order.accountId",
    "order.timestamp",
    "order.orderType",
    "order.side",
    "order.quantity",
    "order.price",
    "instrument.base.decimals",
    "instrument.base.address",
    "instrument.quote.decimals",
    "instrument.quote.address",
}
FUTURES_FIELDS = {
    "order.accountId",
    "order.timestamp",
    "order.orderType",
    "order.side",
    "order.instrument",
    "order.price",
    "order.marginPerFraction",
    "order.quote",
    "order.quantity",
    "instrument.quote.decimals",
}
FIELDS = [("spot", field) for field in sorted(SPOT_FIELDS)] + [("futures", field) for field in sorted(FUTURES_FIELDS)]
AMOUNTS = [
    ("spot", "order.quantity"),
    ("spot", "order.price"),
    ("futures", "order.price"),
    ("futures", "order.quantity"),
]
INTEGERS = [
    ("spot", "order.timestamp"),
    ("spot", "instrument.base.decimals"),
    ("spot", "instrument.quote.decimals"),
    ("futures", "order.timestamp"),
    ("futures", "order.instrument"),
    ("futures", "order.marginPerFraction"),
    ("futures", "instrument.quote.decimals"),
]
ADDRESSES = [
    ("spot", "order.accountId"),
    ("spot", "instrument.base.address"),
    ("spot", "instrument.quote.address"),
    ("futures", "order.accountId"),
    ("futures", "order.quote"),
]
NOTHING = object()


def with_value(request_type: str, field: str, value: Any) -> dict[str, Any]:
    """The type's sample request with another value in one field; NOTHING removes the key."""
    request: dict[str, Any] = copy.deepcopy(REQUESTS[request_type])
    *path, key = field.split(".")
    parent: dict[str, Any] = request
    for step in path:
        parent = parent[step]
    if value is NOTHING:
        del parent[key]
    else:
        parent[key] = value
    return request


def packed(request: dict[str, Any]) -> bytes:
    return orders.PACK[request["type"]](request["order"], request["instrument"])


def digest(request: dict[str, Any]) -> bytes:
    return orders.read(request).digest


def refusal(request: dict[str, Any]) -> tuple[str, str]:
    """The one field for which the order is refused, and the code."""
    with pytest.raises(Refusal) as caught:
        packed(request)
    ((field, (problem,)),) = caught.value.context.items()
    return field, problem.code


@pytest.mark.parametrize("request_type", REQUESTS)
@given(st.data())
def test_every_wrong_field_is_reported_and_no_other(request_type: str, data: st.DataObject) -> None:
    fields = sorted({"spot": SPOT_FIELDS, "futures": FUTURES_FIELDS}[request_type])
    wrong = data.draw(st.sets(st.sampled_from(fields), min_size=1))
    values = st.sampled_from([NOTHING, None, "", True, [], {}, {"a": 1}, "x", -1, -0.5, 10**90])
    request = copy.deepcopy(REQUESTS[request_type])
    for token in request["instrument"].values():
        if isinstance(token, dict):
            token["symbol"] = "TOKEN"  # so that it is not empty without its other keys
    for field in wrong:
        *path, key = field.split(".")
        parent = request
        for step in path:
            parent = parent[step]
        value = data.draw(values)
        if value is NOTHING:
            del parent[key]
        else:
            parent[key] = value
    with pytest.raises(Refusal) as caught:
        packed(request)
    (first,) = caught.value.context
    unread = copy.deepcopy(request)
    with pytest.raises(Refusal) as caught:
        orders.read(request)
    assert caught.value.context.keys() == wrong
    assert next(iter(caught.value.context)) == first
    assert request == unread


def test_a_token_that_is_missing_is_reported_with_the_wrong_fields() -> None:
    for base, quote in itertools.product((NOTHING, None, "", "LEV", {}), repeat=2):
        request = with_value("spot", "order.price", 0.25)
        request["order"]["side"] = "BUY"
        request["instrument"] = {
            key: token for key, token in {"base": base, "quote": quote}.items() if token is not NOTHING
        }
        with pytest.raises(Refusal) as caught:
            orders.read(request)
        assert list(caught.value.context) == ["instrument.base", "instrument.quote", "order.side"]


def test_an_amount_is_not_blamed_for_wrong_decimals() -> None:
    request = with_value("spot", "instrument.quote.decimals", 19)
    request["order"]["price"] = 0.000000000000000001
    with pytest.raises(Refusal) as caught:
        orders.read(request)
    assert list(caught.value.context) == ["instrument.quote.decimals"]


def units(number: Any, decimals: int) -> int:
    request = with_value("spot", "order.price", number)
    request["instrument"]["quote"]["decimals"] = decimals
    return int.from_bytes(packed(request)[orders.SPOT["price"]], "big")


def fraction(quantity: Any) -> tuple[int, int]:
    order = packed(with_value("futures", "order.quantity", quantity))
    numerator, denominator = (order[orders.FUTURES[f"quantity, {part}"]] for part in ("numerator", "denominator"))
    return int.from_bytes(numerator, "big"), int.from_bytes(denominator, "big")


def test_a_spot_order_is_packed_field_by_field() -> None:
    assert packed(SPOT).hex() == (
        "167cdb1ac9979a6a694b368ed3d2bf9259fa8282"  # account
        "00000b42f30901e8"  # timestamp
        "01"  # LMT
        "01"  # buy
        "00000000000000000000000000000000000000000000000000000002df2e7b60"  # 12.3343 with 9 decimals
        "00000000000000000000000000000000000000000000000145570c61eb554000"  # 23.44322 with 18 decimals
        "167cdb1ac9979a6a694b368ed3d2bf9259fa8282"  # base
        "0000000000000000000000000000000000000000"  # quote
    )


def test_a_futures_order_is_packed_field_by_field() -> None:
    assert packed(FUTURES).hex() == (
        "c21b183a8050d1988117b86408655ff974d021a0"  # account
        "0005ab2747e01019"  # timestamp
        "03"  # SLM
        "01"  # buy
        "00000001"  # instrument
        "0000000000000000000000000000000000000000000001fc7da64ea14c100000"  # 9380 with 18 decimals
        "00000000000000000000000000000000000000000000000a609ae77b747dbc70"  # margin per fraction
        "b0f776eb352738cf25710d92fca2f4a5e2c24d3e"  # quote
        "0000000000000001"  # numerator
        "0000000000000001"  # denominator
    )


@pytest.mark.parametrize("request_type", ["spot", "futures"])
def test_a_packed_order_has_134_bytes(request_type: str) -> None:
    assert len(packed(REQUESTS[request_type])) == 134
    *_, last = LAYOUTS[request_type].values()
    assert last.stop == 134


@pytest.mark.parametrize(
    ("request_type", "field", "value", "name"),
    [
        *((type, "order.accountId", "12" * 20, "account") for type in LAYOUTS),
        *((type, "order.timestamp", 2**64 - 1, "timestamp") for type in LAYOUTS),
        *((type, "order.orderType", "MKT", "order type") for type in LAYOUTS),
        *((type, "order.side", "sell", "side") for type in LAYOUTS),
        *((type, "order.price", 2**195, "price") for type in LAYOUTS),
        ("spot", "order.quantity", 2**225, "quantity"),
        ("spot", "instrument.base.address", "12" * 20, "base"),
        ("spot", "instrument.quote.address", "12" * 20, "quote"),
        ("futures", "order.instrument", 2**32 - 1, "instrument"),
        ("futures", "order.marginPerFraction", 2**256 - 1, "margin per fraction"),
        ("futures", "order.quote", "12" * 20, "quote"),
        ("futures", "order.quantity", 2**64 - 1, "quantity, numerator"),
        ("futures", "order.quantity", "0.0000000000000000001", "quantity, denominator"),
    ],
)
def test_a_field_is_packed_where_the_layout_says(request_type: str, field: str, value: Any, name: str) -> None:
    before, after = packed(REQUESTS[request_type]), packed(with_value(request_type, field, value))
    place = LAYOUTS[request_type][name]
    assert before[place] != after[place]
    assert before[: place.start] == after[: place.start]
    assert before[place.stop :] == after[place.stop :]


def test_the_documentation_has_the_layouts() -> None:
    text = (SOURCE / "docs/develop/how.rst").read_text()
    for title, layout in (("Spot", orders.SPOT), ("Futures", orders.FUTURES)):
        (table,) = re.findall(rf"^\.\. list-table:: {title}\n((?:\n| .*\n)+)", text, re.MULTILINE)
        rows = re.findall(r"^ +\* - (.+)\n +- (.+)$", table, re.MULTILINE)
        assert rows == [("Field", "Bytes"), *((name, str(at.stop - at.start)) for name, at in layout.items())]


def test_the_published_conversions() -> None:
    rows = vectors("published-unit-conversions")
    assert [row for row in rows if units(row["number"], row["decimals"]) != row["result"]] == []


@pytest.mark.parametrize("row", vectors("published-quantity-fractions"), ids=lambda row: str(row["quantity"]))
def test_a_published_fraction(row: dict[str, Any]) -> None:
    assert fraction(row["quantity"]) == (row["numerator"], row["denominator"])


@pytest.mark.parametrize(
    ("number", "decimals", "expected"),
    [
        (0, 18, 0),
        (0.0, 0, 0),
        (-0.0, 18, 0),
        ("0", 0, 0),
        ("0.000", 2, 0),
        (1, 0, 1),
        (1.0, 0, 1),
        ("007", 0, 7),
        (0.1, 18, 10**17),
        (0.3, 18, 3 * 10**17),  # not the binary digits past it
        (1e-18, 18, 1),
        (1.5e-07, 8, 15),
        (1e22, 18, 10**40),
        (1e23, 0, 10**23),  # the shortest decimal, not the double's own 99999999999999991611392
        (1.9, 0, 1),  # cut, not rounded
        (0.999999999, 3, 999),
        ("12.3343", 9, 12334300000),
        ("0.1234567890123456789", 18, 123456789012345678),
        ("0." + "9" * 60_000, 2, 99),
        ("0" * 60_000 + "1", 2, 100),
        (9007199254740993, 0, 9007199254740993),  # an integer is exact where a double is not
        (2**256 - 1, 0, 2**256 - 1),
        (str(2**256 - 1), 0, 2**256 - 1),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_an_amount_is_taken_in_units_and_cut(number: Any, decimals: int, expected: int) -> None:
    assert units(number, decimals) == expected


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (1.056, (1056, 1000)),
        (0.06, (6, 100)),
        ("1.000", (1, 1)),
        (100, (100, 1)),
        (100.0, (100, 1)),
        ("1.0500", (105, 100)),
        (0, (0, 1)),
        (0.0, (0, 1)),
        (1e-05, (1, 100_000)),
        ("0.0000000000000000001", (1, 10**19)),
        (2**64 - 1, (2**64 - 1, 1)),
    ],
    ids=repr,
)
def test_a_futures_quantity_is_a_fraction_over_a_power_of_ten(quantity: Any, expected: tuple[int, int]) -> None:
    assert fraction(quantity) == expected


@pytest.mark.parametrize(
    ("quantity", "why"),
    [
        (2**64, "numerator"),
        ("18446744073709551616", "numerator"),
        (1e20, "numerator"),
        ("2.0000000000000000001", "numerator"),
        ("0.00000000000000000001", "denominator"),
        (1e-20, "denominator"),
    ],
)
def test_a_fraction_that_takes_more_than_eight_bytes_is_refused(quantity: Any, why: str) -> None:
    assert refusal(with_value("futures", "order.quantity", quantity)) == ("order.quantity", "out_of_range")


@pytest.mark.parametrize(("request_type", "field"), FIELDS)
def test_a_missing_field_is_named(request_type: str, field: str) -> None:
    assert refusal(with_value(request_type, field, NOTHING)) == (field, "missing")


@pytest.mark.parametrize(("request_type", "field"), FIELDS)
def test_null_is_refused(request_type: str, field: str) -> None:
    assert refusal(with_value(request_type, field, None)) == (field, "empty")


@pytest.mark.parametrize(("request_type", "field"), FIELDS)
@pytest.mark.parametrize("value", [True, False, [], ["x"], {}, {"a": 1}])
def test_a_boolean_an_array_and_an_object_are_refused(request_type: str, field: str, value: Any) -> None:
    assert refusal(with_value(request_type, field, value)) == (field, "wrong_type")


@pytest.mark.parametrize("field", ["instrument.base", "instrument.quote"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (NOTHING, "missing"),
        (None, "empty"),
        ({}, "empty"),
        ("LIMIT", "wrong_type"),
        ([], "wrong_type"),
        (0, "wrong_type"),
    ],
)
def test_a_token_that_is_not_an_object_is_refused(field: str, value: Any, code: str) -> None:
    assert refusal(with_value("spot", field, value)) == (field, code)


@pytest.mark.parametrize(("request_type", "field"), AMOUNTS)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (-1, "negative"),
        (-0.5, "negative"),
        (-1e-30, "negative"),
        ("-1", "negative"),
        ("-0.5", "negative"),
        (float("inf"), "out_of_range"),
        (float("nan"), "out_of_range"),
        (float("-inf"), "negative"),
        (2**256, "out_of_range"),
        (1e78, "out_of_range"),
        (1.7e308, "out_of_range"),
        ("9" * 60_000, "out_of_range"),
        ("", "empty"),
        (" 1", "not_decimal"),
        ("1 ", "not_decimal"),
        ("1\n", "not_decimal"),
        ("1_000", "not_decimal"),
        ("1,5", "not_decimal"),
        ("1e3", "not_decimal"),
        ("+1", "not_decimal"),
        (".5", "not_decimal"),
        ("5.", "not_decimal"),
        ("1.2.3", "not_decimal"),
        ("0x1", "not_decimal"),
        ("NaN", "not_decimal"),
        ("Infinity", "not_decimal"),
        ("\u0661", "not_decimal"),
        ("1.\u0661", "not_decimal"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_an_amount_that_is_not_a_plain_number_is_refused(request_type: str, field: str, value: Any, code: str) -> None:
    assert refusal(with_value(request_type, field, value)) == (field, code)


@pytest.mark.parametrize(
    ("number", "decimals"), [(0.5, 0), (1e-19, 18), (5e-324, 18), ("0.09", 1), ("0.0000000000000000009", 18)]
)
def test_a_nonzero_amount_that_would_be_signed_as_zero_is_refused(number: Any, decimals: int) -> None:
    request = with_value("spot", "order.price", number)
    request["instrument"]["quote"]["decimals"] = decimals
    assert refusal(request) == ("order.price", "too_small")


@pytest.mark.parametrize(("request_type", "field"), INTEGERS)
@pytest.mark.parametrize(
    ("value", "code"),
    [(-1, "negative"), (-1.0, "negative"), (12.7, "not_integer"), (1e-9, "not_integer"), (2**256, "out_of_range")],
)
def test_a_number_that_is_not_a_valid_integer_is_refused(request_type: str, field: str, value: Any, code: str) -> None:
    assert refusal(with_value(request_type, field, value)) == (field, code)


@pytest.mark.parametrize(("request_type", "field"), INTEGERS)
def test_a_double_without_a_fraction_is_an_integer(request_type: str, field: str) -> None:
    assert packed(with_value(request_type, field, 7.0)) == packed(with_value(request_type, field, 7))


def test_the_timestamp_of_a_client_on_python_2_is_an_integer() -> None:
    request = with_value("spot", "order.timestamp", 1575332212506984.0)
    assert packed(request) == packed(with_value("spot", "order.timestamp", 1575332212506984))


@pytest.mark.parametrize(("request_type", "field"), INTEGERS)
def test_digits_in_a_string_are_an_integer_only_where_the_exchange_writes_them_so(
    request_type: str, field: str
) -> None:
    request = with_value(request_type, field, "7")
    if field in ("order.instrument", "order.marginPerFraction"):
        assert packed(request) == packed(with_value(request_type, field, 7))
    else:
        assert refusal(request) == (field, "wrong_type")


@pytest.mark.parametrize("field", ["order.instrument", "order.marginPerFraction"])
@pytest.mark.parametrize("value", ["1.0", "1.5", " 5 ", "-1", "+1", "0x1", "x", "1_0", "1e1", "\u0661"])
def test_a_string_that_is_not_all_digits_is_not_an_integer(field: str, value: str) -> None:
    assert refusal(with_value("futures", field, value)) == (field, "not_integer")


@pytest.mark.parametrize(
    ("request_type", "field", "last"),
    [
        ("spot", "order.timestamp", 2**64 - 1),
        ("spot", "instrument.base.decimals", 18),
        ("spot", "instrument.quote.decimals", 18),
        ("futures", "order.instrument", 2**32 - 1),
        ("futures", "order.marginPerFraction", 2**256 - 1),
        ("futures", "instrument.quote.decimals", 18),
    ],
)
def test_an_integer_fits_its_field_or_is_refused(request_type: str, field: str, last: int) -> None:
    packed(with_value(request_type, field, last))
    assert refusal(with_value(request_type, field, last + 1)) == (field, "out_of_range")


@pytest.mark.parametrize(("request_type", "field"), ADDRESSES)
def test_an_address_is_forty_hexadecimal_digits_in_any_case_with_or_without_0x(request_type: str, field: str) -> None:
    digits = "167cdb1aC9979A6a694B368ED3D2bF9259Fa8282"
    forms = ("0x" + digits, digits, digits.lower(), "0x" + digits.upper())
    assert len({packed(with_value(request_type, field, form)) for form in forms}) == 1


@pytest.mark.parametrize(("request_type", "field"), ADDRESSES)
@pytest.mark.parametrize(
    "value",
    [
        "0x",
        "0x" + "0" * 39,
        "0x" + "0" * 41,
        "0x" + "0" * 38 + "  ",
        "0x" + "00 " * 13 + "0",
        "0X" + "0" * 40,
        "0x" + "g" * 40,
        "0x" + "\u0661" * 40,
        "0x0x" + "0" * 38,
        "0x" + "0" * 64,
    ],
)
def test_a_string_that_is_not_an_address_is_refused(request_type: str, field: str, value: str) -> None:
    assert refusal(with_value(request_type, field, value)) == (field, "not_address")


@pytest.mark.parametrize(("request_type", "field"), ADDRESSES)
@pytest.mark.parametrize(("value", "code"), [("", "empty"), (0, "wrong_type"), (1.5, "wrong_type")])
def test_an_address_is_a_string(request_type: str, field: str, value: Any, code: str) -> None:
    assert refusal(with_value(request_type, field, value)) == (field, code)


@pytest.mark.parametrize("request_type", ["spot", "futures"])
@pytest.mark.parametrize("field", ["order.side", "order.orderType"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "empty"),
        ("BUY", "not_valid_choice"),
        ("lmt", "not_valid_choice"),
        ("0x12", "not_valid_choice"),
        (1, "wrong_type"),
    ],
)
def test_a_side_and_an_order_type_must_be_one_of_their_words(
    request_type: str, field: str, value: Any, code: str
) -> None:
    assert refusal(with_value(request_type, field, value)) == (field, code)


@pytest.mark.parametrize("word", ["SLM", "STM"])
def test_a_spot_order_has_no_stop_types(word: str) -> None:
    assert refusal(with_value("spot", "order.orderType", word)) == ("order.orderType", "not_valid_choice")
    packed(with_value("futures", "order.orderType", word))


@pytest.mark.parametrize("request_type", ["spot", "futures"])
@pytest.mark.parametrize("field", ["order.clientOrderId", "order.expiryTime", "instrument.symbol", "order.token"])
def test_other_fields_do_not_matter(request_type: str, field: str) -> None:
    values: list[Any] = [None, "x", -1, {"a": []}]
    for value in values:
        assert packed(with_value(request_type, field, value)) == packed(REQUESTS[request_type])


# Random orders against an independent implementation.
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
decimals = st.integers(0, 18)
plain_strings = st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,18})?", fullmatch=True)
small_doubles = st.floats(0, 1e12, allow_nan=False).map(abs)
amounts = st.integers(0, 10**15) | small_doubles | plain_strings
common_order = {
    "accountId": addresses,
    "timestamp": st.integers(0, 2**64 - 1) | st.integers(0, 2**53).map(float),
    "side": st.sampled_from(["buy", "sell"]),
    "price": amounts,
    "quantity": amounts,
}
token = st.fixed_dictionaries({"address": addresses, "decimals": decimals | decimals.map(float)})
requests = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("spot"),
            "order": st.fixed_dictionaries({**common_order, "orderType": st.sampled_from(["LMT", "MKT"])}),
            "instrument": st.fixed_dictionaries({"base": token, "quote": token}),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("futures"),
            "order": st.fixed_dictionaries(
                {
                    **common_order,
                    "orderType": st.sampled_from(["LMT", "MKT", "SLM", "STM"]),
                    "instrument": st.integers(0, 2**32 - 1) | st.integers(0, 2**32 - 1).map(str),
                    "marginPerFraction": st.integers(0, 2**256 - 1) | st.integers(0, 2**256 - 1).map(str),
                    "quote": addresses,
                }
            ),
            "instrument": st.fixed_dictionaries({"quote": token}),
        }
    ),
)


@given(requests)
@example(SPOT)
@example(FUTURES)
def test_a_random_order_gets_the_digest_of_the_oracle_or_is_refused_for_a_reason(request: dict[str, Any]) -> None:
    try:
        ours = digest(request)
    except Refusal as refusal:
        order, instrument = request["order"], request["instrument"]
        for field, (problem,) in refusal.context.items():
            if problem.code == "too_small":
                key = "base" if field == "order.quantity" else "quote"
                number = order[field.partition(".")[2]]
                assert oracle.exact(number) > 0
                assert oracle.units(number, instrument[key]["decimals"]) == 0
            else:
                assert (field, problem.code) == ("order.quantity", "out_of_range")
                assert max(oracle.fraction(order["quantity"])) >= 2**64
    else:
        assert ours == oracle.digest(request)


@pytest.mark.parametrize(("request_type", "field"), FIELDS)
def test_any_single_changed_field_changes_the_digest(request_type: str, field: str) -> None:
    others = {"order.orderType": "MKT", "order.side": "sell", **{field: "12" * 20 for _, field in ADDRESSES}}
    other = others.get(field, 17)
    assert digest(with_value(request_type, field, other)) != digest(REQUESTS[request_type])
