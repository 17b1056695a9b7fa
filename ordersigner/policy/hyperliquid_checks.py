"""The judges of values in Hyperliquid's actions: forms, and makers of checks, for each kind of field.

A form is the same for all sections, so a value is compared with it once for all of them, which bounds the time of large
actions. It keeps the exact decimals of the amounts in the value. A check is made from the limits of a section, and
judges a value whose form is right. Both return None or a Fault, and raise nothing. Pure.

hyperliquid_actions.py says which fields are of which kind.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Any, Callable, Dict, Iterable, Mapping, NamedTuple, Optional

from ordersigner.policy.settings import AMOUNT

SIDES = {"buy": True, "sell": False}
TIFS = ("Alo", "Ioc", "Gtc", "FrontendMarket")
TRIGGERS = ("tp-limit", "tp-market", "sl-limit", "sl-market")
GROUPINGS = ("na", "normalTpsl", "positionTpsl")
MARGINS = {"cross": True, "isolated": False}
YES_NO = {"yes": True, "no": False}
_NO_GROUPING = "na"  # the grouping of an order without one
# With this grouping the size follows the position. Such an order may say 0, and trades the whole position.
_WHOLE_POSITION = "positionTpsl"
LIMIT_THE_SIZE = ("max-size", "max-notional", "max-total-notional")

_PRIORITY_UNITS = 10**6  # of a percent, in the fee of grouping
_BUILDER_UNITS = 1000  # of a percent, in the builder's fee
_MARGIN_UNITS = 10**6  # of a dollar
NOTIONAL_DECIMALS = 36  # of size times price, which have up to 18 each
_EXACT = Context(prec=200)  # a size times a price has at most 156 digits, and a line not 10^44 of them

# The step at which a judge objects: the higher, the closer the section came.
NETWORK, MULTI_SIG, TYPE, VAULT, FORM, ASSET, SIDE, NUMBER, SIZE, LOW, HIGH, OTHER = range(1, 13)
CONDITION = 20  # the first condition on a power
TIME = 999

# Texts of faults. {where} is the section. {value} is a colon and the value, or nothing.
_VALUE = "{where} does not allow this value{value}."
_ABOVE = "This value is above the limit of {where}{value}."
_BELOW = "This value is below the limit of {where}{value}."
_NONE = "{where} does not allow this."
_FORM = "{where} does not allow this form, which this version does not know."
_KEY = "{where} does not allow this key, which this version does not know."
_ZERO = "This size is zero, so the order may trade the whole position, and {where} limits the size."
_DIGITS = "This must be plain decimal digits, in a string."
_EARLY = "This time is too early for {where}{value}."
_LATE = "This time is too late for {where}{value}."
_NO_TIME = "{where} needs a time here."
_NO_VAULT = "{where} needs a vaultAddress."
_NO_LIST = "{where} does not allow this list, which is for a multi-sig user."
_ONLY_LISTS = "{where} allows only lists for its multi-sig user and outer signer."

ABSENT = object()  # stands for the value of a key that is not there
_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}").fullmatch
_is_amount = AMOUNT.fullmatch
_TRIGGER_KEYS = {"isMarket", "triggerPx", "tpsl"}
_BUILDER_KEYS = {"b", "f"}
_PRIORITY_KEYS = {"p"}


class Fault(NamedTuple):
    """Why a value is not allowed."""

    step: int
    code: str
    text: str
    value: object = None  # that the text shows
    path: str | None = ""  # of the mistake, from the value that was judged; None: file it where that is a member


class Facts(NamedTuple):
    """Facts for checks. now: milliseconds. amounts: the decimals of texts that forms have read."""

    now: int
    amounts: Mapping[str, Decimal]


Limits = Mapping[str, Any]  # of a section: what its settings say, by their names; without those that are absent
Form = Callable[[Any, Dict[str, Decimal]], Optional[Fault]]  # which adds to the amounts
Check = Callable[[Any, Facts], Optional[Fault]]
Make = Callable[[Limits], Optional[Check]]  # None if no limit is about the value

_UNKNOWN_FORM = Fault(FORM, "not_allowed", _FORM)
NO_MULTI_SIG = Fault(MULTI_SIG, "not_allowed", _NO_LIST)
ONLY_MULTI_SIG = Fault(MULTI_SIG, "not_allowed", _ONLY_LISTS)


# Forms
def any_form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
    """Whatever it is, its check knows it."""
    return None


def scalar_form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
    """Any value but an object or an array, which could contain unknown keys."""
    return _UNKNOWN_FORM if type(value) is dict or type(value) is list else None


def integer_form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
    return None if type(value) is int else Fault(ASSET, "not_allowed", _VALUE, value)


def boolean_form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
    return None if type(value) is bool else Fault(SIDE, "not_allowed", _VALUE, value)


def amount_form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
    """Decimal digits in a string."""
    if type(value) is not str or (value not in amounts and not _is_amount(value)):
        return Fault(NUMBER, "not_allowed", _DIGITS)
    if value not in amounts:  # of the orders of a batch, many have the same
        amounts[value] = Decimal(value)
    return None


def order_type_form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
    """{limit: {tif}} or {trigger: {isMarket, triggerPx, tpsl}}."""
    if type(value) is not dict or len(value) != 1:
        return _UNKNOWN_FORM
    limit = value.get("limit")
    if type(limit) is dict:
        return None if len(limit) == 1 and type(limit.get("tif")) is str else _UNKNOWN_FORM
    trigger = value.get("trigger")
    if type(trigger) is not dict or trigger.keys() != _TRIGGER_KEYS:
        return _UNKNOWN_FORM
    kind, is_market = trigger["tpsl"], trigger["isMarket"]
    if type(is_market) is not bool or type(kind) is not str or f"{kind}-market" not in TRIGGERS:
        return _UNKNOWN_FORM._replace(path=".trigger")
    fault = amount_form(trigger["triggerPx"], amounts)
    return fault and fault._replace(path=".trigger.triggerPx")


def members_form(forms: Mapping[str, Form], *, is_exact: bool = False) -> Form:
    """An object that has only these keys. is_exact: it must have all of them."""
    known = frozenset(forms)
    scalars = tuple(key for key, form in forms.items() if form is scalar_form)
    others = tuple((key, form) for key, form in forms.items() if form is not scalar_form)

    def form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
        if type(value) is not dict or (is_exact and value.keys() != known):
            return _UNKNOWN_FORM
        if not value.keys() <= known:
            return Fault(FORM, "not_allowed", _KEY, path=f".{next(key for key in value if key not in known)}")
        for key in scalars:  # without a call for each: an action can have a thousand orders
            kind = type(value.get(key))
            if kind is dict or kind is list:
                return _UNKNOWN_FORM._replace(path=f".{key}")
        for key, inner in others:
            fault = inner(value.get(key, ABSENT), amounts)
            if fault is not None:
                return _inside(fault, key)
        return None

    return form


def elements_form(inner: Form) -> Form:
    """An array of at least one element."""

    def form(value: Any, amounts: dict[str, Decimal]) -> Fault | None:
        if type(value) is not list or not value:
            return _UNKNOWN_FORM._replace(path=None)
        for at, element in enumerate(value):
            fault = inner(element, amounts)
            if fault is not None:
                return fault._replace(path=f"[{at}]{fault.path}")
        return None

    return form


def _inside(fault: Fault, key: str) -> Fault:
    return fault._replace(path="" if fault.path is None else f".{key}{fault.path}")


# Checks of values that are chosen from some words
def nothing(limits: Limits) -> Check | None:
    return None


def asset(limits: Limits) -> Check | None:
    if "assets" not in limits:
        return None
    assets = frozenset(limits["assets"])

    def check(value: Any, facts: Facts) -> Fault | None:
        return None if value in assets else Fault(ASSET, "not_allowed", _VALUE, value)

    return check


def boolean(setting: str, words: Mapping[str, bool], step: int = OTHER) -> Make:
    """words: of the setting, and what they stand for."""

    def make(limits: Limits) -> Check | None:
        if setting not in limits:
            return None
        allowed = [words[word] for word in limits[setting]]

        def check(value: Any, facts: Facts) -> Fault | None:
            if type(value) is not bool or value not in allowed:
                return Fault(step, "not_allowed", _VALUE, value)
            return None

        return check

    return make


def only_true(setting: str) -> Make:
    """A key that may be there only if the setting says yes, and is true then."""

    def make(limits: Limits) -> Check:
        is_allowed = limits.get(setting) == ["yes"]

        def check(value: Any, facts: Facts) -> Fault | None:
            if value is ABSENT or (value is True and is_allowed):
                return None
            return Fault(OTHER, "not_allowed", _VALUE if is_allowed else _NONE, value)

        return check

    return make


def network(limits: Limits) -> Check | None:
    allowed = limits.get("network")
    if allowed is None:
        return None
    return lambda value, facts: None if value in allowed else Fault(NETWORK, "not_allowed", _VALUE, value)


def vault(limits: Limits) -> Check | None:
    """Its 20 bytes, or None."""
    if "vault" not in limits:
        return None
    allowed = [None if word == "none" else bytes.fromhex(word[2:]) for word in limits["vault"]]

    def check(value: Any, facts: Facts) -> Fault | None:
        if value in allowed:
            return None
        return Fault(VAULT, "not_allowed", _NO_VAULT if value is None else _VALUE, value)

    return check


# Checks of numbers
def amount(low: str, high: str) -> Make:
    """low, high: the settings that bound it."""

    def make(limits: Limits) -> Check | None:
        least, most = limits.get(low), limits.get(high)
        if least is None and most is None:
            return None

        def check(value: Any, facts: Facts) -> Fault | None:
            decimal = facts.amounts[value]
            if least is not None and decimal < least:
                return Fault(LOW, "over_limit", _BELOW, value)
            if most is not None and decimal > most:
                return Fault(HIGH, "over_limit", _ABOVE, value)
            return None

        return check

    return make


def size(limits: Limits) -> Check | None:
    """Whatever limits the size allows no zero."""
    if limits.keys().isdisjoint(LIMIT_THE_SIZE):
        return None
    most = limits.get("max-size")

    def check(value: Any, facts: Facts) -> Fault | None:
        decimal = facts.amounts[value]
        if not decimal:
            return Fault(SIZE, "over_limit", _ZERO)
        return None if most is None or decimal <= most else Fault(SIZE, "over_limit", _ABOVE, value)

    return check


def _integer(least: Decimal | int | None, most: Decimal | int | None) -> Check:
    def check(value: Any, facts: Facts) -> Fault | None:
        if type(value) is not int:
            return Fault(NUMBER, "not_allowed", _VALUE, value)
        if least is not None and value < least:
            return Fault(LOW, "over_limit", _BELOW, value)
        if most is not None and value > most:
            return Fault(HIGH, "over_limit", _ABOVE, value)
        return None

    return check


def leverage(limits: Limits) -> Check | None:
    return _integer(None, limits["max-leverage"]) if "max-leverage" in limits else None


def leverage_text(limits: Limits) -> Check | None:
    """Decimal digits in a string, if there is a limit."""
    if "max-leverage" not in limits:
        return None
    most = limits["max-leverage"]

    def check(value: Any, facts: Facts) -> Fault | None:
        if type(value) is not str or not _is_amount(value):
            return Fault(NUMBER, "not_allowed", _DIGITS)
        return Fault(HIGH, "over_limit", _ABOVE, value) if Decimal(value) > most else None

    return check


def minutes(limits: Limits) -> Check | None:
    return _integer(*limits["twap-minutes"]) if "twap-minutes" in limits else None


def margin(limits: Limits) -> Check | None:
    """What is added, in units; below zero, what is removed."""
    added, removed = (
        _times(limits[setting], units) if setting in limits else None
        for setting, units in (("max-add-margin", _MARGIN_UNITS), ("max-remove-margin", -_MARGIN_UNITS))
    )
    return None if added is None and removed is None else _integer(removed, added)


def within(setting: str) -> Make:
    """A time in milliseconds, from now on. The setting has seconds."""

    def make(limits: Limits) -> Check | None:
        if setting not in limits:
            return None
        span = limits[setting] * 1000

        def check(value: Any, facts: Facts) -> Fault | None:
            if type(value) is not int:
                return Fault(TIME, "not_allowed", _NO_TIME)
            if facts.now <= value <= facts.now + span:
                return None
            return Fault(TIME, "over_limit", _EARLY if value < facts.now else _LATE, value)

        return check

    return make


def clock(limits: Limits) -> Check | None:
    """A time in milliseconds, about now."""
    if "clock" not in limits:
        return None
    span = limits["clock"] * 1000

    def check(value: Any, facts: Facts) -> Fault | None:
        if -span <= value - facts.now <= span:
            return None
        return Fault(TIME, "over_limit", _EARLY if value < facts.now else _LATE, value)

    return check


# Checks of objects
def order_type(limits: Limits) -> Check | None:
    tifs, triggers = limits.get("tif"), limits.get("triggers")
    judge_price = amount("min-trigger-price", "max-trigger-price")(limits)
    if tifs is None and triggers is None and judge_price is None:
        return None

    def check(value: Any, facts: Facts) -> Fault | None:
        if "limit" in value:
            tif = value["limit"]["tif"]
            return None if tifs is None or tif in tifs else Fault(OTHER, "not_allowed", _VALUE, tif, ".limit.tif")
        trigger = value["trigger"]
        word = f"{trigger['tpsl']}-{'market' if trigger['isMarket'] else 'limit'}"
        if triggers is not None and word not in triggers:
            return Fault(OTHER, "not_allowed", _VALUE, word, ".trigger")
        fault = judge_price and judge_price(trigger["triggerPx"], facts)
        return fault and fault._replace(path=".trigger.triggerPx")

    return check


def grouping(limits: Limits) -> Check:
    """A word, which may be absent, or {p}: a fee for priority."""
    allowed = set(limits.get("groupings", GROUPINGS))
    if any(setting in limits for setting in LIMIT_THE_SIZE):
        allowed.discard(_WHOLE_POSITION)
    most = _times(limits["max-priority"], _PRIORITY_UNITS) if "max-priority" in limits else None

    def check(value: Any, facts: Facts) -> Fault | None:
        word = _NO_GROUPING if value is ABSENT else value
        if type(word) is str and word in allowed:
            return None
        if most is None or type(value) is not dict or value.keys() != _PRIORITY_KEYS or not _is_count(value["p"]):
            return Fault(OTHER, "not_allowed", _VALUE, word)
        return Fault(OTHER, "over_limit", _ABOVE, value["p"], ".p") if value["p"] > most else None

    return check


def builder(limits: Limits) -> Check:
    """Nothing, null, or {b, f}: an address and its fee. The setting has an empty address for "none"."""
    allowed, percent = limits.get("builder", (None, Decimal(0)))
    most = _times(percent, _BUILDER_UNITS)

    def check(value: Any, facts: Facts) -> Fault | None:
        if value is ABSENT or value is None:
            return None
        if allowed == b"":
            return Fault(OTHER, "not_allowed", _NONE)
        if type(value) is not dict or value.keys() != _BUILDER_KEYS:
            return _UNKNOWN_FORM
        found, fee = address_of(value["b"]), value["f"]
        if found is None or (allowed is not None and found != allowed):
            return Fault(OTHER, "not_allowed", _VALUE, found, ".b")
        if not _is_count(fee):
            return Fault(OTHER, "not_allowed", _VALUE, fee, ".f")
        return Fault(OTHER, "over_limit", _ABOVE, fee, ".f") if allowed is not None and fee > most else None

    return check


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def address_of(value: object) -> bytes | None:
    """The 20 bytes of an address in any case; None if it is none."""
    return bytes.fromhex(value[2:]) if type(value) is str and _ADDRESS(value) else None


def _times(number: Decimal | str, factor: Decimal | int | str) -> Decimal:
    """The product of two amounts, exactly."""
    return _EXACT.multiply(Decimal(number), Decimal(factor))


def members(checks: Mapping[str, Check | None]) -> Check | None:
    in_turn = tuple((key, check) for key, check in checks.items() if check is not None)
    if not in_turn:
        return None

    def check(value: Any, facts: Facts) -> Fault | None:
        for key, judge in in_turn:
            fault = judge(value.get(key, ABSENT), facts)
            if fault is not None:
                return _inside(fault, key)
        return None

    return check


def order(checks: Mapping[str, Check | None], most: Decimal | None) -> Check | None:
    """most: of an order's size times its price."""
    judge = members(checks)
    if most is None:
        return judge

    def check(value: Any, facts: Facts) -> Fault | None:
        fault = None if judge is None else judge(value, facts)
        if fault is None and _EXACT.multiply(facts.amounts[value["s"]], facts.amounts[value["p"]]) > most:
            return Fault(OTHER, "over_limit", _ABOVE, value["s"], ".s")
        return fault

    return check


def notional(orders: Iterable[Mapping[str, Any]]) -> int:
    """The sum of size times price, in units of 10^-36, of orders that have both."""
    total = Decimal(0)
    for order in orders:
        total = _EXACT.add(total, _times(order["s"], order["p"]))
    return int(_EXACT.scaleb(total, NOTIONAL_DECIMALS))


def elements(judge: Check | None, most: int | None) -> Check | None:
    """most: how many there are."""

    def check(value: Any, facts: Facts) -> Fault | None:
        if most is not None and len(value) > most:
            return Fault(FORM, "over_limit", f"{{where}} does not allow {len(value)} elements.")
        if judge is None:
            return None
        for at, element in enumerate(value):
            fault = judge(element, facts)
            if fault is not None:
                return fault._replace(path=f"[{at}]{fault.path}")
        return None

    return check
