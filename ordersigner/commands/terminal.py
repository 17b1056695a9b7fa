"""What the commands of this package share: how they read, report and end.

In: the name of a command, and the work that it does. Out: messages of one line on stderr, without control characters,
and an exit status. An output that cannot be written is reported like any other failure.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Callable, Iterator

from ordersigner.text import masked, printable

STDIN = "-"  # as the name of a file


def run(program: str, work: Callable[[], int], *, expected: type[Exception], failed: int) -> int:
    """The exit status that `work` returns, or `failed` after a report.

    expected: the errors whose text is a message for the user. An OSError is one too, and names its file. Without a
    standard output the work is not done; without a standard error there are no messages.
    """
    if sys.stderr is None:  # as Python has it if it was closed at the start; print() would take stdout in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        report(program, f"standard output: {os.strerror(errno.EBADF)}")
        return failed
    try:
        status = work()
        sys.stdout.flush()
    except expected as error:
        report(program, str(error))
        status = failed
    except OSError as error:
        file = "standard output" if error.filename is None else masked(str(error.filename))
        report(program, f"{file}: {error.strerror}")
        status = failed
    try:
        sys.stdout.flush()
    except OSError:  # reported above; this keeps Python from trying once more, and reporting it, at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = failed
    return status


def report(program: str, message: str) -> None:
    print(f"{program}: {printable(message)}", file=sys.stderr, flush=True)  # Python 3.8 buffers stderr


def name_of(file: str) -> str:
    """How a message names a file."""
    return "standard input" if file == STDIN else file


@contextlib.contextmanager
def opened(file: str) -> Iterator[int]:
    """The descriptor of a file that is open for reading."""
    if file == STDIN:
        if sys.stdin is None:  # it was closed at the start; a library may have opened a file with its number
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield 0
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def errors_name(file: str) -> Iterator[None]:
    """Adds the name of a file to an OSError that has none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, name_of(file)) from None
