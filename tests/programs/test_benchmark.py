"""The benchmark runs, prints what it measured, and plots it. No test depends on how fast the machine is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.daemon import SOURCE, Daemon
from support.promises import is_ci

from ordersigner import __version__
from programs import benchmark, benchmarked, hostile, libraries, plot

PLOTS = SOURCE / "docs/plots"
MEASURES = "rate|p50|p99|slowest|processor time|time|longest time|work|at the start|after crowds|at most"
FIGURE = re.compile(rf"(.+), ({MEASURES}) +([0-9.e+-]+) .+")

pytestmark = pytest.mark.once


def measured(*arguments: str) -> str:
    """What the benchmark prints, in its shortest form."""
    command = [sys.executable, str(SOURCE / "tests/programs/benchmark.py"), "--requests", "5", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def figures_of(table: str) -> dict[tuple[str, str], float]:
    """Each figure of this release, by row and measure."""
    found = [match for match in map(FIGURE.fullmatch, table.splitlines()) if match]
    figures = {(match[1], match[2]): float(match[3]) for match in found}
    assert len(figures) == len(found), "two figures have the same name"
    return figures


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A release of the same code under another version, which holds no keys."""
    shutil.copytree(SOURCE / "ordersigner", tmp_path / "earlier/ordersigner")
    for file, pattern, by in (
        ("__init__.py", r'__version__ = ".*"', '__version__ = "0.9.0"'),
        ("daemon/arguments.py", '"--keys"', '"--other", dest="keys"'),
    ):
        path = tmp_path / "earlier/ordersigner" / file
        text, count = re.subn(pattern, by, path.read_text())
        assert count, file
        path.write_text(text)
    return tmp_path / "earlier"


def test_a_daemon_that_runs_is_measured(daemon: Daemon) -> None:
    figures = figures_of(measured("--connect", daemon.path, "--runs", "2"))
    assert all(value > 0 for value in figures.values()), figures
    assert {("eth-account, order", "rate"), ("128 clients", "slowest"), ("memory, keys sent", "at most")} <= set(
        figures
    )
    rows = {row.name for row in next(iter(benchmarked.setups())).rows}
    assert {row for row, measure in figures if measure == "processor time"} == rows


def test_the_processor_time_is_that_of_the_daemon_and_not_of_its_clients() -> None:
    release = benchmark.Release.at(SOURCE)
    with benchmark.running(release, benchmarked.Setup([], processes=2)) as daemon:
        assert len(set(daemon.processes)) == 2
        before = daemon.processor_seconds()
        libraries.timed(lambda: sum(range(100_000)), 50)
        idle = daemon.processor_seconds() - before
        with benchmark.connected(daemon.path) as connection:
            benchmark.in_lock_step(daemon.path, [connection], benchmark.LINES, 200)
        assert daemon.processor_seconds() - before - idle > idle


def test_an_earlier_release_takes_turns_and_what_it_cannot_do_is_left_out_with_a_word(earlier: Path) -> None:
    table = measured(
        "--against", str(earlier), "--only", "^(one client pipelining|8 clients|held key, a (rate|total))$"
    )
    assert f"{__version__} " in table
    assert "0.9.0" in table
    compared = {line.rpartition(", ")[0]: "ratio" in line for line in table.splitlines() if FIGURE.fullmatch(line)}
    assert (compared["one client pipelining"], compared["8 clients"], compared["held key, a total"]) == (
        True,
        True,
        False,
    )
    (left_out,) = (line for line in table.splitlines() if line.startswith("not for the earlier release"))
    assert "unrecognized arguments: --keys" in left_out
    assert left_out.endswith(": held key, a rate; held key, a total")


def test_a_release_is_a_checkout_or_an_environment(earlier: Path, tmp_path: Path) -> None:
    assert benchmark.Release.at(earlier).version() == "0.9.0"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").touch()
    (tmp_path / "bin/ordersignerd").touch()
    assert benchmark.Release.at(tmp_path).command == [str(tmp_path / "bin/ordersignerd")]
    with pytest.raises(SystemExit, match="neither"):
        benchmark.Release.at(tmp_path / "elsewhere")


