"""A client's bytes, in any pieces: each line gets its response, in order, even from one process to the next."""

from __future__ import annotations

import array
import fcntl
import json
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.daemon import EXAMPLE_LINE, TIME_LIMIT, connect, read_all, wait_until
from support.manager import Manager

from ordersigner.peer import Peer, peer_of
from ordersigner.serving.framing import MAX_LINE
from ordersigner.serving.server import Limits, OrderServer
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal

PATIENCE = 0.3  # seconds before the end of a line is sent; the daemon waits for a second
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # no shrinking: each attempt may wait for TIME_LIMIT
MOST_UNREAD = 20_000  # bytes of responses, so that the daemon never has to wait for the client

# A line without its terminator; the number makes its response one of its own.
makers: list[Callable[[int], bytes]] = [
    lambda number: b'{"type": "ping", "id": %d}' % number,
    lambda number: EXAMPLE_LINE[:-1] + b', "id": %d}' % number,
    lambda number: b'{"type": "ping", "id": %d, "more": 1}' % number,
    lambda number: b'{"type": "ping", "id": %d%s}' % (number, b" " * 30_000),
    lambda number: b'{"type": "message", "text": "%d", "signer": "%s"}' % (number, b"1" * 64),
    lambda number: b"rubbish",
    lambda number: b'\xff{"id": %d}' % number,
]
lines = st.tuples(st.sampled_from(makers), st.sampled_from([b"\n", b"\r\n", b" \n"]))
blanks = st.lists(st.sampled_from([b"\n", b"\r\n", b"  \n", b"\t\r\n"]), max_size=3).map(b"".join)
pieces = st.one_of(st.integers(1, 20), st.integers(1, 2000), st.just(1_000_000))


def one_by_one(line: bytes) -> bytes:
    """The response to a line that is all that there is."""
    quiet = Service(Journal(LEVELS["err"], lambda *fields: None))
    return Conversation(quiet, Peer(1, 1, 1)).respond(line.strip(b" \t\r\n"))


def waiting(end: socket.socket) -> int:
    """How much of the data sent from it is not read yet: not in bytes, but 0 means nothing."""
    size = array.array("i", [0])
    fcntl.ioctl(end, termios.TIOCOUTQ, size)
    return size[0]


