"""Sphinx settings for the web pages and for the man pages. The Debian package builds only the man pages."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import sys
from email.utils import parsedate_to_datetime
from html import escape
from pathlib import Path
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # document this checkout, whether or not a package is installed

from ordersigner import __version__  # noqa: E402 - only found after the line above
from ordersigner.refusal import CODES, REMEDIES  # noqa: E402

project = "ordersigner"
version = release = __version__

# setup.py has the project's addresses. setuptools is not needed for it, and not everywhere.
setuptools = mock.Mock(__version__="0")
with mock.patch.dict(sys.modules, setuptools=setuptools):
    runpy.run_path(str(ROOT / "setup.py"))
metadata = setuptools.setup.call_args[1]
del setuptools
author = metadata["author"]
copyright = f"2026 {author}"


def measured(row: str, measure: str) -> float:
    """A figure of the last release that was measured, in its own unit, or in microseconds or signatures per second."""
    figures = json.loads((ROOT / "docs/plots/figures.json").read_text())["figures"]
    (alone,) = (one["value"] for one in figures if (one["measure"], one["unit"]) == ("time", "µs"))
    (found,) = (one for one in figures if (one["row"], one["measure"]) == (row, measure))
    value: float = found["value"]
    if found["unit"].startswith("times "):
        return value * alone
    return value / alone * 1e6 if found["unit"].startswith("of the ") else value


# What pages write for an address and for a figure that a run of tests/programs/benchmark.py can change.
rst_epilog = f"""
.. |issues| replace:: {metadata["project_urls"]["Issues"]}
.. |source| replace:: {metadata["project_urls"]["Source"]}
.. |security-contact| replace:: {metadata["maintainer_email"]}
.. |rate| replace:: **{round(measured("order, held key: pipelining", "rate"), -3):,.0f}**
.. |round-trip| replace:: **{measured("order, held key: lock-step", "p50") / 1000:.2f} ms**
.. |memory| replace:: **{measured("memory, keys sent", "at the start"):.0f} MB**
"""

exclude_patterns = ["_build"]
extensions = ["sphinx.ext.autodoc"]
if importlib.util.find_spec("sphinx_copybutton"):  # absent where only man pages are built
    extensions.append("sphinx_copybutton")
copybutton_exclude = ".linenos, .gp, .go"  # of a session in a terminal, copy what is typed
copybutton_selector = "div:not(.highlight-text) > div.highlight pre"  # commands, and not what they print
default_role = "code"
highlight_language = "none"
smartquotes = False  # readers copy what they see

autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"ordersigner {version}"
html_static_path = ["static"]
html_css_files = ["ordersigner.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def released() -> str:
    """The date of the newest version. The tree in which Debian's package is built has the file in another place."""
    changelogs = (ROOT / "packaging/debian/changelog", ROOT / "debian/changelog")
    text = next(path for path in changelogs if path.exists()).read_text()
    found = re.search("^ -- .+>  (.+)$", text, re.MULTILINE)
    assert found, "the changelog of the package has no date"
    return parsedate_to_datetime(found[1]).date().isoformat()


today = released()  # in the footer of a man page

man_pages = [  # source, name, description, authors, section
    ("man/ordersigner", "ordersigner", "send requests to the signing daemon from the command line", "", 1),
    ("man/ordersignerd", "ordersignerd", "sign orders and typed data for clients on a Unix socket", "", 8),
    ("man/ordersigner-keys", "ordersigner-keys", "make, import, list and remove the daemon's keys", "", 8),
    ("man/ordersigner-policy", "ordersigner-policy", "who may sign what with held keys", "", 5),
    ("man/ordersigner-protocol", "ordersigner-protocol", "how to ask ordersignerd(8) for a signature", "", 7),
]


# For groff. The register keeps hyphenation off: each heading would otherwise restore it.
NO_HYPHENS = ".nh\n.nr HY 0\n.ad l\n"


class ErrorCodes(Directive):
    """List every error code with its meaning and what to do, as the package defines them."""

    def run(self) -> list[nodes.Node]:
        listed = nodes.definition_list()
        for code, when in CODES.items():
            text = " ".join(f"{part[0].upper()}{part[1:]}." for part in (when, REMEDIES[code]))
            listed += nodes.definition_list_item(
                "", nodes.term("", "", nodes.literal("", code)), nodes.definition("", nodes.paragraph("", text))
            )
        return [listed]


class Venue(Directive):
    """Show a ready-made policy: the comment that it begins with as text, and the rest of the file as it is."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        file = ROOT / f"docs/venues/{self.arguments[0]}.policy"
        self.state.document.settings.record_dependencies.add(str(file))
        comment, _, policy = file.read_text().partition("\n\n")
        shown: list[nodes.Node] = []
        for text in re.sub("^# ?", "", comment, flags=re.MULTILINE).split("\n\n"):
            paragraph = nodes.paragraph()
            for part in re.split("(0x[0-9a-f]{40})", text):  # an address is too long for a line of text on a phone
                paragraph += nodes.literal("", f"{part[:6]}…") if part.startswith("0x") else nodes.Text(part)
            shown.append(paragraph)
        shown[-1] = nodes.warning("", shown[-1])  # what a program that was taken over can still do
        return [*shown, nodes.literal_block(policy, policy)]


class Settings(Directive):
    """The table of a policy's settings. The argument is the version that introduced them.

    The content is "[section]", and after it the settings of the section. Each is a paragraph: a line with its form, a
    line with an example, its meaning, and for one that a later version introduced a last line "Since VERSION".
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        rows = [["Section", "Setting, and an example", "Meaning", "Since"]]
        section = ""
        for paragraph in "\n".join(self.content).split("\n\n"):
            form, *lines = paragraph.split("\n")
            if not lines:
                section = form.strip("[]")
                continue
            since = lines.pop()[len("Since ") :] if lines[-1].startswith("Since ") else self.arguments[0]
            rows.append([section, f"| {form}\n       | {lines[0]}", "\n       ".join(lines[1:]), since])
        text = [".. list-table::", "   :class: settings stacked", "   :header-rows: 1", "   :widths: 12 41 38 9", ""]
        for row in rows:
            text += ("   * - " + "\n     - ".join(row)).split("\n")
        self.state_machine.insert_input([*text, ""], self.state_machine.input_lines.source(self.lineno - 1))
        return []


