"""An independent verdict on requests for held keys, written from the policy's manual.

Slow and plain: it shares no code with the package, judges the JSON of a request and not the packed or hashed bytes,
checks every condition, and counts with fractions. It accepts only the policies and requests that test_verdicts.py
generates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Dict, List, NamedTuple, Tuple

from eth_utils.crypto import keccak

from oracles import abi_reference, transaction_reference

Fault = Tuple[str, str]  # field and code
Request = Dict[str, Any]

SECTIONS = {  # settings of a rule
    "typed_data": "typed",
    "message": "messages",
    "hyperliquid": "hyperliquid",
    "transaction": "transactions",
}
STANDARD = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
AGENT = "Agent(string source,bytes32 connectionId)"
HIDDEN = ("Cc", "Cf", "Zl", "Zp")  # categories of characters that are not shown; others are known by their names
IGNORABLE = re.compile("COMBINING GRAPHEME JOINER|VARIATION SELECTOR|KHMER VOWEL INHERENT|HANGUL .*FILLER")
AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,18})?")
ADDRESS = re.compile("0x[0-9A-Fa-f]{40}")


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
    """The verdicts of a policy on one request after the other. held: the addresses of the held keys."""

    def __init__(self, sections: list[Section], held: set[str], now: float) -> None:
        self._rules = [section for section in sections if section.kind == "rule"]
        self._sections = {(section.kind, section.name): section for section in sections}
        self._held = held
        self._now = now
        self._signed = dict.fromkeys([rule.name for rule in self._rules], 0)
        self._used: dict[tuple[str, str, str], Fraction] = {}  # of totals, by rule, section and term

    def on(self, request: Request, uid: int, gids: set[int]) -> set[Fault]:
        """All faults that a refusal may name; empty if the request is signed."""
        address = "0x" + request["signer"][-40:].lower()
        rules = [rule for rule in self._rules if address in rule.words("key") and is_for(rule, uid, gids)]
        if not rules:
            return {("signer", "unknown_signer")}
        if address not in self._held:
            return {("signer", "key_unavailable")}
        faults: set[Fault] = set()
        for rule in rules:
            for section, found in self._judged(rule, request):
                lacking = set() if found else set(self._lacking(rule, section, request))
                if not found and not lacking:
                    self._count(rule, section, request)
                    return set()
                faults |= found | lacking
        return faults

    def _judged(self, rule: Section, request: Request) -> Iterator[tuple[Section | None, set[Fault]]]:
        """Each section of a rule that may allow a request, and what is wrong with it there."""
        if request["type"] in ("spot", "futures"):
            if rule.get("markets") is None:
                yield None, {("type", "not_allowed")}
            else:
                yield None, set(self._in_order(rule, request))
            return
        setting = SECTIONS[request["type"]]
        if rule.get(setting) is None:
            yield None, {("type", "not_allowed")}
        elif rule.get(setting) == "any":
            is_agent = encode_type(request["typed_data"]) == AGENT
            yield None, {("typed_data.primaryType", "not_allowed")} if is_agent else set()
        else:
            for name in rule.words(setting):
                section = self._sections[setting.rstrip("s"), name]
                yield section, set(JUDGES[setting](section, request, self._now))

    def _lacking(self, rule: Section, section: Section | None, request: Request) -> Iterator[Fault]:
        """The totals and the rate that have no room."""
        rate = rule.get("rate")
        if rate is not None and self._signed[rule.name] >= int(rate.partition("/")[0]):
            yield "signer", "rate_limited"
        for term, limit, place, amount in totals_of(section, request):
            assert section
            if self._used.get((rule.name, section.name, term), 0) + amount > limit:
                yield f"typed_data.{place}", "over_total"

    def _count(self, rule: Section, section: Section | None, request: Request) -> None:
        self._signed[rule.name] += 1
        for term, _, _, amount in totals_of(section, request):
            assert section
            key = (rule.name, section.name, term)
            self._used[key] = self._used.get(key, Fraction(0)) + amount

    def _in_order(self, rule: Section, request: Request) -> Iterator[Fault]:
        order, instrument = request["order"], request["instrument"]
        is_spot = request["type"] == "spot"
        account = order["accountId"].lower()
        if account not in rule.words("accounts"):
            if re.match("0x(f884|[0-7][0-9a-f]f883|1900)", account):
                yield "order.accountId", "ambiguous"
            if rule.get("accounts") != "any":
                yield "order.accountId", "not_allowed"
        # The signed values: whole units, by the decimals that the client gives.
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


def typed_faults(section: Section, request: Request, now: float) -> Iterator[Fault]:
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
        if word not in ("type", "domain"):
            yield from ((f"typed_data.{place}", code) for place, code in term_faults(data, word, operator, text, now))


class Unread(Exception):
    """place: of the field that has no value for the condition."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


