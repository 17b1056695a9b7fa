"""A listening socket of our own, for running without systemd.

In: a path and a mode. Out: a listening Unix stream socket there. Raises BindingError where something else stands in
its place; a socket that nobody listens on any more is cleared away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from typing import Iterator

BACKLOG = 1024  # connections that may wait to be accepted; the system's own limit, somaxconn, may be lower


class BindingError(Exception):
    """The path cannot be listened on."""


@contextlib.contextmanager
def bound(path: str, mode: int) -> Iterator[socket.socket]:
    """A socket listening at `path` with permissions `mode`. The exit removes the path, if it is still the socket's own,
    but does not close the socket: who has connected may yet be accepted."""
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
    """Make way at `path`, listen there, return what is there now."""
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # or each of two that start at once may take the other's for stale
        _clear(path)
        umask = os.umask(0o777 & ~mode)  # so that no moment passes in which it is open to more
        try:
            listener.bind(path)
        finally:
            os.umask(umask)
        listener.listen(BACKLOG)
        return os.stat(path)
    finally:
        os.close(directory)


def _clear(path: str) -> None:
    """Remove a socket that nobody listens on; raises OSError if anything else is at `path`."""
    if not path:
        raise OSError("there is none")  # the kernel would choose a name of its own
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError("there is something that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a daemon whose backlog is full is alive too
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError("another process does")
