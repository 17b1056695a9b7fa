"""py-clob-client and py-clob-client-v2, Polymarket's own, with py-order-utils: ClobClient(host, key=address).

Their signers get only hashes. So poly_eip712_structs, with which logins and the orders of version 1 are hashed, notes
what each hash stands for, and the signers take it from there. What version 2 signs for a deposit wallet is put together
here as the wallet's contract reads it. The other orders of version 2 are typed data, which eth-account signs.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, Callable, Mapping

from ordersigner.account import Account
from ordersigner.keccak import keccak_256
from ordersigner.sdks import hashes
from ordersigner.sdks.patching import BareHash, Sdk, replace

_KEPT = 256  # hashes, the last ones of all threads: each is signed right after it is made
_DEPOSIT_WALLET = (
    ("contents", "Order"),
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)

_noted: OrderedDict[bytes, tuple[Any, Any]] = OrderedDict()  # struct and domain by their hash
_lock = threading.Lock()


def _struct(module: Any) -> None:
    replace(module.EIP712Struct, "signable_bytes", _noting, ("self", "domain"))
    _ = module.EIP712Struct.to_message  # it must be there


def _noting(original: Callable[..., bytes]) -> Callable[..., bytes]:
    @functools.wraps(original)
    def signable_bytes(self: Any, domain: Any = None) -> bytes:
        signable = original(self, domain)
        digest = keccak_256(signable)
        with _lock:
            _noted[digest] = self, domain
            _noted.move_to_end(digest)
            if len(_noted) > _KEPT:
                _noted.popitem(last=False)
        return signable

    return signable_bytes


def _signer(module: Any) -> None:
    replace(module.Signer, "sign", _signing, ("self",))


def _signing(original: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(original)
    def sign(self: Any, digest: str) -> str:
        if not isinstance(self.account, Account):
            return original(self, digest)
        struct, domain = _noted.get(bytes.fromhex(digest[2:]), (None, None))
        if struct is None:
            raise BareHash(f"{digest}: the daemon signs no hashes, and this is not that of a login or an order")
        return str(hashes.sign(self.account, struct.to_message(domain), digest).signature.hex())

    return sign


def _orders_v2(module: Any) -> None:
    replace(module.ExchangeOrderBuilderV2, "_build_poly_1271_order_signature", _deposit_wallets, ("self", "typed_data"))


def _deposit_wallets(original: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(original)
    def build(self: Any, typed_data: Mapping[str, Any]) -> str:
        account = self.signer.account
        if not isinstance(account, Account):
            return original(self, typed_data)
        members = [{"name": name, "type": kind} for name, kind in _DEPOSIT_WALLET]
        wrapped = {
            **typed_data,
            "primaryType": "TypedDataSign",
            "types": {**typed_data["types"], "TypedDataSign": members},
            "message": {
                "contents": typed_data["message"],
                "name": "DepositWallet",
                "version": "1",
                "chainId": self.chain_id,
                "verifyingContract": typed_data["message"]["signer"],
                "salt": bytes(32),
            },
        }
        held = SimpleNamespace(_sign_hash=lambda digest, private_key: hashes.sign(account, wrapped, digest))
        return str(hashes.call(original, {"Account": held}, self, typed_data))

    return build


SDKS = (
    Sdk("poly-eip712-structs", ("0.0.1",), {"poly_eip712_structs.struct": _struct}),
    Sdk("py-order-utils", ("0.3.2",), {"py_order_utils.signer": _signer}),
    Sdk("py-clob-client", ("0.34.6",), {"py_clob_client.signer": _signer}),
    Sdk(
        "py-clob-client-v2",
        ("1.2.1",),
        {
            "py_clob_client_v2.signer": _signer,
            "py_clob_client_v2.order_utils.exchange_order_builder_v2": _orders_v2,
        },
    ),
)
