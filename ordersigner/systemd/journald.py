"""Sends an entry to journald, or as a line to stderr, each within a time limit.

In: an entry, as "FIELD=value" strings of which MESSAGE is the first, and whether to wait if it cannot be sent at once.
Raises OSError if the entry was not accepted: BlockingIOError if WAIT_SECONDS were not enough. An entry for journald
does not go to stderr instead, which may be /dev/null in a unit. The only reader of JOURNAL_STREAM, SYSTEMD_EXEC_PID,
INVOCATION_ID and ORDERSIGNER_JOURNAL_NAMESPACE.

Not by sd_journal_sendv(): that waits without limit for a journald that hangs, and signing would wait with it. Source:
systemd's native journal protocol.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
from time import monotonic
from typing import Callable, Sequence

from ordersigner.systemd import activation
from ordersigner.text import in_quotes, printable

SOCKET = "/run/systemd/journal{}/socket"  # with a dot and the name of the namespace, if there is one
STDERR = 2  # the descriptor
WAIT_SECONDS = 5.0  # less than work.STALLED and than a stop may take

Send = Callable[[Sequence[str], bool], None]


def sender() -> Send:
    """Where entries go: to journald if systemd runs this process or stderr leads there, else to stderr.

    To be called before sockets are opened.
    """
    return Journald(SOCKET.format("")) if is_used() else write_to_stderr


def is_used() -> bool:
    """Whether entries go to journald."""
    return _stderr_is_journal() or is_in_unit()


def namespace() -> str:
    """The journal namespace that the unit names for entries about held keys; empty if it names none."""
    return os.environ.get("ORDERSIGNER_JOURNAL_NAMESPACE", "")


def sender_to_namespace() -> Send | None:
    """The sender for entries about held keys, if they go to another journal than the rest."""
    return Journald(SOCKET.format("." + namespace())) if namespace() else None


def is_in_unit() -> bool:
    """Whether systemd started this very process for a unit, rather than an ancestor that passed its environment on."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()) or (
        activation.is_handed_over() and "INVOCATION_ID" in os.environ  # systemd before 248
    )


class Journald:
    """Sends entries to the socket of a journald."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __call__(self, entry: Sequence[str], wait: bool) -> None:
        message = encoded(entry)
        try:
            self._send(message, wait)
        except BlockingIOError:
            raise
        except OSError:  # it is not connected yet, or journald has a new socket
            self._socket.connect(self._path)
            self._send(message, wait)

    def close(self) -> None:
        self._socket.close()

    def _send(self, message: bytes, wait: bool) -> None:
        deadline = monotonic() + WAIT_SECONDS
        while True:
            try:
                self._socket.send(message, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                # Other processes send too, so there may be room and then none again.
                if not (wait and _is_writable(self._socket.fileno(), deadline - monotonic())):
                    raise


def write_to_stderr(entry: Sequence[str], wait: bool) -> None:
    """Write the entry as_line(). Not by sys.stderr: a write that hangs would keep its lock, which the exit needs."""
    text = f"ordersigner: {as_line(entry)}\n".encode(errors="backslashreplace")
    while text:
        if not _is_writable(STDERR, WAIT_SECONDS if wait else 0.0):
            raise BlockingIOError("nobody reads standard error")
        text = text[os.write(STDERR, text[: select.PIPE_BUF]) :]


_FOR_JOURNALD = ("PRIORITY=", "SYSLOG_IDENTIFIER=", "MESSAGE_ID=")
_MARKS = re.compile('[ "=\n]').search
_EQUALS = "\\u003d"


def as_line(entry: Sequence[str]) -> str:
    """The text of the entry, then its fields as NAME=VALUE. Fields for journald alone, which come first, are left out.

    A value with a blank, a quotation mark or an equals sign is a JSON string. In such a string, and in the text, an
    equals sign is \\u003d. So nothing else in the line reads like a field.
    """
    text = entry[0][len("MESSAGE=") :]
    first = 1
    while first < len(entry) and entry[first].startswith(_FOR_JOURNALD):
        first += 1
    fields = entry[first:]
    if not fields:
        return text
    together = "".join(fields)
    if together.count("=") != len(fields) or '"' in together or "\\" in together or "\n" in together:
        fields = [_as_words(field) for field in fields]
    elif " " in together:  # the same, without the work for what is not there
        fields = [field.replace("=", '="') + '"' if " " in field else field for field in fields]
    return " ".join([text.replace("=", _EQUALS), *fields])


def _as_words(field: str) -> str:
    name, _, value = field.partition("=")
    return f"{name}={in_quotes(printable(value)).replace('=', _EQUALS)}" if _MARKS(value) else field


def encoded(entry: Sequence[str]) -> bytes:
    """The entry as journald reads it. A value with a line feed is given with its length, or it could add fields."""
    lines = "\n".join(entry)
    if lines.count("\n") == len(entry) - 1:
        return (lines + "\n").encode(errors="backslashreplace")
    parts = []
    for field in entry:
        name, value = (part.encode(errors="backslashreplace") for part in field.split("=", 1))
        parts += [name, b"\n", struct.pack("<Q", len(value)), value, b"\n"]
    return b"".join(parts)


def _stderr_is_journal() -> bool:
    try:
        stderr = os.fstat(STDERR)
    except OSError:  # it is closed; the next descriptor to be opened, perhaps a client's, would get the text
        null = os.open(os.devnull, os.O_WRONLY)
        if null != STDERR:
            os.dup2(null, STDERR)
            os.close(null)
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _is_writable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(seconds, 0.0) * 1000))
