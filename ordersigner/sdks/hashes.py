"""Where an SDK hashes typed data by itself: has the daemon sign the typed data, and not the hash.

In: an account, the typed data, the SDK's hash of it. Out: the signature. Raises BareHash if the hash is of other data.
"""

from __future__ import annotations

import types
from typing import Any, Mapping

from ordersigner.account import Account, SignedMessage, completed, typed_data_hash
from ordersigner.sdks.patching import BareHash


def sign(account: Account, typed_data: Mapping[str, Any], digest: bytes | str) -> SignedMessage:
    """The signature of typed data whose hash the SDK says is `digest`: 32 bytes, or their digits after 0x."""
    expected = bytes.fromhex(digest[2:]) if isinstance(digest, str) else bytes(digest)
    if typed_data_hash(completed(None, None, None, typed_data)) != expected:
        raise BareHash(
            f"the SDK signs the hash 0x{expected.hex()}, which is not that of its {typed_data['primaryType']}; the"
            " daemon signs what it can read, and no hashes"
        )
    return account.sign_typed_data(full_message=typed_data)


def call(function: Any, names: Mapping[str, Any], *arguments: Any, **named: Any) -> Any:
    """The function's result, where these global names are other objects in it, and in nothing that it calls."""
    missing = names.keys() - set(function.__code__.co_names)
    if missing:
        raise AttributeError(f"{function.__qualname__} does not use {', '.join(sorted(missing))}")
    scope = {**function.__globals__, **names}
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy(*arguments, **named)
