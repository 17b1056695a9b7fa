"""Many clients at once: connections on a listening Unix socket to conversations.

In: a listening socket, whoever bound it, and a Service. A thread a connection reads its lines; one thread at a time
works from line to signature. A client that hangs up, stalls, never reads or sends rubbish costs its own connection
and nothing else. Knows no JSON, no orders, no keys.
"""

from __future__ import annotations

import errno
import queue
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter, deque
from typing import Callable, NamedTuple

from ordersigner.framing import MAX_LINE, LineBuffer, LineTooLong
from ordersigner.peer import Peer, peer_of
from ordersigner.refusal import Refusal
from ordersigner.service import Conversation, Service

CHUNK = 16 * 1024  # bytes read at once: some twenty orders of a client that pipelines
LINES_PER_TURN = 16  # requests answered before others get their turn: under a millisecond of orders
EAGER = 100e-6  # seconds for which a sole client's next request is looked for: time for it to wake, think and write
POLL = 0.5  # seconds between two looks at whether to stop, and two signs of life to systemd
GRACE = 0.2  # seconds at the end in which a client that has just connected may still send its request
FAREWELL = 5.0  # seconds at the end in which a client may take the last of its replies
PAUSE = 0.1  # seconds before the next accept where the system has no descriptor or memory for another connection
LINGER = 2.0  # seconds in which who is refused may go on writing, to no effect, so that it comes to read the reply
TURNED_AWAY = 16  # connections, at most, that were refused and linger
RESERVED_DESCRIPTORS = 32  # for everything but connections: standard streams, journal, listener, modules being loaded


class Limits(NamedTuple):
    """What clients may take."""

    connections: int = 512  # of all users: as many threads, of some 50 KiB each
    connections_per_user: int = 256  # so that no user can take every connection from the others
    patience: float = 30.0  # seconds, up to twice as many: to end a line once begun, to take a reply


