"""safe-eth-py: SafeTx.sign(address) and SafeTx.execute(address), where they take a private key.

sign() hashes a Safe's transaction by itself. For a held key the daemon gets the transaction as typed data. execute()
sends an account's own transaction, and reads its key: for a held key, the address that eth-account takes in its place.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, Callable

from ordersigner.sdks import hashes
from ordersigner.sdks.patching import Sdk, account_of, replace


def _safe_tx(module: Any) -> None:
    replace(module.SafeTx, "sign", _signing, ("self", "private_key"))
    replace(module.SafeTx, "execute", _executing, ("self", "tx_sender_private_key"))


def _signing(original: Callable[..., bytes]) -> Callable[..., bytes]:
    @functools.wraps(original)
    def sign(self: Any, private_key: Any) -> bytes:
        account = account_of(private_key)
        if account is None:
            return original(self, private_key)
        typed_data = self.eip712_structured_data
        held = SimpleNamespace(
            address=account.address, unsafe_sign_hash=lambda digest: hashes.sign(account, typed_data, digest)
        )
        return bytes(hashes.call(original, {"Account": SimpleNamespace(from_key=lambda key: held)}, self, private_key))

    return sign


def _executing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def execute(self: Any, tx_sender_private_key: Any, *arguments: Any, **named: Any) -> Any:
        account = account_of(tx_sender_private_key)
        if account is None:
            return original(self, tx_sender_private_key, *arguments, **named)
        held = SimpleNamespace(address=account.address, key=account.address)
        accounts = SimpleNamespace(from_key=lambda key: held)
        return hashes.call(original, {"Account": accounts}, self, tx_sender_private_key, *arguments, **named)

    return execute


SDKS = (Sdk("safe-eth-py", ("7.27.0",), {"safe_eth.safe.safe_tx": _safe_tx}),)
