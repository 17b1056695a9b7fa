"""One client: bytes in, lines, responses out, in order.

In: a connected socket, and the Conversation that answers its lines. Each connection has a thread, which runs serve()
and is the only one that waits for this client: for input, and for the client to take its responses, both with a time
limit. It waits by poll() on the connection and on a descriptor that all connections share and that becomes ready when
the daemon stops.

While others are at work, the thread gives the connection to the worker (work.py) and sleeps until it is returned. The
worker reads, answers and sends by the same methods, but never waits: what a client does not take at once is left to
the thread.

The reading ends with the client's stream, with a line that is refused before its end, or with the daemon's stop. Bytes
that are not a whole line by then are dropped, and all responses are sent before the connection is closed.

If connections are kept for the next process, the stop ends the reading at the end of the line that was begun, if any:
no byte beyond it is read. What is not read stays in the kernel for the next process. A connection is kept only if its
lines are answered, its responses sent, and no line is begun.

Knows no JSON, no orders, no keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import select
import socket
import termios
import threading
from array import array
from time import monotonic, perf_counter

from ordersigner.refusal import Refusal
from ordersigner.serving.framing import MAX_LINE, LineBuffer, LineTooLong
from ordersigner.serving.work import Work
from ordersigner.signing.conversation import Conversation

CHUNK = 16 * 1024  # bytes read at once: about twenty orders of a client that pipelines
MAX_RESPONSES = 8 * 1024  # bytes of responses after which a turn ends; one more response may come on top
SEND_BUFFER = 48 * 1024  # bytes; the kernel doubles it, for its own overhead, and counts it as the daemon's memory
SPIN = 100e-6  # seconds to look for the next request of a lone client: time for it to wake, think and write
RECHECK = 0.25  # seconds between two checks whether a client that takes no responses has run out of time
LINGER = (
    2.0  # seconds in which a refused client may go on writing, so that it comes to read why; what it writes is dropped
)
LINGER_BYTES = 1024 * 1024
REST_OF_LINE = 1.0  # seconds at the stop for the end of a line that was begun, if connections are kept
GRACE = 0.2  # seconds at the stop in which a client may finish sending a request; what has come by then is answered
FAREWELL = 5.0  # seconds after these in which a client may take the last of its responses


class Stop:
    """The daemon's stop, as all connections see it. A descriptor for poll(): it becomes ready when the stop begins."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.read_until = self.send_until = math.inf  # by monotonic()
        self.keeps = False  # whether connections are kept for the next process, as far as they are between two lines

    @property
    def begun(self) -> bool:
        return self.read_until < math.inf

    def fileno(self) -> int:
        return self._reader

    def begin(self, *, keep: bool = False) -> None:
        self.keeps = keep  # first: a thread that sees that the stop has begun must see this too
        self.read_until = monotonic() + (REST_OF_LINE if keep else GRACE)
        self.send_until = self.read_until + FAREWELL
        os.close(self._writer)

    def close(self) -> None:
        if not self.begun:
            os.close(self._writer)
        os.close(self._reader)


