"""What a rule says about Hyperliquid's actions: a [hyperliquid NAME] section of the policy, compiled.

In: an Action and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A section names the types of actions that it allows. In those of _KEYS, every order and every asset is judged, and an
unknown key of the action or of an order is refused, because nobody can say what it does. Other types are allowed as a
whole, or not. Amounts are compared as the exact decimals that are signed.
"""

from __future__ import annotations

import re
from typing import Iterator, Mapping, NamedTuple

from ordersigner.payloads.hyperliquid import SOURCES, Action
from ordersigner.payloads.payload import Payload
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Objection
from ordersigner.policy.settings import AMOUNT, Amount, Section, amount, choice, number
from ordersigner.text import listed

SIDES = ("buy", "sell")
MAX_ASSET = 2**32 - 1

_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}").fullmatch
# The keys of the actions whose content is judged. Source: hyperliquid-python-sdk, hyperliquid/utils/signing.py.
_KEYS = {
    "order": {"type", "orders", "grouping", "builder"},
    "modify": {"type", "oid", "order"},
    "batchModify": {"type", "modifies"},
    "cancel": {"type", "cancels"},
    "cancelByCloid": {"type", "cancels"},
    "updateLeverage": {"type", "asset", "isCross", "leverage"},
    "updateIsolatedMargin": {"type", "asset", "isBuy", "ntli"},
}
_NOT_LIMITED = {"updateLeverage": "the leverage", "updateIsolatedMargin": "how much margin is added or removed"}
_ORDER_KEYS = {"a", "b", "p", "s", "r", "t", "c"}
_PLACING = {"order", "modify", "batchModify"}

# With this grouping the size follows the position. Such an order may say 0, and trades the whole position.
_WHOLE_POSITION = "positionTpsl"

_NETWORK = Objection(1, "network", "not_allowed", "No rule allows this network.")
_UNKNOWN = "This part of the action is unknown, so no rule allows it."


class _Order(NamedTuple):
    """An order in an action, or another part that names an asset, and its path."""

    place: str
    content: object
    asset_key: str
    keys: set[str]


