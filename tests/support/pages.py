"""What pages show: the page of `ordersignerd --check`, and sessions in a terminal.

A session is a block of code of the kind "console". In it, "# " begins a command of root, and "$ " one of another user;
the other lines are what the command above them prints.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from ordersigner.daemon.check import LEFT

SESSION = re.compile(r"^( *)\.\. code-block:: console\n\n((?:\1 {3,}.*(?:\n|\Z)|\n)+)", re.MULTILINE)
# What differs from one run to the next, and what stands for it.
VARIES = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "TIME",
    r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+": "TIME HOST",
    r"(?<=\[)\d+(?=\]:)": "PID",
    r"\b\d+\.\d+\.\d+\b": "VERSION",
    r"\b(process|pid|uid|gid)\s\d+": r"\1 NUMBER",
    r"\b[\d.]+\s(ms|µs)\b": r"DURATION \1",
}


class Command(NamedTuple):
    """A command that a page shows. output: what the page says that it prints, without the indent."""

    by_root: bool
    words: str
    output: str


def sessions(source: str) -> list[Command]:
    """The commands of all sessions in the source of a page, in their order."""
    return [command for found in SESSION.finditer(source) for command in _commands(textwrap.dedent(found[2]))]


def _commands(session: str) -> Iterator[Command]:
    joined = re.sub(r"\\\n +", "", session.strip("\n"))
    for found in re.finditer(r"^([#$]) (.+)\n?((?:(?![#$] ).*\n?)*)", joined, re.MULTILINE):
        yield Command(found[1] == "#", found[2], found[3].rstrip("\n"))


def is_printed(shown: str, printed: str) -> bool:
    """Whether a command printed what a page shows, apart from times and numbers of processes.

    An ellipsis stands for anything. A line of the page may end where the printed one has a blank.
    """
    pattern = re.escape(_same(shown)).replace("\\\n", "[ \n]").replace("…", ".*")
    return re.fullmatch(pattern, _same(printed).strip("\n"), re.DOTALL) is not None


def _same(text: str) -> str:
    """The text with a name for each part that varies."""
    for pattern, name in VARIES.items():
        text = re.sub(pattern, name, text)
    return text


def sides(page: str) -> tuple[str, str]:
    """What stands at the left of the first rule on a page, and at the right, each as one text."""
    rows = page.split("does not limit\n", 1)[1].split("\n\n", 1)[0].split("\n")
    may, open_ends = [], []
    for row in rows:
        if set(row) - set("- "):
            is_long = len(row) > LEFT + 4 and row[LEFT + 2 : LEFT + 4] != "  "
            may.append(row if is_long else row[: LEFT + 2])
            open_ends.append("" if is_long else row[LEFT + 4 :])
    return " ".join(" ".join(may).split()), " ".join(" ".join(open_ends).split())