def test_one_command_writes_what_the_page_of_figures_shows(earlier: Path, tmp_path: Path) -> None:
    plots = tmp_path / "plots"
    if shutil.which("npm") is None and not is_ci():
        pytest.skip("needs npm and node")
    measured("--against", str(earlier), "--docs", str(plots), "--crowd", "20")
    result = json.loads((plots / plot.RESULT).read_text())
    names = [(each["row"], each["measure"]) for each in result["figures"]]
    assert len(names) == len(set(names))
    rows = {row.name for setup in benchmarked.setups() for row in setup.rows}
    assert rows | {"floor of one client in lock-step"} <= {row for row, _ in names}
    assert [release["version"] for release in result["releases"]] == [__version__, "0.9.0"]
    assert result["draft"] is True
    assert "**A draft, from a short run:**" in (plots / "numbers.txt").read_text()
    assert {file.name for file in plots.iterdir()} == {plot.RESULT, *plot.drawn(result)}
    for name, rows in (
        ("rates.svg", {"1 client, 200 requests in flight", "8 clients", "32 clients", "128 clients"}),
        ("latencies.svg", {"eth-account, in the program itself", "1 client", "8 clients", "32 clients", "128 clients"}),
        ("hostile.svg", set(hostile.KINDS) - {"orders"}),
        ("libraries.svg", {"eth-account", "ethers", "viem", "ordersigner, one request at a time"}),
        ("growth.svg", {"1 client", "8", "32", "128", "1 rule and key", "50", "190"}),
    ):
        texts = [element.text for element in ElementTree.parse(plots / name).findall(".//{*}text")]
        assert rows <= set(texts), name


def test_the_plots_and_tables_of_the_page_are_those_of_its_figures() -> None:
    drawn = plot.drawn(json.loads((PLOTS / plot.RESULT).read_text()))
    assert {file.name for file in PLOTS.iterdir()} == {plot.RESULT, *drawn}
    for name, text in drawn.items():
        assert (PLOTS / name).read_text() == text, f"run tests/programs/plot.py: {name}"


@pytest.mark.parametrize("name", sorted(path.name for path in PLOTS.glob("*.svg")))
def test_a_plot_can_be_read_on_a_phone(name: str) -> None:
    """A page of 360 pixels shows it at 328. No text is below 10 pixels there, or below the drawing."""
    text = (PLOTS / name).read_text()
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', text)[0])
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", text)]
    assert len(sizes) > 3
    assert min(sizes) * 328 / width >= 10
    ((top, drawn),) = re.findall(r'<g transform="translate\(0 (\d+)\)">(.+)</g>', text, re.DOTALL)
    assert max(float(y) for y in re.findall(r'<text [^>]*y="([\d.]+)"', drawn)) + float(top) <= height - 3


def test_no_sentence_of_the_page_says_a_figure_that_another_run_would_make_wrong() -> None:
    """Figures are substitutions, which a run writes. Numbers are only those of how it measures."""
    page = (SOURCE / "docs/trust/performance.rst").read_text()
    text = re.sub(r"\|[^|]+\||``.+?``|::\n\n( .*\n)+", "FIGURE", page.partition("\nAll figures\n")[0])
    measures = {"128", "200", "190", "65,536", "1"}  # clients, requests in flight, rules, bytes, the line of a plot
    assert set(re.findall(r"(?<![\w-])\d[\d.,]*\b", text)) <= measures
    assert not re.search(r"\b(faster|slower|more|fewer|less|twice|half) than\b(?! next to ordinary| FIGURE)", text)


def test_a_library_that_signs_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"viem": {libraries.TYPED: [0.001, "0x00"]}}
    ended = subprocess.CompletedProcess([], 0, json.dumps(wrong).encode())
    monkeypatch.setattr(libraries, "modules", lambda: PLOTS)
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    monkeypatch.setattr("subprocess.run", lambda *command, **options: ended)
    with pytest.raises(libraries.Wrong, match="viem signs 0x00"):
        libraries.javascript(1)
