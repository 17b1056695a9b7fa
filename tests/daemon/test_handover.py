"""Restarts that clients do not notice: connections go from one process to the next, at the end of a line."""

from __future__ import annotations

import array
import contextlib
import fcntl
import math
import os
import signal
import socket
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.daemon import (
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    PING,
    TIME_LIMIT,
    exchange,
    needs_root,
    out_of_descriptors,
    out_of_memory,
    read_all,
    wait_until,
)
from support.manager import Manager, managed

from ordersigner.peer import peer_of
from ordersigner.serving import connection as connection_module
from ordersigner.serving import stop as stop_module
from ordersigner.serving.channel import MAX_UNSENT, Channel
from ordersigner.serving.connection import Connection
from ordersigner.serving.server import Limits, OrderServer
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.systemd import handover
from ordersigner.systemd.notify import Notifier

ORDER = EXAMPLE_LINE + b"\n"
HALF = len(EXAMPLE_LINE) // 2
LONG = EXAMPLE_LINE[:-1] + b" " * 50_000 + b"}\n"


def receive(client: socket.socket, size: int) -> bytes:
    """Exactly so many bytes, or those before the end of the stream."""
    received = b""
    while len(received) < size:
        chunk = client.recv(size - len(received))
        if not chunk:
            break
        received += chunk
    return received


def waiting_bytes(end: socket.socket) -> int:
    """How many bytes were sent to it and have not been read."""
    size = array.array("i", [0])
    fcntl.ioctl(end, termios.FIONREAD, size)
    return size[0]


class Stopping:
    """A server of one client, over a socket pair, that can be stopped. ours: the client's end."""

    def __init__(self, server: OrderServer, pool: ThreadPoolExecutor) -> None:
        self.server = server
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(TIME_LIMIT)
        self._pool = pool

    def serve(self) -> None:
        """Begin to serve the client, in a thread."""
        self.server.process_request(self.theirs, peer_of(self.theirs))

    def serve_from_here(self, sent: bytes) -> Connection:
        """Serve the client in this thread: its connection, once everything that it has sent is answered."""
        conversation = Conversation(self.server.service, peer_of(self.theirs))
        channel = Channel(self.theirs, conversation, self.server.stop, self.server.backlog)
        served = Connection(self.theirs, channel, self.server.work, self.server.stop, timeout=30)
        self.ours.sendall(sent)
        if sent:
            assert served.channel.read()
            served.channel.answer_lines(math.inf)
            served.channel.send()
        return served

    def send(self, sent: bytes) -> None:
        """Returns when the server has read it."""
        self.ours.sendall(sent)
        wait_until(lambda: not waiting_bytes(self.theirs))

    def begin(self) -> Future[list[socket.socket]]:
        """Begin the stop. The future returns the connections that are kept."""
        kept = self._pool.submit(self.server.drain, keep=True)
        wait_until(lambda: self.server.stop.begun)
        return kept

    def unread(self) -> bytes:
        """What the next process would read."""
        return self.theirs.recv(100_000, socket.MSG_DONTWAIT) if waiting_bytes(self.theirs) else b""


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    with contextlib.ExitStack() as stack:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        service = Service(Journal(LEVELS["err"], lambda *fields: None))
        server = stack.enter_context(OrderServer(listener, service, Limits()))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stopping = Stopping(server, pool)
        stack.enter_context(stopping.ours)
        stack.enter_context(stopping.theirs)
        yield stopping
        if not server.stop.begun:
            server.drain()


# Bytes that are read at the stop, and those that are left to the next process


