"""A socket of the daemon's own: the lock on its directory. test_daemon.py tests the rest, with whole daemons."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordersigner.daemon.own_socket import BindingError, bound


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    """The descriptor with which another user's process holds a lock on the directory; a test may close it."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    yield descriptor
    with contextlib.suppress(OSError):
        os.close(descriptor)


def test_a_directory_that_stays_locked_is_an_error_that_says_what_to_do(
    lock: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordersigner.daemon.own_socket.LOCK_TIME", 0.1)
    path = str(tmp_path / "socket")
    with pytest.raises(BindingError) as caught, bound(path, 0o600):
        pass
    assert str(caught.value) == (
        f"cannot listen at {path}: another process keeps {tmp_path} locked; `lsof {tmp_path}` as root shows it; "
        "end it, or choose a directory that other users cannot open"
    )
    assert not os.path.exists(path)


def test_a_lock_that_is_released_in_time_is_waited_for(
    lock: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        os.close(lock)

    monkeypatch.setattr(time, "sleep", release)
    path = str(tmp_path / "socket")
    with bound(path, 0o600) as listener:
        assert listener.getsockname() == path
    listener.close()
    assert len(waited) == 1


def test_the_lock_is_released_once_the_socket_listens(tmp_path: Path) -> None:
    with bound(str(tmp_path / "first"), 0o600) as first, bound(str(tmp_path / "second"), 0o600) as second:
        first.close()
        second.close()
