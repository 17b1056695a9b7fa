"""derive-action-signing: SignedAction.sign(address), where it takes a session key.

It hashes an action by itself, and has only the hash of the domain. The daemon needs the domain itself, which is one of
DOMAINS. An action for another domain raises BareHash. Logins are messages, which eth-account signs.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from ordersigner.sdks import hashes
from ordersigner.sdks.patching import BareHash, Sdk, account_of, replace

_MATCHING = "0xeB8d770ec18DB98Db922E9D83260A585b9F0DeAD"


def domain(chain: int, contract: str = _MATCHING) -> dict[str, Any]:
    return {"name": "Matching", "version": "1.0", "chainId": chain, "verifyingContract": contract}


# By their separators, which Derive publishes: of its own chain and of Ethereum, each with the testnet. A program can
# add others.
DOMAINS = {
    "0xd96e5f90797da7ec8dc4e276260c7f3f87fedf68775fbe1ef116e996fc60441b": domain(957),
    "0x9bcf4dc06df5d8bf23af818d5716491b995020f377d3b7b64c29ed14e3dd1105": domain(
        901, "0x3cc154e220c2197c5337b7Bd13363DD127Bc0C6E"
    ),
    "0xda616dfabb88681b08e1592820a41d55ddc62d68de110e327ae99d734506fe19": domain(1),
    "0x24d674cd5f2b9d564691c51e9d88f649b99246a2244dd74ce27b96578d773e85": domain(11155111),
}
# What Derive has signed for each action.
TYPES = {
    "Action": [
        {"name": name, "type": kind}
        for name, kind in (
            ("subaccountId", "uint256"),
            ("nonce", "uint256"),
            ("module", "address"),
            ("data", "bytes"),
            ("expiry", "uint256"),
            ("owner", "address"),
            ("signer", "address"),
        )
    ]
}


def _signed_action(module: Any) -> None:
    replace(module.SignedAction, "sign", _signing, ("self", "signer_private_key"))
    _ = module.SignedAction._to_typed_data_hash  # it must be there


def _signing(original: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(original)
    def sign(self: Any, signer_private_key: Any) -> str:
        account = account_of(signer_private_key)
        if account is None:
            return original(self, signer_private_key)
        known = DOMAINS.get(self.DOMAIN_SEPARATOR.lower())
        if known is None:
            raise BareHash(
                f"{self.DOMAIN_SEPARATOR}: the daemon needs the domain itself, and this hash is of none that is known:"
                " put it into ordersigner.sdks.derive.DOMAINS"
            )
        values = (
            self.subaccount_id,
            self.nonce,
            self.module_address,
            self.module_data.to_abi_encoded(),
            self.signature_expiry_sec,
            self.owner,
            self.signer,
        )
        typed_data = {
            "domain": known,
            "types": TYPES,
            "primaryType": "Action",
            "message": dict(zip((field["name"] for field in TYPES["Action"]), values)),
        }
        self.signature = hashes.sign(account, typed_data, self._to_typed_data_hash()).signature.hex()
        return str(self.signature)

    return sign


SDKS = (Sdk("derive-action-signing", ("0.0.13",), {"derive_action_signing.signed_action": _signed_action}),)
