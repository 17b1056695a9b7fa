"""What a rule says about orders. It judges the bytes that are signed.

In: an Order and the time. Out: an Objection, or None. Pure. Only signed bytes count. The client's decimals, for
example, are not signed and could be wrong. So amounts are compared in units of the market's decimals, as exact
integers.

An order's 134 bytes have no prefix that says "order", so something else can be made to look like one. With a key that
is not the client's own, that must not be signed:

- A transaction. Its encoding (RLP) may have 134 bytes too. Then it begins f8 84; or with a byte from 00 to 7f, the type
  of a typed transaction, and f8 83. These are the first bytes of the order's account, so only an account that a rule
  names may begin so.
- Data for a contract, as in version 0 of EIP-191: 19 00, the contract's address, then anything. The same holds for it.
- An order of the other kind. The two layouts have the same first 30 bytes, and then a spot order has its quantity where
  a futures order has the instrument. A spot quantity below 2^224 has four zero bytes there. An instrument that is not 0
  has at least one other byte. So one of the two orders is always refused.

Not possible: a message of EIP-191's version 0x45 would need an order of type 0x35, and what is hashed for EIP-712 has
66 bytes.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from ordersigner.payloads.orders import (
    ACCOUNT,
    FUTURES,
    FUTURES_ORDER_TYPES,
    MAX_DECIMALS,
    ORDER_TYPE,
    SIDE,
    SIDES,
    SPOT,
    TIMESTAMP,
    Order,
)
from ordersigner.payloads.payload import Payload
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Judge, Objection
from ordersigner.policy.settings import Section, WrongSection, address, amount, choice, number, section_of
from ordersigner.text import listed

MICROSECONDS = 1_000_000
MAX_CLOCK = 10**9  # seconds
_PRICES = ("min-price", "max-price", "max-notional")
_AMOUNTS = ("max-quantity", *_PRICES)
UNBOUND_TYPES = {"MKT", "STM"}  # types of order whose price binds nobody
_NO_INSTRUMENT = bytes(4)
_SPOT_MARKET = slice(SPOT["base"].start, SPOT["quote"].stop)  # the two are neighbours


class Market(NamedTuple):
    """What is traded: its place in the packed bytes, and the decimals of its tokens."""

    name: str
    type: str  # "spot" or "futures"
    packed: bytes  # spot: base and quote, 40 bytes; futures: instrument and quote, 24 bytes
    base_decimals: int  # 0 for futures, whose quantities are fractions
    quote_decimals: int

    @classmethod
    def read(cls, section: Section) -> Market:
        """The market of a [market NAME] section; raises WrongSection."""
        section.no_others(OrderLimits.settings)
        base = section.one("base", _token, size=2)
        quote = section.one("quote", _token, size=2)
        # An order for instrument 0 could be a spot order, and is never signed with a held key.
        instrument = section.one("instrument", number(1, 2**32 - 1, "the instrument"))
        if "quote" not in section.settings or ("base" in section.settings) == ("instrument" in section.settings):
            section.wrong("a market has quote, and either base (spot) or instrument (futures)")
        section.raise_if_wrong()
        assert quote is not None
        if instrument is not None:
            return cls(section.name, "futures", instrument.to_bytes(4, "big") + quote[0], 0, quote[1])
        assert base is not None
        return cls(section.name, "spot", base[0] + quote[0], base[1], quote[1])

    def __str__(self) -> str:
        if self.type == "spot":
            what = f"spot, base 0x{self.packed[:20].hex()} with {self.base_decimals} decimals"
        else:
            what = f"futures, instrument {int.from_bytes(self.packed[:4], 'big')}"
        return f"{self.name} ({what}, quote 0x{self.packed[-20:].hex()} with {self.quote_decimals} decimals)"


# The steps of a judgment, in their order, and what is wrong where they fail.
_TRANSACTION = Objection(1, "order.accountId", "ambiguous", "An order with this account could be a transaction.")
_CONTRACT_DATA = Objection(1, "order.accountId", "ambiguous", "An order with this account could be data of EIP-191.")
_FUTURES_AS_SPOT = Objection(1, "order.quantity", "ambiguous", "This order could be a futures order.")
_SPOT_AS_FUTURES = Objection(1, "order.instrument", "ambiguous", "This order could be a spot order.")
_ACCOUNT = Objection(2, "order.accountId", "not_allowed", "No rule allows this account.")
_MARKET = Objection(3, "instrument", "not_allowed", "No rule allows this market.")
_SIDE = Objection(4, "order.side", "not_allowed", "No rule allows this side.")
_TYPE = Objection(5, "order.orderType", "not_allowed", "No rule allows this type of order.")
_QUANTITY = Objection(6, "order.quantity", "over_limit", "This quantity is above the limit.")
_MIN_PRICE = Objection(7, "order.price", "over_limit", "This price is below the limit.")
_MAX_PRICE = Objection(8, "order.price", "over_limit", "This price is above the limit.")
_NOTIONAL = Objection(9, "order.quantity", "over_limit", "Quantity times price is above the limit.")
_CLOCK = Objection(10, "order.timestamp", "over_limit", "This time is too far from now.")


class OrderLimits(Limits):
    """The orders that a rule allows: in the markets that it lists, and within its own limits."""

    kind = "market"
    settings = ("base", "quote", "instrument")
    listed_by = "markets"
    rule_settings = ("accounts", "sides", "types", *_AMOUNTS, "clock")
    has_any = True

    @classmethod
    def compile(cls, section: Section) -> Market:
        return Market.read(section)

    @classmethod
    def judges(cls, rule: Section, sections: Mapping[str, Market | None]) -> Sequence[Judge]:
        return [cls(rule, sections)]

    def __init__(self, rule: Section, known: Mapping[str, Market | None]) -> None:
        """known: markets by name; None for one that is wrong. A limit that is None does not limit."""
        if "accounts" not in rule.settings:
            rule.wrong("markets needs accounts", "markets")
        accounts = None if rule.is_any("accounts") else rule.all("accounts", address)
        chosen = None if rule.is_any("markets") else rule.all("markets", section_of("market", known))
        markets = None if chosen is None else [market for market in chosen if market is not None]
        sides = rule.all("sides", choice(SIDES))
        types = rule.all("types", choice(FUTURES_ORDER_TYPES))
        max_quantity = rule.one("max-quantity", amount)
        min_price = rule.one("min-price", amount)
        max_price = rule.one("max-price", amount)
        max_notional = rule.one("max-notional", amount)
        clock = rule.one("clock", number(1, MAX_CLOCK, "the time"))
        for name in _AMOUNTS:
            if name in rule.settings and (chosen is None or len(chosen) != 1):
                rule.wrong(f"{name} needs exactly one market, whose tokens it counts", name)
        for name in _PRICES:
            if name in rule.settings and (not types or UNBOUND_TYPES.intersection(types)):
                rule.wrong(f"{name} needs types without MKT and STM, whose price binds nobody", name)
        rule.raise_if_wrong()
        if markets != chosen:
            raise WrongSection  # a market that the rule lists is wrong, and its section says why
        self._accounts = accounts
        self._markets = markets
        self._sides = sides
        self._types = types
        self._amounts = (max_quantity, min_price, max_price, max_notional)
        self._max_skew = clock
        # As they appear in the packed bytes:
        self._account_set = frozenset(accounts or ())
        self._market_names = None if markets is None else {market.packed: market.name for market in reversed(markets)}
        self._side_codes = frozenset(SIDES[side][0] for side in sides or SIDES)
        self._type_codes = frozenset(FUTURES_ORDER_TYPES[type][0] for type in types or FUTURES_ORDER_TYPES)
        self._max_skew_microseconds = None if clock is None else clock * MICROSECONDS
        # An amount a/b of whole tokens, in units: a quantity is n/m tokens, a price p/q tokens.
        self._has_amounts = any(self._amounts)
        if self._has_amounts:
            assert markets is not None
            (market,) = markets
            self._base_unit = 10**market.base_decimals
            quote_unit = 10**market.quote_decimals
            # n/m <= a/b, as n * b <= a * m
            self._max_quantity = max_quantity and (max_quantity.numerator, max_quantity.denominator)
            # p/q >= a/b and p/q <= a/b: p is an integer, so these are rounded up and down
            self._min_price = min_price and -(-min_price.numerator * quote_unit // min_price.denominator)
            self._max_price = max_price and max_price.numerator * quote_unit // max_price.denominator
            # n/m * p/q <= a/b, as n * p * b <= a * q * m
            self._max_notional = max_notional and (max_notional.numerator * quote_unit, max_notional.denominator)

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
            return _ACCOUNT
        if self._market_names is not None and _market_of(payload) not in self._market_names:
            return _MARKET
        if packed[SIDE] not in self._side_codes:
            return _SIDE
        if packed[ORDER_TYPE] not in self._type_codes:
            return _TYPE
        if self._has_amounts:
            objection = self._judge_amounts(payload)
            if objection is not None:
                return objection
        if self._max_skew_microseconds is not None:
            timestamp = int.from_bytes(packed[TIMESTAMP], "big")
            if abs(timestamp - int(now * MICROSECONDS)) > self._max_skew_microseconds:
                return _CLOCK
        return None

    def _judge_amounts(self, order: Order) -> Objection | None:
        packed = order.packed
        if order.type == "spot":
            n = int.from_bytes(packed[SPOT["quantity"]], "big")
            m = self._base_unit
            price = int.from_bytes(packed[SPOT["price"]], "big")
        else:
            n = int.from_bytes(packed[FUTURES["quantity, numerator"]], "big")
            m = int.from_bytes(packed[FUTURES["quantity, denominator"]], "big")
            price = int.from_bytes(packed[FUTURES["price"]], "big")
        if self._max_quantity is not None and n * self._max_quantity[1] > self._max_quantity[0] * m:
            return _QUANTITY
        if self._min_price is not None and price < self._min_price:
            return _MIN_PRICE
        if self._max_price is not None and price > self._max_price:
            return _MAX_PRICE
        if self._max_notional is not None and n * price * self._max_notional[1] > self._max_notional[0] * m:
            return _NOTIONAL
        return None

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        assert isinstance(payload, Order)
        return "any" if self._market_names is None else self._market_names[_market_of(payload)], "", ()

    def permits(self) -> list[str]:
        quantity, min_price, max_price, notional = self._amounts
        words = ["orders in any market" if self._markets is None else f"orders in {listed(self._markets)}"]
        words.append("for any account" if self._accounts is None else f"for {listed(_hex(self._accounts))}")
        if self._sides:
            words.append(f"to {listed(self._sides)}")
        if self._types:
            words.append(f"of type {listed(self._types)}")
        if quantity:
            words.append(f"of at most {quantity.text}")
        if min_price:
            words.append(f"at a price of at least {min_price.text}")
        if max_price:
            words.append(f"at a price of at most {max_price.text}")
        if notional:
            words.append(f"with quantity times price at most {notional.text}")
        if self._max_skew is not None:
            words.append(f"whose timestamp is at most {self._max_skew} seconds from now")
        return words

    def leaves_open(self) -> list[str]:
        quantity, min_price, max_price, notional = self._amounts
        words = []
        if self._accounts is None:
            words.append("the account: orders for accounts of others are signed too")
        else:
            words += [
                f"account 0x{account.hex()}: it begins like a transaction or data of EIP-191; an order may be one"
                for account in self._accounts
                if _disguised(account) is not None
            ]
        if self._markets is None:
            words.append("the market: orders for tokens that nobody listed are signed too")
        if not self._sides:
            words.append("the side")
        if not self._types:
            words.append("the type of order")
        if not quantity and not notional:
            words.append("the quantity")
        if not max_price and not notional:
            words.append("how high a price may be")
        if not min_price:
            words.append("how low a price may be")
        if self._max_skew is None:
            words.append("the timestamp: an order may be signed today and used later")
        if self._markets is None or any(market.type == "futures" for market in self._markets):
            words.append("the leverage of a futures order: its margin per fraction is signed, whatever it is")
        return [*words, "expiry, post-only, reduce-only, trigger price: they are not signed"]


def _market_of(order: Order) -> bytes:
    """Market.packed of an order."""
    packed = order.packed
    if order.type == "spot":
        return packed[_SPOT_MARKET]
    return packed[FUTURES["instrument"]] + packed[FUTURES["quote"]]


def _disguised(account: bytes) -> Objection | None:
    """The objection to an order for an account that begins like something else; None for any other account."""
    if account[:2] == b"\xf8\x84" or (account[1:3] == b"\xf8\x83" and account[0] < 0x80):
        return _TRANSACTION
    return _CONTRACT_DATA if account[:2] == b"\x19\x00" else None


def _token(word: str, decimals: str) -> tuple[bytes, int]:
    return address(word), number(0, MAX_DECIMALS, "the token's decimals")(decimals)


def _hex(addresses: Sequence[bytes]) -> list[str]:
    return ["0x" + address.hex() for address in addresses]
