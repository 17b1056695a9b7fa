"""Messages to systemd: the daemon's state and health, and the descriptors that systemd should keep.

In: a function that returns the status line, and calls at each change of state. Out: messages to the service manager;
one that cannot be sent is no error. The only reader of NOTIFY_SOCKET and WATCHDOG_*. Source: sd_notify(3),
sd_pid_notify_with_fds(3).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from array import array
from typing import Callable, Iterator, Sequence


class Notifier:
    """Tells the service manager about state and health, if there is one that wants to know (Type=notify, WatchdogSec=).

    status: returns the text that `systemctl status` shows.
    """

    STATUS_INTERVAL = 5.0  # seconds, at least, between two changes of the status

    def __init__(self, status: Callable[[], str]) -> None:
        self._status = status
        self._shown_status = ""
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Made once: if the daemon runs out of descriptors, systemd must still hear that it is alive.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        self._watchdog_interval = _watchdog_seconds() / 3
        self._next_watchdog = 0.0 if self._watchdog_interval < float("inf") else float("inf")
        self._next_status = float("inf")  # until it is ready

    def ready(self) -> None:
        """The daemon can serve clients."""
        self._shown_status = self._status()
        self._next_status = 0.0
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

    def store(self, descriptors: Sequence[int], name: str) -> None:
        """Have the manager keep copies of descriptors for the next process of this service. It may decline."""
        self._notify(f"FDSTORE=1\nFDNAME={name}", descriptors)

    def forget(self, name: str) -> None:
        """Have the manager close the copies that it keeps under a name."""
        self._notify(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def wait_until_heard(self, seconds: float) -> bool:
        """Wait until the manager has handled all messages so far; False if it has not in time.

        It is sent one end of a pipe, and closes it when it reaches this message: see sd_notify_barrier(3).
        """
        try:
            reader, writer = os.pipe()
        except OSError:  # no descriptor is left
            return False
        sent = self._notify("BARRIER=1", [writer])
        os.close(writer)
        heard = sent and has_ended(reader, seconds)
        os.close(reader)
        return heard

    def heartbeat(self, *, alive: bool = True) -> None:
        """To be called at least every second.

        alive: whether work goes on. While it is False, the watchdog is told nothing, so systemd restarts the daemon.
        """
        if self._socket is None:
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

    def close(self) -> None:
        """Say nothing from here on."""
        if self._socket is not None:
            self._socket.close()

    def _notify(self, state: str, descriptors: Sequence[int] = ()) -> bool:
        """Whether the message was sent."""
        if self._socket is None:
            return False
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        try:
            self._socket.sendmsg([state.encode()], rights, 0, self._address)
        except OSError:  # the manager does not listen; if that matters, the watchdog acts
            return False
        return True


def has_ended(pipe: int, seconds: float = 0.0) -> bool:
    """Whether no process has the other end of a pipe open any more, now or within that time."""
    end = select.poll()
    end.register(pipe, 0)
    return bool(end.poll(max(seconds, 0.0) * 1000))


def _watchdog_seconds() -> float:
    """How long systemd waits for WATCHDOG=1; infinite without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else float("inf")
