"""The serving part: many clients at once on a listening Unix socket.

In: a listening socket and a Service. This module accepts connections, counts them, and ends them.

Theory of operation
-------------------

There are these threads:

- The main thread (daemon/main.py) waits for a signal. Then it has another thread stop the server, with a time limit.
- The accepting thread runs serve_forever(): it accepts connections, counts them, and refuses those over the limits. If
  nobody is at work, it answers what a new client asks at once; if the client then ends the connection, that was all. It
  also tells systemd that the daemon is alive, as long as the work goes on.
- Each connection that stays has a thread (connection.py), the only one that ever waits for that client.
- The worker (work.py) is one thread. It serves the clients that are busy at the same time.

Each connection has a channel (channel.py), which reads, has lines answered and sends, and never waits. The channel
belongs to the accepting thread at first, then to the connection's thread or to the worker, and only its owner uses it:

    its thread   waits for input, reads, answers, sends, waits for the client to take the responses
       |   ^
       |   |     to its thread: no whole line for a while, too much unsent, no other channel busy, the end
       |   |     to the worker: others are at work
       v   |
    the worker   waits for input on all its channels, reads, answers, sends

Reading: 16 KiB at a time, and no more before the lines in them are answered.
Working, from a line to its response: one thread at a time, the one that holds the work lock. Channels take turns of
half a millisecond. The next turn goes to the channel that has used the least processor time (turns.py).
Sending: by the thread that worked, without waiting. What the client does not take at once waits in its channel, and is
sent when the client takes more. Meanwhile its requests are read and answered, until too much waits for it, or for all
clients together (channel.py). Then its connection's own thread waits for the client, and says so in the journal.

The bounds:

- Threads and descriptors: by the number of connections, of all users and of each user (Limits).
- Memory: by the number of connections, and for each of them by one line and one chunk (framing.py), by the responses of
  one turn, and by the kernel's send buffer. What waits on top of that is bounded for all together (channel.py).
- Waiting: by the timeout, both for the rest of a line and for the client to take responses. A request whose response
  takes waiting has a bound of its own, and only its connection's thread waits.
- Work: by the turn, and by what protocol.py accepts as a request.

The end: shutdown() ends the accepting. drain() begins the stop (stop.py), which all connections see, and the worker
returns its channels. What happens then depends on whether another process will go on with the connections:

- If not, each thread answers the whole lines that have come, then ends its connection: at once if it is between two
  lines, after GRACE if it is in the middle of a line or before the first one. Bytes that are not a whole line by then
  are dropped, never judged.
- If connections are kept, each thread answers the whole lines that it has read. If it has read the beginning of
  another line, it reads that line to its end, and no further. Then the thread ends and leaves its connection open. No
  response is missing, and what the client sends now is read by the next process. If a line does not end within
  REST_OF_LINE, the connection ends instead.

In both cases clients have FAREWELL to take their responses. The kernel gets a larger buffer for those that wait, and
takes most of them at once. Then drain() cuts the remaining connections off: a client
with half a response, or none, must see that nothing more comes.

The beginning: take_over() counts connections that were kept and gives each to a thread, as if they had just been
accepted. The socket still says which process and user is at its other end. Keys are in each request, so nothing else is
handed on.

Knows no JSON, no orders, no keys.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import queue
import socket
import socketserver
import sys
import threading
import time
from collections import deque
from typing import Callable, NamedTuple, Sequence

from ordersigner.peer import Peer, peer_of, user_behind
from ordersigner.refusal import Refusal
from ordersigner.serving.channel import Backlog, Channel, shut
from ordersigner.serving.connection import LINGER, Connection
from ordersigner.serving.stop import GRACE, Stop
from ordersigner.serving.work import Work
from ordersigner.signing.conversation import Conversation, Service

POLL = 0.5  # seconds between two looks at whether to stop, and two heartbeats for systemd, at most
HEARTBEAT = 0.1  # seconds between two heartbeats, at least: clients may connect thousands of times a second
PAUSE = 0.1  # seconds before the next accept where the system has no descriptor or memory for another connection
SILENT = 8  # new clients that get no moment to ask, after one that used it and did not: each costs the others time
START = 1.0  # seconds to wait for the thread of a connection to begin before the next is accepted
LATE = 5.0  # seconds after these until it has failed to
TURNED_AWAY = 16  # refused connections, at most, that are kept open so that their clients read why
RESERVED_DESCRIPTORS = 32  # beyond those of connections: standard streams, journal, listener, files of modules


class Limits(NamedTuple):
    """What clients may take."""

    connections: int = 512  # of all users: as many threads
    connections_per_user: int = 256  # so that no user can take every connection from the others
    timeout: float = 30.0  # seconds to end a line once begun, and to take the responses of a turn


class Admitted(NamedTuple):
    """A connection that counts, until it ends."""

    user: int  # the uid that it counts for
    connection: Connection


class OrderHandler(socketserver.BaseRequestHandler):
    """What socketserver calls in the thread of a connection that stays."""

    request: socket.socket
    server: OrderServer

    def handle(self) -> None:
        if self.server.connections[self.request].connection.serve():
            self.server.keep(self.request)


class OrderServer(socketserver.ThreadingUnixStreamServer):
    """Answers order lines on `listener`, a listening Unix stream socket, which it takes over.

    serve_forever() runs until shutdown() is called in another thread; drain() then ends the connections politely.
    """

    block_on_close = False  # drain() waits for the connections

    def __init__(
        self,
        listener: socket.socket,
        service: Service,
        limits: Limits,
        *,
        heartbeat: Callable[[bool], None] = lambda alive: None,
    ) -> None:
        """heartbeat: called every tenth of a second to half a second, with whether the work goes on."""
        super().__init__(listener.getsockname(), OrderHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        listener.setblocking(False)  # another process may share it and be first to accept
        self.service = service
        self.limits = limits
        self.work = Work(lambda error: service.journal.failed("A connection failed", error))
        self.stop = Stop()
        self.backlog = Backlog()
        self._heartbeat = heartbeat
        self.connections: dict[socket.socket, Admitted] = {}
        self._kept: set[socket.socket] = set()  # those that the next process can go on with
        self._changed = threading.Condition()
        self._turned_away: deque[tuple[float, socket.socket]] = deque()  # until when they stay open
        self._not_begun: deque[tuple[float, list[socket.socket], Peer]] = deque()  # until when they may; see _serve()
        self._next_heartbeat = 0.0  # by monotonic()
        self._not_waited_for = 0  # new clients, at most, that get no moment to ask
        self._exhausted = False

    # Accepting: called by socketserver, in this order

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
        """Serve a new client: here, if it asks at once and then ends, and otherwise in a thread."""
        connection = self._admit(request, client_address)
        if connection is None:
            return
        try:
            has_ended = self._begin(connection)
        except BaseException:
            self._release(request)
            raise
        if has_ended:
            self.shutdown_request(request)
            self._release(request)
        else:
            self._start(request, client_address)

    def _begin(self, connection: Connection) -> bool:
        """As Connection.begin(), but many clients that connect and ask nothing do not take up the time of others."""
        patient = self._not_waited_for == 0
        has_ended = connection.begin(patient=patient)
        if connection.was_silent:
            self._not_waited_for = SILENT if patient else self._not_waited_for - 1
        else:
            self._not_waited_for = 0
        return has_ended

    def _start(self, request: socket.socket, client_address: Peer) -> None:
        """Give a connection its thread."""
        claim = [request]  # the thread takes it out, or this one, which then refuses the connection
        try:
            begun: queue.SimpleQueue[None] = queue.SimpleQueue()
            # Not threading.Thread: its start() would wait without limit for a thread that finds no memory to begin.
            _thread.start_new_thread(self._serve, (claim, client_address, begun))
        except (RuntimeError, MemoryError):  # the system has no thread, or no memory for one
            self._turn_away_without_thread(claim, client_address)
            return
        # The next connection is accepted when the thread of this one has begun. Otherwise, if many clients connect all
        # the time, hundreds of threads compete for the interpreter at once.
        try:
            begun.get(timeout=START)
        except queue.Empty:  # it is slow, or it found no memory to begin
            self._not_begun.append((time.monotonic() + LATE, claim, client_address))

    def _serve(self, claim: list[socket.socket], client_address: Peer, begun: queue.SimpleQueue[None]) -> None:
        """A connection's thread."""
        try:
            request = claim.pop()
        except IndexError:  # it was too late, and the connection was refused
            return
        try:
            begun.put(None)
            self.process_request_thread(request, client_address)
        finally:
            self._release(request)

    def service_actions(self) -> None:
        """What the serve loop does beside accepting, in each turn."""
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT
            if not self.work.is_alive():
                raise RuntimeError("the worker has ended")  # the connections it had would wait without end
            self._heartbeat(not self.work.stalled())
        while self._turned_away and (len(self._turned_away) > TURNED_AWAY or self._turned_away[0][0] < now):
            self._turned_away.popleft()[1].close()
        while self._not_begun and self._not_begun[0][0] < now:
            self._turn_away_without_thread(*self._not_begun.popleft()[1:])

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            with contextlib.suppress(Exception):  # where memory ran out, the report may find none either
                self.service.journal.failed("A connection failed", error)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Called when a connection's thread has ended. shutdown() would reach the client of one that is kept."""
        if request not in self._kept:
            super().shutdown_request(request)

    # The beginning: called by daemon/main.py before serve_forever()

    def take_over(self, connections: Sequence[socket.socket]) -> None:
        """Serve the connections that the process before has kept."""
        for connection in connections:
            self._serve_in_thread(connection, peer_of(connection))

    # The end: called by daemon/main.py, in this order, after shutdown()

    def accept_pending(self) -> None:
        """Accept the clients that are waiting. Only for a socket that nobody else will serve."""
        for _ in range(self.limits.connections):
            try:
                request, peer = self.get_request()
            except OSError:  # nobody is left
                return
            self._serve_in_thread(request, peer)

    def drain(self, *, keep: bool = False) -> list[socket.socket]:
        """Answer what was received, and end all connections.

        keep: those that the next process can go on with are left open, and returned. No thread uses them any more.
        """
        self.stop.begin(keep=keep)
        self.work.return_all()
        with self._changed:
            if not self._changed.wait_for(lambda: not self.connections, self.stop.send_until - time.monotonic()):
                for connection in self.connections.keys() - self._kept:
                    shut(connection, socket.SHUT_RDWR)
                self._changed.wait_for(lambda: not self.connections, GRACE)
            return list(self._kept)

    def server_close(self) -> None:
        super().server_close()
        for _, connection in self._turned_away:
            connection.close()
        self.work.close(GRACE)
        if not self.connections:  # else a thread may still poll the descriptor
            self.stop.close()

    # Called by the connections' threads

    def keep(self, request: socket.socket) -> None:
        """Leave a connection open when its thread ends."""
        with self._changed:
            self._kept.add(request)

    # Counting

    def _serve_in_thread(self, request: socket.socket, peer: Peer) -> None:
        """As process_request(), without a look at what the client asks at once."""
        try:
            if self._admit(request, peer):
                self._start(request, peer)
        except Exception:  # noqa: BLE001 - one client's, not all clients'
            self.handle_error(request, peer)
            self.shutdown_request(request)

    def _admit(self, request: socket.socket, peer: Peer) -> Connection | None:
        """Count a connection, until _release(). Returns None if that would exceed a limit, after the refusal."""
        user = user_behind(peer.uid)
        others = [admitted.user for admitted in list(self.connections.values())]  # only this thread adds to them
        if len(others) >= self.limits.connections:
            self._turn_away(request, peer, _too_many("The daemon has no connection left."))
            return None
        if others.count(user) >= self.limits.connections_per_user:
            self._turn_away(request, peer, _too_many("This user has no connection left."))
            return None
        channel = Channel(request, Conversation(self.service, peer), self.stop, self.backlog)
        connection = Connection(request, channel, self.work, self.stop, timeout=self.limits.timeout)
        with self._changed:
            self.connections[request] = Admitted(user, connection)
            self.service.counters.connections = len(self.connections)
        return connection

    def _release(self, request: socket.socket) -> None:
        with self._changed:
            del self.connections[request]
            self.service.counters.connections = len(self.connections)
            self._changed.notify_all()

    def _turn_away(self, request: socket.socket, peer: Peer, refusal: Refusal) -> None:
        """Refuse a connection, which no thread will serve."""
        try:
            request.send(Conversation(self.service, peer).refuse(refusal), socket.MSG_DONTWAIT)
        except OSError:
            pass
        shut(request, socket.SHUT_WR)
        self._turned_away.append((time.monotonic() + LINGER, request))

    def _turn_away_without_thread(self, claim: list[socket.socket], peer: Peer) -> None:
        with contextlib.suppress(IndexError):  # the thread has begun
            request = claim.pop()
            channel = self.connections[request].connection.channel
            cut_off = bool(channel.unsent)  # the rest of a response
            channel.drop()
            self._release(request)
            if cut_off:
                self.shutdown_request(request)
            else:
                self._turn_away(request, peer, _too_many("The daemon can start no more threads."))

    def _wait_for_resources(self, error: OSError) -> None:
        """Without this the serve loop would spin, since the listener stays readable."""
        if not self._exhausted:
            self.service.journal.say("warning", f"Cannot accept another connection for now: {error}")
            self._exhausted = True
        with self._changed:
            self._changed.wait(PAUSE)


def _too_many(message: str) -> Refusal:
    return Refusal.of("", "too_many_connections", message, type="PermissionError")
