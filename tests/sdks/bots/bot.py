"""The common part of the bots here: python NAME.py KEY-OR-ADDRESS.

A bot signs ORDERS orders through an SDK. Then it says so and waits until its input ends. Like careless bots, it has its
setting as an argument, in its environment and in ~/.env. It logs all that is logged to ~/bot.log, prints its settings,
and writes what it has signed to ~/orders.

A bot's module has one function, which main() gets. In: the key or the address, and the URL of the venue. Out: a
function that signs an order by its number and returns something that can be compared.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from ordersigner import sdks

ORDERS = 1000
NOW = 1_800_000_000_000  # milliseconds: the time of all bots, so that two sign the same
OTHER = "0x" + 40 * "5"

sdks.install()


def main(start: Callable[[str, str], Callable[[int], Any]]) -> None:
    os.chdir(os.path.expanduser("~"))
    logging.basicConfig(filename="bot.log", level=logging.DEBUG)
    with open(".env") as file:
        settings = dict(line.rstrip("\n").split("=", 1) for line in file)
    logging.info("settings: %s", settings)
    print("starting with", *sys.argv[1:], settings, flush=True)
    sign = start(settings["SIGNER"], settings["URL"])
    with open("orders", "w") as orders:
        for number in range(ORDERS):
            print(sign(number), file=orders, flush=True)
        print("signed", flush=True)
        sys.stdin.read()
