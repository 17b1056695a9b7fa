"""hyperliquid-python-sdk: Exchange(account, url), where the account is Account(address) or Account.from_key(address).

Its sign_l1_action() hashes an action. For a held key it passes the whole action on, so that the daemon's policy judges
the order itself. All else that this SDK signs is typed data, which it signs as eth-account does.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from ordersigner.account import Account
from ordersigner.sdks.patching import Sdk, replace

_PARAMETERS = ("wallet", "action", "active_pool", "nonce", "expires_after", "is_mainnet")


def _signing(module: Any) -> None:
    replace(module, "sign_l1_action", _passing_actions, _PARAMETERS)


def _passing_actions(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def sign_l1_action(wallet: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(wallet, Account):
            return wallet.sign_l1_action(*arguments, **named)
        return original(wallet, *arguments, **named)

    return sign_l1_action


SDKS = (Sdk("hyperliquid-python-sdk", ("0.24.0",), {"hyperliquid.utils.signing": _signing}),)
