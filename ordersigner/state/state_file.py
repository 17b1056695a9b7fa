"""Totals, rates, freezes and counts that all processes share, and that last: in one file of a directory.

In: the keys of totals and rates, and the names of rules. Out: whether they have room, and whether they are frozen.
Opening raises OSError if there can be no state: damaged, of another version, not readable, no space. The methods raise
OSError if it cannot be used for this key or rule; the others go on. Knows no policy and no requests.

A total or rate that a killed process, a power failure or damage leaves unclear counts too much, never too little. A
frozen rule is found by a flag that is looked at while a lock on the rule is shared; freeze() writes the flag, and then
waits until nobody shares the lock. So who looks later sees the flag, and who looked before is waited for.

Time goes on from the later of the wall clock and the latest time in the file when a boot opens the file for the first
time, and then with the kernel's clock that nobody sets. So in all processes of a boot it is the same, and setting the
wall clock changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import struct
import threading
import time
import zlib
from time import monotonic, sleep
from typing import Callable, Iterator, Mapping, NamedTuple, Sequence

from ordersigner.state.memory import Frozen
from ordersigner.state.slots import SLOTS, Rate, Slot, Slots, Total, name_of
from ordersigner.state.storage import DAMAGED, LOCKS, PAGE, PATIENCE, File, Lock, LockByte, NoRoom, Table

NAME = "state"  # of the file
_FORMAT = b"ordersigner state, format 1\n"

# Where things are in the file. CHANGES holds the generation of the policy, and the number of changes of what is frozen.
_CLOCK, _CHANGES, _FROZEN = PAGE // 2, PAGE, 2 * PAGE
_COUNTS = _FROZEN + 2 * Table.SIZE
_TOTALS = _COUNTS + 2 * Table.SIZE
_RATES = _TOTALS + SLOTS * Total.SIZE
_SIZE = _RATES + SLOTS * Rate.SIZE
_RULES = LOCKS << 1  # what the lock bytes of rules are behind


def _uptime() -> int:
    """Nanoseconds since the boot, times of suspension included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class _View(NamedTuple):
    """What is frozen, and what CHANGES was when it was read."""

    changes: bytes
    frozen: Mapping[str, Frozen]


class _Door:
    """The signatures under way under one rule."""

    def __init__(self, file: File, rule: str) -> None:
        self.mutex = threading.Lock()
        self.inside = 0  # threads of this process; while there are any, the lock is shared
        self.byte = LockByte(file, _RULES + int.from_bytes(name_of(rule)[:7], "little"))


