"""The daemon's counters: who gets them, and how `ordersigner status` shows them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import run
from support.daemon import EXAMPLE, EXAMPLE_LINE, Daemon, needs_root, standalone, wait_until
from support.files import LINE, Files
from support.servers import REFUSAL, Server, answering
from support.services import ALICE, service_with

from ordersigner.commands import status
from ordersigner.daemon.main import may_read
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Policy
from ordersigner.refusal import CODES
from ordersigner.signing import protocol
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.counters import Counters
from ordersigner.signing.journal import LEVELS, Journal

OTHER = 54321  # a number that belongs to no user here
STATUS = b'{"type": "status"}'


def numbers(daemon: Daemon) -> Any:
    return json.loads(daemon.ask(STATUS + b"\n"))["status"]


def test_signatures_are_counted_by_type_and_rule_and_refusals_by_code(files: Files) -> None:
    began = time.time()
    with standalone(files.directory, *files.options) as daemon:
        before = numbers(daemon)
        assert began < before["started"] < time.time()
        assert (before["pid"], before["last_signed"]) == (daemon.pid, None)
        daemon.ask(LINE * 2 + EXAMPLE_LINE + b'\nx\n{"type": "spot"}\n')
        after = numbers(daemon)
        assert before["started"] < after["last_signed"] < time.time()
        expected = {
            "signed": 3,
            "signed_by_type": {"spot": 3},
            "signed_by_rule": {"all": 2},
            "refused": 2,
            "refused_by_code": {"not_json": 1, "missing": 1},
            "failed": 0,
            "not_recorded": 0,
            "keys": 1,
            "keys_wanted": 1,
            "frozen": [],
            "rules": {"all": {"signed": 2, "refused": 0, "frozen": False, "totals": []}},
        }
        assert {key: after[key] for key in expected} == expected


def test_the_connections_are_those_that_are_open(daemon: Daemon) -> None:
    with daemon.connect(), daemon.connect():
        wait_until(lambda: numbers(daemon)["connections"] == 3)
    wait_until(lambda: numbers(daemon)["connections"] == 1)


def test_a_rule_that_is_no_longer_in_force_is_not_counted() -> None:
    counters = Counters()
    for rule in ("bids", "asks", ""):
        counters.count("spot", rule)
    counters.forget_rules_except({"asks", "new"})
    assert counters.numbers()["signed_by_rule"] == {"asks": 1}
    assert counters.signed == 3


def test_entries_that_nobody_took_are_counted() -> None:
    def full(entry: object, wait: bool) -> None:
        raise BlockingIOError

    service = Service(Journal(LEVELS["info"], full), may_read_status=lambda peer: True)
    for _ in range(2):
        Conversation(service, ALICE).respond(EXAMPLE_LINE)
    assert service.numbers()["not_recorded"] == 2


def test_a_client_that_may_not_read_the_status_is_refused() -> None:
    answer = json.loads(Conversation(service_with(), ALICE).respond(STATUS[:-1] + b', "id": 3}'))
    assert (answer["id"], answer["error"]["type"]) == (3, "PermissionError")
    assert [problem["code"] for problem in answer["error"]["context"]["type"]] == ["not_allowed"]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may search; pytest's own is closed."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.mark.parametrize(
    ("mode", "owner", "group", "world"),
    [(0o600, True, False, False), (0o640, True, True, False), (0o644, True, True, True), (0o040, False, True, False)],
)
def test_who_may_read_the_policy_may_read_the_status(
    open_directory: Path, mode: int, owner: bool, group: bool, world: bool
) -> None:
    policy = open_directory / "policy"
    policy.touch()
    if os.getuid() == 0:
        os.chown(policy, 1000, 2000)
    policy.chmod(mode)
    path, state = str(policy), policy.stat()
    uid, gid = state.st_uid, state.st_gid
    assert Peer(1, uid, OTHER).may_read(path) is owner
    assert Peer(1, OTHER, gid).may_read(path) is Peer(1, OTHER, OTHER, (5, gid)).may_read(path) is group
    assert Peer(1, OTHER, OTHER).may_read(path) is world
    assert may_read(Peer(1, 0, 0), path)
    assert may_read(Peer(1, OTHER, OTHER), path) is world


@pytest.mark.parametrize(
    ("mode", "readable"), [(0o700, False), (0o710, False), (0o711, True), (0o744, False), (0o755, True)]
)
def test_who_may_not_search_a_directory_above_the_policy_may_not_read_the_status(
    open_directory: Path, mode: int, readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, below = open_directory / "closed", open_directory / "closed/below"
    below.mkdir(parents=True)
    (below / "policy").touch()
    (below / "policy").chmod(0o644)
    # The ways through the directory: direct, by a link to the file, to the directory, and through it to a file outside.
    (open_directory / "outside").touch()
    (open_directory / "to-policy").symlink_to("closed/below/policy")
    (open_directory / "to-directory").symlink_to(below)
    (below / "out").symlink_to("../../outside")
    (open_directory / "chain").symlink_to("closed/below/out")
    closed.chmod(mode)
    monkeypatch.chdir(open_directory)
    ways = ["closed/below/policy", "to-policy", "to-directory/policy", "chain", "closed/../outside"]
    for way in (*ways, *(f"{open_directory}/{way}" for way in ways)):
        assert may_read(Peer(1, OTHER, OTHER), way) is readable, way
    assert may_read(Peer(1, OTHER, OTHER), "outside")
    assert not may_read(Peer(1, OTHER, OTHER), "none")


@needs_root
def test_the_kernel_agrees_on_who_may_read_the_policy(open_directory: Path) -> None:
    """Root's files can be like this: every user may read the file, but may not enter its directory."""
    policy = open_directory / "root's" / "policy"
    policy.parent.mkdir(0o700)
    policy.touch()
    policy.chmod(0o644)
    for mode in (0o700, 0o755):
        policy.parent.chmod(mode)
        assert may_read(Peer(1, OTHER, OTHER), str(policy)) is readable_for(OTHER, policy) is (mode == 0o755)