NUMBER = re.compile(r"(?:(bits|word)\(([^,()]*),(\d+)(?:,(\d+))?\)|([^(),/]+))(?:\((\d+)\))?")
TEXT_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,59})(?:\.[0-9]{1,18})?")


def term_faults(data: Any, word: str, operator: str, text: str, now: float) -> Iterator[Fault]:
    """What is wrong with the values of a term: places and codes."""
    is_total, term = word.startswith("total "), word.partition("total ")[2] or word
    try:
        if NUMBER.fullmatch(word) and "(" not in word and operator in ("=", "matches"):
            code = "not_allowed"
            for place, kind, value in reached(data, word):
                if not (re.fullmatch(text, value) if operator == "matches" else is_one_of(kind, value, text)):
                    yield place, code
            return
        amounts, *divisors = (amounts_of(data, side) for side in term.split("/"))
    except Unread as fault:
        yield fault.place, "not_allowed"
        return
    if is_total:
        return
    if divisors:
        yield from price_faults(amounts, divisors[0], operator, Fraction(text))
        return
    decimals = int((re.search(r"\((\d+)\)\)?$", word) or ["", "0"])[1])
    ticks = Fraction(now) * 10**decimals // 1 / Fraction(10**decimals)
    limits = [Fraction(int(one, 0)) if "x" in one else Fraction(one) for one in text.split()]
    for place, value in amounts:
        if operator == "=":
            if value not in limits:
                yield place, "not_allowed"
            continue
        (limit,) = limits
        least, most = {
            "<=": (value, limit),
            ">=": (limit, value),
            "within": (ticks, ticks + limit),
            "about": (ticks - limit, ticks + limit),
            "until": (value, ticks + limit),
        }[operator]
        if not least <= value <= most:
            yield place, "over_limit"


Amounts = List[Tuple[str, Fraction]]  # with their places


def price_faults(amounts: Amounts, divisors: Amounts, operator: str, limit: Fraction) -> Iterator[Fault]:
    longest = max(len(amounts), len(divisors))
    for (place, a), (below, b) in zip(spread(amounts, longest), spread(divisors, longest)):
        if b <= 0:
            yield below, "over_limit"
        if a < 0 or (b > 0 and (a / b > limit if operator == "<=" else a / b < limit)):
            yield place, "over_limit"


def spread(amounts: Amounts, length: int) -> Amounts:
    return amounts * length if len(amounts) == 1 else amounts


def totals_of(section: Section | None, request: Request) -> Iterator[tuple[str, Fraction, str, Fraction]]:
    """The totals of a section: each with its term, its limit, the place and the amount of what is counted."""
    for word, _, text in section.settings if section else ():
        if word.startswith("total "):
            term = word.partition("total ")[2]
            ((place, amount),) = amounts_of(request["typed_data"], term)
            yield term, Fraction(text.partition("/")[0]), place, amount


