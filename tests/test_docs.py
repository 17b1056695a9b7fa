"""The documentation: it builds, it leaves nothing out, and what it shows works."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from daemon import EXAMPLE, SOURCE, Daemon

from ordersigner import __main__ as daemon_command
from ordersigner import cli, client, journal, server
from ordersigner.framing import MAX_LINE
from ordersigner.journal import LEVELS, Journal
from ordersigner.peer import Peer
from ordersigner.refusal import CODES, Refusal

DOCS = SOURCE / "docs"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory where `make` has put html and man, and Sphinx, as `text`, what people read."""
    pytest.importorskip("sphinx")
    output = tmp_path_factory.mktemp("docs")
    make = ["make", "-C", str(DOCS), "html", "man", f"SPHINXBUILD={sys.executable} -m sphinx", f"BUILDDIR={output}"]
    text = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "text", str(DOCS), str(output / "text")]
    for command in (make, text):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return output


def page(built: Path, name: str) -> str:
    return (built / "text" / f"{name}.txt").read_text()


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Those that `--help` lists, of its commands too."""
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
    assert {"ordersigner.1", "ordersigner-protocol.7", "ordersignerd.8"} <= pages


def test_the_protocol_lists_every_error_code(built: Path) -> None:
    shown = re.findall(r'^"(\w+)"$', page(built, "man/ordersigner-protocol"), re.MULTILINE)
    assert [code for code in shown if code in CODES] == list(CODES)


def test_the_protocol_explains_every_field_of_an_order(built: Path) -> None:
    fields = set(re.findall(r'"((?:order|instrument)\.[\w.]+)"', (SOURCE / "ordersigner" / "orders.py").read_text()))
    assert len(fields) > 10
    assert fields <= set(re.findall(r"[\w.]+", page(built, "man/ordersigner-protocol")))


@pytest.mark.parametrize("parser", [daemon_command.parser(), cli.parser()], ids=lambda parser: parser.prog)
def test_a_man_page_lists_every_option(built: Path, parser: argparse.ArgumentParser) -> None:
    wanted = options(parser)
    assert {"--help", "--socket", "--timeout", "--version"} <= wanted
    assert wanted <= set(re.findall("^ *(--[a-z-]+)", page(built, f"man/{parser.prog}"), re.MULTILINE))


def test_the_man_page_lists_every_field_and_message_id_of_the_journal(built: Path) -> None:
    entries: list[str] = []
    order = {**EXAMPLE["request"]["order"]}
    written = Journal(LEVELS["info"], lambda *fields: entries.extend(fields))
    written.signed(Peer(1, 2, 3), "spot", order, "0x", b"", 1)
    written.refused(Peer(1, 2, 3), Refusal.of("order.price", "negative", ""))
    names = {entry.partition("=")[0] for entry in entries if entry.startswith("ORDERSIGNER_")}
    assert len(names) == 12
    for place in ("man/ordersignerd", "operate"):
        for message_id in (journal.SIGNED, journal.REFUSED, journal.FAILED):
            assert message_id in page(built, place)
    assert names <= set(re.findall(r"ORDERSIGNER_\w+", page(built, "man/ordersignerd")))
    # And what the examples ask for is written.
    assert set(re.findall(r"ORDERSIGNER_\w+", page(built, "operate"))) - {"ORDERSIGNER_SOCKET"} <= names


def test_limits_are_told_as_they_are(built: Path) -> None:
    limits = server.Limits()
    assert (limits.connections, limits.connections_per_user, limits.timeout, MAX_LINE) == (512, 256, 30, 65536)
    for limit in ("512", "256", "30 seconds", "65,536 bytes", "4096"):
        assert limit in page(built, "operate")
    manual = page(built, "man/ordersignerd")
    assert "512 unless given" in manual
    assert "256 unless given" in manual
    assert "30 unless given" in manual


def test_the_python_examples_work(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their page, in one program."""
    source = (DOCS / "python.rst").read_text()
    examples = re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", source, re.MULTILINE)
    assert len(examples) == 5
    request, signature = EXAMPLE["request"], EXAMPLE["expect"]["signature"]
    (tmp_path / "order.json").write_text(json.dumps(request))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERSIGNER_SOCKET", daemon.path)
    monkeypatch.setitem(sys.modules, "ordersigner_client", client)
    printed: list[object] = []
    program: dict[str, object] = {
        "order": request["order"],
        "instrument": request["instrument"],
        "key": request["signer"],
        "requests": [request, request],
        "SignerError": client.SignerError,
        "print": lambda *words: printed.append(words[0] if len(words) == 1 else words),
    }
    try:
        for number, example in enumerate(examples):
            if number == 3:  # the one that shows a refusal
                program["order"] = {**request["order"], "price": -1}
            exec(textwrap.dedent(example), program)
            program["order"] = request["order"]
        asyncio.run(program["main"]())  # type: ignore[operator]
    finally:
        used = program["client"]
        assert isinstance(used, client.Client)
        used.close()
    assert printed == [
        *[signature] * 4,
        ("order.price", ["negative"]),
        signature,
        [signature, signature],
    ]
