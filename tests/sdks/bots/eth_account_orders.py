"""Typed data and messages, by eth-account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot import OTHER, main
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data


def start(signer: str, url: str) -> Callable[[int], Any]:
    account = Account.from_key(signer)

    def sign(number: int) -> Any:
        order = {
            "types": {"Order": [{"name": "maker", "type": "address"}, {"name": "amount", "type": "uint256"}]},
            "domain": {"name": "Exchange", "chainId": 1},
            "primaryType": "Order",
            "message": {"maker": OTHER, "amount": number},
        }
        if number % 3 == 0:
            return account.sign_typed_data(full_message=order).signature.hex()
        if number % 3 == 1:
            return account.sign_message(encode_typed_data(full_message=order)).signature.hex()
        return Account.sign_message(encode_defunct(text=f"order {number}"), private_key=signer).signature.hex()

    return sign


main(start)
