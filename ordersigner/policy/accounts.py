"""The users and groups that a policy names, and their numbers.

In: the system's two files. Out: Accounts. Raises OSError if a file is there and cannot be read.

The kernel knows numbers. When a user is deleted, the next user that is made may get the same number. So the names of a
policy are looked up again whenever these files may have changed, which state() finds out with two calls. Only these
files are read. So a name means the same to the daemon in its sandbox, to a daemon that is run by hand, and to
`ordersignerd --check`, and no cache, such as that of nscd(8), can still have a deleted user.
"""

from __future__ import annotations

import os
from typing import Mapping, NamedTuple, Optional, Tuple

FILES = ("/etc/passwd", "/etc/group")  # programs replace them, or write into them

State = Tuple[Optional[Tuple[int, ...]], ...]


class Named(NamedTuple):
    """A user or a group, as the policy names it, and its number; None if there is nobody of this name."""

    name: str
    number: int | None

    def __str__(self) -> str:
        if self.number is None:
            return f"{self.name} (nobody)"
        return self.name if self.name == str(self.number) else f"{self.name} ({self.number})"

    def looked_up(self, numbers: Mapping[str, int]) -> Named:
        """The same name with its number from `numbers`. A name that is a number keeps it."""
        return self if self.name == str(self.number) else Named(self.name, numbers.get(self.name))


class Accounts(NamedTuple):
    """users, groups: numbers by name. state: that of the files."""

    users: Mapping[str, int]
    groups: Mapping[str, int]
    state: State


def state() -> State:
    """The state of the files: it differs from an earlier one if one of them has changed in between."""
    return tuple(_state_at(path) for path in FILES)


def read() -> Accounts:
    """The accounts in the files now. A file that does not exist names nobody."""
    (users, passwd), (groups, group) = (_read(path) for path in FILES)
    return Accounts(users, groups, (passwd, group))


def _state_at(path: str) -> tuple[int, ...] | None:
    try:
        return _state_of(os.stat(path))
    except FileNotFoundError:
        return None


def _state_of(file: os.stat_result) -> tuple[int, ...]:
    """The time of the last change cannot be set, as that of the last modification can."""
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


def _read(path: str) -> tuple[dict[str, int], tuple[int, ...] | None]:
    """The numbers by name in a file, and its state before it was read. The first line of a name counts.

    A number counts only with the colon after it: of a file that is being written, it may be the first digits.
    """
    numbers: dict[str, int] = {}
    try:
        # Lines end with LF only: users may put other characters into the fields about themselves.
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            before = _state_of(os.fstat(file.fileno()))
            for line in file:
                parts = line.split(":")
                if len(parts) > 3 and parts[2].isascii() and parts[2].isdecimal():
                    numbers.setdefault(parts[0], int(parts[2]))
    except FileNotFoundError:
        return {}, None
    return numbers, before
