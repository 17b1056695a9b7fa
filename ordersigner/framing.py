"""Bytes from a stream to lines.

In: chunks of any size, as they arrive. Out: complete lines without their terminator (LF or CRLF), blank ones left out.
Holds at most one unfinished line, never more than MAX_LINE + 1 bytes of it. No I/O, no clocks.
"""

from __future__ import annotations

MAX_LINE = 64 * 1024  # bytes, without the terminator; source: the wire protocol. Real orders take about 700.


class LineTooLong(Exception):
    """A line is longer than MAX_LINE. lines: the complete lines before it, which still want their answers."""

    def __init__(self, lines: list[bytes]) -> None:
        super().__init__(f"line longer than {MAX_LINE} bytes")
        self.lines = lines


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._unfinished = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether a line was begun and not ended. White space may yet become a blank line, which is none."""
        return bool(self._unfinished) and not self._unfinished.isspace()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes; raises LineTooLong."""
        lines = chunk.split(b"\n")
        last = lines.pop()
        if lines and self._unfinished:
            lines[0] = bytes(self._unfinished + lines[0])
            self._unfinished.clear()
        for number, line in enumerate(lines):
            if _is_too_long(line):
                raise LineTooLong(_stripped(lines[:number]))
        self._unfinished += last
        if _is_too_long(self._unfinished):
            raise LineTooLong(_stripped(lines))
        return _stripped(lines)

    def end(self) -> list[bytes]:
        """The last line, if the stream ended without terminating it."""
        lines = _stripped([bytes(self._unfinished)])
        self._unfinished.clear()
        return lines


def _is_too_long(line: bytes | bytearray) -> bool:
    # One CR past the limit is no part of the line, or may yet turn out to be none.
    return len(line) > MAX_LINE and len(line) - line.endswith(b"\r") > MAX_LINE


def _stripped(lines: list[bytes]) -> list[bytes]:
    """`lines` without the white space around them, and without those that are nothing else."""
    return [text for line in lines if (text := line.strip(b" \t\r"))]
