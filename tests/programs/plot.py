"""Tables, plots and numbers of what tests/programs/benchmark.py measured, for docs/trust/performance.rst.

    python tests/programs/plot.py [DIR]   makes them again from the figures in DIR (default: docs/plots)

In: what a run found, which is also in DIR/figures.json. Out: the texts of files by their names: SVG, CSV, and the
numbers that the page's sentences contain. The colors come from the page's theme, so the plots follow its dark mode;
without a page they have their own.
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

# The names of rows that benchmark.py measures for this module.
ALONE = "libsecp256k1 alone"
HOSTILE = "next to hostile clients: "  # and the kind
ORDINARY = "next to ordinary clients"
COSTLY = "longest work: "  # and the kind of line

# Lengths in units of the drawing. A phone shows WIDTH at 328 pixels, so no text is smaller than SMALLEST.
WIDTH = 360
SMALLEST = 11.5
ROW = 42  # of a name with its bar below it
BAR = 240  # the longest one; its number is at its right
LINE = 19  # of a name with its bar next to it
LABELS = 200  # room for such names
PANEL = 150  # from the bottom to the top of a panel of lines

STYLE = f"""
    .plot {{ --ink: var(--color-foreground-primary, #222); --dim: var(--color-foreground-secondary, #5a5c63);
            --mark: var(--color-brand-primary, #0a4bff); --line: var(--color-background-item, #ccc);
            --paper: var(--color-background-primary, #fff);
            display: block; width: 100%; max-width: 29em; height: auto; margin: 1em 0 2em; font: 14px system-ui }}
    @media (prefers-color-scheme: dark) {{
      .plot {{ --ink: var(--color-foreground-primary, #ddd); --dim: var(--color-foreground-secondary, #9ca0a5);
              --mark: var(--color-brand-primary, #3d94ff); --line: var(--color-background-item, #444);
              --paper: var(--color-background-primary, #131416) }} }}
    .plot text {{ fill: var(--ink) }} .plot .dim {{ fill: var(--dim); font-size: 12.5px }}
    .plot .over {{ paint-order: stroke; stroke: var(--paper); stroke-width: 5px }}
    .plot .end {{ text-anchor: end }} .plot .middle {{ text-anchor: middle }}
    .plot .dense {{ font-size: {SMALLEST}px }}
    .plot .mark {{ fill: var(--mark) }} .plot .other {{ fill: var(--dim) }} .plot .light {{ opacity: 0.55 }}
    .plot .line {{ stroke: var(--line) }} .plot .limit {{ stroke: var(--ink); stroke-width: 1.5 }}
    .plot .range {{ stroke: var(--mark); stroke-width: 5 }}
    .plot .curve {{ fill: none; stroke: var(--mark); stroke-width: 3 }} .plot .dashed {{ stroke-dasharray: 7 5 }}
    .plot .part {{ font-weight: bold }} .plot .title {{ font-size: 16px; font-weight: bold }}
"""


class Bar(NamedTuple):
    """A row of a plot, and the figure that it shows."""

    name: str
    figure: str
    is_daemon: bool = True


ETH_ACCOUNT = Bar("eth-account, in the program itself", "eth-account, order", is_daemon=False)
ONE, PIPELINING = "one client in lock-step", "one client pipelining"
CROWDS = [Bar(f"{clients} clients", f"{clients} clients") for clients in (8, 32, 128)]
TWO = ", two processes"  # what the names end with where two processes serve the clients
ENTRIES = ", entries on"  # what the names end with where each signature leaves an entry
PARTS = {  # of the plot of libraries: title, and what the names of rows begin and end with
    "Typed data (a CoW order)": ("CoW order", "typed data"),
    "Transaction (an ERC-20 approval)": ("transaction", "transaction"),
}
LIBRARIES = ("eth-account without coincurve", "ethers", "viem", "eth-account")
# How the cost grows: the points of an axis, and the row for each point of each line.
CLIENTS = ("1 client", "8", "32", "128")
BY_CLIENTS = {
    "1 process": [ONE, *(row.figure for row in CROWDS)],
    "2 processes": [f"{name}{TWO}" for name in (ONE, *(row.figure for row in CROWDS))],
}
RULES = ("1 rule and key", "50", "190")
BY_RULES = {
    line: [f"{name}, rules and keys: {rules}" for rules in (1, 50, 190)]
    for line, name in (("1 client", PIPELINING), ("128 clients", "128 clients"))
}
# The table of the page: a row's name, and the figures that have its rate and its latency.
TABLE = [
    ("Order", PIPELINING, ONE),
    *(
        (f"{kind[0].upper()}{kind[1:]}, held key", f"{kind}, held key: pipelining", f"{kind}, held key: lock-step")
        for kind in ("order", "CoW order", "Hyperliquid order", "message", "transaction")
    ),
    ("Order, one connection each", *["a connection for each request"] * 2),
    *((f"{row.name}{ending}", *[f"{row.figure}{ending}"] * 2) for ending in ("", ENTRIES, TWO) for row in CROWDS),
]
# The columns of the table of all rows: measure, whether it is a multiple of libsecp256k1's, and the unit in the file.
MEASURES = {
    "rate": "of libsecp256k1 alone",
    "p50": "of libsecp256k1 alone",
    "p99": "ms",
    "slowest": "ms",
    "processor time": "of libsecp256k1 alone",
}
CONDITIONS = ("date", "machine", "python", "openssl", "keccak", "runs", "requests", "hostile clients")  # to tell, too
COMPARED = {"rate": "Rate", "p50": "p50", "processor time": "Processor time"}  # with an earlier release


def write(directory: Path, result: dict[str, Any]) -> None:
    """Write the figures, and what is made of them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RESULT).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for file, text in drawn(result).items():
        (directory / file).write_text(text)


def drawn(result: Mapping[str, Any]) -> dict[str, str]:
    """Plots, tables and numbers by file name. result: what benchmark.py found, as in figures.json."""
    found = {(each["row"], each["measure"]): each["value"] for each in result["figures"]}
    return {
        "rates.svg": rates(found),
        "latencies.svg": latencies(found),
        "hostile.svg": hostile(found, result["hostile clients"]),
        "libraries.svg": libraries(found),
        "growth.svg": growth(found),
        "summary.csv": summary(found),
        **tables(result, found),
        "numbers.txt": numbers(result, found),
    }


# What was measured, in units that people use. A figure is a multiple of what libsecp256k1 alone took at that moment;
# times the median of that in the whole run it is a time that can be compared with the others.


def _per_second(found: Found, row: str) -> float:
    return found[row, "rate"] / (found[ALONE, "time"] / 1e6)


def _milliseconds(found: Found, row: str) -> float:
    """At the median."""
    return found[row, "p50"] * found[ALONE, "time"] / 1e3


def _slowdown(found: Found, row: str) -> float:
    """How many times longer a client waits next to hostile clients, with its own key or a held one: the longer."""
    return max(found[row, "own p50"], found[row, "held p50"])


# Tables


def summary(found: Found) -> str:
    """The table of the page."""
    table = [["What", "Per second", "Median, ms", "Ratio"]]
    for name, rate, latency in TABLE:
        numbers = (_per_second(found, rate), _milliseconds(found, latency), found[rate, "rate"])
        table.append([name, *map(_rounded, numbers)])
    table.append([ALONE, _rounded(1e6 / found[ALONE, "time"]), _rounded(found[ALONE, "time"] / 1e3), "1"])
    return _csv(table)


def tables(result: Mapping[str, Any], found: Found) -> dict[str, str]:
    """rows.csv, against.csv with those that an earlier release has, hostile.csv, and others.csv with the rest."""
    rows: dict[str, dict[str, Any]] = {}
    crowds: dict[str, dict[str, Any]] = {}
    others = [["What", "Figure"], *([name, str(result[name])] for name in CONDITIONS)]
    others += [[f"version of {name}", version] for name, version in result["libraries"].items()]
    others[1:1] = [[f"version {release['version']}, commit", release["commit"]] for release in result["releases"]]
    for each in result["figures"]:
        if each["row"].startswith(HOSTILE):
            crowds.setdefault(each["row"][len(HOSTILE) :], {})[f"{each['measure']}, {each['unit']}"] = each
        elif each["measure"] in MEASURES:
            rows.setdefault(each["row"], {})[each["measure"]] = each
        else:
            others.append([f"{each['row']}, {each['measure']}", f"{_rounded(each['value'])} {each['unit']}"])
    microseconds = found[ALONE, "time"]
    absolute = {"rate": ("per second", 1e6 / microseconds), "p50": ("ms", microseconds / 1e3)}
    absolute["processor time"] = ("µs", microseconds)
    columns = [  # measure, unit, factor
        column
        for measure, unit in MEASURES.items()
        for column in ([(measure, *absolute[measure])] if measure in absolute else []) + [(measure, unit, 1.0)]
    ]
    table = [["What", *(f"{measure}, {unit}" for measure, unit, _ in columns)]]
    for row, measures in rows.items():
        values = (
            _rounded(measures[measure]["value"] * factor) if measure in measures else ""
            for measure, _, factor in columns
        )
        table.append([row, *values])
    versions = _versions(result)
    against = [["What", *(f"{name}, {version}" for name in COMPARED.values() for version in versions)]]
    for row, measures in rows.items():
        if any(measure["earlier"] is not None for measure in measures.values()):
            both = [measures.get(name, {}).get(which) for name in COMPARED for which in ("value", "earlier")]
            against.append([row, *("" if value is None else _rounded(value) for value in both)])
    kinds = [["Clients that send", *next(iter(crowds.values()))]]
    kinds += [[kind, *(_rounded(each["value"]) for each in measures.values())] for kind, measures in crowds.items()]
    return {
        "rows.csv": _csv(table),
        "against.csv": _csv(against),
        "hostile.csv": _csv(kinds),
        "others.csv": _csv(others),
    }


def _versions(result: Mapping[str, Any]) -> Sequence[str]:
    """What the releases are called: their versions, and where these are the same, their commits as well."""
    versions = [release["version"] for release in result["releases"]]
    if len(set(versions)) == len(versions):
        return versions
    return [f"{release['version']} ({release['commit'][:7]})" for release in result["releases"]]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


# The numbers of the page's sentences, as substitutions of reStructuredText


def numbers(result: Mapping[str, Any], found: Found) -> str:
    release = result["releases"][0]
    crowds = {row: _slowdown(found, row) for row, measure in found if row.startswith(HOSTILE) and measure == "own p50"}
    worst = max(crowds, key=lambda row: crowds[row])
    measured = f"Version {release['version']}, commit {release['commit'][:7]}, on {result['date']}"
    if result["draft"]:
        measured = f"**A draft, from a short run:** {measured[0].lower()}{measured[1:]}"
    libraries = result["libraries"]

    def most(measure: str, begin: str) -> str:
        return _rounded(max(found[row, name] for row, name in found if name == measure and row.startswith(begin)))

    values = {
        "measured": measured,
        "machine": result["machine"],
        "python": f"Python {result['python']}",
        "keccak": result["keccak"],
        "libraries": ", ".join(
            f"{name} {libraries[name.lower()]}" for name in ("eth-account", "ethers", "viem", "Node", "coincurve")
        ),
        "runs": str(result["runs"]),
        "requests": f"{result['requests']:,}",
        "hostile clients": str(result["hostile clients"]),
        "one client pipelining": _rounded(_per_second(found, PIPELINING)),
        "one client in lock-step": f"{_rounded(_milliseconds(found, ONE))} ms",
        "128 clients": _rounded(_per_second(found, "128 clients")),
        "libsecp256k1 alone": f"{_rounded(found[ALONE, 'time'])} µs",
        "memory at the start": f"{_rounded(found['memory, keys sent', 'at the start'])} MB",
        "memory after crowds": f"{_rounded(found['memory, keys sent', 'after crowds'])} MB",
        "memory with 190 keys": f"{_rounded(found['memory, 190 rules and keys', 'after crowds'])} MB",
        "start": f"{_rounded(found['process start to first reply', 'time'])} ms",
        "floor": f"{_rounded(_milliseconds(found, 'floor of one client in lock-step'))} ms",
        "ordinary, own key": f"{_rounded(found[ORDINARY, 'own p50'])} ms",
        "ordinary, held key": f"{_rounded(found[ORDINARY, 'held p50'])} ms",
        "worst crowd": worst[len(HOSTILE) :],
        "worst slowdown": _rounded(crowds[worst]),
        "longest first reply": f"{most('first', HOSTILE)} s",
        "most memory": f"{most('memory', HOSTILE)} MB",
        "slowest line": f"{most('slowest line', COSTLY)} ms",
    }
    return "".join(f".. |{name}| replace:: {value}\n" for name, value in values.items())


# Plots


def rates(found: Found) -> str:
    """Signatures a second, as bars; where both were measured, with and without an entry for each signature."""
    rows = [ETH_ACCOUNT, Bar("1 client, 200 requests in flight", PIPELINING), *CROWDS]
    bars = [
        (row, _per_second(found, row.figure), _per_second(found, row.figure + ENTRIES) if row.is_daemon else None)
        for row in rows
    ]
    notes = ["Longer is better. Lighter: with a journal entry for each.", "In brackets: times eth-account."]
    return _svg("Orders signed per second", notes, *_bars(bars, 0, bars[0][1]))


def libraries(found: Found) -> str:
    """Signatures a second of libraries inside the program, and of the daemon for one client."""
    drawn = []
    top = 0.0
    for title, (kind, ending) in PARTS.items():
        rows = [Bar(library, f"{library}, {ending}", is_daemon=False) for library in LIBRARIES]
        rows.append(Bar("ordersigner, one request at a time", f"{kind}, held key: lock-step"))
        rows.append(Bar("ordersigner, 200 requests in flight", f"{kind}, held key: pipelining"))
        height, bars = _bars([(row, _per_second(found, row.figure), None) for row in rows], top + 22)
        drawn += [_text(0, top + 14, title, "part"), *bars]
        top = height + 24
    return _svg("Signatures per second by library", ["Longer is better. The daemon holds the key."], top - 24, drawn)


def _bars(rows: Sequence[tuple[Bar, float, float | None]], top: float, unit: float = 0) -> tuple[float, Sequence[str]]:
    """Each row's name and its bar below it, with a lighter one. unit: the number whose multiples are shown as well.

    Gives where the rows end as well.
    """
    scale = BAR / max(value for _, first, second in rows for value in (first, second) if value is not None)
    drawn = []
    for number, (row, value, lighter) in enumerate(rows):
        y = top + number * ROW
        color = "mark" if row.is_daemon else "other"
        drawn.append(_text(0, y + 13, row.name))
        widths = [(color, value * scale), *([] if lighter is None else [(f"{color} light", lighter * scale)])]
        for at, (kind, width) in enumerate(widths):
            height = 14 / len(widths)
            place = f'x="0" y="{y + 19 + at * height:g}" width="{width:.1f}" height="{height:g}"'
            drawn.append(f'<rect class="{kind}" {place}/>')
        label = _rounded(value) + (f" ({_rounded(value / unit)}×)" if unit and row.is_daemon else "")
        drawn.append(_text(max(width for _, width in widths) + 7, y + 31, label))
    return top + len(rows) * ROW, drawn


def latencies(found: Found) -> str:
    """Milliseconds from request to answer on a logarithmic scale: the median, and for several clients up to p99."""
    alone = found[ALONE, "time"] / 1e3 / found[ETH_ACCOUNT.figure, "rate"]
    points: list[tuple[Bar, float, float | None]] = [(ETH_ACCOUNT, alone, None)]
    points.append((Bar("1 client", ONE), _milliseconds(found, ONE), None))
    points += [(row, _milliseconds(found, row.figure), found[row.figure, "p99"]) for row in CROWDS]
    values = [value for _, median, slow in points for value in (median, slow) if value is not None]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        return 24 + (math.log10(value) - low) / (high - low) * (BAR - 20)

    bottom = len(points) * ROW
    drawn = []
    for exponent in range(low, high + 1):
        at = x(10.0**exponent)
        for y in range(26, bottom, ROW):
            drawn.append(f'<line class="line" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 9}" y2="{y + 9}"/>')
        drawn.append(_text(at, bottom + 12, f"{10.0**exponent:g}{' ms' if exponent == high else ''}", "dim middle"))
    for number, (row, median, slow) in enumerate(points):
        y = number * ROW + 26
        drawn.append(_text(0, y - 14, row.name))
        if slow:
            drawn.append(f'<line class="range light" x1="{x(median):.1f}" x2="{x(slow):.1f}" y1="{y}" y2="{y}"/>')
        drawn.append(f'<circle class="{"mark" if row.is_daemon else "other"}" cx="{x(median):.1f}" cy="{y}" r="6"/>')
        label = _rounded(median) + (f" to {_rounded(slow)}" if slow else "")
        drawn.append(_text(x(slow or median) + 11, y + 5, f"{label} ms", "over"))
    notes = ["Further left is better. Dot: median;", "bar: up to the 99th percentile."]
    return _svg("Time from request to signature", notes, bottom + 20, drawn)


def hostile(found: Found, clients: int) -> str:
    """How many times longer a client waits next to hostile clients than next to ordinary ones: a bar for each kind."""
    kinds = {
        row[len(HOSTILE) :]: _slowdown(found, row)
        for row, measure in found
        if measure == "own p50" and row.startswith(HOSTILE) and row != f"{HOSTILE}orders"
    }
    scale = (WIDTH - LABELS - 36) / max(1.0, *kinds.values())
    bottom = len(kinds) * LINE
    drawn = []
    for number, (kind, value) in enumerate(sorted(kinds.items(), key=lambda each: -each[1])):
        y = number * LINE
        drawn.append(_text(LABELS - 6, y + 13, kind, "dense end"))
        drawn.append(f'<rect class="mark" x="{LABELS}" y="{y + 3}" width="{value * scale:.1f}" height="12"/>')
        drawn.append(_text(LABELS + max(value, 1.0) * scale + 5, y + 13, _rounded(value), "dense"))
    at = LABELS + scale
    drawn.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{bottom + 4}"/>')
    drawn.append(_text(at, bottom + 18, "1", "dim middle"))
    notes = [
        f"Median time next to {clients} hostile clients of each kind.",
        f"1: as next to {clients} ordinary clients.",
    ]
    return _svg("How much longer a client waits", notes, bottom + 24, drawn)


def growth(found: Found) -> str:
    """How rate and cost change with clients, processes, rules and keys: a panel of lines for each."""
    drawn: list[str] = []
    top = 14
    for title, points, lines, measure in (
        ("Orders signed per second", CLIENTS, BY_CLIENTS, "rate"),
        ("Processor time of an order, µs", CLIENTS, BY_CLIENTS, "processor time"),
        ("Processor time with held keys, µs", RULES, BY_RULES, "processor time"),
    ):
        factor = 1e6 / found[ALONE, "time"] if measure == "rate" else found[ALONE, "time"]
        series = {name: [found[row, measure] * factor for row in rows] for name, rows in lines.items()}
        drawn += [_text(0, top, title, "part"), *_panel(top + 18, points, series)]
        top += PANEL + 76
    return _svg("How rate and cost grow", ["With clients, processes, rules and keys."], top - 30, drawn)


def _panel(top: float, points: Sequence[str], lines: Mapping[str, Sequence[float]]) -> Sequence[str]:
    """Lines over points at equal distances, on a linear scale that begins at zero, each with its name and its end."""
    step, most = _step(max(max(values) for values in lines.values()))
    bottom = top + PANEL
    left, right = 58, WIDTH - 135
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
        drawn.append(_text(right - 6, above + 5, f"{name}: {_rounded(lines[name][-1])}"))
    return drawn


def _step(value: float) -> tuple[float, float]:
    """A round distance of grid lines, at most five of them, and the end of the scale, which is not below the value."""
    power = 10.0 ** math.floor(math.log10(value / 5))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 5 >= value)
    return step, step * math.ceil(value / step)


def _svg(title: str, notes: Sequence[str], height: float, drawn: Iterable[str]) -> str:
    """A title, notes below it, and a drawing of this height below them."""
    name = escape(title)
    top = 32 + 18 * len(notes)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {height + top:g}">'
    texts = [_text(0, 16, title, "title"), *(_text(0, 36 + 18 * at, note, "dim") for at, note in enumerate(notes))]
    body = "\n  ".join([*texts, f'<g transform="translate(0 {top})">', *drawn, "</g>"])
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
