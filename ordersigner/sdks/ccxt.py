"""ccxt, ccxt.async_support and ccxt.pro: "privateKey" takes the address of a held key.

In: what an exchange of ccxt signs: typed data, messages, and Hyperliquid's actions. Out: signatures as ccxt writes
them. Raises errors that are both ccxt's and the client's: PermissionDenied for what the policy does not allow,
ExchangeNotAvailable without a daemon, NotSupported and BareHash for what is neither typed data nor a message.

ccxt hashes before it signs. The data that each thread hashed last is kept until ccxt asks for a signature, and is
signed only if its hash is the one that ccxt gives. An action of Hyperliquid is signed as a whole and never hashed here.
"""

from __future__ import annotations

import functools
import re
import threading
from typing import Any, Callable, NamedTuple

from ordersigner import client
from ordersigner.account import Account, completed, typed_data_hash
from ordersigner.sdks import derive, patching
from ordersigner.sdks.patching import BareHash, account_of, copied, replace

_is_nearly_an_address = re.compile("(?:0[xX])?[0-9A-Fa-f]{38,42}").fullmatch  # ccxt takes any digits for a key
_MESSAGE = b"\x19Ethereum Signed Message:\n"
_BARE = (
    "this exchange signs a hash that is neither of typed data nor of a message. The daemon could not tell what such a"
    " hash stands for, so privateKey cannot be an address here"
)
_OTHER_KEY = (
    "this exchange does not sign with an Ethereum key here, and the daemon holds no other kind: privateKey cannot be an"
    " address"
)
# Functions that take a key of another kind, by their parameters up to the key.
_OF_OTHER_KEYS = {
    "starknet_sign": ("msg_hash", "pri"),
    "extended_starknet_sign": ("msg_hash", "pri"),
    "eddsa": ("request", "secret"),
    "base58_to_binary": ("s",),
    "retrieve_dydx_credentials": ("self", "privateKey"),
}


class _Signable(NamedTuple):
    """digest: in hex; sign: what has the daemon sign it."""

    digest: str
    sign: Callable[[Account], Any]


class _Last(threading.local):
    """The data that this thread encoded and hashed last. ccxt waits for nothing between that and the signature."""

    encoding: bytes | None = None
    typed_data: tuple[Any, Any, Any] | None = None
    packed: bytes | None = None
    signable: _Signable | None = None


_last = _Last()


def _base(module: Any) -> None:
    # The class that both Exchange and the asynchronous Exchange are made of.
    exchange = next((owner for owner in module.Exchange.__mro__ if "ecdsa" in vars(owner)), module.Exchange)
    replace(exchange, "ecdsa", _ecdsa, ("request", "secret", "algorithm", "hash"))
    replace(exchange, "eth_encode_structured_data", _encode, ("domain", "messageTypes", "message"))
    replace(exchange, "eth_abi_encode", _pack, ("types", "args"))
    replace(exchange, "hash", _hash, ("request", "algorithm", "digest"))
    replace(exchange, "eth_get_address_from_private_key", _address, ("private_key",))
    for name, parameters in _OF_OTHER_KEYS.items():
        replace(exchange, name, functools.partial(_refusing, len(parameters) - 1, parameters[-1]), parameters)


def _encode(original: Any) -> Any:
    @functools.wraps(original.__func__)
    def eth_encode_structured_data(domain: Any, messageTypes: Any, message: Any) -> Any:
        encoding = original.__func__(domain, messageTypes, message)
        _last.encoding, _last.typed_data = encoding, tuple(map(copied, (domain, messageTypes, message)))
        return encoding

    return staticmethod(eth_encode_structured_data)


def _pack(original: Any) -> Any:
    @functools.wraps(original.__func__)
    def eth_abi_encode(types: Any, args: Any) -> Any:
        _last.packed = original.__func__(types, args)
        return _last.packed

    return staticmethod(eth_abi_encode)


def _hash(original: Any) -> Any:
    @functools.wraps(original.__func__)
    def hash(request: Any, algorithm: Any = "md5", digest: Any = "hex") -> Any:
        hashed = original.__func__(request, algorithm, digest)
        if algorithm == "keccak" and digest == "hex" and request[:1] == b"\x19":
            if request == _last.encoding and _last.typed_data is not None:
                domain, types, message = _last.typed_data
                _last.signable = _Signable(hashed, lambda account: account.sign_typed_data(domain, types, message))
            elif request.startswith(_MESSAGE):
                _last.signable = _Signable(hashed, lambda account: account.sign_message(_body(request)))
        return hashed

    return staticmethod(hash)


def _body(message: bytes) -> bytes:
    """The text of a message with EIP-191's header, which ends with the text's length.

    A text may begin with digits. So this tries each length that could be meant, and one of them fits.
    """
    rest = message[len(_MESSAGE) :]
    for digits in range(1, len(rest) + 1):
        if rest[:digits] == b"%d" % (len(rest) - digits):
            return rest[digits:]
    raise _as_ccxts(BareHash(_BARE))


