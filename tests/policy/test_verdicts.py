"""The daemon's answers under random policies, compared with the independent verdicts of policy_reference."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Dict, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle
from oracles.policy_reference import AGENT, STANDARD, Section, Setting, Verdict
from support.keys import held
from support.policies import policy_of

from ordersigner.peer import Peer
from ordersigner.refusal import CODES
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring

NOW = 1_700_000_000
KEYS = ["11" * 32, "22" * 32]
HELD = list(map(oracle.signer_address, KEYS))
LOST, UNKNOWN = "0x" + "33" * 20, "0x" + "44" * 20

# Orders
TOKENS = ["0x" + digit * 40 for digit in "abc"]
ACCOUNTS = ["0x" + "5" * 40, "0x" + "6" * 40, "0xf884" + "7" * 36, "0x02f883" + "7" * 34, "0x1900" + "7" * 36]
MARKETS = [
    Section("market", "one", (Setting("base", "=", f"{TOKENS[0]} 2"), Setting("quote", "=", f"{TOKENS[1]} 1"))),
    Section("market", "two", (Setting("base", "=", f"{TOKENS[1]} 0"), Setting("quote", "=", f"{TOKENS[0]} 2"))),
    Section("market", "future", (Setting("instrument", "=", "7"), Setting("quote", "=", f"{TOKENS[1]} 1"))),
]
AMOUNTS = ["2.5", "10", "25", "0", "1", "6.25", "0.1"]

amounts = st.sampled_from([0, 1, 2.5, "2.5", "2.51", 3, 10, "10.01", 100])
seldom = st.sampled_from([False] * 7 + [True])


@st.composite
def orders(draw: st.DrawFn, rule: Section) -> dict[str, Any]:
    """Mostly for an account and a market of the rule."""
    names = [market.name for market in MARKETS]
    named = [name for name in rule.words("markets") if name in names] or names
    market = MARKETS[names.index(draw(st.sampled_from(names if draw(seldom) else named)))]
    accounts = [account for account in rule.words("accounts") if account in ACCOUNTS] or ACCOUNTS
    order = {
        "accountId": draw(st.sampled_from(ACCOUNTS if draw(seldom) else accounts)),
        "timestamp": NOW * 10**6 + draw(st.sampled_from([0, 0, 10**6, -(10**6), 10**6 + 1, -(10**6) - 1, 10**9])),
        "side": draw(st.sampled_from(["buy", "sell"])),
        "price": draw(amounts),
        "quantity": draw(amounts),
    }

    def token(setting: str) -> dict[str, Any]:
        address, decimals = market.words(setting)
        if draw(seldom):
            address = draw(st.sampled_from(TOKENS))
        return {"address": address, "decimals": draw(st.integers(0, 3)) if draw(seldom) else int(decimals)}

    if market.get("base"):
        order["orderType"] = draw(st.sampled_from(["LMT", "LMT", "MKT"]))
        if draw(seldom):
            order["quantity"] = draw(st.sampled_from([2**224 - 1, 2**224]))
        return {"type": "spot", "order": order, "instrument": {"base": token("base"), "quote": token("quote")}}
    order["orderType"] = draw(st.sampled_from(["LMT", "LMT", "MKT", "SLM", "STM"]))
    order["instrument"] = draw(st.sampled_from([7, "7", 7, 8, 0]))
    quote = token("quote")
    return {
        "type": "futures",
        "order": {**order, "marginPerFraction": 1, "quote": quote["address"]},
        "instrument": {"quote": quote},
    }


# Typed data
TYPES = [
    "Bid(address maker,uint256 price,uint64 deadline)",
    "Bid(address maker,uint256 price,uint64 deadline,string kind)",
    "Basket(Item[] items,bool open,bytes tag)Item(address token,int32 amount)",
    AGENT,
    (
        "Trade(uint256 sell,uint256 buy,int64 move,uint64 nonce,string text,bytes data,Leg[] legs,uint8[][] grid)"
        "Leg(uint32 size,uint32 price)"
    ),
]
PATHS: dict[str, dict[str, str]] = {  # of each type, with the type of the field
    TYPES[0]: {"maker": "address", "price": "uint256", "deadline": "uint64"},
    TYPES[1]: {"maker": "address", "price": "uint256", "deadline": "uint64", "kind": "string"},
    TYPES[2]: {"items.*.token": "address", "items.*.amount": "int32", "open": "bool", "tag": "bytes"},
    TYPES[3]: {"source": "string", "connectionId": "bytes32"},
    TYPES[4]: {},  # it has terms
}
# Terms on the last type: the operators that they take, and limits, some of which hold for some of VALUES.
COMPARED, TIMES = ("<=", ">="), ("within", "about", "until")
TERMS: list[tuple[str, tuple[str, ...], list[str]]] = [
    ("message.sell(1)", ("=", *COMPARED), ["0.5", "1", "1.5"]),
    ("message.move(1)", ("=", *COMPARED), ["-0.5", "0", "0.5"]),
    ("message.buy(1)/message.sell(2)", COMPARED, ["2", "10", "0.333333333333333333333333333333333333"]),
    ("message.sell/message.move", COMPARED, ["1", "2"]),
    ("message.sell/message.text(1)", COMPARED, ["5", "20"]),
    ("message.nonce", TIMES, ["1", "10", "1000"]),
    ("message.text(0)", TIMES, ["1", "10"]),
    ("message.text(1)", ("=", *COMPARED), ["0.05", "0.5", "10"]),
    ("message.text", ("matches",), ["[0-9]+", "[0-9.]*", "x?"]),
    ("bits(message.nonce,1,3)", ("=", *COMPARED), ["0", "2", "0x5", "7"]),
    ("bits(message.nonce,0,64)(0)", TIMES, ["10"]),
    ("word(message.data,0)", ("=", *COMPARED), ["0", "7", "0x100"]),
    ("word(message.data,1)(2)", ("=", *COMPARED), ["0", "0.07"]),
    ("count(message.data)", ("=", *COMPARED), ["0", "32", "33"]),
    ("count(message.text)", ("=", *COMPARED), ["0", "1", "3"]),
    ("count(message.legs)", ("=", *COMPARED), ["0", "1", "2"]),
    ("count(message.grid.*)", ("=", *COMPARED), ["0", "1"]),
    ("count(message.grid.1)", ("=", *COMPARED), ["0", "1"]),
    ("message.legs.*.size(1)", ("=", *COMPARED), ["0.1", "0.2"]),
    ("message.legs.1.size", ("=", *COMPARED), ["0", "1", "2"]),
    ("message.grid.*.*", ("=", *COMPARED), ["0", "1"]),
    ("message.grid.0.*", ("=", *COMPARED), ["1"]),
    ("message.grid.*.0", ("=", *COMPARED), ["1"]),
    ("message.legs.*.price/message.legs.*.size", COMPARED, ["1", "2"]),
    ("message.sell/message.legs.*.size", COMPARED, ["1", "5"]),
    ("message.legs.*.size/message.buy", COMPARED, ["1", "0.1"]),
    ("sum(message.legs.*.size(1))", ("=", *COMPARED), ["0.1", "0.3"]),
    ("sum(message.legs.*.price)/count(message.legs)", COMPARED, ["1", "1.5"]),
    ("sum(bits(message.grid.*.*,0,1))", ("=", *COMPARED), ["0", "1", "2"]),
]
TOTALS = ["message.sell(1)", "message.text(1)", "sum(message.legs.*.size(1))", "bits(message.nonce,0,2)(1)"]
TOTALS += ["word(message.data,0)(1)"]
DOMAINS = [
    {"name": "string", "chainId": "uint256"},
    {"name": "string", "version": "string", "chainId": "uint256"},
    {"name": "string", "chainId": "uint64"},
]
VALUES: dict[str, list[Any]] = {
    "address": [TOKENS[0], "0x" + "B" * 40],
    "bool": [True, False],
    "bool[]": [[]],
    "bytes": ["0x", "0xab", "0xAB"],
    "bytes32": ["0x" + "01" * 32],
    "int32": [-3, "-2", 0, "0x4"],
    "string": ["sell", "buy", "a b"],
    "uint256": [0, 5, "5", "0x6", str(2**255)],
    "uint64": [NOW - 1, NOW, str(NOW + 10), NOW + 11],
}
OF_TRADE: dict[str, list[Any]] = {  # of the type with terms
    "bytes": ["0x", "0x" + "00" * 31 + "07", "0x" + "00" * 31 + "0700", "0x" + "00" * 30 + "0100" + "00" * 31 + "07"],
    "int64": [-5, 0, 5, 10],
    "string": ["", "5", "0.5", "0.05", "05", "x", "0.", str(NOW), f"{NOW + 10}.5", "1" + "0" * 60],
    "uint256": [0, 5, 10, "15", str(2**256 - 1)],
    "uint32": [0, 1, 2],
    "uint8": [0, 1, 2],
}
WORDS = {  # what conditions with "=" may have
    "address": TOKENS,
    "bool": ["true", "false"],
    "bytes": ["0x", "0xab"],
    "bytes32": ["0x" + "01" * 32, "0x" + "02" * 32],
    "int32": ["-3", "-2", "0", "4"],
    "uint256": ["0", "5", "6", str(2**255)],
    "uint64": [str(NOW), str(NOW + 10)],
}
CHAINS = ["1", "5"]


def declared(type: str) -> dict[str, list[dict[str, str]]]:
    """The types of an encoded type."""
    structs = re.findall(r"(\w+)\((.*?)\)", type)
    return {name: [dict(zip(("type", "name"), one.split())) for one in body.split(",")] for name, body in structs}


@st.composite
def typed_data(draw: st.DrawFn, section: Section) -> dict[str, Any]:
    """Mostly of the type and for the domain of the section."""
    types = declared(draw(st.sampled_from(TYPES)) if draw(seldom) else section.get("type") or "")
    primary_type = next(iter(types))

    def struct(name: str) -> dict[str, Any]:
        return {field["name"]: value(field["type"]) for field in types[name]}

    def value(kind: str) -> Any:
        if kind.endswith("[]"):
            return [value(kind[:-2]) for _ in range(draw(st.integers(0, 2)))]
        values = OF_TRADE if primary_type == "Trade" else {}
        return struct(kind) if kind in types else draw(st.sampled_from(values.get(kind, VALUES.get(kind, []))))

    fields = draw(st.sampled_from(DOMAINS)) if draw(seldom) else domain_of(section)
    strange = draw(seldom)
    domain = {
        "name": st.sampled_from(["X", "X Y"]) if strange else st.just(section.get("domain.name")),
        "version": st.just("1"),
        "chainId": st.sampled_from([1, "0x5", 7] if strange else section.words("domain.chainId")),
    }
    content = {
        "types": {**types, "EIP712Domain": [{"name": name, "type": kind} for name, kind in fields.items()]},
        "primaryType": primary_type,
        "domain": {name: draw(domain[name]) for name in fields},
        "message": struct(primary_type),
    }
    return {"type": "typed_data", "typed_data": content}


def domain_of(section: Section) -> dict[str, str]:
    """The fields of the domain that a section is about."""
    kind = "uint64" if section.get("domain") else "uint256"
    return next(
        fields
        for fields in DOMAINS
        if fields["chainId"] == kind and ("version" in fields) == (section.get("domain.version") is not None)
    )


@st.composite
def typed_sections(draw: st.DrawFn, name: str) -> Section:
    kind = draw(st.sampled_from(TYPES))
    fields = draw(st.sampled_from(DOMAINS))
    chosen = [Setting("type", "=", kind)]
    if not fields.items() <= STANDARD.items():
        chosen.append(Setting("domain", "=", "EIP712Domain(string name,uint64 chainId)"))
    pinned = {"name": st.sampled_from(["X", "X", "X Y"]), "version": st.just("1"), "chainId": several(CHAINS)}
    chosen += [Setting(f"domain.{field}", "=", draw(pinned[field])) for field in fields]
    for path, of in PATHS[kind].items():
        operator = draw(
            st.sampled_from(
                ["", "", "=", "<=", ">=", *(["within"] * 3 if of == "uint64" else [])] if "int" in of else ["", "", "="]
            )
        )
        if operator == "=":
            words = st.sampled_from(["sell", "a b"]) if of == "string" else several(WORDS[of])
            chosen.append(Setting(f"message.{path}", "=", draw(words)))
        elif operator == "within":
            chosen.append(Setting(f"message.{path}", "within", draw(st.sampled_from(["1", "10", "1000"]))))
        elif operator:
            chosen.append(Setting(f"message.{path}", operator, draw(st.sampled_from(WORDS[of]))))
    if not PATHS[kind]:
        chosen += draw(terms())
    return Section("typed", name, tuple(chosen))


@st.composite
def terms(draw: st.DrawFn) -> list[Setting]:
    chosen = {}
    for term, operators, limits in draw(st.lists(st.sampled_from(TERMS), min_size=1, max_size=3)):
        operator = draw(st.sampled_from(operators))
        limit = several(limits) if operator == "=" else st.sampled_from(limits)
        chosen[term, operator] = Setting(term, operator, draw(limit))
    if draw(st.booleans()):
        total = f"total {draw(st.sampled_from(TOTALS))}"
        chosen[total, "<="] = Setting(total, "<=", draw(st.sampled_from(["0.1", "1", "2.5"])) + "/day")
    return possible(list(chosen.values()))


def possible(chosen: list[Setting]) -> list[Setting]:
    """The settings without those that would leave no value together with earlier ones: a policy has an error then."""
    kept: list[Setting] = []
    bounds: dict[str, list[tuple[str, list[Decimal]]]] = {}  # operators and their numbers, by what they bound
    for setting in chosen:
        bounded, operator = PRICES.get(setting.word, (setting.word, setting.operator))
        if operator in ("=", *COMPARED) and bounded in ("price", *(term for term, _, _ in TERMS)):
            numbers = [Decimal(int(word, 16)) if word[:2] == "0x" else Decimal(word) for word in setting.value.split()]
            together = [*bounds.get(bounded, ()), (operator, numbers)]
            named = [number for _, several in together for number in several]
            if not any(all(meets(number, *bound) for bound in together) for number in named):
                continue
            bounds[bounded] = together
        kept.append(setting)
    return kept


PRICES = {"min-price": ("price", ">="), "max-price": ("price", "<=")}


def meets(number: Decimal, operator: str, numbers: list[Decimal]) -> bool:
    return {"=": number in numbers, "<=": number <= numbers[0], ">=": number >= numbers[0]}[operator]


def several(words: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=3, unique=True).map(" ".join)


# Messages
PATTERNS = ["[0-9]{3}", "a|bc*", "login .+", "[a-c]?x", "[^x]*", ".*", ".{64}"]
TEXTS = ["123", "1234", "bccc", "login x", "login ", "ax", "", "1" * 64, "é" * 16, "a\nb"]
TEXTS += ["a\x00", "\x85", "a\u202e", "a\u200bb", "\u3164", "a\ufe0f"]
TEXTS += [str(NOW), f"{NOW}000", f"{NOW + 11}.5", "0123"]
NUMBERS = [Setting("text(0)", "about", "10"), Setting("text(3)", "until", "10"), Setting("text(1)", "<=", "12.3")]
texts = st.sampled_from([*TEXTS, "0x" + "aB" * 32]) | st.text("abcx123 \n", max_size=6)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    if draw(seldom):
        return {"type": "message", "hex": draw(st.sampled_from(["0xff", "0x" + "fe" * 32, "0x61FF"]))}
    text = draw(texts)
    return {"type": "message", **({"hex": "0x" + text.encode().hex()} if draw(st.booleans()) else {"text": text})}


@st.composite
def message_sections(draw: st.DrawFn, name: str) -> Section:
    pattern = draw(st.none() | st.sampled_from(PATTERNS))
    term = draw(st.sampled_from(NUMBERS)) if draw(st.booleans()) else None
    hashes = draw(st.sampled_from(["yes", "no", None])) if pattern or term else "yes"
    chosen = [Setting(word, "=", value) for word, value in (("pattern", pattern), ("hashes", hashes)) if value]
    return Section("message", name, (*chosen, *filter(None, [term])))


# Hyperliquid's actions
ACTIONS = ["order", "modify", "cancel", "cancelByCloid", "updateLeverage"]
BLIND = "newThing"
ORDER_TYPES: list[Any] = [{"limit": {"tif": tif}} for tif in ("Gtc", "Gtc", "Alo")]
ORDER_TYPES.append({"trigger": {"isMarket": True, "triggerPx": "2", "tpsl": "sl"}})


@st.composite
def actions(draw: st.DrawFn, section: Section) -> dict[str, Any]:
    """Mostly of a type that the section allows."""
    allowed = [*section.words("actions"), *section.words("blind")]
    placing = [kind for kind in allowed if kind in ("order", "modify")]  # they have the most limits
    kind = draw(st.sampled_from([*ACTIONS, BLIND] if draw(seldom) else [*allowed, *placing * 3]))

    def several_of(make: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
        return [make() for _ in range(draw(st.sampled_from([1, 1, 1, 2, 2, 0])))]

    def asset() -> Any:
        return draw(st.sampled_from([True, "1", 5] if draw(seldom) else [0, 1]))

    def order() -> dict[str, Any]:
        made = {"a": asset(), "b": draw(st.booleans()), "r": draw(seldom)}
        made["t"] = draw(st.sampled_from([{}, {"limit": {}}, None] if draw(seldom) else ORDER_TYPES))
        for key in ("p", "s"):
            made[key] = draw(
                st.sampled_from(["1e3", "-1", 5, ""] if draw(seldom) else ["1", "2.5", "10", "0.5", "01.0"])
            )
        if draw(seldom):
            made["x"] = 1
        if draw(seldom):
            del made["a"]
        return made

    content: dict[str, Any] = {"type": kind}
    if kind == "order":
        content.update(orders=several_of(order), grouping=draw(st.sampled_from(["na", "na", "positionTpsl"])))
    elif kind == "modify":
        content.update(oid=5, order=order())
    elif kind == "cancel":
        content.update(cancels=several_of(lambda: {"a": asset(), "o": 5}))
    elif kind == "cancelByCloid":
        content.update(cancels=several_of(lambda: {"asset": asset(), "cloid": "0x01"}))
    elif kind == "updateLeverage":
        content.update(asset=asset(), isCross=draw(st.booleans()), leverage=draw(st.sampled_from([2, 5, 9, "5"])))
    else:
        content.update(amount="1")
    if draw(seldom):
        content["more"] = 1
    network = draw(st.sampled_from(["mainnet", "testnet"]))
    nonce = NOW * 1000 + draw(st.sampled_from([0, 1000, 1001, -1001]))
    return {"type": "hyperliquid", "action": content, "nonce": nonce, "network": network}


@st.composite
def hyperliquid_sections(draw: st.DrawFn, name: str) -> Section:
    kinds = draw(st.lists(st.sampled_from(ACTIONS), min_size=2, unique=True))
    optional = {
        "assets": several(["0", "1"]),
        "network": several(["mainnet", "testnet"]),
        "clock": st.just("1"),
    }
    if {"order", "modify"} & set(kinds):
        optional.update(
            {
                "sides": several(["buy", "sell"]),
                "max-size": st.sampled_from(AMOUNTS),
                "min-price": st.sampled_from(["0.5", "2"]),
                "max-price": st.sampled_from(AMOUNTS),
                "max-notional": st.sampled_from(AMOUNTS),
                "reduce-only": st.sampled_from(["yes", "no", "no"]),
                "tif": several(["Gtc", "Alo"]),
                "triggers": st.sampled_from(["none", "sl-market", "tp-limit sl-market"]),
            }
        )
    if "order" in kinds:
        optional.update(
            {"max-orders": st.sampled_from(["1", "2"]), "groupings": st.sampled_from(["na", "normalTpsl na"])}
        )
    if "updateLeverage" in kinds:
        optional.update({"max-leverage": st.just("5"), "margin": several(["cross", "isolated"])})
    chosen = [Setting("actions", "=", " ".join(kinds))]
    if draw(seldom):
        chosen.append(Setting("blind", "=", BLIND))
    chosen += [Setting(word, "=", draw(value)) for word, value in optional.items() if draw(st.booleans())]
    return Section("hyperliquid", name, tuple(possible(chosen)))


# Rules
@st.composite
def rules(draw: st.DrawFn, name: str) -> Section:
    chosen = {"key": draw(several([*HELD, LOST]))}
    who = draw(st.sampled_from(["users", "groups", "users groups"])).split()
    chosen.update({word: draw(several(["1", "2"] if word == "users" else ["11", "12"])) for word in who})
    kinds = draw(st.sets(st.sampled_from(["markets", "typed", "messages", "hyperliquid"]), min_size=2))
    if "markets" in kinds:
        settings = [Setting(word, "=", value) for word, value in draw(order_settings()).items()]
        chosen.update({setting.word: setting.value for setting in possible(settings)})
    for kind in sorted(kinds - {"markets"}):
        sections = several(["a", "b"])
        chosen[kind] = "any" if kind == "typed" and draw(seldom) else draw(sections)
    rate = draw(st.sampled_from([None, None, "1/hour", "2/hour"]))
    if rate:
        chosen["rate"] = rate
    return Section("rule", name, tuple(Setting(word, "=", value) for word, value in chosen.items()))


@st.composite
def order_settings(draw: st.DrawFn) -> dict[str, str]:
    names = [market.name for market in MARKETS]
    markets = draw(st.sampled_from([*names, *names, "any", "two one", "future one"]))  # a limit needs one market
    chosen = {"markets": markets, "accounts": draw(st.just("any") | several(ACCOUNTS))}
    binding = draw(st.booleans())  # whether the price of all its types of order binds
    types = several(["LMT", "SLM"] if binding else ["LMT", "MKT", "SLM", "STM"])
    optional = {
        "sides": several(["buy", "sell"]),
        "clock": st.sampled_from(["1", "60"]),
        **({} if binding else {"types": types}),
    }
    if markets in names:
        limits = ["max-quantity", "min-price", "max-price", "max-notional"] if binding else ["max-quantity"]
        optional.update(dict.fromkeys(limits, st.sampled_from(AMOUNTS)))
    chosen.update({word: draw(value) for word, value in optional.items() if draw(st.booleans())})
    if binding:
        chosen["types"] = draw(types)
    return chosen


@st.composite
def policies(draw: st.DrawFn) -> list[Section]:
    sections = [*MARKETS]
    for make in (typed_sections, message_sections, hyperliquid_sections):
        sections += [draw(make(name)) for name in "ab"]
    sections += [draw(rules(name)) for name in draw(st.sampled_from(["x", "xy", "xyz"]))]
    return sections


Asked = Tuple[Peer, str, Dict[str, Any]]


@st.composite
def asked_under(draw: st.DrawFn, sections: list[Section]) -> Asked:
    """A client, a signer and what it wants signed: mostly something that one of the rules is about."""
    rule = draw(st.sampled_from([section for section in sections if section.kind == "rule"]))
    uids = [int(word) for word in rule.words("users")] or [3]
    gids = [int(word) for word in rule.words("groups")] or [13]
    if draw(seldom):
        uids, gids = [1, 2, 3], [11, 12, 13]
    groups = draw(st.sampled_from([(), (), tuple(gids)]))
    peer = Peer(1, draw(st.sampled_from(uids)), draw(st.sampled_from(gids)), groups)
    held_ones = [key for key in rule.words("key") if key in HELD] or HELD
    signer = draw(st.sampled_from([*HELD, LOST, UNKNOWN] if draw(seldom) else held_ones))
    kinds = ["markets", "typed", "messages", "hyperliquid"]
    own = [kind for kind in kinds if rule.get(kind)]
    kind = draw(st.sampled_from(kinds if draw(seldom) else own))
    return peer, draw(st.sampled_from([signer, signer[2:].upper()])), draw(contents_of(kind, rule, sections))


def contents_of(kind: str, rule: Section, sections: list[Section]) -> st.SearchStrategy[dict[str, Any]]:
    if kind == "markets":
        return orders(rule)
    if kind == "messages":
        return messages()
    named = [one for one in sections if one.kind == kind and one.name in rule.words(kind)]
    some = st.sampled_from(named or [one for one in sections if one.kind == kind])
    return some.flatmap(typed_data if kind == "typed" else actions)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Section], list[Asked]]:
    sections = draw(policies())
    return sections, draw(st.lists(asked_under(sections), min_size=5, max_size=12))


def resolves(field: str, request: dict[str, Any]) -> bool:
    """Whether a field is there, or is absent from an object that is there."""
    value: Any = request
    *steps, last = [int(step) if step.isdecimal() else step for step in re.findall(r"[^.\[\]]+", field)]
    for step in steps:
        value = value[step]
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(last, int) and last < len(value))


def answer(conversation: Conversation, request: dict[str, Any]) -> dict[str, Any]:
    answered: dict[str, Any] = json.loads(conversation.respond(json.dumps(request).encode()))
    return answered


def check(sections: list[Section], asked: list[Asked]) -> list[str]:
    """The outcome of each request: "signed" or a code."""
    quiet = Journal(LEVELS["err"], print)
    ring = Keyring({key.address: key for key in map(held, KEYS)})
    holder = Service(quiet, ring, policy_of("".join(section.text for section in sections)))
    verdict = Verdict(sections, set(HELD), NOW)
    came_to = []
    for peer, signer, content in asked:
        request = {**content, "signer": signer}
        answered = answer(Conversation(holder, peer), request)
        expected = verdict.on(request, peer.uid, {peer.gid, *peer.groups})
        if not expected:
            # The same signature as with the key on the wire.
            wire = {**content, "signer": KEYS[HELD.index("0x" + signer[-40:].lower())]}
            assert answered == answer(Conversation(Service(quiet), peer), wire)
            came_to.append("signed")
            continue
        assert not answered["ok"], expected
        assert answered["error"]["type"] == "PermissionError"
        ((field, (problem,)),) = answered["error"]["context"].items()
        assert (field, problem["code"]) in expected
        assert problem["code"] in CODES
        assert resolves(field, request)
        came_to.append(problem["code"])
    assert holder.counters.failed == 0
    return came_to


@pytest.fixture(scope="module", autouse=True)
def _clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ordersigner.signing.conversation.time", lambda: float(NOW))
        yield


@pytest.mark.once
@settings(max_examples=500)
@given(scenes())
def test_a_client_is_answered_as_the_policy_says(scene: tuple[list[Section], list[Asked]]) -> None:
    check(*scene)
