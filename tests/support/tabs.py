"""The samples of docs/index.rst, which are in tabs."""

from __future__ import annotations

import re
import textwrap

from support.daemon import SOURCE


def samples() -> dict[str, str]:
    """The code in each tab, by its language."""
    page = (SOURCE / "docs/index.rst").read_text()
    found = re.findall(r"^ +:caption: (\w+)\n\n((?: {6}.*\n|\n)+)", page, re.MULTILINE)
    return {language: textwrap.dedent(code).strip("\n") for language, code in found}
