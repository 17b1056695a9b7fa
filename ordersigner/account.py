"""An account like those of eth-account, whose key the daemon holds: for programs and SDKs that take a LocalAccount.

In: typed data, messages and transactions, in all forms that eth-account takes. Out: eth-account's signatures. Raises
what the client raises: SignerError if the daemon refuses, for example because its policy does not allow what is to be
signed. The daemon signs no authorizations and no bare hashes: TypeError, or AttributeError for methods that only serve
that.

It needs neither eth-account nor anything else that is not in the package. pycryptodome, if it is installed, makes its
hashes faster.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Callable, Iterator, Mapping

from ordersigner import client
from ordersigner.client import TIMEOUT, Client
from ordersigner.keccak import keccak_256
from ordersigner.payloads import transactions, typed_data
from ordersigner.refusal import MISSING, Refusal

# The fields of eth-account's EIP712Domain. A domain has some of them, in this order.
DOMAIN_TYPES = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
_ABSENT = (
    "key",
    "encrypt",
    "sign_authorization",
    "unsafe_sign_hash",
    "signHash",
    "signTransaction",
    "privateKey",
    "_private_key",
    "_key_obj",
)
_HASHED = (
    "this message is already hashed, and the daemon signs no hashes: call sign_typed_data(), or call"
    " ordersigner.sdks.install() at the start of the program"
)

_NOT_WHAT_WAS_SENT = "what the daemon signed is not the transaction that was sent to it"

try:
    from hexbytes import HexBytes as _HexBytes
except ImportError:
    _HexBytes = bytes  # type: ignore[misc, assignment]


class HexBytes(_HexBytes):
    """hexbytes.HexBytes, if that library is installed, and otherwise bytes with what callers know from it.

    hex() begins with 0x if that of the library does, as it did before its version 1.
    """

    def to_0x_hex(self) -> str:
        return "0x" + bytes(self).hex()

    def __repr__(self) -> str:
        return f"HexBytes({self.to_0x_hex()!r})"


class SignedMessage:
    """A signature with its parts: message_hash, r, s, v, signature, by name, by index, or as signed["r"].

    Like eth-account's, it equals the tuple of these parts.
    """

    def __init__(self, signature: str, message_hash: Callable[[], bytes]) -> None:
        self.signature = HexBytes.fromhex(signature[2:])
        self.r = int.from_bytes(self.signature[:32], "big")
        self.s = int.from_bytes(self.signature[32:64], "big")
        self.v = self.signature[64]
        self._message_hash = message_hash

    @functools.cached_property
    def message_hash(self) -> HexBytes:
        """The hash that was signed. It is computed when you read it."""
        return HexBytes(self._message_hash())

    @property
    def messageHash(self) -> HexBytes:
        """eth-account's name for it before 0.13."""
        return self.message_hash

    def __iter__(self) -> Iterator[Any]:
        return iter((self.message_hash, self.r, self.s, self.v, self.signature))

    def __getitem__(self, key: int | slice | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else tuple(self)[key]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, (SignedMessage, tuple)) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> Any:
        return SignedMessage, (self.signature.to_0x_hex(), functools.partial(bytes, self.message_hash))

    def __repr__(self) -> str:
        return f"SignedMessage(signature={self.signature!r})"


class SignedTransaction:
    """A signed transaction with its parts: raw_transaction, hash, r, s, v, by name, by index, or as signed["hash"].

    v is that of the transaction: for type 0 EIP-155's, for others the parity, 0 or 1. Like eth-account's, it equals
    the tuple of these parts.
    """

    def __init__(self, raw_transaction: bytes, hash: bytes, r: int, s: int, v: int) -> None:
        self.raw_transaction = HexBytes(raw_transaction)
        self.hash = HexBytes(hash)
        self.r = r
        self.s = s
        self.v = v

    @property
    def rawTransaction(self) -> HexBytes:
        """eth-account's name for it before 0.13."""
        return self.raw_transaction

    def __iter__(self) -> Iterator[Any]:
        return iter((self.raw_transaction, self.hash, self.r, self.s, self.v))

    def __getitem__(self, key: int | slice | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else tuple(self)[key]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, (SignedTransaction, tuple)) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"SignedTransaction(raw_transaction={self.raw_transaction!r})"


