"""An account as eth-account makes them, whose key the daemon holds: for programs and SDKs that take a LocalAccount.

In: typed data and messages, in all forms that eth-account takes. Out: eth-account's signatures. Raises what the client
raises: SignerError if the daemon refuses, for example because its policy does not allow what is to be signed. The
daemon signs no transactions and no bare hashes: TypeError, or AttributeError for methods that only serve that.

Nothing but the standard library and ordersigner.client is needed, so eth-account is not either.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Callable, Iterator, Mapping, NamedTuple

from ordersigner.client import TIMEOUT, Client

# eth-account's EIP712Domain: those of these fields that the domain has, in this order.
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
    "sign_transaction",
    "sign_authorization",
    "unsafe_sign_hash",
    "signHash",
    "signTransaction",
)
_HASHED = (
    "this message is already hashed, and the daemon signs no hashes: call sign_typed_data(), or let the SDK's module"
    " use passing_typed_data(encode_typed_data)"
)


class HexBytes(bytes):
    """Bytes with what callers know from hexbytes.HexBytes."""

    def to_0x_hex(self) -> str:
        return "0x" + self.hex()

    def __repr__(self) -> str:
        return f"HexBytes({self.to_0x_hex()!r})"


class SignedMessage:
    """A signature with its parts: message_hash, r, s, v, signature, by name, by index, or as signed["r"]."""

    def __init__(self, signature: str, message_hash: Callable[[], bytes]) -> None:
        self.signature = HexBytes.fromhex(signature[2:])
        self.r = int.from_bytes(self.signature[:32], "big")
        self.s = int.from_bytes(self.signature[32:64], "big")
        self.v = self.signature[64]
        self._message_hash = message_hash

    @functools.cached_property
    def message_hash(self) -> HexBytes:
        """What was signed. It is computed only here, in Python, which takes some milliseconds."""
        return HexBytes(self._message_hash())

    @property
    def messageHash(self) -> HexBytes:
        """eth-account's name for it before 0.13."""
        return self.message_hash

    def __iter__(self) -> Iterator[Any]:
        return iter((self.message_hash, self.r, self.s, self.v, self.signature))

    def __getitem__(self, key: int | slice | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else tuple(self)[key]

    def __repr__(self) -> str:
        return f"SignedMessage(signature={self.signature!r})"


class TypedMessage(NamedTuple):
    """eth-account's SignableMessage of typed data, together with the typed data."""

    version: bytes
    header: bytes
    body: bytes
    typed_data: Mapping[str, Any]


class Account:
    """An account that signs with a key that the daemon holds.

    address: the key's address, 40 hexadecimal digits with or without 0x. If some letters are upper and some lower
    case, their case must be that of EIP-55.
    path, timeout: as for ordersigner.client.Client.

    Threads can share it. close() closes its connections; they are made again when they are needed.
    """

    def __init__(self, address: str, path: str | None = None, timeout: float | None = TIMEOUT) -> None:
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

        As eth-account does, this takes EIP712Domain from the fields that the domain has, and the primary type from the
        types if the full message does not name it. Where eth-account guesses what a value means, the daemon refuses.
        """
        return self._sign_typed_data(completed(domain_data, message_types, message_data, full_message))

    def sign_message(self, signable_message: Any) -> SignedMessage:
        """The signature of what eth-account's encode_defunct() returns, or passing_typed_data()'s function.

        Raises TypeError for what encode_typed_data() returns otherwise: it holds only hashes of the typed data.
        """
        if isinstance(signable_message, TypedMessage):
            return self._sign_typed_data(signable_message.typed_data)
        version, header, body = (
            bytes(part) for part in (signable_message.version, signable_message.header, signable_message.body)
        )
        if version == b"\x01":
            raise TypeError(_HASHED)
        if version != b"E" or header != b"thereum Signed Message:\n%d" % len(body):
            raise TypeError("the daemon signs messages of EIP-191's version E only, as encode_defunct() makes them")
        # eth-account has made bytes of text. The daemon's policy has rules for text, so it gets text if there is any.
        text = body.decode("utf-8", "replace")
        if text.encode() == body and all(letter.isprintable() or letter in "\n\t" for letter in text):
            signature = self._client.sign_message(self.address, text)
        else:
            signature = self._client.sign_message(self.address, data=body)
        return SignedMessage(signature, lambda: keccak_256(b"\x19" + version + header + body))

    def sign_l1_action(
        self,
        action: Mapping[str, Any],
        active_pool: str | None,
        nonce: int,
        expires_after: int | None,
        is_mainnet: bool,
    ) -> dict[str, Any]:
        """r, s and v of an action, as the function of the same name in Hyperliquid's SDK returns them."""
        network = "mainnet" if is_mainnet else "testnet"
        signature = self._client.sign_hyperliquid(self.address, action, nonce, active_pool, expires_after, network)
        return {"r": hex(int(signature[2:66], 16)), "s": hex(int(signature[66:130], 16)), "v": int(signature[130:], 16)}

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in _ABSENT:
            raise AttributeError(
                f"{name}: the daemon gives no key away, and signs no transactions and no hashes; only "
                "sign_typed_data() and sign_message()"
            )
        raise AttributeError(f"Account has no attribute {name}")

    def __repr__(self) -> str:
        return f"Account({self.address!r})"

    def _sign_typed_data(self, typed_data: Mapping[str, Any]) -> SignedMessage:
        signature = self._client.sign_typed_data(self.address, typed_data)
        return SignedMessage(signature, lambda: typed_data_hash(typed_data))


def passing_typed_data(encode_typed_data: Callable[..., Any]) -> Callable[..., TypedMessage]:
    """eth-account's encode_typed_data(), but an Account can sign what it returns. Other accounts still can.

    For an SDK that calls account.sign_message(encode_typed_data(...)): this function takes the place of the name
    encode_typed_data in the SDK's module.
    """

    @functools.wraps(encode_typed_data)
    def encode(
        domain_data: Mapping[str, Any] | None = None,
        message_types: Mapping[str, Any] | None = None,
        message_data: Mapping[str, Any] | None = None,
        full_message: Mapping[str, Any] | None = None,
    ) -> TypedMessage:
        encoded = encode_typed_data(domain_data, message_types, message_data, full_message)
        typed_data = completed(domain_data, message_types, message_data, full_message)
        return TypedMessage(encoded.version, encoded.header, encoded.body, typed_data)

    return encode


def passing_actions(sign_l1_action: Callable[..., Any]) -> Callable[..., Any]:
    """sign_l1_action() of Hyperliquid's SDK, but it passes an Account the whole action. For others nothing changes.

    The SDK's own hashes the action first. The daemon cannot tell what such a hash stands for, and so neither can the
    rules of its policy.
    """

    @functools.wraps(sign_l1_action)
    def sign(wallet: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(wallet, Account):
            return wallet.sign_l1_action(*arguments, **named)
        return sign_l1_action(wallet, *arguments, **named)

    return sign


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


def checksummed(address: str) -> str:
    """An address with 0x and the case of EIP-55; raises ValueError, which does not quote it: it may be a key."""
    digits = address[2:] if address[:2] == "0x" else address
    if not re.fullmatch("[0-9A-Fa-f]{40}", digits):
        raise ValueError("address: must be 40 hexadecimal digits, with or without 0x")
    hashed = keccak_256(digits.lower().encode()).hex()
    right = "".join(letter.upper() if hashed[i] > "7" else letter for i, letter in enumerate(digits.lower()))
    if digits not in (right, digits.lower(), digits.upper()):
        raise ValueError("address: upper and lower case are not those of EIP-55; check it for a typing error")
    return "0x" + right


def typed_data_hash(typed_data: Mapping[str, Any]) -> bytes:
    """The hash of typed data that the daemon signed, so it is valid."""
    types = typed_data["types"]
    domain = _struct_hash(types, "EIP712Domain", typed_data["domain"])
    return keccak_256(b"\x19\x01" + domain + _struct_hash(types, typed_data["primaryType"], typed_data["message"]))


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


def _struct_hash(types: Mapping[str, Any], name: str, value: Mapping[str, Any]) -> bytes:
    encoded = [_encoded(types, field["type"], value[field["name"]]) for field in types[name]]
    return keccak_256(keccak_256(_encode_type(types, name).encode()) + b"".join(encoded))


def _encode_type(types: Mapping[str, Any], name: str) -> str:
    found = {name}
    left = [name]
    while left:
        new = {_element(field["type"]) for field in types[left.pop()]} & types.keys() - found
        found |= new
        left.extend(new)
    return "".join(
        f"{struct}({','.join(field['type'] + ' ' + field['name'] for field in types[struct])})"
        for struct in (name, *sorted(found - {name}))
    )


def _encoded(types: Mapping[str, Any], kind: str, value: Any) -> bytes:
    """The 32 bytes that stand for a value."""
    if kind.endswith("]"):
        return keccak_256(b"".join(_encoded(types, kind.rpartition("[")[0], item) for item in value))
    if kind in types:
        return _struct_hash(types, kind, value)
    if kind == "string":
        return keccak_256(value.encode())
    if kind == "bytes":
        return keccak_256(_bytes(value))
    if kind.startswith("bytes"):
        return _bytes(value).ljust(32, b"\0")
    if kind == "address":
        return _bytes(value).rjust(32, b"\0")
    number = int(value, 16 if value.startswith("0x") else 10) if isinstance(value, str) else int(value)
    return (number % 2**256).to_bytes(32, "big")  # two's complement


def _bytes(value: str | bytes) -> bytes:
    return bytes.fromhex(value[2:] if value[:2] == "0x" else value) if isinstance(value, str) else bytes(value)


_ROTATIONS = (
    *(0, 1, 62, 28, 27),
    *(36, 44, 6, 55, 20),
    *(3, 10, 43, 25, 39),
    *(41, 45, 15, 21, 8),
    *(18, 2, 61, 56, 14),
)
_RATE = 136  # bytes


def keccak_256(data: bytes) -> bytes:
    """Ethereum's hash, in Python alone: hashlib has it only with OpenSSL 3.2 or later."""
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % _RATE)
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE):
        for index in range(_RATE // 8):
            lanes[index] ^= int.from_bytes(padded[start + 8 * index : start + 8 * index + 8], "little")
        _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permute(lanes: list[int]) -> None:
    """Keccak-f[1600], as the Keccak reference defines it: lane (x, y) is lanes[x + 5 * y]."""
    for constant in _ROUND_CONSTANTS:
        columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        parities = [columns[x - 1] ^ _rotated(columns[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * 25
        for index in range(25):
            y, x = divmod(index, 5)
            moved[y + 5 * ((2 * x + 3 * y) % 5)] = _rotated(lanes[index] ^ parities[x], _ROTATIONS[index])
        for index in range(25):
            row, x = index - index % 5, index % 5
            lanes[index] = moved[index] ^ (~moved[row + (x + 1) % 5] & moved[row + (x + 2) % 5])
        lanes[0] ^= constant


def _rotated(lane: int, bits: int) -> int:
    return ((lane << bits) | (lane >> (64 - bits))) & 0xFFFFFFFFFFFFFFFF


def _round_constants() -> Iterator[int]:
    """24 constants: the bits 2**j - 1 of each come from a linear feedback shift register."""
    register = 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << (2**j - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        yield constant


_ROUND_CONSTANTS = tuple(_round_constants())
