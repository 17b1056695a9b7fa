"""The documentation: it builds, it is complete, it can be read on a phone and in a terminal, and its examples work."""

from __future__ import annotations

import argparse
import ast
import asyncio
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from oracles.hyperliquid_reference import expected as digest_of_action
from support.daemon import DEFAULT_SIGNALS, EXAMPLE, SOURCE, Daemon, needs_root, standalone, vectors
from support.held import MARKET, MESSAGES, ORDERS, address, holding, rule
from support.kinds import POLICY, request_of
from support.policies import policy_of
from support.services import ADDRESS, ALICE
from support.tabs import samples

from ordersigner import __version__, client
from ordersigner.commands import main as cli
from ordersigner.daemon import arguments as daemon_command
from ordersigner.keytool import main as keytool
from ordersigner.peer import Peer
from ordersigner.policy.kinds import KINDS
from ordersigner.refusal import CODES, Refusal
from ordersigner.serving import channel, connection, server, turns
from ordersigner.serving.framing import MAX_LINE
from ordersigner.signing import journal, protocol
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.state.memory import Memory

pytestmark = pytest.mark.once

DOCS = SOURCE / "docs"


TRANSFER = {"chainId": 1, "nonce": 0, "gasPrice": 10, "gas": 21_000, "to": "0x" + 40 * "1", "value": 5}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pages as html and man, made by `make`, and as plain text."""
    pytest.importorskip("sphinx")
    output = tmp_path_factory.mktemp("docs")
    make = ["make", "-C", str(DOCS), "html", "man", f"SPHINXBUILD={sys.executable} -m sphinx", f"BUILDDIR={output}"]
    text = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "text", str(DOCS), str(output / "text")]
    for command in (make, text):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return output


def tool(name: str, package: str) -> str:
    """The path of a command that can be missing on a developer's machine, but not where CI runs."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI", "") not in ("", "0", "false"):
            pytest.fail(f"{name} is missing: install {package}")
        pytest.skip(f"{name} is missing: install {package}")
    return path


def page(built: Path, name: str) -> str:
    """The text of a page, without its layout."""
    return (built / "text" / f"{name}.txt").read_text()


def options(parser: argparse.ArgumentParser) -> set[str]:
    """The options that `--help` lists, including those of its commands."""
    return set(re.findall(r"^  .*?(--[a-z-]+)", parser.format_help(), re.MULTILINE)).union(
        *(
            options(command)
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
            for command in action.choices.values()
        )
    )


def test_it_builds_without_a_warning(built: Path) -> None:
    assert (built / "html" / "index.html").exists()
    pages = {path.name for path in (built / "man").iterdir()}
    assert {"ordersigner.1", "ordersigner-keys.8", "ordersigner-protocol.7", "ordersignerd.8"} <= pages


@pytest.fixture(scope="module")
def man_pages(built: Path) -> dict[str, list[str]]:
    """The lines of each man page as a terminal of 80 columns shows them."""
    groff = [tool("groff", "groff-base"), "-mandoc", "-Tutf8", "-rLL=80n", "-P-cbou"]
    return {
        path.name: subprocess.run(
            [*groff, str(path)], stdout=subprocess.PIPE, check=True, encoding="utf-8"
        ).stdout.split("\n")
        for path in (built / "man").iterdir()
    }


def test_a_man_page_fits_80_columns(man_pages: dict[str, list[str]]) -> None:
    assert [line for lines in man_pages.values() for line in lines if len(line) > 80] == []


def test_a_man_page_never_hyphenates_a_path_or_a_name(man_pages: dict[str, list[str]]) -> None:
    assert "/run/ordersigner/ordersigner.sock" in "\n".join(man_pages["ordersignerd.8"])
    assert [line for lines in man_pages.values() for line in lines if line.endswith(("-", "\N{HYPHEN}"))] == []


PAGES_OF_MAN = {
    "ordersigner.1",
    "ordersigner-policy.5",
    "ordersigner-protocol.7",
    "ordersigner-keys.8",
    "ordersignerd.8",
}


def test_a_man_page_has_the_date_of_the_release(man_pages: dict[str, list[str]]) -> None:
    """And not that of the build."""
    released = re.search("> +([A-Z].+ [0-9]{4})", (SOURCE / "packaging/debian/changelog").read_text())
    assert released
    date = time.strftime("%Y-%m-%d", time.strptime(released[1], "%a, %d %b %Y"))
    assert [lines[-2].split() for _, lines in sorted(man_pages.items())] == [
        [__version__, date, f"{name.upper().replace('.', '(')})"] for name in sorted(man_pages)
    ]


