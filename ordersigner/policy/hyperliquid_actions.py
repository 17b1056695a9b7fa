"""Hyperliquid's actions: one table with every field that is signed, how it is judged, and which settings limit it.

In: the limits of a section, by the names of its settings. Out: the judge of an action, and words for what the limits
leave open. Raises nothing. Pure.

ACTIONS are judged in every field: a key that is not in the table is refused. POWERS move money or rights; their fields
have conditions. USER_SIGNED actions are signed as typed data, so they are no actions here. All others are blind: their
content is not judged. BLIND has the known ones.

Sources: hyperliquid-python-sdk 0.24.0, @nktkas/hyperliquid 0.33.3, ccxt 4.5.90. tests/programs/hyperliquid_actions.py
takes the types and their fields from there, and a test holds this table against them.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Sequence, Tuple

from ordersigner.policy import hyperliquid_checks as checks
from ordersigner.policy.hyperliquid_checks import (
    LIMIT_THE_SIZE,
    MARGINS,
    SIDE,
    SIDES,
    TIFS,
    TRIGGERS,
    YES_NO,
    Check,
    Form,
    Limits,
    Make,
)
from ordersigner.text import listed

MAX_ORDERS = 1000  # in an action, without `max-orders`. A line holds about 800 real ones.

Open = Tuple[str, str]  # an open end: its path from where it is, and words, in which {} stands for the path


class Field(NamedTuple):
    """A field that is signed. form: the form of its value. settings: those that limit it. make: from the limits to what
    judges its value.
    open_ends: what they do not limit.
    """

    key: str
    form: Form
    settings: Sequence[str]
    make: Make
    open_ends: Callable[[Limits], Sequence[Open]]

    def leaves_open(self, limits: Limits) -> list[Open]:
        return [(f".{self.key}{path}", words) for path, words in self.open_ends(limits)]


class Action(NamedTuple):
    """An action that is judged. orders: the field that is an order, or a list with one in each element, if any is."""

    fields: Sequence[Field]
    orders: str = ""

    @property
    def settings(self) -> Sequence[str]:
        return _settings(self.fields)

    @property
    def form(self) -> Form:
        return checks.members_form({"type": checks.scalar_form, **_forms(self.fields)})

    def check(self, limits: Limits) -> Check | None:
        return checks.members(_checks(self.fields, limits))

    def leaves_open(self, limits: Limits) -> list[Open]:
        return _open_ends(self.fields)(limits)

    def notional(self, action: Mapping[str, Any]) -> int:
        """The sum of size times price of its orders, in units of 10^-36. action: its form is right."""
        value = action[self.orders]
        return checks.notional(part.get("order", part) for part in (value if type(value) is list else [value]))


# Fields of each kind. `words` say what they are, and follow a colon.
def _free(key: str, words: str) -> Field:
    """Any value: nothing depends on it, or there is no rule for the right ones."""
    return Field(key, checks.scalar_form, (), checks.nothing, lambda limits: [_open(words)])


def _chosen(key: str, setting: str, words: str, make: Make, form: Form = checks.scalar_form) -> Field:
    """The setting has the words that are allowed."""
    return Field(key, form, (setting,), make, lambda limits: _open_choice(limits, setting, words))


def _bounded(
    key: str, words: str, make: Make, low: Sequence[str], high: Sequence[str], form: Form = checks.scalar_form
) -> Field:
    """low, high: the settings that bound a side. One of them is enough."""
    settings = dict.fromkeys((*low, *high))
    return Field(key, form, list(settings), make, lambda limits: _open_sides(limits, words, low, high))


def _limited(key: str, setting: str, words: str, make: Make) -> Field:
    """The setting leaves nothing open."""
    return Field(key, checks.scalar_form, (setting,), make, lambda limits: [] if setting in limits else [_open(words)])


def _only_true(key: str, setting: str, words: str) -> Field:
    """It must be absent unless the setting says yes."""
    make = checks.only_true(setting)
    is_open = [_open(words)]
    return Field(
        key, checks.any_form, (setting,), make, lambda limits: is_open if limits.get(setting) == ["yes"] else []
    )


def _object(key: str, fields: Sequence[Field]) -> Field:
    form = checks.members_form(_forms(fields))
    return Field(
        key, form, _settings(fields), lambda limits: checks.members(_checks(fields, limits)), _open_ends(fields)
    )


def _order(key: str) -> Field:
    def make(limits: Limits) -> Check | None:
        return checks.order(_checks(_ORDER, limits), limits.get("max-notional"))

    return Field(key, checks.members_form(_forms(_ORDER)), _settings(_ORDER), make, _open_ends(_ORDER))


def _list(key: str, setting: str, most: int | None, part: Field) -> Field:
    """setting: how many elements there are at most; without it, `most`."""

    def make(limits: Limits) -> Check | None:
        return checks.elements(part.make(limits), limits.get(setting, most))

    def open_ends(limits: Limits) -> list[Open]:
        inner = [(f".*{path}", words) for path, words in part.open_ends(limits)]
        return inner if setting in limits else [("", "how many elements {} has"), *inner]

    return Field(key, checks.elements_form(part.form), (setting, *part.settings), make, open_ends)


def _orders(key: str, part: Field) -> Field:
    return _list(key, "max-orders", MAX_ORDERS, part)


def _cancels(*fields: Field) -> Field:
    return _list("cancels", "max-cancels", None, _object("", fields))


def _modified() -> Field:
    """Only an order and the number of the one that it replaces."""
    field = _object("", (_ID, _order("order")))
    return field._replace(form=checks.members_form(_forms((_ID, _order("order"))), is_exact=True))


def _settings(fields: Sequence[Field]) -> Sequence[str]:
    return list(dict.fromkeys(setting for field in fields for setting in field.settings))


def _forms(fields: Sequence[Field]) -> dict[str, Form]:
    return {field.key: field.form for field in fields}


def _checks(fields: Sequence[Field], limits: Limits) -> dict[str, Check | None]:
    return {field.key: field.make(limits) for field in fields}


# What the limits leave open
def _open_ends(fields: Sequence[Field]) -> Callable[[Limits], list[Open]]:
    return lambda limits: [each for field in fields for each in field.leaves_open(limits)]


def _open(words: str, path: str = "") -> Open:
    return path, f"{{}}: {words}"


def _open_choice(limits: Limits, setting: str, words: str, path: str = "") -> list[Open]:
    allowed = limits.get(setting)
    if allowed is None:
        return [_open(words, path)]
    return [_open(f"{words} ({listed(allowed)})", path)] if len(allowed) > 1 else []


def _open_sides(limits: Limits, words: str, low: Sequence[str], high: Sequence[str], path: str = "") -> list[Open]:
    has_low, has_high = (any(setting in limits for setting in settings) for settings in (low, high))
    if has_low and has_high:
        return []
    if not has_low and not has_high:
        return [_open(words, path)]
    return [(path, f"how {'high' if has_low else 'low'} {{}} may be: {words}")]


def _open_size(limits: Limits) -> list[Open]:
    # A limit on size times price bounds the size, if the price is not below another limit.
    return _open_sides(limits, "the size", [], ["max-size", *(["max-notional"] if "min-price" in limits else [])])


def _open_order_type(limits: Limits) -> list[Open]:
    tifs, triggers = limits.get("tif", TIFS), limits.get("triggers", TRIGGERS)
    found = _open_choice(limits, "tif", "the time in force", ".limit.tif") if tifs else []
    if not triggers:
        return found
    if tifs:
        found.append(_open("whether it is a limit order or a trigger"))
    for key in (".trigger.isMarket", ".trigger.tpsl"):
        found += _open_choice(limits, "triggers", "the kind of trigger", key)
    low, high = _TRIGGER_PRICES
    found += _open_sides(limits, "the trigger's price", [low], [high], ".trigger.triggerPx")
    if not limits.keys().isdisjoint(_PRICES) and any(word.endswith("-market") for word in triggers):
        found.append(_open("at what price a market trigger trades: the exchange may ignore p", ".trigger.isMarket"))
    return found


def _open_builder(limits: Limits) -> list[Open]:
    return [] if "builder" in limits else [_open("the builder", ".b"), _open("the builder's fee", ".f")]


def _open_grouping(limits: Limits) -> list[Open]:
    found = _open_choice(limits, "groupings", "the grouping")
    return [*found, _open("whether it pays for priority", ".p")] if "max-priority" in limits else found


# The table
_PRICES = ("min-price", "max-price")
_TRIGGER_PRICES = ("min-trigger-price", "max-trigger-price")


def _asset(key: str) -> Field:
    return _chosen(key, "assets", "the asset", checks.asset, checks.integer_form)


_SIDE = _chosen("b", "sides", "the side", checks.boolean("sides", SIDES, SIDE), checks.boolean_form)
_REDUCE_ONLY = _chosen("r", "reduce-only", "whether it only reduces a position", checks.boolean("reduce-only", YES_NO))
_ORDER = (
    _asset("a"),
    _SIDE,
    _bounded("p", "the price", checks.amount(*_PRICES), ["min-price"], ["max-price"], checks.amount_form),
    Field("s", checks.amount_form, LIMIT_THE_SIZE, checks.size, _open_size),
    _REDUCE_ONLY,
    Field("t", checks.order_type_form, ("tif", "triggers", *_TRIGGER_PRICES), checks.order_type, _open_order_type),
    _free("c", "the client's own id"),
)
_TWAP = (
    _asset("a"),
    _SIDE,
    _bounded("s", "the size", checks.size, [], ["max-size"], checks.amount_form),
    _REDUCE_ONLY,
    _bounded("m", "the number of minutes", checks.minutes, ["twap-minutes"], ["twap-minutes"]),
    _chosen("t", "twap-randomize", "whether its times are random", checks.boolean("twap-randomize", YES_NO)),
)
_ID = _free("oid", "which order is changed")
_ALWAYS_PLACE = _only_true("a", "always-place", "whether it is placed if there is nothing left to change")
_FAST = _only_true("f", "fast-cancel", "whether it is fast")

ACTIONS: dict[str, Action] = {
    "order": Action(
        (
            Field(
                "grouping",
                checks.any_form,
                ("groupings", "max-priority", *LIMIT_THE_SIZE),
                checks.grouping,
                _open_grouping,
            ),
            Field("builder", checks.any_form, ("builder",), checks.builder, _open_builder),
            _orders("orders", _order("")),
        ),
        orders="orders",
    ),
    "modify": Action((_ID, _ALWAYS_PLACE, _order("order")), orders="order"),
    "batchModify": Action((_ALWAYS_PLACE, _orders("modifies", _modified())), orders="modifies"),
    "cancel": Action((_FAST, _cancels(_asset("a"), _free("o", "which order is cancelled")))),
    "cancelByCloid": Action((_FAST, _cancels(_asset("asset"), _free("cloid", "which order is cancelled")))),
    "scheduleCancel": Action(
        (
            _limited(
                "time",
                "schedule within",
                "whether and when orders are cancelled",
                checks.within("schedule within"),
            ),
        )
    ),
    "updateLeverage": Action(
        (
            _asset("asset"),
            _chosen("isCross", "margin", "whether the margin is cross or isolated", checks.boolean("margin", MARGINS)),
            _bounded("leverage", "the leverage", checks.leverage, [], ["max-leverage"]),
        )
    ),
    "updateIsolatedMargin": Action(
        (
            _asset("asset"),
            _free("isBuy", "the side of the position, which has no effect today"),
            _bounded("ntli", "what is added to the margin", checks.margin, ["max-remove-margin"], ["max-add-margin"]),
        )
    ),
    "topUpIsolatedOnlyMargin": Action(
        (
            _asset("asset"),
            Field(
                "leverage",
                checks.scalar_form,
                ("max-leverage",),
                checks.leverage_text,
                lambda limits: [_open("how much margin it adds")],
            ),
        )
    ),
    "twapOrder": Action((_object("twap", _TWAP),)),
    "twapCancel": Action((_asset("a"), _free("t", "which TWAP is cancelled"))),
    "noop": Action(()),
}

# What is signed together with every action, by the members of a request.
NETWORK = _chosen("network", "network", "what is signed for a test holds on mainnet too", checks.network)
VAULT = _chosen("vaultAddress", "vault", "the vault or sub-account that it is for", checks.vault)
NONCE = _limited("nonce", "clock", "when it was made", checks.clock)
EXPIRY = _limited("expiresAfter", "expires within", "whether and when it expires", checks.within("expires within"))
ENVELOPE = (NETWORK, VAULT, NONCE, EXPIRY)


# The fields that conditions can be about, with their types. Amounts of the type string are decimal digits.
POWERS: dict[str, dict[str, str]] = {
    "agentSendAsset": {
        "destination": "address",
        "sourceDex": "string",
        "destinationDex": "string",
        "token": "string",
        "amount": "string",
        "fromSubAccount": "string",
        "nonce": "uint64",
    },
    "vaultTransfer": {"vaultAddress": "address", "isDeposit": "bool", "usd": "uint64"},
    "subAccountTransfer": {"subAccountUser": "address", "isDeposit": "bool", "usd": "uint64"},
    "subAccountSpotTransfer": {"subAccountUser": "address", "isDeposit": "bool", "token": "string", "amount": "string"},
    "createSubAccount": {"name": "string"},
    "subAccountModify": {"subAccountUser": "address", "name": "string"},
    "createVault": {"name": "string", "description": "string", "initialUsd": "uint64", "nonce": "uint64"},
    "vaultModify": {"vaultAddress": "address", "allowDeposits": "bool", "alwaysCloseOnWithdraw": "bool"},
    "vaultDistribute": {"vaultAddress": "address", "usd": "uint64"},
    "borrowLend": {"operation": "string", "token": "uint64", "amount": "string"},
    "hip3LiquidatorTransfer": {"dex": "string", "ntl": "uint64", "isDeposit": "bool"},
    "reserveRequestWeight": {"weight": "uint64", "destination": "address"},
    "gossipPriorityBid": {"slotId": "uint64", "ip": "string", "maxGas": "uint64"},
    "agentEnableDexAbstraction": {},
    "agentSetAbstraction": {"abstraction": "string"},
    "evmUserModify": {"usingBigBlocks": "bool"},
    "setReferrer": {"code": "string"},
    "registerReferrer": {"code": "string"},
    "setDisplayName": {"displayName": "string"},
    "claimRewards": {},
}

# Those that no setting and no condition can limit.
BLIND = (
    *("spotDeploy", "perpDeploy", "CSignerAction", "CValidatorAction", "validatorL1Stream", "userOutcome", "spotUser"),
    *("finalizeEvmContract", "authorizeAqav2Role", "activateOutcomeDeployer"),
)

# Those that are signed as typed data, and the type of that, after "HyperliquidTransaction:".
USER_SIGNED = {
    "usdSend": "UsdSend",
    "spotSend": "SpotSend",
    "withdraw3": "Withdraw",
    "usdClassTransfer": "UsdClassTransfer",
    "sendAsset": "SendAsset",
    "sendToEvmWithData": "SendToEvmWithData",
    "approveAgent": "ApproveAgent",
    "approveBuilderFee": "ApproveBuilderFee",
    "convertToMultiSigUser": "ConvertToMultiSigUser",
    "tokenDelegate": "TokenDelegate",
    "cDeposit": "CDeposit",
    "cWithdraw": "CWithdraw",
    "userDexAbstraction": "UserDexAbstraction",
    "userSetAbstraction": "UserSetAbstraction",
    "userPortfolioMargin": "UserPortfolioMargin",
    "linkStakingUser": "LinkStakingUser",
    "stakingLinkDisableTradingUser": "StakingLinkDisableTradingUser",
    "multiSig": "SendMultiSig",
}

# What an action must be, by its type. Conditions judge the values of powers.
FORMS: dict[str, Form] = {
    **{kind: action.form for kind, action in ACTIONS.items()},
    **{
        kind: checks.members_form(dict.fromkeys(("type", *fields), checks.scalar_form))
        for kind, fields in POWERS.items()
    },
}
