"""The journal for entries about held keys: its entries, who can write to it, and what it survives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from programs.flood import (
    BAD_LINE,
    HELD_LINE,
    HELD_REQUEST,
    SECONDS,
    cannot_write,
    flood,
    restart,
    signatures,
)
from programs.soak import prepared
from support.daemon import EXAMPLE_LINE, connect, wait_until

from ordersigner.signing import journal
from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, STRANGER, Packages, ask, drop_in, install, one_suite
from system.machine import TIMEOUT, Machine

JOURNALD = "systemd-journald@ordersigner.service"
NAMESPACE_SOCKETS = ("systemd-journald@ordersigner.socket", "systemd-journald-varlink@ordersigner.socket")
MAIN = "systemd-journald.service"
MAIN_SOCKETS = ("systemd-journald.socket", "systemd-journald-dev-log.socket")
WITH_HELD_KEY = "ORDERSIGNER_RULE=load-0"
MADE_UP = "ORDERSIGNER_RULE=made-up"
MANY = 60_000  # more than journald accepts from a unit in half a minute by default
BATCH = 100
FEW = 2000
START_LIMIT = 5  # starts in ten seconds, by systemd's default


class Trail(NamedTuple):
    """A machine whose daemon holds a key, which root may use, and the path of its socket on the host."""

    machine: Machine
    path: str

    def codes(self, *lines: bytes) -> list[str]:
        """The codes of the responses on a new connection, empty for a signature."""
        with connect(self.path) as client, client.makefile("rb") as responses:
            return [code_of(client.sendall, responses.readline, line) for line in lines]

    def ask_often(self, line: bytes, number: int) -> int:
        """How many of that many requests got a signature."""
        given = 0
        with connect(self.path) as client, client.makefile("rb") as responses:
            for _ in range(number // BATCH):
                client.sendall((line.rstrip(b"\n") + b"\n") * BATCH)
                given += sum(b'"signature"' in responses.readline() for _ in range(BATCH))
        return given


def code_of(send: Callable[[bytes], object], receive: Callable[[], bytes], line: bytes) -> str:
    send(line.rstrip(b"\n") + b"\n")
    response = json.loads(receive())
    if response["ok"]:
        return ""
    ((problem,),) = response["error"]["context"].values()
    return str(problem["code"])


@pytest.fixture
def trail(installed: Machine) -> Iterator[Trail]:
    with prepared(installed) as path:
        yield Trail(installed, path)


def in_namespace(machine: Machine, *matches: str, since: int) -> list[str]:
    """The messages of the entries that only the journal for held keys has."""
    machine.sync_journals()
    return [entry["MESSAGE"] for entry in machine.stored("--namespace=ordersigner", *matches, since=since)]


@one_suite
def test_a_flood_leaves_all_entries_about_held_keys(installed: Machine) -> None:
    """By a client without a rule and by another program, for some seconds. flood.py runs this for any time."""
    print(flood(installed, SECONDS))


@one_suite
def test_as_many_signatures_as_there_are_have_entries(installed: Machine) -> None:
    """journald drops none for their rate."""
    with prepared(installed) as path:
        before = installed.now()
        given = Trail(installed, path).ask_often(EXAMPLE_LINE, MANY)
        assert given == MANY
        assert signatures(installed, before) == MANY


def test_entries_about_held_keys_are_in_the_journal_of_their_own_and_one_command_shows_all(trail: Trail) -> None:
    machine = trail.machine
    machine.sync_journals()  # those of the last start are there
    before = machine.now()
    machine.run("systemctl", "restart", SERVICE)
    assert trail.codes(EXAMPLE_LINE, HELD_LINE, b"x", BAD_LINE) == ["", "", "not_json", "unknown_signer"]
    assert ask(machine, HELD_REQUEST) != RESPONSE  # of a member without a rule
    begins = [message.split()[0] for message in in_namespace(machine, "SYSLOG_IDENTIFIER=ordersigner", since=before)]
    assert begins == ["In", "Signed"]
    (pointer,) = (entry for entry in machine.entries(since=before) if "journalctl" in entry["MESSAGE"])
    command = pointer["MESSAGE"].partition(": ")[2]
    for shown in (command, f"journalctl --namespace=+ordersigner --unit {SERVICE}"):
        output = machine.run("sh", "-c", f"{shown} --no-pager --since @{before // 1_000_000}")
        assert all(word in output for word in ("In force", "Signed", "rule load-0", "not_json", "Listening on"))


@pytest.mark.parametrize("user", [MEMBER, STRANGER])
def test_no_user_can_write_to_the_journal_for_held_keys(trail: Trail, user: str) -> None:
    """Not even one who may read it. systemd gives what is in the RuntimeDirectory= of its journald to their group."""
    for _ in range(2):
        assert trail.codes(HELD_LINE) == [""]
        trail.machine.sync_journals()  # its journald has started
        cannot_write(trail.machine, user)
        cannot_write(trail.machine, user, "ordersigner", "systemd-journal", "adm", "ordersigner-policy")
        trail.machine.run("systemctl", "restart", JOURNALD)
    group = trail.machine.run("getent", "group", "ordersigner-journal")
    assert re.fullmatch(r"ordersigner-journal:x:\d+:", group)


def test_an_entry_that_a_user_made_up_is_left_out_by_the_units_name(trail: Trail) -> None:
    machine = trail.machine
    machine.run(
        "logger", "--journald", user=STRANGER, input=f"MESSAGE=made up\nSYSLOG_IDENTIFIER=ordersigner\n{MADE_UP}\n"
    )
    assert trail.codes(HELD_LINE, EXAMPLE_LINE) == ["", ""]
    machine.sync_journals()
    shown = ["journalctl", "--namespace=+ordersigner", "--quiet", "--no-pager", "--output=cat"]
    by_unit = [*shown, "--unit", "ordersigner*"]
    assert "made up" in machine.run(*shown, MADE_UP).splitlines()
    assert machine.run(*by_unit, MADE_UP) == ""
    assert in_namespace(machine, MADE_UP, since=0) == []
    own = machine.run(*by_unit, f"MESSAGE_ID={journal.SIGNED}").splitlines()
    assert any("rule load-0" in line for line in own)
    assert any("rule" not in line for line in own)


@pytest.mark.parametrize("group", ["adm", "systemd-journal"])
def test_those_who_may_read_the_systems_journal_may_read_it(trail: Trail, group: str) -> None:
    assert trail.codes(HELD_LINE) == [""]
    trail.machine.sync_journals()
    command = ["runuser", "--user", STRANGER, "--supp-group", group, "--", "journalctl", "--namespace=ordersigner"]
    assert "rule load-0" in trail.machine.run(*command, "--no-pager")


@pytest.mark.parametrize(
    "actions", [("restart", "stop"), ("restart", "stop", "kill --signal=KILL")], ids=["ends", "is killed"]
)
def test_no_entry_that_waits_is_lost_while_its_journald(trail: Trail, actions: tuple[str, ...]) -> None:
    """A journald that is killed loses at most the entry that it has just read."""
    machine = trail.machine
    before = machine.now()
    kills = 0
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(trail.ask_often, HELD_LINE, FEW)
        while not answers.done():
            for action in actions:
                machine.run("systemctl", *action.split(), JOURNALD)
                machine.run("systemctl", "reset-failed", JOURNALD, *NAMESPACE_SOCKETS, check=False)
                kills += action.startswith("kill")
        given = answers.result()
    assert given == FEW
    assert given - kills <= signatures(machine, before, WITH_HELD_KEY) <= given


def test_no_entry_is_lost_while_its_journald_cannot_start(trail: Trail) -> None:
    """They wait in its socket, which systemd closes when it gives a service up."""
    machine = trail.machine
    before = machine.now()
    assert trail.codes(HELD_LINE) == [""]
    given = 1
    drop_in(machine, JOURNALD, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    machine.run("systemctl", "kill", "--signal=KILL", JOURNALD)

    def tried_more_often_than_systemd_allows_by_default() -> bool:
        nonlocal given
        given += trail.codes(HELD_LINE) == [""]
        return int(machine.property(JOURNALD, "NRestarts")) > START_LIMIT

    try:
        wait_until(tried_more_often_than_systemd_allows_by_default, TIMEOUT)
        assert given > 1
    finally:
        machine.run("rm", "-r", f"/run/systemd/system/{JOURNALD}.d")
        machine.run("systemctl", "daemon-reload")
    wait_until(lambda: machine.property(JOURNALD, "ActiveState") == "active", TIMEOUT)
    assert signatures(machine, before, WITH_HELD_KEY) == given


def test_without_its_socket_no_held_key_signs_and_other_keys_do(trail: Trail) -> None:
    machine = trail.machine
    before = machine.now()
    assert trail.codes(HELD_LINE) == [""]
    assert signatures(machine, before, WITH_HELD_KEY) == 1
    machine.run("systemctl", "stop", *NAMESPACE_SOCKETS, JOURNALD)
    assert trail.codes(HELD_LINE, EXAMPLE_LINE, HELD_LINE) == ["not_recorded", "", "not_recorded"]
    wait_until(lambda: "takes no entries" in machine.property(SERVICE, "StatusText"), TIMEOUT)
    machine.run("systemctl", "start", NAMESPACE_SOCKETS[0])
    assert trail.codes(HELD_LINE) == [""]
    wait_until(lambda: "takes no entries" not in machine.property(SERVICE, "StatusText"), TIMEOUT)
    assert signatures(machine, before, WITH_HELD_KEY) == 2


def test_a_daemon_that_starts_without_journald_gives_no_signature_until_it_is_there(trail: Trail) -> None:
    machine = trail.machine
    before = machine.now()
    machine.run("systemctl", "stop", SERVICE, *MAIN_SOCKETS, MAIN)
    machine.run("systemctl", "clean", "--what=fdstore", MAIN, check=False)  # systemd 257 keeps the sockets open
    machine.run("sh", "-c", "rm -f /run/systemd/journal/socket /run/systemd/journal/stdout")
    try:
        machine.run("systemctl", "start", SERVICE)
        assert trail.codes(EXAMPLE_LINE, EXAMPLE_LINE) == ["not_recorded"] * 2
    finally:
        machine.run("systemctl", "start", *MAIN_SOCKETS, MAIN)
    assert trail.codes(EXAMPLE_LINE, HELD_LINE) == ["", ""]
    assert machine.property(SERVICE, "NRestarts") == "0"
    assert signatures(machine, before) == 2
    machine.run("systemctl", "restart", SERVICE)


def test_a_unit_without_standard_error_has_its_entries(trail: Trail) -> None:
    machine = trail.machine
    drop_in(machine, SERVICE, "[Service]\nStandardOutput=null\nStandardError=null\n")
    machine.run("systemctl", "restart", SERVICE)
    before = machine.now()
    assert trail.codes(EXAMPLE_LINE, HELD_LINE) == ["", ""]
    assert signatures(machine, before) == 2


def test_what_journald_would_drop_is_said_with_the_line_to_add(trail: Trail) -> None:
    machine = trail.machine
    line = "LogRateLimitIntervalSec=1us"
    drop_in(machine, SERVICE, "[Service]\nLogRateLimitIntervalSec=0\n")
    before = machine.now()
    machine.run("systemctl", "restart", SERVICE)
    (warning,) = (entry for entry in machine.entries("PRIORITY=4", since=before) if line in entry["MESSAGE"])
    assert f"Add {line} to [Service] of {SERVICE}" in warning["MESSAGE"]
    assert "journald drops entries" in machine.property(SERVICE, "StatusText")
    said = machine.run("ordersignerd", "--check", check=False)
    assert warning["MESSAGE"] in said
    assert not machine.succeeds("ordersignerd", "--check")
    drop_in(machine, SERVICE, f"[Service]\n{line}\n")
    machine.run("systemctl", "restart", SERVICE)
    assert "journald" not in machine.property(SERVICE, "StatusText")
    assert line not in machine.run("ordersignerd", "--check")


def test_a_level_at_which_journald_stores_no_signature_is_said(trail: Trail) -> None:
    machine = trail.machine
    directory = "/etc/systemd/journald.conf.d"
    machine.run("mkdir", "-p", directory)
    machine.run("tee", f"{directory}/few.conf", input="[Journal]\nMaxLevelStore=notice\n")
    try:
        restart(machine)
        before = machine.now()
        machine.run("systemctl", "restart", SERVICE)
        assert any("few.conf has MaxLevelStore=notice" in entry["MESSAGE"] for entry in machine.entries(since=before))
        assert "few.conf has MaxLevelStore=notice" in machine.run("ordersignerd", "--check", check=False)
        assert trail.codes(EXAMPLE_LINE, HELD_LINE) == ["", ""]
        assert signatures(machine, before) == signatures(machine, before, WITH_HELD_KEY) == 1
    finally:
        machine.run("rm", f"{directory}/few.conf")
        restart(machine)


def test_its_journald_does_not_end_when_it_has_nothing_to_do(trail: Trail) -> None:
    """Otherwise it could not be started again while the system shuts down, when the daemon may still sign."""
    header = trail.machine.run("systemd-analyze", "cat-config", "systemd/journald@ordersigner.conf")
    assert re.search(r"^MaxRetentionSec=100year$", header, re.MULTILINE)
    assert trail.codes(HELD_LINE) == [""]
    started = trail.machine.property(JOURNALD, "ActiveEnterTimestampMonotonic")
    idle = 35.0  # seconds; a journald of a namespace ends after 30
    with ThreadPoolExecutor(1) as pool:
        waited = pool.submit(trail.machine.run, "sleep", str(idle))
        wait_until(waited.done, TIMEOUT)
    assert trail.machine.property(JOURNALD, "ActiveState") == "active"
    assert trail.machine.property(JOURNALD, "ActiveEnterTimestampMonotonic") == started


def test_at_a_shutdown_it_ends_after_the_daemon_and_after_a_reboot_the_entries_are_there(trail: Trail) -> None:
    machine = trail.machine
    before = machine.now()
    assert trail.codes(*[HELD_LINE] * 3) == [""] * 3
    machine.reboot()
    said = machine.run("journalctl", "--boot=-1", "--output=cat", "--no-pager", f"UNIT={SERVICE}", f"UNIT={JOURNALD}")
    stopped = [line.split()[1] for line in said.splitlines() if line.startswith("Stopped ")]
    assert stopped[-2:] == [SERVICE, JOURNALD]
    shown = machine.run("journalctl", "--namespace=+ordersigner", "--output=cat", "--no-pager", WITH_HELD_KEY)
    assert len(shown.splitlines()) >= 3
    assert len(in_namespace(machine, WITH_HELD_KEY, since=before)) == 3
    assert Trail(machine, str(machine.files) + "/run/ordersigner/ordersigner.sock").codes(HELD_LINE) == [""]


def test_a_removal_ends_it_and_a_purge_leaves_its_entries(trail: Trail, packages: Packages) -> None:
    machine = trail.machine
    before = machine.now()
    assert trail.codes(HELD_LINE) == [""]
    machine.sync_journals()
    machine.run("apt-get", "remove", "--yes", "ordersigner")
    try:
        assert machine.run("systemctl", "list-units", "--no-legend", "systemd-journald*@ordersigner.*") == ""
        assert not machine.succeeds("test", "-e", "/run/systemd/journal.ordersigner")
        assert machine.run("systemctl", "--failed", "--no-legend") == ""
    finally:
        install(machine, packages.built)
    machine.run("systemctl", "start", "ordersigner.socket")
    assert Trail(machine, str(machine.files) + "/run/ordersigner/ordersigner.sock").codes(HELD_LINE) == [""]
    assert len(in_namespace(machine, WITH_HELD_KEY, since=before)) == 2
    assert ask(machine, REQUEST) == RESPONSE
