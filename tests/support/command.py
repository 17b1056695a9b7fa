"""The command ordersigner, as a program runs it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from support.daemon import SOURCE, TIME_LIMIT


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ordersigner.commands", *map(str, arguments)]


def environment(path: str) -> dict[str, str]:
    return dict(os.environ, ORDERSIGNER_SOCKET=path, PYTHONPATH=str(SOURCE))


def in_shell(script: str, path: str, *arguments: str | Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command. The shell that becomes it runs `script` first."""
    ended = subprocess.run(
        ["bash", "-c", f'{script}\nexec "$@"', "bash", *command(*arguments)],
        env=environment(path),
        input=stdin,
        capture_output=True,
        timeout=TIME_LIMIT * 3,
        check=False,
    )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def run(path: str, *arguments: str | Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    return in_shell("", path, *arguments, stdin=stdin)


def shown_on(terminal: int) -> str:
    """What a terminal gets until its other side is closed."""
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while True:
            seen += os.read(terminal, 4096)
    os.close(terminal)
    return seen.decode()
