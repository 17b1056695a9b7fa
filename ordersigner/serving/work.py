"""Who works when: one thread at a time takes lines from request to response.

Only one thread of Python runs at a time, and threads that compete for the interpreter are slower than a queue. So the
work has a lock, and no connection's thread waits for it:

- If nobody works and nothing is queued, the thread of a connection works itself (do_now). A client that is alone gets
  its response from the thread that read its request.
- Otherwise the thread gives its connection to the worker (leave). The worker is one thread. It waits for input on all
  its connections by epoll, and answers them in turns. So in a crowd one thread runs and the others sleep.

The worker never waits for a single client. It returns a connection to its thread if no line of it is answered within a
sweep, because none comes or because the client does not take the responses. It also returns a connection that is its
only one.

A turn ends after TURN seconds, or with the line that exceeds them. The rest waits for another turn. Time decides which
connection is next, not the number of lines: each connection has an account of the processor time it has used, and the
one that has used the least is next. A client whose lines take a hundred times as long as an order gets a hundredth of
the turns. Nobody saves up: a connection that was idle continues where the others are. This is start-time fair queueing
(Goyal, Vin, Cheng 1996).

That alone would have everybody wait where hundreds of clients send lines of several milliseconds at the same time: all
of them may have used as little as a client with short lines. So after each turn with a long line, connections with
short lines come first, until they have had as much time. A new connection counts as one with long lines until one is
short.

Knows no lines, no orders, and of sockets only their descriptors.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import select
import threading
from collections import deque
from itertools import count
from random import random
from time import perf_counter, thread_time
from typing import Callable, Protocol

TURN = 0.5e-3  # seconds: about ten orders
ADMISSION = 0.4e-3  # seconds on the account of a new connection: about what accepting it costs the others
LONG = 0.3e-3  # seconds; a line that takes longer is a long one. An order takes 0.05, or 0.2 with empty caches
STEADY = 8  # turns over which the time for a line is averaged, so that a single long one counts for little
SWEEP = 0.25  # seconds between two checks for connections that are no longer busy
STALLED = 10.0  # seconds without the end of a turn while one is under way or waited for; a turn takes milliseconds

# Events of epoll, told once for each change (EPOLLET).
_INPUT = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_OUTPUT = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP  # the client ended its stream


class Job(Protocol):
    """A connection, as the work sees it. It belongs to its thread or to the worker, and only its owner may use it."""

    account: float  # seconds of processor time used, on the clock of Work
    line_seconds: float  # that a line of it takes, on average
    waiting_since: float  # by perf_counter(): when it began to wait for a turn of the worker; 0 if it does not wait
    readable: bool  # whether more bytes may have come
    answered: bool  # whether a line was answered since the worker's last sweep

    def fileno(self) -> int: ...

    def read(self) -> bool:
        """Take the bytes that have come; False if there are none."""

    def work(self, until: float) -> int:
        """Answer lines until perf_counter() reaches `until` or none is left. Returns how many."""

    def send(self) -> None:
        """Send the responses, as far as the client takes them at once."""

    def has_unsent(self) -> bool:
        """Whether the client did not take all responses."""

    def all_answered(self) -> bool:
        """Whether all lines are answered."""

    def needs_its_thread(self) -> bool:
        """Whether the connection has come to its end."""

    def abandon(self) -> None:
        """Give up: the client hung up, or its lines cannot be answered."""

    def take_back(self) -> None:
        """The worker returns it, and does not touch it from here on."""


class Work:
    """The work lock, the queue and the worker."""

    def __init__(self, report: Callable[[Exception], None]) -> None:
        """report: told of what fails in the worker."""
        self._report = report
        self.work_lock = threading.Lock()
        self._clock = 0.0  # the account with which the latest turn began
        self._latest = 0  # the connection that had the latest turn, by id()
        self._turn_since = 0.0  # by perf_counter(): when the present turn began; 0 if nobody works
        self._turn_ended = 0.0  # when the latest one ended
        self._left: deque[Job] = deque()  # on their way from their threads to the worker
        self._with_worker: dict[int, Job] = {}  # by descriptor
        # Those that need a turn: with short lines, and with long ones. Both are heaps: least account first.
        self._waiting: list[tuple[float, int, Job]] = []
        self._waiting_long: list[tuple[float, int, Job]] = []
        self._owed = 0.0  # seconds for which those with short lines come first
        self._number = count()  # of equal accounts, first come, first served
        self._blocked: set[int] = set()  # descriptors of those whose clients do not take all their responses at once
        self._served: list[Job] = []  # those that had a turn and whose responses are to be sent
        self._finish_at = math.inf  # the least account of these: they come before any with a greater one
        self._used = 0.0  # by thread_time(), the worker's processor time up to now
        self._stopping = False  # return_all() was called
        self._closing = False  # close() was called
        self._asleep = False  # whether the worker must be woken
        self._wake_reader, self._wake_writer = os.pipe()
        self._epoll = select.epoll()
        self._epoll.register(self._wake_reader, select.EPOLLIN)
        self._worker = threading.Thread(target=self._run, name="worker", daemon=True)
        self._worker.start()

    # Called by the threads of connections

    def admit(self, job: Job) -> None:
        """Open the account of a new connection."""
        job.account = self._clock + ADMISSION
        job.line_seconds = LONG

    def do_now(self, job: Job) -> bool:
        """Work on `job` for one turn in this thread; False, at once, if anybody works or waits."""
        if self._waiting or self._waiting_long or self._left or not self.work_lock.acquire(blocking=False):
            return False
        try:
            begin = perf_counter()
            lines = self._turn(job)
            # Not processor time, which takes longer to ask for. A thread that was interrupted seems to have used more.
            used = perf_counter() - begin
            _charge(job, min(used, LONG * max(lines, 1)), lines)
        finally:
            self.work_lock.release()
        return True

    def leave(self, job: Job) -> None:
        """Give `job` to the worker, until that calls its take_back()."""
        job.waiting_since = perf_counter()
        self._left.append(job)
        if self._asleep:
            self._wake()

    def had_latest_turn(self, job: Job) -> bool:
        return self._latest == id(job)

    # Called by the server

    def stalled(self) -> bool:
        """Whether no turn has ended for so long that the work must have come to a halt.

        Not whether a connection waits for so long: many may come before it, and the processor may be busy with others.
        """
        jobs = [*self._left, *self._with_worker.values()]
        times = [self._turn_since, *(job.waiting_since for job in jobs)]
        since = min(filter(None, times), default=perf_counter())
        return perf_counter() - max(since, self._turn_ended) > STALLED

    def is_alive(self) -> bool:
        """Whether there is still a worker: a failure outside of any connection's turn ends it."""
        return self._worker.is_alive()

    def return_all(self) -> None:
        """From now on the worker keeps no connection whose lines are answered."""
        self._stopping = True
        self._wake()

    def close(self, timeout: float) -> None:
        """End the worker, which has no connection any more. Waits for up to `timeout` seconds."""
        self._closing = True
        self._wake()
        self._worker.join(timeout)
        if not self._worker.is_alive():
            self._epoll.close()
            os.close(self._wake_reader)
            os.close(self._wake_writer)

    def _wake(self) -> None:
        os.write(self._wake_writer, b"!")

    def _turn(self, job: Job) -> int:
        """One turn, for the thread that has the lock. The caller puts it on the account. Returns how many lines."""
        job.account = self._clock = max(self._clock, job.account)
        self._latest = id(job)
        self._turn_since = perf_counter()
        try:
            return job.work(self._turn_since + TURN)
        finally:
            self._turn_since = 0.0
            self._turn_ended = perf_counter()

    # The worker

    def _run(self) -> None:
        next_look = next_sweep = 0.0
        while self._with_worker or self._left or not self._closing:
            now = perf_counter()
            job = self._next() if now < next_look else None
            if job is not None:
                self._serve(job)
                continue
            # Responses are sent together, which wakes a program with many connections once and not for each of them.
            while self._served:
                self._finish(self._served.pop())
            self._finish_at = math.inf
            if self._stopping or now >= next_sweep:
                next_sweep = now + SWEEP
                self._sweep()
            self._look_for_input(next_sweep - now)
            next_look = perf_counter() + TURN
            self._used = thread_time()

    def _next(self) -> Job | None:
        """Take the next one from those that need a turn; None if responses must be sent first, or none needs one."""
        short, long = self._waiting, self._waiting_long
        if short and (self._owed > 0 or not long or short[0] < long[0]):
            return heapq.heappop(short)[2] if short[0][0] <= self._finish_at else None
        return heapq.heappop(long)[2] if long and not self._served else None

    def _look_for_input(self, seconds: float) -> None:
        """Queue the connections that have input, and those that are left to the worker. Waits if none is queued."""
        timeout: float | None = 0.0
        if not (self._waiting or self._waiting_long):
            self._asleep = True
            if not self._left:
                timeout = seconds if self._with_worker else None
        events = self._epoll.poll(timeout)
        self._asleep = False
        for number, event in events:
            if number == self._wake_reader:
                os.read(self._wake_reader, 1024)
                continue
            job = self._with_worker[number]
            if event == select.EPOLLOUT:
                self._finish(job)
                continue
            job.readable = True
            if job.waiting_since:
                continue
            if event & _ENDED:  # to be closed without a turn, or the connections of clients that come and go pile up
                self._return(job)
            else:
                self._queue(job)
        while self._left:
            job = self._left.popleft()
            self._with_worker[job.fileno()] = job
            self._epoll.register(job.fileno(), _INPUT)
            self._queue(job)

    def _queue(self, job: Job) -> None:
        job.waiting_since = perf_counter()
        heap = self._waiting_long if job.line_seconds >= LONG else self._waiting
        heapq.heappush(heap, (max(self._clock, job.account), next(self._number), job))

    def _serve(self, job: Job) -> None:
        """Give `job`, taken from the queue, a turn."""
        lines = 0
        try:
            if job.all_answered():  # otherwise it has lines enough, and more would fill the memory
                job.read()
            with self.work_lock:
                lines = self._turn(job)
        except Exception as error:  # noqa: BLE001 - it is one connection's, and all others need this thread
            self._give_up(job, error)
        # Processor time: a thread that was interrupted has not used more.
        before, self._used = self._used, thread_time()
        used = self._used - before
        self._owed = used if job.line_seconds >= LONG else self._owed - used
        _charge(job, used, lines)
        self._served.append(job)
        self._finish_at = min(self._finish_at, job.account)

    def _finish(self, job: Job) -> None:
        """Send the responses of a turn. Then `job` waits for another turn, for input or output, or is returned."""
        try:
            job.send()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(job, error)
        job.waiting_since = 0.0
        number = job.fileno()
        if job.needs_its_thread() or (self._stopping and (job.all_answered() or job.has_unsent())):
            self._return(job)
            return
        if job.has_unsent() != (number in self._blocked):
            self._blocked ^= {number}
            self._epoll.modify(number, _OUTPUT if job.has_unsent() else _INPUT)
        if number in self._blocked:
            return
        if job.readable or not job.all_answered():
            self._queue(job)

    def _give_up(self, job: Job, error: Exception) -> None:
        job.abandon()
        if not isinstance(error, ConnectionError):  # the client hung up, which is no fault
            with contextlib.suppress(Exception):  # where memory ran out, the report may find none either
                self._report(error)

    def _sweep(self) -> None:
        """Return the connections that are not busy, and one that is alone."""
        lone = len(self._with_worker) == 1
        for job in list(self._with_worker.values()):
            if job.waiting_since:
                continue
            if lone or self._stopping or not job.answered:
                self._return(job)
            else:
                job.answered = False

    def _return(self, job: Job) -> None:
        self._blocked.discard(job.fileno())
        del self._with_worker[job.fileno()]
        self._epoll.unregister(job.fileno())
        job.take_back()


def _charge(job: Job, used: float, lines: int) -> None:
    """Put a turn on the account of its connection, and up to a half more or less, by chance.

    Without the chance, connections that began together and whose turns take as long would always come one after the
    other, and those between them would wait for all of them.
    """
    job.account += used * (0.5 + random())
    if lines:  # a turn that only reads says nothing about how long lines take
        job.line_seconds += (used / lines - job.line_seconds) / STEADY
