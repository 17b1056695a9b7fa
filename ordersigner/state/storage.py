"""A file that several processes change at the same time: reading, writing, locks, and small tables in it.

In: offsets and bytes. Out: bytes as one process wrote them, not torn by another one or by a power failure. Raises
OSError, with a text for the administrator, if the file is too short, damaged or full, or if another process holds a
lock for too long.

There is no mmap here: with pread() and pwrite(), a truncated file is a short read and a full disk is an OSError, never
a SIGBUS. Locks are OFD locks on bytes far behind the end of the file. They belong to the open file, not to the process:
the kernel drops them however the process ends, and its threads need a mutex in addition.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import threading
import zlib
from time import monotonic, sleep
from types import TracebackType
from typing import Any

PAGE = 4096  # bytes that the disk, or the kernel when it kills the writer, writes completely or not at all
PATIENCE = 2.0  # seconds to wait for a lock, which is held for microseconds, or milliseconds if the disk is slow
DAMAGED = "To begin again, stop all daemons that use it and remove it. Then all totals are at 0, and no rule is frozen."

_SETLK = 37  # F_OFD_SETLK of <linux/fcntl.h>, which Python has from 3.9 on
_FLOCK = struct.Struct("hhqqi0q")  # struct flock: type, where start is counted from, start, length, process
_BUSY = (errno.EAGAIN, errno.EACCES)
_LOCKS = 1 << 60  # the distance from an offset to the lock byte for the data there


class File:
    """An open file. Safe for use by many threads, until it is closed."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self.descriptor, length, offset)
        if len(data) != length:
            raise self.damaged("it is too short")
        return data

    def write(self, offset: int, data: bytes) -> None:
        if os.pwrite(self.descriptor, data, offset) != len(data):
            raise OSError(f"{self.path} was not written in full")

    def check_in_place(self) -> None:
        """Raise OSError if another file is in its place, or none: a new process would not share this one."""
        if os.fstat(self.descriptor).st_nlink == 0:
            raise OSError(f"{self.path} was removed or replaced. All daemons that use it must be restarted.")

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1  # a late caller must not get another file with this number
        os.close(descriptor)

    def damaged(self, what: str) -> OSError:
        return OSError(f"{self.path} is damaged: {what}. {DAMAGED}")


class _LockByte:
    """A byte of the file as a lock."""

    def __init__(self, file: File, offset: int) -> None:
        """offset: of what it guards; it need not be in the file."""
        self._file = file
        self._mutex = threading.Lock()
        self._shared, self._exclusive, self._unlock = (
            _FLOCK.pack(kind, os.SEEK_SET, _LOCKS + offset, 1, 0)
            for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK)
        )

    def _enter_mutex(self) -> None:
        if not self._mutex.acquire(True, PATIENCE):
            raise self._too_long()

    def _set(self, lock: bytes) -> None:
        try:
            fcntl.fcntl(self._file.descriptor, _SETLK, lock)
        except ValueError as error:  # what fcntl() says of a closed descriptor
            raise OSError(f"{self._file.path} is closed") from error

    def _wait(self, lock: bytes) -> None:
        """Poll, because a wait in the kernel has no limit, and a stopped process keeps its locks."""
        pause, deadline = 0.00005, 0.0
        while True:
            try:
                return self._set(lock)
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            if deadline == 0.0:
                deadline = monotonic() + PATIENCE
            elif monotonic() > deadline:
                raise self._too_long()
            sleep(pause)
            pause = min(2 * pause, 0.001)

    def _too_long(self) -> OSError:
        return OSError(
            f"{self._file.path} was locked for more than {PATIENCE:.0f} seconds, perhaps by a stopped process"
        )


class Lock(_LockByte):
    """An exclusive lock among all threads of all processes."""

    def take(self) -> None:
        self._enter_mutex()
        try:
            self._wait(self._exclusive)
        except BaseException:
            self._mutex.release()
            raise

    def give_back(self) -> None:
        try:
            self._set(self._unlock)
        finally:
            self._mutex.release()

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


class SharedLock(_LockByte):
    """A lock that all threads of all processes can hold at the same time. is_free() tells whether any of them does."""

    def __init__(self, file: File, offset: int) -> None:
        super().__init__(file, offset)
        self._holders = 0  # threads of this process

    def take(self) -> None:
        self._enter_mutex()
        try:
            if self._holders == 0:
                self._wait(self._shared)
            self._holders += 1
        finally:
            self._mutex.release()

    def give_back(self) -> None:
        with self._mutex:
            self._holders -= 1
            if self._holders == 0:
                try:
                    self._set(self._unlock)
                except OSError:
                    if self._file.descriptor >= 0:  # otherwise closing the file has unlocked it
                        raise

    def is_free(self) -> bool:
        """Whether nobody holds it."""
        self._enter_mutex()
        try:
            if self._holders:
                return False
            try:
                self._set(self._exclusive)
            except OSError as error:
                if error.errno in _BUSY:
                    return False
                raise
            self._set(self._unlock)
            return True
        finally:
            self._mutex.release()


class NoRoom(OSError):
    """A table is full."""


class Table:
    """A small table, of names to lists of numbers, that is written as a whole.

    There are two copies, with a number and a checksum; the valid one with the higher number counts.
    """

    SIZE = 64 * 1024  # bytes of a copy: room for 600 of the longest names of rules
    _HEAD = struct.Struct("<IQI")  # checksum, number, length of the text

    def __init__(self, file: File, offset: int) -> None:
        self._file = file
        self._offset = offset
        self.lock = Lock(file, offset)

    def read(self) -> dict[str, Any]:
        """The caller holds the lock. Without it, both copies may be in the middle of a change."""
        return self._read()[1]

    def write(self, table: dict[str, Any]) -> None:
        """Replace the older copy. The caller holds the lock."""
        self._write(self._read()[0] + 1, table)

    def create(self) -> None:
        for number in (0, 1):
            self._write(number, {})

    def copies(self) -> list[dict[str, Any]]:
        """The copies that are valid."""
        return [json.loads(text) for _, text in self._valid()]

    def _read(self) -> tuple[int, dict[str, Any]]:
        valid = self._valid()
        if not valid:
            raise self._file.damaged("it is not known which rules are frozen, or what was counted")
        number, text = max(valid)
        table: dict[str, Any] = json.loads(text)
        return number, table

    def _valid(self) -> list[tuple[int, bytes]]:
        """The numbers and the texts of the valid copies."""
        valid = []
        for place in (0, 1):
            start = self._offset + place * self.SIZE
            head = self._file.read(start, self._HEAD.size)
            checksum, number, length = self._HEAD.unpack(head)
            if length <= self.SIZE - self._HEAD.size:
                text = self._file.read(start + self._HEAD.size, length)
                if zlib.crc32(text, zlib.crc32(head[4:])) == checksum:
                    valid.append((number, text))
        return valid

    def _write(self, number: int, table: dict[str, Any]) -> None:
        text = json.dumps(table, separators=(",", ":")).encode()
        if len(text) > self.SIZE - self._HEAD.size:
            raise NoRoom(f"{self._file.path} has no room for more names")
        head = self._HEAD.pack(0, number, len(text))[4:]
        checksum = zlib.crc32(text, zlib.crc32(head))
        self._file.write(self._offset + (number & 1) * self.SIZE, struct.pack("<I", checksum) + head + text)