@pytest.mark.parametrize(
    ("begun", "rest", "next_line"),
    [
        pytest.param(ORDER[:HALF], ORDER[HALF:], ORDER, id="half a line"),
        pytest.param(ORDER[:HALF], ORDER[HALF:], ORDER[:HALF], id="half a line, before half a line"),
        pytest.param(ORDER[:HALF], ORDER[HALF:], b"\r\n \n" + ORDER, id="half a line, before blank lines"),
        pytest.param(ORDER[:HALF], ORDER[HALF:], b"", id="half a line, before nothing"),
        pytest.param(ORDER[:1], ORDER[1:], ORDER * 50, id="a byte, before many lines"),
        pytest.param(LONG[:20], LONG[20:], ORDER[:1], id="the beginning of a long line, before a byte"),
        pytest.param(EXAMPLE_LINE, b"\n", ORDER, id="a line without its LF"),
        pytest.param(EXAMPLE_LINE + b"\r", b"\n", ORDER, id="a line without the LF of its CRLF"),
        pytest.param(EXAMPLE_LINE, b"\r\n", b"\r\n" + ORDER, id="a line without its CRLF, before a blank line"),
    ],
)
def test_a_line_that_was_begun_is_read_to_its_end_and_no_further(
    stopping: Stopping, begun: bytes, rest: bytes, next_line: bytes
) -> None:
    served = stopping.serve_from_here(ORDER + begun)
    stopping.server.stop.begin(keep=True)
    stopping.ours.sendall(rest + next_line)
    assert served.serve()  # the next process can go on
    assert stopping.unread() == next_line
    assert receive(stopping.ours, 2 * len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE * 2


@pytest.mark.parametrize("begun", [b"", b"\r", b"\n", b" ", b"\r\n \t\r\n  "])
def test_between_two_lines_nothing_is_read_and_blank_bytes_begin_no_line(stopping: Stopping, begun: bytes) -> None:
    served = stopping.serve_from_here(ORDER + begun)
    stopping.server.stop.begin(keep=True)
    stopping.ours.sendall(ORDER * 2)
    assert served.serve()
    assert stopping.unread() == ORDER * 2
    assert receive(stopping.ours, len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE


def test_of_a_client_that_has_just_connected_nothing_is_read(stopping: Stopping) -> None:
    served = stopping.serve_from_here(b"")
    stopping.server.stop.begin(keep=True)
    stopping.ours.sendall(ORDER)
    assert served.serve()
    assert stopping.unread() == ORDER


def test_the_end_of_a_stream_is_left_to_the_next_process(stopping: Stopping) -> None:
    served = stopping.serve_from_here(ORDER)
    stopping.server.stop.begin(keep=True)
    stopping.ours.sendall(ORDER)
    stopping.ours.shutdown(socket.SHUT_WR)
    assert served.serve()
    assert read_all(stopping.theirs) == ORDER


def test_connections_that_are_kept_stay_open_and_their_threads_end_at_once(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "REST_OF_LINE", 3600.0)
    stopping.serve()
    assert stopping.begin().result(TIME_LIMIT) == [stopping.theirs]
    stopping.ours.sendall(ORDER)
    assert stopping.unread() == ORDER
    stopping.theirs.sendall(EXAMPLE_RESPONSE)
    assert receive(stopping.ours, len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE


def test_lines_that_were_read_are_answered_also_by_the_worker(stopping: Stopping) -> None:
    stopping.serve()
    with stopping.server.work.work_lock:
        stopping.send(ORDER * 5 + ORDER[:HALF])
        wait_until(stopping.server.work.with_worker)
        kept = stopping.begin()
        stopping.ours.sendall(ORDER[HALF:] + ORDER * 3)
    assert kept.result() == [stopping.theirs]
    assert receive(stopping.ours, 6 * len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE * 6
    assert stopping.unread() == ORDER * 3


def test_the_rest_of_a_line_that_has_come_in_time_is_read_also_if_the_work_took_longer(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "REST_OF_LINE", 0.01)
    stopping.serve()
    with stopping.server.work.work_lock:
        stopping.send(ORDER + ORDER[:HALF])
        wait_until(stopping.server.work.with_worker)
        kept = stopping.begin()
        stopping.ours.sendall(ORDER[HALF:] + ORDER)
        wait_until(lambda: time.monotonic() > stopping.server.stop.read_until)
    assert kept.result() == [stopping.theirs]
    assert receive(stopping.ours, 2 * len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE * 2
    assert stopping.unread() == ORDER


# Who is not kept


@pytest.mark.parametrize("sent", [ORDER[:HALF], ORDER + ORDER[:-1], b"x" * 40_000])
def test_a_line_that_does_not_end_in_time_ends_its_connection(
    stopping: Stopping, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "REST_OF_LINE", 0.05)
    stopping.serve()
    stopping.send(sent)
    assert stopping.begin().result() == []
    assert read_all(stopping.ours) == EXAMPLE_RESPONSE * sent.count(b"\n")


def test_a_client_that_does_not_take_its_responses_is_cut_off(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "REST_OF_LINE", 0.05)
    monkeypatch.setattr(stop_module, "FAREWELL", 0.05)
    monkeypatch.setattr(connection_module, "ALL_AT_ONCE", 1)  # else the kernel may take all of them
    stopping.serve()
    stopping.ours.settimeout(0.2)
    while stopping.server.backlog.size < MAX_UNSENT // 2:
        with contextlib.suppress(TimeoutError, socket.timeout):
            stopping.ours.sendall(PING * 1000)
    assert stopping.begin().result() == []
    responses = read_all(stopping.ours)  # up to the end of the stream, so the client does not wait for the rest
    assert responses.startswith(b'{"ok": true')


@pytest.mark.parametrize("last", [b"", ORDER, EXAMPLE_LINE])
def test_a_client_that_ended_its_stream_gets_its_responses_and_the_end(stopping: Stopping, last: bytes) -> None:
    stopping.serve()
    with stopping.server.work.work_lock:
        stopping.send(ORDER + last)
        stopping.ours.shutdown(socket.SHUT_WR)
        wait_until(stopping.server.work.with_worker)
    assert read_all(stopping.ours) == EXAMPLE_RESPONSE * (2 if last else 1)
    assert stopping.begin().result() == []


@pytest.mark.parametrize(
    ("begun", "rest", "answer"),
    [
        pytest.param(ORDER[:HALF], EXAMPLE_LINE[HALF:], EXAMPLE_RESPONSE, id="ends without a terminator"),
        pytest.param(b"x", b"x" * 70_000, b"too_long", id="is too long"),
    ],
)
def test_a_line_that_is_the_last_one_is_answered_and_ends_its_connection(
    stopping: Stopping, begun: bytes, rest: bytes, answer: bytes
) -> None:
    served = stopping.serve_from_here(begun)
    stopping.server.stop.begin(keep=True)
    stopping.ours.sendall(rest)
    stopping.ours.shutdown(socket.SHUT_WR)
    assert not served.serve()
    assert answer in stopping.ours.recv(1000)


def test_a_client_that_was_refused_in_mid_line_is_not_kept(stopping: Stopping) -> None:
    stopping.serve()
    stopping.ours.sendall(b"x" * 70_000)
    assert b"too_long" in stopping.ours.recv(1000)
    assert stopping.begin().result() == []


def test_urgent_data_that_cannot_be_read_does_not_hold_up_the_end(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "REST_OF_LINE", 0.05)
    stopping.serve()
    with stopping.server.work.work_lock:
        stopping.send(ORDER + ORDER[:HALF])
        wait_until(stopping.server.work.with_worker)
        stopping.ours.send(b"!", socket.MSG_OOB)
        kept = stopping.begin()
    assert kept.result() == []
    assert read_all(stopping.ours) == EXAMPLE_RESPONSE


# From process to process


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    pytest.importorskip("systemd")
    with managed(tmp_path) as manager:
        yield manager
        assert manager.stop() == 0


def ask(client: socket.socket, times: int = 1) -> None:
    client.sendall(ORDER * times)
    assert receive(client, times * len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE * times


def test_clients_keep_their_one_connection_through_six_restarts(manager: Manager) -> None:
    """Busy, pipelining and idle ones. Pipelining ones always have half a line on its way."""
    stop = threading.Event()
    answered = {"busy": 0, "pipelining": 0}

    def busy() -> None:
        with manager.connect() as client:
            while not stop.is_set():
                ask(client)
                answered["busy"] += 1

    def pipelining() -> None:
        with manager.connect() as client:
            client.sendall(ORDER[:HALF])
            while not stop.is_set():
                client.sendall(ORDER[HALF:] + ORDER * 9 + ORDER[:HALF])
                client.sendall(ORDER[HALF:] + ORDER * 9 + ORDER[:HALF])
                assert receive(client, 20 * len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE * 20
                answered["pipelining"] += 20
            client.sendall(ORDER[HALF:])
            assert receive(client, len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE

    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(4))
        idle = [stack.enter_context(manager.connect()) for _ in range(5)]
        ask(idle[0])
        talking = [pool.submit(talk) for talk in (busy, pipelining) * 2]
        stack.callback(stop.set)
        for _ in range(6):
            enough = {kind: count + 100 for kind, count in answered.items()}
            wait_until(
                lambda enough=enough: (  # type: ignore[misc]
                    all(answered[kind] > enough[kind] for kind in enough) or any(talk.done() for talk in talking)
                )
            )
            manager.restart()
            assert manager.store == []
        stop.set()
        for talk in talking:
            talk.result()
        for client in idle:
            ask(client)


def test_more_connections_than_fit_a_message_are_kept_in_batches(manager: Manager) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(manager.connect()) for _ in range(2 * handover.BATCH + 1)]
        for client in clients:
            ask(client)
        manager.restart()
        for client in clients:
            ask(client)
        assert manager.largest_batch == handover.BATCH
        assert f"{len(clients)} connections given to systemd" in manager.log.read_text()
        assert f"{len(clients)} connections taken from systemd" in manager.log.read_text()


def test_requests_that_are_sent_while_no_process_runs_are_answered_by_the_next(manager: Manager) -> None:
    with manager.connect() as client:
        ask(client)
        assert manager.stop() == 0
        client.sendall(ORDER * 3 + ORDER[:HALF])
        manager.start()
        assert receive(client, 3 * len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE * 3
        assert exchange(client, ORDER[HALF:]) == EXAMPLE_RESPONSE


def test_a_thousand_responses_that_no_one_has_read_survive_a_restart(manager: Manager) -> None:
    """The client may be about to read them, or may still write. They do not fit into the kernel's usual buffers."""
    with manager.connect() as client, manager.connect() as other:
        client.sendall(ORDER * 1000)
        wait_until(lambda: manager.log.read_text().count("Signed") == 1000)
        ask(other)
        manager.restart()
        for number in range(1000):
            assert receive(client, len(EXAMPLE_RESPONSE)) == EXAMPLE_RESPONSE, number
        ask(client)
        ask(other)


def test_the_next_process_knows_who_the_client_is(manager: Manager) -> None:
    with manager.connect() as client:
        ask(client)
        manager.restart()
        ask(client)
    said = [line for line in manager.log.read_text().splitlines() if "Signed" in line]
    assert len(said) == 2
    assert all(f"uid {os.getuid()}, gid {os.getgid()}, pid {os.getpid()}" in line for line in said)


def test_connections_that_are_taken_over_count(manager: Manager) -> None:
    with manager.connect() as first, manager.connect() as second:
        ask(first)
        ask(second)
        manager.restart("--max-connections", "2")
        with manager.connect() as third:
            assert b"too_many_connections" in exchange(third, ORDER)
        manager.restart("--max-connections-per-user", "1")
        outcomes = [exchange(client, ORDER) for client in (first, second)]
        assert EXAMPLE_RESPONSE in outcomes
        assert sum(b"too_many_connections" in outcome for outcome in outcomes) == 1


def test_a_client_that_left_while_its_connection_was_stored_disturbs_nobody(manager: Manager) -> None:
    with manager.connect() as polite, manager.connect() as hasty:
        for client in (polite, hasty):
            ask(client)
        assert manager.stop() == 0
        polite.close()
        hasty.sendall(ORDER + ORDER[:HALF])
        hasty.close()
        manager.start()
        assert [name for name, _ in manager.store] == []
        with manager.connect() as client:
            ask(client)


def test_after_a_kill_a_client_sees_the_end_also_if_its_connection_was_handed_over(manager: Manager) -> None:
    with manager.connect() as client:
        ask(client)
        manager.restart()
        ask(client)
        manager.stop(signal.SIGKILL)
        assert read_all(client) == b""
        manager.start()


def test_what_is_no_clients_connection_is_closed_in_the_store_too(manager: Manager) -> None:
    with contextlib.ExitStack() as stack:
        unconnected = stack.enter_context(socket.socket(socket.AF_UNIX))
        datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        stream = socket.socketpair()
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        assert manager.stop() == 0
        for name, descriptor in (
            ("client", writer),
            ("client", unconnected.fileno()),
            ("client", datagrams[0].fileno()),
            ("of a version to come", stream[0].fileno()),
        ):
            manager.put(name, descriptor)
        os.close(writer)
        for end in (*datagrams, stream[0]):
            end.close()
        manager.start()
        assert manager.store == []
        assert os.read(reader, 1) == b""
        assert read_all(stack.enter_context(stream[1])) == b""
        ask(stack.enter_context(manager.connect()))


def test_it_ends_only_when_the_manager_has_taken_all_connections(manager: Manager) -> None:
    """The manager may ignore the messages of a process that has ended, so it is asked to confirm."""
    with manager.connect() as client:
        ask(client)
        assert manager.stop() == 0
        assert manager.messages[-3:] == ["FDSTORE=1", "FDNAME=client", "BARRIER=1"]
        manager.start()


@needs_root
def test_without_memory_for_another_thread_a_reload_and_a_restart_are_as_ever(manager: Manager) -> None:
    assert manager.process is not None
    with manager.connect() as client:
        ask(client)
        ask(client)  # the connection has its thread by now
        policies = manager.log.read_text().count("In force")
        with out_of_memory(manager.process.pid, 4 * 2**20):
            manager.process.send_signal(signal.SIGHUP)
            wait_until(lambda: manager.log.read_text().count("In force") > policies)
            ask(client)
            manager.restart()
        ask(client)


# Where nothing is kept


@needs_root
def test_without_a_descriptor_left_systemd_hears_that_it_is_alive_and_a_stop_answers_all_that_came(
    manager: Manager,
) -> None:
    assert manager.process is not None
    with manager.connect() as client:
        client.sendall(PING)
        assert client.recv(100).startswith(b'{"ok": true')
        with out_of_descriptors(manager.process.pid):
            ask(client)
            wait_until(lambda: any(message.startswith("STATUS=1 signed") for message in manager.messages))
            client.sendall(ORDER * 50)
            assert client.recv(1) == b"{"
            assert manager.stop() == 0
        assert read_all(client) == (EXAMPLE_RESPONSE * 50)[1:]
    assert "Stopped after 51 signatures" in manager.log.read_text()
    manager.start()


@pytest.mark.parametrize(("keeps", "answers", "possible"), [(512, True, True), (0, True, False), (512, False, False)])
def test_whether_the_manager_keeps_descriptors_is_tried(
    keeps: int, answers: bool, possible: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("systemd")
    monkeypatch.setattr(handover, "PATIENCE", 0.2 if not answers else TIME_LIMIT)
    with contextlib.closing(Manager(tmp_path, keeps=keeps, answers=answers)) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.notify)
        with contextlib.closing(Notifier(str)) as notifier:
            assert handover.is_possible(notifier) is possible
        wait_until(lambda: "FDSTOREREMOVE=1" in manager.messages)
        assert manager.store == []


def test_without_a_manager_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with contextlib.closing(Notifier(str)) as notifier:
        assert not handover.is_possible(notifier)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with contextlib.closing(Notifier(str)) as notifier:
        assert not handover.is_possible(notifier)


def test_a_manager_without_a_store_ends_connections_once_all_that_came_is_answered(tmp_path: Path) -> None:
    pytest.importorskip("systemd")
    with managed(tmp_path, "--log-level", "notice", keeps=0) as manager, manager.connect() as client:
        client.sendall(ORDER * 100)
        assert client.recv(1) == b"{"
        assert manager.process is not None
        manager.process.send_signal(signal.SIGTERM)
        assert read_all(client) == (EXAMPLE_RESPONSE * 100)[1:]
        assert manager.process.wait(TIME_LIMIT) == 0


def test_a_store_that_is_full_ends_the_other_connections(tmp_path: Path) -> None:
    pytest.importorskip("systemd")
    with managed(tmp_path, keeps=2) as manager, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(manager.connect()) for _ in range(3)]
        for client in clients:
            ask(client)
        manager.restart()
        outcomes = [exchange(client, ORDER) for client in clients]
        assert sorted(outcomes) == [b"", EXAMPLE_RESPONSE, EXAMPLE_RESPONSE]


def test_a_manager_that_does_not_answer_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    pytest.importorskip("systemd")
    with managed(tmp_path, answers=False) as manager, manager.connect() as client:
        ask(client)
        assert manager.stop() == 0
        assert read_all(client) == b""
