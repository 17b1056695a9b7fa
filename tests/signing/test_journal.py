"""The entries that the daemon writes, and the data that must not be in them."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from oracles import oracle
from support.daemon import EXAMPLE, EXAMPLE_LINE, EXAMPLE_RESPONSE, SOURCE, TIME_LIMIT, standalone, vectors, wait_until
from support.keys import held
from support.policies import policy_of

from ordersigner.payloads import orders
from ordersigner.peer import Peer
from ordersigner.policy.kinds import KINDS
from ordersigner.signing import journal
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring
from ordersigner.systemd import journald

KEY = EXAMPLE["request"]["signer"]
PEER = Peer(pid=11, uid=22, gid=33)


class Entries(list):  # type: ignore[type-arg]
    """The entries that a journal was sent, each a dict of its fields."""

    def send(self, entry: Sequence[str], wait: bool) -> None:
        self.append(dict(field.split("=", 1) for field in entry))


@pytest.fixture
def entries() -> Entries:
    return Entries()


def conversation(entries: Entries, level: str = "info") -> Conversation:
    return Conversation(Service(Journal(LEVELS[level], entries.send)), PEER)


def line(**changes: Any) -> bytes:
    """The example with other values inside its order."""
    request = EXAMPLE["request"]
    return json.dumps({**request, "order": {**request["order"], **changes}}).encode()


def test_a_signature_leaves_one_entry_with_its_fields(entries: Entries) -> None:
    conversation(entries).respond(EXAMPLE_LINE)
    (entry,) = entries
    microseconds = entry.pop("ORDERSIGNER_USEC")
    assert microseconds.isdecimal()
    signer, digest = oracle.signer_address(KEY), oracle.digest(EXAMPLE["request"]).hex()
    assert entry.pop("MESSAGE") == (
        f'Signed spot buy "LEVETH" of account 0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282 by {signer} '
        f"for uid 22, gid 33, pid 11 in {microseconds} µs: digest 0x{digest}"
    )
    assert entry == {
        "MESSAGE_ID": journal.SIGNED,
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "ordersigner",
        "ORDERSIGNER_TYPE": "spot",
        "ORDERSIGNER_ACCOUNT": "0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282",
        "ORDERSIGNER_INSTRUMENT": "LEVETH",
        "ORDERSIGNER_SIDE": "buy",
        "ORDERSIGNER_SIGNER": oracle.signer_address(KEY),
        "ORDERSIGNER_DIGEST": "0x" + oracle.digest(EXAMPLE["request"]).hex(),
        "ORDERSIGNER_PEER_PID": "11",
        "ORDERSIGNER_PEER_UID": "22",
        "ORDERSIGNER_PEER_GID": "33",
    }


def test_a_futures_order_is_entered_with_the_instrument_it_signs(entries: Entries) -> None:
    row = next(row for row in vectors("published-orders") if row["request"]["type"] == "futures")
    conversation(entries).respond(json.dumps(row["request"]).encode())
    assert entries[0]["ORDERSIGNER_TYPE"] == "futures"
    assert entries[0]["ORDERSIGNER_INSTRUMENT"] == row["request"]["order"]["instrument"]


def test_an_account_is_spelled_in_one_way(entries: Entries) -> None:
    talk = conversation(entries)
    for account in ("0x167CDB1AC9979A6A694B368ED3D2BF9259FA8282", "167cdb1ac9979a6a694b368ed3d2bf9259fa8282"):
        talk.respond(line(accountId=account))
    assert {entry["ORDERSIGNER_ACCOUNT"] for entry in entries} == {"0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282"}


@pytest.mark.parametrize(
    ("instrument", "entered"),
    [
        ("a\nMESSAGE=forged\x1b[31m", "a?MESSAGE=forged?[31m"),
        ("\u202eHTE", "?HTE"),
        ("\ud800", "?"),
        ("x" * 1000, "x" * 32 + "…"),
        ("x" * 33, "x" * 32 + "…"),
        ("x" * 32, "x" * 32),
        (10**40, "1" + "0" * 31 + "…"),
        (KEY, "0x…"),
        (f"key:{KEY[2:]}", "key:…"),
        (7, "7"),
        ({"a": KEY}, ""),
        (None, ""),
    ],
)
def test_text_from_a_client_is_cut_short_and_cleaned(entries: Entries, instrument: Any, entered: str) -> None:
    conversation(entries).respond(line(instrument=instrument))
    assert entries[0]["ORDERSIGNER_INSTRUMENT"] == entered
    assert "\n" not in entries[0]["MESSAGE"]


def test_a_refusal_leaves_one_entry_that_names_the_field(entries: Entries) -> None:
    conversation(entries).respond(line(price=None))
    (entry,) = entries
    assert entry == {
        "MESSAGE": 'Refused a request of uid 22, gid 33, pid 11: "order.price": empty',
        "MESSAGE_ID": journal.REFUSED,
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "ordersigner",
        "ORDERSIGNER_FIELD": "order.price",
        "ORDERSIGNER_CODE": "empty",
        "ORDERSIGNER_PEER_PID": "11",
        "ORDERSIGNER_PEER_UID": "22",
        "ORDERSIGNER_PEER_GID": "33",
    }


def test_refusals_are_limited_in_rate_and_the_rest_is_counted(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    talk = conversation(entries)
    for _ in range(1000):
        assert b'"not_json"' in talk.respond(b"x")
    assert len(entries) == journal.ENTRIES_PER_SECOND
    now += 1
    talk.respond(b"x")
    assert entries[-1]["MESSAGE"] == (
        "Refused a request of uid 22, gid 33, pid 11: not_json (990 more refusals of this kind not shown)"
    )


DENIED = json.dumps({**EXAMPLE["request"], "signer": "0x" + "ab" * 20}).encode()
JUNK = b"x"
OTHER_PEER = Peer(pid=12, uid=23, gid=33)


@pytest.mark.parametrize(("junk", "peers"), [(JUNK, (PEER, OTHER_PEER)), (DENIED, (OTHER_PEER,))])
def test_no_flood_of_refusals_hides_what_the_policy_refused(
    entries: Entries, monkeypatch: pytest.MonkeyPatch, junk: bytes, peers: tuple[Peer, ...]
) -> None:
    """Neither junk of the same user or another, nor requests of another user that the policy refused."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    written = Journal(LEVELS["info"], entries.send)
    for peer in peers:
        flood = Conversation(Service(written), peer)
        for _ in range(30):
            flood.respond(junk)
    del entries[:]
    user = Conversation(Service(written), PEER)
    for _ in range(journal.ENTRIES_PER_SECOND):
        assert b"unknown_signer" in user.respond(DENIED)
    assert [entry["ORDERSIGNER_CODE"] for entry in entries] == ["unknown_signer"] * journal.ENTRIES_PER_SECOND
    user.respond(DENIED)
    assert len(entries) == journal.ENTRIES_PER_SECOND


