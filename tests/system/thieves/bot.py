"""A trading bot: bot.py COUNT [KEY-OR-ADDRESS]. It signs COUNT orders, prints "signed", and waits until its input ends.

Its settings are lines of NAME=VALUE in ~/.env: KEY, with which it signs by eth-account; or WIRE_KEY, which it sends to
the daemon with each order; or ADDRESS, of a key that the daemon holds. As many bots do, it puts them into its
environment, keeps them in an open file, and writes what it was started with to the journal.
"""

from __future__ import annotations

import ctypes
import os
import sys
import syslog
import tempfile
from types import SimpleNamespace
from typing import Any

from ordersigner.account import Account
from ordersigner.client import Client, SignerError
from system.thieves.venue import Venue

# Debian lets a user's processes trace each other. The kernel's Yama, which other systems have, must be told so.
SET_PTRACER, ANY = 0x59616D61, 2**64 - 1


def account(settings: dict[str, str]) -> Any:
    """What signs, with the methods of an account of eth-account."""
    if "KEY" in settings:
        import eth_account

        return eth_account.Account.from_key(settings["KEY"])
    if "WIRE_KEY" in settings:
        client = Client()

        def sign_message(message: Any) -> Any:
            signature = client.sign_message(settings["WIRE_KEY"], data=message.body)
            return SimpleNamespace(signature=bytes.fromhex(signature[2:]))

        return SimpleNamespace(address="", sign_message=sign_message)
    return Account(settings["ADDRESS"])


def main() -> None:
    ctypes.CDLL(None).prctl(SET_PTRACER, ctypes.c_ulong(ANY))
    os.chdir(os.path.expanduser("~"))
    with open(".env") as file:
        settings = dict(line.rstrip("\n").split("=", 1) for line in file)
    os.environ.update(settings)
    with tempfile.TemporaryFile("w+") as state:
        state.write(repr(settings))
        state.flush()
        syslog.syslog(f"starting with {sys.argv[2:]}")
        venue = Venue(account(settings), settings.get("KEY", ""))
        for number in range(int(sys.argv[1])):
            try:
                venue.sign("order", params=number)
            except SignerError:  # a bot goes on
                pass
        print("signed", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
