"""The daemon as a user has it: a process of its own, with a socket of its own or one handed over."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="the daemon closes itself to its own user: only root can look at its descriptors and limits",
)

T = TypeVar("T")

SOURCE = Path(__file__).resolve().parents[2]
VECTORS = SOURCE / "tests/vectors"
# Goes before the command of a child: signals end it, even if this process inherited that they are ignored. Under nohup
# SIGHUP is ignored; in a background job of a script SIGINT and SIGQUIT are. A preexec_fn is not safe with threads.
DEFAULT_SIGNALS = ["env", "--default-signal=HUP,INT,PIPE,QUIT,TERM"]
TIME_LIMIT = 20.0  # seconds until a condition that does not come true fails a test


def vectors(name: str) -> Any:
    """The content of tests/vectors/NAME.json."""
    return json.loads((VECTORS / f"{name}.json").read_text())


EXAMPLE = vectors("example")
EXAMPLE_LINE = json.dumps(EXAMPLE["request"]).encode()
EXAMPLE_RESPONSE = json.dumps({"ok": True, "signature": EXAMPLE["expect"]["signature"]}).encode() + b"\r\n"
PING = b'{"type": "ping"}\n'


def wait_until(condition: Callable[[], Any], seconds: float = TIME_LIMIT) -> Any:
    """The first true value of `condition`; fails when it has none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def traced(function: Callable[[], T]) -> tuple[T, int]:
    """The result of `function`, and its work: the lines of Python that ran, with the calls and returns."""
    steps = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    gc.disable()  # a collection would run finalizers and callbacks, which are not the function's work
    sys.settrace(count)
    try:
        result = function()
    finally:
        sys.settrace(before)
        gc.enable()
    return result, steps


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIME_LIMIT)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def listens(path: str) -> bool:
    """Whether a daemon takes connections there. The socket's file is there a moment earlier."""
    try:
        connect(path).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side ends the stream, even where it does so because it had enough of us."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while True:
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
    return received


def exchange(connection: socket.socket, sent: bytes, *, half_close: bool = True) -> bytes:
    """Send everything, read everything, both at once, as `nc -N` does."""
    received = b""
    connection.setblocking(False)
    unsent = memoryview(sent)
    deadline = time.monotonic() + TIME_LIMIT
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0))
        if not unsent and half_close:
            connection.shutdown(socket.SHUT_WR)
        while True:
            assert time.monotonic() < deadline, f"no end of the conversation; so far {received[-300:]!r}"
            for _, events in selector.select(1):
                try:
                    if events & selectors.EVENT_WRITE:
                        unsent = unsent[connection.send(unsent) :]
                        if not unsent:
                            selector.modify(connection, selectors.EVENT_READ)
                            if half_close:
                                connection.shutdown(socket.SHUT_WR)
                    if events & selectors.EVENT_READ:
                        chunk = connection.recv(65536)
                        if not chunk:
                            return received
                        received += chunk
                except BlockingIOError:
                    pass
                except (BrokenPipeError, ConnectionResetError):
                    return received + read_all(connection)


class Daemon:
    """A running daemon. path: its socket; log: the file that its stderr goes to."""

    def __init__(self, process: subprocess.Popen[bytes], path: str, log: Path) -> None:
        self.process = process
        self.path = path
        self._log = log

    @property
    def pid(self) -> int:
        """The daemon's own process number, even while another process waits to become it."""
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> socket.socket:
        return connect(self.path)

    def ask(self, sent: bytes, *, half_close: bool = True) -> bytes:
        """The daemon's complete answer to `sent` on a new connection."""
        with self.connect() as connection:
            return exchange(connection, sent, half_close=half_close)

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(number)
        return self.process.wait(TIME_LIMIT)


@contextlib.contextmanager
def out_of_descriptors(pid: int) -> Iterator[None]:
    """Within this context, the process `pid` cannot open a descriptor. Needs root."""
    used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), limits[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@contextlib.contextmanager
def out_of_memory(pid: int, room: int) -> Iterator[None]:
    """Within this context, the process `pid` gets only `room` more bytes of memory. Needs root.

    With less than a thread's stack it can start no thread, once it has used the stacks of those that have ended. A
    limit on threads would not bind root.
    """
    size = int(Path(f"/proc/{pid}/status").read_text().split("VmData:")[1].split()[0]) * 1024
    limits = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (size + room, limits[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, limits)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ordersigner", *arguments]


@contextlib.contextmanager
def standalone(directory: Path, *arguments: str, path: str = "") -> Iterator[Daemon]:
    """A daemon that binds its socket itself."""
    path = path or str(directory / "socket")
    with running(command("--socket", path, *arguments), directory, path) as daemon:
        wait_until(lambda: daemon.process.poll() is not None or _answers(path))
        yield daemon


@contextlib.contextmanager
def activated(directory: Path, *arguments: str) -> Iterator[Daemon]:
    """A daemon that systemd's own tool will start, with the listening socket, at the first connection."""
    tool = shutil.which("systemd-socket-activate")
    assert tool, "systemd-socket-activate is missing: install systemd"
    path = str(directory / "socket")
    with running([tool, "-l", path, *command(*arguments)], directory, path) as daemon:
        wait_until(lambda: "Listening on" in daemon.log)
        yield daemon


@contextlib.contextmanager
def running(arguments: list[str], directory: Path, path: str) -> Iterator[Daemon]:
    """A daemon started by `arguments`, its stderr in a file in `directory`; stopped at the end if it still runs."""
    log = directory / "log"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open(log, "wb") as stderr, subprocess.Popen(
        [*DEFAULT_SIGNALS, *arguments], cwd=SOURCE, env=environment, stderr=stderr, stdout=stderr
    ) as process:
        try:
            yield Daemon(process, path, log)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(TIME_LIMIT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


def _answers(path: str) -> bool:
    try:
        with connect(path) as connection:
            return exchange(connection, PING) != b""
    except (FileNotFoundError, ConnectionRefusedError):
        return False
