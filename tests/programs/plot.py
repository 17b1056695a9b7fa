"""Tables and plots of what tests/programs/benchmark.py measured, for docs/trust/performance.rst.

    python tests/programs/plot.py [DIR]   makes them again from the figures in DIR (default: docs/plots)

In: what a run found, which is also in DIR/figures.json. Out: SVG and CSV text by file name. The colors come from the
page's theme, so the plots follow its dark mode; without a page they have their own.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Tuple

SOURCE = Path(__file__).resolve().parents[2]
RESULT = "figures.json"
Found = Mapping[Tuple[str, str], float]  # the number of this release, by row and measure

# Lengths in units of the drawing, which a phone shows at about 330 pixels.
WIDTH = 620
NARROW = 440  # of a plot with much text in it
ROW = 40
LABELS = 205  # room for the names at the left
PANEL = 150  # from the bottom to the top of a panel of lines
PLOT = 290  # from the axis to the right end of the scale; the numbers are further right

STYLE = """
    .plot { --ink: var(--color-foreground-primary, #222); --dim: var(--color-foreground-secondary, #5a5c63);
            --mark: var(--color-brand-primary, #0a4bff); --line: var(--color-background-item, #ccc);
            width: 100%; max-width: 46em; height: auto; font: 15px system-ui }
    .plot.narrow { max-width: 33em }
    @media (prefers-color-scheme: dark) {
      .plot { --ink: var(--color-foreground-primary, #ddd); --dim: var(--color-foreground-secondary, #9ca0a5);
              --mark: var(--color-brand-primary, #3d94ff); --line: var(--color-background-item, #444) } }
    .plot text { fill: var(--ink) } .plot .dim { fill: var(--dim); font-size: 13px } .plot .end { text-anchor: end }
    .plot .middle { text-anchor: middle } .plot .mark { fill: var(--mark) } .plot .other { fill: var(--dim) }
    .plot .light { opacity: 0.55 } .plot .line { stroke: var(--line) }
    .plot .range { stroke: var(--mark); stroke-width: 5 }
    .plot .curve { fill: none; stroke: var(--mark); stroke-width: 3 } .plot .dashed { stroke-dasharray: 7 5 }
    .plot .part { font-weight: bold } .plot .title { font-size: 17px; font-weight: bold }
"""


class Row(NamedTuple):
    """One line of a plot."""

    name: str
    figure: str  # the part of the figures' names that tells this row's apart
    is_daemon: bool = True
    alone: str = "in-process eth-account"  # the figure that it is compared with


ALONE = Row("eth-account, in-process", "in-process eth-account", is_daemon=False)
TRANSACTION = "transaction: in-process eth-account"
TRANSACTIONS = [
    Row("transaction, eth-account", TRANSACTION, is_daemon=False),
    Row("transaction, 1 client", "transaction, held key: pipelining", alone=TRANSACTION),
]
ONE = "one client in lock-step"
CROWDS = [Row(f"{clients} clients", f"{clients} clients") for clients in (8, 32, 128)]
ROWS = [ALONE, Row("1 client, pipelining", "one client pipelining"), *CROWDS, *TRANSACTIONS]
ENTRIES = ", entries on"  # what the names end with where each signature leaves an entry
# How the cost grows: a title, the points of its axis, and the row for each point of each line.
CLIENTS = ("1 client", "8", "32", "128")
BY_CLIENTS = {
    "1 process": [ONE, *(row.figure for row in CROWDS)],
    "2 processes": [f"{name}, two processes" for name in (ONE, *(row.figure for row in CROWDS))],
}
RULES = ("1 rule and key", "50", "190")
BY_RULES = {
    line: [f"{name}, rules and keys: {rules}" for rules in (1, 50, 190)]
    for line, name in (("1 client", "one client pipelining"), ("128 clients", "128 clients"))
}
# The columns of the table of rows.
MEASURES = {
    "rate": "Rate",
    "p50": "p50",
    "p99": "p99, ms",
    "slowest": "Slowest, ms",
    "processor time": "Processor time",
}
CONDITIONS = ("date", "python", "openssl", "coincurve", "keccak", "machine", "runs", "requests")  # what else is told
COMPARED = ("rate", "p50", "processor time")  # with an earlier release


def write(directory: Path, result: dict[str, Any]) -> None:
    """Write the figures, and what is made of them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RESULT).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for file, text in drawn(result).items():
        (directory / file).write_text(text)


def drawn(result: Mapping[str, Any]) -> dict[str, str]:
    """The plots and tables by file name. result: what benchmark.py found, as in figures.json."""
    found = {(each["row"], each["measure"]): each["value"] for each in result["figures"]}
    bare = found["bare signature", "time"] / 1e6
    return {
        "rates.svg": rates(found, bare),
        "latencies.svg": latencies(found, bare),
        "growth.svg": growth(found, bare),
        **tables(result),
    }


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """rows.csv: the rows of clients. against.csv: those that an earlier release has too. others.csv: the rest."""
    rows: dict[str, dict[str, Any]] = {}
    others = [["What", "Figure"], *([name, str(result[name])] for name in CONDITIONS)]
    for each in result["figures"]:
        if each["measure"] in MEASURES:
            rows.setdefault(each["row"], {})[each["measure"]] = each
        else:
            others.append([f"{each['row']}, {each['measure']}", f"{_rounded(each['value'])} {each['unit']}"])
    head = ["What", *MEASURES.values()]
    table = [
        [row, *(_rounded(measures[name]["value"]) if name in measures else "" for name in MEASURES)]
        for row, measures in rows.items()
    ]
    versions = _versions(result)
    others[1:1] = [[f"version {release['version']}, commit", release["commit"]] for release in result["releases"]]
    against = [["What", *(f"{MEASURES[name]}, {version}" for name in COMPARED for version in versions)]]
    for row, measures in rows.items():
        if any(measure["earlier"] is not None for measure in measures.values()):
            values = [measures.get(name, {}).get(which) for name in COMPARED for which in ("value", "earlier")]
            against.append([row, *("" if value is None else _rounded(value) for value in values)])
    return {"rows.csv": _csv([head, *table]), "against.csv": _csv(against), "others.csv": _csv(others)}


def _versions(result: Mapping[str, Any]) -> list[str]:
    """What the releases are called: their versions, and where these are the same, their commits as well."""
    versions = [release["version"] for release in result["releases"]]
    if len(set(versions)) == len(versions):
        return versions
    return [f"{release['version']} ({release['commit'][:7]})" for release in result["releases"]]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def rates(found: Found, bare: float) -> str:
    """Signatures a second, as bars; where both were measured, with and without an entry for each signature."""
    rate = {row: value / bare for (row, measure), value in found.items() if measure == "rate"}
    rows = [row for row in ROWS if row.figure in rate]
    scale = PLOT / max(rate.get(row.figure + ending, 0) for row in rows for ending in ("", ENTRIES))
    drawn = []
    for number, row in enumerate(rows):
        y = 78 + number * ROW
        color = "mark" if row.is_daemon else "other"
        bars = [(color, rate[row.figure] * scale)]
        if row.figure + ENTRIES in rate:
            bars.append((f"{color} light", rate[row.figure + ENTRIES] * scale))
        height = 24 / len(bars)
        for position, (kind, width) in enumerate(bars):
            top = y - 12 + position * height
            drawn.append(f'<rect class="{kind}" x="{LABELS}" y="{top:g}" width="{width:.1f}" height="{height:g}"/>')
        label = _rounded(rate[row.figure])
        if row.is_daemon:
            label += f" ({_rounded(rate[row.figure] / rate[row.alone])}×)"
        drawn.append(_text(LABELS - 10, y + 5, row.name, "end"))
        drawn.append(_text(LABELS + max(width for _, width in bars) + 8, y + 5, label))
    notes = "lighter: with a journal entry for each signature" if any(row.endswith(ENTRIES) for row in rate) else ""
    return _svg("Signatures per second (longer is better)", notes, 78 + len(rows) * ROW, drawn)


def latencies(found: Found, bare: float) -> str:
    """Milliseconds from request to answer on a logarithmic scale: the median, and for several clients up to p99."""
    points: list[tuple[str, float, float | None, bool]] = [
        (ALONE.name, bare / found[ALONE.figure, "rate"] * 1e3, None, False),
        ("1 client", found[ONE, "p50"] * bare * 1e3, None, True),
    ]
    for row in CROWDS:
        points.append((row.name, found[row.figure, "p50"] * bare * 1e3, found[row.figure, "p99"], True))
    values = [value for _, median, slow, _ in points for value in (median, slow) if value is not None]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        return LABELS + (math.log10(value) - low) / (high - low) * PLOT

    bottom = 78 + len(points) * ROW - 16
    drawn = []
    for exponent in range(low, high + 1):
        at = x(10.0**exponent)
        drawn.append(f'<line class="line" x1="{at:.1f}" x2="{at:.1f}" y1="56" y2="{bottom}"/>')
        drawn.append(_text(at, bottom + 18, f"{10.0**exponent:g} ms", "dim middle"))
    for number, (name, median, slow, is_daemon) in enumerate(points):
        y = 78 + number * ROW
        drawn.append(_text(LABELS - 10, y + 5, name, "end"))
        if slow:
            drawn.append(f'<line class="range light" x1="{x(median):.1f}" x2="{x(slow):.1f}" y1="{y}" y2="{y}"/>')
        drawn.append(f'<circle class="{"mark" if is_daemon else "other"}" cx="{x(median):.1f}" cy="{y}" r="7"/>')
        label = _rounded(median) + (f" to {_rounded(slow)}" if slow else "")
        drawn.append(_text(x(slow or median) + 12, y + 5, f"{label} ms"))
    return _svg(
        "Time for one signature (further left is better)",
        "dot: median; bar: up to the 99th percentile",
        bottom + 26,
        drawn,
    )


def growth(found: Found, bare: float) -> str:
    """How rate and cost change with clients, processes, rules and keys: a panel of lines for each."""
    rate = {row: value / bare for (row, measure), value in found.items() if measure == "rate"}
    rate[ONE], rate[f"{ONE}, two processes"] = (
        1 / (found[row, "p50"] * bare) for row in (ONE, f"{ONE}, two processes")
    )
    cost = {row: value for (row, measure), value in found.items() if measure == "processor time"}
    drawn: list[str] = []
    top = 72
    for title, points, lines, values in (
        ("Signatures per second", CLIENTS, BY_CLIENTS, rate),
        ("Processor time of an order, in bare signatures", CLIENTS, BY_CLIENTS, cost),
        ("Processor time of an order for a held key", RULES, BY_RULES, cost),
    ):
        series = {name: [values[row] for row in rows] for name, rows in lines.items()}
        drawn += [_text(0, top, title, "part"), *_panel(top + 18, points, series)]
        top += PANEL + 76
    return _svg("How rate and cost grow", "with clients, processes, rules and keys", top - 26, drawn, NARROW)


def _panel(top: float, points: Sequence[str], lines: Mapping[str, Sequence[float]]) -> list[str]:
    """Lines over points at equal distances, on a linear scale that begins at zero, each with its name and its end."""
    step, most = _step(max(max(values) for values in lines.values()))
    bottom = top + PANEL
    left, right = 56, NARROW - 170
    drawn = []
    for number in range(round(most / step) + 1):
        y = bottom - number * step / most * PANEL
        drawn.append(f'<line class="line" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(_text(left - 8, y + 4, f"{number * step:,g}", "dim end"))
    xs = [left + 20 + (right - left - 40) * number / (len(points) - 1) for number in range(len(points))]
    for x, point in zip(xs, points):
        drawn.append(_text(x, bottom + 20, point, "dim middle"))
    labels = sorted((bottom - values[-1] / most * PANEL, name) for name, values in lines.items())
    for number, values in enumerate(lines.values()):
        kind = "" if number == 0 else " dashed"
        at = [f"{x:.1f},{bottom - value / most * PANEL:.1f}" for x, value in zip(xs, values)]
        drawn.append(f'<polyline class="curve{kind}" points="{" ".join(at)}"/>')
        drawn += [f'<circle class="mark" cx="{x}" cy="{y}" r="5"/>' for x, y in (point.split(",") for point in at)]
    above = -math.inf
    for y, name in labels:
        above = max(y, above + 20)  # so that labels of lines that end together do not overlap
        drawn.append(_text(right + 6, above + 5, f"{name}: {_rounded(lines[name][-1])}"))
    return drawn


def _step(value: float) -> tuple[float, float]:
    """A round distance of grid lines, at most five of them, and the end of the scale, which is not below the value."""
    power = 10.0 ** math.floor(math.log10(value / 5))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 5 >= value)
    return step, step * math.ceil(value / step)


def _svg(title: str, note: str, height: int, drawn: Iterable[str], width: int = WIDTH) -> str:
    name = escape(title)
    kind = "plot" if width == WIDTH else "plot narrow"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" role="img" viewBox="0 0 {width} {height}">'
    body = "\n  ".join([_text(0, 20, title, "title"), _text(0, 40, note, "dim"), *drawn])
    return f"{head}\n  <title>{name}</title>\n  <style>{STYLE}  </style>\n  {body}\n</svg>\n"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _rounded(value: float) -> str:
    """Two significant digits: a benchmark cannot promise more."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


if __name__ == "__main__":
    at = Path(sys.argv[1]) if sys.argv[1:] else SOURCE / "docs/plots"
    write(at, json.loads((at / RESULT).read_text()))
