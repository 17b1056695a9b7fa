"""The sections on Hyperliquid's actions: their types, every signed field, and the members next to an action.

tests/vectors/limits has further verdicts, complaints and open fields.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from oracles.hyperliquid_reference import ADDRESS, ORDER, ROWS, changed, request_of
from support.policies import problems_of, section_of

from ordersigner.payloads import hyperliquid
from ordersigner.policy.hyperliquid_actions import ACTIONS, BLIND, ENVELOPE, MAX_ORDERS, POWERS, USER_SIGNED
from ordersigner.policy.hyperliquid_limits import HyperliquidLimits
from ordersigner.policy.hyperliquid_settings import MULTI_SIG, SETTINGS
from ordersigner.policy.settings import Section
from ordersigner.refusal import Refusal

NOW = 1_800_000_000.25
ONE = ORDER["action"]["orders"][0]
CANCEL = {"type": "cancel", "cancels": [{"a": 1, "o": 12}]}
MODIFY = {"type": "modify", "oid": 12, "order": ONE}
BATCH = {"type": "batchModify", "modifies": [{"oid": 12, "order": ONE}]}


def section(**settings: str) -> Section:
    return section_of(
        "hyperliquid",
        "\n".join(
            f"{name.replace('_within', '').replace('_', '-')} {'within' if 'within' in name else '='} {value}"
            for name, value in settings.items()
        ),
    )


def limits_of(**settings: str) -> HyperliquidLimits:
    compiled: HyperliquidLimits = HyperliquidLimits.compile(section(**settings))
    return compiled


def limits(**settings: str) -> HyperliquidLimits:
    return limits_of(**{"actions": "order", **settings})


def denied(limits: HyperliquidLimits, request: dict[str, Any]) -> tuple[str, str] | None:
    """The field and the code of the objection to an action."""
    found = limits.judge(hyperliquid.read(request), NOW)
    return found and (found.field, found.code)


def order(**values: Any) -> dict[str, Any]:
    """A request with one order; its values are those of a published one, but for these."""
    return changed(action={**ORDER["action"], "orders": [{**ONE, **values}]})


def problems(**settings: str) -> dict[str, str]:
    return problems_of(section(**settings), HyperliquidLimits)


def list_of(kind: str) -> str:
    """The list that a type of action belongs in."""
    return "actions" if kind in ACTIONS else "powers" if kind in POWERS else "blind"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_a_published_action_is_allowed_by_its_type_only(row: dict[str, Any]) -> None:
    request = request_of(row)
    kind = request["action"]["type"]
    own, network = {list_of(kind): kind}, request["network"]
    assert denied(limits_of(**own), request) is None
    assert denied(limits_of(actions="noop"), request) == ("action.type", "not_allowed")
    other = "mainnet" if network == "testnet" else "testnet"
    assert denied(limits_of(**own, network=network), request) is None
    assert denied(limits_of(**own, network=other), request) == ("network", "not_allowed")


@pytest.mark.parametrize(
    ("settings", "values", "field", "code"),
    [
        ({"assets": "0 1"}, {}, None, None),
        ({"assets": "0 2"}, {}, "a", "not_allowed"),
        ({"sides": "buy"}, {}, None, None),
        ({"sides": "sell"}, {}, "b", "not_allowed"),
        ({"sides": "sell"}, {"b": False}, None, None),
        ({"max_size": "100"}, {}, None, None),
        ({"max_size": "100.0"}, {"s": "100.000"}, None, None),
        ({"max_size": "99.999999999999999999"}, {}, "s", "over_limit"),
        ({"max_size": "0.3"}, {"s": "0.30000000000000001"}, "s", "over_limit"),
        ({"max_size": "9007199254740992"}, {"s": "9007199254740993"}, "s", "over_limit"),
        ({"max_size": "100"}, {"s": "0.0"}, "s", "over_limit"),  # the whole position
        ({}, {"s": "0.0"}, None, None),
        ({"max_price": "100"}, {}, None, None),
        ({"max_price": "99.9"}, {}, "p", "over_limit"),
        ({"min_price": "100"}, {}, None, None),
        ({"min_price": "100.1"}, {}, "p", "over_limit"),
        ({}, {"s": "1e3"}, "s", "not_allowed"),
        ({}, {"s": "-1"}, "s", "not_allowed"),
        ({}, {"s": " 1"}, "s", "not_allowed"),
        ({}, {"s": "\u0661"}, "s", "not_allowed"),
        ({}, {"s": 1}, "s", "not_allowed"),
        ({}, {"p": "1."}, "p", "not_allowed"),
        ({}, {"p": None}, "p", "not_allowed"),
        ({}, {"a": "1"}, "a", "not_allowed"),
        ({}, {"a": True}, "a", "not_allowed"),
        ({}, {"b": 1}, "b", "not_allowed"),
        ({}, {"z": 1}, "z", "not_allowed"),
        ({}, {"c": "0x00000000000000000000000000000001"}, None, None),
    ],
    ids=repr,
)
def test_a_limit_on_an_order(settings: dict[str, str], values: dict[str, Any], field: str | None, code: str) -> None:
    expected = (f"action.orders[0].{field}", code) if field else None
    assert denied(limits(**settings), order(**values)) == expected


def test_an_order_whose_size_follows_the_position_is_past_any_limit_of_the_size() -> None:
    request = changed(action={**ORDER["action"], "grouping": "positionTpsl"})
    assert denied(limits(max_price="100"), request) is None
    assert denied(limits(max_size="100"), request) == ("action.grouping", "not_allowed")


def test_every_order_of_an_action_is_judged() -> None:
    request = changed(action={**ORDER["action"], "orders": [ONE, {**ONE, "s": "101"}]})
    assert denied(limits(max_size="100"), request) == ("action.orders[1].s", "over_limit")


@pytest.mark.parametrize("wrong", [{"s": "101"}, {"p": "99999"}, {"a": 7}, {"z": 1}])
@pytest.mark.parametrize("kind", ["order", "batchModify"])
def test_every_order_of_the_largest_batch_is_judged(kind: str, wrong: dict[str, Any]) -> None:
    judge = limits(actions=kind, assets="1", sides="buy", max_size="100", max_price="100")
    most = MAX_ORDERS

    def batch(last: dict[str, Any], count: int) -> dict[str, Any]:
        orders = [ONE] * (count - 1) + [{**ONE, **last}]
        if kind == "order":
            return changed(action={**ORDER["action"], "orders": orders})
        return changed(action={**BATCH, "modifies": [{"oid": 1, "order": order} for order in orders]})

    place = f"action.orders[{most - 1}]" if kind == "order" else f"action.modifies[{most - 1}].order"
    (key,) = wrong
    code = "over_limit" if key in "sp" else "not_allowed"
    assert denied(judge, batch({}, most)) is None
    assert denied(judge, batch(wrong, most)) == (f"{place}.{key}", code)
    assert denied(judge, batch({}, most + 1)) == (place.partition("[")[0], "over_limit")


@pytest.mark.parametrize(
    ("action", "place"),
    [(MODIFY, "action.order"), (BATCH, "action.modifies[0].order")],
    ids=["modify", "batchModify"],
)
def test_a_modified_order_is_judged_like_a_new_one(action: dict[str, Any], place: str) -> None:
    kind = str(action["type"])
    request = changed(action=action)
    assert denied(limits(actions=kind, assets="1", sides="buy", max_size="100", max_price="100"), request) is None
    assert denied(limits(actions=kind, assets="2"), request) == (f"{place}.a", "not_allowed")
    assert denied(limits(actions=kind, sides="sell"), request) == (f"{place}.b", "not_allowed")
    assert denied(limits(actions=kind, max_size="99"), request) == (f"{place}.s", "over_limit")
    assert denied(limits(actions=kind, max_price="99"), request) == (f"{place}.p", "over_limit")


@pytest.mark.parametrize(
    ("action", "place"),
    [
        (CANCEL, "action.cancels[0].a"),
        ({"type": "cancelByCloid", "cancels": [{"asset": 1, "cloid": "0x1"}]}, "action.cancels[0].asset"),
        ({"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 5}, "action.asset"),
        ({"type": "updateIsolatedMargin", "asset": 1, "isBuy": True, "ntli": 5}, "action.asset"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_an_asset_is_judged_in_what_is_no_order_too(action: dict[str, Any], place: str) -> None:
    kind = str(action["type"])
    assert denied(limits(actions=kind, assets="1"), changed(action=action)) is None
    assert denied(limits(actions=kind, assets="2"), changed(action=action)) == (place, "not_allowed")


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({**ORDER["action"], "more": 1}, "action.more"),
        ({**ORDER["action"], "orders": []}, "action"),
        ({**ORDER["action"], "orders": {}}, "action"),
        ({**ORDER["action"], "orders": [1]}, "action.orders[0]"),
        ({"type": "order"}, "action"),
        ({**MODIFY, "order": None}, "action.order"),
        ({**BATCH, "modifies": [ONE]}, "action.modifies[0]"),
        ({**BATCH, "modifies": [{"oid": 1, "order": ONE, "more": 1}]}, "action.modifies[0]"),
        ({**BATCH, "modifies": [{"oid": {"a": 1}, "order": ONE}]}, "action.modifies[0].oid"),
        ({**ORDER["action"], "orders": [{**ONE, "c": [1]}]}, "action.orders[0].c"),
        ({**CANCEL, "cancels": [{"a": 1, "o": 1, "more": 1}]}, "action.cancels[0].more"),
        ({"type": ["order"]}, "action.type"),
        ({"a": 1}, "action.type"),
    ],
    ids=repr,
)
def test_what_is_not_known_is_refused(action: dict[str, Any], field: str) -> None:
    allowed = limits(actions="order modify batchModify cancel")
    assert denied(allowed, changed(action=copy.deepcopy(action))) == (field, "not_allowed")


@pytest.mark.parametrize(
    ("settings", "setting", "reason"),
    [
        ({}, "actions", "must be given"),
        ({"actions": ""}, "actions", "a value is missing"),
        ({"actions": "order order"}, "actions, word 2", "twice"),
        ({"actions": "order!"}, "actions", "letters and digits"),
        ({"actions": "order", "assets": "BTC"}, "assets", "number"),
        ({"actions": "order", "assets": "-1"}, "assets", "number"),
        ({"actions": "order", "assets": "4294967296"}, "assets", "number"),
        ({"actions": "order", "sides": "long"}, "sides", "valid words"),
        ({"actions": "order", "network": "devnet"}, "network", "valid words"),
        ({"actions": "order", "max_size": "1e3"}, "max-size", "decimal digits"),
        (
            {"actions": "order", "max_size": "1 2"},
            "max-size",
            "an amount is decimal digits with at most one point and 18 digits after it",
        ),
        ({"actions": "order", "min_price": "-1"}, "min-price", "decimal digits"),
        ({"actions": "order", "colour": "1"}, "a [hyperliquid] section has no setting colour", "actions, powers"),
        (
            {"actions": "order newThing"},
            "actions, word 2",
            "this version does not know it: this action belongs in blind",
        ),
        ({"actions": "ordr"}, "actions", "did you mean order? Otherwise"),
        ({"actions": "vaultTransfer"}, "actions", "belongs in powers, whose actions move money or rights"),
        ({"powers": "order"}, "powers", "belongs in actions"),
        ({"blind": "vaultTransfer"}, "blind", "belongs in powers"),
        ({"blind": "usdSend"}, "blind", "[typed NAME] for HyperliquidTransaction:UsdSend"),
        ({"powers": "vaultTransfer vaultModify"}, "powers", "exactly one type"),
        ({"powers": "vaultTransfer", "blind": "newThing"}, "powers", "exactly one type"),
        ({"powers": "vaultTransfer", "max_size": "1"}, "max-size", "would limit nothing"),
        ({"blind": "newThing", "assets": "1"}, "assets", "would limit nothing"),
        ({"actions": "order", "tif": "none Alo"}, "tif", "no other word"),
        ({"actions": "order", "triggers": "none none"}, "triggers, word 2", "twice"),
        ({"actions": "order", "max_priority": "100.1"}, "max-priority", "at most 100"),
        ({"actions": "order", "builder": f"{ADDRESS} 0.01"}, "builder", "such as"),
        ({"actions": "order", "builder": f"{ADDRESS}"}, "builder", "such as"),
        ({"actions": "order", "builder": ""}, "builder", "such as"),
        ({"actions": "order", "vault": "main"}, "vault", "not an address"),
        ({"actions": "order", "multi_sig": ADDRESS}, "multi-sig", "USER OUTER-SIGNER"),
        ({"actions": "order", "max_orders": "2049"}, "max-orders", "from 1 to 2048"),
        ({"actions": "order", "clock": "0"}, "clock", "from 1 to"),
        ({"actions": "twapOrder", "twap_minutes": "5"}, "twap-minutes", "LEAST MOST"),
        ({"actions": "order", "max_total_notional": "9" * 42 + "/day"}, "max-total-notional", "does not fit"),
        ({"actions": "order", "max_total_notional": "0/day"}, "max-total-notional", "more than 0"),
        ({"actions": "order", "min_price": "5", "max_price": "4.99"}, "min-price", "above max-price"),
        ({"actions": "order", "min_trigger_price": "5", "max_trigger_price": "4"}, "min-trigger-price", "above max-tr"),
        ({"actions": "twapOrder", "min_price": "1"}, "min-price", "a TWAP signs no price"),
    ],
    ids=repr,
)
def test_a_setting_that_is_wrong_is_named(settings: dict[str, str], setting: str, reason: str) -> None:
    found = problems(**settings)
    assert list(found) == [setting]
    assert reason in found[setting]


def test_all_wrong_settings_are_named_at_once() -> None:
    found = list(problems(assets="x", sides="y", max_price="z"))
    assert found == ["actions", "assets", "sides", "max-price"]


def test_a_wrong_type_does_not_make_the_settings_wrong() -> None:
    assert list(problems(actions="ordr", max_size="1")) == ["actions"]
    assert list(
        problems_of(section_of("hyperliquid", "powers = vaultTransfr\naction.usd(6) <= 1"), HyperliquidLimits)
    ) == ["powers"]


def test_a_section_in_words() -> None:
    amounts = {"max_size": "2.5", "min_price": "1", "max_price": "9"}
    found = limits(actions="order cancel", assets="0 1", sides="buy", network="mainnet", **amounts)
    assert found.permits() == [
        "Hyperliquid's actions order or cancel",
        "on mainnet",
        "in the assets 0 or 1",
        "to buy",
        "of at most 2.5 in each order, and not of zero",
        "at a price of at least 1",
        "at a price of at most 9",
    ]
    assert found.leaves_open() == [
        "action.grouping: the grouping",
        "action.builder.b: the builder",
        "action.builder.f: the builder's fee",
        "how many elements action.orders has",
        "action.orders.*.a, action.cancels.*.a: the asset (0 or 1)",
        "how low action.orders.*.s may be: the size",
        "action.orders.*.r: whether it only reduces a position",
        "action.orders.*.t.limit.tif: the time in force",
        "action.orders.*.t: whether it is a limit order or a trigger",
        "action.orders.*.t.trigger.isMarket, action.orders.*.t.trigger.tpsl: the kind of trigger",
        "action.orders.*.t.trigger.triggerPx: the trigger's price",
        "action.orders.*.t.trigger.isMarket: at what price a market trigger trades: the exchange may ignore p",
        "action.orders.*.c: the client's own id",
        "how many elements action.cancels has",
        "action.cancels.*.o: which order is cancelled",
        "vaultAddress: the vault or sub-account that it is for",
        "nonce: when it was made",
        "expiresAfter: whether and when it expires",
    ]


def test_what_is_not_looked_at_is_said() -> None:
    words = limits_of(blind="spotDeploy newThing").leaves_open()
    assert "the content of the action newThing, which is signed whatever it says" in words
    power = HyperliquidLimits.compile(section_of("hyperliquid", "powers = vaultTransfer\ntotal action.usd(6) <= 5/day"))
    assert {"action.vaultAddress", "action.isDeposit", "action.usd"} <= set(power.leaves_open())
    total = "how much is open at one time: the total counts what is signed, even if it is cancelled"
    assert total in power.leaves_open()
    assert total in limits(max_total_notional="5/day").leaves_open()
    assert (
        "at most 5 of size times price in all signatures of any day" in limits(max_total_notional="5/day").permits()[1]
    )


# The table
def test_each_type_is_in_one_list() -> None:
    types = [*ACTIONS, *POWERS, *BLIND, *USER_SIGNED]
    assert len(types) == len(set(types))


def test_each_setting_is_one_of_a_field_and_each_field_has_settings_that_exist() -> None:
    used = {setting for action in ACTIONS.values() for setting in action.settings}
    used.update(setting for field in ENVELOPE for setting in field.settings)
    assert used | {MULTI_SIG} == SETTINGS.keys()


# Exactly the open fields of a section are named. A black box finds them: in an action that is allowed, a single field
# gets another value.
MILLISECONDS = int(NOW * 1000)
LIMIT = {"a": 1, "b": True, "p": "100", "s": "10", "r": False, "t": {"limit": {"tif": "Gtc"}}, "c": "0x01"}
TRIGGER = {**LIMIT, "t": {"trigger": {"isMarket": True, "triggerPx": "90", "tpsl": "sl"}}}
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "order": [
        {"orders": [LIMIT, LIMIT], "grouping": "na", "builder": {"b": ADDRESS, "f": 1}},
        {"orders": [LIMIT], "grouping": {"p": 1}},
        {"orders": [TRIGGER]},
    ],
    "modify": [{"oid": 5, "order": LIMIT}, {"oid": 5, "order": TRIGGER, "a": True}],
    "batchModify": [
        {"modifies": [{"oid": 5, "order": LIMIT}]},
        {"modifies": [{"oid": 5, "order": TRIGGER}], "a": True},
    ],
    "cancel": [{"cancels": [{"a": 1, "o": 5}]}, {"cancels": [{"a": 1, "o": 5}], "f": True}],
    "cancelByCloid": [{"cancels": [{"asset": 1, "cloid": "0x01"}]}],
    "scheduleCancel": [{"time": MILLISECONDS + 1000}, {}],
    "updateLeverage": [{"asset": 1, "isCross": False, "leverage": 3}],
    "updateIsolatedMargin": [{"asset": 1, "isBuy": True, "ntli": 5}],
    "topUpIsolatedOnlyMargin": [{"asset": 1, "leverage": "3"}],
    "twapOrder": [{"twap": {"a": 1, "b": True, "s": "10", "r": False, "m": 30, "t": True}}],
    "twapCancel": [{"a": 1, "t": 3}],
    "noop": [{}],
}
VALUES = {
    "network": ["mainnet", "mainnet testnet"],
    "vault": ["none", f"none {ADDRESS}"],
    "assets": ["1", "1 2"],
    "sides": ["buy", "buy sell"],
    "max-size": ["10"],
    "min-price": ["100"],
    "max-price": ["100"],
    "max-notional": ["1000"],
    "max-total-notional": ["2000/day"],
    "max-orders": ["2"],
    "reduce-only": ["no", "yes no"],
    "tif": ["Gtc", "Alo Gtc", "none"],
    "triggers": ["sl-market", "sl-market sl-limit", "none"],
    "min-trigger-price": ["90"],
    "max-trigger-price": ["90"],
    "groupings": ["na", "na normalTpsl"],
    "max-priority": ["1"],
    "builder": [f"{ADDRESS} 1%", "none"],
    "always-place": ["yes", "no"],
    "max-cancels": ["1"],
    "fast-cancel": ["yes", "no"],
    "schedule within": ["60"],
    "margin": ["isolated", "cross isolated"],
    "max-leverage": ["3"],
    "max-add-margin": ["1"],
    "max-remove-margin": ["1"],
    "twap-minutes": ["30 30", "10 60"],
    "twap-randomize": ["yes", "yes no"],
    "clock": ["60"],
    "expires within": ["60"],
}
OTHERS = {"tif": ["Alo", "new"], "tpsl": ["tp"], "network": ["testnet"], "grouping": ["normalTpsl", "positionTpsl"]}


def test_each_action_and_each_setting_has_examples() -> None:
    assert EXAMPLES.keys() == ACTIONS.keys()
    assert VALUES.keys() == SETTINGS.keys() - {MULTI_SIG}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        yield path, value
    else:
        if isinstance(value, list):
            yield path, value
        for key, member in members:
            yield from leaves(member, (*path, key))


def others(path: tuple[Any, ...], value: Any) -> Iterator[tuple[str, Any]]:
    """Other values, with the side that they are on: low, high, or other."""
    if isinstance(value, list):
        yield "high", value * 400
    elif isinstance(value, bool):
        yield "other", not value
    elif isinstance(value, int):
        yield from (("low", -(2**63)), ("high", 2**63))
    elif path[-1] in ("p", "s", "triggerPx", "leverage"):
        yield from (("low", "0.000000000000000001"), ("low", "0"), ("high", "9" * 60))
    elif path[-1] in OTHERS:
        yield from (("other", other) for other in OTHERS[path[-1]])
    elif value is None:
        yield from (("other", 1), ("other", ADDRESS), ("other", MILLISECONDS + 1))
    else:
        yield from (("other", "0x" + 40 * "5"), ("other", "0x02"))


def with_other(request: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(request))
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def is_named(words: list[str], path: tuple[Any, ...], side: str) -> bool:
    own = re.escape(".".join("*" if isinstance(key, int) else key for key in path))
    lines = [line for line in words if re.search(rf"(?:^|[ ]){own}(?:[ ,:.]|$)", line)]
    return any(not line.startswith("how ") or line.startswith((f"how {side} ", "how many ")) for line in lines)


def open_sides(judge: HyperliquidLimits, request: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], str]]:
    for path, value in leaves(request):
        if path in (("action", "type"), ("type",)):
            continue
        for side, other in others(path, value):
            candidate = with_other(request, path, other)
            if candidate == request:
                continue
            try:
                if denied(judge, candidate) is None:
                    yield path, side
            except Refusal:
                pass  # no such request is signed


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("has_all", [False, True], ids=["one setting", "all others"])
def test_what_is_open_is_named(kind: str, has_all: bool) -> None:
    settings = {*ACTIONS[kind].settings, *(setting for field in ENVELOPE for setting in field.settings)}
    tried = 0
    for setting in sorted(settings):
        for value in VALUES[setting]:
            chosen = {setting: value}
            if has_all:
                chosen = {name: VALUES[name][0] for name in settings if name != setting}
            if kind == "twapOrder":
                chosen = {
                    name: text for name, text in chosen.items() if name not in ("max-notional", "max-total-notional")
                }
            lines = [f"{name}{'' if 'within' in name else ' ='} {text}" for name, text in chosen.items()]
            judge = HyperliquidLimits.compile(section_of("hyperliquid", "\n".join([f"actions = {kind}", *lines])))
            words = judge.leaves_open()
            for example in EXAMPLES[kind]:
                for beside in ({"expiresAfter": MILLISECONDS + 1}, {"expiresAfter": None}):
                    request = {
                        "action": {"type": kind, **example},
                        "nonce": MILLISECONDS,
                        "network": "mainnet",
                        "vaultAddress": None,
                        **beside,
                    }
                    if denied(judge, request) is not None:
                        continue
                    tried += 1
                    for path, side in open_sides(judge, request):
                        assert is_named(words, path, side), (chosen, path, side, words)
    assert tried


# What is beside the fields of an action
TIMES = [
    ({"clock": "60"}, {"nonce": MILLISECONDS + 60_000}, None),
    ({"clock": "60"}, {"nonce": MILLISECONDS - 60_000}, None),
    ({"clock": "60"}, {"nonce": MILLISECONDS + 60_001}, ("nonce", "over_limit")),
    ({"clock": "60"}, {"nonce": MILLISECONDS - 60_001}, ("nonce", "over_limit")),
    ({"expires_within": "60"}, {"expiresAfter": MILLISECONDS}, None),
    ({"expires_within": "60"}, {"expiresAfter": MILLISECONDS + 60_000}, None),
    ({"expires_within": "60"}, {"expiresAfter": MILLISECONDS - 1}, ("expiresAfter", "over_limit")),
    ({"expires_within": "60"}, {"expiresAfter": MILLISECONDS + 60_001}, ("expiresAfter", "over_limit")),
    ({"expires_within": "60"}, {}, ("expiresAfter", "not_allowed")),
]


@pytest.mark.parametrize(("settings", "members", "expected"), TIMES, ids=repr)
def test_a_time_is_exact_to_the_millisecond(
    settings: dict[str, str], members: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    assert denied(limits(**settings), changed(**members)) == expected


@pytest.mark.parametrize("kind", ["actions = order", "powers = setReferrer", "blind = newThing"])
def test_what_is_beside_an_action_is_judged_for_every_list(kind: str) -> None:
    judge = HyperliquidLimits.compile(
        section_of("hyperliquid", f"{kind}\nnetwork = mainnet\nvault = none\nclock = 60\nexpires within 60")
    )
    name = kind.split()[-1]
    action = {
        "type": name,
        **({"orders": [LIMIT]} if name == "order" else {"code": "a"} if name == "setReferrer" else {}),
    }
    request = {"action": action, "nonce": MILLISECONDS, "expiresAfter": MILLISECONDS, "network": "mainnet"}
    assert denied(judge, request) is None
    for member, value in (("network", "testnet"), ("vaultAddress", ADDRESS), ("nonce", 0), ("expiresAfter", 0)):
        found = denied(judge, {**request, member: value})
        assert found is not None
        assert found[0] == member


def test_a_limit_beyond_the_digits_of_a_default_decimal_is_exact() -> None:
    size, price = "1" + 29 * "0" + "1.5", "2"  # their product is 2 * 10^30 + 3
    for last, expected in (("3", None), ("2.999999999999999999", ("action.orders[0].s", "over_limit"))):
        assert denied(limits(max_notional=f"2{29 * '0'}{last}"), order(s=size, p=price)) == expected
    most = "1" + 35 * "0" + ".000001"
    margin = {"type": "updateIsolatedMargin", "asset": 1, "isBuy": True, "ntli": 2**62}
    assert denied(limits_of(actions="updateIsolatedMargin", max_add_margin=most), changed(action=margin)) is None
    units = limits_of(actions="updateIsolatedMargin", max_add_margin=f"{(2**62 - 1) // 10**6}.{(2**62 - 1) % 10**6:06}")
    assert denied(units, changed(action=margin)) == ("action.ntli", "over_limit")


# Totals
def test_a_total_counts_every_order() -> None:
    judge = limits(actions="order modify batchModify cancel", max_total_notional="1000/day")
    (total,) = judge.totals
    assert (total.section, total.kind, total.term, total.seconds) == (
        "name",
        "hyperliquid",
        "max-total-notional",
        86400,
    )
    assert total.limit == 1000 * 10**36
    part = {**LIMIT, "s": "0.5", "p": "3.000000000000000001"}
    units = 1_500_000_000_000_000_000_500_000_000_000_000_000
    for action, field, count in (
        ({"type": "order", "orders": [part, part]}, "action.orders", 2),
        ({"type": "modify", "oid": 1, "order": part}, "action.order", 1),
        ({"type": "batchModify", "modifies": [{"oid": 1, "order": part}]}, "action.modifies", 1),
    ):
        payload = hyperliquid.read(changed(action=action))
        assert judge.judge(payload, NOW) is None
        assert judge.needs(payload) == [(total, count * units, field)]
    assert judge.needs(hyperliquid.read(changed(action=CANCEL))) == ()
    assert limits().needs(hyperliquid.read(changed())) == ()


# Signatures for a multi-sig user
USER, OUTER = "0x" + 40 * "a", "0x" + 40 * "b"


def test_a_section_for_a_multi_sig_user_takes_its_lists_alone() -> None:
    own = limits(multi_sig=f"{USER} {OUTER}", max_size="100", max_total_notional="10000/day")
    action = ORDER["action"]
    assert denied(own, changed(action=[USER, OUTER, action])) is None
    assert denied(own, changed(action=[USER.upper().replace("X", "x"), OUTER, action])) is None
    for form in (action, [OUTER, USER, action], [USER, ADDRESS, action]):
        assert denied(own, changed(action=form)) == ("action", "not_allowed")
    assert denied(limits(), changed(action=[USER, OUTER, action])) == ("action", "not_allowed")
    large = {**action, "orders": [{**ONE, "s": "101"}]}
    assert denied(own, changed(action=[USER, OUTER, large])) == ("action[2].orders[0].s", "over_limit")
    assert denied(own, changed(action=[USER, OUTER, {**action, "orders": []}])) == ("action[2]", "not_allowed")
    assert denied(own, changed(action=[USER, OUTER, CANCEL])) == ("action[2].type", "not_allowed")
    (need,) = own.needs(hyperliquid.read(changed(action=[USER, OUTER, action])))
    assert need.field == "action[2].orders"
    assert "action[2].orders.*.b: the side" in own.leaves_open()


def test_a_power_of_a_multi_sig_user_is_judged_in_its_list() -> None:
    text = f"powers = vaultTransfer\nmulti-sig = {USER} {OUTER}\naction.usd(6) <= 1\ntotal action.usd(6) <= 1/day"
    judge = HyperliquidLimits.compile(section_of("hyperliquid", text))
    action = {"type": "vaultTransfer", "vaultAddress": ADDRESS, "isDeposit": True, "usd": 10**6}
    payload = hyperliquid.read(changed(action=[USER, OUTER, action]))
    assert judge.judge(payload, NOW) is None
    assert [need.field for need in judge.needs(payload)] == ["action[2].usd"]
    assert denied(judge, changed(action=[USER, OUTER, {**action, "usd": 10**6 + 1}])) == ("action[2].usd", "over_limit")
    assert denied(judge, changed(action=[USER, OUTER, {**action, "usd": -1}])) == ("action[2].usd", "not_allowed")


# Refusals
def test_a_refusal_says_what_the_section_does_not_allow() -> None:
    def text(judge: HyperliquidLimits, request: dict[str, Any]) -> str:
        objection = judge.judge(hyperliquid.read(request), NOW)
        assert objection is not None
        assert objection.section == "name"
        return objection.text

    judge = limits(max_size="100", tif="Alo", vault="none", max_orders="1")
    assert text(judge, changed(action=MODIFY)) == 'No rule of yours allows the action "modify". They allow: order.'
    assert text(judge, changed(action={"type": "0x" + 64 * "1"})).startswith("No rule of yours allows this action.")
    assert text(judge, order(s="100.5")) == "This value is above the limit of [hyperliquid name]: 100.5."
    assert text(judge, order(s="9" * 60)) == "This value is above the limit of [hyperliquid name]."
    assert text(judge, order()) == "[hyperliquid name] does not allow this value: Gtc."
    assert text(judge, changed(vaultAddress=ADDRESS)) == f"[hyperliquid name] does not allow this value: {ADDRESS}."
    two = {**ORDER["action"], "orders": [ONE, ONE]}
    assert text(judge, changed(action=two)) == "[hyperliquid name] does not allow 2 elements."