def test_a_man_page_has_the_sections_that_people_look_for(man_pages: dict[str, list[str]]) -> None:
    assert set(man_pages) == PAGES_OF_MAN
    commands = {"ordersigner.1", "ordersigner-keys.8"}
    programs = {*commands, "ordersignerd.8"}
    for name, lines in man_pages.items():
        sections = [line for line in lines[1:-2] if line and line[0] != " "]
        assert sections[0] == "NAME"
        assert sections[-2:] == ["SEE ALSO", "REPORTING BUGS"]
        assert sections == [section.upper() for section in sections]
        assert {"SYNOPSIS", "DESCRIPTION"} <= set(sections)
        assert {"OPTIONS", "EXIT STATUS", "EXAMPLES", "FILES"} <= set(sections) or name not in programs
        assert "COMMANDS" in sections or name not in commands
        see_also = " ".join(lines[lines.index("SEE ALSO") :])
        others = {f"{other.replace('.', '(')})" for other in PAGES_OF_MAN - {name}}
        assert [other for other in others if other not in see_also] == []


def test_a_man_page_lists_the_variables_that_its_program_reads(man_pages: dict[str, list[str]]) -> None:
    sources = {"ordersigner.1": ["client.py"], "ordersignerd.8": ["daemon/*.py", "signing/*.py", "systemd/*.py"]}
    for name, patterns in sources.items():
        files = [file for pattern in patterns for file in (SOURCE / "ordersigner").glob(pattern)]
        text = "".join(file.read_text() for file in files)
        read = set(re.findall(r"""environ(?:\.get\(|\[)\s*"(ORDERSIGNER_\w+|STATE_DIRECTORY)""", text))
        shown = "\n".join(man_pages[name])
        section = shown[shown.index("\nENVIRONMENT\n") :]
        assert read
        assert [variable for variable in read if f"\n       {variable}\n" not in section] == []


# A page of frames, one for each page and width, that replaces itself with what it finds in them. Each frame is a window
# of its own to the page inside, so what is true for a frame of 360 pixels is true for a phone of that width.
MEASURE = """<!doctype html>
<script>
    onload = () => {
        const found = [...document.querySelectorAll("iframe")].map(frame => {
            const root = frame.contentDocument.documentElement;
            const figures = [...root.querySelectorAll("svg.plot text, svg.plot rect, svg.picture text")];
            const outside = figures.filter(figure => {
                const [inner, outer] = [figure, figure.ownerSVGElement].map(box => box.getBoundingClientRect());
                return inner.left < outer.left - 1 || inner.right > outer.right + 1;
            });
            const texts = [...root.querySelectorAll("svg.picture text")].map(text => {
                const [box, size] = [text.getBoundingClientRect(), parseFloat(getComputedStyle(text).fontSize)];
                return {words: text.textContent, picture: text.ownerSVGElement, box,
                        size: size * text.getScreenCTM().a};
            });
            const lines = [...root.querySelectorAll("svg.picture :is(rect, path, line):not(defs *)")].map(line => {
                const [steps, matrix] = [line.getTotalLength() / 2, line.getScreenCTM()];
                const points = [...Array(Math.ceil(steps) + 1).keys()].map(step => line.getPointAtLength(2 * step));
                return {picture: line.ownerSVGElement, points: points.map(point => point.matrixTransform(matrix))};
            });
            const over = ({box}, {left, right, top, bottom}) =>
                box.left < right && left < box.right && box.top < bottom && top < box.bottom;
            const touches = text => texts.some(other => other !== text && over(text, other.box)) ||
                lines.some(({picture, points}) => picture === text.picture && points.some(
                    ({x, y}) => over(text, {left: x - 1, right: x + 1, top: y - 1, bottom: y + 1})));
            return {page: frame.title, width: Number(frame.width), seen: root.clientWidth, needed: root.scrollWidth,
                    pictures: new Set(texts.map(text => text.picture)).size,
                    outside: outside.map(figure => figure.textContent),
                    small: texts.filter(text => text.size < 10).map(text => text.words),
                    touching: texts.filter(touches).map(text => text.words)};
        });
        document.body.textContent = JSON.stringify(found);
    };
</script>
<body>FRAMES</body>
"""


