"""A client's connection, from its first line to its end. Its thread runs serve(), and only that waits for this client.

Before that, the accepting thread runs begin(), which answers a client that asks at once, and waits for a moment only.

In: a connected socket, and the Conversation that answers its lines. Out: whether the next process can go on with it.

The thread waits for input, for the client to take its responses, and for the daemon's stop; the Channel does the rest.
While others are at work, the thread leaves the channel to the worker (work.py), and sleeps until it is returned.

The reading ends with the client's stream, with a line that is refused before its end, or with the daemon's stop. Bytes
that are not a whole line by then are dropped, and all responses are sent before the connection is closed.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
from time import monotonic, perf_counter

from ordersigner.serving.channel import Channel
from ordersigner.serving.framing import MAX_LINE
from ordersigner.serving.stop import Stop
from ordersigner.serving.work import Work

SEND_BUFFER = 48 * 1024  # bytes; the kernel doubles it, for its own overhead, and counts it as the daemon's memory
SPIN = 100e-6  # seconds to look for the next request of a lone client: time for it to wake, think and write
ALL_AT_ONCE = 512 * 1024  # the same at the stop, so that the kernel takes what waits; it has a limit of its own
RECHECK = 0.25  # seconds between two checks whether a client that takes no responses has run out of time
UNREAD = 1.0  # seconds after which the journal says so
LINGER = 2.0  # seconds in which a refused client may go on writing; see Connection._linger()
LINGER_BYTES = 1024 * 1024


class Connection:
    """For one call of begin(), and then of serve(). One thread at a time uses it."""

    def __init__(self, connection: socket.socket, channel: Channel, work: Work, stop: Stop, *, timeout: float) -> None:
        """timeout: seconds for the client to end a line once begun, and to take the responses of a turn."""
        self._socket = connection
        self._work = work
        self._stop = stop
        self._timeout = timeout
        self.channel = channel  # not to be used while the worker has it
        self._share = work.admit(channel)
        self._share.returned.acquire()
        self._deadline = math.inf  # by monotonic(), for the end of the line that was begun
        self._send_by = math.inf  # by monotonic(): until when the client must have taken what waited when it was set
        self._taken = 0  # bytes that it will have taken then
        self._told = False  # whether the journal knows that it takes no responses
        # Lines, at the end of the last _answer(): if there are more, the line in the buffer is a new one.
        self._answered = 0
        self.was_silent = False  # whether begin() found no request
        self.spins = False  # whether to look for the next request for a moment before going to sleep
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._input = select.poll()
        self._looks_for_output = False  # in a poll() for input

    def begin(self, *, patient: bool) -> bool:
        """Answer the first request of a new client, if it comes at once. Also returns whether the client has ended.

        Many programs connect for each request. A thread for each of them would take longer than the request.
        patient: whether to wait for the request for a moment.
        """
        has_ended = True
        try:
            has_ended = self._answer_at_once(SPIN if patient else 0.0)
        except ConnectionError:  # the client hung up
            pass
        finally:
            if has_ended:
                self.channel.drop()
        return has_ended

    def _answer_at_once(self, seconds: float) -> bool:
        """As begin(); raises ConnectionError."""
        channel = self.channel
        self.was_silent = not self._look(seconds)
        if self.was_silent:
            return False
        if channel.state == "open":
            if not self._work.do_now(self._share) or channel.waits:
                return False
            channel.send()
            if channel.unsent or channel.state != "open" or not channel.all_answered or not self._look(SPIN):
                return False
        return channel.state == "ended" and channel.all_answered

    def serve(self) -> bool:
        """Answer lines until the client ends the stream, breaks a limit or hangs up, or until the daemon stops.

        Returns whether the next process can go on with the connection.
        """
        channel = self.channel
        self._input.register(self._socket, select.POLLIN)
        self._input.register(self._stop, select.POLLIN)
        try:
            self._converse()
            if channel.state == "over":
                self._linger()
        except (ConnectionError, TimeoutError):  # the client hung up, or does not take its responses
            return False
        finally:
            channel.drop()
        return self._stop.keeps and channel.state == "open" and channel.buffer.empty

    def _converse(self) -> None:
        """Returns when no further line is answered, and the client has taken all responses."""
        channel = self.channel
        self._answer()  # what was read before the thread began
        while channel.state == "open":
            if self._receive():
                self._answer()
            elif self._stop.begun:
                break
            else:
                channel.refuse("timed_out", f"A line must end within {self._timeout:g} seconds.")
        if channel.unsent and self._stop.begun:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ALL_AT_ONCE)
        self._send()
        while channel.unsent:
            self._wait_for_output()

    def _receive(self) -> bool:
        """Wait for input, or the end of the stream, and read it; False if neither comes in time."""
        channel = self.channel
        # A client that asks in lock-step writes again before this thread would be asleep and awake again.
        if self.spins and not self._stop.begun and not channel.unsent and self._look(SPIN):
            return True
        while self._wait_for_input():
            if channel.read():
                return True
        return False

    def _look(self, seconds: float) -> bool:
        """Look for input, or the end of the stream, and read it. Gives up at once when another client is at work."""
        channel, work_lock = self.channel, self._work.work_lock
        until = perf_counter() + seconds
        while not work_lock.locked():
            if channel.read():
                return True
            if perf_counter() >= until:
                break
        return False

    def _wait_for_input(self) -> bool:
        """Wait for input, or the end of the stream; False if neither comes in time."""
        channel, stop = self.channel, self._stop
        # Both: between the two assignments in Stop.begin(), False would be taken for a line that did not end in time.
        if stop.keeps and stop.begun and channel.buffer.empty:
            return False  # what comes from here on is for the next process
        if monotonic() >= stop.read_until:
            return channel.bytes_left_at_stop() > 0
        while not channel.readable:
            seconds = min(self._deadline, stop.read_until) - monotonic()
            if seconds <= 0:
                return False
            if stop.begun and channel.buffer.empty and (channel.answered or stop.keeps):
                # A client between two lines gets no time to begin another; one that has just connected does.
                seconds = 0
            pause = min(seconds, RECHECK) if channel.unsent else seconds
            self._look_for_output(bool(channel.unsent))
            ready = dict(self._input.poll(None if pause == math.inf else pause * 1000))
            if channel.unsent:
                self._send()
            if not ready and pause == seconds:
                return False
            channel.readable = ready.get(channel.descriptor, 0) & ~select.POLLOUT != 0
            if stop.fileno() in ready:
                self._input.unregister(stop)  # it stays ready from now on
        return True

    def _look_for_output(self, wanted: bool) -> None:
        """Whether the next poll() for input returns too when the client takes responses."""
        if wanted != self._looks_for_output:
            self._looks_for_output = wanted
            self._input.modify(self._socket, select.POLLIN | (select.POLLOUT if wanted else 0))

    def _answer(self) -> None:
        """Have the complete lines answered, here or by the worker, and send responses.

        Returns when the client has taken so many that more of its lines may be answered.
        """
        channel, work, share = self.channel, self._work, self._share
        while channel.waits or not channel.all_answered:
            if not channel.waits:  # as begin() may leave it
                was_latest = work.had_latest_turn(share)
                if work.do_now(share):
                    self.spins = was_latest and bool(channel.unsent)  # two turns in a row: it may ask in lock-step
                else:
                    self.spins = False
                    work.leave(share)
                    share.returned.acquire()
            if channel.waits:
                try:
                    self._send()  # the responses before it
                finally:
                    channel.finish()  # also for a client that hung up: it has asked for it
            self._send()
            if channel.full:
                self._wait_for_room()
        if channel.buffer.empty:
            self._deadline = math.inf
        elif channel.answered > self._answered or self._deadline == math.inf:
            self._deadline = monotonic() + self._timeout
        self._answered = channel.answered

    def _send(self) -> None:
        """Send what the client takes at once; raises TimeoutError if it has not taken in time what waited before."""
        channel = self.channel
        channel.send()
        if not channel.unsent:
            return
        now = monotonic()
        if channel.taken >= self._taken:
            self._taken = channel.taken + len(channel.unsent)
            self._send_by = now + self._timeout
        if now > min(self._send_by, self._stop.send_until):
            raise TimeoutError

    def _wait_for_output(self) -> None:
        """Wait for the client to take responses, for a moment, and send more."""
        output = select.poll()
        output.register(self._socket, select.POLLOUT)
        output.poll(RECHECK * 1000)
        self._send()

    def _wait_for_room(self) -> None:
        """Wait until few enough responses are unsent, or until the stop, when everything that was read is answered in
        any case."""
        channel = self.channel
        tell_at = monotonic() + UNREAD
        while channel.full and not self._stop.begun:
            self._wait_for_output()
            if not self._told and monotonic() > tell_at:
                self._told = True
                channel.report_unread()

    def _linger(self) -> None:
        """Read and drop what a refused client still writes. If the connection were closed at once, its next write would
        fail, and many clients never read after that."""
        self._deadline = monotonic() + LINGER
        dropped = 0
        while dropped < LINGER_BYTES and not self._stop.begun and self._wait_for_input():
            self.channel.readable = False
            with contextlib.suppress(BlockingIOError):
                size = len(self._socket.recv(MAX_LINE, socket.MSG_DONTWAIT))
                dropped += size or LINGER_BYTES  # the end of the stream