class HyperliquidLimits(Limits):
    """The actions that a section allows."""

    kind = "hyperliquid"
    settings = ("actions", "assets", "sides", "max-size", "min-price", "max-price", "network")
    listed_by = "hyperliquid"

    def __init__(self, section: Section) -> None:
        section.no_others(self.settings)
        if "actions" not in section.settings:
            section.wrong("actions: the types of actions must be given, such as: actions = order cancel")
        self._actions = section.all("actions", _action)
        self._assets = section.all("assets", number(0, MAX_ASSET, "an asset"))
        self._sides = section.all("sides", choice(SIDES))
        self._networks = section.all("network", choice(SOURCES))
        self._size = section.one("max-size", amount)
        self._min_price = section.one("min-price", amount)
        self._max_price = section.one("max-price", amount)
        section.raise_if_wrong()

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Action)
        if self._networks and payload.network not in self._networks:
            return _NETWORK
        action = payload.action
        kind = action.get("type")
        if type(kind) is not str or kind not in self._actions:
            return Objection(2, "action.type", "not_allowed", "No rule allows this type of action.")
        if kind not in _KEYS:
            return None
        unknown = next((key for key in action if key not in _KEYS[kind]), None)
        if unknown is not None:
            return Objection(3, f"action.{unknown}", "not_allowed", _UNKNOWN)
        if self._size is not None and action.get("grouping") == _WHOLE_POSITION:
            return Objection(3, "action.grouping", "not_allowed", "The size of such an order follows the position.")
        orders = list(_orders(kind, action))
        if not orders:
            return Objection(3, "action", "not_allowed", _UNKNOWN)
        for order in orders:
            objection = self._judge_order(kind, order)
            if objection is not None:
                return objection
        return None

    def _judge_order(self, kind: str, order: _Order) -> Objection | None:
        place, content = order.place, order.content
        if type(content) is not dict:
            return Objection(3, place, "not_allowed", _UNKNOWN)
        unknown = next((key for key in content if key not in order.keys), None)
        if unknown is not None:
            return Objection(3, f"{place}.{unknown}", "not_allowed", _UNKNOWN)
        asset = content.get(order.asset_key)
        if type(asset) is not int or (self._assets and asset not in self._assets):
            return Objection(4, f"{place}.{order.asset_key}", "not_allowed", "No rule allows this asset.")
        if kind not in _PLACING:
            return None
        is_buy = content.get("b")
        if type(is_buy) is not bool or (self._sides and SIDES[not is_buy] not in self._sides):
            return Objection(5, f"{place}.b", "not_allowed", "No rule allows this side.")
        size, price = _decimal(content.get("s")), _decimal(content.get("p"))
        if size is None:
            return Objection(6, f"{place}.s", "not_allowed", "A size must be plain decimal digits.")
        if price is None:
            return Objection(6, f"{place}.p", "not_allowed", "A price must be plain decimal digits.")
        if self._size is not None and (_is_more(size, self._size) or not size.numerator):
            return Objection(7, f"{place}.s", "over_limit", "This size is above the limit, or zero.")
        if self._min_price is not None and _is_more(self._min_price, price):
            return Objection(8, f"{place}.p", "over_limit", "This price is below the limit.")
        if self._max_price is not None and _is_more(price, self._max_price):
            return Objection(9, f"{place}.p", "over_limit", "This price is above the limit.")
        return None

    def permits(self) -> list[str]:
        words = [f"Hyperliquid's actions {listed(self._actions)}"]
        if self._networks:
            words.append(f"on {listed(self._networks)}")
        if self._assets:
            words.append(f"in the assets {listed(list(map(str, self._assets)))}")
        if self._sides:
            words.append(f"to {listed(self._sides)}")
        if self._size:
            words.append(f"of at most {self._size.text} in each order")
        if self._min_price:
            words.append(f"at a price of at least {self._min_price.text}")
        if self._max_price:
            words.append(f"at a price of at most {self._max_price.text}")
        return words

    def leaves_open(self) -> list[str]:
        unknown = [action for action in self._actions if action not in _KEYS]
        words = [f"the content of the action {action}, which is signed whatever it says" for action in unknown]
        if not self._networks:
            words.append("the network: what is signed for a test holds on mainnet too")
        if not self._assets:
            words.append("the assets")
        if _PLACING.intersection(self._actions):
            if not self._sides:
                words.append("the side")
            if not self._size:
                words.append("the size")
            if not self._max_price:
                words.append("how high a price may be")
            if not self._min_price:
                words.append("how low a price may be")
            words.append("how many orders an action has, time in force, reduce-only, trigger price, the builder's fee")
        words += [_NOT_LIMITED[action] for action in self._actions if action in _NOT_LIMITED]
        return [*words, "the vault or sub-account that an action is for, and its nonce and expiry"]


def _action(word: str) -> str:
    if not _ACTION(word):
        raise ValueError("the type of an action is letters and digits, such as order")
    return word


def _orders(kind: str, action: Mapping[str, object]) -> Iterator[_Order]:
    """Everything in an action that names an asset. Nothing, if the action does not have the expected form."""
    if kind == "order":
        yield from (_Order(f"action.orders[{at}]", order, "a", _ORDER_KEYS) for at, order in _listing(action, "orders"))
    elif kind == "modify":
        yield _Order("action.order", action.get("order"), "a", _ORDER_KEYS)
    elif kind == "batchModify":
        for at, modify in _listing(action, "modifies"):
            known = type(modify) is dict and modify.keys() == {"oid", "order"}
            order = modify["order"] if known else None  # type: ignore[index]
            yield _Order(f"action.modifies[{at}].order", order, "a", _ORDER_KEYS)
    elif kind == "cancel":
        yield from (_Order(f"action.cancels[{at}]", one, "a", {"a", "o"}) for at, one in _listing(action, "cancels"))
    elif kind == "cancelByCloid":
        keys = {"asset", "cloid"}
        yield from (_Order(f"action.cancels[{at}]", one, "asset", keys) for at, one in _listing(action, "cancels"))
    else:
        yield _Order("action", action, "asset", _KEYS[kind])


def _listing(action: Mapping[str, object], key: str) -> Iterator[tuple[int, object]]:
    value = action.get(key)
    return enumerate(value if type(value) is list else ())


def _decimal(value: object) -> Amount | None:
    """An amount of an action, exactly; None if it is not one."""
    return Amount.of(value) if type(value) is str and AMOUNT.fullmatch(value) else None


def _is_more(one: Amount, other: Amount) -> bool:
    return one.numerator * other.denominator > other.numerator * one.denominator
