"""Who is at the other end of a connection.

In: a connected Unix stream socket. Out: the process, user and group that connected, as the kernel knew them then.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple


class Peer(NamedTuple):
    """A client's process when it connected. It may have ended since, and its number may be another process's by now."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"uid {self.uid}, gid {self.gid}, pid {self.pid}"

    @property
    def fields(self) -> tuple[str, str, str]:
        """The journal's fields."""
        return (
            f"ORDERSIGNER_PEER_UID={self.uid}",
            f"ORDERSIGNER_PEER_GID={self.gid}",
            f"ORDERSIGNER_PEER_PID={self.pid}",
        )


def peer_of(connection: socket.socket) -> Peer:
    """The client of `connection`, from the socket itself: /proc may be hidden, and process numbers are used again."""
    return Peer(*struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
