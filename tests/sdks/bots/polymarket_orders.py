"""Orders by polymarket-client."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from bot import NOW, main
from eth_account import Account
from polymarket import environments
from polymarket.clients.secure import SecureClient

TOKEN = str(2**256 // 3)


def start(signer: str, url: str) -> Callable[[int], Any]:
    orders: Any = importlib.import_module("polymarket._internal.actions.orders.orders")
    orders._generate_salt = lambda: 7
    orders._current_timestamp_ms = lambda: NOW
    config = dataclasses.replace(environments.PRODUCTION._config, clob_url=url)
    object.__setattr__(environments.PRODUCTION, "_config", config)
    client = SecureClient.create(private_key=signer, wallet=Account.from_key(signer).address)
    return lambda number: client.create_limit_order(token_id=TOKEN, price="0.5", size=10 + number, side="BUY")


main(start)
