"""An independent verdict on requests for held keys, from what the manual of the policy says.

Slow and plain: it shares no code with the package, judges the JSON of a request and not what is packed or hashed, looks
at every condition, and counts with fractions. It takes only what the grammar of test_verdicts.py makes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Dict, NamedTuple, Tuple

Fault = Tuple[str, str]  # field and code
Request = Dict[str, Any]

SECTIONS = {"typed_data": "typed", "message": "messages", "hyperliquid": "hyperliquid"}  # settings of a rule
STANDARD = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
AGENT = "Agent(string source,bytes32 connectionId)"
HIDDEN = ("Cc", "Cf", "Zl", "Zp")  # categories of characters that are not shown; others are known by their names
IGNORABLE = re.compile("COMBINING GRAPHEME JOINER|VARIATION SELECTOR|KHMER VOWEL INHERENT|HANGUL .*FILLER")
AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,18})?")


class Setting(NamedTuple):
    word: str
    operator: str
    value: str


class Section(NamedTuple):
    """settings: of a rule too."""

    kind: str
    name: str
    settings: tuple[Setting, ...]

    @property
    def text(self) -> str:
        return f"[{self.kind} {self.name}]\n" + "".join(f"{' '.join(setting)}\n" for setting in self.settings)

    def get(self, word: str) -> str | None:
        return next((value for name, operator, value in self.settings if (name, operator) == (word, "=")), None)

    def words(self, word: str) -> list[str]:
        return (self.get(word) or "").split()


class Verdict:
    """Of a policy, for one request after the other. held: the addresses of keys that are there."""

    def __init__(self, sections: list[Section], held: set[str], now: int) -> None:
        self._rules = [section for section in sections if section.kind == "rule"]
        self._sections = {(section.kind, section.name): section for section in sections}
        self._held = held
        self._now = now
        self._signed = dict.fromkeys([rule.name for rule in self._rules], 0)

    def on(self, request: Request, uid: int, gids: set[int]) -> set[Fault]:
        """Everything that a refusal may name; empty if the request is signed."""
        address = "0x" + request["signer"][-40:].lower()
        rules = [rule for rule in self._rules if address in rule.words("key") and is_for(rule, uid, gids)]
        if not rules:
            return {("signer", "unknown_signer")}
        if address not in self._held:
            return {("signer", "key_unavailable")}
        faults: set[Fault] = set()
        for rule in rules:
            found = self._faults(rule, request)
            if not found:
                rate = rule.get("rate")
                if rate is None or self._signed[rule.name] < int(rate.partition("/")[0]):
                    self._signed[rule.name] += 1
                    return set()
                found = {("signer", "rate_limited")}
            faults |= found
        return faults

    def _faults(self, rule: Section, request: Request) -> set[Fault]:
        if request["type"] in ("spot", "futures"):
            if rule.get("markets") is None:
                return {("type", "not_allowed")}
            return set(self._in_order(rule, request))
        setting = SECTIONS[request["type"]]
        if rule.get(setting) is None:
            return {("type", "not_allowed")}
        if rule.get(setting) == "any":
            is_agent = encode_type(request["typed_data"]) == AGENT
            return {("typed_data.primaryType", "not_allowed")} if is_agent else set()
        faults: set[Fault] = set()
        for name in rule.words(setting):
            section = self._sections[setting.rstrip("s"), name]
            found = set(JUDGES[setting](section, request, self._now))
            if not found:
                return set()
            faults |= found
        return faults

    def _in_order(self, rule: Section, request: Request) -> Iterator[Fault]:
        order, instrument = request["order"], request["instrument"]
        is_spot = request["type"] == "spot"
        account = order["accountId"].lower()
        if account not in rule.words("accounts"):
            if re.match("0x(f884|[0-7][0-9a-f]f883|1900)", account):
                yield "order.accountId", "ambiguous"
            if rule.get("accounts") != "any":
                yield "order.accountId", "not_allowed"
        # What is signed: whole units, by the decimals that the client gives.
        quantity = Fraction(str(order["quantity"]))
        price = Fraction(int(Fraction(str(order["price"])) * 10 ** instrument["quote"]["decimals"]))
        if is_spot:
            quantity = Fraction(int(quantity * 10 ** instrument["base"]["decimals"]))
            if quantity >= 2**224:
                yield "order.quantity", "ambiguous"
            traded = instrument["base"]["address"], instrument["quote"]["address"]
        else:
            if int(order["instrument"]) == 0:
                yield "order.instrument", "ambiguous"
            traded = str(int(order["instrument"])), order["quote"]
        if rule.get("markets") != "any":
            markets = [self._sections["market", name] for name in rule.words("markets")]
            if not any(is_of(market, *traded) for market in markets):
                yield "instrument", "not_allowed"
        if rule.get("sides") and order["side"] not in rule.words("sides"):
            yield "order.side", "not_allowed"
        if rule.get("types") and order["orderType"] not in rule.words("types"):
            yield "order.orderType", "not_allowed"
        if rule.get("clock") and abs(order["timestamp"] - self._now * 10**6) > int(rule.words("clock")[0]) * 10**6:
            yield "order.timestamp", "over_limit"
        limits = {setting.word: Fraction(setting.value) for setting in rule.settings if setting.word in AMOUNTS}
        if not limits:
            return
        (market,) = markets
        if is_spot and market.get("base"):
            quantity /= 10 ** int(market.words("base")[1])
        price /= 10 ** int(market.words("quote")[1])
        if quantity > limits.get("max-quantity", quantity):
            yield "order.quantity", "over_limit"
        if price < limits.get("min-price", price):
            yield "order.price", "over_limit"
        if price > limits.get("max-price", price):
            yield "order.price", "over_limit"
        if quantity * price > limits.get("max-notional", quantity * price):
            yield "order.quantity", "over_limit"


AMOUNTS = ("max-quantity", "min-price", "max-price", "max-notional")


def is_for(rule: Section, uid: int, gids: set[int]) -> bool:
    return str(uid) in rule.words("users") or any(str(gid) in rule.words("groups") for gid in gids)


def is_of(market: Section, base: str, quote: str) -> bool:
    own = market.words("base") or market.words("instrument")
    return (own[0], market.words("quote")[0]) == (base.lower(), quote.lower())


# Typed data
def encode_type(data: Any) -> str:
    """Of a type that refers to no type, or only to types that refer to none."""
    own = data["types"][data["primaryType"]]
    others = sorted({field["type"].partition("[")[0] for field in own} & data["types"].keys())
    return "".join(declared(name, data["types"][name]) for name in [data["primaryType"], *others])


def declared(name: str, fields: list[dict[str, str]]) -> str:
    return f"{name}({','.join(field['type'] + ' ' + field['name'] for field in fields)})"


def typed_faults(section: Section, request: Request, now: int) -> Iterator[Fault]:
    data = request["typed_data"]
    if encode_type(data) != section.get("type"):
        yield "typed_data.primaryType", "not_allowed"
        return
    theirs = data["types"]["EIP712Domain"]
    named = [word[len("domain.") :] for word, _, _ in section.settings if word.startswith("domain.")]
    standard = [{"name": name, "type": kind} for name, kind in STANDARD.items() if name in named]
    if declared("EIP712Domain", theirs) != (section.get("domain") or declared("EIP712Domain", standard)):
        different = {field["name"] for field in theirs}.symmetric_difference(named)
        for name in different:
            yield f"typed_data.domain.{name}", "not_allowed"
        if not different:
            yield "typed_data.types.EIP712Domain", "not_allowed"
        return
    for word, operator, text in section.settings:
        root, _, path = word.partition(".")
        if path:
            for place, kind, value in reached(data, root, path.split(".")):
                if value is EMPTY:
                    yield f"typed_data.{place}", "not_allowed"
                elif not holds(kind, value, operator, text, now):
                    yield f"typed_data.{place}", "not_allowed" if operator == "=" else "over_limit"


EMPTY = object()


def reached(data: Any, root: str, steps: list[str]) -> list[tuple[str, str, Any]]:
    """Each value on a path, with its place and its type; EMPTY for an array without elements."""
    found = [(root, data["primaryType"] if root == "message" else "EIP712Domain", data[root])]
    for step in steps:
        further = []
        for place, kind, value in found:
            if step != "*":
                (inner,) = (field["type"] for field in data["types"][kind] if field["name"] == step)
                further.append((f"{place}.{step}", inner, value[step]))
            elif value:
                further += [(f"{place}[{at}]", kind[:-2], element) for at, element in enumerate(value)]
            else:
                return [(place, kind, EMPTY)]
        found = further
    return found


def holds(kind: str, value: Any, operator: str, text: str, now: int) -> bool:
    if operator == "=":
        values = [text] if kind == "string" else text.split()
        return plain_value(kind, value) in [plain_value(kind, one) for one in values]
    number, limit = int(plain_value(kind, value)), int(text, 0)
    if operator == "<=":
        return number <= limit
    return number >= limit if operator == ">=" else now <= number <= now + limit


def plain_value(kind: str, value: Any) -> Any:
    if "int" in kind:
        return int(value, 0) if isinstance(value, str) else value
    if kind == "bool":
        return str(value).lower()
    return value if kind == "string" else value.lower()


# Messages
def message_faults(section: Section, request: Request, now: int) -> Iterator[Fault]:
    key = "text" if "text" in request else "hex"
    content = request["text"].encode() if key == "text" else bytes.fromhex(request["hex"][2:])
    if len(content) == 32 or re.fullmatch(b"(0[xX])?[0-9a-fA-F]{64}", content):
        if section.get("hashes") != "yes":
            yield key, "ambiguous"
        return
    pattern = section.get("pattern")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield key, "not_allowed"
        return
    seen = all(
        letter in "\n\t"
        or (unicodedata.category(letter) not in HIDDEN and not IGNORABLE.match(unicodedata.name(letter, "")))
        for letter in text
    )
    if not seen or pattern is None or not re.fullmatch(pattern, text):
        yield key, "not_allowed"


# Hyperliquid's actions: where the orders and assets are, and the keys that are known
ORDER_KEYS = {"a", "b", "p", "s", "r", "t", "c"}
KNOWN = {
    "order": {"type", "orders", "grouping", "builder"},
    "modify": {"type", "oid", "order"},
    "cancel": {"type", "cancels"},
    "cancelByCloid": {"type", "cancels"},
    "updateLeverage": {"type", "asset", "isCross", "leverage"},
}


def hyperliquid_faults(section: Section, request: Request, now: int) -> Iterator[Fault]:
    action = request["action"]
    kind = action["type"]
    if section.get("network") and request["network"] not in section.words("network"):
        yield "network", "not_allowed"
    if kind not in section.words("actions"):
        yield "action.type", "not_allowed"
        return
    if kind not in KNOWN:
        return
    for key in action.keys() - KNOWN[kind]:
        yield f"action.{key}", "not_allowed"
    if section.get("max-size") and action.get("grouping") == "positionTpsl":
        yield "action.grouping", "not_allowed"
    if kind in ("order", "modify"):
        orders = enumerate(action["orders"]) if kind == "order" else [(None, action["order"])]
        places = [("action.order" if at is None else f"action.orders[{at}]", order, "a") for at, order in orders]
        keys = ORDER_KEYS
    elif kind == "updateLeverage":
        places, keys = [("action", action, "asset")], KNOWN[kind]
    else:
        keys = {"a", "o"} if kind == "cancel" else {"asset", "cloid"}
        asset = "a" if kind == "cancel" else "asset"
        places = [(f"action.cancels[{at}]", one, asset) for at, one in enumerate(action["cancels"])]
    if not places:
        yield "action", "not_allowed"
    for place, order, asset in places:
        for key in order.keys() - keys:
            yield f"{place}.{key}", "not_allowed"
        assets = list(map(int, section.words("assets")))
        if type(order.get(asset)) is not int or (assets and order[asset] not in assets):
            yield f"{place}.{asset}", "not_allowed"
        if kind in ("order", "modify"):
            yield from order_faults(section, place, order)


def order_faults(section: Section, place: str, order: dict[str, Any]) -> Iterator[Fault]:
    sides = section.words("sides") or ["buy", "sell"]
    if type(order["b"]) is not bool or ("buy" if order["b"] else "sell") not in sides:
        yield f"{place}.b", "not_allowed"
    for key in ("s", "p"):
        if type(order[key]) is not str or not AMOUNT.fullmatch(order[key]):
            yield f"{place}.{key}", "not_allowed"
            continue
        amount = Fraction(order[key])
        names = {"s": ("", "max-size"), "p": ("min-price", "max-price")}[key]
        least, most = (section.get(name) for name in names)
        whole_position = key == "s" and most and not amount
        if whole_position or (least and amount < Fraction(least)) or (most and amount > Fraction(most)):
            yield f"{place}.{key}", "over_limit"


JUDGES = {"typed": typed_faults, "messages": message_faults, "hyperliquid": hyperliquid_faults}
