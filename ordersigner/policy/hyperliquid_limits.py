"""What a rule says about Hyperliquid's actions: a [hyperliquid NAME] section of the policy, compiled.

In: an Action and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A section names the types of actions that it allows. In those of _KEYS, every order and every asset is judged, and an
unknown key of the action or of an order is refused, because nobody can say what it does. What is inside an order's `t`,
or the `builder`, is not looked at. Other types are allowed as a whole, or not. Amounts are compared as the exact
decimals that are signed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Mapping, Sequence

from ordersigner.payloads.hyperliquid import SOURCES, Action
from ordersigner.payloads.payload import Payload
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Objection
from ordersigner.policy.settings import AMOUNT, Section, amount, choice, number
from ordersigner.text import listed

SIDES = ("buy", "sell")
MAX_ASSET = 2**32 - 1
MAX_ORDERS = 1000  # in an action. A line holds about 800 real ones.

_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}").fullmatch
_AMOUNT = AMOUNT.fullmatch
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
# In these actions, the parts that name an asset: the key of the asset, and all keys that are known.
_ORDER = ("a", {"a", "b", "p", "s", "r", "t", "c"})
_PARTS = {
    "order": _ORDER,
    "modify": _ORDER,
    "batchModify": _ORDER,
    "cancel": ("a", {"a", "o"}),
    "cancelByCloid": ("asset", {"asset", "cloid"}),
    "updateLeverage": ("asset", _KEYS["updateLeverage"]),
    "updateIsolatedMargin": ("asset", _KEYS["updateIsolatedMargin"]),
}
_PLACING = {"order", "modify", "batchModify"}

# With this grouping the size follows the position. Such an order may say 0, and trades the whole position.
_WHOLE_POSITION = "positionTpsl"

_NETWORK = Objection(1, "network", "not_allowed", "No rule allows this network.")
_UNKNOWN = "This part of the action is unknown, so no rule allows it."


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
        self._size = section.one("max-size", _limit)
        self._min_price = section.one("min-price", _limit)
        self._max_price = section.one("max-price", _limit)
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
        place, parts = _parts(kind, action)
        if not parts:
            return Objection(3, "action", "not_allowed", _UNKNOWN)
        places = kind in _PLACING
        if places and len(parts) > MAX_ORDERS:
            message = f"At most {MAX_ORDERS} orders are judged at once: split this action."
            return Objection(3, place.partition("[")[0], "over_limit", message)
        asset_key, known = _PARTS[kind]
        for at, part in enumerate(parts):
            objection = self._judge_part(part, asset_key, known, places)
            if objection is not None:
                return objection._replace(field=place.format(at) + objection.field)
        return None

    def _judge_part(self, part: object, asset_key: str, known: set[str], places: bool) -> Objection | None:
        """places: whether the part is an order. The field of the objection is what follows the place of the part."""
        if type(part) is not dict:
            return Objection(3, "", "not_allowed", _UNKNOWN)
        if not part.keys() <= known:
            unknown = next(key for key in part if key not in known)
            return Objection(3, f".{unknown}", "not_allowed", _UNKNOWN)
        asset = part.get(asset_key)
        if type(asset) is not int or (self._assets and asset not in self._assets):
            return Objection(4, f".{asset_key}", "not_allowed", "No rule allows this asset.")
        if not places:
            return None
        is_buy = part.get("b")
        if type(is_buy) is not bool or (self._sides and SIDES[not is_buy] not in self._sides):
            return Objection(5, ".b", "not_allowed", "No rule allows this side.")
        size, price = _decimal(part.get("s")), _decimal(part.get("p"))
        if size is None:
            return Objection(6, ".s", "not_allowed", "A size must be plain decimal digits.")
        if price is None:
            return Objection(6, ".p", "not_allowed", "A price must be plain decimal digits.")
        if self._size is not None and (size > self._size or not size):
            return Objection(7, ".s", "over_limit", "This size is above the limit, or zero.")
        if self._min_price is not None and price < self._min_price:
            return Objection(8, ".p", "over_limit", "This price is below the limit.")
        if self._max_price is not None and price > self._max_price:
            return Objection(9, ".p", "over_limit", "This price is above the limit.")
        return None

    def permits(self) -> list[str]:
        words = [f"Hyperliquid's actions {listed(self._actions)}"]
        if self._networks:
            words.append(f"on {listed(self._networks)}")
        if self._assets:
            words.append(f"in the assets {listed(list(map(str, self._assets)))}")
        if self._sides:
            words.append(f"to {listed(self._sides)}")
        if self._size is not None:
            words.append(f"of at most {self._size:f} in each order")
        if self._min_price is not None:
            words.append(f"at a price of at least {self._min_price:f}")
        if self._max_price is not None:
            words.append(f"at a price of at most {self._max_price:f}")
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


def _parts(kind: str, action: Mapping[str, object]) -> tuple[str, Sequence[object]]:
    """Everything in an action that names an asset, and its path, where {} stands for the number of the part.

    Nothing, if the action does not have the expected form.
    """
    if kind == "order":
        return "action.orders[{}]", _listing(action, "orders")
    if kind == "modify":
        return "action.order", [action.get("order")]
    if kind == "batchModify":
        orders = [
            modify["order"] if type(modify) is dict and modify.keys() == {"oid", "order"} else None
            for modify in _listing(action, "modifies")
        ]
        return "action.modifies[{}].order", orders
    if kind in ("cancel", "cancelByCloid"):
        return "action.cancels[{}]", _listing(action, "cancels")
    return "action", [action]


def _listing(action: Mapping[str, object], key: str) -> Sequence[object]:
    value = action.get(key)
    return value if type(value) is list else ()


def _limit(word: str) -> Decimal:
    return Decimal(amount(word).text)


def _decimal(value: object) -> Decimal | None:
    """An amount of an action, exactly; None if it is not one."""
    return Decimal(value) if type(value) is str and _AMOUNT(value) else None
