"""The input of `ordersigner sign` and `ordersigner compare`, and how much of it is done.

In: the names of files, "-" for standard input. Out: their lines, each with its place for messages, and a progress bar
on a terminal. Lines are passed on unchanged, except for a byte order mark at the start: the daemon checks them. Raises
OSError, with the file's name, for text in UTF-16 too; and Error.
"""

from __future__ import annotations

import collections
import errno
import json
import os
import select
import shlex
import stat
import sys
import time
from typing import Iterator, NamedTuple, Sequence

from ordersigner.client import Error
from ordersigner.commands.terminal import STDIN, errors_name, name_of, opened
from ordersigner.text import UTF_16, is_utf_16, without_mark

CHUNK = 64 * 1024  # bytes read at once
MAX_LINE = 64 * 1024 + 2  # bytes, with CR LF; the daemon refuses longer lines, so no more of them is kept


class Origin(NamedTuple):
    """The place of a line, and its size in bytes."""

    file: str
    number: int
    size: int


class Source:
    """The lines of files, "-" for standard input. Opens one file at a time.

    size: bytes of all files; 0 if unknown.
    unanswered: the places of the lines without a response, in the order of the lines.

    Raises OSError, with the file's name, for a file that is not there or may not be read; Error for one that begins
    with a request that has several lines. Only the first line is looked at: later ones may follow from a program.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        states = [_readable(file) for file in files]  # all of them, before anything is signed
        self.size = sum(state.st_size for state in states) if all(stat.S_ISREG(s.st_mode) for s in states) else 0
        self.unanswered: collections.deque[Origin] = collections.deque()

    def lines(self) -> Iterator[bytes | None]:
        """The lines that are not blank, each with its LF; None before a line that has not arrived yet."""
        for file in self._files:
            number = 0
            first = True
            for line in _lines(file):
                if line is None:
                    yield None
                    sys.stdout.flush()  # all responses are here; a program may wait for them before its next line
                    continue
                number += 1
                content = line if number > 1 else _first(line, file)
                if content.strip():
                    if first and _goes_on(content):
                        yield None  # the lines before this one get their responses first
                        place = "" if file == STDIN else f" {shlex.quote(file)}"
                        raise Error(
                            f"{name_of(file)}, line {number}: this request has several lines, and must have one:"
                            f" jq -c .{place} | ordersigner sign"
                        )
                    first = False
                    self.unanswered.append(Origin(name_of(file), number, len(line) + 1))
                    yield content + b"\n"


def _first(line: bytes, file: str) -> bytes:
    """The first line of a file, which a person may have written."""
    if is_utf_16(line):
        raise OSError(errno.EILSEQ, UTF_16, name_of(file))
    return without_mark(line)


def _goes_on(line: bytes) -> bool:
    """Whether a line begins an object, or an array, that it does not end."""
    try:
        text = line.decode("utf-8-sig").strip()
        json.loads(text)
    except json.JSONDecodeError as error:
        return text[:1] in ("{", "[") and error.pos == len(text)
    except (ValueError, RecursionError):  # it is not UTF-8, or has a number of very many digits
        return False
    return False


def _readable(file: str) -> os.stat_result:
    """The state of a file, if it can be read. Does not open it: with a FIFO that would wait, and disturb the writer."""
    if file == STDIN:
        with errors_name(STDIN), opened(STDIN) as descriptor:
            return os.fstat(descriptor)
    try:
        state = os.stat(file)
    except OSError:
        if file.lstrip().startswith(("{", "[")):  # not repeated: it may hold a key
            raise Error("this is a request, not the name of a FILE: write it to standard input, or to a file") from None
        raise
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    if not os.access(file, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file)
    return state


def _lines(file: str) -> Iterator[bytes | None]:
    """The lines of a file, without their LF; None before a line that has not arrived yet."""
    with opened(file) as descriptor:
        poll = select.poll()  # select() does not take descriptors from 1024 on
        poll.register(descriptor, select.POLLIN)
        unfinished = b""
        while True:
            if not poll.poll(0):
                yield None
            with errors_name(file):
                chunk = os.read(descriptor, CHUNK)
            if not chunk:
                break
            lines = (unfinished + chunk).split(b"\n")
            unfinished = lines.pop()[:MAX_LINE]
            yield from lines
        if unfinished:
            yield unfinished


class Progress:
    """A progress bar on a terminal, for inputs that take a while."""

    WIDTH = 40  # characters
    APPEARS_AFTER = 0.5  # seconds
    INTERVAL = 0.1  # seconds between updates

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._total = total  # bytes, 0 if unknown
        self._bytes = self._lines = 0
        self._start = time.monotonic()
        self._next_update = self._start + self.APPEARS_AFTER if enabled else float("inf")
        self._shown = False

    def advance(self, size: int) -> None:
        """Another line, of `size` bytes, is done."""
        self._bytes += size
        self._lines += 1
        now = time.monotonic()
        if now >= self._next_update:
            self._next_update = now + self.INTERVAL
            self._shown = True
            text = f"{self._lines:,} lines, {self._lines / (now - self._start):,.0f} a second"
            if self._total:
                part = min(self._bytes / self._total, 1)
                text = f"[{'#' * int(part * self.WIDTH):{self.WIDTH}}] {part:4.0%}  {text}"
            sys.stderr.write(f"\r{text}\x1b[K")  # erases the rest of the line
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for a message, or for what the terminal shows next."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
