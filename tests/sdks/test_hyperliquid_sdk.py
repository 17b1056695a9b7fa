"""hyperliquid-python-sdk: whatever it signs is what it signs with the private key, byte by byte."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eth_account
import pytest
from hyperliquid import exchange
from hyperliquid.utils import signing
from hyperliquid.utils.types import Cloid
from sides import Sides, accounts, both_sides, only
from venue import Venue

from ordersigner import sdks
from ordersigner.client import SignerError

sdks.install()

NOW = 1_800_000_000_000
OTHER, USER, SIGNER, VAULT = ("0x" + 40 * digit for digit in "5a7C")
TRADES = "order cancel cancelByCloid scheduleCancel updateLeverage updateIsolatedMargin batchModify noop"
POWERS = (
    "vaultTransfer subAccountTransfer subAccountSpotTransfer createSubAccount gossipPriorityBid evmUserModify"
    " setReferrer agentEnableDexAbstraction agentSetAbstraction"
)
BLIND = "spotDeploy perpDeploy CSignerAction CValidatorAction"
GTC: Any = {"limit": {"tif": "Gtc"}}
STOP: Any = {"trigger": {"triggerPx": 1000.5, "isMarket": True, "tpsl": "sl"}}
CLOID = Cloid.from_int(7)
ORDER: Any = {"coin": "ETH", "is_buy": True, "sz": 0.2, "limit_px": 1100.5, "order_type": GTC, "reduce_only": False}
ACTION: Any = {
    "type": "order",
    "orders": [{"a": 0, "b": True, "p": "1100", "s": "0.2", "r": False, "t": GTC}],
    "grouping": "na",
}
USD_SEND: Any = {"type": "usdSend", "destination": OTHER, "amount": "1.5", "time": NOW}
SCHEMA: Any = {"fullName": "Other dex", "collateralToken": 0, "oracleUpdater": OTHER}
# The arguments of each method of Exchange that signs.
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("order", ("ETH", True, 0.2, 1100.5, GTC)),
    ("order", ("ETH", False, 0.2, 900, STOP, True, CLOID, {"b": OTHER.upper().replace("X", "x"), "f": 10})),
    ("bulk_orders", ([ORDER, {**ORDER, "order_type": STOP, "cloid": CLOID}], None, "normalTpsl")),
    ("modify_order", (5, "ETH", True, 0.2, 1100.5, GTC)),
    ("bulk_modify_orders_new", ([{"oid": 5, "order": ORDER}, {"oid": CLOID, "order": ORDER}],)),
    ("market_open", ("ETH", True, 0.2)),
    ("market_close", ("ETH",)),
    ("cancel", ("ETH", 5)),
    ("cancel_by_cloid", ("ETH", CLOID)),
    ("bulk_cancel", ([{"coin": "ETH", "oid": 5}, {"coin": "ETH", "oid": 2**40}],)),
    ("bulk_cancel_by_cloid", ([{"coin": "ETH", "cloid": CLOID}],)),
    ("schedule_cancel", (NOW + 60_000,)),
    ("schedule_cancel", (None,)),
    ("update_leverage", (3, "ETH")),
    ("update_leverage", (20, "ETH", False)),
    ("update_isolated_margin", (-1.25, "ETH")),
    ("set_referrer", ("ASDFASDF",)),
    ("create_sub_account", ("second",)),
    ("usd_class_transfer", (1.5, True)),
    ("send_asset", (OTHER, "", "spot", "USDC:0x6d1e7cde53ba9467b783cb7c530ce054", 1.5)),
    ("sub_account_transfer", (OTHER, True, 1_000_000)),
    ("sub_account_spot_transfer", (OTHER, False, "PURR:0xc4bf3f870c0e9465323c0b6ed28096c2", 1.5)),
    ("vault_usd_transfer", (OTHER, True, 1_000_000)),
    ("usd_transfer", (1.5, OTHER)),
    ("spot_transfer", (1.5, OTHER, "PURR:0xc4bf3f870c0e9465323c0b6ed28096c2")),
    ("token_delegate", (OTHER, 10**9, False)),
    ("withdraw_from_bridge", (1.5, OTHER)),
    ("approve_agent", ()),
    ("approve_agent", ("bot",)),
    ("approve_builder_fee", (OTHER, "0.01%")),
    ("convert_to_multi_sig_user", ([OTHER, USER], 2)),
    ("spot_deploy_register_token", ("TEST", 2, 8, 1_000_000, "Test token")),
    ("spot_deploy_user_genesis", (7, [(OTHER, "100")], [(1, "100")])),
    ("spot_deploy_enable_freeze_privilege", (7,)),
    ("spot_deploy_freeze_user", (7, OTHER, True)),
    ("spot_deploy_revoke_freeze_privilege", (7,)),
    ("spot_deploy_enable_quote_token", (7,)),
    ("spot_deploy_token_action_inner", ("enableQuoteToken", 7)),
    ("spot_deploy_genesis", (7, "1000000", True)),
    ("spot_deploy_register_spot", (7, 0)),
    ("spot_deploy_register_hyperliquidity", (3, 2.5, 10.0, 100, None)),
    ("spot_deploy_set_deployer_trading_fee_share", (7, "100%")),
    ("perp_deploy_register_asset", ("test", None, "test:A", 2, "10.0", 10, False, SCHEMA)),
    ("perp_deploy_set_oracle", ("test", {"test:A": "10"}, [{"test:A": "10"}], {"test:A": "10"})),
    ("c_signer_unjail_self", ()),
    ("c_signer_jail_self", ()),
    ("c_signer_inner", ("unjailSelf",)),
    ("c_validator_register", ("1.2.3.4", "node", "a node", True, 100, OTHER, False, 10**9)),
    ("c_validator_change_profile", (None, "node", None, True, None, None, None)),
    ("c_validator_unregister", ()),
    ("multi_sig", (USER, ACTION, [{"r": "0x1", "s": "0x2", "v": 27}], NOW)),
    ("multi_sig", (USER, ACTION, [], NOW, VAULT)),
    ("use_big_blocks", (True,)),
    ("agent_enable_dex_abstraction", ()),
    ("agent_set_abstraction", ("u",)),
    ("user_dex_abstraction", (OTHER, True)),
    ("user_set_abstraction", (OTHER, "unifiedAccount")),
    ("noop", (NOW,)),
    ("gossip_priority_bid", (0, "1.2.3.4", 1000)),
]
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "sign_l1_action": (ACTION, VAULT, NOW, NOW + 1000, True),
    "sign_user_signed_action": (USD_SEND, signing.USD_SEND_SIGN_TYPES, "HyperliquidTransaction:UsdSend", False),
    "sign_multi_sig_user_signed_action_payload": (
        USD_SEND,
        True,
        signing.USD_SEND_SIGN_TYPES,
        "HyperliquidTransaction:UsdSend",
        USER,
        SIGNER,
    ),
    "sign_multi_sig_l1_action_payload": (ACTION, False, VAULT, NOW, NOW + 1000, USER, SIGNER),
    "sign_multi_sig_action": ({"type": "multiSig", "payload": ACTION}, True, VAULT, NOW, None),
    "sign_usd_transfer_action": (USD_SEND, True),
    "sign_spot_transfer_action": ({**USD_SEND, "token": "PURR:0xc4"}, True),
    "sign_withdraw_from_bridge_action": (USD_SEND, False),
    "sign_usd_class_transfer_action": ({"amount": "1", "toPerp": False, "nonce": NOW}, True),
    "sign_send_asset_action": (
        {
            "destination": OTHER,
            "sourceDex": "",
            "destinationDex": "spot",
            "token": "USDC",
            "amount": "1",
            "fromSubAccount": "",
            "nonce": NOW,
        },
        True,
    ),
    "sign_user_dex_abstraction_action": ({"user": OTHER, "enabled": True, "nonce": NOW}, True),
    "sign_user_set_abstraction_action": ({"user": OTHER, "abstraction": "disabled", "nonce": NOW}, True),
    "sign_convert_to_multi_sig_user_action": ({"signers": "{}", "nonce": NOW}, True),
    "sign_agent": ({"agentAddress": OTHER, "agentName": "bot", "nonce": NOW}, False),
    "sign_approve_builder_fee": ({"maxFeeRate": "0.01%", "builder": OTHER, "nonce": NOW}, True),
    "sign_token_delegate_action": ({"validator": OTHER, "wei": 1, "isUndelegate": True, "nonce": NOW}, True),
    "sign_inner": (
        signing.user_signed_payload("A", [{"name": "a", "type": "uint8"}], {"signatureChainId": "0x1", "a": 7}),
    ),
}


def information(asked: dict[str, Any]) -> Any:
    if asked["type"] == "allMids":
        return {"ETH": "1100.5"}
    if asked["type"] == "clearinghouseState":
        return {"assetPositions": [{"position": {"coin": "ETH", "szi": "-0.2"}}]}
    return {"tokens": [], "universe": [{"name": "ETH", "szDecimals": 4}] if asked["type"] == "meta" else []}


@pytest.fixture
def venue() -> Iterator[Venue]:
    with Venue({"/info": information, "/exchange": {"status": "ok"}}).running() as venue:
        yield venue


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    monkeypatch.setattr(exchange, "get_timestamp_ms", lambda: NOW)
    monkeypatch.setattr("secrets.token_hex", lambda size: size * "ab")
    sections = f"\n[hyperliquid trades]\nactions = {TRADES}\n\n[hyperliquid blind]\nblind = {BLIND}\n"
    sections += "".join(f"\n[hyperliquid {power}]\npowers = {power}\n" for power in POWERS.split())
    sections += f"\n[hyperliquid inner]\nactions = order\nmulti-sig = {USER} {SIGNER}\n\n"
    allows = f"hyperliquid = trades blind inner {POWERS}\n"
    with both_sides(request.node.nodeid, tmp_path, monkeypatch, sections, allows) as sides:
        yield sides


@pytest.mark.parametrize("vault", [None, VAULT])
@pytest.mark.parametrize("network", ["mainnet", "testnet"])
def test_what_an_exchange_sends_is_the_same(
    sides: Sides, venue: Venue, monkeypatch: pytest.MonkeyPatch, network: str, vault: str | None
) -> None:
    if network == "mainnet":
        monkeypatch.setattr(exchange, "MAINNET_API_URL", venue.url)
    for name, arguments in CALLS:
        sent, returned = [], []
        for account in accounts(sides):
            program = exchange.Exchange(account, venue.url, vault_address=vault, account_address=account.address)
            user_signed = name.startswith(
                ("usd", "send_asset", "spot_transfer", "withdraw", "approve", "token", "user")
            )
            program.set_expires_after(NOW + 5000 if vault and not user_signed else None)
            returned.append(getattr(program, name)(*arguments))
            sent.append(venue.sent[-1])
        assert only([(request.path, request.body) for request in sent])[0] == "/exchange", name
        only(returned)


def test_the_policy_judges_the_order_itself(
    request: pytest.FixtureRequest, venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = "\n[hyperliquid perps]\nactions = order batchModify\nassets = 0\nmax-size = 0.2\nnetwork = testnet\n\n"
    allows = "hyperliquid = perps\n"
    with both_sides(request.node.nodeid, tmp_path, monkeypatch, sections, allows) as sides:
        program = exchange.Exchange(eth_account.Account.from_key(sides.address), venue.url)
        program.order("ETH", True, 0.2, 1100, GTC)
        program.modify_order(5, "ETH", True, 0.2, 1100, GTC)  # which it sends as batchModify
        with pytest.raises(SignerError, match=r"action\.orders\[0\]\.s: .*over_limit"):
            program.order("ETH", True, 0.3, 1100, GTC)
        with pytest.raises(SignerError, match=r"action\.type: .*cancel"):
            program.cancel("ETH", 5)
        assert [sent.body["action"]["type"] for sent in venue.sent if sent.path == "/exchange"] == [
            "order",
            "batchModify",
        ]
        assert 'Signed Hyperliquid action "order" on testnet to buy "0.2" of asset 0 at "1100"' in sides.daemon.log


def signs(method: Callable[..., Any]) -> bool:
    return any(word.startswith("sign_") for word in method.__code__.co_names)


def test_each_method_of_an_exchange_that_signs_was_called() -> None:
    methods = {name: method for name, method in vars(exchange.Exchange).items() if inspect.isfunction(method)}
    assert {name for name, method in methods.items() if signs(method)} - {name for name, _ in CALLS} == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_that_sign_return_the_same(sides: Sides, name: str) -> None:
    function = getattr(signing, name)
    copies = [[dict(value) if isinstance(value, dict) else value for value in FUNCTIONS[name]] for _ in range(3)]
    only([function(account, *arguments) for account, arguments in zip(accounts(sides), copies)])


def test_each_function_that_signs_was_called() -> None:
    assert {name for name in vars(signing) if name.startswith("sign_")} == set(FUNCTIONS)
