"""ccxt with a held key: what it sends is what it sends with the private key, byte by byte, for all that signs.

Nothing leaves this process: ccxt's own fetch and watch are replaced by functions that keep what would be sent. Clock
and random numbers stand still.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import functools
import gc
import hashlib
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import ccxt
import ccxt.async_support
import ccxt.pro
import eth_account
import pytest
from support.daemon import SOURCE, TIME_LIMIT, Daemon, standalone
from support.held import MESSAGES, address, holding, rule

from ordersigner import client, sdks
from ordersigner.sdks import ccxt as sdk_of_ccxt
from ordersigner.sdks.patching import BareHash, account_of

KEY = "0x" + 64 * "1"
OTHER_KEY = "0x" + 64 * "2"
ADDRESS = eth_account.Account.from_key(KEY).address
SECOND = eth_account.Account.from_key(OTHER_KEY).address
OTHER = "0x" + 40 * "5"
NOW = 1_800_000_000_000  # milliseconds
PACKAGES = [ccxt, ccxt.async_support, ccxt.pro]
TRADE = (
    "order modify batchModify cancel cancelByCloid scheduleCancel updateLeverage updateIsolatedMargin"
    " topUpIsolatedOnlyMargin twapOrder twapCancel noop"
)
POWERS = (
    *("vaultTransfer", "subAccountTransfer", "subAccountSpotTransfer", "createSubAccount", "createVault"),
    *("reserveRequestWeight", "agentSetAbstraction", "setReferrer"),
)
# A test of what is signed needs everything allowed.
POLICY = (
    MESSAGES
    + f"\n[hyperliquid trade]\nactions = {TRADE}\n"
    + "".join(f"\n[hyperliquid {name}]\npowers = {name}\n" for name in POWERS)
    + rule(
        "ccxt",
        address(KEY),
        address(OTHER_KEY),
        allows=f"typed = any\nmessages = any\nhyperliquid = trade {' '.join(POWERS)}\n",
    )
)
LIMITED = f"""
[hyperliquid perps]
actions = order cancel updateLeverage
assets = 1
max-size = 0.2
builder = none
{rule("ccxt", address(KEY), allows="hyperliquid = perps")}
"""


@pytest.fixture(autouse=True, scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("ccxt")
    with standalone(
        directory, *holding(directory, {"one": KEY[2:], "two": OTHER_KEY[2:]}, POLICY)
    ) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERSIGNER_SOCKET", running.path)
        sdks.install()
        yield running


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close the accounts' connections with the test. Otherwise they last as long as the process."""
    yield
    for spelling in (ADDRESS, ADDRESS[2:], SECOND):
        account = account_of(spelling)
        assert account is not None
        account.close()


USED: set[tuple[str, str]] = set()  # modules and functions that have asked an exchange for its privateKey


class Sent(ccxt.ExchangeError):  # type: ignore[misc]
    """Ends a call when its last request would be sent."""


class Call(NamedTuple):
    """A method of a venue, and its arguments; `...` stands for the key. answers: responses to requests that come first,
    by a part of URL or body.
    """

    venue: str
    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})
    answers: Mapping[str, Any] = MappingProxyType({})
    testnet: bool = False

    def __str__(self) -> str:
        words = [word for word in map(str, self.arguments) if re.fullmatch("[a-z]{3,9}|[0-9A-Za-z/:]{7,15}", word)]
        return "-".join([self.venue, self.method, *words, *(["testnet"] if self.testnet else [])])


def market(symbol: str, id: str, **more: Any) -> dict[str, Any]:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    return {
        "id": id,
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle or None,
        "baseId": base,
        "quoteId": quote,
        "settleId": settle or None,
        "type": "swap" if settle else "spot",
        "spot": not settle,
        "swap": bool(settle),
        "future": False,
        "option": False,
        "contract": bool(settle),
        "linear": True if settle else None,
        "inverse": False if settle else None,
        "contractSize": 1 if settle else None,
        "active": True,
        "precision": {"amount": 0.0001, "price": 0.01, "base": 1e-9},
        "limits": {"leverage": {}, "amount": {}, "price": {}, "cost": {}},
        "info": {},
        **more,
    }


ETH = "ETH/USDC:USDC"
KEYED = ("hibachi", "revolutx")  # need an API key, too
ORDERLY = ("woofipro", "modetrade")  # have a key of their own for orders
MARKETS: dict[str, list[dict[str, Any]]] = {
    "hyperliquid": [
        market("ETH/USDC:USDC", "1", baseId="1", baseName="ETH"),
        market("PURR/USDC", "PURR/USDC", baseId="10000", baseName="PURR"),
    ],
    "derive": [
        market("ETH/USDC:USDC", "ETH-PERP", info={"base_asset_address": OTHER, "base_asset_sub_id": str(2**90)})
    ],
    "grvt": [market("ETH/USDT:USDT", "ETH_USDT_Perp", info={"instrument_hash": "0x030401"})],
    **{venue: [market(ETH, "5")] for venue in ("polymarket", "woofipro", "modetrade")},
    "hibachi": [market(ETH, "5", numericId=5, info={"underlyingDecimals": "9", "settlementDecimals": "6"})],
    "nado": [market("ETH/USDT0:USDT0", "4")],
}


