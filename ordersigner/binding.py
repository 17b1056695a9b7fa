"""A listening socket of our own, for running without systemd.

In: a path and a mode. Out: a listening Unix stream socket there. Raises BindingError where something else stands in
its place; a socket that nobody listens on any more is cleared away.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import Iterator

BACKLOG = 1024  # connections that may wait to be accepted; the system's own limit, somaxconn, may be lower


class BindingError(Exception):
    """The path cannot be listened on."""


@contextlib.contextmanager
def bound(path: str, mode: int) -> Iterator[socket.socket]:
    """A socket listening at `path` with permissions `mode`, which removes the path at exit if it is still its own."""
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)  # so that no moment passes in which it is open to more
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise BindingError(f"cannot listen at {path}: {error}") from error
    finally:
        os.umask(umask)
    own = os.stat(path)
    listener.listen(BACKLOG)
    try:
        yield listener
    finally:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(own, os.lstat(path)):
                os.unlink(path)


def _clear(path: str) -> None:
    """Make way at `path`."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BindingError(f"cannot listen at {path}: {error}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise BindingError(f"cannot listen at {path}: there is something that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a daemon whose backlog is full is alive too
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
        except OSError as error:
            raise BindingError(f"cannot listen at {path}: {error}") from error
    raise BindingError(f"cannot listen at {path}: another process does")