class State:
    """A Ledger. Safe for use by many threads, but not in a process that was forked after opening."""

    def __init__(
        self,
        directory: str,
        boot: str,
        *,
        wall_clock: Callable[[], int] = time.time_ns,
        uptime: Callable[[], int] = _uptime,
    ) -> None:
        """boot: the id of this boot, or "" if the kernel is to be asked. The clocks give nanoseconds."""
        self._wall_clock = wall_clock
        self._uptime = uptime
        with _only_one(directory) as inside:
            self._file = _open(inside, directory)
            try:
                self._frozen = Table(self._file, _FROZEN)
                self._counts = Table(self._file, _COUNTS)
                self._changing = Lock(self._file, _CHANGES)
                self._totals = Slots(self._file, _TOTALS, Total)
                self._rates = Slots(self._file, _RATES, Rate)
                self._doors: dict[str, _Door] = {}
                self._view = _View(b"", {})
                self._offset = self._clock_offset(boot)
            except BaseException:
                self._file.close()
                raise

    def enter(self, rule: str) -> bool:
        """As Ledger.enter()."""
        # The first look is for who waits in freeze(): once this process has seen the flag, it shares the lock no more.
        if rule in self._view.frozen and rule in self.frozen:
            return False
        door = self._door(rule)
        with door.mutex:
            if door.inside == 0:
                door.byte.share(monotonic() + PATIENCE)
            door.inside += 1
        try:
            may_sign = rule not in self.frozen
        except BaseException:
            self.leave(rule)
            raise
        if not may_sign:
            self.leave(rule)
        return may_sign

    def leave(self, rule: str) -> None:
        """As Ledger.leave()."""
        door = self._doors[rule]
        with door.mutex:
            door.inside -= 1
            if door.inside == 0:
                with contextlib.suppress(OSError):  # it is closed, and has no locks any more
                    door.byte.give_back()

    def reserve(
        self, totals: Sequence[tuple[str, int, int, int]], rate: tuple[str, int, int] | None
    ) -> tuple[int, int] | None:
        """As Ledger.reserve(); no key comes twice. If it raises OSError, some of them may have counted."""
        given_totals = [self._totals.give(key, self._now()) for key, _, _, _ in totals]
        given_rates = [] if rate is None else [self._rates.give(rate[0], self._now())]
        given: list[tuple[Slot, bytes]] = [*given_totals, *given_rates]
        held: list[Slot] = []
        try:
            for slot, _ in sorted(given, key=_in_the_file) if len(given) > 1 else given:
                slot.lock.take()
                held.append(slot)
            now = self._now()
            for slot, _ in given:
                slot.load(now)
            if all(slot.name == name for slot, name in given):
                return self._reserve([slot for slot, _ in given_totals], totals, given_rates, rate, now)
        finally:
            for slot in held:
                slot.lock.give_back()
        # Another process has given an empty slot to another key.
        for key, _, _, _ in totals:
            self._totals.forget(key)
        if rate is not None:
            self._rates.forget(rate[0])
        return self.reserve(totals, rate)

    def _reserve(
        self,
        slots: Sequence[Total],
        totals: Sequence[tuple[str, int, int, int]],
        rates: Sequence[tuple[Rate, bytes]],
        rate: tuple[str, int, int] | None,
        now: int,
    ) -> tuple[int, int] | None:
        for index, (slot, (_, seconds, limit, amount)) in enumerate(zip(slots, totals)):
            left = limit - slot.used(seconds, now)
            if amount > left:
                return index, max(left, 0)
        if rate is not None and not rates[0][0].has_room(rate[1], rate[2], now):
            return len(totals), 0
        for slot, (_, _, limit, amount) in zip(slots, totals):
            slot.spend(amount, limit)
        if rate is not None:
            rates[0][0].take(now)
        return None

    def used(self, key: str, seconds: int) -> int:
        """What a total counts now."""
        found = self._totals.get(key)
        if found is None:
            return 0
        slot, name = found
        with slot.lock:
            now = self._now()
            slot.load(now)
            if slot.name == name:
                return slot.used(seconds, now)
        self._totals.forget(key)
        return self.used(key, seconds)

    @property
    def generation(self) -> int:
        """Of the policy: how often raise_generation() was called, by any process."""
        return int.from_bytes(self._file.read(_CHANGES, 8), "little")

    def raise_generation(self) -> int:
        """Tell all processes to read the policy again. Returns the new generation."""
        with self._changing:
            generation = self.generation + 1
            self._file.write(_CHANGES, generation.to_bytes(8, "little"))
        return generation

    @property
    def frozen(self) -> Mapping[str, Frozen]:
        """The rules that are frozen now."""
        changes = self._file.read(_CHANGES + 8, 8)
        view = self._view
        if view.changes != changes:
            table = self._frozen.read()  # it was written before the number of changes
            view = self._view = _View(changes, {rule: Frozen(since, uid) for rule, (since, uid) in table.items()})
        return view.frozen

    def freeze(self, rules: Sequence[str], uid: int, patience: float) -> bool:
        """Freeze rules, for good. patience: seconds to wait for signatures that are under way.

        Returns whether there are none any more. If not, the rules are frozen all the same, for all who enter() later.
        """
        since = self._wall_clock() / 1_000_000_000
        with self._frozen.lock:
            table = self._frozen.read()
            if not table.keys() >= set(rules):
                self._freeze_exactly({**{rule: [since, uid] for rule in rules}, **table})
        deadline = monotonic() + patience
        pause = 0.0002
        while not self.is_idle(rules):
            if monotonic() >= deadline:
                return False
            sleep(pause)
            pause = min(2 * pause, 0.005)
        return True

    def thaw(self, rules: Sequence[str]) -> list[str]:
        """End the freezing of rules. Returns those that were frozen."""
        with self._frozen.lock:
            table = self._frozen.read()
            thawed = [rule for rule in dict.fromkeys(rules) if rule in table]
            if thawed:
                self._freeze_exactly({rule: entry for rule, entry in table.items() if rule not in thawed})
        return thawed

    def _freeze_exactly(self, table: dict[str, list[float]]) -> None:
        """The caller holds the lock of the table."""
        self._frozen.write(table)
        changes = int.from_bytes(self._file.read(_CHANGES + 8, 8), "little") + 1
        self._file.write(_CHANGES + 8, changes.to_bytes(8, "little"))
        self._file.sync()
        self._frozen.write(table)  # the other copy, so that the damage of one does not thaw a rule
        self._file.sync()

    def is_idle(self, rules: Sequence[str]) -> bool:
        """Whether no process has a signature under way under these rules."""
        for rule in rules:
            door = self._door(rule)
            with door.mutex:
                if door.inside or not door.byte.is_free():
                    return False
        return True

    def add_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Add signed and refused requests, by rule."""
        with self._counts.lock:
            table = self._counts.read()
            for rule, (signed, refused) in counts.items():
                before = table.pop(rule, (0, 0))
                table[rule] = (before[0] + signed, before[1] + refused)
            while True:
                try:
                    return self._counts.write(table)
                except NoRoom:
                    del table[next(iter(table))]  # the one that has not changed for longest

    def counts(self) -> dict[str, tuple[int, int]]:
        """Signed and refused requests of all processes, by rule."""
        return {rule: (signed, refused) for rule, (signed, refused) in self._counts.read().items()}

    def close(self) -> None:
        """End the use of the file. After a clean end nothing is counted ahead, so a boot counts nothing too much."""
        try:
            if self._plan_nothing():
                self._file.sync()
        finally:
            self._file.close()

    def _plan_nothing(self) -> bool:
        changed = False
        for slot in self._slots():
            with contextlib.suppress(OSError), slot.lock:  # one that is damaged, or whose lock another process holds
                slot.load(self._now())
                if slot.plan_nothing():
                    slot.store()
                    changed = True
        return changed

    def _door(self, rule: str) -> _Door:
        return self._doors.get(rule) or self._doors.setdefault(rule, _Door(self._file, rule))

    def _slots(self) -> Iterator[Slot]:
        yield from self._totals
        yield from self._rates

    def _now(self) -> int:
        return self._uptime() + self._offset

    def _clock_offset(self, boot: str) -> int:
        """What to add to the uptime. At the first opening of a boot, count what the last one may have lost."""
        boot_hash = hashlib.sha256((boot or _boot_id()).encode()).digest()
        raw = self._file.read(_CLOCK, _CLOCK_RECORD.size)
        checksum, opened_in, offset = _CLOCK_RECORD.unpack(raw)
        if checksum == zlib.crc32(raw[4:]) and opened_in == boot_hash:
            return int(offset)
        uptime = self._uptime()
        latest = 0
        for slot in self._slots():
            with contextlib.suppress(OSError), slot.lock:  # a damaged one refuses when it is used
                slot.load(0)
                latest = max(latest, slot.latest())
        offset = max(self._wall_clock(), latest) - uptime
        for slot in self._slots():
            with contextlib.suppress(OSError), slot.lock:
                slot.load(0)
                if slot.count_planned(offset):  # at the latest when this boot began
                    slot.store()
        self._file.sync()
        body = _CLOCK_RECORD.pack(0, boot_hash, offset)[4:]
        self._file.write(_CLOCK, struct.pack("<I", zlib.crc32(body)) + body)
        self._file.sync()
        return offset


_CLOCK_RECORD = struct.Struct("<I32sq")  # checksum, hash of the boot's id, nanoseconds


def _in_the_file(given: tuple[Slot, bytes]) -> int:
    """The order of locks, so that two processes do not wait for each other."""
    return given[0].offset


def _boot_id() -> str:
    """The kernel's id of this boot. Where it is hidden, each start counts as a boot, which counts too much at most."""
    try:
        descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return os.urandom(16).hex()
    try:
        return os.read(descriptor, 64).decode().strip()
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _only_one(directory: str) -> Iterator[int]:
    """A descriptor of the directory, while no other process opens the file in it."""
    inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise OSError(f"Another process has held a lock on {directory} for too long.") from None
            sleep(0.001)
        yield inside
    finally:
        os.close(inside)


