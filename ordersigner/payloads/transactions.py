"""Transactions of Ethereum and chains like it: turns one into a 32-byte digest and, with a signature, into its bytes.

In: the decoded JSON object of a request. Out: Transaction, with the digest and what a policy asks about it. Raises
Refusal at the first fault, with its path, such as transaction.accessList[2].storageKeys[0].
Pure: no sockets, no JSON, no keys. Source: EIP-155, EIP-2718, EIP-2930, EIP-1559, and what the implementations in use
agree on.

Exactly the values in the JSON are hashed. Nothing is filled in, converted or left out, because implementations sign
different transactions where a member is missing or has another name. Blobs (type 3) and authorizations (type 4) are
refused, and so is a transaction without a chain id, which would be valid on every chain.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple

from ordersigner.keccak import keccak_256
from ordersigner.payloads.abi import Function
from ordersigner.payloads.paths import Kept
from ordersigner.payloads.payload import Form
from ordersigner.payloads.rlp import integer, sequence, string
from ordersigner.payloads.typed_values import Fault, address, hex_bytes
from ordersigner.payloads.typed_values import integer as read_integer
from ordersigner.refusal import MISSING, Refusal, mistyped, negative, out_of_range
from ordersigner.text import HEX, cleaned, counted, from_hex

ROOT = "transaction"
MAX_CHAIN = 2**63 - 37  # EIP-2294: with a larger one, the v of type 0 does not fit 64 bits
MAX_SIGNED = 15_360  # bytes of a signed transaction, in whose response twice as many digits must have room
LEGACY, ACCESS_LIST, DYNAMIC_FEE = range(3)  # types
KEYS: tuple[tuple[str, ...], ...] = (  # of each type, in the order in which types 1 and 2 are hashed
    ("chainId", "nonce", "gasPrice", "gas", "to", "value", "data"),
    ("chainId", "nonce", "gasPrice", "gas", "to", "value", "data", "accessList"),
    ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data", "accessList"),
)

_EXPECTED = tuple(frozenset((*keys, "type")) for keys in KEYS)
_ENVELOPES = (b"", b"\x01", b"\x02")  # what comes before the list
_R_AND_S = 66  # bytes of both, when none begins with a zero byte
_ORDER_SIZE = 134  # bytes of a packed order; it has its type and its side after 28 of them
_ENTRY = frozenset(("address", "storageKeys"))
# The right value of each member, for people.
_OBJECT = "an object with the type, chainId, nonce, gas and the other members of a transaction"
_TYPES = (
    "This must be 0, 1 or 2. Transactions with blobs (3) or authorizations (4), and those of other types that some "
    "chains have, are not signed."
)
_NO_TYPE = "It must be 0, 1 or 2, or the same as a string. Without it, libraries sign different transactions."
_ACCESS_LIST = 'an array of objects such as {"address": "0x…", "storageKeys": ["0x…"]}; or []'
_STORAGE_KEYS = "an array of strings, each 0x and 64 hexadecimal digits; or []"


class Transaction(NamedTuple):
    """A transaction to be signed.

    kind: its own type, of those in KEYS. price: the most wei that a unit of gas may cost. to: 20 bytes; None creates a
    contract. items: what is hashed in RLP, without the head of the list, and for type 0 without the chain's id.
    sender: 0x and 40 lower-case digits, if the request names it. calls: the results of call().
    """

    digest: bytes
    kind: int
    chain: int
    nonce: int
    price: int
    gas: int
    to: bytes | None
    value: int
    data: bytes
    items: bytes
    is_order: bool  # whether an order of some account is packed into the same bytes
    sender: str | None
    calls: dict[str, tuple[Any, Kept]]

    def __repr__(self) -> str:
        return f"Transaction(type {self.kind}, chain {self.chain})"

    @property
    def type(self) -> str:
        return "transaction"

    @property
    def fee(self) -> int:
        """The most that it may cost in addition to its value, in wei. Some chains add a fee for data."""
        return self.gas * self.price

    def call(self, function: Function) -> tuple[Any, Kept]:
        """The arguments by their names, with the values that paths have kept, if the data is a call of this function.
        Otherwise None.
        """
        call = self.calls.get(function.text)
        if call is None:
            call = self.calls[function.text] = (function.arguments(self.data), {})
        return call

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about it, in words and in fields."""
        to = "" if self.to is None else f"0x{self.to.hex()}"
        function = "creation" if self.to is None else f"0x{self.data[:4].hex()}" if self.data else "none"
        what = "that creates a contract" if self.to is None else f"to {to}, function {function}"
        value, fee = cleaned(self.value), cleaned(self.fee)  # each can have as many digits as a key
        words = (
            f"a transaction of type {self.kind} on chain {self.chain} {what}, with nonce {self.nonce}, "
            f"{value} wei and at most {fee} wei of fee,"
        )
        return words, (
            f"ORDERSIGNER_CHAIN={self.chain}",
            f"ORDERSIGNER_TO={to}",
            f"ORDERSIGNER_NONCE={self.nonce}",
            f"ORDERSIGNER_VALUE={value}",
            f"ORDERSIGNER_FUNCTION={function}",
        )


