"""What systemd hands over to the daemon, and what the daemon tells systemd.

In: the environment that systemd set. Out: the listening socket, which systemd owns: it is never bound and its path
never removed here; the directory of the service's credentials; and messages to the service manager about state and
health. Raises ActivationError where the handover does not hold exactly one listening Unix stream socket. The only
reader of LISTEN_*, CREDENTIALS_DIRECTORY, NOTIFY_SOCKET and WATCHDOG_*. Source: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Callable, Iterator


class ActivationError(Exception):
    """What was handed over is not what the daemon needs."""


def is_handed_over() -> bool:
    """Whether descriptors were handed to this process; they may be an ancestor's, or there may be none."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def credentials() -> str | None:
    """The directory of the credentials that systemd opened for this service, if it has any."""
    return os.environ.get("CREDENTIALS_DIRECTORY")


def listener() -> socket.socket:
    """The one listening Unix stream socket among the descriptors that systemd hands over; raises ActivationError.

    Descriptors that do not listen are closed: a newer version may have left its clients' connections in systemd's
    file-descriptor store before a downgrade, and a connection that nobody serves would hang.
    """
    if "LISTEN_FDS" not in os.environ:
        raise ActivationError("no socket: start ordersigner.socket, or give --socket PATH")
    if not is_handed_over():
        raise ActivationError(f"LISTEN_PID is {os.environ.get('LISTEN_PID')!r}, not this process's {os.getpid()}")
    try:
        from systemd import daemon  # here, because a daemon with a socket of its own does not need libsystemd
    except ImportError as error:
        raise ActivationError("systemd handed a socket over, but the package systemd-python is missing") from error
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
    for descriptor in descriptors:
        if descriptor != listening[0]:
            os.close(descriptor)
    return socket.socket(fileno=listening[0])


class Notifier:
    """Tells the service manager about state and health, if there is one that wants to know (Type=notify, WatchdogSec=).

    status: returns the text that `systemctl status` shows.
    """

    STATUS_INTERVAL = 5.0  # seconds, at least, between two changes of the status

    def __init__(self, status: Callable[[], str]) -> None:
        self._status = status
        self._shown_status = ""
        self._enabled = "NOTIFY_SOCKET" in os.environ
        self._watchdog_interval = _watchdog_seconds() / 3
        self._next_watchdog = 0.0 if self._watchdog_interval < float("inf") else float("inf")
        self._next_status = 0.0

    def ready(self) -> None:
        """The daemon can serve clients."""
        self._shown_status = self._status()
        self._notify(f"READY=1\nSTATUS={self._shown_status}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """While the daemon changes its policy. Afterwards it is ready again, whether or not there is a new one."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.ready()

    def stopping(self) -> None:
        """The daemon is about to end."""
        self._notify("STOPPING=1")

    def heartbeat(self, *, alive: bool = True) -> None:
        """To be called at least every second.

        alive: whether work goes on. While it is False, the watchdog is told nothing, so systemd restarts the daemon.
        """
        if not self._enabled:
            return
        now = time.monotonic()
        if alive and now >= self._next_watchdog:
            self._next_watchdog = now + self._watchdog_interval
            self._notify("WATCHDOG=1")
        if now >= self._next_status:
            status = self._status()
            if status != self._shown_status:
                self._shown_status = status
                self._next_status = now + self.STATUS_INTERVAL
                self._notify(f"STATUS={status}")

    def _notify(self, state: str) -> None:
        if not self._enabled:
            return
        try:
            from systemd import daemon

            daemon.notify(state)
        except ImportError:
            self._enabled = False
        except OSError:
            pass  # nobody listens; if it matters, the watchdog acts


def _watchdog_seconds() -> float:
    """How long systemd waits for WATCHDOG=1; infinite without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else float("inf")