class Client:
    """One end of a connection: the data to send, and the data received so far and expected."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.unsent = b""
        self.begun = b""  # the beginning of a line that was sent without its end
        self.expected: list[bytes] = []  # the responses to the lines that were sent
        self.received = b""

    def write(self, sent: bytes) -> None:
        self.unsent += sent

    def send(self, most: int) -> None:
        """Send up to `most` bytes, as far as the daemon takes them at once."""
        self.end.setblocking(False)
        try:
            sent = self.end.send(self.unsent[:most]) if self.unsent else 0
        except BlockingIOError:
            sent = 0
        finally:
            self.end.settimeout(TIME_LIMIT)
        *whole, self.begun = (self.begun + self.unsent[:sent]).split(b"\n")
        self.unsent = self.unsent[sent:]
        self.expected += [one_by_one(line) for line in whole if line.strip(b" \t\r\n")]

    @property
    def unread(self) -> int:
        return sum(map(len, self.expected)) - len(self.received)

    def receive(self, most: int) -> None:
        """What is there."""
        if select.select([self.end], [], [], 0)[0]:
            self.received += self.end.recv(most)

    def receive_all(self) -> None:
        """Exactly the responses to all lines that were sent."""
        while self.unread > 0:
            chunk = self.end.recv(self.unread)
            assert chunk, "the connection has ended"
            self.received += chunk
        assert self.received == b"".join(self.expected)

    def send_all(self) -> None:
        """Everything, even if the responses must be received for it."""
        while self.unsent:
            select.select([self.end], [self.end], [], TIME_LIMIT)
            self.send(1_000_000)
            self.receive(1_000_000)

    def send_end_of_line(self) -> None:
        if self.begun:
            self.send(self.unsent.find(b"\n") + 1)

    def wait_until_read(self) -> None:
        """Wait until the daemon has read everything that was sent, unless it waits for the client first."""
        wait_until(lambda: not waiting(self.end) or self.unread > MOST_UNREAD)

    def check(self) -> None:
        assert b"".join(self.expected).startswith(self.received)


class Talk(RuleBasedStateMachine):
    """One client of a server in this process."""

    def __init__(self) -> None:
        super().__init__()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server = OrderServer(listener, Service(Journal(LEVELS["err"], lambda *fields: None)), Limits())
        ours, theirs = socket.socketpair()
        ours.settimeout(TIME_LIMIT)
        self.server.process_request(theirs, peer_of(theirs))
        self.client = Client(ours)
        self.lines = 0

    @rule(before=blanks, made=st.lists(lines, min_size=1, max_size=30))
    def write_lines(self, before: bytes, made: list[Any]) -> None:
        self.client.write(before)
        for make, terminator in made:
            self.lines += 1
            self.client.write(make(self.lines) + terminator)

    @rule(blank=st.sampled_from([b" ", b"\r", b"\n", b"\t \r\n"]), times=st.sampled_from([1, 10, 40_000]))
    def write_blanks(self, blank: bytes, times: int) -> None:
        if blank[-1:] != b"\n":
            times = min(times, 10)  # white space without an end is a line that may be too long
        self.client.write(blank * times)

    @precondition(lambda self: self.client.unsent)
    @rule(sizes=st.lists(pieces, min_size=1, max_size=5), apart=st.booleans())
    def send(self, sizes: list[int], apart: bool) -> None:
        """apart: so that the server reads one piece after the other."""
        for size in sizes:
            self.client.send(size)
            if apart:
                self.client.wait_until_read()

    @rule(most=pieces)
    def receive(self, most: int) -> None:
        self.client.receive(most)

    @rule()
    def receive_all(self) -> None:
        self.client.receive_all()

    @invariant()
    def what_came_are_the_responses_in_order(self) -> None:
        self.client.check()

    def teardown(self) -> None:
        client = self.client
        try:
            self.end_stream(client)
        finally:
            client.end.close()
            self.server.drain()
            self.server.server_close()

    def end_stream(self, client: Client) -> None:
        """The last line needs no terminator, unless it is too long: then the response says so."""
        client.send_all()
        last = client.begun
        if self.lines % 2:
            client.receive_all()
            client.end.shutdown(socket.SHUT_WR)
            rest = one_by_one(last) if last.strip(b" \t\r\n") else b""
            assert read_all(client.end) == rest
        else:
            client.write(b"\n" * bool(last) + b"x" * (MAX_LINE + 1))
            client.send_all()
            received = client.received + read_all(client.end)
            responses = b"".join(client.expected)
            assert received.startswith(responses)
            (refused,) = received[len(responses) :].splitlines()
            assert json.loads(refused)["error"]["context"][""][0]["code"] == "too_long"


class Restarts(RuleBasedStateMachine):
    """Three clients of a daemon under a manager, which is restarted."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.manager = Manager(self.directory)
        self.clients: list[Client] = []
        self.lines = 0

    @initialize()
    def start(self) -> None:
        self.manager.start("--log-level", "warning")
        self.clients = [Client(connect(self.manager.path)) for _ in range(3)]

    def write(self, client: Client, made: list[Any]) -> None:
        for make, terminator in made:
            self.lines += 1
            client.write(make(self.lines) + terminator)

    @rule(which=st.integers(0, 2), made=st.lists(lines, min_size=1, max_size=10), cut=st.integers(0, 400))
    def send(self, which: int, made: list[Any], cut: int) -> None:
        """All but the last bytes."""
        client = self.clients[which]
        if client.unread > MOST_UNREAD:
            client.receive_all()
        self.write(client, made)
        client.send(max(1, len(client.unsent) - cut))

    @rule(which=st.integers(0, 2))
    def receive_all(self, which: int) -> None:
        self.clients[which].receive_all()

    @rule(made=st.lists(lines, max_size=5), cut=st.integers(0, 400), at_once=st.booleans())
    def restart(self, made: list[Any], cut: int, at_once: bool) -> None:
        """The ends of lines arrive while the process stops, and more lines follow."""
        process = self.manager.process
        assert process is not None
        for client in self.clients:
            client.wait_until_read()
        process.send_signal(signal.SIGTERM)
        if at_once:
            self.send_more(made, cut)
        while True:
            try:
                assert process.wait(PATIENCE) == 0
                break
            except subprocess.TimeoutExpired:  # it has read the beginning of a line, and waits for the rest
                self.send_more([], 0)
        if not at_once:
            self.send_more(made, cut)
        self.manager.start("--log-level", "warning")

    def send_more(self, made: list[Any], cut: int) -> None:
        for client in self.clients:
            client.send_end_of_line()
            self.write(client, made)
            client.send(max(1, len(client.unsent) - cut) if made else 0)

    @invariant()
    def what_came_are_the_responses_in_order(self) -> None:
        for client in self.clients:
            client.receive(1_000_000)
            client.check()

    def teardown(self) -> None:
        try:
            for client in self.clients:
                client.send_all()
                client.receive_all()
                client.end.close()
        finally:
            for client in self.clients:
                client.end.close()
            if self.manager.process is not None:
                assert self.manager.stop() == 0
            assert "Traceback" not in self.manager.log.read_text()
            self.manager.close()
            shutil.rmtree(self.directory)


def test_each_line_gets_its_response_in_order_however_the_bytes_come() -> None:
    run_state_machine_as_test(Talk, settings=settings(max_examples=60, stateful_step_count=20, phases=PHASES))


def test_each_line_gets_its_response_from_one_process_or_the_next() -> None:
    pytest.importorskip("systemd")
    several = settings(max_examples=5, stateful_step_count=12, phases=PHASES, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Restarts, settings=several)
