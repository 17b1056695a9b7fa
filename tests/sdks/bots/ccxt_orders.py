"""Orders by ccxt, for Hyperliquid."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ccxt
from bot import NOW, OTHER, main

# fmt: off
MARKET: Any = {
    "id": "1", "symbol": "ETH/USDC:USDC", "base": "ETH", "quote": "USDC", "settle": "USDC",
    "baseId": "1", "quoteId": "USDC", "settleId": "USDC", "baseName": "ETH", "type": "swap", "active": True,
    "spot": False, "swap": True, "future": False, "option": False, "contract": True, "linear": True,
    "contractSize": 1, "precision": {"amount": 0.0001, "price": 0.01}, "limits": {}, "info": {},
}
# fmt: on


def start(signer: str, url: str) -> Callable[[int], Any]:
    venue: Any = ccxt.hyperliquid({"privateKey": signer, "walletAddress": OTHER, "enableRateLimit": False})
    venue.set_markets([MARKET])
    venue.options.update({"sandboxMode": True, "builderFee": False, "refSet": True, "approvedBuilderFee": True})
    venue.urls["api"] = {"public": url, "private": url}
    venue.milliseconds = itertools.count(NOW).__next__
    return lambda number: venue.create_order("ETH/USDC:USDC", "limit", "buy", 0.2, 1000 + number)


main(start)
