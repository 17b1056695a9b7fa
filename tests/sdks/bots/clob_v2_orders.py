"""Orders by py-clob-client-v2: of the key's own account, and of a deposit wallet."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from bot import NOW, OTHER, main
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import OrderArgsV2
from py_clob_client_v2.order_builder import builder
from py_clob_client_v2.order_utils import utils

TOKEN = str(2**256 // 3)


def start(signer: str, url: str) -> Callable[[int], Any]:
    utils.time = builder.time = SimpleNamespace(time_ns=lambda: NOW * 10**6)
    utils.random = SimpleNamespace(random=lambda: 0.5)
    clients = [ClobClient(url, 137, signer), ClobClient(url, 137, signer, signature_type=3, funder=OTHER)]
    clients[0].set_api_creds(clients[0].create_or_derive_api_key())
    return lambda number: clients[number % 2].create_order(OrderArgsV2(TOKEN, 0.5, 1.0 + number, "BUY"))


main(start)
