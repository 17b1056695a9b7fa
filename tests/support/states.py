"""A host with state on it: a directory, clocks that stand still, boots, and other processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ordersigner.state.state_file import State
from support.daemon import SOURCE

SECOND = 1_000_000_000  # nanoseconds


@contextlib.contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory that waits for no disk, where there is one."""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as directory:
        yield Path(directory)


class Host:
    """A directory with state, and the clocks of the host that it is on."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.file = directory / "state"
        self.wall_clock = 1_796_000_000.0  # seconds since 1970
        self.uptime = 1000.0  # seconds
        self.boot = "1"
        self._stack = stack

    def open(self) -> State:
        """As a process of the daemon does. It is closed at the end of the test, if it was not before."""
        state = State(
            str(self.directory),
            self.boot,
            wall_clock=lambda: int(self.wall_clock * SECOND),
            uptime=lambda: int(self.uptime * SECOND),
        )
        self._stack.callback(state.close)
        return state

    def wait(self, seconds: float) -> None:
        self.wall_clock += seconds
        self.uptime += seconds

    def reboot(self, *, seconds: float = 20.0) -> None:
        self.wall_clock += seconds
        self.uptime = 5.0
        self.boot += "1"

    def process(self, code: str) -> subprocess.Popen[str]:
        """Another process, in which `state` is open, with the clocks of the real machine."""
        opening = f"state = State({str(self.directory)!r}, 'real')"
        program = f"import os, signal, time\nfrom ordersigner.state.state_file import State\n{opening}\n{code}"
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=SOURCE
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process
