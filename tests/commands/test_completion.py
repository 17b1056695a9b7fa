"""Bash completes the three commands: their commands and options, and the names of keys, rules, users and files."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import run, shown_on
from support.daemon import DEFAULT_SIGNALS, EXAMPLE, SOURCE, TIME_LIMIT, Daemon, needs_root, standalone
from support.held import MARKET, address, holding, rule

from ordersigner.commands import main as cli
from ordersigner.daemon import arguments as daemon_command
from ordersigner.keytool import main as keytool

COMPLETION = SOURCE / "packaging/completion"
PARSERS = {parser.prog: parser for parser in (cli.parser(), keytool.parser(), daemon_command.parser())}
COMMANDS = {  # such as "ordersigner" and "ordersigner sign", with what reads their options
    **PARSERS,
    **{
        command.prog: command
        for parser in PARSERS.values()
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    },
}
COMMON = ["--help", "--socket", "--timeout"]
FILES = ["file one", "file two"]


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A directory with files, with keys, and with the command on a PATH."""
    for name in (*FILES, "other"):
        (tmp_path / name).touch()
    (tmp_path / "keys").mkdir()
    for name in ("asks", "bids", "bids.old", "not a key", ".hidden"):
        (tmp_path / "keys" / name).touch()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/ordersigner"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {sys.executable} -m ordersigner.commands "$@"\n')
    command.chmod(0o755)
    return tmp_path


def completed(directory: Path, *words: str, socket: str = "/nonexistent") -> list[str]:
    """What the function of the command, the first word, offers for the last word."""
    script = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_${1//-/_}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(
        ["bash", "-c", script, "bash", str(COMPLETION / words[0]), *words],
        cwd=directory,
        env={**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}", "ORDERSIGNER_SOCKET": socket},
        capture_output=True,
        check=True,
    )
    assert ended.stderr == b""
    return sorted(filter(None, ended.stdout.decode().split("\n")))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ordersigner|", ["compare", "freeze", "ping", "sign", "signers", "status", "thaw"]),
        ("ordersigner|s", ["sign", "signers", "status"]),
        ("ordersigner|--socket|sign|s", ["sign", "signers", "status"]),
        ("ordersigner|--socket|=|sign|s", ["sign", "signers", "status"]),
        ("ordersigner|--", [*COMMON, "--version"]),
        ("ordersigner|ping|", COMMON),
        ("ordersigner|signers|", ["--help", "--json", "--socket", "--timeout"]),
        ("ordersigner|sign|fi", FILES),
        ("ordersigner|sign|freeze|fi", FILES),
        ("ordersigner|compare|fi", FILES),
        ("ordersigner|compare|--earlier|fi", FILES),
        ("ordersigner|sign|--socket|fi", FILES),
        ("ordersigner|sign|--socket|=|fi", FILES),
        ("ordersigner|sign|--socket|=", [*FILES, "bin", "keys", "other"]),
        ("ordersigner|sign|--timeout|", []),
        ("ordersigner|freeze|", []),  # no daemon answers
        ("ordersigner-keys|", ["import", "list", "new", "remove"]),
        ("ordersigner-keys|r", ["remove"]),
        ("ordersigner-keys|--", ["--help", "--version"]),
        ("ordersigner-keys|new|", []),
        ("ordersigner-keys|new|--backup|fi", FILES),
        ("ordersigner-keys|import|", []),
        ("ordersigner-keys|import|fi", []),
        ("ordersigner-keys|import|bids|fi", FILES),
        ("ordersigner-keys|import|--keys|keys|bids|fi", FILES),
        ("ordersigner-keys|import|--plain|--passphrase-fd|3|bids|fi", FILES),
        ("ordersigner-keys|import|bids|file one|fi", []),
        ("ordersigner-keys|import|--passphrase-fd|", []),
        ("ordersigner-keys|list|", ["--help", "--keys", "--plain"]),
        ("ordersigner-keys|list|--keys|k", ["keys"]),
        ("ordersigner-keys|remove|--keys|keys|", ["asks", "bids", "bids.old"]),
        ("ordersigner-keys|remove|--keys|keys|b", ["bids", "bids.old"]),
        ("ordersigner-keys|remove|--plain|--keys|=|keys|a", ["asks"]),
        ("ordersigner-keys|remove|--keys|none|", []),
        ("ordersigner-keys|remove|--keys|keys|bids|", []),
        ("ordersigner-keys|list|import", []),
        ("ordersignerd|--lo", ["--log-level"]),
        ("ordersignerd|--check|--t", ["--timeout", "--try"]),
        ("ordersignerd|--log-level|", ["debug", "err", "info", "notice", "warning"]),
        ("ordersignerd|--log-level|=|n", ["notice"]),
        ("ordersignerd|--check|--policy|fi", FILES),
        ("ordersignerd|--check|--try|fi", FILES),
        ("ordersignerd|--keys|", ["bin", "keys"]),
        ("ordersignerd|--check|--try|-|--as|roo", ["root"]),
        ("ordersignerd|--max-connections|", []),
    ],
)
def test_bash_is_offered(full: Path, words: str, expected: list[str]) -> None:
    assert completed(full, *words.split("|")) == sorted(expected)