def measured(pages: list[Path], directory: Path) -> list[dict[str, Any]]:
    """What a browser finds about each page at the width of a phone, of a tablet and of a desktop."""
    frames = [
        f'<iframe title="{page.name}" src="{page.as_uri()}" width="{width}" height="800"></iframe>'
        for page in pages
        for width in (360, 768, 1280)
    ]
    frames_page = directory / "frames.html"
    frames_page.write_text(MEASURE.replace("FRAMES", "".join(frames)))
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --allow-file-access-from-files"
    command = [tool("chromium", "chromium"), *options.split(), f"--user-data-dir={directory / 'profile'}"]
    shown = subprocess.run(
        [*command, "--dump-dom", frames_page.as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        encoding="utf-8",
    ).stdout
    body = re.search(r"<body>(.+)</body>", shown, re.DOTALL)
    assert body, shown
    found: list[dict[str, Any]] = json.loads(unescape(body[1]))
    assert len(found) == len(frames)
    return found


def test_no_page_scrolls_sideways_and_no_drawing_is_cut_off(built: Path, tmp_path: Path) -> None:
    pages = sorted(page for page in (built / "html").rglob("*.html") if "_static" not in page.parts)
    assert len(pages) > 12
    found = measured(pages, tmp_path)
    assert [page for page in found if page["needed"] != page["seen"] or page["outside"]] == []
    assert all(page["seen"] in (page["width"], page["width"] - 15) for page in found)  # with or without a scroll bar


def test_a_page_that_scrolls_sideways_would_be_noticed(tmp_path: Path) -> None:
    wide = tmp_path / "wide.html"
    wide.write_text('<!doctype html><div style="width: 800px">wide</div>')
    assert [page["width"] for page in measured([wide], tmp_path) if page["needed"] != page["seen"]] == [360, 768]


PICTURES = sorted(file.stem for file in (DOCS / "pictures").iterdir())


def test_the_words_of_each_picture_can_be_read_on_a_phone_and_touch_nothing(built: Path, tmp_path: Path) -> None:
    """As the page has it that is written for contributors, in which each picture takes a turn."""
    source = (built / "html/develop/how.html").read_text()
    before, after = re.split(r'<svg [^>]*class="picture".*?</svg>', source, flags=re.DOTALL)
    pages = [built / f"html/develop/picture-of-{name}.html" for name in PICTURES]
    for name, written in zip(PICTURES, pages):
        written.write_text(before + (DOCS / f"pictures/{name}.svg").read_text() + after)
    found = measured(pages, tmp_path)
    assert {page["pictures"] for page in found} == {1}
    faults = ("outside", "small", "touching")
    assert [(page["page"], fault, page[fault]) for page in found for fault in faults if page[fault]] == []


DRAWN = [  # a drawing, and which fault of which words must be noticed
    ('<text x="5" y="50">fine</text><rect x="1" y="20" width="98" height="70"/>', {}),
    ('<text x="80" y="50">cut off</text>', {"outside": ["cut off"]}),
    ('<text x="5" y="50" font-size="9">tiny</text>', {"small": ["tiny"]}),
    ('<text x="5" y="50">one</text><text x="9" y="52">two</text>', {"touching": ["one", "two"]}),
    ('<text x="5" y="50">crossed</text><path d="M0 45 H99"/>', {"touching": ["crossed"]}),
    ('<text x="5" y="50">boxed in</text><rect x="1" y="20" width="30" height="70"/>', {"touching": ["boxed in"]}),
]


def test_a_word_that_cannot_be_read_would_be_noticed(tmp_path: Path) -> None:
    pages = [tmp_path / f"{number}.html" for number in range(len(DRAWN))]
    for page, (drawing, _) in zip(pages, DRAWN):
        svg = f'<svg class="picture" viewBox="0 0 100 100" width="100" height="100" font-size="14">{drawing}</svg>'
        page.write_text(f"<!doctype html>{svg}")
    nothing: dict[str, list[str]] = {"outside": [], "small": [], "touching": []}
    wanted = [{**nothing, **faults} for _, faults in DRAWN for width in (360, 768, 1280)]
    assert [{fault: page[fault] for fault in nothing} for page in measured(pages, tmp_path)] == wanted


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_in_words_what_it_shows(name: str) -> None:
    drawing = (DOCS / f"pictures/{name}.svg").read_text()
    (title,) = re.findall("<title>(.+)</title>", drawing)
    (described,) = re.findall("<desc>(.+)</desc>", drawing, re.DOTALL)
    assert len(title.split()) > 2
    assert len(described.split()) > 40


def test_the_drawing_of_the_house_has_every_folder() -> None:
    drawing = (DOCS / "pictures/house.svg").read_text()
    assert folders(SOURCE / "ordersigner") <= set(re.findall(r">(\w+/)<", drawing))


def test_the_picture_of_custody_names_places_that_thieves_find_closed() -> None:
    """tests/system/test_thieves.py tries them as a bot's user."""
    places = re.findall('class="file.*?>(/.+)</text>', (DOCS / "pictures/custody.svg").read_text())
    assert len(places) == 3
    thefts = (SOURCE / "tests/system/test_thieves.py").read_text().replace("{SERVICE}", "ordersigner.service")
    assert [place for place in places if f'"{place}",' not in thefts] == []


def test_a_field_and_an_error_code_have_links_of_their_own(built: Path) -> None:
    protocol = (built / "html/man/ordersigner-protocol.html").read_text()
    anchors = set(re.findall(r'<(?:dt|span) id="([\w.-]+)"', protocol))
    assert {*CODES, "signer", "order.price", "instrument.base.decimals", "a-futures-order.order.price"} <= anchors
    for code in CODES:
        assert f'href="#{code}"' in protocol


def test_a_page_has_dark_mode_copy_buttons_its_contents_and_its_neighbors(built: Path) -> None:
    operate = (built / "html/run/operate.html").read_text()
    for part in ("theme-toggle", "copybutton.js", "toc-tree", "next-page", "prev-page"):
        assert part in operate


def folders(directory: Path) -> set[str]:
    listed = subprocess.run(["git", "-C", str(directory), "ls-files"], stdout=subprocess.PIPE, check=True, text=True)
    return {name.partition("/")[0] + "/" for name in listed.stdout.splitlines() if "/" in name}


def test_the_layout_has_a_line_for_each_folder_of_the_package_and_of_the_tests() -> None:
    source = (DOCS / "develop/contribute.rst").read_text()
    layout = source[source.index("\nordersigner/\n") : source.index("\nsetup.py, pyproject.toml, ")]
    package, tests = layout.split("\ntests/\n")
    assert set(re.findall("^    ([a-z]+/)$", package, re.MULTILINE)) == folders(SOURCE / "ordersigner")
    of_their_own = folders(SOURCE / "tests") - folders(SOURCE / "ordersigner")
    assert set(re.findall("^    ([a-z]+/)$", tests, re.MULTILINE)) == of_their_own


def test_the_pages_name_only_modules_that_exist() -> None:
    """A module is named with any number of its folders. The changelog may name modules of its time."""
    modules = [*SOURCE.glob("*.py"), *(SOURCE / "ordersigner").rglob("*.py"), *(SOURCE / "tests").rglob("*.py")]
    paths = [module.relative_to(SOURCE).parts for module in modules]
    known = {"/".join(path[start:]) for path in paths for start in range(len(path))}
    house = DOCS / "pictures/house.svg"
    pages = {*DOCS.rglob("*.rst"), SOURCE / "README.rst", house} - {DOCS / "develop/changelog.rst"}
    named = {name for page in pages for name in re.findall(r"(?<![\w/.-])(?:\w+/)*\w+\.py\b", page.read_text())}
    assert named - known == {"ordersigner_client.py", "web3.py"}  # what users may call their copy, and a library


def test_the_files_for_visitors_and_the_readme_lead_to_files_that_exist() -> None:
    """Links of Markdown from their own folder, and paths that are code from the top."""
    for page in (SOURCE / "README.rst", DOCS / "SECURITY.md", DOCS / "CONTRIBUTING.md"):
        links = [page.parent / link for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]
        paths = re.findall(r"``?((?:docs|packaging|tests|ordersigner)/[\w./*-]+)``?", page.read_text())
        assert len(links + paths) > 1
        wanted = [*links, *(SOURCE / path for path in paths)]
        assert [path for path in wanted if not list(path.parent.glob(path.name))] == []


def test_how_it_works_names_every_module() -> None:
    modules = {path.name for path in (SOURCE / "ordersigner").rglob("*.py") if not path.name.startswith("__")}
    named = set(re.findall(r"\w+\.py\b", (DOCS / "develop/how.rst").read_text()))
    assert modules - named == set()


# With the address of a held key, as people see it first.
REQUEST = {**EXAMPLE["request"], "signer": address(EXAMPLE["request"]["signer"])}
RESPONSE = {"ok": True, **EXAMPLE["expect"]}


@pytest.mark.parametrize("name", ["README.rst", "docs/index.rst", "docs/start/quickstart.rst"])
def test_the_first_pages_begin_with_a_request_and_its_answer(name: str) -> None:
    shown = [block for block in blocks((SOURCE / name).read_text()) if block.startswith("{")]
    assert [json.loads(block) for block in shown[:2]] == [REQUEST, RESPONSE]


def test_the_samples_of_the_first_page_sign(holder: Daemon, tmp_path: Path) -> None:
    """That for Node is tried in examples/."""
    (tmp_path / "order.json").write_text(json.dumps(REQUEST) + "\n")
    program = f"#!{sys.executable}\nimport sys\nfrom ordersigner.commands.main import main\nsys.exit(main())\n"
    (tmp_path / "ordersigner").write_text(program)
    (tmp_path / "ordersigner").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(SOURCE)}
    commands = {"Python": [sys.executable, "-c"], "Shell": ["bash", "-c"]}
    assert samples().keys() == {*commands, "Node"}
    for language, command in commands.items():
        printed = subprocess.run(
            [*command, samples()[language]],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment, "ORDERSIGNER_SOCKET": holder.path},
        ).stdout
        assert printed.strip() == EXAMPLE["expect"]["signature"], language


