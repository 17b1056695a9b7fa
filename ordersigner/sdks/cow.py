"""cowdao-cowpy: sign_order(domain, order, account, scheme), swap_tokens() and cancellations with an Account.

One function makes all its signatures, from typed data that it hashes by itself and from the account's key. For a held
key the daemon gets the typed data.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from ordersigner.account import Account, completed
from ordersigner.sdks import hashes
from ordersigner.sdks.patching import Sdk, replace


def _sign(module: Any) -> None:
    def signing(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def ecdsa_sign_typed_data(owner: Any, domain_data: Any, message_types: Any, message_data: Any) -> Any:
            if not isinstance(owner, Account):
                return original(owner, domain_data, message_types, message_data)
            typed_data = completed(domain_data.to_dict(), message_types, message_data, None)
            return hashes.sign(owner, typed_data, module.hash_typed_data(domain_data, message_types, message_data))

        return ecdsa_sign_typed_data

    replace(module, "ecdsa_sign_typed_data", signing, ("owner", "domain_data", "message_types", "message_data"))
    _ = module.hash_typed_data  # it must be there


SDKS = (Sdk("cowdao-cowpy", ("1.0.1",), {"cowdao_cowpy.contracts.sign": _sign}),)
