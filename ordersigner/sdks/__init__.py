"""Exchanges' SDKs with keys that the daemon holds: the address of a held key is taken where a private key was.

    from ordersigner import sdks

    sdks.install()

Call install() once, before an SDK is imported or after. Whatever takes a private key then also takes an address that
`ordersigner signers` lists: 40 hexadecimal digits, with or without 0x. Private keys, which have 64, work as before. An
SDK that is not installed is left out, and none is imported before the program imports it.

Raises Moved, from install() or from the import of the SDK, if a version of an SDK does not have what is replaced in it.
Where an SDK signs a bare hash, what signs raises BareHash: the daemon could not tell what such a hash stands for.

There is one file for each SDK. It says what of it is replaced, and by what.
"""

from __future__ import annotations

import importlib

from ordersigner.sdks import patching
from ordersigner.sdks.patching import BareHash, Moved, Replaced

__all__ = ["BareHash", "Moved", "Replaced", "install", "replaced"]

# The files of this folder that have adapters. Each has SDKS, a tuple of patching.Sdk.
FILES: tuple[str, ...] = ("eth_account", "ccxt", "cow", "derive", "hummingbot", "hyperliquid", "polymarket", "safe")


def install() -> None:
    """Let SDKs take the address of a held key where they take a private key. Further calls change nothing.

    An SDK that is not installed is left out. None is imported before the program imports it. Raises :exc:`Moved`, here
    or at the import of the SDK, if a version of an SDK does not have a part that is replaced.
    """
    moved = None
    for name in FILES:
        for sdk in importlib.import_module(f"{__name__}.{name}").SDKS:
            try:
                patching.watch(sdk)
            except Moved as error:  # the program may be able to do without this SDK, but not without the others
                moved = moved or error
    if moved is not None:
        raise moved


def replaced() -> list[Replaced]:
    """The parts that were replaced so far in the SDKs that were imported. The logger ordersigner.sdks names each."""
    return list(patching.done)