def read(request: Mapping[str, Any]) -> Transaction:
    """request: has `transaction`, an object with exactly the keys of its type, and perhaps `from`."""
    content = request.get("transaction", MISSING)
    if type(content) is not dict or not content:
        raise mistyped(content, ROOT, dict, wanted=_OBJECT)
    kind = _kind(content.get("type", MISSING))
    if content.keys() != _EXPECTED[kind]:
        _check_keys(content, kind)
    values: dict[str, Any] = {}
    items = b""
    for key in KEYS[kind]:
        values[key], item = _READERS[key](content[key], f"{ROOT}.{key}")
        if kind != LEGACY or key != "chainId":
            items += item
    if kind == DYNAMIC_FEE and values["maxPriorityFeePerGas"] > values["maxFeePerGas"]:
        message = "This is above maxFeePerGas, so no block can have such a transaction."
        raise Refusal.of(f"{ROOT}.maxPriorityFeePerGas", "out_of_range", message)
    if values["to"] is None and not values["data"]:
        message = "With to null this creates a contract, and without data it has no code: its value would be lost."
        raise Refusal.of(f"{ROOT}.data", "empty", message)
    sender = None
    if "from" in content:
        sender = "0x" + address(content["from"], f"{ROOT}.from").hex()
    chain = values["chainId"]
    if len(items) > MAX_SIGNED - 2 * _R_AND_S:  # most are far shorter
        size = len(_bytes(kind, items + integer(_v(kind, chain, 1)) + bytes(_R_AND_S)))
        if size > MAX_SIGNED:
            message = f"This transaction has {size} bytes when it is signed, and at most {MAX_SIGNED} are possible."
            raise Refusal.of(ROOT, "too_many_values", message)
    hashed = _bytes(kind, items + integer(chain) + b"\x80\x80" if kind == LEGACY else items)
    return Transaction(
        keccak_256(hashed),
        kind,
        chain,
        values["nonce"],
        values["maxFeePerGas" if kind == DYNAMIC_FEE else "gasPrice"],
        values["gas"],
        values["to"],
        values["value"],
        values["data"],
        items,
        len(hashed) == _ORDER_SIZE and 1 <= hashed[28] <= 4 and 1 <= hashed[29] <= 2,
        sender,
        {},
    )


def check_signer(transaction: Transaction, signer: str) -> None:
    """signer: 0x and 40 lower-case digits."""
    if transaction.sender is not None and transaction.sender != signer:
        message = "This is not the address of the key that signs."
        raise Refusal.of(f"{ROOT}.from", "mismatch", message)


def response(transaction: Transaction, signature: str) -> Mapping[str, object]:
    """The signed transaction as eth_sendRawTransaction takes it, and its hash."""
    r, s, v = parts(transaction, signature)
    signed = _bytes(transaction.kind, transaction.items + integer(v) + integer(r) + integer(s))
    return {"transaction": "0x" + signed.hex(), "hash": "0x" + keccak_256(signed).hex()}


def parts(transaction: Transaction, signature: str) -> tuple[int, int, int]:
    """r, s, and v as the signed transaction has it: EIP-155's for type 0, the parity for others."""
    parity = int(signature[130:], 16) - 27
    return int(signature[2:66], 16), int(signature[66:130], 16), _v(transaction.kind, transaction.chain, parity)


FORM = Form(read, members={"transaction": dict}, check_signer=check_signer, response=response, recorded=("hash",))


def _bytes(kind: int, items: bytes) -> bytes:
    return _ENVELOPES[kind] + sequence(items)


def _v(kind: int, chain: int, parity: int) -> int:
    """parity: of the y of the signature's point."""
    return 35 + 2 * chain + parity if kind == LEGACY else parity


