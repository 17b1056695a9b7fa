"""A client's bytes: read, cut into lines, answered, and the responses sent, in order. Only finish() waits.

In: a connected socket, and the Conversation that answers its lines. Out: the responses, on the same socket. read() and
send() raise ConnectionError if the client hung up.

A channel belongs to its connection's thread (connection.py) or to the worker (work.py). Only its owner uses it.

A client may write many requests before it reads a response. What the kernel does not take waits here, up to bounds.
"""

from __future__ import annotations

import fcntl
import socket
import termios
import threading
from array import array
from time import perf_counter
from typing import Literal

from ordersigner.refusal import Refusal
from ordersigner.serving.framing import TOO_LONG, HttpRequest, LineBuffer, LineTooLong
from ordersigner.serving.stop import Stop
from ordersigner.signing.conversation import Conversation
from ordersigner.signing.protocol import MAX_RESPONSE

CHUNK = 16 * 1024  # bytes read at once: about twenty orders of a client that pipelines
MAX_RESPONSES = 8 * 1024  # bytes of responses after which a turn ends; one more response may come on top
MAX_UNSENT = 512 * 1024  # bytes of responses that wait for a client: those of about 3,000 orders
MAX_ALL_UNSENT = 16 * 1024 * 1024  # bytes that wait for all clients together


State = Literal[
    "open",  # more lines may come
    "ended",  # the client has ended its stream; its last lines are still answered
    "over",  # no further line is answered: the client was refused, or hung up
]


class Backlog:
    """How many bytes wait for all clients together. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.size = 0

    @property
    def full(self) -> bool:
        return self.size >= MAX_ALL_UNSENT

    def change(self, by: int) -> None:
        with self._lock:
            self.size += by


class Channel:
    """What its owner can do for a client without waiting for it."""

    def __init__(self, connection: socket.socket, conversation: Conversation, stop: Stop, backlog: Backlog) -> None:
        self._socket = connection
        self._conversation = conversation
        self._stop = stop
        self._backlog = backlog
        self._counted = 0  # bytes of `unsent` that are in the backlog's size
        self._left_at_stop: int | None = None  # see bytes_left_at_stop(); None before the first call
        self.descriptor = connection.fileno()
        self.state: State = "open"
        self.readable = True  # whether there may be something to read
        self.buffer = LineBuffer()
        self.all_answered = True  # False: the buffer may hold a complete line
        self.waits = False  # whether the response to the latest line is still to come; see finish()
        self.answered = 0  # lines so far
        self.unsent = bytearray()  # responses that the client has not taken
        self.taken = 0  # bytes that it has taken so far

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be read or answered, so that only the thread has something to do."""
        return self.all_answered and self.state != "open"

    @property
    def full(self) -> bool:
        """Whether the client must take responses before more of its lines are answered. To be asked after send()."""
        size = len(self.unsent)
        return size > 0 and (size > MAX_UNSENT - MAX_RESPONSES - MAX_RESPONSE or self._backlog.full)

    def read(self) -> bool:
        """Read what has come; False if nothing has, nor the end of the stream.

        If connections are kept at the stop, this reads to the end of the line that was begun, and no byte beyond it.
        """
        self.readable = False
        size = CHUNK if self._left_at_stop is None else min(CHUNK, self._left_at_stop)
        try:
            if self._stop.keeps:
                if self.buffer.empty:
                    return False
                seen = self._socket.recv(size, socket.MSG_DONTWAIT | socket.MSG_PEEK)
                size = seen.find(b"\n") + 1 or len(seen) or 1
            chunk = self._socket.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self._left_at_stop is not None:
                self._left_at_stop = 0  # urgent data (MSG_OOB) was counted, but cannot be read
            return False
        if chunk:
            self.buffer.feed(chunk)
            self.all_answered = False
            self.readable = len(chunk) == CHUNK
            if self._left_at_stop is not None:
                self._left_at_stop -= len(chunk)
        else:
            self.state = "ended"
            if not self.buffer.empty:
                self.buffer.end()
                self.all_answered = False
        return True

    def bytes_left_at_stop(self) -> int:
        """The first call counts the bytes that have come; from then on, read() takes no others."""
        if self._left_at_stop is None:
            size = array("i", [0])
            fcntl.ioctl(self._socket, termios.FIONREAD, size)
            self._left_at_stop = size[0]
        return self._left_at_stop

    def answer_lines(self, until: float) -> int:
        """Answer lines until perf_counter() reaches `until`, or there are many responses, or no line is left.

        It also stops after a line whose response takes waiting: then `waits` is true. Returns how many were answered.
        """
        responses = []
        size = 0
        try:
            while not self.all_answered and size < MAX_RESPONSES:
                line = self.buffer.next_line()
                if line is None:
                    self.all_answered = True
                    break
                response = self._conversation.respond(line)
                responses.append(response)
                size += len(response)
                self.all_answered = self.buffer.empty
                self.waits = self._conversation.waits
                if self.waits or perf_counter() >= until:
                    break
        except LineTooLong:
            responses.append(self._last_response("too_long", TOO_LONG))
        except HttpRequest:
            responses.append(self._last_response("not_json", "This is HTTP. A request is one line of JSON."))
        self.unsent += b"".join(responses)
        self.answered += len(responses)
        return len(responses)

    def finish(self) -> None:
        """Wait for the response to the latest line. Only the connection's own thread may call this."""
        self.unsent += self._conversation.finish(lambda: self._stop.begun)
        self.waits = False

    def refuse(self, code: str, message: str) -> None:
        """Refuse the line that has begun. No further line is answered."""
        self.unsent += self._last_response(code, message)

    def send(self) -> None:
        """Send the responses, as far as the client takes them at once. A refused client then sees the end."""
        if self.unsent:
            try:
                sent = self._socket.send(self.unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            self.taken += sent
            del self.unsent[:sent]
            if self._counted or self.unsent:
                self._count()
            if not self.unsent and self.state == "over":
                shut(self._socket, socket.SHUT_WR)

    def report_unread(self) -> None:
        """Have the journal say that the client takes no responses."""
        self._conversation.report_unread(len(self.unsent))

    def abandon(self) -> None:
        """Give up: the client hung up, or its lines cannot be answered."""
        self._end()
        self.drop()
        shut(self._socket, socket.SHUT_RDWR)

    def drop(self) -> None:
        """Forget the responses that the client has not taken."""
        self.unsent.clear()
        self._count()

    def _count(self) -> None:
        self._backlog.change(len(self.unsent) - self._counted)
        self._counted = len(self.unsent)

    def _last_response(self, code: str, message: str) -> bytes:
        """The refusal of a line that is not read to its end."""
        self._end()
        return self._conversation.refuse(Refusal.of("", code, message))

    def _end(self) -> None:
        self.state = "over"
        self.all_answered = True


def shut(connection: socket.socket, how: int) -> None:
    """Shut one or both directions down, unless the client was first."""
    try:
        connection.shutdown(how)
    except OSError:
        pass
