"""Plots of what tests/programs/benchmark.py measured, as SVG.

In: figures by name, each a number and its unit, and the seconds of the bare signature. Out: SVG text for the page of
figures. The colors come from the page's theme, so the plots follow its dark mode; without a page they have their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Mapping, NamedTuple, Tuple

Found = Mapping[str, Tuple[float, str]]  # what Figures.found holds

# Lengths in units of the drawing, which a phone shows at about 330 pixels.
WIDTH = 620
ROW = 40
LABELS = 205  # room for the names at the left
PLOT = 290  # from the axis to the right end of the scale; the numbers are further right

STYLE = """
    .plot { --ink: var(--color-foreground-primary, #222); --dim: var(--color-foreground-secondary, #5a5c63);
            --mark: var(--color-brand-primary, #0a4bff); --line: var(--color-background-item, #ccc);
            width: 100%; max-width: 46em; height: auto; font: 15px system-ui }
    @media (prefers-color-scheme: dark) {
      .plot { --ink: var(--color-foreground-primary, #ddd); --dim: var(--color-foreground-secondary, #9ca0a5);
              --mark: var(--color-brand-primary, #3d94ff); --line: var(--color-background-item, #444) } }
    .plot text { fill: var(--ink) } .plot .dim { fill: var(--dim); font-size: 13px } .plot .end { text-anchor: end }
    .plot .middle { text-anchor: middle } .plot .mark { fill: var(--mark) } .plot .other { fill: var(--dim) }
    .plot .light { opacity: 0.55 } .plot .line { stroke: var(--line) }
    .plot .range { stroke: var(--mark); stroke-width: 5 }
    .plot .title { font-size: 17px; font-weight: bold }
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


def plots(found: Found, bare: float) -> dict[str, str]:
    """The plots by file name. bare: seconds for a bare signature, the unit of the figures that are ratios."""
    return {"rates.svg": rates(found, bare), "latencies.svg": latencies(found, bare)}


def rates(found: Found, bare: float) -> str:
    """Signatures a second, as bars; where both were measured, with and without an entry for each signature."""
    rate = {name: value / bare for name, (value, unit) in found.items() if unit == "of the bare rate"}
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
    notes = "lighter: with a journal entry for each signature" if any(name.endswith(ENTRIES) for name in rate) else ""
    return _svg("Signatures per second (longer is better)", notes, 78 + len(rows) * ROW, drawn)


def latencies(found: Found, bare: float) -> str:
    """Milliseconds from request to answer on a logarithmic scale: the median, and for several clients up to p99."""
    points: list[tuple[str, float, float | None, bool]] = [
        (ALONE.name, bare / found[ALONE.figure][0] * 1e3, None, False),
        ("1 client", found[f"{ONE}, p50"][0] * bare * 1e3, None, True),
    ]
    for row in CROWDS:
        points.append((row.name, found[f"{row.figure}, p50"][0] * bare * 1e3, found[f"{row.figure}, p99"][0], True))
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


def _svg(title: str, note: str, height: int, drawn: Iterable[str]) -> str:
    name = escape(title)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {height}">'
    body = "\n  ".join([_text(0, 20, title, "title"), _text(0, 40, note, "dim"), *drawn])
    return f"{head}\n  <title>{name}</title>\n  <style>{STYLE}  </style>\n  {body}\n</svg>\n"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _rounded(value: float) -> str:
    """Two significant digits: a benchmark cannot promise more."""
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}"