def _open(inside: int, directory: str) -> File:
    """The file in a directory. Makes it if there is none."""
    path = os.path.join(directory, NAME)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(NAME, flags, dir_fd=inside)
    except FileNotFoundError:
        _create(inside, path)
        descriptor = os.open(NAME, flags, dir_fd=inside)
    file = File(descriptor, path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a file")
        begin = os.pread(descriptor, len(_FORMAT), 0)
        if begin != _FORMAT and begin[:18] == _FORMAT[:18]:
            raise OSError(f"{path} has a format of another version of ordersigner. {DAMAGED}")
        if begin != _FORMAT or status.st_size != _SIZE:
            raise file.damaged("it does not begin or end as it should")
    except BaseException:
        file.close()
        raise
    return file


def _create(inside: int, path: str) -> None:
    """Make the file under another name first, so that one with the right name is whole."""
    new = NAME + ".new"
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = File(os.open(new, flags, 0o600, dir_fd=inside), path)
    try:
        os.posix_fallocate(file.descriptor, 0, _SIZE)
        file.write(0, _FORMAT)
        Table(file, _FROZEN).create()
        Table(file, _COUNTS).create()
        Slots(file, _TOTALS, Total).create()
        Slots(file, _RATES, Rate).create()
        os.fsync(file.descriptor)
        os.rename(new, NAME, src_dir_fd=inside, dst_dir_fd=inside)
        os.fsync(inside)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=inside)
        raise
    finally:
        file.close()
