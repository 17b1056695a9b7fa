"""Transactions that web3.py signs and sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot import OTHER, main
from web3 import Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder


def start(signer: str, url: str) -> Callable[[int], Any]:
    node = Web3(Web3.HTTPProvider(url))
    account = node.eth.account.from_key(signer)
    node.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)

    def sign(number: int) -> Any:
        fields: Any = {
            "from": account.address,
            "to": OTHER,
            "value": number,
            "gas": 21_000,
            "gasPrice": 10**9,
            "nonce": number,
        }
        fields.update({"chainId": 5, "data": "0x"})
        if number % 10:
            return node.eth.account.sign_transaction({**fields, "from": account.address}, private_key=signer).hash.hex()
        return node.eth.send_transaction(fields).hex()

    return sign


main(start)
