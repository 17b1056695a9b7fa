"""Messages to systemd, with real sockets on both sides."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordersigner.systemd.notify import Notifier


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, notifications: socket.socket) -> None:
        self._notifications = notifications

    def heard(self, kind: str = "") -> list[str]:
        """The messages since the last call, or those that start with `kind`."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self._notifications.recv(4096).decode())
        return [message for message in messages if message.startswith(kind)]


@pytest.fixture(params=["a path", "an abstract address"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "a path" else f"@ordersigner-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(name.replace("@", "\0"))
        notifications.setblocking(False)
        yield Manager(notifications)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the notifier sees, as the one element."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_it_is_ready_with_a_status(manager: Manager, stack: contextlib.ExitStack) -> None:
    stack.enter_context(contextlib.closing(Notifier(lambda: "0 signed"))).ready()
    assert manager.heard() == ["READY=1\nSTATUS=0 signed"]


def test_before_it_is_ready_it_tells_no_status(manager: Manager, stack: contextlib.ExitStack) -> None:
    """The thread that accepts connections may be faster than the one that says so."""
    notifier = stack.enter_context(contextlib.closing(Notifier(lambda: "0 signed")))
    notifier.heartbeat()
    assert manager.heard("STATUS") == []
    notifier.ready()
    assert manager.heard() == ["READY=1\nSTATUS=0 signed"]


def test_the_first_change_of_the_status_shows_at_once_and_later_ones_every_five_seconds(
    manager: Manager, clock: list[float], stack: contextlib.ExitStack
) -> None:
    status = "0 signed"
    notifier = stack.enter_context(contextlib.closing(Notifier(lambda: status)))
    notifier.ready()
    for _ in range(100):
        clock[0] += 0.05
        notifier.heartbeat()
    manager.heard()
    status = "1 signed"
    clock[0] += 0.05
    notifier.heartbeat()
    assert manager.heard("STATUS") == ["STATUS=1 signed"]
    status = "2 signed"
    clock[0] += 4.9
    notifier.heartbeat()
    assert manager.heard("STATUS") == []
    status = "3 signed"
    clock[0] += 0.2
    notifier.heartbeat()
    assert manager.heard("STATUS") == ["STATUS=3 signed"]


def test_a_watchdog_is_fed_three_times_in_its_interval(
    manager: Manager, clock: list[float], stack: contextlib.ExitStack
) -> None:
    notifier = stack.enter_context(contextlib.closing(Notifier(lambda: "")))
    heard = 0
    for _ in range(60):
        clock[0] += 0.5
        notifier.heartbeat()
        heard += manager.heard().count("WATCHDOG=1")
    assert heard == 3


def test_a_watchdog_is_not_fed_while_work_stands_still_but_the_status_is_told(
    manager: Manager, clock: list[float], stack: contextlib.ExitStack
) -> None:
    status = "0 signed"
    notifier = stack.enter_context(contextlib.closing(Notifier(lambda: status)))
    notifier.ready()
    manager.heard()
    status = "1 signed"
    for _ in range(100):
        clock[0] += 1
        notifier.heartbeat(alive=False)
    assert manager.heard() == ["STATUS=1 signed"]
    notifier.heartbeat(alive=True)
    assert manager.heard() == ["WATCHDOG=1"]


def test_without_a_watchdog_none_is_fed(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", "1")
    notifier = stack.enter_context(contextlib.closing(Notifier(lambda: "")))
    notifier.heartbeat()
    notifier.stopping()
    assert manager.heard() == ["STOPPING=1"]


def test_a_manager_that_is_gone_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    stack.enter_context(contextlib.closing(Notifier(lambda: ""))).ready()


def test_without_a_manager_the_status_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = stack.enter_context(contextlib.closing(Notifier(lambda: pytest.fail("asked for"))))
    notifier.heartbeat()