def test_samples_are_under_tabs_on_a_web_page_and_one_after_the_other_in_a_terminal(built: Path) -> None:
    html = (built / "html/index.html").read_text()
    labels = re.findall(
        r'<input type="radio" id="([\w-]+)" name="tabs-0"( checked)?><label for="\1">(\w+)</label>', html
    )
    assert [label for _, _, label in labels] == list(samples())
    assert [bool(checked) for _, checked, _ in labels] == [True, False, False]
    text = page(built, "index")
    places = [text.index(f"\n{language}\n\n   {code.splitlines()[0]}\n") for language, code in samples().items()]
    assert places == sorted(places)


def test_the_first_page_has_the_figures_of_the_last_measurement(built: Path) -> None:
    figures = json.loads((DOCS / "plots/figures.json").read_text())["figures"]
    (memory,) = (one for one in figures if (one["row"], one["measure"]) == ("memory, keys sent", "at the start"))
    shown = page(built, "index").split("\nWhat it costs\n")[1].split("\nPerformance ")[0]
    rate, latency, megabytes = re.findall(r"\*\*([\d,.]+)( ms| MB|)\*\*", shown)
    assert 1000 < int(rate[0].replace(",", "")) < 1_000_000
    assert 0.01 < float(latency[0]) < 1
    assert megabytes == (f"{memory['value']:.0f}", " MB")


