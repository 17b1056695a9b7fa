"""The page of `ordersignerd --check`."""

from __future__ import annotations

from ordersigner.daemon.check import LEFT


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
