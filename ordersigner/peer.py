"""Who is at the other end of a connection.

In: a connected Unix stream socket. Out: the process, user and groups that connected, as the kernel knew them then; and
the user that the connection counts for.
"""

from __future__ import annotations

import functools
import os
import pwd
import socket
import struct
from typing import Iterator, NamedTuple

_SO_PEERGROUPS = 59  # source: asm-generic/socket.h, since Linux 4.13; Python has no name for it
_MAX_OPTION = 1024  # bytes, the most that Python reads of a socket option: 256 groups
SUBORDINATE_UIDS = "/etc/subuid"  # see subuid(5)
_NO_GROUP = 2**32 - 1  # chown(2) takes it for "leave the group as it is", so no group has this number
_READ, _SEARCH = 0o4, 0o1  # of a mode; its owner's bits are 6 to the left, and its group's 3
LOWEST_SUBORDINATE_UID = 65536  # below, Debian's policy has users, system users and those of services


class Peer(NamedTuple):
    """A client's process when it connected. Since then it may have ended, and another process may have its number."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()  # supplementary groups

    def __str__(self) -> str:
        return f"uid {self.uid}, gid {self.gid}, pid {self.pid}"

    def may_read(self, path: str) -> bool:
        """Whether the modes of a file, and of the directories on the way to it, let this process read it.

        Raises OSError if there is no such file.
        """
        os.stat(path)
        *directories, file = _way_to(path)
        return self._may(_READ, file) and all(self._may(_SEARCH, directory) for directory in directories)

    def _may(self, what: int, path: str) -> bool:
        """what: a bit of the mode."""
        state = os.stat(path)
        if self.uid == state.st_uid:
            return bool(state.st_mode & what << 6)
        if state.st_gid in (self.gid, *self.groups):
            return bool(state.st_mode & what << 3)
        return bool(state.st_mode & what)

    @property
    def fields(self) -> tuple[str, str, str]:
        """The journal's fields."""
        return (
            f"ORDERSIGNER_PEER_UID={self.uid}",
            f"ORDERSIGNER_PEER_GID={self.gid}",
            f"ORDERSIGNER_PEER_PID={self.pid}",
        )


def of_user(user: str | int) -> Peer:
    """A client that this user would be after a login, with the user's groups. Raises KeyError for an unknown name. A
    number that belongs to no user has no groups.
    """
    try:
        account = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        if isinstance(user, str):
            raise
        return Peer(0, user, _NO_GROUP)
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    return Peer(0, account.pw_uid, account.pw_gid, tuple(groups))


def of_this_process() -> Peer:
    """This process as a client: what the kernel would say if it connected."""
    return Peer(os.getpid(), os.geteuid(), os.getegid(), tuple(os.getgroups()))


def peer_of(connection: socket.socket) -> Peer:
    """The client of `connection`, from the socket itself: /proc may be hidden, and process numbers are used again."""
    pid, uid, gid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_OPTION)
    except OSError:  # more than 256 groups
        groups = b""
    return Peer(pid, uid, gid, struct.unpack(f"{len(groups) // 4}I", groups))


def _way_to(path: str) -> Iterator[str]:
    """The directories that the kernel searches for an existing file, those of symbolic links included, and the file."""
    at = "/"
    names = os.path.join(os.getcwd(), path).split("/")[::-1]
    while names:
        name = names.pop()
        if not name:
            continue
        yield at
        place = os.path.join(at, name)
        if os.path.islink(place):
            target = os.readlink(place)
            names += target.split("/")[::-1]
            at = "/" if target.startswith("/") else at
        else:
            at = place
    yield at


def user_behind(uid: int, subordinate_uids: str = SUBORDINATE_UIDS) -> int:
    """The user that a connection of `uid` counts for: `uid` itself, or the user who has it as a subordinate uid. With
    newuidmap(1), any user can connect with 65,536 of those.
    """
    if uid < LOWEST_SUBORDINATE_UID:
        return uid
    try:
        changed = os.stat(subordinate_uids).st_mtime_ns
        return _owner(uid, subordinate_uids, changed)
    except OSError:
        return uid


@functools.lru_cache(maxsize=1024)
def _owner(uid: int, path: str, changed: int) -> int:
    """The user to whom a subordinate uid is assigned, or `uid` itself.

    Only names whose block has the uid are looked up: there may be a block for each of many users, and to look one up
    takes the longer, the more users there are. changed: the file's modification time, a part of the key.
    """
    for owner, first, count in _subordinate_blocks(path, changed):
        if 0 <= uid - first < count:
            try:
                return int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
            except KeyError:  # the user is gone
                continue
    return uid


@functools.lru_cache(maxsize=1)
def _subordinate_blocks(path: str, changed: int) -> list[tuple[str, int, int]]:
    """Owner, first uid and number of uids of each block."""
    blocks = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                owner, first, count = line.strip().split(":")
                blocks.append((owner, int(first), int(count)))
            except ValueError:  # a comment
                continue
    return blocks
