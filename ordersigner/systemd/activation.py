"""The descriptors and credentials that systemd passes to the daemon.

In: the environment that systemd set. Out: the listening socket, which systemd owns: it is never bound and its path
never removed here; the other descriptors, with their names; the directory of the service's credentials. Raises
ActivationError unless there is exactly one listening Unix stream socket among them. The only reader of LISTEN_* and
CREDENTIALS_DIRECTORY. Source: sd_listen_fds(3), systemd.exec(5).
"""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from ordersigner import extras


class ActivationError(Exception):
    """systemd did not pass the socket that the daemon needs."""


class HandedOver(NamedTuple):
    """The descriptors that systemd passed."""

    listener: socket.socket
    others: dict[int, str]  # to their names, which are empty where systemd gave none


def is_handed_over() -> bool:
    """Whether descriptors were handed to this process; they may be an ancestor's, or there may be none."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def credentials() -> str | None:
    """The directory of the credentials that systemd opened for this service, if it has any."""
    return os.environ.get("CREDENTIALS_DIRECTORY")


def handed_over() -> HandedOver:
    """The one listening Unix stream socket, and the other descriptors; raises ActivationError."""
    if "LISTEN_FDS" not in os.environ:
        raise ActivationError("no socket: start ordersigner.socket, or give --socket PATH")
    if not is_handed_over():
        raise ActivationError(f"LISTEN_PID is {os.environ.get('LISTEN_PID')!r}, not this process's {os.getpid()}")
    try:
        from systemd import daemon  # here, because a daemon with a socket of its own does not need libsystemd
    except ImportError as error:
        raise ActivationError(f"systemd handed a socket over, but {extras.to_install('daemon', error)}") from error
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    try:
        descriptors = daemon.listen_fds()
        listening = [each for each in descriptors if daemon.is_socket(each, socket.AF_UNSPEC, 0, 1)]
    except OSError as error:
        raise ActivationError(f"LISTEN_FDS is {os.environ['LISTEN_FDS']!r}: {error}") from error
    if len(listening) != 1 and len(descriptors) != 1:
        raise ActivationError(
            f"want one listening socket, got {len(descriptors)} descriptors, of which {len(listening)} listen"
        )
    if not (listening and daemon.is_socket_unix(listening[0], socket.SOCK_STREAM, 1)):
        raise ActivationError(f"descriptor {(listening or descriptors)[0]} is not a listening Unix stream socket")
    named = dict(zip(descriptors, names)) if len(names) == len(descriptors) else {}
    others = {each: named.get(each, "") for each in descriptors if each != listening[0]}
    return HandedOver(socket.socket(fileno=listening[0]), others)
