"""Receipts: so many tokens received by an address, which must sign them itself.

In: a request with `receipt`, an object with `by` and `amount`. Out: a Receipt. Raises Refusal.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ordersigner.keccak import keccak_256
from ordersigner.payloads.payload import Form
from ordersigner.payloads.typed_values import address
from ordersigner.refusal import MISSING, Refusal, mistyped


class Receipt(NamedTuple):
    """A receipt to be signed."""

    digest: bytes  # 32 bytes
    by: str  # 0x and 40 lower-case hexadecimal digits
    amount: int

    @property
    def type(self) -> str:
        return "receipt"

    def entry(self) -> tuple[str, tuple[str, ...]]:
        return f"receipt of {self.amount} tokens", (f"ORDERSIGNER_ACCOUNT={self.by}",)


def read(request: Mapping[str, Any]) -> Receipt:
    receipt = request["receipt"]
    by = address(receipt.get("by", MISSING), "receipt.by")
    amount = receipt.get("amount", MISSING)
    if type(amount) is not int:
        raise mistyped(amount, "receipt.amount", int)
    return Receipt(keccak_256(b"receipt" + by + amount.to_bytes(32, "big")), "0x" + by.hex(), amount)


def check_signer(receipt: Receipt, signer: str) -> None:
    if receipt.by != signer:
        raise Refusal.of("receipt.by", "not_valid_choice", "This is not the address of the signer.")


def response(receipt: Receipt, signature: str) -> Mapping[str, object]:
    return {"stamped": f"{receipt.amount}:{signature}"}


FORM = Form(read, members={"receipt": dict}, check_signer=check_signer, response=response)
