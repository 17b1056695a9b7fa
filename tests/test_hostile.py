"""A polite client beside a crowd of each hostile kind. `python tests/hostile.py` says how fast."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon import EXAMPLE_LINE, EXAMPLE_RESPONSE, Daemon, standalone, wait_until
from hostile import KINDS, crowded, resident

ORDER = EXAMPLE_LINE + b"\n"
MOST_MEMORY = 200  # MB, whatever 512 connections do


@pytest.mark.parametrize("kind", KINDS)
def test_a_polite_client_is_answered_beside_a_crowd(daemon: Daemon, kind: str) -> None:
    with crowded(daemon.path, KINDS[kind], 150):
        wait_until(lambda: daemon.threads() > 100 or KINDS[kind].reconnects)
        for _ in range(5):
            assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
    wait_until(lambda: daemon.threads() == 3)  # the main one, the accepting one, the worker
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("kind", ["orders, never read", "a long key, never read", "a long line, never ended"])
def test_all_connections_together_stay_below_the_bound_of_memory(tmp_path: Path, kind: str) -> None:
    with standalone(tmp_path, "--max-connections-per-user", "512", "--log-level", "warning") as daemon:
        with crowded(daemon.path, KINDS[kind], 510):
            wait_until(lambda: daemon.threads() > 510)
            before = 0.0
            while before < resident(daemon.pid):  # until it takes no more
                before = resident(daemon.pid)
                for _ in range(5):
                    assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
        assert resident(daemon.pid) < MOST_MEMORY
        assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