class OrderServer(socketserver.ThreadingUnixStreamServer):
    """Answers order lines on `listener`, a listening Unix stream socket, which it takes over.

    serve_forever() runs until shutdown() is called in another thread; drain() then ends the connections politely.
    """

    block_on_close = False  # drain() waits for the handlers, without a list that each accept has to walk
    daemon_threads = True  # once drain() has cut a connection off, its thread shall not hold up the exit

    def __init__(
        self,
        listener: socket.socket,
        service: Service,
        limits: Limits,
        *,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(listener.getsockname(), OrderHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        listener.setblocking(False)  # another process may share it and be first to accept
        self.service = service
        self.limits = limits
        self._heartbeat = heartbeat
        # Who works from line to signature has the turn, or the threads would fight for the interpreter. Who finds it
        # taken, or others waiting, leaves its lines to the worker and goes back to reading: waiting for it would cost
        # each request two more changes of thread, and the last in a crowd would wait for ever.
        self.turn = threading.Lock()
        self.latest = 0  # the thread that had the last turn, if it was a handler's own
        self.left: queue.SimpleQueue[tuple[OrderHandler, list[bytes]] | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="worker", daemon=True)
        self._worker.start()
        self.draining = False
        self._connections: set[socket.socket] = set()
        self._connections_of: Counter[int] = Counter()  # how many a user has, by uid
        self._changed = threading.Condition()
        self._turned_away: deque[tuple[float, socket.socket]] = deque()  # until when they stay open
        self._exhausted = False

    def get_request(self) -> tuple[socket.socket, Peer]:
        """A connection, and who is at its other end: on a Unix socket that is the client's address."""
        try:
            connection, _ = self.socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._wait_for_resources(error)
            raise
        self._exhausted = False
        return connection, peer_of(connection)

    def process_request(self, request: socket.socket, client_address: Peer) -> None:  # type: ignore[override]
        try:
            self._admit(request, client_address)
            super().process_request(request, client_address)
        except Refusal as refusal:
            self._turn_away(request, client_address, refusal)
        except RuntimeError:  # can't start new thread
            self._release(request, client_address)
            self._turn_away(request, client_address, _too_many("The daemon can start no more threads."))

    def process_request_thread(self, request: socket.socket, client_address: Peer) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._release(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for _, connection in self._turned_away:
            connection.close()
        self.left.put(None)
        self._worker.join(GRACE)

    def service_actions(self) -> None:
        """What the serve loop does beside accepting, at each turn."""
        self._heartbeat()
        now = time.monotonic()
        while self._turned_away and (len(self._turned_away) > TURNED_AWAY or self._turned_away[0][0] < now):
            self._turned_away.popleft()[1].close()

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            self.service.journal.failed("A connection failed", error)

    def accept_pending(self) -> None:
        """Take on the clients that are waiting. For after serve_forever() has returned."""
        for _ in range(self.limits.connections):
            try:
                request, peer = self.get_request()
            except OSError:  # nobody is left
                return
            try:
                self.process_request(request, peer)
            except Exception:  # noqa: BLE001 - as socketserver has it: one client's, not all clients'
                self.handle_error(request, peer)
                self.shutdown_request(request)

    def drain(self) -> None:
        """Answer what was received, end all connections. For after serve_forever() has returned."""
        self.draining = True
        with self._changed:
            if self._changed.wait_for(lambda: not self._connections, GRACE):
                return
        for how, seconds in ((socket.SHUT_RD, FAREWELL), (socket.SHUT_RDWR, GRACE)):
            with self._changed:
                for connection in self._connections:
                    shut(connection, how)
                self._changed.wait_for(lambda: not self._connections, seconds)

    def _work(self) -> None:
        """Answer the lines that handlers left, first come, first served."""
        for handler, lines in iter(self.left.get, None):
            try:
                with self.turn:
                    self.latest = 0
                    responses = handler.respond(lines)
                handler.deliver(responses)
            except Exception as error:  # noqa: BLE001 - it is one connection's, and all others need this thread
                self.service.journal.failed("A connection failed", error)
                handler.give_up()
            del handler, lines  # they hold keys, and the next may be long in coming

    def _admit(self, request: socket.socket, peer: Peer) -> None:
        with self._changed:
            if len(self._connections) >= self.limits.connections:
                raise _too_many("The daemon has no connection left.")
            if self._connections_of[peer.uid] >= self.limits.connections_per_user:
                raise _too_many("This user has no connection left.")
            self._connections.add(request)
            self._connections_of[peer.uid] += 1

    def _release(self, request: socket.socket, peer: Peer) -> None:
        with self._changed:
            self._connections.remove(request)
            self._connections_of -= Counter([peer.uid])  # which forgets a user who has none left
            self._changed.notify_all()

    def _turn_away(self, request: socket.socket, peer: Peer, refusal: Refusal) -> None:
        try:
            request.send(Conversation(self.service, peer).refuse(refusal), socket.MSG_DONTWAIT)
        except OSError:
            pass
        shut(request, socket.SHUT_WR)
        # Closed at once, it would meet what the client writes with an error, before which many never read.
        self._turned_away.append((time.monotonic() + LINGER, request))

    def _wait_for_resources(self, error: OSError) -> None:
        """Without this the serve loop would spin, since the listener stays readable."""
        if not self._exhausted:
            self.service.journal.say("warning", f"Cannot accept another connection for now: {error}")
            self._exhausted = True
        with self._changed:
            self._changed.wait(PAUSE)


class OrderHandler(socketserver.BaseRequestHandler):
    """One client's connection."""

    request: socket.socket
    client_address: Peer
    server: OrderServer

    def setup(self) -> None:
        # The kernel's own time limits: unlike settimeout() they cost no system call for each read and write.
        timeval = _timeval(self.server.limits.patience)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        self.conversation = Conversation(self.server.service, self.client_address)
        self._answering = threading.Lock()  # held from when lines are taken up to when their responses are sent
        self._thread = threading.get_ident()
        self._alone = False  # whether nobody else had a turn between this thread's last two

    def handle(self) -> None:
        try:
            refusal = self._converse()
            if refusal is not None:
                with self._answering:
                    self.request.sendall(self.conversation.refuse(refusal))
                self._linger()
        except (ConnectionError, BlockingIOError):
            pass  # it hung up, or takes no replies: its own affair

    def finish(self) -> None:
        self._answering.acquire()  # the socket is closed next, and its number may be the next client's

    def _converse(self) -> Refusal | None:
        """Answer lines until the client ends the stream, or until the refusal of a line that ends it."""
        buffer = LineBuffer()
        patience = self.server.limits.patience
        deadline = 0.0  # for the end of the line that `buffer` holds the beginning of
        while True:
            try:
                chunk = self._receive()
            except BlockingIOError:  # nothing came for a while
                if buffer.unfinished:
                    return _timed_out(patience)
                continue
            try:
                lines = buffer.feed(chunk) if chunk else buffer.end()
            except LineTooLong as error:
                self._answer(error.lines)
                return Refusal.of("", "too_long", f"A line has at most {MAX_LINE} bytes.")
            self._answer(lines)
            if not chunk:
                return None
            if self.server.draining:
                shut(self.request, socket.SHUT_RD)  # what has come will be answered, then the stream ends
            if buffer.unfinished:
                now = time.monotonic()
                if lines or not deadline:
                    deadline = now + patience
                elif now > deadline:
                    return _timed_out(patience)
            else:
                deadline = 0.0

    def _receive(self) -> bytes:
        """The next bytes, none at the end of the stream; raises BlockingIOError where they take too long."""
        if self._alone:
            # A client that asks in lock-step writes again before this thread would be asleep and awake again.
            until = time.monotonic() + EAGER
            while time.monotonic() < until and not self.server.turn.locked():
                try:
                    return self.request.recv(CHUNK, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
        return self.request.recv(CHUNK)

    def _answer(self, lines: list[bytes]) -> None:
        """Have `lines` answered in their order: by this thread, or by the worker where somebody works or waits."""
        server = self.server
        for start in range(0, len(lines), LINES_PER_TURN):
            some = lines[start : start + LINES_PER_TURN]
            self._answering.acquire()
            if not server.left.empty() or not server.turn.acquire(blocking=False):
                self._alone = False
                server.left.put((self, some))
                continue
            try:
                try:
                    self._alone, server.latest = server.latest == self._thread, self._thread
                    responses = self.respond(some)
                finally:
                    server.turn.release()
                self.request.sendall(responses)
            finally:
                self._answering.release()

    def respond(self, lines: list[bytes]) -> bytes:
        """The responses to `lines`. For who has the turn."""
        return b"".join(map(self.conversation.respond, lines))

    def deliver(self, responses: bytes) -> None:
        """Send `responses` without waiting for the client; if it does not take them at once, a thread waits for it."""
        try:
            sent = self.request.send(responses, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.give_up()
            return
        if sent == len(responses):
            self._answering.release()
        else:
            threading.Thread(target=self._deliver_rest, args=(responses[sent:],), daemon=True).start()

    def give_up(self) -> None:
        """End the connection, whose responses cannot be sent."""
        shut(self.request, socket.SHUT_RDWR)
        self._answering.release()

    def _deliver_rest(self, responses: bytes) -> None:
        try:
            self.request.sendall(responses)
        except OSError:
            self.give_up()
        else:
            self._answering.release()

    def _linger(self) -> None:
        self.request.shutdown(socket.SHUT_WR)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(LINGER))
        deadline = time.monotonic() + LINGER
        while self.request.recv(MAX_LINE) and time.monotonic() < deadline:
            pass


def shut(connection: socket.socket, how: int) -> None:
    """Shut one or both directions down, unless the client was first."""
    try:
        connection.shutdown(how)
    except OSError:
        pass


def _timeval(seconds: float) -> bytes:
    """The kernel's struct timeval."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def _too_many(message: str) -> Refusal:
    return Refusal.of("", "too_many_connections", message, type="PermissionError")


def _timed_out(patience: float) -> Refusal:
    return Refusal.of("", "timed_out", f"A line must end within {patience:g} seconds.")
