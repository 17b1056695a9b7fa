"""Clients that misbehave: each loses its own connection, and no other client notices."""

from __future__ import annotations

import _thread
import array
import contextlib
import fcntl
import gc
import http.client
import json
import os
import queue
import re
import select
import shutil
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.daemon import (
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    PING,
    TIME_LIMIT,
    Daemon,
    connect,
    exchange,
    needs_root,
    out_of_descriptors,
    out_of_memory,
    read_all,
    standalone,
    wait_until,
)
from support.held import MARKET, rule
from support.keys import ADDRESS
from support.policies import policy_of

from ordersigner.peer import peer_of
from ordersigner.serving import channel
from ordersigner.serving import connection as connection_module
from ordersigner.serving import server as server_module
from ordersigner.serving import work as work_module
from ordersigner.serving.channel import MAX_ALL_UNSENT, MAX_UNSENT
from ordersigner.serving.connection import Connection
from ordersigner.serving.server import Limits, OrderServer
from ordersigner.signing.conversation import Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keys import Signer
from ordersigner.signing.protocol import MAX_RESPONSE
from ordersigner.state.memory import Memory

ORDER = EXAMPLE_LINE + b"\n"


def code(response: bytes) -> str:
    """The one code of the last response."""
    error = json.loads(response.splitlines()[-1])["error"]
    (((report,)),) = error["context"].values()
    return str(report["code"])


def assert_serves(daemon: Daemon) -> None:
    assert daemon.ask(ORDER) == EXAMPLE_RESPONSE


def connections(daemon: Daemon) -> int:
    """How many it serves: one thread each, in addition to the main one, the accepting one, and the worker."""
    return daemon.threads() - 3


def is_idle(daemon: Daemon) -> bool:
    return connections(daemon) == 0


@contextlib.contextmanager
def impatient(directory: Path) -> Iterator[Daemon]:
    with standalone(directory, "--timeout", "0.2") as daemon:
        yield daemon
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


