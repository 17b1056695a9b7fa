"""What systemd hands over, and what it is told; with real sockets on both sides."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PING, SOURCE, TIME_LIMIT, command, connect, exchange

import ordersigner
from ordersigner.systemd.activation import Notifier


@contextlib.contextmanager
def handed_over(*descriptors: int) -> Iterator[subprocess.Popen[str]]:
    """A daemon started with `descriptors` as 3 and up, as systemd starts it."""
    # Via numbers above 50, so that no descriptor is overwritten before it is moved.
    moves = [f"{50 + number}<&{each} {each}<&-" for number, each in enumerate(descriptors)]
    moves += [f"{3 + number}<&{50 + number} {50 + number}<&-" for number in range(len(descriptors))]
    script = f'LISTEN_PID=$$ LISTEN_FDS={len(descriptors)} exec "$@" {" ".join(moves)}'
    arguments = ["bash", "-c", script, "bash", *command()]
    with subprocess.Popen(
        arguments, cwd=SOURCE, pass_fds=descriptors, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=TIME_LIMIT)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listening(stack: contextlib.ExitStack, path: Path) -> socket.socket:
    listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.mark.parametrize("first", ["the listener", "the others"])
def test_descriptors_that_do_not_listen_are_closed(first: str, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    listener = listening(stack, tmp_path / "socket")
    client, stored = map(stack.enter_context, socket.socketpair())
    pipe = os.pipe()
    stack.callback(os.close, pipe[0])
    others = [stored.fileno(), pipe[1]]
    order = [listener.fileno(), *others] if first == "the listener" else [*others, listener.fileno()]
    with handed_over(*order):
        stored.close()
        os.close(pipe[1])
        with connect(str(tmp_path / "socket")) as connection:
            assert exchange(connection, PING).startswith(b'{"ok": true')
        # The client of the stored connection, and the reader of the pipe, see the end: no other copy is left.
        client.settimeout(TIME_LIMIT)
        assert client.recv(1) == b""
        assert os.read(pipe[0], 1) == b""


@pytest.mark.parametrize("second", ["Unix", "internet"])
def test_two_listening_sockets_are_refused(second: str, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    first = listening(stack, tmp_path / "socket")
    if second == "Unix":
        other = listening(stack, tmp_path / "other")
    else:
        other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        other.bind(("127.0.0.1", 0))
        other.listen()
    with handed_over(first.fileno(), other.fileno()) as process:
        _, said = process.communicate(timeout=TIME_LIMIT)
        assert process.returncode == 1
        assert said == "ordersignerd: want one listening socket, got 2 descriptors, of which 2 listen\n"


def test_more_descriptors_than_there_are_is_refused(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    listener = listening(stack, tmp_path / "socket")
    script = f'LISTEN_PID=$$ LISTEN_FDS=2 exec "$@" 3<&{listener.fileno()} 4<&-'
    ended = subprocess.run(
        ["bash", "-c", script, "bash", *command()],
        cwd=SOURCE,
        pass_fds=[listener.fileno()],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("ordersignerd: LISTEN_FDS is '2': ")


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


def test_only_this_module_reads_what_systemd_sets() -> None:
    package = Path(ordersigner.__file__).parent
    readers = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if any(name in path.read_text() for name in ("LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"))
    ]
    assert readers == ["systemd/activation.py"]
