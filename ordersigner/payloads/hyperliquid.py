"""Hyperliquid's L1 actions: turns an action into a 32-byte digest.

In: the decoded JSON object of a request. Out: Action, with the digest and what a policy asks about it. Raises Refusal
at a fault, with its path, such as action.orders[0].p.
Pure: no sockets, no JSON, no keys. Source: hyperliquid-python-sdk, hyperliquid/utils/signing.py.

    data = msgpack(action), nonce (8 bytes), 00 or 01 and the vault's address, nothing or 00 and expiresAfter (8 bytes)

For each signature of a multi-sig user, a list of that user, the outer signer and the action is in place of the action.

The keccak-256 of these bytes is the connectionId of typed data, an Agent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Iterable, Mapping, NamedTuple, Tuple

import msgpack

from ordersigner.keccak import keccak_256
from ordersigner.payloads import typed_values
from ordersigner.payloads.payload import Form
from ordersigner.refusal import MISSING, Refusal, mistyped, negative, not_a_choice, one_of, out_of_range
from ordersigner.text import NOT_UTF_8, entered, utf_8

KEYS = ("action", "nonce", "vaultAddress", "expiresAfter", "network")
SOURCES = {"mainnet": "a", "testnet": "b"}
AGENT_TYPE = "Agent(string source,bytes32 connectionId)"

_DOMAIN_SEPARATOR = keccak_256(
    keccak_256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak_256(b"Exchange")
    + keccak_256(b"1")
    + (1337).to_bytes(32, "big")
    + bytes(32)
)
_AGENTS = {
    network: keccak_256(AGENT_TYPE.encode()) + keccak_256(source.encode()) for network, source in SOURCES.items()
}
# The right value of each member, for people.
_ACTION = 'an object, such as {"type": "order", …}; or, for a multi-sig user, an array of user, outer signer and action'
_AMOUNT = 'a string, as all amounts in an action, such as "1100.5"'
_VAULT = f"{typed_values.ADDRESS}; or null, or left out"
_EXPIRY = "an integer; or null, or left out"
# The members in which actions have orders: several in a list, or one.
_LISTS = {"order": "orders", "batchModify": "modifies", "cancel": "cancels", "cancelByCloid": "cancels"}
_SINGLE = {"modify": "order", "twapOrder": "twap"}
_Link = Tuple[Any, str]  # to a container: the link to the one around it, and the step from there


class Action(NamedTuple):
    """An action. Its content is checked only as far as its hash depends on it. vault: 20 bytes.

    multi_sig: for one of the signatures of a multi-sig user, that user and the signer who sends the action, of 20 bytes
    each. Then a list of both and the action is signed.
    amounts, found: the policy's notes on the action, for all its sections: the decimals of texts, and others by names
    of its own.
    """

    digest: bytes
    action: dict[str, object]
    nonce: int
    vault: bytes | None
    expires_after: int | None
    network: str
    multi_sig: tuple[bytes, bytes] | None
    amounts: dict[str, Decimal]
    found: dict[str, Any]

    def __repr__(self) -> str:
        return f"Action({self.network!r})"

    @property
    def type(self) -> str:
        return "hyperliquid"

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about it, in words and in fields: of several orders the first, and how many there are.

        The content was not checked, so a part that is missing or has another form is left out.
        """
        kind = self.action.get("type")
        name, in_words = entered(kind)
        vault = f"0x{self.vault.hex()}" if self.vault else ""
        words = f"Hyperliquid action {in_words} on {self.network}" + (f" for vault {vault}" if vault else "")
        users = [f"0x{user.hex()}" for user in self.multi_sig or ()]
        words += " for multi-sig user {}, outer signer {}".format(*users) if users else ""
        fields = [
            f"ORDERSIGNER_ACTION={name}",
            f"ORDERSIGNER_NETWORK={self.network}",
            f"ORDERSIGNER_VAULT={vault}",
            *([f"ORDERSIGNER_MULTI_SIG={' '.join(users)}"] if users else []),
        ]
        order, count = _first_order(kind, self.action)
        side, asset = order.get("b"), order.get("a", order.get("asset"))
        if type(side) is bool:
            words += " to buy" if side else " to sell"
            fields.append(f"ORDERSIGNER_SIDE={'buy' if side else 'sell'}")
        for field, before, value in (
            ("SIZE", "", order.get("s")),
            ("ASSET", "of asset ", asset),
            ("PRICE", "at ", order.get("p")),
        ):
            text, in_words = entered(value)
            if in_words:
                words += f" {before}{in_words}"
                fields.append(f"ORDERSIGNER_{field}={text}")
        if count is not None:
            words += f" (first of {count})" if count > 1 else ""
            fields.append(f"ORDERSIGNER_ORDERS={count}")
        return words, tuple(fields)


