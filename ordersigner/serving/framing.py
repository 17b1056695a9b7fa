"""Bytes from a stream to lines.

In: chunks of any size, as they arrive. Out: one line at a time, without its terminator (LF or CRLF); blank lines are
skipped. Holds what was fed and not yet taken, but no white space before a line. Raises LineTooLong and HttpRequest. No
I/O, no clocks.
"""

from __future__ import annotations

import re

MAX_LINE = 64 * 1024  # bytes, without the terminator; source: the wire protocol. Real orders take about 700.

TOO_LONG = f"A line has at most {MAX_LINE} bytes."  # for people

_WHITE = b" \t\r\n"
_FIRST_OF_LINE = re.compile(rb"[^ \t\r\n]")
_NOT_METHOD = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]").search
_TARGET = re.compile(rb"[/*]|[A-Za-z][A-Za-z0-9+.-]{0,20}://").match
_VERSION = re.compile(rb"(?:^|[ \t])HTTP/[0-9](?:\.[0-9])?$").search


class LineTooLong(Exception):
    """The next line is longer than MAX_LINE. Nothing after it can be read."""


class HttpRequest(Exception):
    """The stream begins with an HTTP request. Nothing after its first line may be taken for a line of the client's: a
    program of the client's user can be made to send a request whose body is another one's choice."""


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._indent = 0  # bytes of white space that the next line began with, already dropped
        self._searched = 0  # bytes of _data that hold no LF
        self._at_start = True  # until the first line

    @property
    def empty(self) -> bool:
        """Whether it holds no line and no beginning of one."""
        return not self._data

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the stream."""
        self._data += chunk

    def end(self) -> None:
        """Note that the stream ended: a last line counts without a terminator too."""
        self._data += b"\n"

    def next_line(self) -> bytes | None:
        """The next line that is not blank, without white space around it; None if no such line is complete."""
        data = self._data
        if data and data[0] in _WHITE:
            self._drop_white_space()
        end = data.find(b"\n", self._searched)
        size = len(data) if end < 0 else end  # of what has come of the line
        if data and self._indent + size > MAX_LINE:
            has_cr = data.endswith(b"\r", 0, size)  # it is part of the terminator, or may turn out to be
            if self._indent + size - has_cr > MAX_LINE:
                raise LineTooLong
        if end < 0:
            self._searched = len(data)
            return None
        line = bytes(data[:end].rstrip(_WHITE))
        del data[: end + 1]
        self._indent = self._searched = 0
        if self._at_start:
            self._at_start = False
            if _begins_http(line):
                raise HttpRequest
        return line

    def _drop_white_space(self) -> None:
        """Drop blank lines, however many, and the white space that the next line begins with, in three fast steps."""
        data = self._data
        first = _FIRST_OF_LINE.search(data)
        white = first.start() if first else len(data)
        line_start = data.rfind(b"\n", 0, white) + 1
        self._indent = white - line_start + (0 if line_start else self._indent)
        del data[:white]
        self._searched = 0


def _begins_http(line: bytes) -> bool:
    """Whether a line is a method, a blank, and then a target as most are, or anything with a version at the end.

    No JSON looks like this. Clients choose what is matched here, so no expression tries one way after another.
    """
    method, blank, rest = line.partition(b" ")
    return bool(blank) and not _NOT_METHOD(method) and bool(_TARGET(rest.lstrip(b" ")) or _VERSION(rest[-9:]))
