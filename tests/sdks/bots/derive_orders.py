"""Orders by derive-action-signing."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bot import NOW, OTHER, main
from derive_action_signing import SignedAction, TradeModuleData
from eth_account import Account

SEPARATOR = "0xd96e5f90797da7ec8dc4e276260c7f3f87fedf68775fbe1ef116e996fc60441b"
TYPE = "0x4d7a9f27c403ff9c0f19bce61d76d82f9aa29f8d6d4b0c5474607d9770d1af17"


def start(signer: str, url: str) -> Callable[[int], Any]:
    address = Account.from_key(signer).address

    def sign(number: int) -> Any:
        order = TradeModuleData(OTHER, 0, Decimal(3000), Decimal(number), Decimal(10), 1, True)
        return SignedAction(1, OTHER, address, NOW // 1000, NOW + number, OTHER, order, SEPARATOR, TYPE).sign(signer)

    return sign


main(start)
