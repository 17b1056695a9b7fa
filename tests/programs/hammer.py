"""Tries to break the state that processes share: python tests/programs/hammer.py [KIND...] [--rounds N] [--state DIR]

    totals    processes race for the last units of two totals under a rate, while some of them are killed or stopped
    freeze    processes sign under a rule that is frozen again and again
    power     the power fails at random moments, and the disk has some of the last writes and not others
    speed     microseconds for each part of a request

It prints figures, and each promise that was broken. The exit status is 1 if there is one. It needs nothing but the
package and a directory, so that it can run where the daemon does, with the daemon's limits. Without --state DIR, it
makes a directory of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from ordersigner.state.state_file import State

PROCESSES, THREADS = 4, 16
UNITS = 300  # that a round of `totals` has
BOOT = "hammer"
HOUR, DAY = 3600, 86400
SECOND = 1_000_000_000  # nanoseconds


class Result(NamedTuple):
    """The figures, in words, and the promises that were broken."""

    figures: str
    broken: list[str]


class Cells:
    """Numbers of each thread, which outlive its process."""

    def __init__(self, size: int, processes: int = PROCESSES) -> None:
        self._numbers = struct.Struct(f"<{size}Q")
        self._count = processes * THREADS
        self._memory = mmap.mmap(-1, self._numbers.size * self._count)

    def put(self, process: int, thread: int, *numbers: int) -> None:
        self._numbers.pack_into(self._memory, (process * THREADS + thread) * self._numbers.size, *numbers)

    def all(self) -> list[tuple[int, ...]]:
        return [self._numbers.unpack_from(self._memory, at * self._numbers.size) for at in range(self._count)]


def start(directory: str, work: Callable[[State, int], None]) -> int:
    """A process with THREADS threads, each of which works with the process's own State. Returns its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        state = State(directory, BOOT)
        done = []

        def run(thread: int) -> None:
            work(state, thread)
            done.append(thread)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = 0 if len(done) == THREADS else 1
    except BaseException:  # noqa: BLE001 - this process must end here
        traceback.print_exc()
    finally:
        os._exit(status)


def hammer_totals(directory: str, rounds: int) -> Result:
    """No total is exceeded, and no unit is lost except those that killed threads had taken."""
    state = State(directory, BOOT)
    broken = []
    killed = lost = 0
    for number in range(rounds):
        limits = {seconds: state.used(f"a {seconds}", seconds) + UNITS for seconds in (DAY, HOUR)}
        given, in_hand, dead, failed = race(
            directory, [(f"a {seconds}", seconds, limits[seconds]) for seconds in limits]
        )
        killed += dead
        lost += UNITS - given
        used = {seconds: state.used(f"a {seconds}", seconds) for seconds in limits}
        if failed or given > UNITS or UNITS - given > in_hand or used[DAY] != limits[DAY] or used[HOUR] > limits[HOUR]:
            broken.append(
                f"round {number}: {given} of {UNITS} units were given, killed threads had {in_hand} in hand, {failed}"
                f" processes failed; {used} of {limits} is used"
            )
    state.close()
    figures = f"{rounds} rounds of {UNITS} units: {killed} processes killed, {lost} units lost with them"
    return Result(figures, broken)


def race(directory: str, totals: list[tuple[str, int, int]]) -> tuple[int, int, int, int]:
    """Units that were given, and that killed threads had in hand; processes that were killed, and that failed."""
    cells = Cells(3, PROCESSES + 1)
    needs = [(*total, 1) for total in totals]

    def work(process: int) -> Callable[[State, int], None]:
        def one(state: State, thread: int) -> None:
            tried = given = refused = 0
            while not refused:
                tried += 1
                cells.put(process, thread, tried, given, refused)
                assert state.enter("a")
                if state.reserve(needs, ("a rate", 100_000, 1)) is None:
                    given += 1
                else:
                    refused += 1
                cells.put(process, thread, tried, given, refused)
                state.leave("a")

        return one

    pids = [start(directory, work(process)) for process in range(PROCESSES)]
    for _ in range(random.randrange(4)):
        time.sleep(random.random() * 0.012)
        pid = random.choice(pids)
        if random.random() < 0.25:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(random.random() * 0.005)
            os.kill(pid, signal.SIGCONT)
        else:
            os.kill(pid, signal.SIGKILL)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    statuses.append(os.waitpid(start(directory, work(PROCESSES)), 0)[1])  # one more takes what is left
    dead = sum(map(os.WIFSIGNALED, statuses))
    failed = sum(status != 0 and not os.WIFSIGNALED(status) for status in statuses)
    numbers = cells.all()
    in_hand = sum(tried - given - refused for tried, given, refused in numbers)
    return sum(given for _, given, _ in numbers), in_hand, dead, failed


