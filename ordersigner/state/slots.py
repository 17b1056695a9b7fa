"""The places of totals and rates in the file of state: a slot for each, found by a hash of its key.

In: a key. Out: its slot, with a lock, in which totals.py and rates.py count. Raises OSError if a slot is damaged, or
cannot be found because of one.

A slot has a record in two copies, with a number and a checksum; the valid one with the higher number counts, and a
change is one write of the other. A copy is within one page, so SIGKILL cannot tear it.

A power failure loses everything written since the last sync(). So `planned`, which counts after a power failure, is
ahead of the amount handed out by about a hundredth of the limit. Both copies have it on the disk before it is handed
out: this part is `durable`. If one copy is damaged, `planned` counts as well, since the last change may have been in
that one.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any, Callable, Generic, Iterator, Sequence, TypeVar

from ordersigner.state.storage import PAGE, File, Lock

SLOTS = 256  # of totals, and as many of rates
NO_NAME = bytes(32)


def name_of(key: str) -> bytes:
    """The name of a key's slot. Keys can be longer than a fixed field."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


class Slot:
    """One total or rate. The caller holds the lock, except where a method says otherwise. Times are in nanoseconds."""

    SIZE: int  # bytes in the file
    RECORD: struct.Struct  # begins with checksum, number, name

    def __init__(self, file: File, offset: int) -> None:
        self._file = file
        self.offset = offset
        self.lock = Lock(file, offset)
        self.name = NO_NAME
        self._size = self.RECORD.size
        self._start = offset + PAGE - self._size  # one copy ends with a page, and the other begins with the next one
        self._number = 0
        self._raw = b""  # both copies, if the numbers of this object are those of the newer one

    def load(self, now: int) -> None:
        """Read the record."""
        raw = self._file.read(self._start, 2 * self._size)
        if raw == self._raw:  # as most often: this process was the last one to write
            return
        if len(self._take(raw)) == 1:
            self.count_planned(now)
            self.store()

    def look(self) -> None:
        """As load(), but leave a damaged copy unchanged."""
        self._take(self._file.read(self._start, 2 * self._size))
        self.forget()

    def current_name(self) -> bytes | None:
        """None if the slot is damaged. The caller does not hold the lock."""
        name = self._newest_name()
        if name is None:  # two changes in a row may have met both copies
            with self.lock:
                name = self._newest_name()
        return name

    def _newest_name(self) -> bytes | None:
        valid = self._valid(self._file.read(self._start, 2 * self._size))
        return max(valid)[1] if valid else None

    def forget(self) -> None:
        """Note that the file may have other numbers than this object."""
        self._raw = b""

    def store(self) -> None:
        """Replace the older copy."""
        raw, self._raw = self._raw, b""
        self._number += 1
        body = self.pack()
        record = struct.pack("<I", zlib.crc32(body)) + body
        if self._number & 1:
            self._file.write(self._start + self._size, record)
            self._raw = raw[: self._size] + record
        else:
            self._file.write(self._start, record)
            self._raw = record + raw[self._size :]

    def store_durably(self) -> None:
        """Replace both copies, and return when they are on the disk."""
        self.store()
        self.store()
        self._file.sync()

    def give_to(self, name: bytes) -> None:
        self.name = name
        self.clear()
        self.store()
        self.store()

    def _take(self, raw: bytes) -> list[tuple[Any, ...]]:
        self._raw = b""
        valid = self._valid(raw)
        if not valid:
            raise self._file.damaged(f"the slot at byte {self.offset} has no valid copy")
        self._number, self.name, *numbers = max(valid)
        self.unpack(*numbers)
        self._raw = raw
        return valid

    def _valid(self, raw: bytes) -> list[tuple[Any, ...]]:
        """The copies without their checksums, if those are right."""
        copies = [(self.RECORD.unpack(copy), zlib.crc32(copy[4:])) for copy in (raw[: self._size], raw[self._size :])]
        return [values[1:] for values, checksum in copies if values[0] == checksum]

    def pack(self) -> bytes:
        """The record without its checksum."""
        raise NotImplementedError

    def unpack(self, *numbers: Any) -> None:
        """Take what follows the name in a record."""
        raise NotImplementedError

    def clear(self) -> None:
        """Begin at 0."""
        raise NotImplementedError

    def is_empty(self, now: int) -> bool:
        """Whether nothing counts any more."""
        raise NotImplementedError

    def latest(self) -> int:
        """The latest time that it knows."""
        raise NotImplementedError

    def count_planned(self, moment: int) -> bool:
        """Count everything planned as handed out, at `moment` or before. Returns whether that changes anything."""
        raise NotImplementedError

    def plan_nothing(self) -> bool:
        """Plan no more than what is handed out. Returns whether that changes anything."""
        raise NotImplementedError


AnySlot = TypeVar("AnySlot", bound=Slot)


class Slots(Generic[AnySlot]):
    """All slots of one kind. Safe for use by many threads."""

    def __init__(self, file: File, offset: int, kind: type[AnySlot]) -> None:
        self._file = file
        self._all = [kind(file, offset + index * kind.SIZE) for index in range(SLOTS)]
        self._giving = Lock(file, offset + 1)  # at the offset itself is the first slot's
        self._known: dict[str, tuple[AnySlot, bytes]] = {}

    def create(self) -> None:
        for slot in self._all:
            slot.give_to(NO_NAME)

    def __iter__(self) -> Iterator[AnySlot]:
        return iter(self._all)

    def get(self, key: str) -> tuple[AnySlot, bytes] | None:
        """The slot of a key, if there is one, and its name. While the slot has this name, it is the key's."""
        if key not in self._known:
            self._look_for(key)
        return self._known.get(key)

    def _look_for(self, key: str) -> list[AnySlot]:
        """Returns the slots that are free."""
        name = name_of(key)
        names = [slot.current_name() for slot in self._all]
        if name in names:
            self._known[key] = self._all[names.index(name)], name
        elif None in names:
            offset = self._all[names.index(None)].offset
            raise self._file.damaged(f"the slot at byte {offset} may be that of a total or rate which has none")
        return [slot for slot, own in zip(self._all, names) if own == NO_NAME]

    def give(self, keys: Sequence[str], now: Callable[[], int]) -> list[tuple[AnySlot, bytes]]:
        """As get() for several keys, but a key without a slot gets one. No two have the same."""
        given: list[tuple[AnySlot, bytes]] = []
        taken: list[AnySlot] = []
        for key in keys:
            found = self._known.get(key) or self._give(key, now, taken)
            if found[0] in taken:  # it was empty, and this key has it now instead of the earlier one
                for each in keys:
                    self.forget(each)
                return self.give(keys, now)
            given.append(found)
            taken.append(found[0])
        return given

    def forget(self, key: str) -> None:
        """Forget the slot of a key: another key has it by now."""
        self._known.pop(key, None)

    def _give(self, key: str, now: Callable[[], int], taken: Sequence[AnySlot]) -> tuple[AnySlot, bytes]:
        """taken: slots that it must not get."""
        with self._giving:
            free = self._look_for(key)
            if key in self._known:
                return self._known[key]
            for slot in [slot for slot in free or self._all if slot not in taken]:
                with slot.lock:
                    moment = now()
                    slot.load(moment)
                    if slot.name == NO_NAME or slot.is_empty(moment):
                        slot.give_to(name_of(key))
                        self._known[key] = slot, slot.name
                        return self._known[key]
            raise OSError(f"{self._file.path} has no room for another total or rate: all {SLOTS} are in use")
