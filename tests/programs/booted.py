"""The command line of a program that works on a booted machine with the package installed.

In: the program's description, its work, and the users that the machine has for it. Prints what the work returns.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.daemon import SOURCE
from system.conftest import SUITES, build, install
from system.machine import Machine, Unavailable, make_tree


def run(description: str, work: Callable[[Machine, float], str], *users: str) -> None:
    """work: takes the machine and the seconds that it may take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)s")
    parser.add_argument("--suite", choices=SUITES, default="trixie", help="default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "dist"
        build(SOURCE, arguments.suite, output)
        packages = [
            next((output / arguments.suite).glob(f"{name}_*.deb")) for name in ("ordersigner", "ordersigner-keys")
        ]
        machine = Machine(Path(directory) / "tree")
        try:
            make_tree(arguments.suite, machine.tree, packages, [])
            machine.boot()
            for user in users:
                machine.run("useradd", "--create-home", user)
            install(machine, packages[0])
            print(work(machine, arguments.minutes * 60))
        except Unavailable as error:
            raise SystemExit(str(error)) from None
        finally:
            machine.power_off()
