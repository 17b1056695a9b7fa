"""freqtrade itself, which trades on Hyperliquid through ccxt with the address of a held key in its configuration.

A venue on this machine takes the exchange's place. Its market stands still, and its orders are never filled.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eth_account
import pytest
from oracles import hyperliquid_reference
from support.daemon import DEFAULT_SIGNALS, SOURCE, TIME_LIMIT, Daemon, standalone, wait_until
from support.held import holding, rule
from venue import Sent, Venue

KEY = 64 * "1"
ADDRESS = eth_account.Account.from_key(KEY).address
MINUTE = 60_000  # milliseconds
START = 30 * TIME_LIMIT  # seconds until freqtrade has imported everything and placed an order
STRATEGY = """
{line}
from freqtrade.strategy import IStrategy


class Buy(IStrategy):
    timeframe = "1m"
    stoploss = -0.9

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""
LINE = "from ordersigner import sdks; sdks.install()"
# How it is started, and what its strategy begins with.
WAYS = {"command": (["-m", "ordersigner.sdks"], ""), "strategy": ([], LINE)}
POLICY = """
[hyperliquid perps]
actions = order cancel updateLeverage
network = mainnet
vault = none
assets = 0
max-size = {size}
max-leverage = 1
max-orders = 1
tif = Gtc
triggers = none
groupings = na
builder = none
clock = 30
"""


def asked(body: dict[str, Any]) -> Any:
    """What the venue answers to /info."""
    now = int(time.time() * 1000)
    universe = {"universe": [{"name": "ETH", "szDecimals": 4, "maxLeverage": 25}]}
    prices = dict.fromkeys(("markPx", "midPx", "oraclePx", "prevDayPx"), "1000")
    margin = {"accountValue": "10000", "totalNtlPos": "0", "totalRawUsd": "10000", "totalMarginUsed": "0"}
    candle = {"s": "ETH", "i": "1m", "o": "1000", "c": "1000", "h": "1001", "l": "999", "v": "10", "n": 5}
    order = {"coin": "ETH", "side": "B", "limitPx": "999", "sz": "0.1", "origSz": "0.1", "oid": 1, "timestamp": now}
    answers: dict[str, Any] = {
        "meta": universe,
        "metaAndAssetCtxs": [universe, [{"funding": "0.00001", "openInterest": "1", "dayNtlVlm": "1", **prices}]],
        "perpDexs": [None],
        "spotMeta": {"tokens": [], "universe": []},
        "spotMetaAndAssetCtxs": [{"tokens": [], "universe": []}, []],
        "clearinghouseState": {
            "marginSummary": margin,
            "crossMarginSummary": margin,
            "withdrawable": "10000",
            "assetPositions": [],
            "time": now,
        },
        "spotClearinghouseState": {"balances": []},
        "userAbstraction": "disabled",
        "l2Book": {
            "coin": "ETH",
            "time": now,
            "levels": [[{"px": "999", "sz": "5", "n": 1}], [{"px": "1001", "sz": "5", "n": 1}]],
        },
        "candleSnapshot": [
            {"t": start, "T": start + MINUTE - 1, **candle}
            for start in range(now - now % MINUTE - 500 * MINUTE, now, MINUTE)
        ],
        "orderStatus": {
            "status": "order",
            "order": {"order": {**order, "orderType": "Limit", "tif": "Gtc"}, "status": "open", "statusTimestamp": now},
        },
        "exchangeStatus": {"specialStatuses": None, "time": now},
    }
    return answers.get(body["type"], [])


def done(body: dict[str, Any]) -> Any:
    """What the venue answers to /exchange."""
    if body["action"]["type"] == "order":
        return {"status": "ok", "response": {"type": "order", "data": {"statuses": [{"resting": {"oid": 1}}]}}}
    return {"status": "ok", "response": {"type": "default"}}