def test_the_rule_of_the_first_page_is_that_of_the_page_on_held_keys() -> None:
    """But for the address of the key."""
    first, whole = (
        re.sub("^key .*", "key", "".join(block for block in blocks(page) if "[rule" in block), flags=re.MULTILINE)
        for page in ((DOCS / name).read_text() for name in ("index.rst", "start/hold-keys.rst"))
    )
    assert first.startswith("[rule bids]\nkey\n")
    assert first in whole


def test_the_protocol_lists_every_error_code(built: Path) -> None:
    shown = re.findall(r'^"(\w+)"$', page(built, "man/ordersigner-protocol"), re.MULTILINE)
    assert [code for code in shown if code in CODES] == list(CODES)


def test_the_protocol_explains_every_field_of_an_order(built: Path) -> None:
    source = (SOURCE / "ordersigner/payloads/orders.py").read_text()
    fields = set(re.findall(r'"((?:order|instrument)\.[\w.]+)"', source))
    assert len(fields) > 10
    assert fields <= set(re.findall(r"[\w.]+", page(built, "man/ordersigner-protocol")))


@pytest.mark.parametrize(
    "parser", [daemon_command.parser(), cli.parser(), keytool.parser()], ids=lambda parser: parser.prog
)
def test_a_man_page_lists_every_option(built: Path, parser: argparse.ArgumentParser) -> None:
    wanted = options(parser)
    assert {"--help", "--version"} < wanted
    assert wanted <= set(re.findall("^ *(--[a-z-]+)", page(built, f"man/{parser.prog}"), re.MULTILINE))
    anchors = re.findall(
        rf'id="cmdoption-{parser.prog}(-[a-z-]+)"', (built / f"html/man/{parser.prog}.html").read_text()
    )
    assert wanted <= {f"-{anchor}" for anchor in anchors}


def test_the_man_page_lists_every_field_and_message_id_of_the_journal(built: Path) -> None:
    entries: list[str] = []
    written = Journal(LEVELS["info"], lambda entry, wait: entries.extend(entry))
    (grant,) = policy_of(POLICY).grants(ALICE).values()
    for kind in KINDS:
        payload = KINDS[kind].form.read(request_of(kind))
        permit = grant.allow(payload, now=0.0, ledger=Memory())
        written.signed(ALICE, payload, ADDRESS, permit, 1, dict.fromkeys(KINDS[kind].form.recorded))
    written.refused(Peer(1, 2, 3), Refusal.of("order.price", "negative", ""))
    written.froze(Peer(1, 2, 3), "bids")
    names = {entry.partition("=")[0] for entry in entries if entry.startswith("ORDERSIGNER_")}
    assert len(names) == 33
    manual = page(built, "man/ordersignerd")
    ids = {journal.SIGNED, journal.REFUSED, journal.FAILED, journal.IN_FORCE, journal.FROZEN}
    assert [message_id for message_id in ids if message_id not in manual] == []
    assert names <= set(re.findall(r"ORDERSIGNER_\w+", manual))
    catalog = (SOURCE / "packaging/systemd/ordersigner.catalog").read_text()
    listed = set(re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.MULTILINE))
    assert ids < listed == set(re.findall(r'^"?([0-9a-f]{32})"?$', manual, re.MULTILINE))
    # The pages search only for fields that the daemon writes, and for kinds of entries that the manual lists.
    for place in ("operate", "troubleshoot", "monitor", "remote"):
        shown = page(built, f"run/{place}")
        variables = {"ORDERSIGNER_SOCKET", "ORDERSIGNER_BOOT"}
        assert set(re.findall(r"ORDERSIGNER_\w+", shown)) - variables <= names
        assert set(re.findall(r"MESSAGE_ID=(\w+)", shown)) <= listed


def test_troubleshooting_goes_by_codes_and_by_texts_that_the_programs_have() -> None:
    """Those of other programs are here: of systemctl, netcat, systemd, and what the system says about a connection."""
    others = [
        *(os.strerror(number) for number in (errno.ENOENT, errno.EACCES, errno.ECONNREFUSED)),
        "nc: invalid option -- 'N'",
        "Job for ordersigner.service failed.",
        "Couldn't stat device /dev/tpmrm0",
    ]
    terms = re.findall(r"^(``.+)\n    \S", (DOCS / "run/troubleshoot.rst").read_text(), re.MULTILINE)
    quoted = [text for term in terms for text in re.findall("``(.+?)``", term)]
    assert len(quoted) > 20
    modules = [ast.walk(ast.parse(path.read_text())) for path in (SOURCE / "ordersigner").rglob("*.py")]
    constants = [node.value for nodes in modules for node in nodes if isinstance(node, ast.Constant)]
    scripts = [(SOURCE / "packaging/systemd/check-keys").read_text()]
    texts = "\n".join([*others, *CODES, *scripts, *(text for text in constants if isinstance(text, str))])
    parts = {part.strip(" .:") for text in quoted for part in re.split("…|[.:] ", text)}
    assert {part for part in parts if part not in texts} == set()


