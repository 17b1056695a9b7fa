"""The limits of a rule on orders. It judges the bytes that are signed.

In: an Order and the time. Out: an Objection, or None. Pure. Only signed bytes count. The client's decimals, for
example, are not signed and could be wrong. So amounts are compared in units of the market's decimals, as exact
integers.

An order's 134 bytes have no prefix that says "order", so something else can be made to look like one. With a key that
is not the client's own, that must not be signed:

- A transaction. Its encoding (RLP) may have 134 bytes too. Then it begins with f8 84, or with a byte from 00 to 7f, the
  type of a typed transaction, and f8 83. These are the first bytes of the order's account, so only an account that a
  rule names may begin like that.
- Data for a contract, as in version 0 of EIP-191: 19 00, the contract's address, and then anything. The same holds.
- An order of the other kind. The two layouts have the same first 30 bytes, and then a spot order has its quantity where
  a futures order has the instrument. A spot quantity below 2^224 has four zero bytes there. An instrument that is not 0
  has at least one other byte. So one of the two orders is always refused.

Not possible: a message of EIP-191's version 0x45 would need an order of type 0x35, and what is hashed for EIP-712 has
66 bytes.
"""

from __future__ import annotations

from decimal import Context, Decimal
from enum import IntEnum
from typing import Mapping, NamedTuple, Sequence

from ordersigner.payloads.orders import (
    ACCOUNT,
    FUTURES,
    FUTURES_ORDER_TYPES,
    MAX_DECIMALS,
    ORDER_TYPE,
    SIDE,
    SIDE_NAMES,
    SIDES,
    SPOT,
    TIMESTAMP,
    Order,
)
from ordersigner.payloads.payload import Payload
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import OPEN_WITH_TOTAL, Judge, Need, Objection, Total, total_in_words
from ordersigner.policy.settings import (
    MAX_TOTAL,
    Amount,
    Section,
    WrongSection,
    address,
    amount,
    amount_in_span,
    choice,
    number,
    section_of,
    shown_value,
)
from ordersigner.text import listed

MICROSECONDS = 1_000_000
MAX_CLOCK = 10**9  # seconds
MAX_DIGITS = 18  # of the steps to which clients round a margin
_LEVERAGES = ("max-leverage", "min-leverage")
_TOTAL = "max-total-notional"
_PRICES = ("min-price", "max-price", "max-notional", _TOTAL, *_LEVERAGES)
_AMOUNTS = ("max-quantity", *_PRICES)
_NOTIONAL = "order.quantity times order.price"
_LEVERAGE = "order.price divided by order.marginPerFraction, the leverage,"
_RATIO = Context(prec=12)  # digits of a leverage in a refusal
UNBOUND_TYPES = {"MKT", "STM"}  # types of order whose price the exchange ignores
_NO_INSTRUMENT = bytes(4)
_TYPE_NAMES = {code[0]: name for name, code in FUTURES_ORDER_TYPES.items()}
_TOKEN_FORM = "ADDRESS DECIMALS, such as 0x2222…2222 18"
_SPOT_MARKET = slice(SPOT["base"].start, SPOT["quote"].stop)  # the two are neighbours


class Market(NamedTuple):
    """What is traded: its place in the packed bytes, and the decimals of its tokens."""

    name: str
    type: str  # "spot" or "futures"
    packed: bytes  # spot: base and quote, 40 bytes; futures: instrument and quote, 24 bytes
    base_decimals: int  # 0 for futures, whose quantities are fractions
    quote_decimals: int
    digits: int = 0  # of futures: clients round the margin to whole steps of 10^digits units of the quote

    @classmethod
    def read(cls, section: Section) -> Market:
        """The market of a [market NAME] section; raises WrongSection."""
        section.no_others(OrderLimits.settings)
        base = section.one("base", _token, 2, _TOKEN_FORM)
        quote = section.one("quote", _token, 2, _TOKEN_FORM)
        # An order for instrument 0 could be a spot order, and is never signed with a held key.
        instrument = section.one("instrument", _instrument, range(1, 3), "NUMBER [DIGITS], such as 1 4")
        if "quote" not in section.settings or ("base" in section.settings) == ("instrument" in section.settings):
            section.wrong("a market has quote, and either base (spot) or instrument (futures)")
        section.raise_if_wrong()
        assert quote is not None
        if instrument is not None:
            packed, digits = instrument
            return cls(section.name, "futures", packed + quote[0], 0, quote[1], digits)
        assert base is not None
        return cls(section.name, "spot", base[0] + quote[0], base[1], quote[1])

    def __str__(self) -> str:
        if self.type == "spot":
            what = f"spot, base 0x{self.packed[:20].hex()} with {self.base_decimals} decimals"
        else:
            what = f"futures, instrument {int.from_bytes(self.packed[:4], 'big')}"
        return f"{self.name} ({what}, quote 0x{self.packed[-20:].hex()} with {self.quote_decimals} decimals)"


