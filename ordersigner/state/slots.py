"""The totals and rates in the file of state, each in a slot of its own.

In: a key, limits, and a time. Out: whether there is room, and what is counted. Raises OSError if a slot is damaged, or
cannot be found because of one. The caller holds a slot's lock while it uses it.

A slot has a record in two copies, with a number and a checksum; the valid one with the higher number counts, and a
change is one write() of the other. Each is within one page, so SIGKILL cannot tear it. A total's is within one sector
of 512 bytes, so a power failure cannot tear it either.

What a power failure may lose is counted ahead: `planned` is what counts after one. Both copies have it on the disk
before anything is handed out that `durable` does not cover, and it goes ahead by a hundredth of the limit. If one copy
is unreadable, `planned` counts as well, since the last change may have been in that copy.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any, Generic, Iterator, TypeVar

from ordersigner.state.memory import BUCKETS
from ordersigner.state.storage import PAGE, File, Lock

SLOTS = 256  # of totals, and as many of rates
LARGEST = 2**256 - 1  # where an amount stays
NO_NAME = bytes(32)


def name_of(key: str) -> bytes:
    """Of a slot: keys can be longer than a fixed field."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


class Slot:
    """What totals and rates have in common. The numbers are those of the last load() or store()."""

    SIZE: int  # bytes in the file
    RECORD: struct.Struct  # begins with checksum, number, name

    def __init__(self, file: File, offset: int) -> None:
        self.file = file
        self.offset = offset
        self.lock = Lock(file, offset)
        self.name = NO_NAME
        self._size = self.RECORD.size
        self._place = offset + PAGE - self._size  # one copy ends with the first page, the other begins with the second
        self._number = 0
        self._raw = b""  # both copies as they were when the numbers were read from them

    def load(self, now: int) -> None:
        """Read the record. now: nanoseconds."""
        raw = self.file.read(self._place, 2 * self._size)
        if raw == self._raw:  # as most often: this process was the last one to write
            return
        self._raw = b""
        valid = self._valid_copies(raw)
        if not valid:
            raise self.file.damaged(f"the slot at byte {self.offset} has no valid copy")
        _, self._number, self.name, *numbers = max(valid, key=lambda values: int(values[1]))
        self.unpack(*numbers)
        self._raw = raw
        if len(valid) == 1:
            self.count_planned(now)
            self.store()

    def names(self) -> set[bytes]:
        """Of the valid copies: the one name, two while it is given away, none if the slot is damaged.

        It needs no lock: a copy that is being written may look damaged, but the newest one is not written.
        """
        valid = self._valid_copies(self.file.read(self._place, 2 * self._size))
        return {values[2] for values in valid}

    def _valid_copies(self, raw: bytes) -> list[tuple[Any, ...]]:
        copies = raw[: self._size], raw[self._size :]
        return [
            self.RECORD.unpack(copy) for copy in copies if zlib.crc32(copy[4:]) == int.from_bytes(copy[:4], "little")
        ]

    def store(self) -> None:
        """Replace the older copy."""
        raw, self._raw = self._raw, b""  # nothing is known if this fails
        self._number += 1
        body = self.pack()
        record = struct.pack("<I", zlib.crc32(body)) + body
        if self._number & 1:
            self.file.write(self._place + self._size, record)
            self._raw = raw[: self._size] + record
        else:
            self.file.write(self._place, record)
            self._raw = record + raw[self._size :]

    def forget(self) -> None:
        """The numbers in memory are not those of the file."""
        self._raw = b""

    def store_durably(self) -> None:
        """Replace both copies, and return when they are on the disk."""
        self.store()
        self.store()
        self.file.sync()

    def create(self) -> None:
        """Make it free."""
        self._number = 1
        self.give_to(NO_NAME)

    def give_to(self, name: bytes) -> None:
        self.name = name
        self.clear()
        self.store()
        self.store()

    def pack(self) -> bytes:
        """The record without its checksum."""
        raise NotImplementedError

    def unpack(self, *numbers: object) -> None:
        """Take the numbers of a record, but for its checksum, number and name."""
        raise NotImplementedError

    def clear(self) -> None:
        """Begin at 0."""
        raise NotImplementedError

    def is_empty(self, now: int) -> bool:
        """Whether nothing counts any more. now: nanoseconds."""
        raise NotImplementedError

    def latest(self) -> int:
        """The latest time that it knows, in nanoseconds."""
        raise NotImplementedError

    def count_planned(self, moment: int) -> bool:
        """Take what is planned as handed out, at the latest at `moment`. Returns whether that changes anything."""
        raise NotImplementedError

    def plan_nothing(self) -> bool:
        """Take what is handed out as all that is planned. Returns whether that changes anything."""
        raise NotImplementedError


