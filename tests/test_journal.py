"""What the daemon writes down, and what it never does."""

from __future__ import annotations

import json
import time
from typing import Any

import oracle
import pytest
from daemon import EXAMPLE, EXAMPLE_LINE, EXAMPLE_RESPONSE, vectors

from ordersigner import journal, orders
from ordersigner.journal import LEVELS, Journal
from ordersigner.peer import Peer
from ordersigner.service import Conversation, Service

KEY = EXAMPLE["request"]["signer"]
PEER = Peer(pid=11, uid=22, gid=33)


class Entries(list):  # type: ignore[type-arg]
    """The entries that a journal was sent, each a dict of its fields."""

    def send(self, *fields: str) -> None:
        self.append(dict(field.split("=", 1) for field in fields))


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
        f"Signed spot buy LEVETH of account 0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282 by {signer} "
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
        ("x" * 1000, "x" * 32),
        (KEY, KEY[:32]),
        (7, "7"),
        ({"a": KEY}, ""),
        (None, ""),
    ],
)
def test_a_clients_own_word_is_cut_short_and_cleaned(entries: Entries, instrument: Any, entered: str) -> None:
    conversation(entries).respond(line(instrument=instrument))
    assert entries[0]["ORDERSIGNER_INSTRUMENT"] == entered
    assert "\n" not in entries[0]["MESSAGE"]


def test_a_refusal_leaves_one_entry_that_names_the_field(entries: Entries) -> None:
    conversation(entries).respond(line(price=None))
    (entry,) = entries
    assert entry == {
        "MESSAGE": "Refused a request of uid 22, gid 33, pid 11: order.price: empty",
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
    assert len(entries) == journal.REFUSALS_PER_SECOND
    now += 1
    talk.respond(b"x")
    assert (
        entries[-1]["MESSAGE"] == "Refused a request of uid 22, gid 33, pid 11: not_json (990 more refusals not shown)"
    )


@pytest.mark.parametrize(("level", "seen"), [("info", ["6", "5"]), ("notice", ["5"]), ("warning", [])])
def test_the_level_decides_what_is_entered(entries: Entries, level: str, seen: list[str]) -> None:
    talk = conversation(entries, level)
    talk.respond(EXAMPLE_LINE)
    talk.respond(b"x")
    assert [entry["PRIORITY"] for entry in entries] == seen


def test_a_fault_of_the_daemon_leaves_its_traceback_and_no_word_of_the_client(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> bytes:
        raise KeyError(arguments)

    monkeypatch.setattr(orders, "digest", broken)
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


def test_a_journal_that_cannot_be_reached_costs_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    def unreachable(*fields: str) -> None:
        raise OSError("no journal")

    talk = Conversation(Service(Journal(LEVELS["info"], unreachable)), PEER)
    assert talk.respond(EXAMPLE_LINE) == EXAMPLE_RESPONSE
    assert "Signed spot buy LEVETH" in capsys.readouterr().err


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