def test_limits_and_defaults_are_documented_as_they_are(built: Path) -> None:
    limits = server.Limits()
    assert (limits.connections, limits.connections_per_user, limits.timeout, MAX_LINE) == (512, 256, 30, 65536)
    operate = " ".join(page(built, "run/operate").split())
    response, long = f"{protocol.MAX_RESPONSE:,} bytes", f"{1000 * turns.LONG:g} milliseconds"
    values = f"{protocol.MAX_VALUES:,} values"
    for limit in ("512", "256", "30 seconds", "65,536 bytes", "4096", values, response, long):
        assert limit in operate
    kernel, unsent, together, more = (  # the kernel doubles the first
        size // 1024
        for size in (
            2 * connection.SEND_BUFFER,
            channel.MAX_UNSENT,
            channel.MAX_ALL_UNSENT,
            channel.MAX_RESPONSES + protocol.MAX_RESPONSE,
        )
    )
    assert f"{kernel} KiB in the kernel and {unsent} KiB in the daemon" in operate
    assert f"{together // 1024} MiB, and up to {more} KiB more for each connection" in operate
    for name in ("man/ordersigner-protocol", "use/languages"):
        assert f"{protocol.MAX_RESPONSE:,}" in page(built, name)
    manual = " ".join(page(built, "man/ordersignerd").split())
    assert re.findall(r"The default is ([\w.]+)\.", manual) == [
        "0600",
        "you",
        "now",
        "512",
        "256",
        "30",
    ]


@pytest.fixture
def holder(directory: Path) -> Iterator[Daemon]:
    """A daemon that holds the key of the example."""
    key: str = EXAMPLE["request"]["signer"]
    cancels = "[hyperliquid cancels]\nactions = cancel\nnetwork = testnet\n"
    transfers = (
        f"[transaction transfers]\nchain = 1\nto = {TRANSFER['to']}\nfunction = none\nvalue <= 5\nfee <= 210000\n"
    )
    allows = f"{ORDERS}typed = any\nmessages = any\nhyperliquid = cancels\ntransactions = transfers\n"
    policy = MARKET + MESSAGES + cancels + transfers + rule("example", address(key), allows=allows)
    with standalone(directory, *holding(directory, {"example": key[2:]}, policy)) as running:
        yield running