def _kind(value: object) -> int:
    if value is MISSING or value is None:
        code, is_what = ("missing", "missing") if value is MISSING else ("empty", "null")
        raise Refusal.of(f"{ROOT}.type", code, f"This is {is_what}. {_NO_TYPE}")
    kind = _number(value, f"{ROOT}.type", 0, 2**256 - 1)
    if kind >= len(KEYS):
        raise Refusal.of(f"{ROOT}.type", "not_valid_choice", _TYPES)
    return kind


def _check_keys(content: Mapping[str, object], kind: int) -> None:
    for key in KEYS[kind]:
        if key not in content:
            message = f"This is missing. A transaction of type {kind} has {', '.join(KEYS[kind])}, all of them."
            raise Refusal.of(f"{ROOT}.{key}", "missing", message)
    for key in content:
        if key not in _EXPECTED[kind] and key != "from":
            message = f"Unexpected key. A transaction of type {kind} has {', '.join(KEYS[kind])} and perhaps from."
            raise Refusal.of(f"{ROOT}.{key}", "unexpected", message)


def _number(value: object, path: str, least: int, most: int) -> int:
    try:
        number = value if type(value) is int else read_integer(value)
    except Fault as fault:
        raise fault.refusal(path) from None
    if least <= number <= most:
        return number
    raise negative(path) if number < 0 else out_of_range(path)


# From a member and its path to its value and the RLP of it.
def _integer(least: int, most: int) -> Callable[[object, str], tuple[int, bytes]]:
    def read(value: object, path: str) -> tuple[int, bytes]:
        number = _number(value, path, least, most)
        return number, integer(number)

    return read


def _to(value: object, path: str) -> tuple[bytes | None, bytes]:
    if value is None:
        return None, string(b"")
    to = address(value, path)
    return to, string(to)


def _data(value: object, path: str) -> tuple[bytes, bytes]:
    if type(value) is not str or not value:
        raise mistyped(value, path, str, wanted=f"{HEX}; for no data, 0x")
    content = from_hex(value[2:]) if value[:2] == "0x" else None
    if content is None:
        raise Refusal.of(path, "not_hex", f"This must be {HEX}; for no data, 0x.")
    return content, string(content)


def _access_list(value: object, path: str) -> tuple[None, bytes]:
    if type(value) is not list:
        raise mistyped(value, path, list, wanted=_ACCESS_LIST)
    return None, sequence(b"".join(_entry(entry, f"{path}[{index}]") for index, entry in enumerate(value)))


def _entry(value: object, path: str) -> bytes:
    if type(value) is not dict:
        raise mistyped(value, path, dict, wanted="an object with address and storageKeys")
    contract = address(value.get("address", MISSING), f"{path}.address")
    keys = value.get("storageKeys", MISSING)
    if type(keys) is not list:
        raise mistyped(keys, f"{path}.storageKeys", list, wanted=_STORAGE_KEYS)
    if len(value) != len(_ENTRY):
        unknown = next(key for key in value if key not in _ENTRY)
        raise Refusal.of(f"{path}.{unknown}", "unexpected", "Unexpected key. This has address and storageKeys only.")
    words = b"".join(_storage_key(word, f"{path}.storageKeys[{index}]") for index, word in enumerate(keys))
    return sequence(string(contract) + sequence(words))


def _storage_key(value: object, path: str) -> bytes:
    if type(value) is not str or not value:
        raise mistyped(value, path, str, wanted="a string of 0x and 64 hexadecimal digits")
    try:
        word = hex_bytes(value)
    except Fault as fault:
        raise fault.refusal(path) from None
    if len(word) != 32:
        has = counted(len(word), "byte")
        message = f"This has {has}. It must have 32: 0x and 64 digits, with the zeros at their beginning."
        raise Refusal.of(path, "wrong_length", message)
    return string(word)


_amount = _integer(0, 2**256 - 1)
_READERS: dict[str, Callable[[object, str], tuple[Any, bytes]]] = {
    "chainId": _integer(1, MAX_CHAIN),
    "nonce": _integer(0, 2**64 - 2),  # EIP-2681
    "gasPrice": _amount,
    "maxPriorityFeePerGas": _amount,
    "maxFeePerGas": _amount,
    "gas": _integer(0, 2**64 - 1),
    "to": _to,
    "value": _amount,
    "data": _data,
    "accessList": _access_list,
}
