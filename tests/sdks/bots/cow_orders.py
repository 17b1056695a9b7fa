"""Orders by cowdao-cowpy, which asks its API when it is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from bot import NOW, OTHER, main
from eth_account import Account


async def send(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
    return httpx.Response(200, json={}, request=request)


httpx.AsyncClient.send = send  # type: ignore[assignment, method-assign, unused-ignore]


def start(signer: str, url: str) -> Callable[[int], Any]:
    from cowdao_cowpy.common.chains import Chain
    from cowdao_cowpy.contracts.domain import domain
    from cowdao_cowpy.contracts.order import Order
    from cowdao_cowpy.contracts.sign import SigningScheme, sign_order

    account, settlement = Account.from_key(signer), domain(Chain.MAINNET, OTHER)

    def sign(number: int) -> Any:
        order = Order(OTHER, OTHER, OTHER, str(number), "5", NOW // 1000, "0x" + 64 * "0", "0", "sell")
        return sign_order(settlement, order, account, SigningScheme.EIP712).to_string()

    return sign


main(start)
