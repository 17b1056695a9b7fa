"""The daemon's own listening socket, for running without systemd.

In: a path and a mode. Out: a listening Unix stream socket there. Raises BindingError if the path is not free, or if
its directory stays locked; a socket that nobody listens on any more is removed first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import time
from typing import Iterator

BACKLOG = 1024  # connections that may wait to be accepted; the system's own limit, somaxconn, may be lower
LOCK_TIME = 2.0  # seconds to wait for other daemons that start in the same directory; they take milliseconds
LOCK_RETRY = 0.02  # seconds between two attempts


class BindingError(Exception):
    """The path cannot be listened on."""


@contextlib.contextmanager
def bound(path: str, mode: int) -> Iterator[socket.socket]:
    """A socket listening at `path` with permissions `mode`.

    The exit removes the path, if it is still this socket's, but does not close the socket: clients that have connected
    can still be accepted.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        own = _listen(listener, path, mode)
    except OSError as error:
        listener.close()
        raise BindingError(f"cannot listen at {path or 'an empty path'}: {error.strerror or error}") from error
    try:
        yield listener
    finally:
        with contextlib.suppress(OSError):  # the path may be gone, or no longer ours to remove
            if os.path.samestat(own, os.lstat(path)):
                os.unlink(path)


def _listen(listener: socket.socket, path: str, mode: int) -> os.stat_result:
    """Make `path` free, listen there, return what is there now."""
    directory = os.path.dirname(path) or "."
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Without a lock, each of two daemons that start at once may take the other's socket for one without a listener.
        _lock(descriptor, directory)
        _clear(path)
        umask = os.umask(0o777 & ~mode)  # so that the socket does not have wider permissions even for a moment
        try:
            listener.bind(path)
        finally:
            os.umask(umask)
        listener.listen(BACKLOG)
        return os.stat(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: str) -> None:
    """Lock the directory; raises OSError if another process keeps its lock: any process that can open it can do so."""
    deadline = time.monotonic() + LOCK_TIME
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise OSError(
                    f"another process keeps {directory} locked; `lsof {directory}` as root shows it; "
                    "end it, or choose a directory that other users cannot open"
                ) from None
        time.sleep(LOCK_RETRY)


def _clear(path: str) -> None:
    """Remove a socket that nobody listens on; raises OSError if `path` is empty or anything else is there."""
    if not path:
        raise OSError("a path is needed")  # the kernel would choose a name itself
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError("a file that is not a socket is there: remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # so that a live daemon with a full backlog does not make it wait
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError("another process does")
