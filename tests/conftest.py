"""Fixtures for many tests: a daemon, and a check for what a test leaves behind."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.daemon import Daemon, standalone, wait_until
from support.files import Files
from support.promises import Promises
from support.states import Host

# The time of an example says more about the machine than about the code. Examples are new each time, even in CI.
settings.register_profile("noisy", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Promises())


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Fails a test that leaves a thread or a descriptor open in this process."""
    threads = set(threading.enumerate())
    descriptors = set(os.listdir("/proc/self/fd"))
    yield
    wait_until(lambda: set(threading.enumerate()) <= threads)
    wait_until(lambda: not set(os.listdir("/proc/self/fd")) - descriptors)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with default settings, shared by the tests of a module, that must end well."""
    with standalone(tmp_path_factory.mktemp("daemon")) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory whose path is short enough to hold sockets."""
    return tmp_path


@pytest.fixture
def files(directory: Path) -> Files:
    """Keys and a policy in the files of an administrator."""
    return Files(directory)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Things that a test opens, which are closed at its end."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with state on it, and clocks that stand still."""
    with contextlib.ExitStack() as stack:
        yield Host(tmp_path, stack)