class Account:
    """An account that signs with a key that the daemon holds.

    address: the key's address, 40 hexadecimal digits with or without 0x. If some letters are upper and some lower
    case, their case must be that of EIP-55.
    path: as for ordersigner.client.Client, and so is timeout.

    Threads can share it. It can be copied, pickled and sent to a spawned process. Accounts with the same address are
    equal. close() closes its connections; they are made again when they are needed.
    """

    def __init__(self, address: str, path: client.Path | None = None, timeout: float | None = TIMEOUT) -> None:
        self.address = checksummed(address)
        self._client = Client(path, timeout)

    def sign_typed_data(
        self,
        domain_data: Mapping[str, Any] | None = None,
        message_types: Mapping[str, Any] | None = None,
        message_data: Mapping[str, Any] | None = None,
        full_message: Mapping[str, Any] | None = None,
    ) -> SignedMessage:
        """The signature of typed data: of three parts, or of a full message.

        As eth-account does, it derives EIP712Domain from the fields of the domain, and the primary type from the types
        if the full message does not name it. Where eth-account guesses what a value means, the daemon refuses.
        """
        return self._sign_typed_data(completed(domain_data, message_types, message_data, full_message))

    def sign_message(self, signable_message: Any) -> SignedMessage:
        """The signature of text, of bytes, or of the result of eth-account's encode_defunct().

        The result of encode_typed_data() contains only hashes and raises TypeError. After ordersigner.sdks.install() it
        contains the typed data, too, and they are signed. Raises ValueError if eth-account has encoded them in another
        way than the daemon does.
        """
        if isinstance(signable_message, str):
            return self._sign_body(signable_message.encode())
        if isinstance(signable_message, (bytes, bytearray)):
            return self._sign_body(bytes(signable_message))
        try:
            version, header, body = (bytes(getattr(signable_message, name)) for name in ("version", "header", "body"))
        except AttributeError:
            kind = type(signable_message).__name__
            raise TypeError(f"{kind} is no message: pass text, bytes, or what encode_defunct() returns") from None
        if version == b"\x01":
            typed_data = getattr(signable_message, "typed_data", None)
            if typed_data is None:
                raise TypeError(_HASHED)
            try:
                digest = typed_data_hash(typed_data)
            except Refusal:
                digest = None  # the daemon says what is wrong
            if digest not in (None, keccak_256(b"\x19\x01" + header + body)):
                raise ValueError("typed data: eth-account has encoded a value in another way than the daemon would")
            return self._sign_typed_data(typed_data)
        if version != b"E" or header != _header(body):
            raise TypeError("the daemon signs messages of EIP-191's version E only, as encode_defunct() makes them")
        return self._sign_body(body)

    def sign_transaction(self, transaction_dict: Mapping[str, Any], blobs: Any = None) -> SignedTransaction:
        """The signed transaction, ready to be sent; this method sends nothing.

        As eth-account does, it finds out the type from the members if it is not named, and fills in value 0, data 0x
        and an empty access list. The nonce, the gas, its price and chainId must be there, and `to` as well: None or ""
        creates a contract.

        Raises TypeError for blobs and authorizations, and ProtocolError if the daemon signed another transaction than
        the one that it was sent.
        """
        if blobs is not None:
            raise TypeError("blobs: the daemon signs no transactions with blobs")
        fields = transaction_fields(transaction_dict)
        signed = self._client.sign_transaction(self.address, fields)
        sent = json.loads(client.encode(client.transaction_request(self.address, fields)))
        try:
            transaction = transactions.read(sent)
        except Refusal:
            raise client.ProtocolError(_NOT_WHAT_WAS_SENT) from None
        if transactions.response(transaction, signed.signature) != {
            "transaction": signed.transaction,
            "hash": signed.hash,
        }:
            raise client.ProtocolError(_NOT_WHAT_WAS_SENT)
        parts = transactions.parts(transaction, signed.signature)
        return SignedTransaction(bytes.fromhex(signed.transaction[2:]), bytes.fromhex(signed.hash[2:]), *parts)

    def sign_l1_action(
        self,
        action: Mapping[str, Any],
        active_pool: str | None,
        nonce: int,
        expires_after: int | None,
        is_mainnet: bool,
        *,
        leading_zeros: bool = False,
    ) -> dict[str, Any]:
        """r, s and v of a Hyperliquid action, like the function of the same name in Hyperliquid's SDK.

        leading_zeros: write r and s with all their 64 digits, as ccxt does. Hyperliquid's SDK leaves out leading zeros.
        """
        network = "mainnet" if is_mainnet else "testnet"
        signature = self._client.sign_hyperliquid(self.address, action, nonce, active_pool, expires_after, network)
        r, s = "0x" + signature[2:66], "0x" + signature[66:130]
        if not leading_zeros:
            r, s = hex(int(r, 16)), hex(int(s, 16))
        return {"r": r, "s": s, "v": int(signature[130:], 16)}

    @property
    def _address(self) -> str:
        """LocalAccount's name for it, which some SDKs read."""
        return self.address

    def close(self) -> None:
        """Close the connections. They are made again when they are needed."""
        self._client.close()

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return self.address == other.address if isinstance(other, Account) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.address)

    def __getattr__(self, name: str) -> Any:
        if name in _ABSENT:
            raise AttributeError(
                f"{name}: the daemon gives no key away, and signs no hashes and no authorizations; only "
                "sign_typed_data(), sign_message() and sign_transaction()"
            )
        raise AttributeError(f"Account has no attribute {name}")

    def __repr__(self) -> str:
        return f"Account({self.address!r})"

    def _sign_body(self, body: bytes) -> SignedMessage:
        """The signature of a message, as text if people can read it: the daemon's policy has rules for text."""
        text = body.decode("utf-8", "replace")
        if text.encode() == body and all(letter.isprintable() or letter in "\n\t" for letter in text):
            signature = self._client.sign_message(self.address, text)
        else:
            signature = self._client.sign_message(self.address, data=body)
        return SignedMessage(signature, lambda: keccak_256(b"\x19E" + _header(body) + body))

    def _sign_typed_data(self, typed_data: Mapping[str, Any]) -> SignedMessage:
        signature = self._client.sign_typed_data(self.address, typed_data)
        return SignedMessage(signature, lambda: typed_data_hash(typed_data))


