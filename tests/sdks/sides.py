"""Both sides of a comparison: an SDK with a private key, and with the address of the same key, which a daemon holds."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import eth_account
import pytest
from support.daemon import Daemon, standalone
from support.held import MESSAGES, holding, rule

from ordersigner.account import Account
from ordersigner.sdks.patching import account_of

ALLOWS = "typed = any\nmessages = any\n"


class Sides(NamedTuple):
    """key: 64 digits; address: of the same key, in the case of EIP-55; daemon: holds it."""

    key: str
    address: str
    daemon: Daemon


@contextlib.contextmanager
def both_sides(
    name: str, directory: Path, monkeypatch: pytest.MonkeyPatch, sections: str = "", allows: str = ""
) -> Iterator[Sides]:
    """A daemon that signs typed data and messages, and what the sections of a policy allow, with the key of this name.

    Each test needs a name of its own: adapters keep an account, which knows its daemon, for each address.
    """
    key = hashlib.sha256(name.encode()).hexdigest()
    address = str(eth_account.Account.from_key(key).address)
    policy = MESSAGES + sections + rule("sdks", address, allows=ALLOWS + allows)
    with standalone(directory, *holding(directory, {"one": key}, policy)) as daemon:
        monkeypatch.setenv("ORDERSIGNER_SOCKET", daemon.path)
        account = account_of(address)
        assert account is not None
        with account:
            yield Sides(key, address, daemon)


def accounts(sides: Sides) -> Iterator[Any]:
    """The private key's account, and two ways to write the held key's."""
    yield eth_account.Account.from_key(sides.key)
    yield eth_account.Account.from_key(sides.address)
    with Account(sides.address) as account:
        yield account


def only(values: list[Any]) -> Any:
    """The value of a list of three equal ones."""
    assert len(values) == 3
    assert values[1:] == values[:1] * 2
    return values[0]
