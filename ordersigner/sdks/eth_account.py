"""eth-account, which most SDKs and web3.py sign with: Account takes the address of a held key where it takes a key.

Account.from_key(address) gives an ordersigner.account.Account, which is an instance of LocalAccount for isinstance().
Account.sign_message(), sign_typed_data() and sign_transaction() have the daemon sign. Whatever else takes a private key
raises BareHash or TypeError for an address.

What encode_typed_data() and encode_structured_data() return stays a SignableMessage, and also has the typed data: the
daemon has to know what it signs, and a SignableMessage has only hashes.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any, Callable, Mapping

from ordersigner.account import Account, completed
from ordersigner.sdks import patching

_NAMES = ("domain_data", "message_types", "message_data", "full_message")


def _local(module: Any) -> None:
    module.LocalAccount.register(Account)


def _account(module: Any) -> None:
    account = module.Account
    parse = "_parse_private_key" if hasattr(account, "_parse_private_key") else "_parsePrivateKey"  # before 0.13
    serve: dict[str, Callable[..., Any]] = {
        "from_key": lambda held: held,
        "sign_message": Account.sign_message,
        "sign_transaction": Account.sign_transaction,
        "_sign_hash": _no_hash,
        "encrypt": _no_key,
        parse: _no_key,  # so nothing that takes a key takes an address for one
    }
    in_some_versions: dict[str, Callable[..., Any]] = {
        "sign_typed_data": Account.sign_typed_data,
        "unsafe_sign_hash": _no_hash,
        "signHash": _no_hash,
        "sign_authorization": _no_authorization,
    }
    serve.update({name: value for name, value in in_some_versions.items() if hasattr(account, name)})
    for name, method in serve.items():
        patching.replace(account, name, functools.partial(_taking_addresses, method))


def _taking_addresses(serve: Callable[..., Any], original: Any) -> Any:
    """A method of the class or of an object, for which serve() stands in if its private key is an address."""
    function = original.__func__ if isinstance(original, classmethod) else original.method
    names = list(inspect.signature(function).parameters)
    key_name = "key" if "key" in names else "private_key"
    at = names.index(key_name)

    @functools.wraps(function)
    def method(*arguments: Any, **named: Any) -> Any:
        account = patching.account_of(named.get(key_name, arguments[at] if at < len(arguments) else None))
        if account is None:
            return function(*arguments, **named)
        named.pop(key_name, None)
        return serve(account, *arguments[1:at], *arguments[at + 1 :], **named)

    if isinstance(original, classmethod):
        return classmethod(method)
    original.method = method  # in place, so that it holds for what is bound already
    return original


def _no_hash(*_: Any, **__: Any) -> Any:
    raise patching.BareHash(
        "the daemon signs no hash with a key that it holds, because it could not tell what the hash stands for: use a"
        " method that takes the message, the typed data or the transaction itself"
    )


def _no_authorization(*_: Any, **__: Any) -> Any:
    raise TypeError("the daemon signs no authorizations with a key that it holds")


def _no_key(*_: Any, **__: Any) -> Any:
    raise TypeError("this needs the private key itself, and it was given the address of a key that the daemon holds")


def _messages(module: Any) -> None:
    if hasattr(module, "encode_typed_data") or not hasattr(module, "encode_structured_data"):
        patching.replace(module, "encode_typed_data", _keeping_typed_data, _NAMES)
    if hasattr(module, "encode_structured_data"):  # before 0.13; before 0.9 there is no other
        patching.replace(module, "encode_structured_data", _keeping_structured_data, ["primitive", "hexstr", "text"])


def _keeping_typed_data(original: Any) -> Any:
    @functools.wraps(original)
    def encode_typed_data(*arguments: Any, **named: Any) -> Any:
        message = original(*arguments, **named)
        return _with(message, lambda: completed(**{**dict.fromkeys(_NAMES), **dict(zip(_NAMES, arguments)), **named}))

    return encode_typed_data


def _keeping_structured_data(original: Any) -> Any:
    @functools.wraps(original)
    def encode_structured_data(primitive: Any = None, **named: Any) -> Any:
        message = original(primitive, **named)
        return _with(message, lambda: _declared(primitive, **named))

    return encode_structured_data


def _declared(primitive: Any, hexstr: str | None = None, text: str | None = None) -> dict[str, Any]:
    """Typed data as encode_structured_data() takes them, without what it ignores. It hashes the domain as declared."""
    if hexstr is not None:
        primitive = bytes.fromhex(hexstr[2:] if hexstr[:2] in ("0x", "0X") else hexstr)
    data = primitive if isinstance(primitive, Mapping) else json.loads(primitive if text is None else text)
    domain = {field["name"]: data["domain"][field["name"]] for field in data["types"]["EIP712Domain"]}
    return {**{name: data[name] for name in ("types", "primaryType", "message")}, "domain": domain}


def _with(message: Any, typed_data: Callable[[], Any]) -> Any:
    """The message, together with the typed data as they are now."""
    try:
        return _again(type(message), tuple(message), patching.copied(typed_data()))
    except (ValueError, TypeError, LookupError, AttributeError):
        return message  # eth-account takes them in a form that is its own; the daemon would not


def _again(kind: type, parts: tuple[bytes, ...], typed_data: Any) -> Any:
    message = _kept(kind)(*parts)
    message.typed_data = typed_data
    return message


@functools.lru_cache(maxsize=None)
def _kept(kind: type) -> type:
    """A SignableMessage that has typed_data. It equals one that has the same parts and no typed data."""

    def reduce(self: Any) -> Any:
        return _again, (kind, tuple(self), getattr(self, "typed_data", None))

    return type(kind.__name__, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduce})


SDKS = (
    patching.Sdk(
        "eth-account",
        ("0.8.0", "0.10.0", "0.11.3", "0.13.7", "0.14.0"),
        {"eth_account.messages": _messages, "eth_account.signers.local": _local, "eth_account.account": _account},
    ),
)
