"""Keys and a policy in files, for a daemon that holds keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from eth_account import Account

# The market of the example order.
MARKET = """
[market LEV/ETH]
base = 0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282 9
quote = 0x0000000000000000000000000000000000000000 18
"""
# Any message that can be allowed: text that people see as it is, and hashes.
MESSAGES = """
[message any]
pattern = [\\t-\U0010ffff]*
hashes = yes
"""
ORDERS = "accounts = any\nmarkets = LEV/ETH\n"


def rule(name: str, *addresses: str, user: int | None = None, allows: str = ORDERS) -> str:
    """With the keys of these addresses, for the user that runs the tests or another.

    allows: settings. The default is any order in that market.
    """
    user = os.geteuid() if user is None else user
    return f"[rule {name}]\nkey = {' '.join(addresses)}\nusers = {user}\n{allows}"


def address(key: str) -> str:
    return str(Account.from_key(key).address).lower()


def holding(directory: Path, keys: Mapping[str, str], policy: str) -> list[str]:
    """Options of a daemon that holds these keys, by the names of their files, under this policy."""
    (directory / "keys").mkdir(mode=0o700)
    for name, key in keys.items():
        (directory / "keys" / name).touch(0o600)
        (directory / "keys" / name).write_text(key)
    (directory / "policy").write_text(policy)
    return ["--keys", str(directory / "keys"), "--policy", str(directory / "policy")]
