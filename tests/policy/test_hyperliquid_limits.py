"""What a section says about Hyperliquid's actions: types, networks, assets, sides, sizes and prices."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from oracles.hyperliquid_reference import ADDRESS, ORDER, ROWS, changed, request_of
from support.policies import problems_of, section_of

from ordersigner.payloads import hyperliquid
from ordersigner.policy import hyperliquid_limits
from ordersigner.policy.hyperliquid_limits import HyperliquidLimits
from ordersigner.policy.settings import Section

ONE = ORDER["action"]["orders"][0]
CANCEL = {"type": "cancel", "cancels": [{"a": 1, "o": 12}]}
MODIFY = {"type": "modify", "oid": 12, "order": ONE}
BATCH = {"type": "batchModify", "modifies": [{"oid": 12, "order": ONE}]}


def section(**settings: str) -> Section:
    return section_of(
        "hyperliquid", "\n".join(f"{name.replace('_', '-')} = {value}" for name, value in settings.items())
    )


def limits(**settings: str) -> HyperliquidLimits:
    return HyperliquidLimits(section(**{"actions": "order", **settings}))


def denied(limits: HyperliquidLimits, request: dict[str, Any]) -> tuple[str, str] | None:
    """The field and the code of the objection to an action."""
    found = limits.judge(hyperliquid.read(request), 0.0)
    return found and (found.field, found.code)


def order(**values: Any) -> dict[str, Any]:
    """A request with one order; its values are those of a published one, but for these."""
    return changed(action={**ORDER["action"], "orders": [{**ONE, **values}]})


def problems(**settings: str) -> dict[str, str]:
    return problems_of(section(**settings), HyperliquidLimits)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_a_published_action_is_allowed_by_its_type_only(row: dict[str, Any]) -> None:
    request = request_of(row)
    kind = request["action"]["type"]
    assert denied(limits(actions=f"noop {kind}"), request) is None
    assert denied(limits(actions="noop"), request) == ("action.type", "not_allowed")
    other = "mainnet" if request["network"] == "testnet" else "testnet"
    assert denied(limits(actions=kind, network=request["network"]), request) is None
    assert denied(limits(actions=kind, network=other), request) == ("network", "not_allowed")


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
    most = hyperliquid_limits.MAX_ORDERS

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
    assert denied(limits(actions=kind, assets="1", max_size="0"), changed(action=action)) is None
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
        ({**BATCH, "modifies": [ONE]}, "action.modifies[0].order"),
        ({**BATCH, "modifies": [{"oid": 1, "order": ONE, "more": 1}]}, "action.modifies[0].order"),
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
        ({"actions": ""}, "actions", "at least one word"),
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
        ({"actions": "order", "leverage": "1"}, "a [hyperliquid] section has no setting leverage", "actions, assets"),
    ],
    ids=repr,
)
def test_a_setting_that_is_wrong_is_named(settings: dict[str, str], setting: str, reason: str) -> None:
    found = problems(**settings)
    assert list(found) == [setting]
    assert reason in found[setting]


def test_all_wrong_settings_are_named_at_once() -> None:
    assert list(problems(assets="x", sides="y", max_price="z")) == ["actions", "assets", "sides", "max-price"]


def test_a_section_in_words() -> None:
    amounts = {"max_size": "2.5", "min_price": "1", "max_price": "9"}
    found = limits(actions="order cancel", assets="0 1", sides="buy", network="mainnet", **amounts)
    assert found.permits() == [
        "Hyperliquid's actions order or cancel",
        "on mainnet",
        "in the assets 0 or 1",
        "to buy",
        "of at most 2.5 in each order",
        "at a price of at least 1",
        "at a price of at most 9",
    ]
    assert found.leaves_open() == [
        "how many orders an action has, time in force, reduce-only, trigger price, the builder's fee",
        "the vault or sub-account that an action is for, and its nonce and expiry",
    ]
    free = limits(actions="order usdClassTransfer").leaves_open()
    assert "the content of the action usdClassTransfer, which is signed whatever it says" in free
    assert {"the assets", "the side", "the size"} < set(free)
    assert denied(limits(), changed(vaultAddress=ADDRESS)) is None


def test_leverage_and_margin_are_open_where_their_actions_are_allowed() -> None:
    words = limits(actions="updateLeverage updateIsolatedMargin", max_size="1").leaves_open()
    assert {"the leverage", "how much margin is added or removed"} <= set(words)
    assert not {"the leverage", "how much margin is added or removed"} & set(limits().leaves_open())