@pytest.mark.parametrize("command", COMMANDS)
def test_completion_and_parser_know_the_same_options(command: str, full: Path) -> None:
    actions = COMMANDS[command]._actions
    known = {option for action in actions for option in action.option_strings if option.startswith("--")}
    assert completed(full, *command.split(), "--") == sorted(known)
    valueless = {option for action in actions if action.nargs == 0 for option in action.option_strings}
    for option in known - valueless:  # after one that takes a value, no option is offered
        assert not set(completed(full, *command.split(), option, "-")) & known


def test_completion_and_parser_know_the_same_commands(full: Path) -> None:
    for name in ("ordersigner", "ordersigner-keys"):
        assert [f"{name} {word}" for word in completed(full, name, "")] == sorted(
            command for command in COMMANDS if command.startswith(f"{name} ")
        )


@pytest.fixture
def holder(full: Path) -> Iterator[Daemon]:
    """A daemon with rules for this user and for another."""
    home = full / "daemon"
    (home / "state").mkdir(parents=True)
    key: str = EXAMPLE["request"]["signer"]
    names = ("asks", "bids", "bids.2")
    rules = "".join(rule(name, address(key)) for name in names) + rule("others", address(key), user=54321)
    options = [*holding(home, {"example": key[2:]}, MARKET + rules), "--state", str(home / "state")]
    with standalone(home, *options) as running:
        yield running


def test_freeze_is_offered_rules_and_thaw_those_that_are_frozen(holder: Daemon, full: Path) -> None:
    others = ["others"] if os.geteuid() == 0 else []
    assert completed(full, "ordersigner", "freeze", "", socket=holder.path) == ["asks", "bids", "bids.2", *others]
    assert completed(full, "ordersigner", "freeze", "--socket", holder.path, "b") == ["bids", "bids.2"]
    assert completed(full, "ordersigner", "--socket", "=", holder.path, "freeze", "bids", "a") == ["asks"]
    assert run(holder.path, "freeze", "bids")[0] == 0
    assert "bids" in completed(full, "ordersigner", "freeze", "", socket=holder.path)
    if os.geteuid() == 0:
        assert completed(full, "ordersigner", "thaw", "", socket=holder.path) == ["bids"]


@needs_root
def test_a_user_who_is_not_root_is_offered_the_rules_that_the_daemon_lists(
    holder: Daemon, open_directory: Path
) -> None:
    """With what the daemon lists for this user: a file, because another user may not read this user's Python."""
    assert run(holder.path, "freeze", "bids")[0] == 0
    (open_directory / "listed").write_text(run(holder.path, "signers")[1])
    (open_directory / "ordersigner").write_text('#!/bin/sh\n[ "$1" = signers ] && cat "${0%/*}/listed"\n')
    (open_directory / "ordersigner").chmod(0o755)
    script = (
        f"{(COMPLETION / 'ordersigner').read_text()}\nPATH={open_directory}:$PATH\n"
        "COMP_WORDS=(ordersigner freeze '') COMP_CWORD=2\n_ordersigner\necho \"${COMPREPLY[@]}\""
    )
    command = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "bash", "-c", script]
    ended = subprocess.run(command, cwd="/", capture_output=True, check=True, text=True)
    assert (ended.stdout, ended.stderr) == ("asks bids bids.2\n", "")


def test_no_name_that_a_daemon_lists_is_run_as_a_command(full: Path) -> None:
    name = "$(touch${IFS}made)"
    lines = [f"  rule {name} 1 signed, 0 refused, frozen", f"0x12 {name}, bids, `touch made`"]
    (full / "listed").write_text("\n".join(lines) + "\n")
    (full / "bin/ordersigner").write_text(f"#!/bin/sh\ncat {full}/listed\n")
    for command in ("freeze", "thaw"):
        assert completed(full, "ordersigner", command, "")
    assert not (full / "made").exists()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may search; pytest's own is closed."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("ordersigner sig", "ordersigner sign"),  # and not "signers": there are two
        ("ordersigner st", "ordersigner status "),
        ("ordersigner sign oth", "ordersigner sign other "),
        ("ordersigner sign --socket=oth", "ordersigner sign --socket=other "),
        ("ordersigner sign file", "ordersigner sign file\\ "),
        ("ordersigner-keys remove --keys keys a", "ordersigner-keys remove --keys keys asks "),
        ("ordersigner-keys remove --keys=ke", "ordersigner-keys remove --keys=keys/"),
        ("ordersignerd --check --pol", "ordersignerd --check --policy "),
        ("ordersignerd --log-level=war", "ordersignerd --log-level=warning "),
    ],
)
def test_the_tab_key_completes_a_line(typed: str, line: str, full: Path) -> None:
    """At bash's own prompt. There, Ctrl-A and a word in front turn the line into one that is only printed."""
    scripts = "; ".join(f"source {COMPLETION / name}" for name in PARSERS)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    bash = subprocess.Popen(
        [*DEFAULT_SIGNALS, "setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
        cwd=full,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "INPUTRC": "/dev/null", "TERM": "dumb"},
    )
    try:
        os.write(ours, f"{scripts}\nbind 'set bell-style none'\n{typed}\t\x01printf 'line<%s>' '\x05'\nexit\n".encode())
        bash.wait(TIME_LIMIT)
    finally:
        bash.kill()
        bash.wait()
        os.close(theirs)
        seen = shown_on(ours)
    assert f"line<{line}>" in seen
