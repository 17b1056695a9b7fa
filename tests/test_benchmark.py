"""The benchmark runs, and says what it measured. What it measured is nobody's business here."""

from __future__ import annotations

import re
import subprocess
import sys

from daemon import SOURCE, Daemon


def test_every_figure_has_a_name_a_number_and_a_unit(daemon: Daemon) -> None:
    command = [sys.executable, str(SOURCE / "tests/benchmark.py"), "--connect", daemon.path, "--requests", "20"]
    result = subprocess.run([*command, "--runs", "2"], stdout=subprocess.PIPE, check=True, text=True)
    figures = [re.fullmatch(r"(.{58}) *([0-9.e+-]+) ([a-zµ].+)", line) for line in result.stdout.splitlines()]
    assert all(figure is not None and float(figure[2]) > 0 for figure in figures), result.stdout
    names = [figure[1].strip() for figure in figures if figure is not None]
    assert len(set(names)) == len(names)
    assert {"in-process eth-account", "one client pipelining", "128 clients, slowest"} <= set(names)