@functools.lru_cache(maxsize=None)
def standing(package: ModuleType, venue: str) -> type:
    """The venue's class, for which time and chance stand still."""
    kind = getattr(package, venue)

    def used(self: Any) -> Any:
        caller = sys._getframe(1)
        USED.add((caller.f_globals["__name__"], caller.f_code.co_name))
        return vars(self).get("its_key")

    fixed: dict[str, Any] = {
        "privateKey": property(used, lambda self, key: vars(self).__setitem__("its_key", key)),
        "milliseconds": staticmethod(lambda: NOW),
        "seconds": staticmethod(lambda: NOW // 1000),
        "microseconds": staticmethod(lambda: NOW * 1000),
        "rand_number": lambda self, size: 7,
        "uuid": staticmethod(lambda: 32 * "7"),
        "request_id": lambda self, *arguments: 7,
    }
    return type(venue, (kind,), {name: value for name, value in fixed.items() if hasattr(kind, name)})


def exchange_of(package: ModuleType, call: Call, key: str) -> tuple[Any, list[Any]]:
    """An exchange, and the list of what it sends."""
    sent: list[Any] = []
    exchange = standing(package, call.venue)(
        {
            "walletAddress": ADDRESS,
            "privateKey": key,
            **({"apiKey": "a", "secret": f"ed25519:{44 * '2'}", "accountId": "5"} if call.venue in ORDERLY else {}),
            **({"apiKey": "a", "accountId": "5"} if call.venue in KEYED else {}),
            "enableRateLimit": False,
            "options": {"refSet": True, "approvedBuilderFee": True, **copy.deepcopy(dict(call.options))},
        }
    )
    if call.venue in ORDERLY:
        exchange.number = int  # with fractions, their withdraw fails in ccxt before it signs
    if call.testnet:
        exchange.set_sandbox_mode(True)
    currencies = {
        code: {
            "id": code,
            "code": code,
            "numericId": 3,
            "precision": 1e-6,
            "networks": {"42161": {"id": 42161}},
            "info": {
                "name": code,
                "tokenId": "0x" + 32 * "1",
                "spot": [{"address": OTHER, "erc20": {"decimals": 6}}],
            },
        }
        for code in ("USDC", "USDT")
    }
    exchange.set_markets(copy.deepcopy(MARKETS.get(call.venue, [])), currencies)

    def answer(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        sent.append((url, method, copy.deepcopy(headers), copy.deepcopy(body)))
        for part, response in call.answers.items():
            if part in url or part in str(body):
                return copy.deepcopy(response)
        raise Sent

    async def fetch(*arguments: Any, **named: Any) -> Any:
        return answer(*arguments, **named)

    def watch(url: str, message_hash: str, message: Any = None, *rest: Any) -> Any:
        return answer(url, "watch", message_hash, message)

    if package is ccxt:
        exchange.fetch = answer
    else:
        exchange.fetch, exchange.watch = fetch, watch
    return exchange, sent


def sent_by(package: ModuleType, call: Call, key: str) -> tuple[list[Any], str]:
    """What the call sends, and what it returns or raises."""
    exchange, sent = exchange_of(package, call, key)
    try:
        result = call_on(exchange, call, key)
    except Exception as error:  # noqa: BLE001
        result = error
    return sent, repr(result)


def call_on(exchange: Any, call: Call, key: str = "") -> Any:
    arguments = [key if argument is ... else copy.deepcopy(argument) for argument in call.arguments]
    result = getattr(exchange, call.method)(*arguments)
    return asyncio.run(finished(exchange, result)) if inspect.isawaitable(result) else result


async def finished(exchange: Any, result: Any) -> Any:
    try:
        return await result
    finally:
        await exchange.close()


LIMIT = (ETH, "limit", "buy", 0.2, 1100)
ACCOUNT = {"vaultAddress": OTHER}
OPEN = {"type": "limit", "side": "buy", "symbol": ETH, "amount": 0.2, "price": 1100}
FRESH = {"refSet": False, "approvedBuilderFee": False}

HYPERLIQUID = [
    Call("hyperliquid", "create_order", LIMIT),
    Call("hyperliquid", "create_order", LIMIT, testnet=True),
    Call("hyperliquid", "create_order", LIMIT, {"builderFee": False}),
    Call("hyperliquid", "create_order", LIMIT, {"approvedBuilderFee": False, "builder": "none"}),
    Call("hyperliquid", "create_order", (*LIMIT, {"vaultAddress": OTHER})),
    Call("hyperliquid", "create_order", (*LIMIT, {"vaultAddress": OTHER.upper().replace("X", "x")})),
    Call("hyperliquid", "create_order", (*LIMIT, {"timeInForce": "IOC", "clientOrderId": "0x" + 32 * "1"})),
    Call("hyperliquid", "create_order", (*LIMIT, {"postOnly": True, "reduceOnly": True})),
    Call("hyperliquid", "create_order", (ETH, "market", "sell", 0.2, 1100)),
    Call("hyperliquid", "create_order", (*LIMIT, {"triggerPrice": 1000})),
    Call("hyperliquid", "create_order", (ETH, "market", "sell", 0.2, 1100, {"stopLossPrice": 900, "reduceOnly": True})),
    Call(
        "hyperliquid",
        "create_order",
        (*LIMIT, {"takeProfit": {"triggerPrice": 1200}, "stopLoss": {"triggerPrice": 900}}),
    ),
    Call("hyperliquid", "create_order", ("PURR/USDC", "limit", "buy", 20, 0.2)),
    Call("hyperliquid", "create_orders", ([OPEN, {**OPEN, "side": "sell", "price": 1200}],)),
    Call("hyperliquid", "create_twap_order", (ETH, "buy", 0.2, 600_000)),
    Call("hyperliquid", "create_twap_order", (ETH, "buy", 0.2, 600_000, {"vaultAddress": OTHER})),
    Call("hyperliquid", "cancel_twap_order", ("5", ETH)),
    Call("hyperliquid", "cancel_order", ("5", ETH)),
    Call("hyperliquid", "cancel_orders", (["5", "6"], ETH)),
    Call("hyperliquid", "cancel_orders", ([], ETH, {"clientOrderId": ["0x" + 32 * "1"]})),
    Call("hyperliquid", "cancel_orders", (["5"], ETH, ACCOUNT)),
    Call(
        "hyperliquid", "cancel_orders_for_symbols", ([{"id": "5", "symbol": ETH}, {"id": "6", "symbol": "PURR/USDC"}],)
    ),
    Call("hyperliquid", "cancel_all_orders_after", (60_000,)),
    Call("hyperliquid", "edit_order", ("5", *LIMIT)),
    Call("hyperliquid", "edit_orders", ([{"id": "5", **OPEN}, {"id": "6", **OPEN}],)),
    Call("hyperliquid", "edit_orders", ([{"id": "5", **OPEN}], ACCOUNT)),
    Call("hyperliquid", "set_margin_mode", ("isolated", ETH, {"leverage": 3})),
    Call("hyperliquid", "set_margin_mode", ("cross", ETH, {"leverage": 3, **ACCOUNT})),
    Call("hyperliquid", "set_leverage", (7, ETH)),
    Call("hyperliquid", "add_margin", (ETH, 5.5)),
    Call("hyperliquid", "reduce_margin", (ETH, 5.5, ACCOUNT)),
    Call("hyperliquid", "transfer", ("USDC", 12.5, "spot", "swap")),
    Call("hyperliquid", "transfer", ("USDC", 12.5, "swap", "spot", ACCOUNT)),
    Call("hyperliquid", "transfer", ("USDC", 12.5, "main", OTHER)),
    Call("hyperliquid", "transfer", ("USDC", 12.5, OTHER, "main", {"type": "swap"})),
    Call("hyperliquid", "transfer", ("USDC", 12.5, "main", OTHER, {"type": "spot"})),
    Call("hyperliquid", "transfer", ("USDC", 12.5, OTHER, "main", {"method": "sendAsset"})),
    Call("hyperliquid", "withdraw", ("USDC", 12.5, OTHER)),
    Call("hyperliquid", "withdraw", ("USDC", 12.5, OTHER), testnet=True),
    Call("hyperliquid", "withdraw", ("USDC", 12, OTHER, ACCOUNT)),
    Call("hyperliquid", "create_vault", ("name", "some text", 100)),
    Call("hyperliquid", "create_sub_account", ("name",)),
    Call("hyperliquid", "create_sub_account", ("name", {"expiresAfter": NOW + 1})),
    Call("hyperliquid", "reserve_request_weight", (10,)),
    Call("hyperliquid", "set_user_abstraction", ("unifiedAccount",)),
    Call("hyperliquid", "set_agent_abstraction", ("u",)),
    Call("hyperliquid", "enable_user_dex_abstraction", (True,)),
    Call("hyperliquid", "approve_builder_fee", (OTHER, "0.01%")),
    Call("hyperliquid", "set_ref", (), FRESH),
    Call("hyperliquid", "create_order", LIMIT, FRESH, {"exchange": {"status": "ok"}}),
    Call("hyperliquid", "fetch_currencies", (), FRESH, {"exchange": {"status": "ok"}}),
]
HYPERLIQUID_PRO = [
    Call("hyperliquid", "create_order_ws", LIMIT),
    Call("hyperliquid", "create_orders_ws", ([OPEN],)),
    Call("hyperliquid", "edit_order_ws", ("5", *LIMIT)),
    Call("hyperliquid", "cancel_order_ws", ("5", ETH)),
    Call("hyperliquid", "cancel_orders_ws", (["5", "6"], ETH)),
]
ASTER = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.2", "price": "1100"}
GRVT_LOGIN = {"AuthAccountId": "5", "AuthCookieValue": "c"}
GRVT = {**GRVT_LOGIN, "signInExpiration": NOW * 2, "userMainAccountId": OTHER, "accountId": "123"}
GRVT_MOVE = {
    **dict.fromkeys(("from_account_id", "to_account_id", "to_eth_address"), OTHER),
    "from_sub_account_id": "5",
    "to_sub_account_id": "6",
    "num_tokens": 12.5,
    "signature": {"nonce": 7, "expiration": str(NOW * 10**6)},
}
GRVT_FIRST = {
    "wallet/login": {"location": "", "status": "success"},
    "get_authorized_builders": {"results": []},
    "aggregated_account_summary": {"result": {"main_account_id": OTHER}},
    "get_sub_accounts": {"sub_account_ids": ["123"]},
    "authorize_builder": {"result": {"ack": True}},
}
PERP = ("ETH/USDT:USDT", "limit", "buy", 0.2, 1100)
NADO = {"gatewayContracts": {"chain_id": "57073", "endpoint_addr": OTHER}}
NADO_PERP = ("ETH/USDT0:USDT0", "limit", "buy", 0.2, 1100)
DIGEST = "0x" + 64 * "3"
DERIVE = {"subaccount_id": 123, "max_fee": 5}
PARADEX = {
    "systemConfig": {
        "l1_chain_id": "1",
        "starknet_chain_id": "PRIVATE_SN_PARACLEAR_MAINNET",
        "paraclear_account_hash": "0x3530cc4759d78042f1b543bf797f5f3d647cde0388c33734cf91b7f7b9314a9",
        "paraclear_account_proxy_hash": "0x41cb0280ebadaa75f996d8d92c6f265f6d040bb3ba442e5f86a554f1765244e",
    }
}
WITHDRAWAL = {"chainId": "42161"}
OTHERS = [
    Call("aster", "fapiPrivatePostV3Order", (ASTER,)),
    Call("aster", "fapiPrivateGetV3OpenOrders", ({"symbol": "ETHUSDT"},)),
    Call("aster", "sapiPrivatePostV3Order", (ASTER,)),
    Call("aster", "fapiPrivateDeleteV3BatchOrders", ({"orderIdList": [5, 6]},)),
    Call("aster", "initialize_client", (), FRESH, {"v3/builder": []}),
    Call(
        "aster",
        "sign_withdraw_payload",
        ({"chainId": 56, "receiver": OTHER, "asset": "USDC", "amount": "1", "fee": "0.1", "userNonce": "7"}, "BSC"),
    ),
    Call("grvt", "sign_in", (), {**FRESH, **GRVT_LOGIN}, GRVT_FIRST),
    Call("grvt", "sign_in", (), {**FRESH, **GRVT_LOGIN}, GRVT_FIRST, testnet=True),
    Call("grvt", "create_order", PERP, GRVT),
    Call("grvt", "create_order", (*PERP, {"reduceOnly": True, "timeInForce": "IOC"}), {**GRVT, "builderFee": False}),
    Call("grvt", "create_order", (*PERP, {"triggerPrice": 1000, "triggerDirection": "ascending"}), GRVT),
    # Its transfer and withdraw fail in ccxt before they sign.
    Call("grvt", "create_signed_request", (GRVT_MOVE, "EIP712_TRANSFER_TYPE", {"numericId": 3})),
    Call("grvt", "create_signed_request", (GRVT_MOVE, "EIP712_WITHDRAWAL_TYPE", {"numericId": 3})),
    Call("nado", "create_order", NADO_PERP, NADO),
    Call("nado", "create_order", (*NADO_PERP, {"stopLossPrice": 1200, "reduceOnly": True}), NADO),
    Call("nado", "edit_order", (DIGEST, *NADO_PERP), NADO),
    Call("nado", "cancel_order", (DIGEST, NADO_PERP[0]), NADO),
    Call("nado", "cancel_orders", ([DIGEST, "0x" + 64 * "4"], NADO_PERP[0]), NADO),
    Call("nado", "cancel_all_orders", (NADO_PERP[0],), NADO),
    Call("nado", "fetch_orders", (NADO_PERP[0], None, None, {"trigger": True}), NADO),
    Call(
        "woofipro", "withdraw", ("USDC", 12, OTHER, WITHDRAWAL), {}, {"withdraw_nonce": {"data": {"withdraw_nonce": 3}}}
    ),
    Call(
        "modetrade",
        "withdraw",
        ("USDC", 12, OTHER, WITHDRAWAL),
        {},
        {"withdraw_nonce": {"data": {"withdraw_nonce": 3}}},
    ),
    Call("polymarket", "withdraw", ("USDC", 12.5, OTHER), {"collateral": {"address": OTHER, "decimals": "6"}}),
    Call("paradex", "retrieve_account", (), PARADEX),
    Call("paradex", "onboarding", (), PARADEX),
    Call("paradex", "authenticate_rest", (), PARADEX),
    Call("dydx", "sign_onboarding_action", ()),
    Call("dydx", "retrieve_credentials", ()),
    Call("derive", "create_order", LIMIT, DERIVE),
    Call("derive", "create_order", LIMIT, DERIVE, testnet=True),
    Call("derive", "create_order", (ETH, "limit", "sell", 0.2, 1100, {"deriveWalletAddress": OTHER}), DERIVE),
    Call("derive", "edit_order", ("5", *LIMIT), DERIVE),
    Call("derive", "transfer", ("USDC", 12.5, "123", "124"), DERIVE),
    Call("derive", "withdraw", ("USDC", 12.5, OTHER), DERIVE),
    Call("derive", "fetch_balance", (), DERIVE),
]
LIGHTER = (
    "Register Lighter Account\n\npubkey: 0xabc\nnonce: 0x0000000000000001\nOnly sign this message for a trusted client!"
)
OTHERS += [
    Call("lighter", "sign_l1_and_prepare_tx_info", ('{"a":1}', LIGHTER, ...)),
    Call("lighter", "sign_l1_and_prepare_tx_info", ('{"a":1}', "", ...)),
    Call("lighter", "sign_l1_and_prepare_tx_info", ('{"a":1}', "9 bottles", ...)),
    Call("lighter", "sign_l1_and_prepare_tx_info", ('{"a":1}', 3 * "0123456789", ...)),
    Call("lighter", "sign_l1_and_prepare_tx_info", ('{"a":1}', "Grüße", ...)),
]
OTHERS_PRO = [
    Call("nado", "authenticate", (), NADO),
    Call("nado", "create_order_ws", NADO_PERP, NADO),
    Call("derive", "authenticate", (), DERIVE),
    Call("derive", "watch_orders", (), DERIVE),
]


CALLS = [(package, call) for call in (*HYPERLIQUID, *OTHERS) for package in PACKAGES]
CALLS += [(ccxt.pro, call) for call in (*HYPERLIQUID_PRO, *OTHERS_PRO)]


def name_of(value: object) -> str:
    return value.__name__ if isinstance(value, ModuleType) else str(value)


@functools.lru_cache(maxsize=None)
def with_the_key(number: int) -> tuple[list[Any], str]:
    return sent_by(*CALLS[number], KEY)


@pytest.mark.parametrize(("number", "package", "call"), [(i, *call) for i, call in enumerate(CALLS)], ids=name_of)
def test_what_is_sent_is_what_is_sent_with_the_key(
    number: int, package: ModuleType, call: Call, daemon: Daemon
) -> None:
    before = len(daemon.log)
    expected, outcome = with_the_key(number)
    assert outcome == "Sent()" or not re.match("[A-Za-z]+[(]", outcome)
    assert "Signed " not in daemon.log[before:]
    assert sent_by(package, call, ADDRESS) == (expected, outcome)
    assert "Signed " in daemon.log[before:]


def test_every_function_of_ccxt_that_takes_the_key_is_run() -> None:
    root = Path(ccxt.__file__).parent
    places = set()
    for path in (*root.glob("*.py"), *root.glob("async_support/*.py"), *root.glob("pro/*.py")):
        text = path.read_text()
        if "self.privateKey" not in text:
            continue
        lines = text.splitlines()
        module = ".".join(("ccxt", *path.relative_to(root).with_suffix("").parts))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = lines[node.lineno : node.end_lineno]
                if any("self.privateKey" in line for line in body) and node.name not in ELSEWHERE:
                    places.add((module, node.name))
    for number, _ in enumerate(CALLS):
        with_the_key(number)
    for package, call in REFUSED:
        sent_by(package, call, ADDRESS)
    assert len(places) > 50
    assert places - USED == set()


# Functions that only check whether there is a key, or that fail in ccxt before they sign.
ELSEWHERE = {
    *("uses_private_key", "handle_account_index", "load_account", "fetch_markets", "sign_in"),
    "create_proxy_credentials",  # of polymarket: it hashes text, which ccxt's own hash does not take
    *("approve_builder_fee", "change_api_key"),  # of lighter: they need its library, and call what is tried
}
STARK: dict[str, Any] = {"totalFee": "0.1", "starkKey": "0x1"}
STARK = {**STARK, "collateralPosition": "1", "syntheticId": "0x1", "collateralId": "0x1"}
STARK = {**STARK, "settlementExpiration": 7, "nonce": 7, "syntheticResolution": 6, "collateralResolution": 6}
STARK_ACCOUNT = {"l2Vault": "1", "l2Key": "0x1"}
STARK_CURRENCY = {"info": {"starkexId": "0x1", "starkexResolution": 6}}
CANNOT = [
    Call("hibachi", "sign_message", (b"packed", ADDRESS)),
    Call("hibachi", "create_order", LIMIT),
    Call("hibachi", "create_orders", ([OPEN],)),
    Call("hibachi", "edit_order", ("5", *LIMIT)),
    Call("hibachi", "cancel_order", ("5", ETH)),
    Call("hibachi", "cancel_all_orders", (ETH,)),
    Call("hibachi", "withdraw", ("USDT", 12, OTHER), {}, {"exchange-info": {"feeConfig": {"withdrawalFees": "0.01"}}}),
    Call("extended", "create_order_settlement_data", (True, "0.2", "1100", STARK)),
    Call("extended", "create_withdrawal_settlement_data", (OTHER, "12", STARK_CURRENCY, STARK_ACCOUNT)),
    Call("extended", "create_transfer_settlement_data", ("12", STARK_CURRENCY, STARK_ACCOUNT, "2", "0x2")),
    Call("pacifica", "post_action_request", ("create_order", {}, {})),
    Call("pacifica", "create_sub_account", ("n", {"subAccountAddress": "a", "subAccountPrivateKey": 87 * "2"})),
    Call("revolutx", "privateGet10Balances"),
    Call("dydx", "retrieve_credentials", (), {"privateKey": ADDRESS}),
    Call("dydx", "retrieve_credentials", (), {"privateKey": ADDRESS[2:]}),
    Call("hyperliquid", "sign_message", (b"text", ADDRESS)),
    Call("polymarket", "sign_message", (b"polymarket-perps-proxy:1:1", ADDRESS)),
    Call("nado", "sign_hash", (DIGEST, ADDRESS)),
]
REFUSED = [(package, call) for call in CANNOT for package in PACKAGES if hasattr(package, call.venue)]


@pytest.mark.parametrize(("package", "call"), REFUSED, ids=name_of)
def test_what_the_daemon_cannot_read_is_refused_before_it_is_sent(package: ModuleType, call: Call) -> None:
    exchange, sent = exchange_of(package, call, ADDRESS)
    with pytest.raises(BareHash, match="daemon") as raised:
        call_on(exchange, call)
    assert isinstance(raised.value, ccxt.NotSupported)
    assert [method for _, method, *_ in sent] in ([], ["GET"])


class Limited(NamedTuple):
    """A daemon whose policy allows little, and the address that it signs for."""

    address: str
    daemon: Daemon


@pytest.fixture
def limited(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limited]:
    key = hashlib.sha256(request.node.nodeid.encode()).hexdigest()  # its own, because an account knows its daemon
    held = address(key)
    policy = LIMITED.replace(address(KEY), held)
    more = getattr(request, "param", "")  # what ccxt's builder needs
    if more:
        policy = more + policy.replace("builder = none", f"builder = {BUILDER} 0.01%")
        policy += "typed = builder-fee\n"
    with standalone(tmp_path, *holding(tmp_path, {"one": key}, policy)) as running:
        monkeypatch.setenv("ORDERSIGNER_SOCKET", running.path)
        yield Limited(held, running)
        account = account_of(held)
        assert account is not None
        account.close()


TOO_LARGE = Call("hyperliquid", "create_order", (ETH, "limit", "buy", 0.3, 1100))


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
@pytest.mark.parametrize(
    ("call", "match"),
    [
        (TOO_LARGE, r"action\.orders\[0\]\.s: .*over_limit"),
        (Call("hyperliquid", "withdraw", ("USDC", 5, OTHER)), r"No rule allows this type of request.*not_allowed"),
        (Call("aster", "fapiPrivatePostV3Order", (ASTER,)), r"No rule allows this type of request.*not_allowed"),
    ],
    ids=name_of,
)
def test_what_the_policy_does_not_allow_is_an_error_of_ccxt_and_not_sent(
    package: ModuleType, call: Call, match: str, limited: Limited
) -> None:
    options = {**call.options, "approvedBuilderFee": False, "builder": "none"}
    error, sent = failure(package, call._replace(options=options), limited.address)
    assert isinstance(error, ccxt.PermissionDenied)
    assert isinstance(error, client.SignerError)
    assert re.search(match, str(error))
    assert sent == []


def failure(package: ModuleType, call: Call, key: str) -> tuple[BaseException, list[Any]]:
    exchange, sent = exchange_of(package, call, key)
    with pytest.raises(ccxt.BaseError) as raised:
        call_on(exchange, call)
    return raised.value, [entry for entry in sent if "userAbstraction" not in str(entry)]


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
@pytest.mark.parametrize("call", [TOO_LARGE, Call("aster", "fapiPrivatePostV3Order", (ASTER,))], ids=name_of)
def test_without_a_daemon_nothing_is_sent(
    package: ModuleType, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERSIGNER_SOCKET", str(tmp_path / "none"))
    key = eth_account.Account.create().address
    error, sent = failure(package, call, key)
    assert isinstance(error, ccxt.ExchangeNotAvailable)
    assert isinstance(error, client.Unavailable)
    assert sent == []


def test_an_address_with_a_typing_error_is_an_error_of_ccxt_that_does_not_quote_it() -> None:
    wrong = ADDRESS.swapcase().replace("X", "x")
    error, sent = failure(ccxt, TOO_LARGE, wrong)
    assert isinstance(error, ccxt.AuthenticationError)
    assert "EIP-55" in str(error)
    assert wrong[2:].lower() not in str(error).lower()
    assert sent == []


def journal(daemon: Daemon) -> list[str]:
    """What the daemon signed (True) or refused."""
    return re.findall("^ordersigner: (Signed|Refused)", daemon.log, re.MULTILINE)


def test_ccxts_builder_is_refused_and_orders_go_without_it(limited: Limited) -> None:
    call = Call("hyperliquid", "create_order", LIMIT, FRESH)
    exchange, sent = exchange_of(ccxt, call, limited.address)
    for refused in (2, 1):  # the builder's fee and the referrer; later the fee alone
        before = len(journal(limited.daemon))
        with pytest.raises(Sent):
            exchange.create_order(*LIMIT)
        assert journal(limited.daemon)[before:] == [*(refused * ["Refused"]), "Signed"]
        assert '"type":"order"' in sent[-1][3]
        assert "builder" not in sent[-1][3]


def test_with_the_options_that_the_page_shows_ccxt_asks_for_orders_only(limited: Limited) -> None:
    call = Call("hyperliquid", "create_order", LIMIT, {**FRESH, "builder": "none", "refSet": True})
    exchange, sent = exchange_of(ccxt, call, limited.address)
    with pytest.raises(Sent):
        exchange.create_order(*LIMIT)
    assert journal(limited.daemon) == ["Signed"]
    assert "builder" not in sent[-1][3]


BUILDER = "0x6530512A6c89C7cfCEbC3BA7fcD9aDa5f30827a6"
PAID = f"""
[typed builder-fee]
type = HyperliquidTransaction:ApproveBuilderFee(string hyperliquidChain,string maxFeeRate,address builder,uint64 nonce)
domain.name = HyperliquidSignTransaction
domain.version = 1
domain.chainId = 421614
domain.verifyingContract = 0x0000000000000000000000000000000000000000
message.hyperliquidChain = Mainnet
message.maxFeeRate = 0.01%
message.builder = {BUILDER}
"""


@pytest.mark.parametrize("limited", [PAID], indirect=True, ids=["paid"])
def test_ccxts_builder_can_be_allowed(limited: Limited) -> None:
    call = Call("hyperliquid", "create_order", LIMIT, FRESH, {"approveBuilderFee": {"status": "ok"}})
    exchange, sent = exchange_of(ccxt, call, limited.address)
    with pytest.raises(Sent):
        exchange.create_order(*LIMIT)
    assert journal(limited.daemon) == ["Signed", "Refused", "Signed"]  # the fee; the referrer; the order
    assert f'"builder":{{"b":"{BUILDER.lower()}","f":10}}' in sent[-1][3]


def test_threads_and_tasks_do_not_take_each_others_data() -> None:
    """Two keys and two kinds of signature, from many threads, in each of which two exchanges take turns."""
    domain = {"name": "Mail", "version": "1", "chainId": 5, "verifyingContract": OTHER}
    types = {"Mail": [{"name": "text", "type": "string"}]}
    private = {ADDRESS: KEY, SECOND: OTHER_KEY}
    wrong: list[Any] = []

    def work(number: int) -> None:
        exchanges = {key: exchange_of(ccxt, Call("aster", ""), key)[0] for key in private}
        for i in range(15):
            for key, exchange in exchanges.items():
                message = {"text": f"{number} {i}"}
                other = exchanges[SECOND if key == ADDRESS else ADDRESS]
                kept = exchange.eth_encode_structured_data(domain, types, message)
                if i % 3 == 0:  # a real key in between
                    other.sign_message(other.eth_encode_structured_data(domain, types, {"text": "x"}), KEY)
                    kept = exchange.eth_encode_structured_data(domain, types, message)
                signature = exchange.sign_message(kept, key)
                expected = eth_account.Account.sign_typed_data(private[key], domain, types, message).signature
                if signature.lower() != "0x" + bytes(expected).hex():
                    wrong.append((number, i, key))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in private:
        account = account_of(key)
        assert account is not None
        account.close()
    assert wrong == []


def test_a_digest_is_signed_for_what_it_was_made_of_and_once() -> None:
    exchange, _ = exchange_of(ccxt, Call("aster", ""), ADDRESS)
    domain, types = {"name": "Mail"}, {"Mail": [{"name": "text", "type": "string"}]}
    first = exchange.hash(exchange.eth_encode_structured_data(domain, types, {"text": "a"}), "keccak", "hex")
    second = exchange.hash(exchange.eth_encode_structured_data(domain, types, {"text": "b"}), "keccak", "hex")
    with pytest.raises(BareHash):
        exchange.ecdsa(first, ADDRESS, "secp256k1", None)
    with pytest.raises(BareHash):  # it was not asked for at once
        exchange.ecdsa(second, ADDRESS, "secp256k1", None)
    again = exchange.hash(exchange.eth_encode_structured_data(domain, types, {"text": "b"}), "keccak", "hex")
    assert again == second
    assert exchange.ecdsa(second, ADDRESS, "secp256k1", None) == exchange.ecdsa(second, KEY[2:], "secp256k1", None)


def test_what_is_signed_with_a_key_of_another_kind_may_look_like_an_address() -> None:
    exchange, _ = exchange_of(ccxt, Call("aster", ""), ADDRESS)
    for request in (20 * b"1", 40 * b"1"):
        assert exchange.eddsa(request, 32 * b"1", "ed25519")


def test_only_the_last_typed_data_of_a_thread_is_kept() -> None:
    class Message(dict):  # type: ignore[type-arg]
        pass

    exchange, _ = exchange_of(ccxt, Call("aster", ""), ADDRESS)
    kept = []
    for number in range(4):
        message = Message(text=str(number))
        encoding = exchange.eth_encode_structured_data(
            {"name": "Mail"}, {"Mail": [{"name": "text", "type": "string"}]}, message
        )
        exchange.sign_message(encoding, ADDRESS if number % 2 else KEY)
        kept.append(weakref.ref(message))
        del message
    gc.collect()
    assert [reference() for reference in kept[:3]] == [None, None, None]


def run(code: str, **environment: str) -> str:
    """What a program of its own prints."""
    path = [str(SOURCE), str(SOURCE / "tests"), str(SOURCE / "tests/sdks")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment},
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIME_LIMIT * 10,
    )
    return done.stdout.decode()


SIGN = f"""
import asyncio, test_ccxt
typed = {{"name": "Mail"}}, {{"Mail": [{{"name": "text", "type": "string"}}]}}, {{"text": "a"}}
action = {{"type": "cancel", "cancels": [{{"a": 1, "o": 5}}]}}
def signatures(exchange, key):
    exchange.privateKey = key
    yield exchange.sign_l1_action(action, {NOW}, "{OTHER[2:]}", {NOW + 1})
    yield exchange.sign_user_signed_action(*typed[1:])
    yield exchange.signMessage(exchange.eth_encode_structured_data(*typed), key)
"""


def test_it_can_be_installed_before_or_after_the_import() -> None:
    head = "import sys; from ordersigner import sdks; "
    assert run(head + "sdks.install(); print(any('ccxt' == name.split('.')[0] for name in sys.modules))") == "False\n"
    sign = f"; print(ccxt.hyperliquid.eth_get_address_from_private_key({ADDRESS!r}))"
    for program in ("sdks.install(); import ccxt", "import ccxt; sdks.install()"):
        assert run(head + program + sign) == ADDRESS.lower() + "\n"
    for package in ("async_support", "pro"):
        program = f"sdks.install(); import ccxt.{package} as ccxt"
        assert run(head + program + sign) == ADDRESS.lower() + "\n"


def test_real_keys_sign_as_without_it() -> None:
    code = (
        SIGN
        + f"""
import ccxt, ccxt.pro
from ordersigner import sdks
import sys
if INSTALL: sdks.install()
for call in test_ccxt.CALLS[::9]:
    print(test_ccxt.sent_by(*call, {KEY!r}))
for kind in (ccxt.hyperliquid, ccxt.pro.hyperliquid):
    for signature in signatures(kind(), {KEY!r}): print(signature)
"""
    )
    assert run(f"INSTALL = True\n{code}") == run(f"INSTALL = False\n{code}")


def test_exchanges_that_were_made_before_it_was_installed_sign_too() -> None:
    code = (
        SIGN
        + f"""
import ccxt, ccxt.async_support, ccxt.pro
from ordersigner import sdks
exchanges = [kind() for kind in (ccxt.hyperliquid, ccxt.async_support.hyperliquid, ccxt.pro.hyperliquid)]
expected = [list(signatures(exchange, {KEY!r})) for exchange in exchanges]
sdks.install()
print(all(list(signatures(exchange, {ADDRESS!r})) == wanted for exchange, wanted in zip(exchanges, expected)))
"""
    )
    assert run(code) == "True\n"


def test_exchanges_can_be_pickled_as_without_it() -> None:
    code = """
import pickle
from ordersigner import sdks
sdks.install()
import ccxt
for kind in (ccxt.hyperliquid, ccxt.derive, ccxt.grvt):
    exchange = kind({"privateKey": KEY})
    print(pickle.loads(pickle.dumps(exchange)).privateKey)
"""
    assert run(f"KEY = {ADDRESS!r}\n{code}") == f"{ADDRESS}\n" * 3


def test_a_program_may_change_typed_data_after_they_were_hashed() -> None:
    code = f"""
import ccxt
from ordersigner import sdks
sdks.install()
exchange, message = ccxt.hyperliquid(), {{"text": "a"}}
typed = {{"name": "Mail"}}, {{"Mail": [{{"name": "text", "type": "string"}}]}}, message
def signature(key):
    message["text"] = "a"
    digest = exchange.hash(exchange.eth_encode_structured_data(*typed), "keccak", "hex")
    message["text"] = "b"
    return exchange.ecdsa(digest, key, "secp256k1", None)
print(signature({ADDRESS!r}) == signature({KEY[2:]!r}))
"""
    assert run(code) == "True\n"


@pytest.mark.parametrize("wrong", [ADDRESS + "\n", " " + ADDRESS, ADDRESS[:-1], ADDRESS + "0", ADDRESS[:-2]])
def test_what_is_nearly_an_address_is_no_key(wrong: str) -> None:
    code = f"""
import ccxt
from ordersigner import sdks
sdks.install()
try:
    print(ccxt.Exchange.eth_get_address_from_private_key({wrong!r}))
except ccxt.AuthenticationError as error:
    print({ADDRESS[4:30]!r} in str(error))
"""
    assert run(code) == "False\n"


def test_the_version_is_one_that_the_page_names() -> None:
    (sdk,) = sdk_of_ccxt.SDKS
    assert importlib.metadata.version("ccxt") in sdk.tried