# The results of the first step of a judgment.
_TRANSACTION = Objection(1, "order.accountId", "ambiguous", "An order with this account could be a transaction.")
_CONTRACT_DATA = Objection(1, "order.accountId", "ambiguous", "An order with this account could be data of EIP-191.")
_FUTURES_AS_SPOT = Objection(1, "order.quantity", "ambiguous", "This order could be a futures order.")
_SPOT_AS_FUTURES = Objection(1, "order.instrument", "ambiguous", "This order could be a spot order.")


class _Step(IntEnum):
    """The later steps, each about a value."""

    ACCOUNT = 2
    MARKET = 3
    SIDE = 4
    TYPE = 5
    QUANTITY = 6
    MIN_PRICE = 7
    MAX_PRICE = 8
    NOTIONAL = 9
    MAX_LEVERAGE = 10
    MIN_LEVERAGE = 11
    CLOCK = 12


class OrderLimits(Limits):
    """The orders that a rule allows: in the markets that it lists, and within its own limits."""

    kind = "market"
    settings = ("base", "quote", "instrument")
    listed_by = "markets"
    rule_settings = ("accounts", "sides", "types", *_AMOUNTS, "clock")
    has_any = True
    title = ""

    @classmethod
    def compile(cls, section: Section) -> Market:
        return Market.read(section)

    @classmethod
    def judges(cls, rule: Section, sections: Mapping[str, Market | None]) -> Sequence[Judge]:
        return [cls(rule, sections)]

    def __init__(self, rule: Section, known: Mapping[str, Market | None]) -> None:
        """known: markets by name; None for one that is wrong. A limit that is None does not limit."""
        if "accounts" not in rule.settings:
            rule.wrong("markets needs accounts, such as accounts = ADDRESS", "markets")
        accounts = None if rule.is_any("accounts") else rule.all("accounts", address)
        chosen = None if rule.is_any("markets") else rule.all("markets", section_of("market", known))
        markets = None if chosen is None else [market for market in chosen if market is not None]
        sides = rule.all("sides", choice(SIDES))
        types = rule.all("types", choice(FUTURES_ORDER_TYPES))
        max_quantity = rule.one("max-quantity", amount)
        min_price = rule.one("min-price", amount)
        max_price = rule.one("max-price", amount)
        max_notional = rule.one("max-notional", amount)
        max_leverage = rule.one("max-leverage", _max_leverage)
        min_leverage = rule.one("min-leverage", amount)
        bounds = {"min-price": min_price, "max-price": max_price, "min-leverage": min_leverage}
        bounds["max-leverage"] = max_leverage
        exact = {name: Decimal(limit.text) for name, limit in bounds.items() if limit is not None}
        rule.in_order("min-price", "max-price", exact)
        rule.in_order("min-leverage", "max-leverage", exact)
        total = rule.one(_TOTAL, amount_in_span)
        clock = rule.one("clock", number(1, MAX_CLOCK, "the time"))
        market = chosen[0] if chosen and len(chosen) == 1 else None  # whose tokens the amounts count
        for name in (name for name in _AMOUNTS if name in rule.settings):
            if chosen is None or len(chosen) != 1:
                rule.wrong(f"{name} needs exactly one market, whose tokens it counts", name)
            elif market is not None and market.type == "spot" and name in _LEVERAGES:
                rule.wrong(f"{name} needs a futures market: a spot order has no leverage", name)
            if name in _PRICES and (not types or UNBOUND_TYPES.intersection(types)):
                rule.wrong(
                    f"{name} needs types without MKT and STM, whose price the exchange ignores, such as types = LMT",
                    name,
                )
        if total is not None and market is not None:
            self.totals = _totals(rule, *total, market)
        rule.raise_if_wrong()
        if markets != chosen:
            raise WrongSection  # a market that the rule lists is wrong, and its section says why
        self._rule = f"[rule {rule.name}]"
        self._accounts = accounts
        self._markets = markets
        self._sides = sides
        self._types = types
        self._amounts = (max_quantity, min_price, max_price, max_notional)
        self._leverages = (min_leverage, max_leverage)
        self._max_skew = clock
        # As they appear in the packed bytes:
        self._account_set = frozenset(accounts or ())
        self._market_names = None if markets is None else {market.packed: market.name for market in reversed(markets)}
        self._side_codes = frozenset(SIDES[side][0] for side in sides or SIDES)
        self._type_codes = frozenset(FUTURES_ORDER_TYPES[type][0] for type in types or FUTURES_ORDER_TYPES)
        self._max_skew_microseconds = None if clock is None else clock * MICROSECONDS
        # An amount a/b of whole tokens, in units: a quantity is n/m tokens, a price p/q tokens.
        self._has_leverage = any(self._leverages)
        self._has_amounts = any(self._amounts) or self._has_leverage
        if market is not None:
            self._base_unit = 10**market.base_decimals
            self._quote_decimals = market.quote_decimals
            self._only_market = market.name
            quote_unit = 10**market.quote_decimals
            # n/m <= a/b, as n * b <= a * m
            self._max_quantity = max_quantity and (max_quantity.numerator, max_quantity.denominator)
            # p/q >= a/b and p/q <= a/b: p is an integer, so these are rounded up and down
            self._min_price = min_price and -(-min_price.numerator * quote_unit // min_price.denominator)
            self._max_price = max_price and max_price.numerator * quote_unit // max_price.denominator
            # n/m * p/q <= a/b, as n * p * b <= a * q * m
            self._max_notional = max_notional and (max_notional.numerator * quote_unit, max_notional.denominator)
            # The margin is p / leverage, which the client rounds to a whole step. So it may be half a step off.
            self._margin_step = 10**market.digits
            self._max_leverage = max_leverage and (max_leverage.numerator, max_leverage.denominator)
            self._min_leverage = min_leverage and (min_leverage.numerator, min_leverage.denominator)

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Order)
        packed = payload.packed
        account = packed[ACCOUNT]
        is_named = account in self._account_set
        if not is_named:
            disguised = _disguised(account)
            if disguised is not None:
                return disguised
        instrument = packed[FUTURES["instrument"]]  # in a spot order these are the first bytes of the quantity
        if payload.type == "spot":
            if instrument != _NO_INSTRUMENT:
                return _FUTURES_AS_SPOT
        elif instrument == _NO_INSTRUMENT:
            return _SPOT_AS_FUTURES
        if not is_named and self._accounts is not None:
            return self._not_allowed(payload, _Step.ACCOUNT, "order.accountId", f"value: 0x{account.hex()}")
        if self._market_names is not None and _market_of(payload) not in self._market_names:
            return self._not_allowed(payload, _Step.MARKET, "instrument", f"market: {_tokens(payload)}")
        if packed[SIDE] not in self._side_codes:
            return self._not_allowed(payload, _Step.SIDE, "order.side", f"value: {SIDE_NAMES[packed[SIDE]]}")
        if packed[ORDER_TYPE] not in self._type_codes:
            value = _TYPE_NAMES[packed[ORDER_TYPE]]
            return self._not_allowed(payload, _Step.TYPE, "order.orderType", f"value: {value}")
        if self._has_amounts:
            objection = self._judge_amounts(payload)
            if objection is not None:
                return objection
        if self._max_skew_microseconds is not None:
            timestamp = int.from_bytes(packed[TIMESTAMP], "big")
            numerator, denominator = now.as_integer_ratio()  # now * MICROSECONDS would be rounded to a double
            late = timestamp - numerator * MICROSECONDS // denominator
            if abs(late) > self._max_skew_microseconds:
                message = f"This time is too {'late' if late > 0 else 'early'} for {self._rule}: {timestamp}."
                return Objection(_Step.CLOCK, "order.timestamp", "over_limit", message, self._section(payload))
        return None

    def _judge_amounts(self, order: Order) -> Objection | None:
        n, m, p = self._fractions(order)
        if self._max_quantity is not None and n * self._max_quantity[1] > self._max_quantity[0] * m:
            return self._past(_Step.QUANTITY, "order.quantity", "above", n, _zeros(m))
        if self._min_price is not None and p < self._min_price:
            return self._past(_Step.MIN_PRICE, "order.price", "below", p, self._quote_decimals)
        if self._max_price is not None and p > self._max_price:
            return self._past(_Step.MAX_PRICE, "order.price", "above", p, self._quote_decimals)
        if self._max_notional is not None and n * p * self._max_notional[1] > self._max_notional[0] * m:
            return self._past(_Step.NOTIONAL, "order.quantity", "above", n * p, _zeros(m) + self._quote_decimals)
        if self._has_leverage:
            return self._judge_leverage(order, p)
        return None

    def _judge_leverage(self, order: Order, p: int) -> Objection | None:
        margin = int.from_bytes(order.packed[FUTURES["margin per fraction"]], "big")
        if self._max_leverage is not None:
            a, b = self._max_leverage
            if 2 * p * b > a * (2 * margin + self._margin_step):
                return self._wrong_leverage(_Step.MAX_LEVERAGE, "above", p, margin)
        if self._min_leverage is not None:
            a, b = self._min_leverage
            if 2 * p * b < a * (2 * margin - self._margin_step):
                return self._wrong_leverage(_Step.MIN_LEVERAGE, "below", p, margin)
        return None

    def _fractions(self, order: Order) -> tuple[int, int, int]:
        """n, m, p: the quantity is n/m whole tokens, where m is a power of ten; the price is p units of the quote."""
        packed = order.packed
        if order.type == "spot":
            return (
                int.from_bytes(packed[SPOT["quantity"]], "big"),
                self._base_unit,
                int.from_bytes(packed[SPOT["price"]], "big"),
            )
        return (
            int.from_bytes(packed[FUTURES["quantity, numerator"]], "big"),
            int.from_bytes(packed[FUTURES["quantity, denominator"]], "big"),
            int.from_bytes(packed[FUTURES["price"]], "big"),
        )

    def _not_allowed(self, order: Order, step: _Step, field: str, what: str) -> Objection:
        message = f"{self._rule} does not allow this {what}."
        return Objection(step, field, "not_allowed", message, self._section(order) if step > _Step.MARKET else "")

    def _past(self, step: _Step, field: str, side: str, value: int, digits: int) -> Objection:
        """For a value that is past a limit. digits: how many of its decimal digits are after the point."""

        def message() -> str:
            return f"This value is {side} the limit of {self._rule}{_after_colon(_shown(value, digits))}."

        return Objection(step, field, "over_limit", message, self._only_market)

    def _wrong_leverage(self, step: _Step, side: str, p: int, margin: int) -> Objection:
        def message() -> str:
            return f"This leverage is {side} the limit of {self._rule}{_after_colon(_ratio(p, margin))}."

        return Objection(step, "order.marginPerFraction", "over_limit", message, self._only_market)

    def _section(self, order: Order) -> str:
        """The name of the market that an order is for."""
        return "any" if self._market_names is None else self._market_names[_market_of(order)]

    def needs(self, payload: Payload) -> Sequence[Need]:
        """Quantity times price in units of the quote. A part of a unit counts as a whole one."""
        if not self.totals:
            return ()
        assert isinstance(payload, Order)
        n, m, p = self._fractions(payload)
        return [Need(self.totals[0], min(-(-n * p // m), MAX_TOTAL), "order.quantity")]

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        assert isinstance(payload, Order)
        return self._section(payload), "", ()

    def permits(self) -> list[str]:
        quantity, min_price, max_price, notional = self._amounts
        words = ["orders in any market" if self._markets is None else f"orders in {listed(self._markets)}"]
        if self._accounts is not None:
            words.append(f"order.accountId {listed(_hex(self._accounts))}")
        if self._sides:
            words.append(f"order.side {listed(self._sides)}")
        if self._types:
            words.append(f"order.orderType {listed(self._types)}")
        words += _range("order.quantity", None, quantity)
        words += _range("order.price", min_price, max_price)
        words += _range(_NOTIONAL, None, notional)
        words += [f"{each}, but for the rounding of the margin" for each in _range(_LEVERAGE, *self._leverages)]
        if self._max_skew is not None:
            words.append(f"order.timestamp at most {self._max_skew} seconds before or after now")
        return [*words, *(total_in_words(total, _NOTIONAL) for total in self.totals)]

    def leaves_open(self) -> list[str]:
        quantity, min_price, max_price, notional = self._amounts
        words = []
        if self._accounts is None:
            words.append("order.accountId: orders for accounts of others are signed too")
        else:
            words += [
                f"account 0x{account.hex()}: it begins like a transaction or data of EIP-191; an order may be one"
                for account in self._accounts
                if _disguised(account) is not None
            ]
        if self._markets is None:
            words.append(
                "the market (instrument.base.address, instrument.quote.address, order.instrument, order.quote): orders"
                " for tokens of no [market] section are signed too"
            )
        if not self._sides:
            words.append("order.side")
        if not self._types:
            words.append("order.orderType")
        if not quantity and not notional:
            words.append("order.quantity")
        elif not quantity and not min_price:
            words.append("how high order.quantity may be if order.price is low")
        if not max_price:
            words.append(f"how high order.price may be{' if order.quantity is low' if notional else ''}")
        if not min_price:
            words.append("how low order.price may be")
        if self._max_skew is None:
            words.append("order.timestamp: an order may be signed today and used later")
        if self._markets is None or any(market.type == "futures" for market in self._markets):
            words += self._open_leverage()
        if self.totals:
            words.append(OPEN_WITH_TOTAL)
        return [*words, "expiry, post-only, reduce-only, trigger price: they are not signed"]

    def _open_leverage(self) -> list[str]:
        least, most = self._leverages
        if not least and not most:
            unbound = not self._types or UNBOUND_TYPES.intersection(self._types)
            why = ": nothing can limit it where MKT or STM is allowed" if unbound else ""
            return [f"how low and how high order.marginPerFraction may be, so the leverage of futures{why}"]
        if not least:
            return ["how high order.marginPerFraction may be, so how low the leverage"]
        return [] if most else ["how low order.marginPerFraction may be, so how high the leverage"]


def _market_of(order: Order) -> bytes:
    """Market.packed of an order."""
    packed = order.packed
    if order.type == "spot":
        return packed[_SPOT_MARKET]
    return packed[FUTURES["instrument"]] + packed[FUTURES["quote"]]


def _tokens(order: Order) -> str:
    """The tokens or the instrument that an order trades, for people."""
    packed = order.packed
    if order.type == "spot":
        return f"base 0x{packed[SPOT['base']].hex()}, quote 0x{packed[SPOT['quote']].hex()}"
    return (
        f"instrument {int.from_bytes(packed[FUTURES['instrument']], 'big')}, quote 0x{packed[FUTURES['quote']].hex()}"
    )


def _disguised(account: bytes) -> Objection | None:
    """The objection to an order for an account that begins like something else; None for any other account."""
    if account[:2] == b"\xf8\x84" or (account[1:3] == b"\xf8\x83" and account[0] < 0x80):
        return _TRANSACTION
    return _CONTRACT_DATA if account[:2] == b"\x19\x00" else None


def _token(word: str, decimals: str) -> tuple[bytes, int]:
    return address(word), number(0, MAX_DECIMALS, "the token's decimals")(decimals)


def _instrument(word: str, digits: str = "0") -> tuple[bytes, int]:
    """An order for instrument 0 could be a spot order, and is never signed with a held key."""
    instrument = number(1, 2**32 - 1, "the instrument")(word)
    return instrument.to_bytes(4, "big"), number(0, MAX_DIGITS, "the digits that margins are rounded to")(digits)


def _max_leverage(word: str) -> Amount:
    leverage = amount(word)
    if not leverage.numerator:
        raise ValueError("the highest leverage must be more than 0")
    return leverage


def _totals(rule: Section, limit: Amount, seconds: int, market: Market) -> list[Total]:
    """The total of a rule: its limit in units of the market's quote."""
    units = limit.numerator * 10**market.quote_decimals // limit.denominator
    if units > MAX_TOTAL:
        rule.wrong(f"{_TOTAL}: with {market.quote_decimals} decimals this total has more than 256 bits", _TOTAL)
    return [Total("", _TOTAL, seconds, units, market.quote_decimals)]


def _zeros(power: int) -> int:
    """Of a power of ten."""
    return len(str(power)) - 1


def _shown(value: int, digits: int) -> str:
    """As shown_value(), but zeros at the end do not count."""
    while digits and value % 10 == 0:
        value //= 10
        digits -= 1
    return shown_value(value, digits=digits)


def _ratio(p: int, margin: int) -> str:
    """The leverage that a margin stands for; "" without a margin, or if a number may be a key."""
    if not margin or not shown_value(p) or not shown_value(margin):
        return ""
    return f"{_RATIO.divide(Decimal(p), Decimal(margin)).normalize():f}"


def _after_colon(shown: str) -> str:
    return shown and f": {shown}"


def _range(what: str, least: Amount | None, most: Amount | None) -> list[str]:
    """The words for a value that is bounded at one side, or at both. No order has one below 0."""
    if most is not None:
        return [f"{what} from {least.text if least else 0} to {most.text}"]
    return [] if least is None else [f"{what} at least {least.text}"]


def _hex(addresses: Sequence[bytes]) -> list[str]:
    return ["0x" + address.hex() for address in addresses]
