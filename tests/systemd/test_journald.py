"""Sending an entry to journald, over a socket like its own, or as a line to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import TIME_LIMIT

from ordersigner.systemd import journald
from ordersigner.systemd.journald import Journald, as_line, encoded

ENTRY = ("MESSAGE=Signed", "PRIORITY=6")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


@pytest.fixture
def reader(path: str) -> Iterator[socket.socket]:
    with bound(path) as reader:
        yield reader


@pytest.fixture
def send(path: str) -> Iterator[Journald]:
    with contextlib.closing(Journald(path)) as send:
        yield send


def bound(path: str) -> socket.socket:
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    reader.settimeout(TIME_LIMIT)
    reader.bind(path)
    return reader


def fill(send: Journald) -> int:
    """Send until no more is accepted. Returns the number of accepted entries."""
    taken = 0
    while True:
        try:
            send(ENTRY, False)
        except BlockingIOError:
            return taken
        taken += 1


def test_an_entry_is_one_message_with_a_line_for_each_field(reader: socket.socket, send: Journald) -> None:
    send(ENTRY, True)
    assert reader.recv(1000) == b"MESSAGE=Signed\nPRIORITY=6\n"


def test_a_value_with_line_feeds_is_given_with_its_length() -> None:
    message = b"failed\n  in line 3\nFORGED=yes"
    assert encoded(("MESSAGE=" + message.decode(), "PRIORITY=3")) == (
        b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\nPRIORITY\n" + struct.pack("<Q", 1) + b"3\n"
    )


def test_text_that_is_not_unicode_is_escaped() -> None:
    assert encoded(("MESSAGE=\ud800",)) == b"MESSAGE=\\ud800\n"


def test_it_raises_when_nobody_takes_an_entry_in_time(
    reader: socket.socket, send: Journald, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(journald, "WAIT_SECONDS", 0.01)
    assert fill(send) > 0
    with pytest.raises(BlockingIOError):
        send(ENTRY, True)
    assert capfd.readouterr().err == ""  # which would lead to the same journald


def test_an_entry_waits_for_room(reader: socket.socket, send: Journald) -> None:
    taken = fill(send)
    waiting = threading.Thread(target=send, args=(("MESSAGE=last",), True))
    waiting.start()
    received = [reader.recv(1000) for _ in range(taken + 1)]
    waiting.join()
    assert received[-1] == b"MESSAGE=last\n"


def test_a_new_socket_of_journald_is_found(path: str, send: Journald) -> None:
    for _ in range(2):
        with bound(path) as reader:
            send(ENTRY, True)
            assert reader.recv(1000) == b"MESSAGE=Signed\nPRIORITY=6\n"
        os.unlink(path)


def test_without_journald_it_raises_and_nothing_goes_to_stderr(
    send: Journald, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError):
        send(ENTRY, True)
    assert capfd.readouterr().err == ""


def test_an_entry_too_long_for_a_message_is_not_taken(
    reader: socket.socket, send: Journald, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="Message too long"):
        send(("MESSAGE=" + "x" * 1_000_000, "PRIORITY=3"), True)
    assert capfd.readouterr().err == ""
    send(ENTRY, True)
    assert reader.recv(1000) == b"MESSAGE=Signed\nPRIORITY=6\n"


@pytest.mark.parametrize(
    ("environment", "there"),
    [
        ({}, False),
        ({"SYSTEMD_EXEC_PID": "{pid}"}, True),
        ({"SYSTEMD_EXEC_PID": "1", "INVOCATION_ID": "ab", "NOTIFY_SOCKET": "/x", "JOURNAL_STREAM": "9:9"}, False),
        ({"LISTEN_PID": "{pid}", "INVOCATION_ID": "ab"}, True),
        ({"LISTEN_PID": "{pid}"}, False),  # systemd-socket-activate, and managers other than systemd
        ({"LISTEN_PID": "1", "INVOCATION_ID": "ab"}, False),
        ({"JOURNAL_STREAM": "{stderr}"}, True),
    ],
)
def test_entries_go_to_journald_if_systemd_started_this_process_or_stderr_leads_there(
    environment: dict[str, str], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = os.fstat(2)
    for name in ("SYSTEMD_EXEC_PID", "INVOCATION_ID", "LISTEN_PID", "JOURNAL_STREAM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(pid=os.getpid(), stderr=f"{stderr.st_dev}:{stderr.st_ino}"))
    assert journald.is_used() == there
    send = journald.sender()
    assert isinstance(send, Journald) == there
    if isinstance(send, Journald):
        send.close()


def test_a_namespace_has_a_socket_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "journal{}"))
    monkeypatch.setenv("ORDERSIGNER_JOURNAL_NAMESPACE", "desk")
    with bound(str(tmp_path / "journal.desk")) as reader:
        send = journald.sender_to_namespace()
        assert isinstance(send, Journald)
        with contextlib.closing(send):
            send(ENTRY, True)
            assert reader.recv(1000) == b"MESSAGE=Signed\nPRIORITY=6\n"
    monkeypatch.setenv("ORDERSIGNER_JOURNAL_NAMESPACE", "")
    assert journald.sender_to_namespace() is None


def test_the_line_of_an_entry_has_its_text_and_then_its_fields_without_those_for_journald() -> None:
    own = ("MESSAGE=Signed", "PRIORITY=6", "SYSLOG_IDENTIFIER=ordersigner", "MESSAGE_ID=f8a2")
    assert as_line(own) == "Signed"
    assert as_line((*own, "A=1", "B=x y")) == 'Signed A=1 B="x y"'
    assert as_line((*own, "A=\\", "B=\\ ")) == r'Signed A=\ B="\\ "'
    assert as_line((*own, "A=1", "B=x y", "B=", 'C="\\=')) == r'Signed A=1 B="x y" B= C="\"\\\u003d"'


PRINTABLE = (st.text('="\\ aA_') | st.text()).filter(str.isprintable)


@given(PRINTABLE, st.lists(st.tuples(st.from_regex("[A-Z_]+", fullmatch=True), PRINTABLE)))
def test_the_fields_of_a_line_can_be_read_back(text: str, fields: list[tuple[str, str]]) -> None:
    line = as_line([f"MESSAGE={text}", "PRIORITY=6", *(f"F_{name}={value}" for name, value in fields)])
    if not fields:
        assert line == text
        return
    found = re.findall(r' (F_[A-Z_]+)=("(?:[^"\\]|\\.)*"|[^ "]*)', line)
    read = [(name, json.loads(value) if value[:1] == '"' else value) for name, value in found]
    assert read == [(f"F_{name}", value) for name, value in fields]


def test_a_field_with_a_line_feed_adds_no_line() -> None:
    assert as_line(("MESSAGE=Signed", "A=x\nB=1")) == r'Signed A="x?B\u003d1"'
    assert as_line(("MESSAGE=Signed", "A=x\ny")) == 'Signed A="x?y"'
