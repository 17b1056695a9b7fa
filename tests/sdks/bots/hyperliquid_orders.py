"""Orders by hyperliquid-python-sdk."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from bot import NOW, main
from eth_account import Account
from hyperliquid import exchange


def start(signer: str, url: str) -> Callable[[int], Any]:
    exchange.get_timestamp_ms = itertools.count(NOW).__next__
    meta: Any = {"universe": [{"name": "ETH", "szDecimals": 4}]}
    spot: Any = {"universe": [], "tokens": []}
    venue = exchange.Exchange(Account.from_key(signer), url, meta, spot_meta=spot)
    return lambda number: venue.order("ETH", number % 2 == 0, 0.2, 1000 + number, {"limit": {"tif": "Gtc"}})


main(start)