class Total(Slot):
    """What was signed of a total, by buckets of time.

    The record has the newest bucket, and the sum of those before it that count. Those are in the history, which is
    written once for each bucket, in the older one of two places. It is larger than a page, so it may be torn; then its
    sum counts as spent in the bucket before the newest.
    """

    SIZE = 6 * PAGE
    #                       checksum, number, name, seconds, bucket, history, older, spent, durable, planned
    RECORD = struct.Struct("<IQ32sIQQ32s32s32s32s")
    _HISTORY = struct.Struct("<IQ32s")  # checksum, number, name; then the amounts, the oldest first

    seconds: int
    bucket: int  # the newest, by its number since 1970
    older: int  # in the buckets before it
    spent: int  # in it
    durable: int  # of it, that is on the disk as planned
    planned: int  # of it
    history = 0  # the number of the valid history, if any; it goes on when another key gets the slot

    def pack(self) -> bytes:
        return self.RECORD.pack(
            0,
            self._number,
            self.name,
            self.seconds,
            self.bucket,
            self.history,
            self.older.to_bytes(32, "little"),
            self.spent.to_bytes(32, "little"),
            self.durable.to_bytes(32, "little"),
            self.planned.to_bytes(32, "little"),
        )[4:]

    def unpack(self, *numbers: object) -> None:
        self.seconds, self.bucket, self.history, *amounts = numbers  # type: ignore[assignment]
        whole = int.from_bytes
        self.older, self.spent, self.durable, self.planned = (whole(each, "little") for each in amounts)  # type: ignore
        self._new_history = b""

    def clear(self) -> None:
        self.seconds = self.bucket = self.older = self.spent = self.durable = self.planned = 0
        self._new_history = b""

    def used(self, seconds: int, now: int) -> int:
        """What counts at `now`. Buckets that are over are dropped in memory, and the file learns that with spend()."""
        bucket = now // (seconds * 1_000_000_000 // BUCKETS[seconds])
        if self.seconds != seconds:
            self._change_span(seconds, bucket, now)
        elif self.bucket < bucket:
            self._turn_to(bucket)
        return min(self.older + self.spent, LARGEST)

    def spend(self, amount: int, limit: int) -> None:
        """Count what used() has room for."""
        spent = min(self.spent + amount, LARGEST)
        if self._new_history:
            self.history = self.history + 1
            place = self.offset + (2 + 2 * (self.history & 1)) * PAGE
            head = self._HISTORY.pack(0, self.history, self.name)[4:]
            checksum = zlib.crc32(self._new_history, zlib.crc32(head))
            self.file.write(place, struct.pack("<I", checksum) + head + self._new_history)
            self._new_history = b""
        if spent > self.durable:
            self.planned = min(spent + limit // 100, LARGEST)
            self.store_durably()
            self.durable = self.planned
        self.spent = spent
        self.store()

    def _turn_to(self, bucket: int) -> None:
        """Go on to a bucket that is later than the newest."""
        number = BUCKETS[self.seconds]
        gone = min(bucket - self.bucket, number + 1)
        amounts = self._read_history(number) + self.spent.to_bytes(32, "little") + bytes(32 * (gone - 1))
        amounts = amounts[-32 * number :]
        self.forget()
        self.bucket, self.older = bucket, _sum(amounts)
        self.spent = self.durable = self.planned = 0
        self._new_history = amounts if self.older else b""

    def _change_span(self, seconds: int, bucket: int, now: int) -> None:
        """The policy has another span than before: what counts under the earlier one counts as spent now."""
        used = self.used(self.seconds, now) if self.seconds else 0
        self.forget()
        self.seconds, self.bucket, self.older, self.spent = seconds, bucket, 0, used
        self.durable = self.planned = 0
        self._new_history = b""

    def _read_history(self, number: int) -> bytes:
        """The amounts of the `number` buckets before the newest."""
        if not self.older:
            return bytes(32 * number)
        place = self.offset + (2 + 2 * (self.history & 1)) * PAGE
        raw = self.file.read(place, self._HISTORY.size + 32 * number)
        checksum, history, name = self._HISTORY.unpack_from(raw)
        amounts = raw[self._HISTORY.size :]
        is_whole = zlib.crc32(memoryview(raw)[4:]) == checksum
        if is_whole and (history, name, _sum(amounts)) == (self.history, self.name, self.older):
            return amounts
        return bytes(32 * (number - 1)) + self.older.to_bytes(32, "little")

    def is_empty(self, now: int) -> bool:
        return not self.seconds or not self.used(self.seconds, now)

    def latest(self) -> int:
        """The start of the newest bucket. With its end, each boot would gain time."""
        return self.bucket * (self.seconds * 1_000_000_000 // BUCKETS[self.seconds]) if self.seconds else 0

    def count_planned(self, moment: int) -> bool:
        changes = self.spent < self.planned
        if changes:
            self.spent = self.planned
        return changes

    def plan_nothing(self) -> bool:
        changes = self.spent < self.planned
        self.durable = self.planned = self.spent
        return changes


def _sum(amounts: bytes) -> int:
    each = (int.from_bytes(amounts[at : at + 32], "little") for at in range(0, len(amounts), 32))
    return min(sum(each), LARGEST)


class Rate(Slot):
    """When the last signatures of a rate were.

    There are TIMES entries. In a rate with a higher number, each entry stands for several signatures, with the time of
    the latest of them.
    """

    TIMES = 240
    SIZE = 2 * PAGE
    #                        checksum, number, name, limit, seconds, taken, durable, planned
    RECORD = struct.Struct(f"<IQ32sIIQQQ{TIMES}Q")

    limit: int
    seconds: int
    taken: int  # signatures, since the times were arranged
    durable: int  # of them, that are on the disk as planned
    planned: int
    times: list[int]  # nanoseconds; a ring

    def pack(self) -> bytes:
        return self.RECORD.pack(
            0,
            self._number,
            self.name,
            self.limit,
            self.seconds,
            self.taken,
            self.durable,
            self.planned,
            *self.times,
        )[4:]

    def unpack(self, *numbers: object) -> None:
        self.limit, self.seconds, self.taken, self.durable, self.planned, *self.times = numbers  # type: ignore

    def clear(self) -> None:
        self.limit = self.seconds = self.taken = self.durable = self.planned = 0
        self.times = [0] * self.TIMES

    def has_room(self, limit: int, seconds: int, now: int) -> bool:
        if (limit, seconds) != (self.limit, self.seconds):
            self._arrange(self._signatures(), limit)
            self.seconds = seconds
        each = -(-limit // self.TIMES)
        at, within = divmod(self.taken, each)
        oldest = self.times[at % (limit // each)]
        return within > 0 or not oldest or now - oldest >= seconds * 1_000_000_000

    def take(self, now: int) -> None:
        """Count what has_room() for it."""
        if self.taken >= self.durable:
            # A span of a minute is over soon after a boot; until then all its signatures may count as lost.
            ahead = self.limit // 100 if self.seconds > 60 else 100 * self.limit
            self.planned = self.taken + 1 + ahead
            self.store_durably()
            self.durable = self.planned
        each = -(-self.limit // self.TIMES)
        self.times[self.taken // each % (self.limit // each)] = max(now, self.latest())
        self.taken += 1
        self.store()

    def _signatures(self) -> list[tuple[int, int]]:
        """Times, and how many signatures each stands for, the oldest first."""
        if not self.taken:
            return []
        each = -(-self.limit // self.TIMES)
        entries = self.limit // each
        last = (self.taken - 1) // each
        counted = [(self.times[at % entries], each) for at in range(max(last - entries + 1, 0), last)]
        return [*counted, (self.times[last % entries], self.taken - last * each)]

    def _arrange(self, signatures: list[tuple[int, int]], limit: int) -> None:
        """Begin the ring anew, with the latest of these signatures and for this limit."""
        self.forget()
        each = -(-limit // self.TIMES)
        surplus = sum(count for _, count in signatures) - limit // each * each
        self.taken = self.durable = self.planned = 0
        self.times = [0] * self.TIMES
        self.limit = limit
        for time, count in signatures:
            skipped = min(max(surplus, 0), count)
            surplus -= skipped
            end = self.taken + count - skipped
            for entry in range(self.taken // each, -(-end // each)):
                self.times[entry] = time
            self.taken = end

    def is_empty(self, now: int) -> bool:
        return now - self.latest() >= self.seconds * 1_000_000_000

    def latest(self) -> int:
        each = -(-self.limit // self.TIMES)
        return self.times[(self.taken - 1) // each % (self.limit // each)] if self.taken else 0

    def count_planned(self, moment: int) -> bool:
        changes = self.taken < self.planned
        if changes:
            lost = min(self.planned - self.taken, self.limit)
            self._arrange([*self._signatures(), (max(self.latest(), moment), lost)], self.limit)
        return changes

    def plan_nothing(self) -> bool:
        changes = self.taken < self.planned
        self.durable = self.planned = self.taken
        return changes


AnySlot = TypeVar("AnySlot", bound=Slot)


class Slots(Generic[AnySlot]):
    """All slots of one kind, found by their keys. Safe for use by many threads."""

    def __init__(self, file: File, offset: int, kind: type[AnySlot]) -> None:
        self._all = [kind(file, offset + index * kind.SIZE) for index in range(SLOTS)]
        self._file = file
        self._giving = Lock(file, offset + 1)  # not the first byte, which is the first slot's
        self._known: dict[str, tuple[AnySlot, bytes]] = {}

    def create(self) -> None:
        for slot in self._all:
            slot.create()

    def __iter__(self) -> Iterator[AnySlot]:
        return iter(self._all)

    def get(self, key: str) -> tuple[AnySlot, bytes] | None:
        """The slot of a key, if it has one, and the name that the slot has while it is this key's."""
        if key not in self._known:
            name = name_of(key)
            for slot in self._all:
                if name in slot.names():
                    self._known[key] = slot, name
        return self._known.get(key)

    def give(self, key: str, now: int) -> tuple[AnySlot, bytes]:
        """As get(), but makes a slot if there is none. now: nanoseconds."""
        found = self._known.get(key)
        return found or self._give(key, now)

    def forget(self, key: str) -> None:
        """Another key has its slot by now."""
        self._known.pop(key, None)

    def _give(self, key: str, now: int) -> tuple[AnySlot, bytes]:
        with self._giving:
            found = self.get(key)
            if found is not None:
                return found
            names = [slot.names() for slot in self._all]
            if not all(names):
                offset = self._all[names.index(set())].offset
                raise self._file.damaged(f"the slot at byte {offset} may be the one of a total or rate without a slot")
            name = name_of(key)
            for slot in [slot for slot, own in zip(self._all, names) if own == {NO_NAME}] or self._all:
                with slot.lock:
                    slot.load(now)
                    if slot.name == NO_NAME or slot.is_empty(now):
                        slot.give_to(name)
                        self._known[key] = slot, name
                        return slot, name
            raise OSError(f"{self._file.path} has no room for another total or rate: {SLOTS} of them are in use")