def test_the_python_examples_work(holder: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their page, in one program. The first one is complete."""
    source = (DOCS / "use/python.rst").read_text()
    examples = re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", source, re.MULTILINE)
    assert len(examples) == 10
    request, signature = EXAMPLE["request"], EXAMPLE["expect"]["signature"]
    (mail,) = (row for row in vectors("typed-data/reference") if row["name"] == "EIP-712 Mail")
    typed_data = {part: mail[part] for part in ("types", "primaryType", "domain", "message")}
    (tmp_path / "order.json").write_text(json.dumps(request))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERSIGNER_SOCKET", holder.path)
    monkeypatch.setitem(sys.modules, "ordersigner_client", client)
    printed: list[object] = []
    program: dict[str, object] = {
        "order": request["order"],
        "instrument": request["instrument"],
        "key": request["signer"],
        "signer": address(request["signer"]),
        **typed_data,
        "typed_data": typed_data,
        "transaction": {"type": 0, "data": "0x", **TRANSFER},
        "requests": [request, request],
        "print": lambda *words: printed.append(words[0] if len(words) == 1 else words),
    }
    exec(textwrap.dedent(examples[0]), {"print": program["print"]})
    assert printed == source.split("\n   :class: answer\n\n")[1].split(maxsplit=1)[:1] == [signature]
    printed.clear()
    try:
        for number, example in enumerate(examples):
            if number == 8:  # the one that shows a refusal
                program["order"] = {**request["order"], "price": -1}
            exec(textwrap.dedent(example), program)
            program["order"] = request["order"]
        asyncio.run(program["main"]())  # type: ignore[operator]
    finally:
        used = program["client"]
        assert isinstance(used, client.Client)
        used.close()
    account = Account.from_key(request["signer"])
    cancel = {"action": {"type": "cancel", "cancels": [{"a": 0, "o": 5}]}, "nonce": 1_700_000_000_000}
    signed = [
        *[account.sign_message(encode_typed_data(full_message=typed_data))] * 2,
        *(account.sign_message(encode_defunct(text=text)) for text in ("1700000000000", "€ 5")),
        account.unsafe_sign_hash(digest_of_action({**cancel, "network": "testnet"})),
    ]
    sent = account.sign_transaction(TRANSFER)
    assert "   :class: answer\n\n   order.price ['negative']\n" in source
    assert printed == [
        *[signature] * 2,
        (address(request["signer"]), ["example"], True),
        *("0x" + bytes(one.signature).hex() for one in signed),
        ("0x" + bytes(sent.raw_transaction).hex(), "0x" + bytes(sent.hash).hex()),
        *[signature] * 2,
        ("order.price", ["negative"]),
        signature,
        [signature, signature],
    ]


# What a program gets from eth-account after the lines of README.rst.
IN_A_PROGRAM = """
import json, sys
from eth_account import Account
print(Account.from_key(sys.argv[1]).sign_typed_data(full_message=json.loads(sys.argv[2])).signature.hex())
"""


def test_after_the_readmes_lines_a_library_takes_the_address(holder: Daemon) -> None:
    (lines,) = (block for block in blocks((SOURCE / "README.rst").read_text()) if "sdks" in block)
    (mail,) = (row for row in vectors("typed-data/reference") if row["name"] == "EIP-712 Mail")
    typed_data = {part: mail[part] for part in ("types", "primaryType", "domain", "message")}
    key = EXAMPLE["request"]["signer"]
    printed = subprocess.run(
        [sys.executable, "-c", lines + IN_A_PROGRAM, address(key), json.dumps(typed_data)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "ORDERSIGNER_SOCKET": holder.path},
    ).stdout.strip()
    real = Account.from_key(key).sign_message(encode_typed_data(full_message=typed_data))
    assert printed.replace("0x", "") == bytes(real.signature).hex()


LANGUAGES_POLICY = f"""{MARKET}
[market BTC/DAI]
instrument = 1
quote = 0xb0F776EB352738CF25710d92Fca2f4A5e2c24D3e 18

[typed offer]
type = Offer(string item,uint256 price)
domain.name = Example
domain.chainId = 1

[message login]
pattern = Sign in.*

[hyperliquid perps]
actions = order

[transaction send]
chain = 1
to = 0x{40 * "5"}
function = none
value(18) <= 0.001
fee(18) <= 0.001
"""


@needs_root
def test_the_page_on_other_languages_shows_what_the_daemon_answers(directory: Path) -> None:
    """Each request on one line, in the order of the page, to one daemon."""
    page_source = (DOCS / "use/languages.rst").read_text()
    shown = [json.loads(block) for block in blocks(page_source.partition("\nWhat to know\n")[0])]
    requests, responses = shown[::2], shown[1::2]
    assert {request["type"] for request in requests} == {*KINDS, "signers", "freeze", "thaw", "status"}
    key: str = EXAMPLE["request"]["signer"]
    allows = "accounts = any\nmarkets = LEV/ETH BTC/DAI\ntyped = offer\nmessages = login\nhyperliquid = perps\n"
    policy = LANGUAGES_POLICY + rule("bot", address(key), allows=f"{allows}transactions = send\n")
    with standalone(directory, *holding(directory, {"bot": key[2:]}, policy), "--state", str(directory)) as running:
        lines = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
        given = [json.loads(line) for line in running.ask(lines).splitlines()]
    of_this_run = ("version", "pid", "started", "last_signed")
    for response in (given[-1], responses[-1]):
        assert all(response["status"].pop(name) for name in of_this_run)
    assert given == responses


def test_the_page_on_other_languages_lists_the_versions_that_were_tried() -> None:
    listed = dict(re.findall(r"^- (\S+) ([\d.]+)$", (DOCS / "use/languages.rst").read_text(), re.MULTILINE))
    assert listed == json.loads((SOURCE / "tests/examples/node/package.json").read_text())["dependencies"]


def blocks(source: str) -> list[str]:
    """The literal blocks of a page, and those of code, without their indentation."""
    found = re.findall(r"(?:::|^\.\. code-block:: .+\n(?:   :.+\n)*)\n\n?((?: {3,4}.*\n|\n)+)", source, re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") + "\n" for block in found]


def test_commands_with_an_address_have_a_button_to_copy_them_like_others(built: Path) -> None:
    pages = {path: path.read_text() for path in (built / "html").rglob("*.html")}
    assert sum("git clone " in re.sub("<[^>]+>", "", text) for text in pages.values()) > 2
    assert [path.name for path, text in pages.items() if '<pre class="literal-block">' in text] == []


def test_a_pager_cuts_no_entry_that_the_pages_to_start_with_show() -> None:
    pages = [*(DOCS / "start").glob("*.rst"), DOCS / "run/troubleshoot.rst"]
    asked = [
        line for page in pages for line in page.read_text().splitlines() if re.search("journalctl .*--lines", line)
    ]
    assert len(asked) > 3
    assert [line for line in asked if " --no-pager " not in line] == []


# The private key of the page's address: the first of the test accounts of Hardhat and Anvil, which everyone knows.
KEY_OF_THE_PAGE = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def test_the_page_on_writing_a_policy_shows_what_is_printed(tmp_path: Path, directory: Path) -> None:
    """With a user that this machine has in place of the page's."""
    source = (DOCS / "policies/write.rst").read_text()
    made, copy, check, page_of_rule, errors, request, trial, verdicts, _, ask, signers, _, freeze, frozen, thaw = (
        blocks(source)
    )
    assert re.match(r"ordersigner-keys new .+\nsystemctl restart ordersigner.service\n", made)  # a reload opens no key
    assert copy == "cp /usr/share/doc/ordersigner/examples/policies/x402.policy .\n"
    pays = json.loads(request)
    key, payee = pays["signer"], pays["typed_data"]["message"]["to"]
    text = (DOCS / "venues/x402.policy").read_text().replace("0x" + 40 * "1", key).replace("0x" + 40 * "2", payee)
    text = text.replace("users = x402-bot", "users = root")
    (tmp_path / "x402.policy").write_text(text)
    more = json.loads(request)
    more["typed_data"]["message"]["value"] = 150_000
    (tmp_path / "requests.jsonl").write_text(f"{json.dumps(pays)}\n{json.dumps(more)}\n")

    def said(shown: str, socket: str = "") -> tuple[int, str]:
        return printed(shown.replace("sudo -u x402-bot ", "").replace("x402-bot", "root"), tmp_path, socket)

    assert said(check) == (0, page_of_rule.replace("x402-bot (1000)", "root (0)"))
    assert said(trial) == (1, verdicts)
    misspelled = text.replace("\nmessage.value(6)", "\nmessage.values(6)").replace("\nrate", "\nrates")
    (tmp_path / "x402.policy").write_text(misspelled)
    assert said(check) == (1, errors)
    policy = text.replace("users = root", f"users = {os.geteuid()}")
    options = (*holding(directory, {"payments": KEY_OF_THE_PAGE}, policy), "--state", str(directory))
    with standalone(directory, *options) as running:
        assert said(ask, running.path) == (0, signers)
        assert said(freeze, running.path) == (0, frozen)
        assert said(ask, running.path) == (0, signers.replace("x402", "x402 (frozen)"))
        if os.geteuid() == 0:
            assert said(thaw, running.path)[0] == 0


def printed(shown: str, directory: Path, socket: str = "") -> tuple[int, str]:
    """The exit status and all output of a command of the package, in a directory."""
    name, *words = shown.split()
    module = {"ordersignerd": "ordersigner.daemon.main", "ordersigner": "ordersigner.commands.main"}[name]
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())", *words],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "ORDERSIGNER_SOCKET": socket},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_the_page_on_the_shell_shows_what_is_printed(directory: Path) -> None:
    source = (DOCS / "use/shell.rst").read_text()
    sign, signature, _, many, refusal, _, ping, version, ask, signers, *_ = blocks(source)
    key: str = EXAMPLE["request"]["signer"]
    rules = MARKET + "".join(rule(name, address(key)) for name in ("bids", "asks"))
    example = "/usr/share/doc/ordersigner/examples/order.json"
    wrong = {**EXAMPLE["request"], "order": {**EXAMPLE["request"]["order"], "price": -1}}
    (directory / "orders.jsonl").write_text(f"{json.dumps(EXAMPLE['request'])}\n{json.dumps(wrong)}\n")
    (directory / "order.json").write_text(json.dumps(EXAMPLE["request"]))
    with standalone(directory, *holding(directory, {"bot": key[2:]}, rules)) as running:
        assert printed(sign.replace(example, "order.json"), directory, running.path) == (0, signature)
        status, output = printed(many.partition(" >")[0], directory, running.path)
        assert (status, sorted(output.split("\n"))) == (1, sorted([signature.strip(), "", refusal.strip(), ""]))
        assert printed(ask, directory, running.path) == (0, signers)
        status, output = printed(ping, directory, running.path)
        assert (status, re.sub(" in .*", "", output)) == (
            0,
            re.sub(" in .*", "", version).replace(client.SYSTEM_SOCKET, running.path),
        )


