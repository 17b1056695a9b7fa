"""Orders by py-clob-client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot import main
from py_clob_client.client import ClobClient
from py_clob_client.clob_types import OrderArgs
from py_order_utils.builders import OrderBuilder

TOKEN = str(2**256 // 3)


def start(signer: str, url: str) -> Callable[[int], Any]:
    OrderBuilder.__init__.__defaults__ = (lambda: 7,)  # the salt, which is a random number otherwise
    client = ClobClient(url, 137, signer)
    client.set_api_creds(client.create_or_derive_api_creds())
    return lambda number: client.create_order(OrderArgs(TOKEN, 0.5, 1.0 + number, "BUY")).dict()


main(start)
