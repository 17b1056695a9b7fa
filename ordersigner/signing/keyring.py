"""The keys that the daemon holds, by address.

In: a directory of files, each with one key: one that the administrator made (--keys), or the credentials that systemd
opened for the service. Out: a Keyring. A file that holds no usable key is named in Keyring.refused with the reason, and
keeps no other key from working. Raises OSError if the directory cannot be read. Knows no clients and no rules.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Iterator, Mapping

from ordersigner.signing.keys import HeldKey

KEY_PREFIX = "key_"  # of a credential that is a key
REFUSED_PREFIX = "refused_"  # of a credential that says why a sealed key could not be opened
MAX_REASON = 200  # bytes of such a reason

_LABEL = re.compile(r"[A-Za-z0-9.-]+")


class Keyring:
    """Held keys by address, and by the names of the other files, why each holds no usable key."""

    def __init__(self, keys: Mapping[str, HeldKey] | None = None, refused: Mapping[str, str] | None = None) -> None:
        self.keys = dict(keys or {})
        self.refused = dict(refused or {})

    def get(self, address: str) -> HeldKey | None:
        """address: 0x and 40 lower-case hexadecimal digits."""
        return self.keys.get(address)

    def count(self, named: set[str]) -> tuple[int, int]:
        """How many keys there are, and how many there should be. named: the addresses that rules name.

        The address of a key that could not be opened is unknown. So it may be one of those that rules name.
        """
        return len(self.keys), len(self.keys) + max(len(self.refused), len(named - self.keys.keys()))

    def wipe(self) -> None:
        """Overwrite all keys."""
        for key in self.keys.values():
            key.wipe()


def from_directory(directory: str) -> Keyring:
    """The keys in an administrator's files, which only their owner may read. Hidden files are skipped."""
    return _load(directory, [(name, name) for name in _names(directory)], owner_only=True)


def from_credentials(directory: str) -> Keyring:
    """The keys in a service's credentials. systemd chose their owner and mode, which differ between its versions."""
    names = list(_names(directory))
    files = [(name[len(KEY_PREFIX) :], name) for name in names if name.startswith(KEY_PREFIX)]
    keyring = _load(directory, files, owner_only=False)
    for name in names:
        if name.startswith(REFUSED_PREFIX):
            with open(os.path.join(directory, name), "rb") as file:
                reason = file.read(MAX_REASON).decode(errors="replace").strip()
            keyring.refused[name[len(REFUSED_PREFIX) :]] = reason or "it could not be opened"
    return keyring


def _names(directory: str) -> Iterator[str]:
    return (name for name in sorted(os.listdir(directory)) if not name.startswith("."))


def _load(directory: str, files: list[tuple[str, str]], *, owner_only: bool) -> Keyring:
    """files: for each key its label and the name of its file."""
    keyring = Keyring()
    labels: dict[str, str] = {}  # by address
    for label, name in files:
        try:
            if not _LABEL.fullmatch(label):
                raise ValueError("its name must consist of letters, digits, dots and hyphens")
            key = _read(os.path.join(directory, name), owner_only=owner_only)
            if key.address in labels:
                key.wipe()
                raise ValueError(f"it holds the same key as {labels[key.address]}")
        except OSError as error:
            keyring.refused[label] = f"it cannot be read: {error.strerror}"
        except ValueError as error:
            keyring.refused[label] = str(error)
        else:
            labels[key.address] = label
            keyring.keys[key.address] = key
    return keyring


def _read(path: str, *, owner_only: bool) -> HeldKey:
    """Raises OSError, or ValueError with a reason that does not repeat anything from the file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # not to wait for the writer of a FIFO
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is not a regular file")
        if owner_only and state.st_mode & 0o077:
            raise ValueError(f"other users may read it: chmod 600 {path}")
        return HeldKey(descriptor)
    finally:
        os.close(descriptor)