class Connection:
    """A client's connection, from its first line to its end. For one call of serve()."""

    def __init__(
        self, connection: socket.socket, conversation: Conversation, work: Work, stop: Stop, *, timeout: float
    ) -> None:
        """timeout: seconds for the client to end a line once begun, and to take the responses of a turn."""
        self._socket = connection
        self._conversation = conversation
        self._work = work
        self._stop = stop
        self._timeout = timeout
        self._buffer = LineBuffer()
        self._unsent = b""  # responses
        self._all_answered = True  # whether all complete lines in the buffer are answered
        self._stream_ended = False  # whether the client has ended its stream
        self._over = False  # whether no further line will be answered
        self._greeted = False  # whether any line was answered
        self._line_ended = False  # whether a line was answered since _deadline was set
        self._deadline = math.inf  # by monotonic(), for the end of the line that the buffer holds the beginning of
        self._left_to_read = -1  # bytes still to be read, once the stop has ended the reading of more
        self._spin = False  # whether to look for the next request for a moment before going to sleep
        self._number = connection.fileno()
        self._input = select.poll()
        self._input.register(connection, select.POLLIN)
        self._input.register(stop, select.POLLIN)
        self._returned = threading.Lock()  # released by the worker when it returns the connection
        self._returned.acquire()
        # For Work:
        self.account = self.line_seconds = self.waiting_since = 0.0
        self.readable = True
        self.answered = False
        work.admit(self)

    def serve(self) -> bool:
        """Answer lines until the client ends the stream, breaks a limit or hangs up, or until the daemon stops.

        Returns whether the next process can go on with the connection.
        """
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._converse()
            if self._over:
                self._linger()
        except (ConnectionError, TimeoutError):  # the client hung up, or does not take its responses
            return False
        return self._stop.keeps and self._buffer.empty and not (self._unsent or self._stream_ended or self._over)

    # What the thread does: everything that waits

    def _converse(self) -> None:
        while not (self._stream_ended or self._over):
            if not self._receive():
                if self._stop.begun:
                    return
                self._unsent = self._last_response("timed_out", f"A line must end within {self._timeout:g} seconds.")
            self._settle()

    def _receive(self) -> bool:
        """Wait for input, or the end of the stream, and read it; False if neither comes in time."""
        if self._spin and not self._stop.begun:
            # A client that asks in lock-step writes again before this thread would be asleep and awake again.
            until = perf_counter() + SPIN
            while perf_counter() < until and not self._work.work_lock.locked():
                if self.read():
                    return True
        while self._has_input():
            if self.read():
                return True
        return False

    def _has_input(self) -> bool:
        """Whether input, or the end of the stream, comes in time."""
        if self._stop.keeps and self._stop.begun and self._buffer.empty:
            return False  # what comes from here on is for the next process
        if monotonic() >= self._stop.read_until:
            if self._left_to_read < 0:
                self._left_to_read = _bytes_received(self._socket)
            return self._left_to_read > 0
        while not self.readable:
            milliseconds: float | None = None
            if self._deadline < math.inf or self._stop.begun:
                left = min(self._deadline, self._stop.read_until) - monotonic()
                if left <= 0:
                    return False
                between_lines = self._buffer.empty and (self._greeted or self._stop.keeps)
                milliseconds = 0 if self._stop.begun and between_lines else left * 1000
            ready = self._input.poll(milliseconds)
            if not ready:
                return False
            self.readable = ready[0][0] == self._number
            if ready[-1][0] != self._number:
                self._input.unregister(self._stop)  # it stays ready from now on
        return True

    def _settle(self) -> None:
        """Have the complete lines answered, here or by the worker, and send all responses."""
        while True:
            self._send_all()
            if self._all_answered or self._over:
                break
            was_latest = self._work.had_latest_turn(self)
            if self._work.do_now(self):
                self._spin = was_latest and bool(self._unsent)
            else:
                self._spin = False
                self._work.leave(self)
                self._returned.acquire()
        if self._buffer.empty:
            self._deadline = math.inf
        elif self._line_ended or self._deadline == math.inf:
            self._deadline = monotonic() + self._timeout
        self._line_ended = False

    def _send_all(self) -> None:
        """Send the responses; raises TimeoutError if the client does not take them in time."""
        self.send()
        if not self._unsent:
            return
        deadline = monotonic() + self._timeout
        output = select.poll()
        output.register(self._socket, select.POLLOUT)
        while self._unsent:
            if monotonic() > min(deadline, self._stop.send_until):
                raise TimeoutError
            output.poll(RECHECK * 1000)
            self.send()

    def _linger(self) -> None:
        """Read and drop what a refused client still writes. If the connection were closed at once, its next write would
        fail, and many clients never read after that."""
        self._deadline = monotonic() + LINGER
        dropped = 0
        while dropped < LINGER_BYTES and not self._stop.begun and self._has_input():
            self.readable = False
            with contextlib.suppress(BlockingIOError):
                dropped += len(self._socket.recv(MAX_LINE, socket.MSG_DONTWAIT)) or LINGER_BYTES

    # What the thread or the worker does, whichever has the connection: nothing that waits

    def fileno(self) -> int:
        return self._number

    def read(self) -> bool:
        """Take the bytes that have come; False if there are none, nor the end of the stream."""
        self.readable = False
        size = CHUNK if self._left_to_read < 0 else min(CHUNK, self._left_to_read)
        try:
            if self._stop.keeps:
                if self._buffer.empty:
                    return False
                seen = self._socket.recv(size, socket.MSG_DONTWAIT | socket.MSG_PEEK)
                size = seen.find(b"\n") + 1 or len(seen) or 1
            chunk = self._socket.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._left_to_read = min(self._left_to_read, 0)  # urgent data (MSG_OOB) was counted, but cannot be read
            return False
        if chunk:
            self._buffer.feed(chunk)
            self._all_answered = False
            self.readable = len(chunk) == CHUNK
            if self._left_to_read > 0:
                self._left_to_read -= len(chunk)
        else:
            self._stream_ended = True
            if not self._buffer.empty:
                self._buffer.end()
                self._all_answered = False
        return True

    def work(self, until: float) -> int:
        """Answer lines until perf_counter() reaches `until`, or there are many responses, or no line is left.

        Returns how many were answered.
        """
        responses = []
        size = 0
        try:
            while not self._all_answered and size < MAX_RESPONSES:
                line = self._buffer.next_line()
                if line is None:
                    self._all_answered = True
                    break
                response = self._conversation.respond(line)
                responses.append(response)
                size += len(response)
                self._all_answered = self._buffer.empty
                if perf_counter() >= until:
                    break
        except LineTooLong:
            responses.append(self._last_response("too_long", f"A line has at most {MAX_LINE} bytes."))
        if responses:
            self._unsent += b"".join(responses)
            self._greeted = self._line_ended = self.answered = True
        return len(responses)

    def send(self) -> None:
        """Send the responses, as far as the client takes them at once."""
        if self._unsent:
            try:
                sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]
            if self._over and not self._unsent:
                shut(self._socket, socket.SHUT_WR)

    def all_answered(self) -> bool:
        """Whether all complete lines are answered."""
        return self._all_answered

    def has_unsent(self) -> bool:
        """Whether the client did not take all responses."""
        return bool(self._unsent)

    def needs_its_thread(self) -> bool:
        """Whether the connection has come to its end."""
        return self._over or (self._stream_ended and self._all_answered)

    def abandon(self) -> None:
        """Give up: the client hung up, or its lines cannot be answered."""
        self._over = True
        self._unsent = b""
        shut(self._socket, socket.SHUT_RDWR)

    def take_back(self) -> None:
        """The worker returns the connection to the thread."""
        self._returned.release()

    def _last_response(self, code: str, message: str) -> bytes:
        """The refusal of a line that is not read to its end."""
        self._over = True
        return self._conversation.refuse(Refusal.of("", code, message))


def _bytes_received(connection: socket.socket) -> int:
    """How many bytes wait to be read."""
    size = array("i", [0])
    fcntl.ioctl(connection, termios.FIONREAD, size)
    return size[0]


def shut(connection: socket.socket, how: int) -> None:
    """Shut one or both directions down, unless the client was first."""
    try:
        connection.shutdown(how)
    except OSError:
        pass
