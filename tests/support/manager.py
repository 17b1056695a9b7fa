"""A service manager with a file-descriptor store, which does for a service what systemd does."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support.daemon import SOURCE, TIME_LIMIT, command, connect, wait_until

# Becomes the daemon, with the descriptors that come as the first argument moved to 3 and up.
LAUNCHER = """
import fcntl, os, sys
given = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 2000) for each in sys.argv[1].split(",")]
for number, each in enumerate(given):
    os.dup2(each, 3 + number)
os.closerange(3 + len(given), 4000)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """Runs one daemon at a time on the socket at `path`, its log in `log`.

    keeps: how many descriptors the store takes. answers: False if it receives messages and does nothing.
    environment: of the daemon, in addition to this process's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keeps: int = 512,
        answers: bool = True,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.path = str(directory / "socket")
        self.log = directory / "log"
        self.messages: list[str] = []
        self.store: list[tuple[str, int]] = []  # names and descriptors
        self.largest_batch = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._keeps = keeps
        self._answers = answers
        self._environment = environment
        self._unanswered: list[int] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(1024)
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify = str(directory / "notify")
        self._notifications.bind(self.notify)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def start(self, *arguments: str) -> None:
        """Returns when the daemon is ready."""
        ready = self.messages.count("READY=1")
        self.launch(*arguments)
        wait_until(lambda: self.messages.count("READY=1") > ready)

    def launch(self, *arguments: str) -> None:
        """As systemd does it: the socket comes first, and the content of the store stays there."""
        descriptors = [self._listener.fileno(), *(descriptor for _, descriptor in self.store)]
        names = ":".join(["ordersigner.socket", *(name for name, _ in self.store)])
        numbers = ",".join(map(str, descriptors))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, numbers, names, *command(*arguments)],
                cwd=SOURCE,
                env={**os.environ, "NOTIFY_SOCKET": self.notify, **self._environment},
                pass_fds=descriptors,
                stderr=log,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(TIME_LIMIT)

    def restart(self, *arguments: str) -> None:
        assert self.stop() == 0
        self.start(*arguments)

    def connect(self) -> socket.socket:
        return connect(self.path)

    def put(self, name: str, descriptor: int) -> None:
        """Have a descriptor in the store, as a process before would have left it there."""
        self.store.append((name, os.dup(descriptor)))

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"END", self.notify)
        self._reader.join()
        self._notifications.close()
        self._listener.close()
        for descriptor in [*(descriptor for _, descriptor in self.store), *self._unanswered]:
            os.close(descriptor)

    def _read(self) -> None:
        while True:
            message, ancillary, _, _ = self._notifications.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
            descriptors = array.array("i")
            for _, _, data in ancillary:
                descriptors.frombytes(data)
            lines = message.decode().splitlines()
            if lines == ["END"]:
                return
            if self._answers:
                self._act(lines, list(descriptors))
            else:
                self._unanswered += descriptors
            self.messages += lines

    def _act(self, lines: list[str], descriptors: list[int]) -> None:
        name = "".join(line[len("FDNAME=") :] for line in lines if line.startswith("FDNAME="))
        if "FDSTOREREMOVE=1" in lines:
            for each in [each for each in self.store if each[0] == name]:
                self.store.remove(each)
                os.close(each[1])
        if "FDSTORE=1" in lines:
            self.largest_batch = max(self.largest_batch, len(descriptors))
            room = self._keeps - len(self.store)
            self.store += [(name, descriptor) for descriptor in descriptors[:room]]
            descriptors = descriptors[room:]
        for descriptor in descriptors:
            os.close(descriptor)


@contextlib.contextmanager
def managed(directory: Path, *arguments: str, **settings: Any) -> Iterator[Manager]:
    """A daemon that is started by a manager with a store. settings: of the Manager."""
    manager = Manager(directory, **settings)
    try:
        manager.start(*arguments)
        yield manager
        assert "Traceback" not in manager.log.read_text()
    finally:
        manager.close()