@contextlib.contextmanager
def in_this_process(path: str, entries: list[str] | None = None) -> Iterator[OrderServer]:
    """A server whose objects a test can read, unlike a daemon's. entries: gets the entries of its journal."""

    def write(entry: Sequence[str], wait: bool) -> None:
        if entries is not None:
            entries.append(entry[0])

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    with OrderServer(listener, Service(Journal(LEVELS["notice"], write)), Limits()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            stop(server)
            thread.join()


def stop(server: OrderServer) -> None:
    """As the daemon does at SIGTERM; a second time it does nothing."""
    server.shutdown()
    if not server.stop.begun:
        server.drain()


@pytest.mark.parametrize("sent", [b"", b"{", ORDER, ORDER + b"{", ORDER * 500, b"x" * 100_000])
def test_a_client_that_hangs_up_leaves_nothing_behind(daemon: Daemon, sent: bytes) -> None:
    for _ in range(20):
        with daemon.connect() as connection:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                connection.send(sent)
    wait_until(lambda: is_idle(daemon))
    assert_serves(daemon)
    assert "Traceback" not in daemon.log


def test_a_client_that_stalls_in_mid_line_is_told_and_let_go(tmp_path: Path) -> None:
    with impatient(tmp_path) as daemon, daemon.connect() as stalled:
        stalled.sendall(ORDER + b'{"type": ')
        assert_serves(daemon)
        received = read_all(stalled)
        assert received.startswith(EXAMPLE_RESPONSE)
        assert code(received) == "timed_out"
        wait_until(lambda: is_idle(daemon))


def test_a_client_that_drips_does_not_get_around_the_limit(tmp_path: Path) -> None:
    with impatient(tmp_path) as daemon, daemon.connect() as dripping:
        deadline = time.monotonic() + TIME_LIMIT
        while not select.select([dripping], [], [], 0.001)[0]:
            assert time.monotonic() < deadline
            dripping.sendall(b"x")
        assert code(read_all(dripping)) == "timed_out"
        wait_until(lambda: is_idle(daemon))


def test_each_line_has_its_own_time_also_where_the_next_has_always_begun(tmp_path: Path) -> None:
    with standalone(tmp_path, "--timeout", "1") as daemon, daemon.connect() as busy:
        begin = time.monotonic()
        busy.sendall(ORDER[:1])
        while time.monotonic() < begin + 1.5:
            busy.sendall(ORDER[1:] + ORDER[:1])
            assert busy.recv(1000) == EXAMPLE_RESPONSE


def test_a_client_that_takes_its_time_between_requests_is_kept(tmp_path: Path) -> None:
    with impatient(tmp_path) as daemon, daemon.connect() as idle:
        idle.sendall(PING + b"\r")  # some clients end lines with LF CR; the CR does not begin a line
        assert idle.recv(1000).startswith(b'{"ok": true')
        with daemon.connect() as stalled:
            stalled.sendall(b"{")
            assert code(read_all(stalled)) == "timed_out"  # so that more time than the limit has passed
        assert exchange(idle, ORDER) == EXAMPLE_RESPONSE


def test_a_client_that_never_reads_is_let_go_and_costs_no_memory(tmp_path: Path) -> None:
    with impatient(tmp_path) as daemon, daemon.connect() as deaf:
        assert_serves(daemon)
        before = daemon.resident()
        deaf.setblocking(False)
        deadline = time.monotonic() + TIME_LIMIT
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    deaf.send(b"x\n" * 10_000)
                assert daemon.resident() - before < 20 * 2**20
        wait_until(lambda: is_idle(daemon))
        assert_serves(daemon)


def test_a_line_that_never_ends_is_not_kept(daemon: Daemon) -> None:
    assert_serves(daemon)
    before = daemon.resident()
    with daemon.connect() as endless:
        received = exchange(endless, b"x" * 50_000_000)
    assert code(received) == "too_long"
    assert daemon.resident() - before < 5 * 2**20


class HttpOverUnixSocket(http.client.HTTPConnection):
    """What a program sends whose HTTP library is led to the socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIME_LIMIT)
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "X-SIGN"])
def test_an_http_request_has_nothing_signed(method: str, tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon:
        client = HttpOverUnixSocket(daemon.path)
        client.request(method, "/", body=ORDER * 2, headers={"X": "y"})
        with contextlib.closing(client.sock) as connection:
            received = read_all(connection)
        assert (received.count(b"\n"), code(received)) == (1, "not_json")
        assert re.findall("Refused a request .*: ([a-z_]+) ORDERSIGNER", daemon.log) == ["not_json"]
        assert "Signed" not in daemon.log
        assert_serves(daemon)


def test_curl_has_nothing_signed(daemon: Daemon) -> None:
    tool = shutil.which("curl")
    if tool is None:
        pytest.skip("curl is missing: install curl")
    command = [tool, "--silent", "--http0.9", "--unix-socket", daemon.path, "--data-binary", "@-", "http://localhost/"]
    ended = subprocess.run(command, input=ORDER * 2, stdout=subprocess.PIPE, timeout=TIME_LIMIT, check=False)
    assert (ended.stdout.count(b"\n"), code(ended.stdout)) == (1, "not_json")


def test_a_client_that_goes_quiet_in_the_rest_of_a_refused_line_is_let_go(daemon: Daemon) -> None:
    with daemon.connect() as quiet:
        quiet.sendall(b"x" * 70_000)
        assert code(quiet.recv(1000)) == "too_long"
        wait_until(lambda: is_idle(daemon))  # long before the time that it may take for a line


def test_a_client_without_end_does_not_keep_the_others_waiting(daemon: Daemon) -> None:
    stop = threading.Event()

    def pour(sent: bytes) -> None:
        with daemon.connect() as connection:
            connection.settimeout(0.01)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError, socket.timeout):
                    connection.sendall(sent)
                with contextlib.suppress(TimeoutError, socket.timeout):
                    connection.recv(65536)

    threads = [threading.Thread(target=pour, args=(sent,)) for sent in (ORDER * 20, b"x\n" * 8000, b"{}\n" * 5000)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert_serves(daemon)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_clients_that_never_read_cost_no_thread_but_their_own(tmp_path: Path) -> None:
    """Nor more than their share of memory, however many requests they send."""
    with standalone(tmp_path, "--log-level", "warning") as daemon, contextlib.ExitStack() as stack:
        wait_until(lambda: is_idle(daemon))
        deaf = [stack.enter_context(daemon.connect()) for _ in range(100)]
        wait_until(lambda: connections(daemon) == len(deaf))
        before = daemon.resident()
        fill(deaf)
        assert connections(daemon) == len(deaf)
        assert daemon.resident() - before < MAX_ALL_UNSENT + len(deaf) * 150 * 1024
        assert_serves(daemon)


# Clients that write before they read


RUBBISH = (b"x" * 200 + b"\n") * 50  # lines cut from it at any place get the same response


def fill(connections: Sequence[socket.socket]) -> None:
    """Send on each connection until it takes no more: both sockets are full, and so is what the daemon keeps."""
    full: dict[socket.socket, int] = {}  # how often in a row it accepted nothing
    while len(full) < len(connections) or min(full.values()) < 3:
        for connection in connections:
            connection.setblocking(False)
            try:
                connection.send(RUBBISH)
                full.pop(connection, None)
            except BlockingIOError:
                full[connection] = full.get(connection, 0) + 1
        select.select([], connections, [], 0.1)


def numbered(count: int) -> bytes:
    return b"".join(EXAMPLE_LINE[:-1] + b', "id": %d}\n' % number for number in range(count))


def numbers(responses: bytes) -> list[int]:
    return [json.loads(response)["id"] for response in responses.splitlines()]


@pytest.mark.parametrize("clients", [1, 3])
def test_a_thousand_orders_may_be_written_before_the_first_response_is_read(daemon: Daemon, clients: int) -> None:
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(daemon.connect()) for _ in range(clients)]
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda writer: writer.sendall(numbered(1000)), writers))
        for writer in writers:
            writer.shutdown(socket.SHUT_WR)
            assert numbers(read_all(writer)) == list(range(1000))


def test_the_responses_that_wait_for_a_client_are_bounded_and_none_is_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with in_this_process(path) as server, connect(path) as writer:
        asked = numbered(6000)
        sender = threading.Thread(target=writer.sendall, args=(asked,))
        sender.start()
        wait_until(lambda: server.backlog.size > MAX_UNSENT - 3 * MAX_RESPONSE)
        assert server.backlog.size <= MAX_UNSENT
        with connect(path) as other:  # which is not kept waiting
            assert exchange(other, ORDER) == EXAMPLE_RESPONSE
        assert sender.is_alive()
        assert server.backlog.size <= MAX_UNSENT
        received = b""
        while received.count(b"\n") < 6000:
            received += writer.recv(65536)
        sender.join()
        assert numbers(received) == list(range(6000))
        wait_until(lambda: server.backlog.size == 0)


def test_the_responses_that_wait_for_all_clients_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 256 * 1024
    monkeypatch.setattr(channel, "MAX_ALL_UNSENT", bound)
    path = str(tmp_path / "socket")
    with in_this_process(path) as server, contextlib.ExitStack() as stack:
        writers = [stack.enter_context(connect(path)) for _ in range(4)]
        fill(writers)
        assert bound <= server.backlog.size < bound + len(writers) * (channel.MAX_RESPONSES + 1000)
        with connect(path) as other:  # which is served as long as it reads
            assert exchange(other, ORDER * 100) == EXAMPLE_RESPONSE * 100
        for leaves in writers[:3]:
            leaves.close()
        wait_until(lambda: server.service.counters.connections == 1)
        assert server.backlog.size < bound
        refused = server.service.counters.refused
        fill(writers[3:])  # for which there is room again, though it has not read anything
        assert server.service.counters.refused > refused
        assert server.backlog.size < bound + channel.MAX_RESPONSES + 1000
        writers[3].setblocking(True)
        writers[3].shutdown(socket.SHUT_WR)
        responses = read_all(writers[3]).splitlines()
        assert len(responses) > 500
        assert len(set(responses)) == 1
        wait_until(lambda: server.backlog.size == 0)


def test_the_journal_says_once_that_a_client_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "UNREAD", 0.05)
    path = str(tmp_path / "socket")
    entries: list[str] = []

    def said() -> list[str]:
        return [entry for entry in entries if "does not read" in entry]

    with in_this_process(path, entries) as server, connect(path) as writer:
        for _ in range(3):
            fill([writer])
            wait_until(said)
            writer.setblocking(True)
            while server.backlog.size > MAX_UNSENT // 2:
                writer.recv(65536)
        with connect(path) as reader:
            assert exchange(reader, ORDER * 2000) == EXAMPLE_RESPONSE * 2000
        (entry,) = said()
        assert f"uid {os.getuid()}, gid {os.getgid()}, pid {os.getpid()}" in entry


def test_a_client_that_reads_in_time_keeps_its_connection_and_one_that_does_not_loses_it(tmp_path: Path) -> None:
    """Also where always some responses wait."""
    with standalone(tmp_path, "--timeout", "1") as daemon, daemon.connect() as deaf, daemon.connect() as slow:
        deaf.sendall(ORDER * 1000)
        slow.sendall(ORDER * 1000)
        received, more = b"", 0
        while connections(daemon) == 2:  # until the time of the other one is over
            slow.sendall(ORDER * 20)
            received += slow.recv(20 * len(EXAMPLE_RESPONSE))
            more += 20
            select.select([], [], [], 0.02)
        slow.shutdown(socket.SHUT_WR)
        assert received + read_all(slow) == EXAMPLE_RESPONSE * (1000 + more)
        assert len(read_all(deaf)) < 1000 * len(EXAMPLE_RESPONSE)


def test_a_client_that_connects_for_each_request_needs_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda *call: started.append(call))
    monkeypatch.setattr(connection_module, "SPIN", TIME_LIMIT)
    path = str(tmp_path / "socket")
    with in_this_process(path) as server:
        for _ in range(10):
            with connect(path) as connection:
                connection.sendall(ORDER)
                assert connection.recv(1000) == EXAMPLE_RESPONSE
        wait_until(lambda: server.service.counters.connections == 0)
    assert not started


def test_clients_that_connect_and_ask_nothing_do_not_hold_up_the_accepting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1.0
    monkeypatch.setattr(connection_module, "SPIN", moment)
    path = str(tmp_path / "socket")
    with in_this_process(path) as server, contextlib.ExitStack() as stack:
        begin = time.monotonic()
        for _ in range(server_module.SILENT + 1):
            stack.enter_context(connect(path))
        assert exchange(stack.enter_context(connect(path)), ORDER) == EXAMPLE_RESPONSE
        assert time.monotonic() - begin < server_module.SILENT * moment
        wait_until(lambda: server.service.counters.connections == server_module.SILENT + 1)


def test_the_accepting_thread_reads_no_more_before_what_it_has_read_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = array.array("i", [0])

    def start_new_thread(_: object, arguments: tuple[list[socket.socket], object, object]) -> None:
        fcntl.ioctl(arguments[0][0], termios.FIONREAD, left)
        raise MemoryError

    sent = PING * (channel.CHUNK // len(PING) + 100)
    monkeypatch.setattr(connection_module, "SPIN", TIME_LIMIT)
    monkeypatch.setattr(_thread, "start_new_thread", start_new_thread)
    ours, theirs = socket.socketpair()
    with in_this_process(str(tmp_path / "socket")) as server, ours:
        ours.sendall(sent)
        server.process_request(theirs, peer_of(theirs))
        theirs.close()
        assert code(read_all(ours)) == "too_many_connections"
    assert left[0] == len(sent) - channel.CHUNK


def test_blank_bytes_do_not_keep_the_daemon_looking_for_more(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with in_this_process(path), connect(path) as connection:
        for sent in (PING, PING, PING):
            connection.sendall(sent)
            assert connection.recv(1000).startswith(b'{"ok": true')
        (served,) = (thing for thing in gc.get_objects() if isinstance(thing, Connection))
        assert served.spins  # for a lone client that asks in lock-step
        connection.sendall(b"\n")
        wait_until(lambda: not served.spins)


def test_a_key_lives_no_longer_than_the_connection_that_it_came_on(tmp_path: Path) -> None:
    with in_this_process(str(tmp_path / "socket")), connect(str(tmp_path / "socket")) as connection:
        connection.sendall(ORDER)
        assert connection.recv(1000) == EXAMPLE_RESPONSE
        assert any(isinstance(thing, Signer) for thing in gc.get_objects())
        connection.close()
        wait_until(lambda: not any(isinstance(thing, Signer) for thing in gc.get_objects()))


def test_a_key_lives_no_longer_than_its_connection_also_where_the_worker_used_it(tmp_path: Path) -> None:
    with in_this_process(str(tmp_path / "socket")) as server, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(str(tmp_path / "socket"))) for _ in range(2)]
        with server.work.work_lock:
            for connection in connections:
                connection.sendall(ORDER)
            wait_until(lambda: len(server.work.with_worker()) == 2)
        for connection in connections:
            assert connection.recv(1000) == EXAMPLE_RESPONSE
        assert any(isinstance(thing, Signer) for thing in gc.get_objects())
        stack.close()
        wait_until(lambda: not any(isinstance(thing, Signer) for thing in gc.get_objects()))


def test_many_clients_at_once_each_get_their_own_answers(daemon: Daemon) -> None:
    failures = []

    def talk(number: int) -> None:
        for turn in range(20):
            request_id = number * 1000 + turn
            response = daemon.ask(EXAMPLE_LINE[:-1] + b', "id": %d}\n' % request_id)
            if json.loads(response).get("id") != request_id:
                failures.append(response)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# The end


def test_a_client_that_keeps_its_socket_full_of_orders_is_never_refused_at_the_end(tmp_path: Path) -> None:
    """What was not read as a whole line by then is dropped: its client asks again."""
    for number in range(20):
        path = str(tmp_path / str(number))
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(3))
            server = stack.enter_context(in_this_process(path))
            clients = [stack.enter_context(connect(path)) for _ in range(3)]
            received = [pool.submit(exchange, client, ORDER * 20_000) for client in clients]
            counters = server.service.counters
            wait_until(lambda counters=counters: counters.signed > 100 and counters.connections == 3)  # type: ignore[misc]
            stop(server)
            for responses in (each.result() for each in received):
                assert responses == EXAMPLE_RESPONSE * (len(responses) // len(EXAMPLE_RESPONSE))
                assert responses


def test_the_beginning_of_a_line_is_dropped_at_the_end_and_its_client_is_not_refused(tmp_path: Path) -> None:
    with in_this_process(str(tmp_path / "socket")) as server, connect(str(tmp_path / "socket")) as connection:
        connection.sendall(ORDER + ORDER[:-2])
        assert connection.recv(1000) == EXAMPLE_RESPONSE
        stop(server)
        assert read_all(connection) == b""


def test_urgent_data_that_is_counted_but_cannot_be_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """The kernel counts a byte sent with MSG_OOB as waiting to be read, but does not return it."""
    with in_this_process(str(tmp_path / "socket")) as server, connect(str(tmp_path / "socket")) as connection:
        with server.work.work_lock:
            connection.sendall(ORDER)
            wait_until(server.work.with_worker)
            connection.send(b"!", socket.MSG_OOB)
            server.stop.begin()
            wait_until(lambda: time.monotonic() > server.stop.read_until)
        assert read_all(connection) == EXAMPLE_RESPONSE
        wait_until(lambda: not server.service.counters.connections)


def test_a_client_that_just_connected_may_still_send_its_request_at_the_end(tmp_path: Path) -> None:
    with in_this_process(str(tmp_path / "socket")) as server, connect(str(tmp_path / "socket")) as connection:
        wait_until(lambda: server.service.counters.connections)
        stopping = threading.Thread(target=stop, args=(server,))
        stopping.start()
        wait_until(lambda: server.stop.begun)
        connection.sendall(ORDER)
        assert read_all(connection) == EXAMPLE_RESPONSE
        stopping.join()


# How many


def test_a_connection_too_many_is_told_so_and_the_others_go_on(tmp_path: Path) -> None:
    with standalone(tmp_path, "--max-connections", "3") as daemon, contextlib.ExitStack() as stack:
        wait_until(lambda: is_idle(daemon))
        held = [stack.enter_context(daemon.connect()) for _ in range(3)]
        wait_until(lambda: connections(daemon) == 3)
        for _ in range(5):
            error = json.loads(daemon.ask(b""))["error"]
            assert error["type"] == "PermissionError"
            assert error["context"][""][0]["code"] == "too_many_connections"
        assert exchange(held.pop(), ORDER) == EXAMPLE_RESPONSE
        wait_until(lambda: connections(daemon) == 2)
        assert_serves(daemon)


def test_a_connection_too_many_is_told_so_also_where_it_writes_before_it_reads(tmp_path: Path) -> None:
    with standalone(tmp_path, "--max-connections", "1") as daemon:
        wait_until(lambda: is_idle(daemon))
        with daemon.connect():
            wait_until(lambda: connections(daemon) == 1)
            for _ in range(50):
                result = subprocess.run(["nc", "-N", "-U", daemon.path], input=ORDER, capture_output=True, check=False)
                assert code(result.stdout) == "too_many_connections", result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as two users")
def test_one_user_cannot_take_all_connections(tmp_path: Path) -> None:
    with standalone(tmp_path, "--max-connections-per-user", "3", "--mode", "0666") as daemon:
        os.chmod(tmp_path, 0o755)
        os.chmod(tmp_path.parent, 0o755)
        os.chmod(tmp_path.parent.parent, 0o755)
        wait_until(lambda: is_idle(daemon))
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(daemon.connect())
            wait_until(lambda: connections(daemon) == 3)
            assert code(daemon.ask(b"")) == "too_many_connections"
            os.seteuid(65534)
            try:
                connection = stack.enter_context(daemon.connect())
            finally:
                os.seteuid(0)
            assert exchange(connection, PING).startswith(b'{"ok": true')


@needs_root
def test_running_out_of_descriptors_costs_no_processor_time(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, contextlib.ExitStack() as stack:
        wait_until(lambda: is_idle(daemon))
        held = stack.enter_context(daemon.connect())
        wait_until(lambda: connections(daemon) == 1)
        with out_of_descriptors(daemon.pid):
            waiting = stack.enter_context(daemon.connect())
            waiting.sendall(ORDER)
            wait_until(lambda: "Cannot accept another connection" in daemon.log)
            before, start = daemon.cpu_seconds(), time.monotonic()
            wait_until(lambda: time.monotonic() - start > 1)
            assert daemon.cpu_seconds() - before < 0.5
            held.sendall(ORDER)
            assert held.recv(1000) == EXAMPLE_RESPONSE  # clients that are connected do not notice
        assert waiting.recv(1000) == EXAMPLE_RESPONSE
        assert daemon.log.count("Cannot accept another connection") == 1


@needs_root
def test_running_out_of_threads_refuses_a_connection_and_nothing_else(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon:
        wait_until(lambda: is_idle(daemon))
        with out_of_memory(daemon.pid, 2**20), contextlib.ExitStack() as stack:
            refused = b""
            for _ in range(50):
                connection = stack.enter_context(daemon.connect())
                connection.settimeout(0.2)
                with contextlib.suppress(TimeoutError, socket.timeout):
                    refused = connection.recv(1000)
                if refused:
                    break
            assert code(refused) == "too_many_connections"
        wait_until(lambda: is_idle(daemon))
        assert_serves(daemon)
        assert "Traceback" not in daemon.log


def no_memory(*_: object) -> None:
    raise MemoryError


def test_a_thread_for_which_there_is_no_memory_is_no_connection_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "socket")
    with in_this_process(path) as server:
        with monkeypatch.context() as patched:
            patched.setattr(queue, "SimpleQueue", no_memory)
            with connect(path) as connection:
                assert code(read_all(connection)) == "too_many_connections"
        assert not server.service.counters.connections


def test_responses_of_a_client_without_a_thread_do_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "socket")
    monkeypatch.setattr(connection_module, "SEND_BUFFER", 1)  # the kernel makes it a few kilobytes
    monkeypatch.setattr(connection_module, "SPIN", TIME_LIMIT)
    monkeypatch.setattr(work_module, "TURN", TIME_LIMIT)
    with in_this_process(path) as server:
        with monkeypatch.context() as patched:
            patched.setattr(_thread, "start_new_thread", no_memory)
            with connect(path) as connection:
                connection.sendall(b"x\n" * 1000)
                wait_until(lambda: server.service.counters.refused and not server.service.counters.connections)
                responses = read_all(connection)
        assert len(responses) < channel.MAX_RESPONSES  # some did not reach it
        assert not server.backlog.size


@pytest.mark.parametrize("begins", [False, "and finds no memory"])
def test_a_connection_for_whose_thread_there_is_no_memory_is_refused_and_not_counted(
    begins: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory can also be too little only once the thread has begun, before any code of ours runs in it."""

    def start_new_thread(*_: object) -> None:
        if not begins:
            raise MemoryError

    monkeypatch.setattr(server_module, "START", 0.01)
    monkeypatch.setattr(server_module, "LATE", 0.01)
    path = str(tmp_path / "socket")
    with in_this_process(path) as server:
        with monkeypatch.context() as patched:
            patched.setattr(_thread, "start_new_thread", start_new_thread)
            with connect(path) as connection:
                assert code(read_all(connection)) == "too_many_connections"
        assert not server.service.counters.connections
        with connect(path) as connection:
            assert exchange(connection, ORDER) == EXAMPLE_RESPONSE


def test_a_thread_that_begins_too_late_leaves_its_connection_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[tuple[Callable[..., object], tuple[object, ...]]] = []
    monkeypatch.setattr(server_module, "START", 0.01)
    monkeypatch.setattr(server_module, "LATE", 0.01)
    path = str(tmp_path / "socket")
    with in_this_process(path) as server:
        with monkeypatch.context() as patched:
            patched.setattr(_thread, "start_new_thread", lambda *call: late.append(call))
            with connect(path) as connection:
                assert code(read_all(connection)) == "too_many_connections"
        for function, arguments in late:
            function(*arguments)
        assert not server.service.counters.connections
        with connect(path) as connection:
            assert exchange(connection, ORDER) == EXAMPLE_RESPONSE


def test_a_failure_that_cannot_be_reported_ends_its_connection_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "socket")
    with in_this_process(path) as server:
        with monkeypatch.context() as patched:
            patched.setattr(Connection, "serve", no_memory)
            patched.setattr(server.service.journal, "failed", no_memory)
            with connect(path) as connection:
                assert read_all(connection) == b""
        with connect(path) as connection:
            assert exchange(connection, ORDER) == EXAMPLE_RESPONSE