def readable_for(uid: int, path: Path) -> bool:
    """Whether a process of that user, without other groups, can open a file."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "cat", str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("path", [None, "/nonexistent/policy"])
def test_without_a_policy_root_and_the_daemons_own_user_may_read_it(path: str | None) -> None:
    assert may_read(Peer(1, 0, 0), path)
    assert may_read(Peer(1, os.getuid(), 54321), path)
    assert not may_read(Peer(1, 54321, 54321), path)


def test_no_status_is_longer_than_a_response_may_be() -> None:
    counters = Counters()
    names = [f"{number:03}" + "r" * 61 for number in range(reader.MAX_GRANTS)]
    for rule in names:
        counters.signed_by_rule[rule] = 10**15
    counters.signed_by_type.update(dict.fromkeys(KINDS, 10**15))
    counters.refused_by_code.update(dict.fromkeys(CODES, 10**15))
    service = Service(Journal(LEVELS["info"], print), policy=Policy())
    service.counters = counters
    longest = protocol.status(service.numbers(), "\U0001f600" * protocol.MAX_ID_LENGTH)
    assert len(longest) < protocol.MAX_RESPONSE


# The command


def test_the_command_shows_the_counters(files: Files) -> None:
    with standalone(files.directory, *files.options) as daemon:
        daemon.ask(LINE * 2 + EXAMPLE_LINE + b"\nx\n")
        outcome, output, errors = run(daemon.path, "status")
        assert (outcome, errors) == (0, "")
        first, *lines = (line.split() for line in output.splitlines())
        assert first[:2] == ["process", f"{daemon.pid},"]
        assert lines == [
            ["now", "1", "connection,", "1", "of", "1", "keys,", "1", "rule"],
            ["signed", "3,", "the", "last", "one", *lines[1][5:]],
            ["spot", "3"],
            ["rule", "all", "2"],
            ["refused", "1"],
            ["not_json", "1"],
            ["failed", "0"],
            ["all", "processes", "together:"],
            ["rule", "all", "2", "signed,", "0", "refused"],
        ]


def test_the_command_shows_totals_and_what_is_frozen() -> None:
    total = {"section": "x402", "term": "message.value(6)", "span": "day", "used": "0.5", "limit": "100"}
    rules = {
        "pay": {"signed": 12345, "refused": 1, "frozen": True, "totals": [total]},
        "desk": {
            "signed": None,
            "refused": None,
            "frozen": False,
            "totals": [{**total, "section": "", "term": "max-total-notional", "span": "hour", "used": None}],
        },
    }
    shown = list(status.words_of_rules({"rules": rules, "frozen": ["gone", "pay"]}))
    assert shown == [
        "all processes together:",
        "  rule pay       12,345 signed, 1 refused, frozen",
        "    in a day     0.5 of 100: [x402] message.value(6)",
        "  rule desk      unknown signed, unknown refused",
        "    in an hour   unknown of 100: [rule desk] max-total-notional",
        "  frozen         gone: the policy has no such rule",
    ]
    shown = list(status.words_of_rules({"rules": rules, "frozen": ["gone", "pay"], "rules_left_out": 3}))
    assert shown[-1] == "  and 3 more rules, which the answer has no room for"
    assert list(status.words_of_rules({"rules": {}, "frozen": []})) == []


def test_the_command_writes_json_for_programs(daemon: Daemon) -> None:
    outcome, output, errors = run(daemon.path, "status", "--json")
    found = json.loads(output)
    assert (outcome, errors, found["silent"]) == (0, "", [])
    (process,) = found["processes"]
    assert (process["pid"], process["signed"]) == (daemon.pid, 0)


def test_a_refusal_is_status_1() -> None:
    refusal = REFUSAL.rstrip() % b'{"code": "not_valid_choice", "message": "No such type."}'
    with Server(answering(refusal)) as server:
        assert run(server.path, "status") == (1, "", "ordersigner: request: No such type. (not_valid_choice)\n")


@pytest.mark.parametrize("answer", [b'{"ok": true}', b'{"ok": true, "status": {"pid": "x"}}'])
def test_an_answer_that_is_no_status_is_status_2(answer: bytes) -> None:
    with Server(answering(answer)) as server:
        assert run(server.path, "status") == (2, "", "ordersigner: the response has no valid status\n")


def test_no_daemon_is_status_2(tmp_path: Path) -> None:
    assert run(str(tmp_path / "socket"), "status")[0] == 2


def test_without_systemd_no_unit_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert status.running() == {}


def test_the_example_has_an_answer_in_words(daemon: Daemon) -> None:
    daemon.ask(json.dumps(EXAMPLE["request"]).encode() + b"\n")
    assert next(status.words({"unit": None, **numbers(daemon)})).startswith(f"process {daemon.pid}, version ")