def completed(
    domain_data: Mapping[str, Any] | None,
    message_types: Mapping[str, Any] | None,
    message_data: Mapping[str, Any] | None,
    full_message: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Typed data with all its parts, from what eth-account's functions take; raises ValueError where they do."""
    if full_message is None:
        if domain_data is None or message_types is None or message_data is None:
            raise ValueError("pass domain_data, message_types and message_data, or full_message")
        full_message = {"domain": domain_data, "types": message_types, "message": message_data}
    elif not (domain_data is message_types is message_data is None):
        raise ValueError("pass domain_data, message_types and message_data, or full_message, not both")
    domain = full_message["domain"]
    if not DOMAIN_TYPES.keys() >= domain.keys():
        raise ValueError("domain: only name, version, chainId, verifyingContract and salt can be in it")
    types = dict(full_message["types"])
    declared = types.pop("EIP712Domain", None)
    if declared is not None and {field["name"] for field in declared} != domain.keys():
        raise ValueError("types.EIP712Domain: does not have the same fields as the domain")
    # Also if it is declared in another way: that is what eth-account signs, and so what the exchange expects.
    domain_type = [{"name": name, "type": kind} for name, kind in DOMAIN_TYPES.items() if name in domain]
    return {
        "types": {"EIP712Domain": domain_type, **types},
        "primaryType": full_message["primaryType"] if "primaryType" in full_message else _primary_type(types),
        "domain": domain,
        "message": full_message["message"],
    }


def transaction_fields(transaction: Mapping[str, Any]) -> dict[str, Any]:
    """A transaction as the daemon takes it, from what eth-account takes; raises TypeError for other types."""
    for name in ("maxFeePerBlobGas", "blobVersionedHashes", "authorizationList"):
        if name in transaction:
            raise TypeError(f"{name}: the daemon signs no transactions of the types that have this")
    kind: Any = 0
    if "gasPrice" in transaction and "accessList" in transaction:
        kind = 1
    elif "maxFeePerGas" in transaction or "maxPriorityFeePerGas" in transaction:
        kind = 2
    fields = {"type": kind, "value": 0, "data": "0x", **transaction}
    if fields["type"] not in (0, "0", "0x0"):
        fields.setdefault("accessList", [])
    if isinstance(fields.get("accessList"), (list, tuple)):
        fields["accessList"] = [dict(entry) if isinstance(entry, Mapping) else entry for entry in fields["accessList"]]
    if fields.get("to", MISSING) in ("", b""):
        fields["to"] = None
    return fields


def checksummed(address: str) -> str:
    """An address with 0x and the case of EIP-55; raises ValueError, which does not quote it: it may be a key."""
    if not isinstance(address, str):
        raise TypeError(f"address: must be text, not {type(address).__name__}")
    digits = address[2:] if address[:2] == "0x" else address
    if not re.fullmatch("[0-9A-Fa-f]{40}", digits):
        raise ValueError("address: must be 40 hexadecimal digits, with or without 0x")
    hashed = keccak_256(digits.lower().encode()).hex()
    right = "".join(letter.upper() if hashed[i] > "7" else letter for i, letter in enumerate(digits.lower()))
    if digits not in (right, digits.lower(), digits.upper()):
        raise ValueError("address: upper and lower case are not those of EIP-55; check it for a typing error")
    return "0x" + right


def typed_data_hash(completed_data: Mapping[str, Any]) -> bytes:
    """The hash of typed data that the daemon signed: of what was sent to it, bytes in hex."""
    return typed_data.read(json.loads(client.encode({"type": "typed_data", "typed_data": completed_data}))).digest


def _header(body: bytes) -> bytes:
    """What EIP-191 puts between the version E and a message."""
    return b"thereum Signed Message:\n%d" % len(body)


def _primary_type(types: Mapping[str, Any]) -> str:
    """The only type that no other type uses."""
    used = {_element(field["type"]) for name in types for field in types[name] if _element(field["type"]) != name}
    unused = [name for name in types if name not in used]
    if len(unused) != 1:
        raise ValueError("primaryType: cannot be told from the types; name it in full_message")
    return unused[0]


def _element(kind: str) -> str:
    """The type without its array dimensions."""
    return kind.partition("[")[0]
