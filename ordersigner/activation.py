"""What systemd hands over and wants to hear.

In: the environment that systemd set. Out: the listening socket it owns, never bound and never unlinked here; and
notifications of state and signs of life. The only reader of LISTEN_*, NOTIFY_SOCKET and WATCHDOG_*.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Callable


class ActivationError(Exception):
    """What was handed over is not what we need."""


def is_handed_over() -> bool:
    """Whether descriptors were handed to this process, rather than to an ancestor, or to none."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def listener() -> socket.socket:
    """The one socket that systemd listens on for us: Unix, stream, listening; raises ActivationError."""
    if "LISTEN_FDS" not in os.environ:
        raise ActivationError("no socket: start ordersigner.socket, or give --socket PATH")
    if not is_handed_over():
        raise ActivationError(f"LISTEN_PID is {os.environ.get('LISTEN_PID')!r}, not this process's {os.getpid()}")
    try:
        from systemd import daemon  # here, because nothing else needs libsystemd
    except ImportError as error:
        raise ActivationError("systemd handed a socket over, but the package systemd-python is missing") from error
    try:
        descriptors = daemon.listen_fds()
    except OSError as error:
        raise ActivationError(f"LISTEN_FDS is {os.environ['LISTEN_FDS']!r}: {error}") from error
    if len(descriptors) != 1:
        raise ActivationError(f"want one listening socket, got {len(descriptors)} descriptors")
    try:
        fits = daemon.is_socket_unix(descriptors[0], socket.SOCK_STREAM, 1)
    except OSError as error:
        raise ActivationError(f"descriptor {descriptors[0]}: {error}") from error
    if not fits:
        raise ActivationError(f"descriptor {descriptors[0]} is not a listening Unix stream socket")
    return socket.socket(fileno=descriptors[0])


class Notifier:
    """Tells the service manager of our state, if there is one that listens (Type=notify, WatchdogSec=)."""

    STATUS_INTERVAL = 5.0  # seconds between two status lines

    def __init__(self, status: Callable[[], str]) -> None:
        self._status = status
        self._last_status = ""
        self._enabled = "NOTIFY_SOCKET" in os.environ
        self._watchdog_interval = _watchdog_seconds() / 3
        self._next_status = self._next_watchdog = 0.0

    def ready(self) -> None:
        self._notify("READY=1")

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def heartbeat(self, *, alive: bool = True) -> None:
        """To be called often, from the loop whose life it proves."""
        if not self._enabled:
            return
        now = time.monotonic()
        if alive and now >= self._next_watchdog:
            self._next_watchdog = now + self._watchdog_interval
            self._notify("WATCHDOG=1")
        if now >= self._next_status:
            self._next_status = now + self.STATUS_INTERVAL
            status = self._status()
            if status != self._last_status:
                self._last_status = status
                self._notify(f"STATUS={status}")

    def _notify(self, state: str) -> None:
        if not self._enabled:
            return
        from systemd import daemon

        try:
            daemon.notify(state)
        except OSError:
            pass  # nobody listens; if it matters, the watchdog will say so


def _watchdog_seconds() -> float:
    """The time within which systemd wants a sign of life; infinite if it wants none."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else float("inf")