def read(request: Mapping[str, object]) -> Action:
    """request: has `action`, `nonce` and `network`, and perhaps `vaultAddress` and `expiresAfter`, which may be null.

    For one of the signatures of a multi-sig user, `action` is a list: that user, the outer signer, the action. The
    action's keys keep their order, in which Hyperliquid hashes them too.
    """
    signed = request.get("action", MISSING)
    action, multi_sig = _multi_sig(signed) if type(signed) is list else (signed, None)
    if type(action) is not dict or not action:
        raise mistyped(signed, "action", dict, wanted=_ACTION)
    data = _packed(signed)
    nonce = _integer(request.get("nonce", MISSING), "nonce")
    data += nonce.to_bytes(8, "big")
    vault = expires_after = None
    vault_address = request.get("vaultAddress")
    if vault_address is not None:
        if type(vault_address) is not str or not vault_address:
            raise mistyped(vault_address, "vaultAddress", str, wanted=_VAULT)
        vault = typed_values.address(vault_address, "vaultAddress")
    data += b"\x00" if vault is None else b"\x01" + vault
    if request.get("expiresAfter") is not None:
        expires_after = _integer(request["expiresAfter"], "expiresAfter", wanted=_EXPIRY)
        data += b"\x00" + expires_after.to_bytes(8, "big")
    network = request.get("network", MISSING)
    if type(network) is not str or not network:
        raise mistyped(network, "network", str, wanted=one_of(SOURCES))
    if network not in SOURCES:
        raise not_a_choice(network, "network", SOURCES)
    agent = keccak_256(_AGENTS[network] + keccak_256(data))
    digest = keccak_256(b"\x19\x01" + _DOMAIN_SEPARATOR + agent)
    return Action(digest, action, nonce, vault, expires_after, network, multi_sig, {}, {})


FORM = Form(
    read,
    members={"action": dict},
    optional=("expiresAfter", "network", "nonce", "vaultAddress"),
    also={"action": list},
)


def _multi_sig(signed: list[object]) -> tuple[object, tuple[bytes, bytes] | None]:
    """The action of a list that the signers of a multi-sig user sign, with that user and the outer signer.

    The SDK writes both addresses in lower case. They are hashed as text.
    """
    if len(signed) != 3:
        return None, None
    user, outer_signer = (typed_values.address(signed[at], f"action[{at}]") for at in range(2))
    return signed[2], (user, outer_signer)


def _first_order(kind: object, action: Mapping[str, object]) -> tuple[Mapping[str, object], int | None]:
    """The first order or cancellation in an action, and how many it has; the action itself, if it is about none."""
    if type(kind) is not str or (kind not in _LISTS and kind not in _SINGLE):
        return action, None
    several = action.get(_LISTS[kind]) if kind in _LISTS else [action.get(_SINGLE[kind])]
    if type(several) is not list or not several:
        return {}, 0
    first = several[0]
    if kind == "batchModify" and type(first) is dict:
        first = first.get("order")
    return first if type(first) is dict else {}, len(several)


def _integer(value: object, field: str, wanted: str = "") -> int:
    """An integer of 8 bytes."""
    if type(value) is not int:
        raise mistyped(value, field, int, wanted=wanted)
    if value < 0:
        raise negative(field)
    if value >= 1 << 64:
        raise out_of_range(field)
    return value


def _packed(action: object) -> bytes:
    """msgpack's form of an action, or of a list with one; raises Refusal unless there is exactly one."""
    try:
        data: bytes = msgpack.packb(action)
        # A double, of nine bytes, begins with 0xCB. With single floats it has five, and nothing else changes.
        if b"\xcb" not in data or msgpack.packb(action, use_single_float=True) == data:
            return data
    except (ValueError, OverflowError, RecursionError):
        pass
    raise _fault(action)


def _fault(action: object) -> Refusal:
    """The refusal of what msgpack cannot write, or can write in two forms."""
    containers: list[tuple[_Link, Any]] = [((None, "action"), action)]
    while containers:
        link, container = containers.pop()
        members: Iterable[tuple[Any, Any]]
        step, members = (".{}", container.items()) if type(container) is dict else ("[{}]", enumerate(container))
        for key, value in members:
            if type(key) is str and utf_8(key) is None:
                return Refusal.of(_path(link), *NOT_UTF_8)
            kind = type(value)
            if kind is dict or kind is list:
                containers.append(((link, step.format(key)), value))
            elif kind is str:
                if utf_8(value) is None:
                    return Refusal.of(_path(link, step.format(key)), *NOT_UTF_8)
            elif kind is int:
                if not -1 << 63 <= value < 1 << 64:
                    return out_of_range(_path(link, step.format(key)))
            elif kind is not bool and value is not None:
                # Hyperliquid writes amounts as strings, because a double has no decimal form of its own.
                return mistyped(value, _path(link, step.format(key)), wanted=_AMOUNT)
    return Refusal.of("action", "too_deep", "This action is nested too deeply: msgpack cannot write it.")


def _path(link: _Link | None, last: str = "") -> str:
    """The path of a container, or that of a value in it, to which `last` is the step."""
    steps = [last]
    while link is not None:
        link, step = link
        steps.append(step)
    return "".join(reversed(steps))
