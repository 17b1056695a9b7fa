"""Sockets and descriptors from systemd, with real sockets on both sides."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import PING, SOURCE, TIME_LIMIT, command, connect, exchange

import ordersigner


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
    # 40, because libraries may have opened some of them.
    script = f'LISTEN_PID=$$ LISTEN_FDS=40 exec "$@" 3<&{listener.fileno()} 4<&-'
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
    assert ended.stderr.startswith("ordersignerd: LISTEN_FDS is '40': ")


def test_each_variable_of_systemds_has_one_reader() -> None:
    package = Path(ordersigner.__file__).parent
    modules = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    readers = {
        variable: [name for name, text in modules.items() if f'"{variable}"' in text]
        for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    }
    assert {name for names in readers.values() for name in names} == {"systemd/activation.py", "systemd/notify.py"}
    assert all(len(names) == 1 for names in readers.values())