def _ecdsa(original: Any) -> Any:
    @functools.wraps(original.__func__)
    def ecdsa(request: Any, secret: Any, algorithm: Any = "p256", hash: Any = None, fixed_length: Any = False) -> Any:
        signable, _last.signable = _last.signable, None
        account = _account(secret)
        if account is None:
            return original.__func__(request, secret, algorithm, hash, fixed_length)
        if algorithm != "secp256k1" or hash is not None or signable is None or signable.digest != request:
            raise _as_ccxts(BareHash(_BARE))
        try:
            signed = signable.sign(account)
        except client.Error as error:
            raise _as_ccxts(error) from error
        return {"r": f"{signed.r:064x}", "s": f"{signed.s:064x}", "v": signed.v - 27}

    return staticmethod(ecdsa)


def _address(original: Any) -> Any:
    @functools.wraps(original.__func__)
    def eth_get_address_from_private_key(private_key: Any) -> Any:
        account = _account(private_key)
        return original.__func__(private_key) if account is None else account.address.lower()

    return staticmethod(eth_get_address_from_private_key)


def _refusing(at: int, name: str, original: Any) -> Any:
    """The function, but it refuses an address as its argument number `at`: it would take the digits for a key."""
    function = getattr(original, "__func__", original)

    @functools.wraps(function)
    def refuse(*arguments: Any, **named: Any) -> Any:
        key = arguments[at] if at < len(arguments) else named.get(name)
        if account_of(key) is not None:
            raise _as_ccxts(BareHash(_OTHER_KEY))
        return function(*arguments, **named)

    return staticmethod(refuse) if isinstance(original, staticmethod) else refuse


def _hyperliquid(module: Any) -> None:
    replace(module.hyperliquid, "sign_l1_action", _action, ("self", "action", "nonce", "vaultAdress", "expiresAfter"))


def _action(original: Any) -> Any:
    @functools.wraps(original)
    def sign_l1_action(self: Any, action: Any, nonce: Any, vaultAdress: Any = None, expiresAfter: Any = None) -> Any:
        account = _account(self.privateKey)
        if account is None:
            return original(self, action, nonce, vaultAdress, expiresAfter)
        vault = None if vaultAdress is None else "0x" + self.remove0x_prefix(vaultAdress)
        mainnet = not self.safe_bool(self.options, "sandboxMode", False)
        try:
            return account.sign_l1_action(action, vault, nonce, expiresAfter, mainnet, leading_zeros=True)
        except client.Error as error:
            raise _as_ccxts(error) from error

    return sign_l1_action


def _derive(module: Any) -> None:
    replace(module.derive, "sign_order", _order, ("self", "order", "privateKey"))


def _order(original: Any) -> Any:
    @functools.wraps(original)
    def sign_order(self: Any, order: Any, privateKey: Any) -> Any:
        if account_of(privateKey) is not None:
            _last.signable = _derive_action(self, order)
        return original(self, order, privateKey)

    return sign_order


def _derive_action(exchange: Any, order: Any) -> _Signable:
    """What ccxt has hashed, put together again. If ccxt hashes something else, the digests differ."""
    _, subaccount, nonce, module, _, expiry, owner, signer = order
    domain = derive.domain(11155111 if exchange.safe_bool(exchange.options, "sandboxMode", False) else 1)
    values = (subaccount, nonce, module, _last.packed, expiry, owner, signer)
    message = dict(zip((field["name"] for field in derive.TYPES["Action"]), values))
    digest = typed_data_hash(completed(domain, derive.TYPES, message, None)).hex()
    return _Signable(digest, lambda account: account.sign_typed_data(domain, derive.TYPES, message))


def _account(key: Any) -> Account | None:
    try:
        account = account_of(key)
        if account is None and isinstance(key, str) and _is_nearly_an_address("".join(key.split())):
            raise ValueError("privateKey: this looks like an address, which has 40 digits after 0x, and no spaces")
        return account
    except ValueError as error:  # or the case of its letters is not that of EIP-55
        raise _as_ccxts(error) from error


def _as_ccxts(error: Exception) -> Exception:
    """The same error as one of ccxt's, which bots know how to handle."""
    from ccxt.base import errors

    kind = errors.ExchangeError
    if isinstance(error, BareHash):
        kind = errors.NotSupported
    elif isinstance(error, ValueError):
        kind = errors.AuthenticationError
    elif isinstance(error, client.Unavailable):
        kind = errors.ExchangeNotAvailable
    elif isinstance(error, client.SignerError):
        kind = {"PermissionError": errors.PermissionDenied, "ValueError": errors.BadRequest}.get(error.type, kind)
    both = type(kind.__name__, (kind, type(error)), {"__module__": kind.__module__})
    raised: Exception = both(*error.args)
    return raised


SDKS = (
    patching.Sdk(
        "ccxt",
        ("4.5.90",),
        {
            "ccxt.base.exchange": _base,
            "ccxt.hyperliquid": _hyperliquid,
            "ccxt.async_support.hyperliquid": _hyperliquid,
            "ccxt.derive": _derive,
            "ccxt.async_support.derive": _derive,
        },
    ),
)
