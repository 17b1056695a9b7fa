"""An independent implementation of the signature, from the order layouts and public libraries alone.

Slow and plain: it shares no code with the package, and its numbers go through decimal.Decimal, its packing through
eth_abi, its signing through eth_account.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any

from eth_abi.packed import encode_packed
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ORDER_TYPES = {"LMT": 1, "MKT": 2, "SLM": 3, "STM": 4}
SIDES = {"buy": 1, "sell": 2}


def exact(number: Any) -> Decimal:
    """The number that JSON's `number` stands for: a double at its shortest round-trip decimal, others exactly."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def units(number: Any, decimals: Any) -> int:
    with localcontext() as context:
        context.prec = 500
        scaled = exact(number) * 10 ** int(exact(decimals))
        return int(scaled.to_integral_value(rounding=ROUND_DOWN))


def fraction(number: Any) -> tuple[int, int]:
    _, digits, exponent = exact(number).normalize().as_tuple()
    numerator = int("".join(map(str, digits)))
    assert isinstance(exponent, int)
    return (numerator * 10**exponent, 1) if exponent >= 0 else (numerator, 10**-exponent)


def address(text: str) -> str:
    return to_checksum_address("0x" + text[-40:])


def digest(request: dict[str, Any]) -> bytes:
    """32 bytes."""
    order, instrument = request["order"], request["instrument"]
    common = [
        ("address", address(order["accountId"])),
        ("uint64", int(exact(order["timestamp"]))),
        ("uint8", ORDER_TYPES[order["orderType"]]),
        ("uint8", SIDES[order["side"]]),
    ]
    quote = instrument["quote"]
    price = ("uint256", units(order["price"], quote["decimals"]))
    if request["type"] == "spot":
        base = instrument["base"]
        own = [
            ("uint256", units(order["quantity"], base["decimals"])),
            price,
            ("address", address(base["address"])),
            ("address", address(quote["address"])),
        ]
    else:
        numerator, denominator = fraction(order["quantity"])
        own = [
            ("uint32", int(exact(order["instrument"]))),
            price,
            ("uint256", int(exact(order["marginPerFraction"]))),
            ("address", address(order["quote"])),
            ("uint64", numerator),
            ("uint64", denominator),
        ]
    types, values = zip(*common, *own)
    return keccak(encode_packed(types, values))


def sign(request: dict[str, Any]) -> str:
    """The signature, 0x and 130 hexadecimal digits."""
    signed = Account.unsafe_sign_hash(digest(request), "0x" + request["signer"][-64:])
    return "0x" + bytes(signed.signature).hex()


def signer_address(key: str) -> str:
    """The address of a private key, lower-case."""
    return str(Account.from_key("0x" + key[-64:]).address).lower()
