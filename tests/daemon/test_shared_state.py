"""Several processes of the daemon with one state: after one has answered a freeze or a reload, all act on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import held
from support.command import run
from support.daemon import (
    DEFAULT_SIGNALS,
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    SOURCE,
    TIME_LIMIT,
    Daemon,
    command,
    standalone,
    wait_until,
)
from support.files import LINE, RULE, Files

from ordersigner.daemon.reload import PolicyFile
from ordersigner.peer import of_this_process
from ordersigner.policy import reader
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import from_directory
from ordersigner.state import state_file
from ordersigner.state.state_file import State

FREEZE, THAW = b'{"type": "freeze"}\n', b'{"type": "thaw"}\n'
needs_uid_0 = pytest.mark.skipif(os.getuid() != 0, reason="only root thaws")


class Several(Files):
    """The files of several processes with one state."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.state = directory / "state"
        self.state.mkdir(0o700)

    @contextlib.contextmanager
    def daemon(self, name: str) -> Iterator[Daemon]:
        own = self.directory / name
        own.mkdir(exist_ok=True)
        with standalone(own, *self.options, "--state", str(self.state)) as daemon:
            yield daemon
            if daemon.process.poll() is None:
                assert daemon.stop() == 0
            assert "Traceback" not in daemon.log

    def write(self, policy: str) -> None:
        """Replace the file in one step, so that no process reads half of it."""
        (self.directory / "new").write_text(policy)
        (self.directory / "new").rename(self.policy)

    def reload(self, daemon: Daemon) -> None:
        """As systemctl reload does it: returns when the daemon has answered."""
        arguments = command("--reload", "--policy", str(self.policy), "--state", str(self.state))
        environment = {**os.environ, "MAINPID": str(daemon.pid)}
        ended = subprocess.run(arguments, cwd=SOURCE, env=environment, capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.fixture
def several(directory: Path) -> Several:
    return Several(directory)


@pytest.fixture
def two(several: Several, stack: contextlib.ExitStack) -> list[Daemon]:
    return [stack.enter_context(several.daemon(name)) for name in ("a", "b")]


def code(response: bytes) -> str:
    """The code of a refusal; empty if there is none."""
    answer = json.loads(response)
    return "" if answer["ok"] else str(next(iter(answer["error"]["context"].values()))[0]["code"])


def test_what_one_process_freezes_no_process_signs(two: list[Daemon]) -> None:
    assert json.loads(two[0].ask(FREEZE)) == {"ok": True, "frozen": ["all"], "confirmed": True}
    assert [code(daemon.ask(LINE)) for daemon in two] == ["frozen", "frozen"]
    assert two[1].ask(EXAMPLE_LINE + b"\n") == EXAMPLE_RESPONSE
    assert json.loads(two[1].ask(b'{"type": "signers"}\n'))["signers"][0]["frozen"] == ["all"]


def test_the_answers_come_in_the_order_of_the_requests(two: list[Daemon]) -> None:
    responses = two[0].ask(LINE + FREEZE + LINE + FREEZE + b"x\n").splitlines()
    assert [code(response) for response in responses] == ["", "", "frozen", "", "not_json"]
    assert "signature" in json.loads(responses[0])
    assert "frozen" in json.loads(responses[1])


@needs_uid_0
def test_a_restart_keeps_what_is_frozen_and_only_a_thaw_ends_it(several: Several) -> None:
    with several.daemon("a") as daemon:
        daemon.ask(FREEZE)
    with several.daemon("a") as daemon:
        assert code(daemon.ask(LINE)) == "frozen"
        daemon.process.kill()
        daemon.process.wait(TIME_LIMIT)
    with several.daemon("a") as daemon:
        assert code(daemon.ask(LINE)) == "frozen"
        several.write("")
        several.reload(daemon)
        assert "warning" not in daemon.log
        assert "Rule all is frozen, and the policy has no rule of this name" in daemon.log
        several.write(RULE)
        several.reload(daemon)
        assert code(daemon.ask(LINE)) == "frozen"
        assert daemon.ask(THAW + LINE).endswith(EXAMPLE_RESPONSE)


def test_a_client_that_hangs_up_has_frozen_what_it_asked_for(two: list[Daemon]) -> None:
    with two[0].connect() as connection:
        connection.sendall(FREEZE)
    wait_until(lambda: code(two[1].ask(LINE)) == "frozen")


@needs_uid_0
def test_no_signature_is_given_for_a_request_that_comes_after_the_answer(two: list[Daemon]) -> None:
    """Eight clients ask both processes all the time. While the rules are frozen, each of them is refused."""
    clients = [Asking(daemon) for daemon in two for _ in range(4)]
    try:
        for round in range(15):
            before = [client.signed for client in clients]
            wait_until(lambda: all(client.signed > number for client, number in zip(clients, before)))  # noqa: B023
            assert json.loads(two[round % 2].ask(FREEZE))["confirmed"]
            for client in clients:
                client.must_be_refused = True
            before = [client.refused for client in clients]
            wait_until(lambda: all(client.refused > number + 1 for client, number in zip(clients, before)))  # noqa: B023
            for client in clients:
                client.must_be_refused = False
            assert json.loads(two[0].ask(THAW))["frozen"] == []
    finally:
        for client in clients:
            client.ends = True
        for client in clients:
            client.join()
    assert sum(client.late for client in clients) == 0


class Asking(threading.Thread):
    """A client that asks for signatures all the time."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self.signed = self.refused = self.late = 0
        self.must_be_refused = self.ends = False
        self._daemon = daemon
        self.start()

    def run(self) -> None:
        with self._daemon.connect() as connection, connection.makefile("rb") as responses:
            while not self.ends:
                must_be_refused = self.must_be_refused
                connection.sendall(LINE)
                if code(responses.readline()) == "frozen":
                    self.refused += 1
                else:
                    self.signed += 1
                    self.late += must_be_refused and self.must_be_refused


def test_a_signer_that_hangs_in_another_process_holds_up_no_other_client(several: Several, directory: Path) -> None:
    """The journal of one process hangs, and then the process is stopped, perhaps about to sign."""
    reader, writer = os.pipe()
    path = str(directory / "hanging")
    arguments = command("--socket", path, *several.options, "--state", str(several.state))
    process = subprocess.Popen([*DEFAULT_SIGNALS, *arguments], cwd=SOURCE, stderr=writer)
    hanging = Daemon(process, path, directory / "none")
    try:
        wait_until(lambda: os.path.exists(path) and answers(hanging))
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        with several.daemon("b") as daemon, hanging.connect() as signing, daemon.connect() as other:
            signing.sendall(LINE)
            state = State(str(several.state), "boot")
            try:
                wait_until(lambda: not state.is_idle(["all"]))
            finally:
                state.close()
            stop(hanging)
            began = time.monotonic()
            freezing = subprocess.Popen(
                [*command_of_users("freeze", "--json")],
                env={**os.environ, "ORDERSIGNER_SOCKET": daemon.path},
                cwd=SOURCE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            longest = 0.0
            refused = 0
            with other.makefile("rb") as responses:
                while freezing.poll() is None:
                    before = time.monotonic()
                    other.sendall(EXAMPLE_LINE + b"\n" + LINE)
                    assert responses.readline() == EXAMPLE_RESPONSE
                    refused += code(responses.readline()) == "frozen"
                    longest = max(longest, time.monotonic() - before)
            took = time.monotonic() - began
            output, errors = freezing.communicate()
            assert freezing.returncode == 3
            assert json.loads(output) == {"ok": True, "frozen": ["all"], "confirmed": False}
            assert b"may still be signed" in errors
            assert 5.9 < took < 9
            assert longest < 1.5
            assert refused > 100
            process.send_signal(signal.SIGCONT)
            os.read(reader, 65536)
            with signing.makefile("rb") as responses:
                assert responses.readline()
            assert json.loads(daemon.ask(FREEZE))["confirmed"]
    finally:
        process.kill()
        process.wait(TIME_LIMIT)
        os.close(reader)
        os.close(writer)


def stop(daemon: Daemon) -> None:
    """Stop all threads of a process, as Ctrl-Z does."""
    daemon.process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{daemon.pid}/task")
    wait_until(
        lambda: all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks.iterdir())
    )


def answers(daemon: Daemon) -> bool:
    try:
        return daemon.ask(b'{"type": "ping"}\n') != b""
    except ConnectionRefusedError:
        return False


def command_of_users(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ordersigner.commands", *arguments]


# Reload


def test_a_reload_of_one_process_is_in_force_in_all(several: Several, two: list[Daemon]) -> None:
    with two[1].connect() as connection:
        assert exchange_line(connection, LINE) == EXAMPLE_RESPONSE
        several.write(RULE.replace("[rule all]", "[rule later]"))
        several.reload(two[0])
        assert json.loads(exchange_line(connection, b'{"type": "signers"}\n'))["signers"][0]["rules"] == ["later"]
        several.write("")
        several.reload(two[0])
        assert code(exchange_line(connection, LINE)) == "unknown_signer"
        several.write(RULE)
        several.reload(two[1])
        assert exchange_line(connection, LINE) == EXAMPLE_RESPONSE
        assert two[0].ask(LINE) == EXAMPLE_RESPONSE
    status = json.loads(two[0].ask(b'{"type": "status"}\n'))["status"]
    assert list(status["rules"]) == ["all"]


def exchange_line(connection: Any, line: bytes) -> bytes:
    connection.sendall(line)
    with connection.makefile("rb") as responses:
        return bytes(responses.readline())


def test_a_process_that_was_stopped_signs_nothing_by_the_policy_before(several: Several, two: list[Daemon]) -> None:
    with two[1].connect() as connection:
        assert exchange_line(connection, LINE) == EXAMPLE_RESPONSE
        stop(two[1])
        connection.sendall(LINE * 3)
        several.write("")
        several.reload(two[0])
        two[1].process.send_signal(signal.SIGCONT)
        with connection.makefile("rb") as responses:
            assert [code(responses.readline()) for _ in range(3)] == ["unknown_signer"] * 3


def test_a_policy_that_is_wrong_by_then_keeps_the_one_before_and_is_reported_once(
    several: Several, two: list[Daemon]
) -> None:
    several.write(RULE.replace("[rule all]", "[rule later]"))
    several.reload(two[0])
    several.write("what\n")
    for _ in range(5):
        assert two[1].ask(LINE) == EXAMPLE_RESPONSE  # by the rule all
    assert two[1].log.count("The policy is not used") == 1
    assert "rule later" not in two[1].log
    several.write(RULE.replace("[rule all]", "[rule last]"))
    several.reload(two[0])
    assert two[1].ask(LINE) == EXAMPLE_RESPONSE
    assert "rule last" in two[1].log
    assert two[1].log.count("The policy is not used") == 1


def test_a_reload_is_read_once_by_each_process(several: Several, two: list[Daemon]) -> None:
    several.reload(two[0])
    for _ in range(3):
        for daemon in two:
            assert daemon.ask(LINE) == EXAMPLE_RESPONSE
    assert [daemon.log.count("In force: ") for daemon in two] == [2, 2]


class Reading:
    """A process that reads the policy file that all share, and loads it."""

    def __init__(self, path: Path, state: Path) -> None:
        self.entries: list[str] = []
        self.service = Service(Journal(LEVELS["info"], lambda entry, wait: self.entries.append(entry[0])))
        self.service.ledger = self.ledger = State(str(state), "boot")
        self.policy = PolicyFile(self.service, str(path), keeps_state=True)
        assert self.policy.take()

    @property
    def rules(self) -> list[str]:
        return [rule.name for rule in self.service.policy.rules]

    @property
    def readings(self) -> int:
        return sum("In force" in entry for entry in self.entries)


@pytest.fixture
def readings(several: Several) -> Iterator[list[Reading]]:
    made = [Reading(several.policy, several.state) for _ in range(2)]
    yield made
    for reading in made:
        reading.ledger.close()


def test_a_reload_that_another_one_overtakes_is_read_again(
    several: Several, readings: list[Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process reads a newer file, and answers, between the reading and the answer of this one."""
    first, second = readings
    read = reader.read_file

    def read_and_be_overtaken(path: str, *, keeps_state: bool) -> reader.Reading:
        monkeypatch.setattr(reader, "read_file", read)
        earlier = read(path, keeps_state=keeps_state)
        several.write(RULE.replace("[rule all]", "[rule newer]"))
        assert second.policy.reload()
        return earlier

    monkeypatch.setattr(reader, "read_file", read_and_be_overtaken)
    assert first.policy.reload()
    assert (first.rules, second.rules) == (["all"], ["newer"])
    for reading in readings:
        reading.policy.follow()
    assert first.rules == second.rules == ["newer"]
    before = [reading.readings for reading in readings]
    for reading in readings:
        reading.policy.follow()
    assert [reading.readings for reading in readings] == before


def test_a_process_that_follows_does_not_undo_its_own_later_reload(
    several: Several, readings: list[Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = readings
    assert second.policy.reload()
    read = reader.read_file

    def read_and_reload(path: str, *, keeps_state: bool) -> reader.Reading:
        monkeypatch.setattr(reader, "read_file", read)
        earlier = read(path, keeps_state=keeps_state)
        several.write(RULE.replace("[rule all]", "[rule newer]"))
        assert first.policy.reload()
        return earlier

    monkeypatch.setattr(reader, "read_file", read_and_reload)
    first.policy.follow()
    assert first.rules == ["newer"]


@pytest.mark.parametrize("moment", ["enter", "reserve"])
def test_a_decision_that_a_reload_overtakes_is_made_again(
    several: Several, readings: list[Reading], moment: str
) -> None:
    """A process may be stopped at any moment before it has decided."""
    first, second = readings
    first.service.keyring = from_directory(str(several.keys))
    first.service.follow = first.policy.follow
    talk = Conversation(first.service, of_this_process())
    with_total = (
        held.MARKET + RULE.replace("markets = any", "markets = LEV/ETH\ntypes = LMT") + "max-total-notional = {}/day\n"
    )

    def overtaken_by(policy: str) -> bytes:
        in_time = getattr(first.ledger, moment)

        def late(*arguments: object) -> object:
            setattr(first.ledger, moment, in_time)
            several.write(policy)
            assert second.policy.reload()
            return in_time(*arguments)

        setattr(first.ledger, moment, late)
        return talk.respond(LINE)

    several.write(with_total.format("100000"))
    assert first.policy.reload()
    assert talk.respond(LINE) == EXAMPLE_RESPONSE
    (rule,) = first.service.policy.rules
    (total,) = rule.totals
    once = first.ledger.used(rule.key_of(total), total.seconds)
    assert overtaken_by(with_total.format("200000")) == EXAMPLE_RESPONSE
    assert code(overtaken_by(with_total.format("0.000001"))) == "over_total"
    assert code(overtaken_by("")) == "unknown_signer"
    assert first.ledger.used(rule.key_of(total), total.seconds) == 2 * once
    assert second.ledger.is_idle(["all"])


def test_a_refusal_that_a_reload_overtakes_is_decided_again(several: Several, readings: list[Reading]) -> None:
    first, second = readings
    first.service.keyring = from_directory(str(several.keys))
    first.service.follow = first.policy.follow
    talk = Conversation(first.service, of_this_process())
    for before in ("", RULE + "sides = sell\n"):
        several.write(before)
        assert first.policy.reload()
        assert code(talk.respond(LINE)) in ("unknown_signer", "not_allowed")
        several.write(RULE)
        assert second.policy.reload()
        assert talk.respond(LINE) == EXAMPLE_RESPONSE


def test_a_state_that_cannot_be_read_or_written_stops_no_reading(
    several: Several, readings: list[Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = readings
    os.truncate(several.state / state_file.NAME, 10)
    first.policy.follow()
    assert first.rules == ["all"]
    several.write(RULE.replace("[rule all]", "[rule newer]"))
    assert not first.policy.reload()
    assert first.rules == ["newer"]
    assert any("Other processes cannot be told of the new policy" in entry for entry in first.entries)


def test_a_process_that_could_not_read_the_state_at_its_reload_follows_a_later_one(
    several: Several, readings: list[Reading]
) -> None:
    first, second = readings
    first.service.keyring = from_directory(str(several.keys))
    first.service.follow = first.policy.follow
    talk = Conversation(first.service, of_this_process())
    file = several.state / state_file.NAME
    content = file.read_bytes()
    os.truncate(file, 10)
    assert not first.policy.reload()
    assert code(talk.respond(LINE)) == "frozen"
    with open(file, "r+b") as whole:
        whole.write(content)
    several.write("")
    assert second.policy.reload()
    assert code(talk.respond(LINE)) == "unknown_signer"


# The place


def test_systemd_names_the_place(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{several.state}:/elsewhere")
    with standalone(several.directory, *several.options) as daemon:
        assert "kept" not in json.loads(daemon.ask(FREEZE))
    assert list(state_file.read_frozen(str(several.state))) == ["all"]


def test_without_a_place_a_freeze_says_that_it_is_not_kept(files: Files) -> None:
    with standalone(files.directory, *files.options) as daemon:
        outcome, output, errors = run(daemon.path, "freeze")
        assert (outcome, output) == (0, "Frozen: all\n")
        assert "no directory for state" in errors
        assert code(daemon.ask(LINE)) == "frozen"
    with standalone(files.directory, *files.options) as daemon:
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE


RATE = RULE.replace("[rule all]", "[rule slow]") + "rate = 100/hour\n"


def test_a_state_whose_frozen_rules_are_not_known_lets_nobody_use_a_held_key(several: Several) -> None:
    (several.state / state_file.NAME).write_bytes(b"damaged")
    with several.daemon("a") as daemon:
        assert "Which rules are frozen is not known, so no held key can be used" in daemon.log
        assert code(daemon.ask(LINE)) == "frozen"
        assert daemon.ask(EXAMPLE_LINE + b"\n") == EXAMPLE_RESPONSE
        assert json.loads(daemon.ask(b'{"type": "signers"}\n'))["signers"][0]["frozen"] == ["all"]
        assert json.loads(daemon.ask(b'{"type": "status"}\n'))["status"]["frozen"] == ["all"]
        answer = {"ok": True, "frozen": ["all"], "confirmed": True, "kept": False}
        assert json.loads(daemon.ask(FREEZE)) == answer
        assert json.loads(daemon.ask(b'{"type": "freeze", "rules": ["all"]}\n')) == answer
        assert "Froze rule all" in daemon.log


def test_a_state_that_is_damaged_elsewhere_stops_the_rules_that_need_it_and_those_that_are_frozen(
    several: Several,
) -> None:
    several.write(RULE + RULE.replace("[rule all]", "[rule other]"))
    with several.daemon("a") as daemon:
        daemon.ask(b'{"type": "freeze", "rules": ["other"]}\n')
    with open(several.state / state_file.NAME, "r+b") as file:
        file.write(b"damaged")
    with several.daemon("a") as daemon:
        assert "Rules with a total or a rate allow nothing. Frozen: other" in daemon.log
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        assert json.loads(daemon.ask(b'{"type": "signers"}\n'))["signers"][0]["frozen"] == ["other"]
        assert json.loads(daemon.ask(b'{"type": "freeze", "rules": ["all"]}\n')) == {
            "ok": True,
            "frozen": ["all", "other"],
            "confirmed": True,
            "kept": False,
        }
        assert code(daemon.ask(LINE)) == "frozen"
    several.write(RATE)
    with several.daemon("a") as daemon:
        assert code(daemon.ask(LINE)) == "frozen"


def test_a_process_that_cannot_use_the_state_follows_a_reload_and_is_followed(several: Several) -> None:
    later = RULE.replace("[rule all]", "[rule later]")
    with several.daemon("a") as usual:
        with open(several.state / state_file.NAME, "ab") as file:
            file.write(b"more")
        with several.daemon("b") as daemon:
            assert "cannot be used" in daemon.log
            assert usual.ask(LINE) == daemon.ask(LINE) == EXAMPLE_RESPONSE
            several.write("")
            several.reload(usual)
            assert code(daemon.ask(LINE)) == "unknown_signer"
            several.write(later)
            several.reload(daemon)
            assert usual.ask(LINE) == daemon.ask(LINE) == EXAMPLE_RESPONSE


@pytest.mark.parametrize("place", ["none", "policy"])
def test_a_place_that_is_no_directory_stops_held_keys_and_no_others(several: Several, place: str) -> None:
    with standalone(several.directory, *several.options, "--state", str(several.directory / place)) as daemon:
        assert code(daemon.ask(LINE)) == "frozen"
        assert daemon.ask(EXAMPLE_LINE + b"\n") == EXAMPLE_RESPONSE
        assert daemon.stop() == 0


def test_a_state_that_is_cut_off_while_it_is_used_stops_held_keys(several: Several) -> None:
    with several.daemon("a") as daemon:
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        os.truncate(several.state / state_file.NAME, 10)
        assert code(daemon.ask(LINE)) == "frozen"
        assert "is too short" in daemon.log
        assert daemon.ask(EXAMPLE_LINE + b"\n") == EXAMPLE_RESPONSE
