"""Ordinary clients next to a crowd of each hostile kind. `python tests/programs/hostile.py` says how fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import EXAMPLE_RESPONSE, Daemon, exchange, wait_until

from programs.hostile import COW_ORDER, KINDS, ORDER, attacked, crowded, resident

pytestmark = pytest.mark.once

CROWD = 50  # clients; with 250 the first lines of some kinds would take seconds
MOST_MEMORY = 200  # MB, whatever 512 connections do


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with attacked(tmp_path_factory.mktemp("daemon")) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def cow_response(daemon: Daemon) -> bytes:
    response = daemon.ask(COW_ORDER)
    assert response.startswith(b'{"ok": true, "signature": ')
    return response


@pytest.mark.parametrize("kind", KINDS)
def test_another_client_is_answered_next_to_a_crowd(daemon: Daemon, cow_response: bytes, kind: str) -> None:
    with crowded(daemon.path, KINDS[kind], CROWD):
        wait_until(lambda: daemon.threads() > CROWD // 2 or KINDS[kind].reconnects)
        with daemon.connect() as client:
            for _ in range(3):
                client.sendall(ORDER)
                assert client.recv(1000) == EXAMPLE_RESPONSE
            assert exchange(client, COW_ORDER) == cow_response
    wait_until(lambda: daemon.threads() == 3)  # the main one, the accepting one, the worker
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("kind", ["orders, never read", "a long key, never read", "a long line, never ended"])
def test_all_connections_together_stay_below_the_bound_of_memory(tmp_path: Path, kind: str) -> None:
    with attacked(tmp_path) as daemon:
        # One client asks all the time: a connection that is closed may still count for a moment, and only two are free.
        with crowded(daemon.path, KINDS[kind], 510), daemon.connect() as client:
            wait_until(lambda: daemon.threads() > 510)
            before = 0.0
            while before < resident(daemon.pid):  # until it takes no more
                before = resident(daemon.pid)
                for _ in range(5):
                    client.sendall(ORDER)
                    assert client.recv(1000) == EXAMPLE_RESPONSE
        assert resident(daemon.pid) < MOST_MEMORY
        assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
