"""A Safe's transactions, by safe-eth-py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot import OTHER, main
from safe_eth.safe.safe_tx import SafeTx


def start(signer: str, url: str) -> Callable[[int], Any]:
    def sign(number: int) -> Any:
        settings: Any = {"safe_nonce": number, "safe_version": "1.4.1", "chain_id": 5}
        return SafeTx(None, OTHER, OTHER, number, b"", 0, 0, 0, 0, None, None, **settings).sign(signer).hex()

    return sign


main(start)
