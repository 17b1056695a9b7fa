"""A rate in the file of state: the times of its last signatures.

In: a number of signatures, seconds of a span, a time in nanoseconds. Out: whether there is room for one more. Raises
OSError if the slot is damaged or cannot be written.
"""

from __future__ import annotations

import struct
from typing import Any

from ordersigner.state.slots import Slot
from ordersigner.state.storage import PAGE

_TIME = struct.Struct("<Q")


class Rate(Slot):
    """A rate, as a ring of times.

    If its number is higher than TIMES, an entry of the ring stands for several signatures, with the time of the latest
    of them. So at times it has room for up to one entry less than the number.
    """

    TIMES = 240
    SIZE = 2 * PAGE
    #                        checksum, number, name, limit, seconds, taken, durable, planned, times
    RECORD = struct.Struct(f"<IQ32sIIQQQ{TIMES * _TIME.size}s")

    limit = 0
    seconds = 0
    taken = 0  # signatures, since the ring began
    durable = 0  # of them
    planned = 0  # of them
    _times = bytearray()

    def has_room(self, limit: int, seconds: int, now: int) -> bool:
        if (limit, seconds) != (self.limit, self.seconds):  # the policy has changed the rate
            self._begin(self._signatures(), limit, seconds)
        each, entries = self._shape()
        entry, within = divmod(self.taken, each)
        return within > 0 or entry < entries or now - self._time(entry % entries) >= seconds * 1_000_000_000

    def take(self, now: int) -> None:
        """Count a signature, for which has_room() has room."""
        if self.taken >= self.durable:
            # After a boot a span of a minute is soon over: there all its signatures may count as lost.
            ahead = self.limit // 100 if self.seconds > 60 else 100 * self.limit
            self.planned = self.taken + 1 + ahead
            self.store_durably()
            self.durable = self.planned
        each, entries = self._shape()
        taken = self.taken
        self._set_time(taken // each % entries, max(now, self.latest()))
        self.taken = taken + 1
        self.store()

    def _shape(self) -> tuple[int, int]:
        """Signatures for each entry of the ring, and its entries."""
        each = -(-self.limit // self.TIMES)
        return each, self.limit // each

    def _time(self, place: int) -> int:
        """place: of an entry in the ring, which is its number modulo their number."""
        time: int = _TIME.unpack_from(self._times, place * _TIME.size)[0]
        return time

    def _set_time(self, place: int, time: int) -> None:
        _TIME.pack_into(self._times, place * _TIME.size, time)

    def _signatures(self) -> list[tuple[int, int]]:
        """The times in the ring, each with its number of signatures, the oldest first."""
        if not self.taken:
            return []
        each, entries = self._shape()
        last = (self.taken - 1) // each
        full = [(self._time(entry % entries), each) for entry in range(max(last - entries + 1, 0), last)]
        return [*full, (self._time(last % entries), self.taken - last * each)]

    def _begin(self, signatures: list[tuple[int, int]], limit: int, seconds: int) -> None:
        """Empty the ring, and put the latest of these signatures into it."""
        self.forget()
        self.clear()
        self.limit, self.seconds = limit, seconds
        each, entries = self._shape()
        surplus = sum(count for _, count in signatures) - each * entries
        for time, count in signatures:
            dropped = min(max(surplus, 0), count)
            surplus -= dropped
            end = self.taken + count - dropped
            for entry in range(self.taken // each, -(-end // each)):
                self._set_time(entry % entries, time)
            self.taken = end

    def pack(self) -> bytes:
        numbers = self.limit, self.seconds, self.taken, self.durable, self.planned
        return self.RECORD.pack(0, self._number, self.name, *numbers, self._times)[4:]

    def unpack(self, *numbers: Any) -> None:
        self.limit, self.seconds, self.taken, self.durable, self.planned, times = numbers
        self._times = bytearray(times)

    def clear(self) -> None:
        self.limit = self.seconds = self.taken = self.durable = self.planned = 0
        self._times = bytearray(self.TIMES * _TIME.size)

    def is_empty(self, now: int) -> bool:
        return now - self.latest() >= self.seconds * 1_000_000_000

    def latest(self) -> int:
        if not self.taken:
            return 0
        each, entries = self._shape()
        return self._time((self.taken - 1) // each % entries)

    def count_planned(self, moment: int) -> bool:
        changes = self.taken < self.planned
        if changes:
            lost = min(self.planned - self.taken, self.limit)
            signatures = [*self._signatures(), (max(self.latest(), moment), lost)]
            self._begin(signatures, self.limit, self.seconds)
        return changes

    def plan_nothing(self) -> bool:
        changes = self.taken < self.planned
        self.durable = self.planned = self.taken
        return changes
