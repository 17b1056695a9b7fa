"""Who works when: one thread at a time goes the way from line to response.

Python runs one thread at a time, and threads that compete for the interpreter take longer than threads that queue. So
the work has a lock, and no connection's thread waits for it:

- The thread of a connection that finds nobody at work and nobody waiting works itself (do_now). A client that is alone
  gets its response from the thread that read its request.
- Otherwise it gives its connection to the worker (leave). The worker is one thread. It waits for the requests of all
  its connections by epoll, and answers them in turns. So in a crowd one thread runs and the others sleep.

The worker never waits for one client. It returns a connection to its thread when there is something to wait for:
responses that the client does not take at once, or a request that has not come for the time of a sweep. It also
returns the last one, which has no crowd around it any more.

A turn ends after TURN seconds, or after the line that exceeds them; what is left waits for another turn. Who is next is
decided by time, not by lines, by start-time fair queueing (Goyal, Vin, Cheng 1996): each connection has an account of
the processor time that it has used, and the one that has used the least comes first. A client whose lines take a
hundred times as long as an order gets a hundredth of the turns. Nobody saves up: a connection that was idle starts
from where the others are.

Knows no sockets but their numbers, no lines, no orders.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import threading
from collections import deque
from itertools import count
from time import perf_counter, thread_time
from typing import Callable, Protocol

TURN = 0.5e-3  # seconds: about ten orders
ADMISSION = 0.1e-3  # seconds put on a new connection's account: what accepting it costs, so that it pays to keep one
SWEEP = 0.25  # seconds between two looks at which connections are not busy any more
STALLED = 10.0  # seconds; in a crowd of 512 connections lines wait for less than one


class Job(Protocol):
    """A connection, as the work sees it. What has it, its thread or the worker, alone may call it."""

    account: float  # seconds of processor time used, on the clock of Work
    waiting_since: float  # by perf_counter(): since when it has waited for a turn with the worker; 0 if it does not
    readable: bool  # whether more bytes may have come
    answered: bool  # whether a line was answered since the worker's last sweep

    def fileno(self) -> int: ...

    def read(self) -> bool:
        """Take the bytes that have come; False if there are none."""

    def work(self, until: float) -> None:
        """Answer lines until perf_counter() reaches `until` or none is left."""

    def send(self) -> None:
        """Send the responses, as far as the client takes them at once."""

    def is_idle(self) -> bool:
        """Whether all lines are answered."""

    def needs_its_thread(self) -> bool:
        """Whether there is something to wait for, or the connection has come to its end."""

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
        self._left: deque[Job] = deque()  # on their way from their threads to the worker
        self._with_worker: dict[int, Job] = {}  # by descriptor
        self._waiting: list[tuple[float, int, Job]] = []  # a heap of those that want a turn: least account first
        self._number = count()  # of equal accounts, first come, first served
        self._current: Job | None = None  # the one whose turn it is with the worker
        self._stopping = self._closing = False
        self._asleep = False  # whether the worker must be woken
        self._wake_reader, self._wake_writer = os.pipe()
        self._epoll = select.epoll()
        self._epoll.register(self._wake_reader, select.EPOLLIN)
        self._worker = threading.Thread(target=self._run, name="worker", daemon=True)
        self._worker.start()

    # For the threads of connections

    def admit(self, job: Job) -> None:
        """Open the account of a new connection."""
        job.account = self._clock + ADMISSION

    def do_now(self, job: Job) -> bool:
        """Work on `job` for one turn in this thread; False, at once, if anybody works or waits."""
        if self._waiting or self._left or not self.work_lock.acquire(blocking=False):
            return False
        begin = thread_time()
        try:
            self._turn(job)
        finally:
            self.work_lock.release()
            job.account += thread_time() - begin
        return True

    def leave(self, job: Job) -> None:
        """Give `job` to the worker, until that calls its take_back()."""
        job.waiting_since = perf_counter()
        self._left.append(job)
        if self._asleep:
            self._wake()

    def had_latest_turn(self, job: Job) -> bool:
        return self._latest == id(job)

    # For the server

    def stalled(self) -> bool:
        """Whether a turn, or the wait for one, has taken so long that the work must have come to a halt."""
        jobs = [*self._left, *(job for _, _, job in list(self._waiting)), self._current]
        times = [self._turn_since, *(job.waiting_since for job in jobs if job is not None)]
        since = min(filter(None, times), default=perf_counter())
        return perf_counter() - since > STALLED

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

    def _turn(self, job: Job) -> None:
        """One turn, for the thread that has the lock. The caller puts it on the account."""
        job.account = self._clock = max(self._clock, job.account)
        self._latest = id(job)
        self._turn_since = perf_counter()
        try:
            job.work(self._turn_since + TURN)
        finally:
            self._turn_since = 0.0

    # The worker

    def _run(self) -> None:
        next_look = next_sweep = 0.0
        while self._with_worker or self._left or not self._closing:
            now = perf_counter()
            if self._stopping or now >= next_sweep:
                next_sweep = now + SWEEP
                self._sweep()
            if not self._waiting or now >= next_look:
                next_look = now + TURN
                self._look_for_input(next_sweep - now)
            if self._waiting:
                self._current = heapq.heappop(self._waiting)[2]
                self._serve(self._current)
                self._current = None  # it holds keys, and the next may be long in coming

    def _look_for_input(self, seconds: float) -> None:
        """Queue the connections that have input, and those that are left to the worker. Waits if none is queued."""
        timeout: float | None = 0.0
        if not self._waiting:
            self._asleep = True
            if not self._left:
                timeout = seconds if self._with_worker else None
        events = self._epoll.poll(timeout)
        self._asleep = False
        for number, _ in events:
            job = self._with_worker.get(number)
            if job is None:
                os.read(self._wake_reader, 1024)
            else:
                job.readable = True
                if not job.waiting_since:
                    self._queue(job)
        while self._left:
            job = self._left.popleft()
            self._with_worker[job.fileno()] = job
            self._epoll.register(job.fileno(), select.EPOLLIN | select.EPOLLET)  # told once of each arrival
            self._queue(job)

    def _queue(self, job: Job) -> None:
        job.waiting_since = perf_counter()
        heapq.heappush(self._waiting, (max(self._clock, job.account), next(self._number), job))

    def _serve(self, job: Job) -> None:
        """Give `job`, taken from the queue, a turn."""
        begin = thread_time()
        try:
            if job.is_idle():  # else it has lines enough, and more would fill the memory
                job.read()
            with self.work_lock:
                self._turn(job)
            job.send()
        except Exception as error:  # noqa: BLE001 - it is one connection's, and all others need this thread
            job.abandon()
            if not isinstance(error, ConnectionError):  # that it hung up is no fault
                with contextlib.suppress(Exception):  # where memory ran out, the report may find none either
                    self._report(error)
        # Processor time: a thread that was interrupted has not used more.
        job.account += thread_time() - begin
        job.waiting_since = 0.0
        if job.needs_its_thread() or (self._stopping and job.is_idle()):
            self._return(job)
        elif job.readable or not job.is_idle():
            self._queue(job)

    def _sweep(self) -> None:
        """Return the connections that are not busy, and one that is alone."""
        idle = [job for job in self._with_worker.values() if not job.waiting_since]
        lone = len(self._with_worker) == 1
        for job in idle:
            if lone or self._stopping or not job.answered:
                self._return(job)
            else:
                job.answered = False

    def _return(self, job: Job) -> None:
        del self._with_worker[job.fileno()]
        self._epoll.unregister(job.fileno())
        job.take_back()