def hammer_freeze(directory: str, rounds: int) -> Result:
    """No signature under a rule is given after freeze() has confirmed that there is none."""
    cells = Cells(2)

    def work(process: int) -> Callable[[State, int], None]:
        def one(state: State, thread: int) -> None:
            chance = random.Random(process * THREADS + thread)
            signed = 0
            while True:
                if not state.enter("a"):
                    time.sleep(0.0005)
                    continue
                state.reserve([("a total", DAY, 10**40, 1)], None)
                if chance.random() < 0.05:
                    time.sleep(0.001)  # a slow journal
                signed += 1
                cells.put(process, thread, signed, time.monotonic_ns())
                state.leave("a")

        return one

    def signed() -> int:
        return sum(signed for signed, _ in cells.all())

    state = State(directory, BOOT)
    pids = [start(directory, work(process)) for process in range(PROCESSES)]
    late: list[str] = []
    waits: list[float] = []
    try:
        for number in range(rounds):
            goal = signed() + random.randrange(300, 600)
            state.thaw(["a"])
            wait_until(lambda goal=goal: signed() >= goal)  # type: ignore[misc]
            before = time.monotonic_ns()
            confirmed = state.freeze(["a"], 0) or becomes_idle(state)
            after = time.monotonic_ns()
            waits.append((after - before) / 1e6)
            if not confirmed:
                late.append(f"round {number}: a signature was under way for 20 seconds")
            time.sleep(0.005)
            late += [f"round {number}: a signature {end - after} ns later" for _, end in cells.all() if end > after]
        total = signed()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        state.thaw(["a"])
        state.close()
    waits.sort()
    figures = (
        f"{rounds} freezes, {total} signatures, {len(late)} of them late; half of the freezes were confirmed within"
        f" {waits[len(waits) // 2]:.1f} ms, all within {waits[-1]:.1f}"
    )
    return Result(figures, late)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing has happened for a minute")
        time.sleep(0.001)


def becomes_idle(state: State) -> bool:
    """Whether the signatures under rule a that are under way end within 20 seconds."""
    deadline = time.monotonic() + 20
    while not state.is_idle(["a"]):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0002)
    return True


class PowerFailureError(BaseException):
    """Is caught nowhere, so it ends all code as a power failure does."""


