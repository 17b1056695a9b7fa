"""The results of eth-account with private keys, as lines, which must be the same with install() and without.

With an argument, ordersigner.sdks.install() comes first. Each line names a call and what came of it.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
import pickle
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

INSTALLED = len(sys.argv) > 1
if INSTALLED:
    from ordersigner import sdks

    sdks.install()

from eth_account.signers.local import LocalAccount  # noqa: E402
from eth_keys.datatypes import PrivateKey  # noqa: E402

Account: Any = importlib.import_module("eth_account").Account
messages: Any = importlib.import_module("eth_account.messages")

KEYS: list[Any] = [64 * "1", "0x" + 64 * "2", bytes(31) + b"\1", 5, PrivateKey(32 * b"\3"), bytearray(32 * b"\4")]
NOT_KEYS: list[Any] = [
    "",
    "0x",
    63 * "1",
    66 * "1",
    bytes(31),
    bytes(33),
    None,
    64 * "g",
    0,
    -1,
    [1],
    39 * "1",
    41 * "1",
]
CHANCE = random.Random(5)
TYPES = ["uint256", "int8", "address", "bytes32", "bytes", "string", "bool", "uint8[]", "string[2]", "Inner", "Inner[]"]
VALUES: list[Any] = [
    0,
    1,
    -1,
    2**256 - 1,
    2**256,
    "0x" + 40 * "1",
    32 * b"\1",
    b"",
    "text",
    "",
    True,
    None,
    "true",
    [1, 2],
]
VALUES += [["a", "b"], {"a": 1}, [{"a": 1}, {"a": 2, "extra": 3}], [], 1.5, "1", "0x", {"b": 1}]


def typed_data() -> dict[str, Any]:
    fields = [{"name": f"f{i}", "type": CHANCE.choice(TYPES)} for i in range(CHANCE.randrange(4))]
    inner = {"Inner": [{"name": "a", "type": "uint256"}]}
    used = any("Inner" in field["type"] for field in fields) or CHANCE.random() < 0.1
    domain = {"name": "Shop", "version": "1", "chainId": 5, "verifyingContract": "0x" + 40 * "2", "salt": 32 * b"\7"}
    domain = dict(CHANCE.sample(sorted(domain.items()), CHANCE.randrange(6)))
    kinds = {
        "name": "string",
        "version": "string",
        "chainId": "uint256",
        "verifyingContract": "address",
        "salt": "bytes32",
    }
    declared = [{"name": name, "type": kinds[name]} for name in kinds if name in domain]
    return {
        "types": {"EIP712Domain": declared, "Outer": fields, **(inner if used else {})},
        "primaryType": "Outer",
        "domain": domain,
        "message": {field["name"]: fitting(field["type"]) for field in fields} | CHANCE.choice([{}, {"extra": 1}]),
    }


def fitting(kind: str) -> Any:
    fits: dict[str, list[Any]] = {
        "uint256": [0, 1, 2**256 - 1],
        "int8": [-128, 127],
        "address": ["0x" + 40 * "1"],
        "bytes32": [32 * b"\1"],
        "bytes": [b"", b"ab"],
        "string": ["", "a €"],
        "bool": [True, False],
        "uint8[]": [[], [1, 2]],
        "string[2]": [["a", ""]],
        "Inner": [{"a": 1}],
        "Inner[]": [[], [{"a": 1}, {"a": 2, "extra": 3}]],
    }
    return CHANCE.choice(fits[kind] if CHANCE.random() < 0.9 else VALUES)


def outcome(call: Callable[[], Any]) -> str:
    try:
        value = call()
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
    kind = type(value)
    account = f" {value.address} {value.key!r}" if hasattr(value, "key") else ""
    return f"{kind.__module__}.{kind.__qualname__} {value!r}{account}" if not account else f"{kind}{account}"


def calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    account, named = Account, {"private_key": KEYS[0]}
    for key, owner in itertools.product(KEYS + NOT_KEYS, (account, account())):
        yield f"from_key({key!r})", lambda owner=owner, key=key: owner.from_key(key)  # type: ignore[misc]
        for name in ("signHash", "unsafe_sign_hash", "_sign_hash"):
            yield name, lambda owner=owner, key=key, name=name: getattr(owner, name)(32 * b"\5", key)  # type: ignore[misc]
        message = messages.encode_defunct(text="a")
        yield "sign_message", lambda owner=owner, key=key, message=message: owner.sign_message(message, key)  # type: ignore[misc]
    yield "from_key()", later(account.from_key)
    yield "from_key(, )", lambda: account.from_key(KEYS[0], 5)
    yield "from_key(private_key=)", lambda: account.from_key(**named)
    yield "from_key(key=)", lambda: account.from_key(key=KEYS[0])
    yield "sign_message()", lambda: account.sign_message(messages.encode_defunct(b"a"))
    yield "encrypt", lambda: sorted(account.encrypt(KEYS[0], "pw", iterations=2))
    yield "encrypt", lambda: account.encrypt("", "pw", iterations=2)
    yield "decrypt", lambda: account.decrypt(account.encrypt(KEYS[0], "pw", iterations=2), "pw")
    authorization = {"chainId": 1, "address": "0x" + 40 * "1", "nonce": 1}
    yield "sign_authorization", lambda: account.sign_authorization(authorization, KEYS[0])
    transaction = {"to": "0x" + 40 * "1", "gas": 1, "gasPrice": 1, "nonce": 0, "value": 1, "chainId": 1, "data": b"ab"}
    dynamic = {**transaction, "maxFeePerGas": 2, "maxPriorityFeePerGas": 1}
    del dynamic["gasPrice"]
    for fields in (
        transaction,
        dynamic,
        {**transaction, "accessList": []},
        {"to": 5},
        5,
        {**transaction, "from": "0x1"},
    ):
        yield "sign_transaction", lambda fields=fields: account.sign_transaction(fields, KEYS[0])  # type: ignore[misc]
        yield "its own", lambda fields=fields: account.from_key(KEYS[0]).sign_transaction(fields)  # type: ignore[misc]
    for body in (b"", b"a", "a €".encode(), 300 * b"\xff"):
        yield f"message {body!r}", lambda body=body: account.sign_message(messages.encode_defunct(body), KEYS[1])  # type: ignore[misc]
        yield (
            "recovered",
            lambda body=body: account.recover_message(  # type: ignore[misc]
                messages.encode_defunct(body),
                signature=account.sign_message(messages.encode_defunct(body), **named).signature,
            ),
        )
    for _ in range(400):
        data = typed_data()
        parts = data["domain"], {k: v for k, v in data["types"].items() if k != "EIP712Domain"}, data["message"]
        for encode in ("encode_typed_data", "encode_structured_data"):
            function = getattr(messages, encode, None)
            if function is not None:
                given: list[Any] = [((), {"full_message": data}), (parts, {})] if "typed" in encode else [((data,), {})]
                for arguments, keywords in given:
                    yield f"{encode}{arguments}{keywords}", later(encoded, function, arguments, keywords)
        if hasattr(account, "sign_typed_data"):
            yield "sign_typed_data", later(account.sign_typed_data, KEYS[1], full_message=data)
            yield "sign_typed_data", later(account.sign_typed_data, KEYS[1], *parts)


def later(function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[], Any]:
    return lambda: function(*arguments, **named)


def encoded(function: Any, arguments: Any, named: Any) -> Any:
    """Encoded messages, and everything that a program can do with them."""
    message = function(*arguments, **named)
    plain = messages.SignableMessage(*message)
    assert isinstance(message, messages.SignableMessage)
    assert message == plain == tuple(message)
    assert hash(message) == hash(plain)
    assert len({message, plain}) == 1
    assert str(message) == repr(message) == repr(plain)
    assert message._replace(header=b"") == plain._replace(header=b"")
    assert message._asdict() == plain._asdict()
    assert message._fields == plain._fields
    for again in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert type(again) is type(message)
        assert again == message
    assert messages._hash_eip191_message(message) == messages._hash_eip191_message(plain)
    return [tuple(message), Account.sign_message(message, KEYS[0])]


def looks() -> Iterator[str]:
    """What a program that inspects eth-account sees."""
    yield str(sorted(vars(Account)))
    for name in sorted(vars(Account)):
        if not name.startswith("__"):
            value = getattr(Account, name)
            yield f"{name} {type(vars(Account)[name])} {callable(value) and inspect.signature(value)}"
            yield str(getattr(value, "__doc__", None))
            yield str([getattr(value, part, None) for part in ("__name__", "__qualname__", "__module__")])
    for name in ("encode_typed_data", "encode_structured_data"):
        value = getattr(messages, name, None)
        yield f"{name} {value and inspect.signature(value)} {value and value.__name__} {value and value.__doc__}"
    account = Account.from_key(KEYS[0])
    yield f"{type(account)} {type(account).__mro__} {isinstance(account, LocalAccount)}"
    yield str(isinstance(5, LocalAccount))


def main() -> None:
    warnings.simplefilter("ignore")
    for line in looks():
        print(line)
    for name, call in calls():
        print(name, outcome(call))


if __name__ == "__main__":
    main()
