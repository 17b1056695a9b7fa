"""A file that several processes change at the same time: reading, writing, locks, and small tables in it.

In: offsets and bytes. Out: bytes that another process or a power failure has not torn. Raises OSError, with a text for
the administrator, if the file is too short, damaged or full, or if another process holds a lock for too long.

There is no mmap here: with pread() and pwrite(), a truncated file is a short read and a full disk is an OSError, never
a SIGBUS. Locks are OFD locks on bytes far behind the end of the file. They belong to the open file, not to the process,
so the kernel drops them when the process is killed, and threads need a mutex beside each of them.
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

PAGE = 4096  # bytes that a disk, and a kernel that kills the writer, writes as a whole
PATIENCE = (
    2.0  # seconds to wait for a lock: the holder needs some microseconds, or milliseconds if it waits for the disk
)
LOCKS = 1 << 60  # what an offset in the file has its lock byte behind
DAMAGED = "Totals and frozen rules are not known any more. To begin with none, stop the daemon and remove the file."

_SETLK = 37  # F_OFD_SETLK of <linux/fcntl.h>, which Python has from 3.9 on
_FLOCK = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, process
_BUSY = (errno.EAGAIN, errno.EACCES)


class File:
    """An open file. Safe for use by many threads, until it is closed."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self.descriptor, length, offset)
        if len(data) != length:
            raise OSError(f"{self.path} is too short. {DAMAGED}")
        return data

    def write(self, offset: int, data: bytes) -> None:
        if os.pwrite(self.descriptor, data, offset) != len(data):
            raise OSError(f"{self.path} was not written in full")

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1  # a late caller must not meet another file of this number
        os.close(descriptor)

    def damaged(self, what: str) -> OSError:
        return OSError(f"{self.path} is damaged: {what}. {DAMAGED}")


class LockByte:
    """A lock on one byte, shared or exclusive, which the threads of this process hold together."""

    def __init__(self, file: File, offset: int) -> None:
        self._file = file
        self._shared = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, offset, 1, 0)
        self._exclusive = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        self._unlock = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, offset, 1, 0)

    def share(self, deadline: float) -> None:
        self._wait(self._shared, deadline)

    def take(self, deadline: float) -> None:
        self._wait(self._exclusive, deadline)

    def is_free(self) -> bool:
        """Whether no other process holds it. The caller must not hold it."""
        try:
            fcntl.fcntl(self._file.descriptor, _SETLK, self._exclusive)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        self.give_back()
        return True

    def give_back(self) -> None:
        fcntl.fcntl(self._file.descriptor, _SETLK, self._unlock)

    def _wait(self, lock: bytes, deadline: float) -> None:
        """Poll, because a wait of the kernel's has no limit, and a process that is stopped keeps its locks."""
        pause = 0.00005
        while True:
            try:
                fcntl.fcntl(self._file.descriptor, _SETLK, lock)
                return
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            if monotonic() > deadline:
                raise too_long(self._file)
            sleep(pause)
            pause = min(2 * pause, 0.001)


class Lock:
    """An exclusive lock among all threads of all processes. Raises OSError if it is not to be had within PATIENCE."""

    def __init__(self, file: File, offset: int) -> None:
        """offset: of what it guards."""
        self._file = file
        self._mutex = threading.Lock()
        self._byte = LockByte(file, LOCKS + offset)

    def take(self) -> None:
        deadline = monotonic() + PATIENCE
        if not self._mutex.acquire(timeout=PATIENCE):
            raise too_long(self._file)
        try:
            self._byte.take(deadline)
        except BaseException:
            self._mutex.release()
            raise

    def give_back(self) -> None:
        try:
            self._byte.give_back()
        finally:
            self._mutex.release()

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


def too_long(file: File) -> OSError:
    return OSError(f"Another process has held a lock on {file.path} for more than {PATIENCE:.0f} seconds.")


class NoRoom(OSError):
    """A table is full."""


class Table:
    """A small table, of names to lists of numbers, that is written as a whole.

    There are two copies, with a number and a checksum; the valid one with the higher number counts.
    """

    SIZE = 64 * 1024  # of a copy: some 600 of the longest names of rules
    _HEAD = struct.Struct("<IQI")  # checksum, number, length of the text

    def __init__(self, file: File, offset: int) -> None:
        self._file = file
        self._offset = offset
        self.lock = Lock(file, offset)

    def read(self) -> dict[str, Any]:
        return self._read()[1]

    def _read(self) -> tuple[int, dict[str, Any]]:
        newest = -1
        for place in (0, 1):
            start = self._offset + place * self.SIZE
            raw = self._file.read(start, self._HEAD.size)
            checksum, number, length = self._HEAD.unpack(raw)
            if number > newest and length <= self.SIZE - self._HEAD.size:
                text = self._file.read(start + self._HEAD.size, length)
                if zlib.crc32(text, zlib.crc32(raw[4:])) == checksum:
                    newest, newest_text = number, text
        if newest < 0:
            raise self._file.damaged("a table of names has no valid copy")
        table: dict[str, Any] = json.loads(newest_text)
        return newest, table

    def write(self, table: dict[str, Any]) -> None:
        """Replace the older copy. Who reads meanwhile gets the newer one. The caller holds the lock."""
        self._write(self._read()[0] + 1, table)

    def create(self) -> None:
        for number in (0, 1):
            self._write(number, {})

    def _write(self, number: int, table: dict[str, Any]) -> None:
        text = json.dumps(table, separators=(",", ":")).encode()
        if len(text) > self.SIZE - self._HEAD.size:
            raise NoRoom(f"{self._file.path} has no room for more names")
        head = self._HEAD.pack(0, number, len(text))[4:]
        checksum = zlib.crc32(text, zlib.crc32(head))
        self._file.write(self._offset + (number & 1) * self.SIZE, struct.pack("<I", checksum) + head + text)
