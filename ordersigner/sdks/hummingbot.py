"""hummingbot's connectors for Hyperliquid: they pass the daemon the whole action, and not its hash.

In: the address of a held key where a connector asks for the private key; eth_account.py makes it an Account. Out:
signatures as the connectors write them. Raises what the client raises.

Other connectors that sign typed data or messages with an account of eth-account need nothing of this file.
"""

from __future__ import annotations

from typing import Any

from ordersigner.account import Account
from ordersigner.sdks import patching


def _perpetual(module: Any) -> None:
    _pass_actions(module.HyperliquidPerpetualAuth)


def _spot(module: Any) -> None:
    _pass_actions(module.HyperliquidAuth)


def _pass_actions(auth: Any) -> None:
    parameters = ("self", "wallet", "action", "active_pool", "nonce", "is_mainnet")
    patching.replace(auth, "sign_l1_action", _action, parameters)


def _action(original: Any) -> Any:
    def sign_l1_action(self: Any, wallet: Any, action: Any, active_pool: Any, nonce: Any, is_mainnet: Any) -> Any:
        if not isinstance(wallet, Account):
            return original(self, wallet, action, active_pool, nonce, is_mainnet)
        return wallet.sign_l1_action(action, active_pool, int(nonce), None, is_mainnet)

    return sign_l1_action


SDKS = (
    patching.Sdk(
        "hummingbot",
        ("20260922",),
        {
            "hummingbot.connector.derivative.hyperliquid_perpetual.hyperliquid_perpetual_auth": _perpetual,
            "hummingbot.connector.exchange.hyperliquid.hyperliquid_auth": _spot,
        },
    ),
)
