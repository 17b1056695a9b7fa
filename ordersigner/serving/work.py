"""Who works when: one thread at a time takes lines from request to response.

Only one thread of Python runs at a time, and threads that compete for the interpreter are slower than a queue. So the
work has a lock, and no connection's thread waits for it:

- If nobody works and no channel waits for a turn, the thread of a connection works itself (do_now). A client that is
  alone gets its response from the thread that read its request.
- Otherwise the thread leaves its channel to the worker (leave). The worker is one thread. It waits for input on all its
  channels by epoll, and answers them in turn. So in a crowd one thread runs and the others sleep.

A turn ends after TURN seconds, or with the line that exceeds them. The rest waits for another turn. turns.py decides
which channel is next.

The worker never waits for a single client. It returns a channel to its thread if no line of it is answered within a
sweep, because none comes or because the client does not take the responses, and at once if a response takes waiting. It
also returns its only channel.

Knows no lines, no orders, and of sockets only their descriptors.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
from collections import deque
from time import perf_counter, thread_time
from typing import Callable

from ordersigner.serving.channel import Channel
from ordersigner.serving.turns import LONG, Share, Turns

TURN = 0.5e-3  # seconds: about ten orders
SWEEP = 0.25  # seconds between two checks for channels that are no longer busy
STALLED = 10.0  # seconds without the end of a turn while one is under way or waited for; a turn takes milliseconds

# Events of epoll, told once for each change (EPOLLET).
_INPUT = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_OUTPUT = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_BOTH = _INPUT | _OUTPUT
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP  # the client ended its stream


class Work:
    """The work lock and the worker."""

    def __init__(self, report: Callable[[Exception], None]) -> None:
        """report: told of what fails in the worker."""
        self._report = report
        self.work_lock = threading.Lock()
        self._turns = Turns()
        self._latest = -1  # the number of the share that had the latest turn
        self._turn_since = 0.0  # by perf_counter(): when the present turn began; 0 if nobody works
        self._turn_ended = 0.0  # when the latest one ended
        self._left: deque[Share] = deque()  # on their way from their threads to the worker
        self._with_worker: dict[int, Share] = {}  # by descriptor
        self._served: list[Share] = []  # those that had a turn and whose responses are still to be sent
        self._least_served = math.inf  # the least account of these
        self._used = 0.0  # by thread_time(): the worker's processor time up to its latest turn or look for input
        self._stopping = False  # return_all() was called
        self._closing = False  # close() was called
        self._asleep = False  # whether the worker must be woken
        self._wake_reader, self._wake_writer = os.pipe()
        self._epoll = select.epoll()
        self._epoll.register(self._wake_reader, select.EPOLLIN)
        self._worker = threading.Thread(target=self._run, name="worker", daemon=True)
        self._worker.start()

    # Called by the threads of connections

    def admit(self, channel: Channel) -> Share:
        """Give a new channel its share, whose `returned` its thread must take."""
        return self._turns.admit(channel)

    def do_now(self, share: Share) -> bool:
        """Have lines answered for one turn in this thread; False, at once, if anybody works or waits."""
        turns = self._turns
        if turns.short or turns.long or self._left or not self.work_lock.acquire(blocking=False):
            return False
        try:
            begin = perf_counter()
            lines = self._turn(share)
            # Not processor time, which takes longer to ask for. A thread that was interrupted seems to have used more.
            used = perf_counter() - begin
            share.charge(min(used, LONG * max(lines, 1)), lines)
        finally:
            self.work_lock.release()
        return True

    def leave(self, share: Share) -> None:
        """Leave a channel to the worker, which has it until `share.returned` is released."""
        share.waiting_since = perf_counter()
        self._left.append(share)
        if self._asleep:
            self._wake()

    def had_latest_turn(self, share: Share) -> bool:
        return self._latest == share.number

    # Called by the server

    def with_worker(self) -> list[Share]:
        """Those that the worker has, or is about to get."""
        return [*self._left, *self._with_worker.values()]

    def stalled(self) -> bool:
        """Whether no turn has ended for so long that the work must have come to a halt.

        Not whether a channel waits for so long: many may come before it, and the processor may be busy with others.
        """
        times = [self._turn_since, *(share.waiting_since for share in self.with_worker())]
        since = min(filter(None, times), default=perf_counter())
        return perf_counter() - max(since, self._turn_ended) > STALLED

    def is_alive(self) -> bool:
        """Whether there is still a worker: a failure outside of any channel's turn ends it."""
        return self._worker.is_alive()

    def return_all(self) -> None:
        """From now on the worker keeps no channel whose lines are answered."""
        self._stopping = True
        self._wake()

    def close(self, timeout: float) -> None:
        """End the worker, which has no channel any more. Waits for up to `timeout` seconds."""
        self._closing = True
        self._wake()
        self._worker.join(timeout)
        if not self._worker.is_alive():
            self._epoll.close()
            os.close(self._wake_reader)
            os.close(self._wake_writer)

    def _wake(self) -> None:
        os.write(self._wake_writer, b"!")

    def _turn(self, share: Share) -> int:
        """One turn, for the thread that has the lock. The caller puts it on the account. Returns how many lines."""
        self._turns.begin(share)
        self._latest = share.number
        self._turn_since = perf_counter()
        try:
            return share.channel.answer_lines(self._turn_since + TURN)
        finally:
            self._turn_since = 0.0
            self._turn_ended = perf_counter()

    # The worker

    def _run(self) -> None:
        next_look = next_sweep = 0.0
        while self._with_worker or self._left or not self._closing:
            now = perf_counter()
            share = self._turns.pop(self._least_served) if now < next_look else None
            if share is not None:
                self._serve(share)
                continue
            # Responses are sent together, which wakes a program with many connections once and not for each of them.
            while self._served:
                self._finish(self._served.pop())
            self._least_served = math.inf
            if self._stopping or now >= next_sweep:
                next_sweep = now + SWEEP
                self._sweep()
            self._look_for_input(next_sweep - now)
            next_look = perf_counter() + TURN
            self._used = thread_time()

    def _look_for_input(self, seconds: float) -> None:
        """Queue the channels that have input, and those that are left to the worker. Waits if none is queued."""
        timeout: float | None = 0.0
        if not (self._turns.short or self._turns.long):
            # First this, then a look at _left; leave() does the reverse. So a channel that is left now is seen here, or
            # wakes the poll.
            self._asleep = True
            if not self._left:
                timeout = seconds if self._with_worker else None
        events = self._epoll.poll(timeout)
        self._asleep = False
        for number, event in events:
            if number == self._wake_reader:
                os.read(self._wake_reader, 1024)
                continue
            share = self._with_worker[number]
            if event != select.EPOLLOUT:
                share.channel.readable = True
            if share.waiting_since:
                continue
            if event & _ENDED:  # to be closed without a turn, or the connections of clients that come and go pile up
                self._return(share)
            elif event & select.EPOLLOUT:  # the client has taken responses
                self._finish(share)
            else:
                self._queue(share)
        while self._left:
            share = self._left.popleft()
            self._with_worker[share.channel.descriptor] = share
            share.events = _INPUT
            self._epoll.register(share.channel.descriptor, share.events)
            self._queue(share)

    def _queue(self, share: Share) -> None:
        share.waiting_since = perf_counter()
        self._turns.push(share)

    def _serve(self, share: Share) -> None:
        """Give `share`, taken from the queue, a turn."""
        lines = 0
        try:
            if share.channel.all_answered:  # otherwise it has lines enough, and more would fill the memory
                share.channel.read()
            with self.work_lock:
                lines = self._turn(share)
        except Exception as error:  # noqa: BLE001 - it is one client's, and all others need this thread
            self._give_up(share, error)
        # Processor time: a thread that was interrupted has not used more.
        before, self._used = self._used, thread_time()
        used = self._used - before
        self._turns.owe(share, used)
        share.charge(used, lines)  # after owe(), which goes by the average before this turn
        self._served.append(share)
        self._least_served = min(self._least_served, share.account)

    def _finish(self, share: Share) -> None:
        """Send the responses of a turn. Then `share` waits for another turn, for input or output, or is returned."""
        channel = share.channel
        try:
            channel.send()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(share, error)
        share.waiting_since = 0.0
        if channel.waits or channel.finished or (self._stopping and (channel.all_answered or channel.unsent)):
            self._return(share)
            return
        events = _INPUT if not channel.unsent else _OUTPUT if channel.full else _BOTH
        if share.events != events:
            share.events = events
            self._epoll.modify(channel.descriptor, events)
        if events != _OUTPUT and (channel.readable or not channel.all_answered):
            self._queue(share)

    def _give_up(self, share: Share, error: Exception) -> None:
        share.channel.abandon()
        if not isinstance(error, ConnectionError):  # the client hung up, which is no fault
            with contextlib.suppress(Exception):  # where memory ran out, the report may find none either
                self._report(error)

    def _sweep(self) -> None:
        """Return the channels that are not busy, and one that is alone."""
        lone = len(self._with_worker) == 1
        for share in list(self._with_worker.values()):
            if share.waiting_since:
                continue
            if lone or self._stopping or share.answered == share.channel.answered:
                self._return(share)
            else:
                share.answered = share.channel.answered

    def _return(self, share: Share) -> None:
        del self._with_worker[share.channel.descriptor]
        self._epoll.unregister(share.channel.descriptor)
        share.returned.release()
