"""The order layouts and number rules: turns an order into its packed bytes and a 32-byte digest.

In: a decoded request, whose members `order` and `instrument` are objects. Out: an Order. Raises Refusal with every
field from which the exchange might not derive the same bytes: first the tokens of the instrument, then the fields in
the order of the layout.
Pure: no sockets, no JSON, no keys. Source: the published order layouts.
"""

from __future__ import annotations

from binascii import unhexlify
from decimal import Decimal
from typing import Any, Callable, Dict, Mapping, NamedTuple, TypeVar

from ordersigner.keccak import keccak_256
from ordersigner.payloads.payload import Form
from ordersigner.refusal import MISSING, Problem, Refusal, mistyped, negative, not_a_choice, one_of, out_of_range
from ordersigner.text import entered

Object = Mapping[str, object]
Layout = Dict[str, slice]  # the place of each field in the packed bytes, in the order of the bytes


def _layout(sizes: dict[str, int]) -> Layout:
    """sizes: of the fields, in bytes. Each field begins where the one before it ends."""
    layout = {}
    end = 0
    for name, size in sizes.items():
        layout[name] = slice(end, end + size)
        end += size
    return layout


_COMMON = {"account": 20, "timestamp": 8, "order type": 1, "side": 1}
SPOT = _layout(
    {
        **_COMMON,
        "quantity": 32,
        "price": 32,
        "base": 20,
        "quote": 20,
    }
)
FUTURES = _layout(
    {
        **_COMMON,
        "instrument": 4,
        "price": 32,
        "margin per fraction": 32,
        "quote": 20,
        "quantity, numerator": 8,
        "quantity, denominator": 8,
    }
)
# Both layouts have these fields at the same place. A field of one byte is given by its index.
ACCOUNT, TIMESTAMP = SPOT["account"], SPOT["timestamp"]
ORDER_TYPE, SIDE = SPOT["order type"].start, SPOT["side"].start

SIDES = {"buy": b"\x01", "sell": b"\x02"}
SIDE_NAMES = {code[0]: name for name, code in SIDES.items()}
SPOT_ORDER_TYPES = {"LMT": b"\x01", "MKT": b"\x02"}
FUTURES_ORDER_TYPES = {"LMT": b"\x01", "MKT": b"\x02", "SLM": b"\x03", "STM": b"\x04"}

MAX_DECIMALS = 18  # of a token: the exchange calculates in units of 10^-18
_POWERS_OF_TEN = tuple(10**exponent for exponent in range(MAX_DECIMALS + 1))
_MAX_DIGITS = 78 + MAX_DECIMALS  # of an amount: a number below 2^256 has at most 78
_INFINITY = float("inf")

# The right value of each field, for people.
_ADDRESS = 'an address, a string of 40 hexadecimal digits, such as "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282"'
_AMOUNT = 'a number, or a string of its decimal digits, such as "12.5"'
_DIGITS = 'an integer, or a string of its decimal digits, such as "1000000000000000000"'
_TOKEN = "an object with address and decimals"

_Number = TypeVar("_Number", int, float)