def quickstart(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(SOURCE / "packaging/quickstart"), *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def test_quickstart_prints_the_request_and_the_answer_and_nothing_else() -> None:
    ended = quickstart("--once")
    assert ended.returncode == 0, ended.stderr
    request, blank, answer = ended.stdout.splitlines()
    assert json.loads(request) == REQUEST
    assert blank == ""
    assert json.loads(answer) == RESPONSE


def test_quickstart_has_a_rule_whose_refusal_is_the_one_that_its_page_shows(tmp_path: Path) -> None:
    """The second command that it prints for another terminal. That needs nothing but Python, in any directory."""
    (tmp_path / "python3").symlink_to(sys.executable)
    (tmp_path / "sed").symlink_to(str(shutil.which("sed")))
    shown = json.loads(blocks((DOCS / "start/quickstart.rst").read_text().split("\nBe refused\n")[1])[0])
    with subprocess.Popen(
        [*DEFAULT_SIGNALS, str(SOURCE / "packaging/quickstart")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Press Ctrl-C"):
            lines.append(running.stderr.readline())
            assert lines[-1], lines
        (again, refused) = (line.strip() for line in lines if " --socket " in line)
        answers = [
            json.loads(
                subprocess.run(
                    [str(shutil.which("bash")), "-c", command],
                    stdout=subprocess.PIPE,
                    check=False,
                    cwd=tmp_path,
                    env={"PATH": str(tmp_path)},
                    timeout=60,
                ).stdout
            )
            for command in (again, refused)
        ]
        running.terminate()
        assert running.wait(60) == 0
    assert answers == [RESPONSE, shown]


def test_quickstart_explains_itself() -> None:
    asked, mistaken = quickstart("--help"), quickstart("--hepl")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert (mistaken.returncode, mistaken.stdout) == (2, "")
    assert asked.stdout == mistaken.stderr
    assert asked.stdout.startswith("Usage: packaging/quickstart")
