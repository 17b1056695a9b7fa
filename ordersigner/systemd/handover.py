"""Connections from one process of the service to the next, by way of the service manager's file-descriptor store.

In and out: connections on which everything that was read has been answered. The process that stops gives them, once no
thread reads from them any more; the next one takes them when it starts. Data that clients send in the meantime waits in
the kernel. The socket itself says which process and user is at its other end (peer.py). Nothing else is handed on.

Nothing is in the store while the daemon serves. So all connections end after a crash. Otherwise a client whose request
was read and not answered would wait forever.

Knows no lines. Source: systemd's FileDescriptorStoreMax= and sd_pid_notify_with_fds(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from time import monotonic
from typing import Sequence

from ordersigner.systemd.notify import Notifier, has_ended

NAME = "client"  # of each descriptor in the store
BATCH = 64  # descriptors on their way at once; the kernel counts those of all processes of a user against LimitNOFILE=
PATIENCE = 3.0  # seconds for the manager, which needs milliseconds unless it is busy with something else


def is_possible(notifier: Notifier) -> bool:
    """Whether the manager keeps descriptors for this service. It does not say, so it is given one end of a pipe."""
    try:
        reader, writer = os.pipe()
    except OSError:  # no descriptor is left: connections end once all that came is answered
        return False
    notifier.store([writer], NAME)
    os.close(writer)
    kept = notifier.wait_until_heard(PATIENCE) and not has_ended(reader)
    notifier.forget(NAME)
    os.close(reader)
    return kept


def give(connections: Sequence[socket.socket], notifier: Notifier) -> None:
    """Leave connections to the next process. Those that the manager does not accept in time end."""
    deadline = monotonic() + PATIENCE
    for start in range(0, len(connections), BATCH):
        notifier.store([each.fileno() for each in connections[start : start + BATCH]], NAME)
        # The manager may ignore messages of a process that has ended.
        if not notifier.wait_until_heard(deadline - monotonic()):
            break
    for connection in connections:
        connection.close()  # and no shutdown(), which the client would see


def take(descriptors: dict[int, str], notifier: Notifier) -> list[socket.socket]:
    """The connections among descriptors, which are given with their names; all others are closed."""
    connections = []
    for descriptor, name in descriptors.items():
        connection = _connection(descriptor) if name == NAME else None
        if connection is None:
            os.close(descriptor)
        else:
            connections.append(connection)
    for name in set(descriptors.values()):
        notifier.forget(name)  # while the manager has copies, closing a connection here would not end it
    if descriptors:
        notifier.wait_until_heard(PATIENCE)
    return connections


def _connection(descriptor: int) -> socket.socket | None:
    """The descriptor as a socket, if it is a connected Unix stream socket."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return None
    connection = socket.socket(fileno=descriptor)
    if (connection.family, connection.type) == (socket.AF_UNIX, socket.SOCK_STREAM):
        with contextlib.suppress(OSError):
            connection.getpeername()
            return connection
    connection.detach()
    return None
