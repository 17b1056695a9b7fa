"""Services that hold keys under a policy."""

from __future__ import annotations

from collections.abc import Sequence

from oracles import oracle

from ordersigner.peer import Peer
from ordersigner.signing.conversation import Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring
from support.daemon import EXAMPLE
from support.keys import held
from support.policies import policy_of

REQUEST = EXAMPLE["request"]

KEY = REQUEST["signer"]

ADDRESS = oracle.signer_address(KEY)

OTHER_KEY, LOST_KEY = "11" * 32, "22" * 32

ALICE, BOB = Peer(pid=1, uid=1001, gid=1001), Peer(pid=2, uid=1002, gid=1002, groups=(50, 51))


def rule(name: str, **settings: str) -> str:
    lines = {"key": ADDRESS, "users": "1001", "accounts": "any", "markets": "any", **settings}
    return f"[rule {name}]\n" + "".join(f"{word.replace('_', '-')} = {value}\n" for word, value in lines.items())


def service_with(*rules: str, wire_keys: bool = True, entries: list[dict[str, str]] | None = None) -> Service:
    """A service that holds two keys, under a policy of these rules."""
    ring = Keyring({key.address: key for key in (held(KEY), held(OTHER_KEY))})

    def send(entry: Sequence[str], wait: bool) -> None:
        if entries is not None:
            entries.append(dict(field.split("=", 1) for field in entry))

    return Service(Journal(LEVELS["info"], send), ring, policy_of("".join(rules)), wire_keys=wire_keys)