def amounts_of(data: Any, side: str) -> Amounts:
    """Whole tokens."""
    if side.startswith("count("):
        return [(place, Fraction(length(kind, value))) for place, kind, value in reached(data, side[6:-1], lone=True)]
    if side.startswith("sum("):
        (path,) = re.findall("message[^,()]*", side)
        return [(first_array(path), sum((amount for _, amount in amounts_of(data, side[4:-1])), Fraction(0)))]
    match = NUMBER.fullmatch(side)
    assert match, side
    part, packed, first, size, plain, decimals = match.groups()
    amounts = []
    for place, kind, value in reached(data, plain or packed):
        if part == "word":
            content = bytes.fromhex(value[2:])
            at = 32 * int(first)
            if len(content) < at + 32:
                raise Unread(place)
            number = Fraction(int(content[at : at + 32].hex(), 16))
        elif kind == "string":
            if not TEXT_NUMBER.fullmatch(value):
                raise Unread(place)
            number = Fraction(value)
        else:
            number = Fraction(int(plain_value(kind, value)))
            if part == "bits":
                number = Fraction(int(number) // 2 ** int(first) % 2 ** int(size))
        amounts.append((place, number / 10 ** int(decimals or 0)))
    return amounts


def length(kind: str, value: Any) -> int:
    if kind == "bytes":
        return len(bytes.fromhex(value[2:]))
    return len(value.encode()) if kind == "string" else len(value)


def reached(data: Any, path: str, *, lone: bool = False) -> list[tuple[str, str, Any]]:
    """Each value on a path, with its place and its type. lone: arrays without elements may have none."""
    root, *steps = path.split(".")
    found = [(root, data["primaryType"] if root == "message" else "EIP712Domain", data[root])]
    for step in steps:
        further = []
        for place, kind, value in found:
            if kind.endswith("]"):
                if not value and step == "*" and not lone:
                    raise Unread(first_array(path))
                if step != "*" and int(step) >= len(value):
                    raise Unread(place)
                elements = enumerate(value) if step == "*" else [(int(step), value[int(step)])]
                further += [(f"{place}[{at}]", kind.rpartition("[")[0], element) for at, element in elements]
            else:
                (inner,) = (field["type"] for field in data["types"][kind] if field["name"] == step)
                further.append((f"{place}.{step}", inner, value[step]))
        found = further
    return found


def first_array(path: str) -> str:
    """The place of the array that the first "*" stands for."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path.partition(".*")[0])


def is_one_of(kind: str, value: Any, text: str) -> bool:
    values = [text] if kind == "string" else text.split()
    return plain_value(kind, value) in [plain_value(kind, one) for one in values]


def plain_value(kind: str, value: Any) -> Any:
    if "int" in kind:
        return int(value, 0) if isinstance(value, str) else value
    if kind == "bool":
        return str(value).lower()
    return value if kind == "string" else value.lower()


# Messages
def message_faults(section: Section, request: Request, now: float) -> Iterator[Fault]:
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
    conditions = [setting for setting in section.settings if setting.word.startswith("text(")]
    if not seen or (pattern is None and not conditions) or (pattern is not None and not re.fullmatch(pattern, text)):
        yield key, "not_allowed"
    one_field = {"primaryType": "M", "types": {"M": [{"name": "text", "type": "string"}]}, "message": {"text": text}}
    for word, operator, limit in conditions:
        yield from ((key, code) for _, code in term_faults(one_field, f"message.{word}", operator, limit, now))


# Hyperliquid's actions: where the orders and assets are, and the keys that are known
ORDER_KEYS = {"a", "b", "p", "s", "r", "t", "c"}
KNOWN = {
    "order": {"type", "orders", "grouping", "builder"},
    "modify": {"type", "oid", "order"},
    "cancel": {"type", "cancels"},
    "cancelByCloid": {"type", "cancels"},
    "updateLeverage": {"type", "asset", "isCross", "leverage"},
}
SCALARS = {"oid", "isCross", "leverage", "r", "c", "o", "cloid"}
SIZES = ("max-size", "max-notional")


def hyperliquid_faults(section: Section, request: Request, now: float) -> Iterator[Fault]:
    action = request["action"]
    kind = action["type"]
    if section.get("network") and request["network"] not in section.words("network"):
        yield "network", "not_allowed"
    seconds = section.get("clock")
    if seconds and abs(request["nonce"] - int(now * 1000)) > int(seconds) * 1000:
        yield "nonce", "over_limit"
    if kind not in [*section.words("actions"), *section.words("blind")]:
        yield "action.type", "not_allowed"
        return
    if kind not in KNOWN:
        return
    for key, value in action.items():
        if key not in KNOWN[kind] or (key in SCALARS and isinstance(value, (dict, list))):
            yield f"action.{key}", "not_allowed"
    builder = action.get("builder")
    if builder is not None:
        yield from builder_faults(section, builder)
    grouping = action.get("grouping", "na")
    groupings = section.words("groupings") or ["na", "normalTpsl", "positionTpsl"]
    if grouping not in groupings or (grouping == "positionTpsl" and any(map(section.get, SIZES))):
        yield "action.grouping", "not_allowed"
    if kind in ("order", "modify"):
        orders = enumerate(action["orders"]) if kind == "order" else [(None, action["order"])]
        places = [("action.order" if at is None else f"action.orders[{at}]", order, "a") for at, order in orders]
        keys = ORDER_KEYS
        most = section.get("max-orders")
        if most and len(places) > int(most):
            yield "action.orders", "over_limit"
    elif kind == "updateLeverage":
        places, keys = [("action", action, "asset")], KNOWN[kind]
        yield from leverage_faults(section, action)
    else:
        keys = {"a", "o"} if kind == "cancel" else {"asset", "cloid"}
        asset = "a" if kind == "cancel" else "asset"
        places = [(f"action.cancels[{at}]", one, asset) for at, one in enumerate(action["cancels"])]
    if not places:
        yield "action", "not_allowed"
    for place, order, asset in places:
        for key, value in order.items():
            if key not in keys or (key in SCALARS and isinstance(value, (dict, list))):
                yield f"{place}.{key}", "not_allowed"
        assets = list(map(int, section.words("assets")))
        if type(order.get(asset)) is not int or (assets and order[asset] not in assets):
            yield f"{place}.{asset}", "not_allowed"
        if kind in ("order", "modify"):
            yield from order_faults(section, place, order)


def leverage_faults(section: Section, action: dict[str, Any]) -> Iterator[Fault]:
    most = section.get("max-leverage")
    if most:
        if type(action["leverage"]) is not int:
            yield "action.leverage", "not_allowed"
        elif action["leverage"] > Fraction(most):
            yield "action.leverage", "over_limit"
    margins = section.words("margin")
    if margins and action["isCross"] not in [margin == "cross" for margin in margins]:
        yield "action.isCross", "not_allowed"


def builder_faults(section: Section, builder: Any) -> Iterator[Fault]:
    """A policy here says nothing of builders, which allows each of them, with any fee."""
    if section.get("builder"):
        raise KeyError("builder")
    if not isinstance(builder, dict) or builder.keys() != {"b", "f"}:
        yield "action.builder", "not_allowed"
        return
    if type(builder["b"]) is not str or not ADDRESS.fullmatch(builder["b"]):
        yield "action.builder.b", "not_allowed"
    if type(builder["f"]) is not int or builder["f"] < 0:
        yield "action.builder.f", "not_allowed"


def order_faults(section: Section, place: str, order: dict[str, Any]) -> Iterator[Fault]:
    sides = section.words("sides") or ["buy", "sell"]
    if type(order["b"]) is not bool or ("buy" if order["b"] else "sell") not in sides:
        yield f"{place}.b", "not_allowed"
    if section.get("reduce-only") and order.get("r") is not (section.get("reduce-only") == "yes"):
        yield f"{place}.r", "not_allowed"
    amounts = {}
    for key in ("s", "p"):
        if type(order[key]) is not str or not AMOUNT.fullmatch(order[key]):
            yield f"{place}.{key}", "not_allowed"
            continue
        amount = amounts[key] = Fraction(order[key])
        names = {"s": ("", "max-size"), "p": ("min-price", "max-price")}[key]
        least, most = (section.get(name) for name in names)
        whole_position = key == "s" and any(map(section.get, SIZES)) and not amount
        if whole_position or (least and amount < Fraction(least)) or (most and amount > Fraction(most)):
            yield f"{place}.{key}", "over_limit"
    notional = section.get("max-notional")
    if notional and len(amounts) == 2 and amounts["s"] * amounts["p"] > Fraction(notional):
        yield f"{place}.s", "over_limit"
    yield from type_faults(section, f"{place}.t", order.get("t"))


def type_faults(section: Section, place: str, given: Any) -> Iterator[Fault]:
    if isinstance(given, dict) and given.keys() == {"limit"} and given["limit"].keys() == {"tif"}:
        tif = given["limit"]["tif"]
        if type(tif) is not str:
            yield place, "not_allowed"
        elif section.get("tif") and tif not in section.words("tif"):
            yield f"{place}.limit.tif", "not_allowed"
    elif isinstance(given, dict) and given.keys() == {"trigger"}:
        trigger = given["trigger"]
        if trigger.keys() != {"isMarket", "triggerPx", "tpsl"}:
            yield place, "not_allowed"
            return
        if type(trigger["isMarket"]) is not bool or trigger["tpsl"] not in ("tp", "sl"):
            yield f"{place}.trigger", "not_allowed"
            return
        price = trigger["triggerPx"]
        if type(price) is not str or not AMOUNT.fullmatch(price):
            yield f"{place}.trigger.triggerPx", "not_allowed"
        word = f"{trigger['tpsl']}-{'market' if trigger['isMarket'] else 'limit'}"
        if section.get("triggers") and word not in section.words("triggers"):
            yield f"{place}.trigger", "not_allowed"
    else:
        yield place, "not_allowed"


# Transactions. The call, and what it costs, are judged like typed data with these fields.
COST = [{"name": name, "type": "uint256"} for name in ("fee", "value", "gas", "nonce")]


def transaction_faults(section: Section, request: Request, now: float) -> Iterator[Fault]:
    transaction = request["transaction"]
    if transaction_reference.is_order(transaction):
        yield "transaction", "ambiguous"
    if transaction_reference.number(transaction["chainId"]) != int(section.words("chain")[0]):
        yield "transaction.chainId", "not_allowed"
    to = transaction["to"]
    if (to or "none").lower() not in section.words("to"):
        yield "transaction.to", "not_allowed"
        return
    function = section.get("function") or "none"
    arguments: dict[str, Any] | None = {}
    types = [parameter.strip().split(" ") for parameter in function.partition("(")[2].rstrip(")").split(",")]
    if function != "none":
        arguments = arguments_of(function.partition("(")[0], types, transaction["data"])
    elif to is not None and transaction["data"] != "0x":
        arguments = None
    if arguments is None:
        yield "transaction.data", "not_allowed"
        return
    cost = {name: transaction_reference.number(transaction.get(name, 0)) for name in ("value", "gas", "nonce")}
    price = transaction.get("gasPrice", transaction.get("maxFeePerGas"))
    cost["fee"] = cost["gas"] * transaction_reference.number(price)
    call = [{"name": name, "type": kind} for kind, name in types] if arguments else []
    data = {
        "primaryType": "Transaction",
        "types": {"Transaction": [*COST, {"name": "args", "type": "Call"}], "Call": call},
        "message": {**cost, "args": arguments},
    }
    conditions = [one for one in section.settings if one.word not in ("chain", "to", "function", "code")]
    if cost["value"] and not any(one.word.startswith("value") for one in conditions):
        yield "transaction.value", "not_allowed"
    for word, operator, text in conditions:
        term = re.sub(r"\b(args\.|fee|value|gas|nonce)", r"message.\1", word)
        for place, code in term_faults(data, term, operator, text, now):
            _, _, name = place.partition("message.")
            named = {"fee": "gas"}.get(name, re.sub("^args", "data", name))
            yield f"transaction.{named}", code


def arguments_of(name: str, types: list[list[str]], data: str) -> dict[str, Any] | None:
    """The arguments as JSON has them; None if the data is no such call in canonical form."""
    kinds = [kind for kind, *_ in types if kind]
    content = bytes.fromhex(data[2:])
    if content[:4] != keccak(text=f"{name}({','.join(kinds)})")[:4]:
        return None
    values = abi_reference.arguments(kinds, content[4:])
    if values is None:
        return None
    written = [f"0x{value.hex()}" if isinstance(value, bytes) else value for value in values]
    return {own: list(value) if isinstance(value, tuple) else value for (_, own), value in zip(types, written)}


JUDGES = {
    "typed": typed_faults,
    "messages": message_faults,
    "hyperliquid": hyperliquid_faults,
    "transactions": transaction_faults,
}