@contextlib.contextmanager
def trading(directory: Path, daemon: Daemon, way: str) -> Iterator[tuple[Venue, Path, subprocess.Popen[bytes]]]:
    """The venue, freqtrade's log and its process, for as long as it trades."""
    before, line = WAYS[way]
    (directory / "strategies").mkdir()
    (directory / "strategies/buy.py").write_text(STRATEGY.format(line=line))
    log = directory / "freqtrade.log"
    with Venue({"/info": asked, "/exchange": done}).running() as venue:
        config = {
            "max_open_trades": 1,
            "stake_currency": "USDC",
            "stake_amount": 100,
            "dry_run": False,
            "trading_mode": "futures",
            "margin_mode": "isolated",
            "exchange": {
                "name": "hyperliquid",
                "wallet_address": ADDRESS,
                "private_key": ADDRESS,
                "pair_whitelist": ["ETH/USDC:USDC"],
                "enable_ws": False,
                "ccxt_config": {
                    "urls": {"api": {"public": venue.url, "private": venue.url}},
                    "options": {"builder": "none", "refSet": True},
                },
            },
            "entry_pricing": {"price_side": "same", "use_order_book": True, "order_book_top": 1},
            "exit_pricing": {"price_side": "same", "use_order_book": True, "order_book_top": 1},
            "pairlists": [{"method": "StaticPairList"}],
            "initial_state": "running",
            "internals": {"process_throttle_secs": 1},
        }
        (directory / "config.json").write_text(json.dumps(config))
        options = ["--config", str(directory / "config.json"), "--strategy", "Buy", "--userdir", str(directory)]
        database = ["--db-url", f"sqlite:///{directory / 'trades.sqlite'}"]
        command = [sys.executable, *before, "-m", "freqtrade", "trade", *options, *database]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "ORDERSIGNER_SOCKET": daemon.path}
        with open(log, "wb") as output, subprocess.Popen(
            [*DEFAULT_SIGNALS, *command], cwd=directory, env=environment, stdout=output, stderr=output
        ) as process:
            try:
                yield venue, log, process
            finally:
                process.kill()


@contextlib.contextmanager
def held(directory: Path, size: str) -> Iterator[Daemon]:
    policy = POLICY.format(size=size) + rule("freqtrade", ADDRESS, allows="hyperliquid = perps\n")
    with standalone(directory, *holding(directory, {"one": KEY}, policy)) as daemon:
        yield daemon


def signed_actions(venue: Venue) -> list[Sent]:
    return [sent for sent in venue.sent if sent.path == "/exchange"]


def signer_of(body: dict[str, Any]) -> str:
    signature = body["signature"]
    digest = hyperliquid_reference.expected({**body, "network": "mainnet"})
    parts = tuple(signature["v"] if name == "v" else int(signature[name], 16) for name in "vrs")
    return str(eth_account.Account._recover_hash(digest, vrs=parts))


@pytest.mark.parametrize("way", WAYS)
def test_freqtrade_places_an_order_that_the_held_key_signed(way: str, tmp_path: Path) -> None:
    with held(tmp_path, "0.2") as daemon, trading(tmp_path, daemon, way) as (venue, log, process):
        wait_until(lambda: "Order 1 was created" in log.read_text() or process.poll() is not None, START)
        assert process.poll() is None, log.read_text()
    actions = [sent.body for sent in signed_actions(venue)]
    assert [body["action"]["type"] for body in actions] == ["updateLeverage", "order"], log.read_text()
    assert [signer_of(body) for body in actions] == [ADDRESS, ADDRESS]
    (order,) = actions[1]["action"]["orders"]
    assert (order["a"], order["b"], order["p"], order["s"]) == (0, True, "999", "0.1001")
    assert daemon.log.count("Signed ") == 2
    assert "Refused" not in daemon.log


def test_freqtrade_goes_on_when_the_policy_refuses_an_order(tmp_path: Path) -> None:
    with held(tmp_path, "0.05") as daemon, trading(tmp_path, daemon, "strategy") as (venue, log, process):
        # It says so, and tries again.
        wait_until(lambda: log.read_text().count("over_limit") > 1 or process.poll() is not None, START)
        assert process.poll() is None, log.read_text()
    assert "order" not in [sent.body["action"]["type"] for sent in signed_actions(venue)]