class Order(NamedTuple):
    """An order to be signed, with the facts that a rule judges and the journal tells."""

    type: str  # "spot" or "futures": the packed bytes do not say which
    packed: bytes  # 134 bytes, in the layout SPOT or FUTURES
    digest: bytes  # 32 bytes, the keccak-256 of the packed bytes
    instrument: object  # its name in the order. For spot it is neither signed nor checked.

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about this order, in words and in fields."""
        account = "0x" + self.packed[ACCOUNT].hex()
        instrument, in_words = entered(self.instrument)
        side = SIDE_NAMES[self.packed[SIDE]]
        return f"{self.type} {side} {in_words} of account {account}", (
            f"ORDERSIGNER_ACCOUNT={account}",
            f"ORDERSIGNER_INSTRUMENT={instrument}",
            f"ORDERSIGNER_SIDE={side}",
        )


def read(request: Mapping[str, Any]) -> Order:
    """The order in a request, whose type is "spot" or "futures"."""
    type, order, instrument = request["type"], request["order"], request["instrument"]
    try:
        packed = PACK[type](order, instrument)
    except Refusal as first:
        raise _with_all_problems(first, PACK[type], order, instrument) from None
    return Order(type, packed, keccak_256(packed), order.get("instrument"))


FORM = Form(read, members={"instrument": dict, "order": dict})


def pack_spot(order: Object, instrument: Object) -> bytes:
    """The 134 bytes of a spot order, in the layout SPOT."""
    base = _object(instrument, "base")
    quote = _object(instrument, "quote")
    return b"".join(
        (
            _address(order.get("accountId", MISSING), "order.accountId"),
            _uint(order.get("timestamp", MISSING), 8, "order.timestamp"),
            _choice(order.get("orderType", MISSING), SPOT_ORDER_TYPES, "order.orderType"),
            _choice(order.get("side", MISSING), SIDES, "order.side"),
            _units(order.get("quantity", MISSING), _decimals(base, "instrument.base.decimals"), "order.quantity"),
            _units(order.get("price", MISSING), _decimals(quote, "instrument.quote.decimals"), "order.price"),
            _address(base.get("address", MISSING), "instrument.base.address"),
            _address(quote.get("address", MISSING), "instrument.quote.address"),
        )
    )


def pack_futures(order: Object, instrument: Object) -> bytes:
    """The 134 bytes of a futures order, in the layout FUTURES."""
    quote = _object(instrument, "quote")
    return b"".join(
        (
            _address(order.get("accountId", MISSING), "order.accountId"),
            _uint(order.get("timestamp", MISSING), 8, "order.timestamp"),
            _choice(order.get("orderType", MISSING), FUTURES_ORDER_TYPES, "order.orderType"),
            _choice(order.get("side", MISSING), SIDES, "order.side"),
            _uint(order.get("instrument", MISSING), 4, "order.instrument", digits_allowed=True),
            _units(order.get("price", MISSING), _decimals(quote, "instrument.quote.decimals"), "order.price"),
            _uint(order.get("marginPerFraction", MISSING), 32, "order.marginPerFraction", digits_allowed=True),
            _address(order.get("quote", MISSING), "order.quote"),
            _fraction(order.get("quantity", MISSING), "order.quantity"),
        )
    )


PACK = {"spot": pack_spot, "futures": pack_futures}

# Right in any order. With 18 decimals, an amount is too small only if it is with any decimals.
_RIGHT_TOKEN: Object = {"address": 40 * "0", "decimals": MAX_DECIMALS}
_RIGHT: Mapping[str, object] = {
    "order.accountId": 40 * "0",
    "order.timestamp": 0,
    "order.orderType": "LMT",
    "order.side": "buy",
    "order.quantity": 1,
    "order.price": 1,
    "order.instrument": 1,
    "order.marginPerFraction": 1,
    "order.quote": 40 * "0",
    **{f"instrument.{token}": _RIGHT_TOKEN for token in ("base", "quote")},
    **{f"instrument.{token}.{key}": right for token in ("base", "quote") for key, right in _RIGHT_TOKEN.items()},
}


def _with_all_problems(
    first: Refusal, pack: Callable[[Object, Object], bytes], order: Object, tokens: Object
) -> Refusal:
    """`first` with the problems of the other fields: replacing each wrong field by a right one shows the next."""
    problems: dict[str, list[Problem]] = {}
    refusal: Refusal | None = first
    while refusal is not None:
        problems.update(refusal.context)
        ((field, _),) = refusal.context.items()
        root, *steps, key = field.split(".")
        if root == "order":
            order = {**order, key: _RIGHT[field]}
        elif steps:
            tokens = {**tokens, steps[0]: {**tokens[steps[0]], key: _RIGHT[field]}}  # type: ignore[dict-item]
        else:
            tokens = {**tokens, key: _RIGHT[field]}
        try:
            pack(order, tokens)
            refusal = None
        except Refusal as another:
            refusal = another
    return Refusal(problems)


def _object(parent: Object, key: str) -> dict[str, object]:
    value = parent.get(key, MISSING)
    if type(value) is dict and value:
        return value
    raise mistyped(value, f"instrument.{key}", dict, wanted=_TOKEN)


# Each of these functions first handles nearly every value without calling another one, since a call takes as long as
# the work. The rest is rare, or is refused.


def _address(value: object, field: str) -> bytes:
    """20 bytes from 40 hexadecimal digits in any case, with or without 0x."""
    if type(value) is str and (len(value) == 40 or (len(value) == 42 and value[:2] == "0x")):
        try:
            return unhexlify(value[-40:])
        except ValueError:
            pass
    if type(value) is not str or not value:
        raise mistyped(value, field, str, wanted=_ADDRESS)
    raise Refusal.of(field, "not_address", f"This must be {_ADDRESS}.")


def _choice(value: object, choices: Mapping[str, bytes], field: str) -> bytes:
    if type(value) is str and value in choices:
        return choices[value]
    if type(value) is not str or not value:
        raise mistyped(value, field, str, wanted=one_of(choices))
    raise not_a_choice(value, field, choices)


def _uint(value: object, size: int, field: str, *, digits_allowed: bool = False) -> bytes:
    """An integer as `size` bytes, big-endian."""
    if type(value) is int and value >= 0:
        try:
            return value.to_bytes(size, "big")
        except OverflowError:
            raise out_of_range(field) from None
    return _fit(_integer(value, field, digits_allowed=digits_allowed), size, field)


def _decimals(token: Object, field: str) -> int:
    decimals = token.get("decimals", MISSING)
    if type(decimals) is int and 0 <= decimals <= MAX_DECIMALS:
        return decimals
    decimals = _integer(decimals, field)
    if decimals > MAX_DECIMALS:
        raise Refusal.of(field, "out_of_range", f"A token has at most {MAX_DECIMALS} decimals.")
    return decimals


def _units(value: object, decimals: int, field: str) -> bytes:
    """An amount in units of 10^-decimals, as 32 bytes. Digits past `decimals` are cut, as the exchange cuts them."""
    if type(value) is int:
        return _fit(_not_negative(value, field) * _POWERS_OF_TEN[decimals], 32, field)
    whole, fraction = _digits(value, field)
    units = _number(whole + fraction[:decimals].ljust(decimals, "0"), field)
    if not units and fraction.strip("0"):
        raise Refusal.of(field, "too_small", f"With {decimals} decimals this amount would be signed as zero.")
    return _fit(units, 32, field)


def _fraction(value: object, field: str) -> bytes:
    """A quantity as numerator and denominator, 8 bytes each; the denominator is the least power of ten."""
    whole, fraction = (str(_not_negative(value, field)), "") if type(value) is int else _digits(value, field)
    fraction = fraction.rstrip("0")
    if len(fraction) > 19:  # 10^19 is the largest power of ten that fits 8 bytes
        raise out_of_range(field)
    return _fit(_number(whole + fraction, field), 8, field) + _fit(10 ** len(fraction), 8, field)


def _integer(value: object, field: str, *, digits_allowed: bool = False) -> int:
    """A number without a fraction, at least 0.

    A double with no fractional part is that integer: clients on Python 2 send timestamps such as 1575332212506984.0.
    """
    if type(value) is int:
        return _not_negative(value, field)
    if type(value) is float:
        whole, fraction = _digits(value, field)
        if not fraction.strip("0"):
            return _number(whole, field)
    elif not (digits_allowed and type(value) is str and value):
        raise mistyped(value, field, int, str, wanted=_DIGITS) if digits_allowed else mistyped(value, field, int)
    elif value.isascii() and value.isdecimal():
        return _number(value, field)
    raise Refusal.of(field, "not_integer", f"This must be {_DIGITS if digits_allowed else 'an integer'}.")


def _digits(value: object, field: str) -> tuple[str, str]:
    """The decimal digits of a number before and after its point: ("12", "3343").

    A double stands for the shortest decimal that reads back as the same double, as in JavaScript, which the exchange
    uses. A string holds plain decimal digits: no sign, exponent, white space or separator, which readers take
    differently.
    """
    if type(value) is float:
        text = repr(abs(_not_negative(value, field)))  # abs: -0.0 is zero
        if "e" in text:
            text = format(Decimal(text), "f")
        whole, _, fraction = text.partition(".")
        return whole, fraction
    if type(value) is not str or not value:
        raise mistyped(value, field, int, float, str, wanted=_AMOUNT)
    whole, point, fraction = value.partition(".")
    if value.isascii() and whole.isdecimal() and (fraction.isdecimal() or not point):
        return whole, fraction
    if value[0] == "-":
        raise negative(field)
    raise Refusal.of(field, "not_decimal", f"This must be {_AMOUNT}.")


def _number(digits: str, field: str) -> int:
    if len(digits) > _MAX_DIGITS:
        digits = digits.lstrip("0") or "0"
        if len(digits) > _MAX_DIGITS:  # and int() takes time that is quadratic in their number
            raise out_of_range(field)
    return int(digits)


def _not_negative(value: _Number, field: str) -> _Number:
    if value < 0:
        raise negative(field)
    if not value < _INFINITY:
        raise out_of_range(field)
    return value


def _fit(value: int, size: int, field: str) -> bytes:
    """`value` as an unsigned integer of `size` bytes."""
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        raise out_of_range(field) from None