def test_the_serving_ends_with_the_worker(tmp_path: Path) -> None:
    """Else clients would wait for ever, where no watchdog acts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        server = OrderServer(listener, Service(Journal(LEVELS["err"], print)), Limits())
        server.work.close(TIME_LIMIT)
        with pytest.raises(RuntimeError, match="worker"):
            server.service_actions()  # called in each turn of the serve loop, which ends
        server.stop.close()


def test_memory_does_not_grow_with_requests(daemon: Daemon) -> None:
    requests = b"".join(EXAMPLE_LINE[:-1] + b', "id": %d}\n' % number for number in range(3000))
    rubbish = b"".join(b'{"%d": %d}\n' % (number, number) for number in range(3000))
    for _ in range(2):
        daemon.ask(requests)
        daemon.ask(rubbish)
    before = daemon.resident()
    for _ in range(5):
        daemon.ask(requests)
        daemon.ask(rubbish)
    assert daemon.resident() - before < 2 * 2**20


@needs_root
@pytest.mark.parametrize("sent", [PING, b"", b"{", ORDER * 50])
def test_memory_and_descriptors_do_not_grow_with_connections(daemon: Daemon, sent: bytes) -> None:
    def come_and_go(times: int) -> None:
        for number in range(times):
            with daemon.connect() as connection:
                connection.sendall(sent)
                if number % 2:  # the others hang up with all responses unread
                    exchange(connection, b"")
        # Those that an earlier test left may be closed by now.
        wait_until(lambda: is_idle(daemon) and daemon.descriptors() <= descriptors)

    descriptors = daemon.descriptors()
    come_and_go(100)
    memory = daemon.resident()
    come_and_go(400)
    assert daemon.resident() - memory < 2 * 2**20


# Requests whose response takes waiting


class Waiting(Memory):
    """A ledger that confirms no freeze before `idle`."""

    idle = False

    def freeze(self, rules: Sequence[str], uid: int) -> bool:
        super().freeze(rules, uid)
        return False

    def is_idle(self, rules: Sequence[str]) -> bool:
        return self.idle


@contextlib.contextmanager
def freezing(path: str) -> Iterator[tuple[OrderServer, Waiting]]:
    with in_this_process(path) as server:
        server.service.ledger = ledger = Waiting()
        server.service.replace_policy(policy_of(MARKET + rule("a", ADDRESS)))
        yield server, ledger


FREEZE = b'{"type": "freeze"}\n'


@pytest.mark.parametrize("crowd", [0, 5])
def test_a_freeze_that_waits_holds_up_no_other_client(directory: Path, crowd: int) -> None:
    """Alone, a client is answered by its own thread; in a crowd, by the worker."""
    path = str(directory / "socket")
    with freezing(path) as (_, ledger), contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(path)) for _ in range(crowd)]
        for client in busy:
            client.sendall(ORDER * 2000)
        client = stack.enter_context(connect(path))
        client.sendall(ORDER + FREEZE + ORDER)
        responses = stack.enter_context(client.makefile("rb"))
        assert responses.readline() == EXAMPLE_RESPONSE
        wait_until(lambda: ledger.frozen)
        for other in busy:
            assert exchange(other, ORDER).count(EXAMPLE_RESPONSE) == 2001
        with connect(path) as other:
            assert exchange(other, ORDER) == EXAMPLE_RESPONSE
        ledger.idle = True
        assert json.loads(responses.readline())["confirmed"] is True
        assert responses.readline() == EXAMPLE_RESPONSE


@pytest.mark.parametrize("keep", [False, True])
def test_the_stop_ends_the_wait_of_a_freeze(directory: Path, keep: bool) -> None:
    path = str(directory / "socket")
    with freezing(path) as (server, ledger), connect(path) as client, client.makefile("rb") as responses:
        client.sendall(FREEZE + ORDER)
        wait_until(lambda: ledger.frozen)
        server.shutdown()
        kept = server.drain(keep=keep)
        assert json.loads(responses.readline())["confirmed"] is False
        assert responses.readline() == EXAMPLE_RESPONSE
        assert len(kept) == keep
        for connection in kept:
            connection.close()