class Disk:
    """Models a file on a disk: after a power failure, each part has any of its versions since the last sync."""

    def __init__(self, part: int, steps: int) -> None:
        """part: bytes that are written as a whole. steps: writes and syncs until the power fails."""
        self._part = part
        self._steps = steps
        self._versions: dict[int, list[bytes]] = defaultdict(list)
        self._write, self._sync = os.pwrite, os.fdatasync

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        self._step()
        parts = range(offset // self._part, (offset + len(data) - 1) // self._part + 1)
        for part in parts:
            if part not in self._versions:
                self._keep(descriptor, part)
        written = self._write(descriptor, data, offset)
        for part in parts:
            self._keep(descriptor, part)
        return written

    def fdatasync(self, descriptor: int) -> None:
        self._step()
        self._versions.clear()

    def _keep(self, descriptor: int, part: int) -> None:
        self._versions[part].append(os.pread(descriptor, self._part, part * self._part))

    def _step(self) -> None:
        self._steps -= 1
        if self._steps <= 0:
            raise PowerFailureError

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Until the power fails, all that this process writes goes through this object."""
        os.pwrite, os.fdatasync = self.pwrite, self.fdatasync  # type: ignore[assignment]
        try:
            yield
        except PowerFailureError:
            pass
        finally:
            os.pwrite, os.fdatasync = self._write, self._sync

    def fail(self, path: str, *, unreadable: bool) -> None:
        """unreadable: whether one part of what was being written holds anything."""
        descriptor = os.open(path, os.O_RDWR)
        for part, versions in self._versions.items():
            os.pwrite(descriptor, random.choice(versions), part * self._part)
        if unreadable and self._versions:
            os.pwrite(descriptor, os.urandom(self._part), random.choice(list(self._versions)) * self._part)
        os.close(descriptor)


class Handed(NamedTuple):
    """What had been handed out, or had been confirmed, when the power failed. Times are in seconds."""

    amounts: list[tuple[int, int]]  # with their times
    signatures: list[int]  # of the rate: their times
    frozen: list[bool]  # what was confirmed, the latest last; none if it was about to change


def use(state: State, handed: Handed, clock: list[int], limit: int, most: int, rate: tuple[str, int, int]) -> None:
    """Until the power fails."""
    try:
        while True:
            clock[0] += random.choice([0, 0, 1, 60, 600, 7200, 90_000])
            amount = random.randint(0, most)
            if state.reserve([("day", DAY, limit, amount)], None) is None:
                handed.amounts.append((clock[0], amount))
            if state.reserve([], rate) is None:
                handed.signatures.append(clock[0])
            if random.random() < 0.1:
                is_frozen = handed.frozen.pop()
                if is_frozen:
                    state.thaw(["a"])
                else:
                    state.freeze(["a"], 0)
                handed.frozen.append(not is_frozen)
    finally:
        state.close()  # which fails too


def hammer_power(directory: str, rounds: int) -> Result:
    """No total or rate counts less than was handed out, and no freeze or thaw is forgotten that was confirmed."""
    broken: list[str] = []
    surplus: list[float] = []
    closed = 0
    path = os.path.join(directory, "state")
    State(directory, "").close()
    fresh = Path(path).read_bytes()
    for number in range(rounds):
        part, unreadable = random.choice([4096, 512]), random.random() < 0.3
        limit = random.choice([100, 1000, 10_000])
        most = random.choice([1, limit // 100, limit // 10])
        rate = random.choice([("rate", 20, HOUR), ("rate", 300, HOUR), ("rate", 20, 60)])
        clock = [random.randrange(10**9, 2 * 10**9)]

        def now(clock: list[int] = clock) -> int:
            return clock[0] * SECOND

        Path(path).write_bytes(fresh)
        state = State(directory, "1", wall_clock=now, uptime=now)
        handed = Handed([], [], [False])
        disk = Disk(part, random.randrange(1, 300))
        with disk.in_place():
            use(state, handed, clock, limit, most, rate)
        disk.fail(path, unreadable=unreadable)

        clock[0] += 20
        has_clock = random.random() < 0.5
        story = f"round {number}, writes of {part} bytes, unreadable: {unreadable}, clock: {has_clock}: "
        with Disk(part, 10**9).in_place():  # only because it is faster
            again = State(directory, "2", wall_clock=now if has_clock else int, uptime=lambda: 10 * SECOND)
            counted = again.used("day", DAY)
            room = 0
            try:
                while again.reserve([], rate) is None:
                    room += 1
            except OSError:  # the record of a rate is larger than 512 bytes, so it may be torn in both copies
                closed += 1
                if part == 4096 and not unreadable:
                    broken.append(f"{story}the rate is closed")
            may_enter = again.enter("a")
            again.close()
        least = sum(amount for when, amount in handed.amounts if when // 600 >= clock[0] // 600 - 144)
        if counted < least:
            broken.append(f"{story}{least} units were handed out, and {counted} count")
        if has_clock and not unreadable:
            surplus.append((counted - least) / limit)
            if counted > least + limit // 100 + most:
                broken.append(f"{story}{least} units were handed out, and {counted} count, which is too much")
        recent = sum(clock[0] - when < rate[2] for when in handed.signatures)
        if room and recent + room > rate[1]:
            broken.append(f"{story}{rate} had room for {room} after {recent}")
        if handed.frozen == [may_enter]:
            broken.append(f"{story}frozen should be {handed.frozen[0]}")
    figures = f"{rounds} power failures, {closed} rates closed"
    if surplus:
        mean = sum(surplus) / len(surplus)
        figures += f"; too much counted: at most {max(surplus):.1%} of a total, {mean:.1%} on average"
    return Result(figures, broken)


def measure_speed(directory: str, rounds: int) -> Result:
    """The best of `rounds` runs of 2,000, in microseconds. The runs alternate, so that a disturbance affects all."""
    state = State(directory, BOOT)

    def read() -> None:
        os.pread(descriptor, 8, 0)

    def enter_and_leave() -> None:
        state.enter("a")
        state.leave("a")

    def both() -> None:
        state.reserve([("total", DAY, 10**40, 1)], ("rate", 100_000, 1))

    descriptor = os.open(os.path.join(directory, "state"), os.O_RDONLY)
    parts: dict[str, Callable[[], object]] = {
        "one pread()": read,
        "enter() and leave()": enter_and_leave,
        "generation": lambda: state.generation,
        "a total": lambda: state.reserve([("total", DAY, 10**40, 1)], None),
        "a rate": lambda: state.reserve([], ("rate", 100_000, 1)),
        "a total and a rate": both,
    }
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(rounds):
        for name, part in parts.items():
            begin = time.perf_counter()
            for _ in range(2000):
                part()
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e6 / 2000)
    os.close(descriptor)
    state.close()
    unit = best["one pread()"]
    return Result("; ".join(f"{name} {best[name]:.1f} µs, {best[name] / unit:.1f} times" for name in parts), [])


KINDS: dict[str, tuple[Callable[[str, int], Result], int]] = {  # with the rounds of a whole run
    "totals": (hammer_totals, 1000),
    "freeze": (hammer_freeze, 150),
    "power": (hammer_power, 2000),
    "speed": (measure_speed, 20),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all if there is none")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often; otherwise as often as a whole run needs")
    parser.add_argument("--state", metavar="DIR", help="where to make the state; otherwise in a new directory")
    arguments = parser.parse_args()
    for kind in arguments.kinds:
        if kind not in KINDS:
            parser.error(f"there is no kind {kind}")
    broken = []
    for kind in arguments.kinds or KINDS:
        hammer, rounds = KINDS[kind]
        directory = tempfile.mkdtemp(prefix="hammer.", dir=arguments.state)
        begin = time.monotonic()
        try:
            result = hammer(directory, arguments.rounds or rounds)
        finally:
            shutil.rmtree(directory)
        print(f"{kind}, {time.monotonic() - begin:.0f} s: {result.figures}", flush=True)
        for line in result.broken:
            print(f"    BROKEN: {line}", flush=True)
        broken += result.broken
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