class Tabs(Directive):
    """Show blocks of code one at a time on a web page, each under a tab with its caption, and otherwise one by one."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        tabs = nodes.container(classes=["tabs"])
        self.state.nested_parse(self.content, self.content_offset, tabs)
        return [tabs]


def add_tabs(tabs: nodes.container, group: str) -> None:
    """Turn each caption into the label of a radio button in front of its block. CSS alone shows the chosen one."""
    for number, block in enumerate(list(tabs.children)):
        caption = next(block.findall(nodes.caption))
        caption.parent.remove(caption)
        button = f'<input type="radio" id="{group}-{number}" name="{group}"{" checked" * (number == 0)}>'
        label = f'<label for="{group}-{number}">{escape(caption.astext())}</label>'
        tabs.insert(tabs.index(block), nodes.raw("", button + label, format="html"))


class Picture(Directive):
    """Show docs/pictures/NAME.svg in the page itself, so that it follows the page's dark mode."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        file = ROOT / f"docs/pictures/{self.arguments[0]}.svg"
        self.state.document.settings.record_dependencies.add(str(file))
        return [nodes.raw("", file.read_text(), format="html")]


def add_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Give each term of a definition list an id, so that a field or an error code can be linked to: #order.price."""
    taken: set[str] = set()
    for term in doctree.findall(nodes.term):
        text = term.astext()
        names = text.split(", ") if re.fullmatch(r"[\w.]+(, [\w.]+)*", text) else [nodes.make_id(text)]
        section = term
        while not isinstance(section, nodes.section):
            section = section.parent
        for name in names:
            # A name can occur twice: #order.price is in a spot order, #a-futures-order.order.price in a futures order.
            anchor = f"{section['ids'][0]}.{name}" if name in taken else name
            taken.add(anchor)
            term["ids"].append(anchor)


def as_list(table: nodes.table) -> nodes.definition_list:
    """The table of settings for a terminal, in which so many columns have no room.

    Its columns: the section, the setting with an example below it, what it holds, since which version.
    """
    listed = nodes.definition_list()
    (body,) = table.findall(nodes.tbody)
    for row in body:
        section, setting, holds, since = row
        form, example = setting.findall(nodes.line)
        term = nodes.term("", "", *form.children, nodes.Text(f" ({section.astext()}, {since.astext()})"))
        shown = nodes.paragraph("", "Example: ", *example.children)
        listed += nodes.definition_list_item("", term, nodes.definition("", *holds.children, shown))
    return listed


def finish_pages(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """On a web page, link each term and each man page of ours. In a man page, keep paths and names in one piece."""
    if app.builder.format == "html":
        for reference in list(doctree.findall(addnodes.manpage)):
            source = f"man/{reference['page']}"
            if source in app.builder.env.all_docs:
                link = nodes.reference("", "", reference.deepcopy(), refuri=app.builder.get_relative_uri(name, source))
                reference.replace_self(link)
        containers = [node for node in doctree.findall(nodes.container) if "tabs" in node["classes"]]
        for number, tabs in enumerate(containers):
            add_tabs(tabs, f"tabs-{number}")
        for term in doctree.findall(nodes.term):
            anchor = f'<a class="headerlink" href="#{term["ids"][0]}" title="Link to this term">¶</a>'
            term.append(nodes.raw("", anchor, format="html"))
    elif app.builder.name == "man":
        for table in list(doctree.findall(nodes.table)):
            if "settings" in table["classes"]:
                table.replace_self(as_list(table))
        title = next(doctree.findall(nodes.title))
        title.parent.insert(title.parent.index(title) + 1, nodes.raw("", NO_HYPHENS, format="manpage"))


def list_names(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text. Turn their lines such as "path: the socket's path" into a list."""
    written: list[str] = []
    inside = False  # the text that belongs to a name
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
    """Show one signature for each method. The overloads are for type checkers and tell people nothing more."""
    analyzer = ModuleAnalyzer.for_module("ordersigner.client")
    analyzer.analyze()
    analyzer.overloads.clear()


def leave_out_copyright(app: Sphinx) -> None:
    """Otherwise each man page ends with a section for this one line, which the package's copyright file has."""
    if app.builder.name == "man":
        app.config.copyright = ""


def finish_commands(app: Sphinx, doctree: nodes.document) -> None:
    """Sphinx shows a block with an address in it without colors, and so without a button to copy it."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext()
        if block.rawsource != text:
            block.rawsource = text
            block["language"] = "sh"
            block.children = []
            block.append(nodes.Text(text))


def setup(app: Sphinx) -> None:
    app.add_directive("error-codes", ErrorCodes)
    app.add_directive("picture", Picture)
    app.add_directive("settings", Settings)
    app.add_directive("tabs", Tabs)
    app.add_directive("venue", Venue)
    app.connect("builder-inited", forget_overloads)
    app.connect("builder-inited", leave_out_copyright)
    app.connect("doctree-read", add_anchors)
    app.connect("doctree-read", finish_commands)
    app.connect("doctree-resolved", finish_pages)
    app.connect("autodoc-process-docstring", list_names)
