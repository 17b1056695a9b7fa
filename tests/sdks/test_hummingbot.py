"""hummingbot's own classes that sign, with the address of a held key: what they sign is what they sign with the key."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import json
import random
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import eth_account
import pytest
from hummingbot.connector.derivative.aevo_perpetual.aevo_perpetual_auth import AevoPerpetualAuth
from hummingbot.connector.derivative.evedex_perpetual.evedex_perpetual_auth import EvedexPerpetualAuth
from hummingbot.connector.derivative.grvt_perpetual.grvt_perpetual_auth import GrvtPerpetualAuth
from hummingbot.connector.derivative.hyperliquid_perpetual import hyperliquid_perpetual_auth
from hummingbot.connector.exchange.dexalot.dexalot_auth import DexalotAuth
from hummingbot.connector.exchange.hyperliquid import hyperliquid_auth
from hummingbot.core.data_type.common import OrderType, TradeType
from hummingbot.core.web_assistant.connections.data_types import RESTMethod, RESTRequest
from support.daemon import standalone
from support.held import MESSAGES, holding, rule

from ordersigner import sdks
from ordersigner.client import SignerError
from ordersigner.sdks import hummingbot
from ordersigner.sdks.patching import account_of

sdks.install()

OTHER = "0x" + 40 * "5"
NOW = 1_800_000_000.5
POLICY = """
[hyperliquid perps]
actions = order cancelByCloid updateLeverage
assets = 0 1
max-size = 0.5
"""
MAINNET, TESTNET = "https://api.hyperliquid.xyz/exchange", "https://api.hyperliquid-testnet.xyz/exchange"
HYPERLIQUID = {
    "perpetual": hyperliquid_perpetual_auth.HyperliquidPerpetualAuth,
    "spot": hyperliquid_auth.HyperliquidAuth,
}
CLOID = "0x" + 32 * "1"
ORDER = {
    "asset": 1,
    "isBuy": True,
    "limitPx": 1100.5,
    "sz": 0.2,
    "reduceOnly": False,
    "orderType": {"limit": {"tif": "Gtc"}},
    "cloid": CLOID,
}
REQUESTS: list[dict[str, Any]] = [
    {"type": "order", "grouping": "na", "orders": ORDER},
    {"type": "order", "grouping": "na", "orders": ORDER, "builder": {"b": OTHER, "f": 10}},
    {"type": "cancel", "cancels": {"asset": 1, "cloid": CLOID}},
    {"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 3},
]


class Sides:
    """key and address of one that the daemon holds."""

    def __init__(self, name: str) -> None:
        self.key = hashlib.sha256(name.encode()).hexdigest()  # its own, because an account knows its daemon
        self.address = str(eth_account.Account.from_key(self.key).address)


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "time_ns", lambda: int(NOW * 10**9))
    monkeypatch.setattr(random, "randint", lambda least, most: 7)
    both = Sides(request.node.nodeid)
    policy = MESSAGES + POLICY + rule("bot", both.address, allows="typed = any\nmessages = any\nhyperliquid = perps\n")
    with standalone(tmp_path, *holding(tmp_path, {"one": both.key}, policy)) as daemon:
        monkeypatch.setenv("ORDERSIGNER_SOCKET", daemon.path)
        yield both
        account = account_of(both.address)
        assert account is not None
        account.close()


def hyperliquid_request(kind: str, key: str, address: str, vault: bool, url: str, body: dict[str, Any]) -> str:
    auth = HYPERLIQUID[kind](OTHER if vault else address, key, vault)
    request = RESTRequest(method=RESTMethod.POST, url=url, data=json.dumps(body))
    return str(asyncio.run(auth.rest_authenticate(request)).data)


@pytest.mark.parametrize("body", REQUESTS, ids=lambda body: str(body["type"]))
@pytest.mark.parametrize("url", [MAINNET, TESTNET])
@pytest.mark.parametrize("vault", [False, True])
@pytest.mark.parametrize("kind", HYPERLIQUID)
def test_hyperliquid_gets_the_same_request(
    kind: str, vault: bool, url: str, body: dict[str, Any], sides: Sides
) -> None:
    expected = hyperliquid_request(kind, sides.key, sides.address, vault, url, body)
    assert '"signature"' in expected or (kind, body["type"]) == ("spot", "updateLeverage")
    assert hyperliquid_request(kind, sides.address, sides.address, vault, url, body) == expected


def test_hyperliquids_action_is_judged_by_the_policy(sides: Sides) -> None:
    body = {"type": "order", "grouping": "na", "orders": {**ORDER, "sz": 0.6}}
    with pytest.raises(SignerError, match=r"action\.orders\[0\]\.s: .*over_limit"):
        hyperliquid_request("perpetual", sides.address, sides.address, False, MAINNET, body)


def test_a_connector_still_finds_a_wrong_address(sides: Sides) -> None:
    with pytest.raises(ValueError, match="does not derive"):
        HYPERLIQUID["perpetual"](OTHER, sides.address, False)


def other_signatures(key: str, address: str) -> list[Any]:
    aevo = AevoPerpetualAuth("a", "b", key, address, "aevo_perpetual")
    evedex = EvedexPerpetualAuth("a", SimpleNamespace(time=time.time), key)
    grvt = GrvtPerpetualAuth("a", key, "123", "grvt_perpetual")
    dexalot = DexalotAuth("a", key, SimpleNamespace(time=time.time))
    request = RESTRequest(method=RESTMethod.GET, url="https://localhost/")
    instrument = {"instrument_hash": "0x030401", "base_decimals": "9"}
    order = ("1", "ETH_USDT_Perp", Decimal("0.2"), Decimal("1100.5"), TradeType.BUY, OrderType.LIMIT, False)
    return [
        aevo.sign_order(True, 1100, 200, 7, 1, 1800),
        evedex.sign_limit_order("1", "ETH-USD", "BUY", 1, Decimal("0.2"), Decimal(1100)),
        evedex.sign_market_order("1", "ETH-USD", "BUY", "IOC", 1, Decimal(220)),
        evedex.sign_position_close("1", "ETH-USD", 1, Decimal("0.2")),
        grvt.get_order_payload(instrument, *order),
        asyncio.run(dexalot.rest_authenticate(request)).headers,
    ]


def test_connectors_that_sign_with_eth_account_sign_the_same(sides: Sides) -> None:
    assert other_signatures(sides.address, sides.address) == other_signatures(sides.key, sides.address)


def test_the_version_is_one_that_the_page_names() -> None:
    (sdk,) = hummingbot.SDKS
    assert importlib.metadata.version("hummingbot") in sdk.tried
