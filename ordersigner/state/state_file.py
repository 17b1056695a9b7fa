"""Totals, rates, freezes and counts that outlast a process and that all processes share, in one file of a directory.

In: the keys of totals and rates, and the names of rules. Out: whether they have room, and whether they are frozen.
Opening raises OSError if the file is damaged, of another version or not readable, or if there is no space. A method
raises OSError if the state cannot be used for its key or rule; other keys and rules are not affected. Knows no policy
and no requests.

What a killed process, a power failure or damage leaves unclear counts as signed. A signer first takes a shared lock on
the rule and then checks whether the rule is frozen. freeze() first writes that it is frozen, and then checks whether
the lock is free. So a signer that checks later sees the freeze, and is_idle() tells when those that checked before are
done.

Time goes on from the later of the wall clock and the latest time in the file when the file is opened for the first
time in a boot, and from there with a clock of the kernel's that nobody sets. So the processes of a boot have the same
time, and setting the wall clock changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import stat
import struct
import time
import zlib
from time import monotonic, sleep
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from ordersigner.state.memory import Frozen, Outdated
from ordersigner.state.rates import Rate
from ordersigner.state.slots import SLOTS, Slot, Slots, name_of
from ordersigner.state.storage import DAMAGED, PAGE, PATIENCE, File, Lock, NoRoom, SharedLock, Table
from ordersigner.state.totals import LARGEST, Total

NAME = "state"  # of the file
_FORMAT = b"ordersigner state, format 1\n"

# What is where in the file.
_CLOCK = PAGE // 2
_GENERATION = PAGE  # 8 bytes
_CHANGE = PAGE + 8  # 8 bytes that differ after each change of the frozen rules
_FROZEN = 2 * PAGE
_COUNTS = _FROZEN + 2 * Table.SIZE
_TOTALS = _COUNTS + 2 * Table.SIZE
_RATES = _TOTALS + SLOTS * Total.SIZE
_END = _RATES + SLOTS * Rate.SIZE
_RULES = 1 << 61  # behind the file: the locks of rules

_CLOCK_RECORD = struct.Struct("<I32sq")  # checksum, hash of the boot's id, nanoseconds


class _View(NamedTuple):
    """What processes tell each other, as it was read after `words` were in the file."""

    words: bytes  # _GENERATION and _CHANGE
    generation: int
    frozen: Mapping[str, Frozen]


_uptime = functools.partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)


class State:
    """A Ledger. Safe for use by many threads, but not by a child that is forked while it is open."""

    is_kept = True

    def __init__(
        self,
        directory: str,
        boot: str,
        *,
        wall_clock: Callable[[], int] = time.time_ns,
        uptime: Callable[[], int] = _uptime,
    ) -> None:
        """boot: the id of this boot, or "" to ask the kernel.

        wall_clock: nanoseconds since 1970. uptime: nanoseconds since the boot, with those that the system slept.
        """
        self._wall_clock = wall_clock
        self._uptime = uptime
        self._rules: dict[str, SharedLock] = {}
        self._view = _View(b"", 0, {})
        self._file = _open(directory)
        try:
            self._frozen = Table(self._file, _FROZEN)
            self._counts = Table(self._file, _COUNTS)
            self._generation = Lock(self._file, _GENERATION)
            self._totals = Slots(self._file, _TOTALS, Total)
            self._rates = Slots(self._file, _RATES, Rate)
            with Lock(self._file, _CLOCK):
                self._offset = self._clock_offset(boot or _boot_id())
        except BaseException:
            self._file.close()
            raise

    def enter(self, rule: str, generation: int | None = None) -> bool:
        """As Ledger.enter()."""
        # Without the first check, many clients of a frozen rule could keep its lock shared, and freeze() would not end.
        if rule in self._view.frozen and rule in self.frozen:
            return False
        lock = self._rule(rule)
        lock.take()
        try:
            view = self._look()
            if generation is not None and generation != view.generation:
                raise Outdated
            is_frozen = rule in view.frozen
        except BaseException:
            lock.give_back()
            raise
        if is_frozen:
            lock.give_back()
        return not is_frozen

    def leave(self, rule: str) -> None:
        """As Ledger.leave()."""
        self._rule(rule).give_back()

    def reserve(
        self,
        totals: Sequence[tuple[str, int, int, int]],
        rate: tuple[str, int, int] | None,
        generation: int | None = None,
    ) -> tuple[int, int] | None:
        """As Ledger.reserve(); no key comes twice. If it raises OSError, some of them may have counted."""
        own_totals = self._totals.give([total[0] for total in totals], self._now) if totals else []
        own_rates = self._rates.give([rate[0]], self._now) if rate is not None else []
        own: list[tuple[Slot, bytes]] = [*own_totals, *own_rates]
        held = []
        try:
            # All take the locks in the same order, so that no two wait for each other.
            for slot, _ in own if len(own) == 1 else sorted(own, key=_place):
                slot.lock.take()
                held.append(slot)
            now = self._now()
            for slot, name in own:
                slot.load(now)
                if slot.name != name:
                    break
            else:
                if generation is not None and generation != self.generation:
                    raise Outdated
                return _reserve(own_totals, totals, own_rates, rate, now)
        finally:
            for slot in held:
                slot.lock.give_back()
        self._forget_slots([total[0] for total in totals], rate)
        return self.reserve(totals, rate, generation)

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
        self._forget_slots([key], None)
        return self.used(key, seconds)

    def _forget_slots(self, totals: Sequence[str], rate: tuple[str, int, int] | None) -> None:
        """Look them up again: they were empty, and another process has given them to other keys."""
        for key in totals:
            self._totals.forget(key)
        if rate is not None:
            self._rates.forget(rate[0])

    @property
    def generation(self) -> int:
        """The number of the policy. If it has changed, the policy must be read again."""
        return _read_generation(self._file)

    def raise_generation(self) -> int:
        """Tell all processes to read the policy again. Returns the new generation."""
        return _raise_generation(self._file, self._generation)

    @property
    def frozen(self) -> Mapping[str, Frozen]:
        """The rules that are frozen now."""
        return self._look().frozen

    def _look(self) -> _View:
        """What the file says now. Only after a change is more read than the two words."""
        self._file.check_in_place()
        words = self._file.read(_GENERATION, 16)
        view = self._view
        if view.words != words:
            view = self._view = _View(words, _as_number(words[:8]), _as_frozen(self._read_frozen()))
        return view

    def _read_frozen(self) -> dict[str, Any]:
        try:
            return self._frozen.read()
        except OSError:  # two changes in a row may have met both copies
            with self._frozen.lock:
                return self._frozen.read()

    def freeze(self, rules: Sequence[str], uid: int) -> bool:
        """Freeze rules, until they are thawed.

        Returns whether no signature is under way under them. Even if one is, nobody can enter the rules from here on.
        """
        since = self._wall_clock() / 1_000_000_000
        self._file.check_in_place()
        with self._frozen.lock:
            try:
                table = self._frozen.read()
            except OSError:  # damaged: have all processes read it, so that none goes on with its earlier reading
                self._file.write(_CHANGE, os.urandom(8))
                raise
            self._freeze({**dict.fromkeys(rules, (since, uid)), **table})
        return self.is_idle(rules)

    def has_frozen(self, rules: Sequence[str]) -> bool:
        """Whether a freeze of these rules would change nothing. They are on the disk then, and all processes know."""
        copies = self._frozen.copies()
        return len(copies) == 2 and all(rule in copy for copy in copies for rule in rules)

    def thaw(self, rules: Sequence[str]) -> list[str]:
        """Returns the rules that were frozen."""
        with self._frozen.lock:
            table = self._frozen.read()
            thawed = [rule for rule in dict.fromkeys(rules) if table.pop(rule, None) is not None]
            self._freeze(table)
        return thawed

    def _freeze(self, table: Mapping[str, Any]) -> None:
        """Freeze exactly these, even if the table says so: a process may have been killed before it told the others."""
        self._frozen.write(dict(table))
        self._file.write(_CHANGE, os.urandom(8))
        self._file.sync()
        self._frozen.write(dict(table))  # the other copy, so that no damage to one of them thaws a rule
        self._file.sync()

    def is_idle(self, rules: Sequence[str]) -> bool:
        """Whether no process has a signature under way under these rules."""
        return all(self._rule(rule).is_free() for rule in rules)

    def _rule(self, rule: str) -> SharedLock:
        lock = self._rules.get(rule)
        if lock is None:
            number = int.from_bytes(name_of(rule)[:7], "little")
            lock = self._rules.setdefault(rule, SharedLock(self._file, _RULES + number))
        return lock

    def add_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Add requests that were signed and refused, by rule. If there are too many rules, old ones are forgotten."""
        with self._counts.lock:
            table = self._counts.read()
            for rule, (signed, refused) in counts.items():
                before = table.pop(rule, (0, 0))
                table[rule] = (before[0] + signed, before[1] + refused)
            while True:
                try:
                    return self._counts.write(table)
                except NoRoom:
                    del table[next(iter(table))]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Requests that all processes have signed and refused, by rule."""
        with self._counts.lock:
            return {rule: (signed, refused) for rule, (signed, refused) in self._counts.read().items()}

    def close(self) -> None:
        """End the use of the file, and leave nothing planned, so that a boot counts nothing too much."""
        if self._file.descriptor < 0:
            return
        try:
            for slot in self._slots():
                with contextlib.suppress(OSError), slot.lock:  # damaged, or locked by another process for too long
                    slot.load(self._now())
                    if slot.plan_nothing():
                        slot.store()
            self._file.sync()
        finally:
            self._file.close()

    def _slots(self) -> Iterator[Slot]:
        yield from self._totals
        yield from self._rates

    def _now(self) -> int:
        return self._uptime() + self._offset

    def _clock_offset(self, boot: str) -> int:
        """The difference between this clock and the uptime. At the first opening in a boot, count what the last boot
        may have lost.
        """
        boot_hash = hashlib.sha256(boot.encode()).digest()
        raw = self._file.read(_CLOCK, _CLOCK_RECORD.size)
        checksum, opened_in, offset = _CLOCK_RECORD.unpack(raw)
        if checksum == zlib.crc32(raw[4:]) and opened_in == boot_hash:
            return int(offset)
        offset = max(self._wall_clock(), self._latest()) - self._uptime()
        for slot in self._slots():
            with contextlib.suppress(OSError), slot.lock:  # if it is damaged, it refuses when it is used
                slot.load(offset)
                if slot.count_planned(offset):  # when this boot began, or before
                    slot.store()
        self._file.sync()
        body = _CLOCK_RECORD.pack(0, boot_hash, offset)[4:]
        self._file.write(_CLOCK, struct.pack("<I", zlib.crc32(body)) + body)
        self._file.sync()
        return offset

    def _latest(self) -> int:
        latest = 0
        for slot in self._slots():
            with contextlib.suppress(OSError), slot.lock:
                slot.look()
                latest = max(latest, slot.latest())
        return latest


def read_frozen(directory: str) -> Mapping[str, Frozen]:
    """The rules that are frozen, without opening the whole state, the rest of which may be damaged. Changes nothing.
    Raises OSError.
    """
    with _looked_into(directory, os.O_RDONLY) as file:
        return {} if file is None else _as_frozen(Table(file, _FROZEN).read())


def read_generation(directory: str) -> int:
    """State.generation where the whole state cannot be opened; 0 if there is no file. Raises OSError."""
    with _looked_into(directory, os.O_RDONLY) as file:
        return 0 if file is None else _read_generation(file)


def raise_generation(directory: str) -> int:
    """The same for State.raise_generation()."""
    with _looked_into(directory, os.O_RDWR) as file:
        return 0 if file is None else _raise_generation(file, Lock(file, _GENERATION))


@contextlib.contextmanager
def _looked_into(directory: str, flags: int) -> Iterator[File | None]:
    """The file of a directory, which may be damaged; None if there is none."""
    path = os.path.join(directory, NAME)
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    file = File(descriptor, path)
    try:
        _check_format(file)
        yield file
    finally:
        file.close()


def _read_generation(file: File) -> int:
    return _as_number(file.read(_GENERATION, 8))


def _as_number(word: bytes) -> int:
    return int.from_bytes(word, "little")


def _raise_generation(file: File, lock: Lock) -> int:
    with lock:
        generation = (_read_generation(file) + 1) % 2**64
        file.write(_GENERATION, generation.to_bytes(8, "little"))
    return generation


def _as_frozen(table: Mapping[str, Any]) -> Mapping[str, Frozen]:
    return {rule: Frozen(since, uid) for rule, (since, uid) in table.items()}


def _place(own: tuple[Slot, bytes]) -> int:
    return own[0].offset


def _reserve(
    own_totals: Sequence[tuple[Total, bytes]],
    totals: Sequence[tuple[str, int, int, int]],
    own_rates: Sequence[tuple[Rate, bytes]],
    rate: tuple[str, int, int] | None,
    now: int,
) -> tuple[int, int] | None:
    """As Ledger.reserve(). own_totals, own_rates: the slots of `totals` and `rate`, locked, and their names."""
    for index, ((total, _), (_, seconds, limit, amount)) in enumerate(zip(own_totals, totals)):
        left = min(limit, LARGEST) - total.used(seconds, now)
        if amount > left:
            return index, max(left, 0)
    if rate is not None and not own_rates[0][0].has_room(rate[1], rate[2], now):
        return len(totals), 0
    for (total, _), (_, _, limit, amount) in zip(own_totals, totals):
        total.spend(amount, limit)
    if rate is not None:
        own_rates[0][0].take(now)
    return None


def _boot_id() -> str:
    """The kernel's id of this boot. Where it is hidden, each start counts as a boot."""
    try:
        descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return os.urandom(16).hex()
    try:
        return os.read(descriptor, 64).decode().strip().replace("-", "")  # as systemd writes it
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _only_one(directory: str) -> Iterator[int]:
    """A locked descriptor of the directory, so that only one process makes the file. It is used for nothing else,
    because any process that may read the directory can hold this lock and so block the others.
    """
    inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise OSError(f"{directory} was locked for more than {PATIENCE:.0f} seconds") from None
            sleep(0.001)
        yield inside
    finally:
        os.close(inside)


