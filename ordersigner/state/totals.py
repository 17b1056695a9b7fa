"""A total in the file of state: the amounts that were signed, by buckets of time.

In: seconds of its span, a limit, an amount, a time in nanoseconds. Out: the amount that counts. Raises OSError if the
slot is damaged or cannot be written.

The record has the newest bucket, and the sum of those before it that count. It is within one sector of 512 bytes, so
not even a power failure can tear it. The amounts of the earlier buckets are in the history, which is written once for
each bucket that is used, in the older one of two places. It is larger than a page, so it can be torn or damaged. Then
its sum counts as spent in the bucket before the newest.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from ordersigner.state.memory import BUCKETS
from ordersigner.state.slots import Slot
from ordersigner.state.storage import PAGE

LARGEST = 2**256 - 1  # an amount does not grow beyond this
_WIDTHS = {seconds: seconds * 1_000_000_000 // number for seconds, number in BUCKETS.items()}  # nanoseconds


class Total(Slot):
    """A total. The amounts are in its smallest unit."""

    SIZE = 6 * PAGE
    #                       checksum, number, name, seconds, bucket, history, older, spent, durable, planned
    RECORD = struct.Struct("<IQ32sIQQ32s32s32s32s")
    _HISTORY = struct.Struct("<IQ32s")  # checksum, number, name; then the amounts, the oldest first

    seconds = 0
    bucket = 0  # the newest, by its number since 1970
    history = 0  # the number of the valid history. It goes on when the slot is given to another key.
    older = 0  # in the buckets before the newest that count
    spent = 0  # in the newest
    durable = 0  # of it
    planned = 0  # of it
    _new_history = b""  # which a store() of this bucket needs

    def used(self, seconds: int, now: int) -> int:
        """The amount that counts. Drops buckets that are over from this object; spend() writes that to the file."""
        bucket = now // _WIDTHS[seconds]
        if seconds != self.seconds:
            self._change_span(seconds, bucket, now)
        elif bucket > self.bucket:
            self._turn_to(bucket)
        return min(self.older + self.spent, LARGEST)

    def spend(self, amount: int, limit: int) -> None:
        """Count an amount, for which used() has left room."""
        if self._new_history:
            self._write_history()
        spent = self.spent + amount
        if spent > self.durable:
            self.planned = min(spent + limit // 100, LARGEST)
            self.store_durably()
            self.durable = self.planned
        self.spent = spent
        self.store()

    def _turn_to(self, bucket: int) -> None:
        """Go on to a later bucket."""
        number = BUCKETS[self.seconds]
        gone = min(bucket - self.bucket, number + 1)
        amounts = self._read_history(number) + self.spent.to_bytes(32, "little") + bytes(32 * (gone - 1))
        amounts = amounts[-32 * number :]
        self.forget()
        self.bucket, self.older = bucket, _sum(amounts)
        self.spent = self.durable = self.planned = 0
        self._new_history = amounts if self.older else b""

    def _change_span(self, seconds: int, bucket: int, now: int) -> None:
        """The policy has another span than before: what counted in the earlier span counts as spent now."""
        used = self.used(self.seconds, now) if self.seconds else 0
        self.seconds, self.bucket, self.older, self.spent = seconds, bucket, 0, used
        self.durable, self.planned, self._new_history = 0, used, b""
        self.store()
        self.store()

    def _read_history(self, number: int) -> bytes:
        """The amounts of the `number` buckets before the newest."""
        if not self.older:
            return bytes(32 * number)
        raw = self._file.read(self._history_start(), self._HISTORY.size + 32 * number)
        checksum, history, name = self._HISTORY.unpack_from(raw)
        amounts = raw[self._HISTORY.size :]
        is_whole = zlib.crc32(memoryview(raw)[4:]) == checksum
        if is_whole and (history, name, _sum(amounts)) == (self.history, self.name, self.older):
            return amounts
        return bytes(32 * (number - 1)) + self.older.to_bytes(32, "little")

    def _write_history(self) -> None:
        self.history += 1
        head = self._HISTORY.pack(0, self.history, self.name)[4:]
        checksum = zlib.crc32(self._new_history, zlib.crc32(head))
        self._file.write(self._history_start(), struct.pack("<I", checksum) + head + self._new_history)
        self._new_history = b""

    def _history_start(self) -> int:
        return self.offset + (2 + 2 * (self.history & 1)) * PAGE

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

    def unpack(self, *numbers: Any) -> None:
        self.seconds, self.bucket, self.history, *amounts = numbers
        self.older, self.spent, self.durable, self.planned = (int.from_bytes(each, "little") for each in amounts)
        self._new_history = b""

    def clear(self) -> None:
        self.seconds = self.bucket = self.older = self.spent = self.durable = self.planned = 0

    def is_empty(self, now: int) -> bool:
        return not self.seconds or not self.used(self.seconds, now)

    def latest(self) -> int:
        """The start of the newest bucket. If this were its end, each boot without a clock would gain time."""
        return self.bucket * _WIDTHS[self.seconds] if self.seconds else 0

    def count_planned(self, moment: int) -> bool:
        changes = self.spent < self.planned
        self.spent = max(self.spent, self.planned)
        return changes

    def plan_nothing(self) -> bool:
        changes = self.spent < self.planned
        self.durable = self.planned = self.spent
        return changes


def _sum(amounts: bytes) -> int:
    each = (int.from_bytes(amounts[at : at + 32], "little") for at in range(0, len(amounts), 32))
    return min(sum(each), LARGEST)
