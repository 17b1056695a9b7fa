"""Sphinx's settings, for the pages and for the man pages, which the Debian package builds with them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout's own package, installed or not

from ordersigner import __version__  # noqa: E402 - now that it can be found
from ordersigner.refusal import CODES  # noqa: E402

project = "ordersigner"
author = "The ordersigner authors"
copyright = f"2026 {author}"
version = release = __version__
exclude_patterns = ["_build"]
extensions = ["sphinx.ext.autodoc"]
default_role = "code"
highlight_language = "none"
smartquotes = False  # what is shown is meant to be copied

autodoc_member_order = "bysource"

html_theme = "alabaster"
html_theme_options = {
    "description": "Signs Leverj exchange orders for clients on a Unix socket",
    "page_width": "1100px",
    "fixed_sidebar": True,
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_show_sourcelink = False

man_pages = [  # source, name, description, authors, section
    ("man/ordersigner", "ordersigner", "sign orders, and ping the daemon, from the command line", "", 1),
    ("man/ordersignerd", "ordersignerd", "sign Leverj exchange orders for clients on a Unix socket", "", 8),
    ("man/ordersigner-protocol", "ordersigner-protocol", "how to ask ordersignerd(8) for a signature", "", 7),
]


class ErrorCodes(Directive):
    """The error codes and when they come, from the package itself."""

    def run(self) -> list[nodes.Node]:
        listed = nodes.definition_list()
        for code, when in CODES.items():
            text = f"{when[0].upper()}{when[1:]}."
            listed += nodes.definition_list_item(
                "", nodes.term("", "", nodes.literal("", code)), nodes.definition("", nodes.paragraph("", text))
            )
        return [listed]


def list_names(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text; make of their lines that begin with a name, as in "path: its socket", a list."""
    written: list[str] = []
    inside = False  # of the text that belongs to a name
    for line in (line.replace("**", r"\*\*") for line in lines):
        named = re.match(r"([a-z_]+): (.+)", line)
        if named:
            if written and not inside:
                written.append("")
            written += [f"``{named[1]}``", f"    {named[2]}"]
        else:
            written.append(f"    {line}" if inside and line else line)
        inside = bool(named or (inside and line))
    lines[:] = written


def forget_overloads(app: Sphinx) -> None:
    """Show one signature for each method: those for the type checker say no more to people."""
    analyzer = ModuleAnalyzer.for_module("ordersigner.client")
    analyzer.analyze()
    analyzer.overloads.clear()


def setup(app: Sphinx) -> None:
    app.add_directive("error-codes", ErrorCodes)
    app.connect("builder-inited", forget_overloads)
    app.connect("autodoc-process-docstring", list_names)