def _open(directory: str) -> File:
    """The file of a directory. Makes it if there is none."""
    path = os.path.join(directory, NAME)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        with _only_one(directory) as inside:
            descriptor = _open_or_create(inside, path, flags)
    file = File(descriptor, path)
    try:
        _check(file)
    except BaseException:
        file.close()
        raise
    return file


def _open_or_create(inside: int, path: str, flags: int) -> int:
    try:
        try:
            return os.open(NAME, flags, dir_fd=inside)
        except FileNotFoundError:
            _create(inside, path)
            return os.open(NAME, flags, dir_fd=inside)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _check(file: File) -> None:
    if _check_format(file) != _FORMAT or os.fstat(file.descriptor).st_size != _END:
        raise file.damaged("its beginning or its length is wrong")


def _check_format(file: File) -> bytes:
    """Raise OSError if the file is of another version, by its first bytes."""
    if not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
        raise OSError(f"{file.path} is not a file")
    start = os.pread(file.descriptor, len(_FORMAT), 0)
    if start != _FORMAT and start[:-2] == _FORMAT[:-2]:
        raise OSError(f"{file.path} is of another version of ordersigner. {DAMAGED}")
    return start


def _create(inside: int, path: str) -> None:
    """Make the file under another name first, so that under its own name it is always whole."""
    new = NAME + ".new"
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = File(os.open(new, flags, 0o600, dir_fd=inside), path)
    try:
        os.posix_fallocate(file.descriptor, 0, _END)
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