@pytest.mark.parametrize("flood", [JUNK, DENIED])
def test_no_user_keeps_out_the_refusals_of_another(
    entries: Entries, monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    service = Service(Journal(LEVELS["info"], entries.send))
    for _ in range(30):
        Conversation(service, PEER).respond(flood)
        Conversation(service, PEER).respond(b'{"type": "signers"}')
    del entries[:]
    for line in (JUNK, DENIED, b'{"type": "signers"}'):
        Conversation(service, OTHER_PEER).respond(line)
    assert [entry["ORDERSIGNER_PEER_UID"] for entry in entries] == ["23"] * 3


def test_what_is_left_out_is_counted_for_each_kind_and_user(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    service = Service(Journal(LEVELS["info"], entries.send))
    asked = {(PEER, JUNK): 20, (PEER, DENIED): 30, (OTHER_PEER, JUNK): 40, (OTHER_PEER, DENIED): 50}
    for (peer, line), times in asked.items():
        for _ in range(times):
            Conversation(service, peer).respond(line)
    assert len(entries) == 4 * journal.ENTRIES_PER_SECOND
    now += 1
    del entries[:]
    for peer, line in asked:
        Conversation(service, peer).respond(line)
    counts = [int(re.search(r"\((\d+) more", entry["MESSAGE"])[1]) for entry in entries]  # type: ignore[index]
    assert counts == [times - journal.ENTRIES_PER_SECOND for times in asked.values()]


def test_who_asks_in_vain_which_keys_there_are_is_limited_in_rate(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    talk = conversation(entries)
    for _ in range(30):
        assert talk.respond(b'{"type": "signers"}') == b'{"ok": true, "signers": []}\r\n'
    assert len(entries) == journal.ENTRIES_PER_SECOND
    now += 1
    talk.respond(b'{"type": "signers"}')
    assert entries[-1]["MESSAGE"].endswith("(20 more refusals of this kind not shown)")


def test_however_many_users_there_are_the_entries_are_limited(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past MAX_USERS, the others share one limit. When a user is idle, another one takes the place."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    service = Service(Journal(LEVELS["info"], entries.send))

    def ask(uids: range, times: int) -> int:
        """The number of entries that this makes."""
        before = len(entries)
        for uid in uids:
            for _ in range(times):
                Conversation(service, Peer(1, uid, uid)).respond(JUNK)
        return len(entries) - before

    most, each = journal.MAX_USERS, journal.ENTRIES_PER_SECOND
    assert ask(range(most), each) == most * each
    assert ask(range(most, most + 100), each) == each
    assert ask(range(most), 1) == 0
    now += 1
    assert ask(range(most, most + 1), 1) == 1  # no user is idle: each has entries that were left out
    assert "(990 more refusals of this kind not shown)" in entries[-1]["MESSAGE"]
    assert ask(range(most), 1) == most
    now += 1
    assert ask(range(most, 2 * most), each) == most * each


def test_users_within_the_namespace_of_one_user_count_as_that_user(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(journal, "user_behind", lambda uid: 1000 if uid >= 100_000 else uid)
    service = Service(Journal(LEVELS["info"], entries.send))
    for uid in range(100_000, 100_100):
        Conversation(service, Peer(1, uid, uid)).respond(JUNK)
    assert len(entries) == journal.ENTRIES_PER_SECOND


@pytest.mark.parametrize(("level", "seen"), [("info", ["6", "5"]), ("notice", ["5"]), ("warning", [])])
def test_the_level_decides_what_is_entered(entries: Entries, level: str, seen: list[str]) -> None:
    talk = conversation(entries, level)
    talk.respond(EXAMPLE_LINE)
    talk.respond(b"x")
    assert [entry["PRIORITY"] for entry in entries] == seen


def test_a_fault_of_the_daemon_leaves_its_traceback_and_no_text_of_the_client(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> Any:
        raise KeyError(arguments)

    monkeypatch.setitem(KINDS, "spot", KINDS["spot"]._replace(form=orders.FORM._replace(read=broken)))
    talk = conversation(entries, "err")
    response = json.loads(talk.respond(line()[:-1] + b', "id": 5}'))
    assert response["error"]["type"] == "InternalError"
    assert response["error"]["context"] == {}
    assert response["id"] == 5
    (entry,) = entries
    assert entry["PRIORITY"] == "3"
    assert entry["MESSAGE"].startswith("A request of uid 22, gid 33, pid 11 could not be answered: KeyError\n")
    assert "in broken" in entry["MESSAGE"]
    assert "LEVETH" not in entry["MESSAGE"]
    monkeypatch.undo()
    assert talk.respond(EXAMPLE_LINE) == EXAMPLE_RESPONSE


def test_the_traceback_of_a_fault_has_only_its_innermost_places(entries: Entries) -> None:
    def deeper(level: int) -> None:
        if level:
            deeper(level - 1)
        raise ValueError

    with pytest.raises(ValueError) as caught:
        deeper(500)
    Journal(LEVELS["err"], entries.send).failed("A request could not be answered", caught.value)
    first, *places = entries[0]["MESSAGE"].split("\n")
    assert first == "A request could not be answered: ValueError"
    assert len(places) == journal.MAX_PLACES
    assert places[-1] == f'  File "{__file__}", line {deeper.__code__.co_firstlineno + 3}, in deeper'


def test_faults_are_limited_in_rate_and_the_rest_is_counted(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    written = Journal(LEVELS["err"], entries.send)
    for _ in range(1000):
        written.failed("A connection failed", MemoryError())
    assert len(entries) == journal.ENTRIES_PER_SECOND
    now += 1
    written.failed("A connection failed", MemoryError())
    written.failed("A connection failed", MemoryError())
    assert [entry["MESSAGE"] for entry in entries[-2:]] == [
        "A connection failed: MemoryError (990 more faults not shown)",
        "A connection failed: MemoryError",
    ]


def test_refusals_do_not_keep_a_fault_out_of_the_journal(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    written = Journal(LEVELS["info"], entries.send)
    talk = Conversation(Service(written), PEER)
    for _ in range(100):
        talk.respond(b"x")
    written.failed("A connection failed", MemoryError())
    assert entries[-1]["MESSAGE"] == "A connection failed: MemoryError"


def test_no_entry_is_lost_to_the_count_when_many_threads_fail(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    written = Journal(LEVELS["err"], entries.send)

    def fail() -> None:
        for _ in range(500):
            written.failed("A connection failed", MemoryError())

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now += 1
    written.failed("A connection failed", MemoryError())
    assert "(1990 more faults not shown)" in entries[-1]["MESSAGE"]


class Hanging(Entries):
    """A journal that accepts no entries while it hangs."""

    hangs = True

    def send(self, entry: Sequence[str], wait: bool) -> None:
        self.waited = wait
        if self.hangs:
            raise BlockingIOError("no room")
        super().send(entry, wait)


def test_a_signature_whose_entry_is_not_taken_is_not_given() -> None:
    entries = Hanging()
    service = Service(Journal(LEVELS["info"], entries.send))
    response = json.loads(Conversation(service, PEER).respond(line()[:-1] + b', "id": 5}'))
    assert response["ok"] is False
    assert response["id"] == 5
    assert response["error"]["type"] == "InternalError"
    assert [problem["code"] for problem in response["error"]["context"][""]] == ["not_recorded"]
    assert (service.counters.signed, service.counters.failed) == (0, 1)


def test_a_journal_that_hangs_is_waited_for_once_and_again_after_it_took_an_entry() -> None:
    entries = Hanging()
    talk = conversation(entries)
    waited = []
    for entries.hangs in (True, True, True, False, False):
        talk.respond(EXAMPLE_LINE)
        waited.append(entries.waited)
    assert waited == [True, False, False, True, True]  # the fourth is for the entry about the missing ones


def test_an_entry_says_how_many_are_missing() -> None:
    entries = Hanging()
    talk = conversation(entries)
    for entries.hangs in (True, True, True, False):
        response = talk.respond(EXAMPLE_LINE)
    assert response == EXAMPLE_RESPONSE
    signed, missing = entries
    assert signed["MESSAGE_ID"] == journal.SIGNED
    assert missing["MESSAGE"] == "3 entries before the last one are missing: journald did not accept them in time"
    assert missing["PRIORITY"] == "4"


ADDRESS = oracle.signer_address(KEY)
RULE = f"[rule one]\nkey = {ADDRESS}\nusers = 22\naccounts = any\nmarkets = any\nsides = buy\n"


def held_line(**changes: Any) -> bytes:
    """The example for a key that the daemon holds, with other values inside its order."""
    return json.dumps({**json.loads(line(**changes)), "signer": ADDRESS}).encode()


def holding(main: Entries, other: Entries, rules: str = RULE) -> Service:
    """A service that holds the key of the example, and writes about it to a journal of its own."""
    journal = Journal(LEVELS["info"], main.send, other.send)
    return Service(journal, Keyring({ADDRESS: held(KEY)}), policy_of(rules))


def test_entries_about_held_keys_go_to_their_own_journal_and_nothing_else_does() -> None:
    main, other = Entries(), Entries()
    service = holding(main, other)
    service.journal.in_force([ADDRESS], 1, [], 1, "policy")
    talk = Conversation(service, PEER)
    for request in (held_line(), held_line(side="sell"), line(), line(price=None), held_line(price=None), b"x"):
        talk.respond(request)
    service.journal.failed("A connection failed", MemoryError())
    service.journal.say("info", "Listening")
    assert [entry["MESSAGE"].split()[0] for entry in other] == ["In", "Signed", "Refused"]
    assert [entry.get("ORDERSIGNER_RULE") for entry in other] == [None, "one", "one"]
    assert [entry["MESSAGE"].split()[0] for entry in main] == ["Signed", *["Refused"] * 3, "A", "Listening"]


def test_a_client_without_a_rule_adds_nothing_to_the_journal_for_held_keys() -> None:
    main, other = Entries(), Entries()
    talk = Conversation(holding(main, other, RULE.replace("22", "23")), PEER)
    for request in (held_line(), line(), b"x", b'{"type": "signers"}', b'{"type": "status"}'):
        talk.respond(request)
    assert len(main) == 5
    assert other == []


@pytest.mark.parametrize("hanging", ["main", "other"])
def test_a_journal_that_hangs_costs_only_the_signatures_that_have_their_entries_there(hanging: str) -> None:
    ways = {"main": Hanging(), "other": Hanging()}
    for name, way in ways.items():
        way.hangs = name == hanging
    service = holding(ways["main"], ways["other"])
    talk = Conversation(service, PEER)
    for request, name in ((line(), "main"), (held_line(), "other")):
        for _ in range(2):
            assert (b"not_recorded" in talk.respond(request)) == (name == hanging)
            assert ways[name].waited is True or name == hanging
    assert service.journal.untaken == 2
    assert service.journal.hangs
    assert service.status() == "2 signed, 0 refused, 2 failed; 1 of 1 keys; the journal takes no entries"
    ways[hanging].hangs = False
    assert b"true" in talk.respond(line() if hanging == "main" else held_line())
    assert not service.journal.hangs


def test_in_a_unit_no_signature_is_given_before_journald_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever stderr is: systemd connects it to /dev/null if it cannot connect it to the journal."""
    monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "journal{}"))
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    send = journald.sender()
    assert isinstance(send, journald.Journald)
    talk = Conversation(Service(Journal(LEVELS["info"], send)), PEER)
    assert b"not_recorded" in talk.respond(EXAMPLE_LINE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(tmp_path / "journal"))
        reader.settimeout(TIME_LIMIT)
        assert talk.respond(EXAMPLE_LINE) == EXAMPLE_RESPONSE
        assert reader.recv(10_000).startswith(b"MESSAGE=Signed")
        assert reader.recv(10_000).startswith(b"MESSAGE=1 entries before the last one are missing")
    assert b"not_recorded" in talk.respond(EXAMPLE_LINE)
    send.close()
    assert capfd.readouterr().err == ""


def test_a_signature_that_needs_no_entry_does_not_wait_for_the_journal() -> None:
    assert conversation(Hanging(), "notice").respond(EXAMPLE_LINE) == EXAMPLE_RESPONSE


def test_a_refusal_and_a_fault_need_no_entry() -> None:
    assert b'"not_json"' in conversation(Hanging()).respond(b"x")


# Each of these runs in a process of its own, whose stderr it may spoil.
PROLOGUE = "import os, sys, threading; from ordersigner.signing.journal import open_journal; "


def test_a_write_to_stderr_that_hangs_does_not_hold_up_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    script = PROLOGUE + (
        "write = open_journal('info').say; "
        "threading.Thread(target=lambda: [write('info', 'x' * 1000) for _ in range(1000)], daemon=True).start(); "
        "sys.stdin.read()"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", script], cwd=SOURCE, stdin=subprocess.PIPE, stderr=writing)
    assert process.stdin is not None
    try:
        wait_until(lambda: not select.select([], [writing], [], 0)[1])
        process.stdin.close()
        assert process.wait(TIME_LIMIT) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)


def test_nobody_gets_the_text_that_was_for_a_closed_stderr(tmp_path: Path) -> None:
    """The next descriptor to be opened takes the number 2, and could be a client's connection."""
    script = PROLOGUE + (
        "journal = open_journal('info'); "
        f"opened = os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY); "
        "journal.say('info', 'text'); print(opened)"
    )
    closed = ["bash", "-c", 'exec "$@" 2>&-', "bash"]
    ended = subprocess.run(
        [*closed, sys.executable, "-c", script], cwd=SOURCE, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(ended.stdout) > 2
    assert (tmp_path / "file").read_text() == ""


def test_a_reader_of_stderr_that_is_gone_does_no_harm() -> None:
    script = PROLOGUE + "journal = open_journal('info'); journal.say('info', 'text'); print('alive')"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", script], cwd=SOURCE, stdout=subprocess.PIPE, stderr=writing, text=True, check=True
        )
    finally:
        os.close(writing)
    assert ended.stdout == "alive\n"


def test_without_systemd_python_a_daemon_in_a_service_signs_and_tells_systemd_that_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "__init__.py").write_text("raise ModuleNotFoundError(name='systemd')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        with standalone(tmp_path) as daemon:
            assert manager.recv(1000).startswith(b"READY=1\n")
            assert daemon.ask(EXAMPLE_LINE) == EXAMPLE_RESPONSE
            assert daemon.stop() == 0
    assert 'ordersigner: Signed spot buy "LEVETH"' in daemon.log
    assert " ORDERSIGNER_TYPE=spot ORDERSIGNER_ACCOUNT=0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282 " in daemon.log
    assert "MESSAGE_ID" not in daemon.log
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize(
    "request_line",
    [
        EXAMPLE_LINE,
        line(price=None),
        line(accountId=KEY),
        line(instrument=KEY),
        line(side=KEY, orderType=KEY),
        line(quantity=KEY[2:]),
        line(timestamp=int(KEY, 16)),
        json.dumps({**EXAMPLE["request"], "signer": int(KEY, 16)}).encode(),
        json.dumps({**EXAMPLE["request"], "signer": KEY + "0"}).encode(),
        json.dumps({**EXAMPLE["request"], "signer": {KEY: KEY}}).encode(),
        json.dumps({**EXAMPLE["request"], KEY: KEY}).encode(),
        json.dumps({**EXAMPLE["request"], "type": KEY}).encode(),
        b'{"order": {"' + KEY.encode() + b'": NaN}}',
        EXAMPLE_LINE[:-1],
        KEY.encode(),
    ],
)
def test_no_key_is_ever_entered_wherever_a_client_puts_it(entries: Entries, request_line: bytes) -> None:
    conversation(entries, "debug").respond(request_line)
    written = json.dumps(entries).lower()
    assert entries
    assert KEY[2:].lower() not in written
    assert str(int(KEY, 16)) not in written
