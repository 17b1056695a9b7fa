"""The benchmark runs, prints what it measured, and plots it. No test depends on how fast the machine is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from support.daemon import SOURCE, Daemon

from programs import benchmark, plot


def measured(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(SOURCE / "tests/programs/benchmark.py"),
        "--connect",
        daemon.path,
        "--requests",
        "20",
    ]
    return subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True, text=True)


def test_every_figure_has_a_name_a_number_and_a_unit(daemon: Daemon) -> None:
    result = measured(daemon, "--runs", "2")
    figures = [re.fullmatch(r"(.{58}) *([0-9.e+-]+) ([a-zµ].+)", line) for line in result.stdout.splitlines()]
    assert all(figure is not None and float(figure[2]) > 0 for figure in figures), result.stdout
    names = [figure[1].strip() for figure in figures if figure is not None]
    assert len(set(names)) == len(names)
    assert {"in-process eth-account", "one client pipelining", "128 clients, slowest"} <= set(names)


def test_a_plot_has_a_row_for_eth_account_and_for_each_number_of_clients(daemon: Daemon, tmp_path: Path) -> None:
    measured(daemon, "--plot", str(tmp_path / "plots"))
    for name, one_client in (("rates.svg", "1 client, pipelining"), ("latencies.svg", "1 client")):
        texts = [element.text for element in ElementTree.parse(tmp_path / "plots" / name).findall(".//{*}text")]
        rows = {"eth-account, in-process", one_client, "8 clients", "32 clients", "128 clients"}
        assert rows <= set(texts), name


def test_transactions_are_measured_and_plotted_next_to_eth_account() -> None:
    figures = benchmark.Figures(bare=20e-6)
    benchmark.transactions(figures, 20)
    keys, kinds = ("key sent", "held key"), ("lock-step, p50", "pipelining")
    through = [f"transaction, {key}: {kind}" for key in keys for kind in kinds]
    assert list(figures.found)[1:] == ["transaction: in-process eth-account", *through]
    found = {**figures.found, "in-process eth-account": (0.1, "of the bare rate")}
    texts = [element.text for element in ElementTree.fromstring(plot.rates(found, 20e-6)).findall(".//{*}text")]
    assert {"transaction, eth-account", "transaction, 1 client"} <= set(texts)


def test_held_keys_are_measured_next_to_keys_that_clients_send() -> None:
    figures = benchmark.Figures(bare=20e-6)
    benchmark.held_keys(figures, 20)
    kinds = ("lock-step, p50", "pipelining", "a connection for each request, p50")
    assert list(figures.found)[1:] == [f"{key}: {kind}" for key in ("key sent", "held key") for kind in kinds]


def test_what_limits_add_is_measured() -> None:
    figures = benchmark.Figures(bare=20e-6)
    benchmark.limits(figures, 20)
    assert {"more if rules can be frozen", "more if they have a total", "more among 190 rules"} <= figures.found.keys()
    assert all(unit == "µs" for _, unit in figures.found.values())
