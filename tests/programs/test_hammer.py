"""The hammer in its short form: the state keeps its promises, and the hammer notices where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import SOURCE
from support.states import memory_directory

from programs import hammer

pytestmark = pytest.mark.once

HAMMER = SOURCE / "tests/programs/hammer.py"


@pytest.mark.parametrize(("kind", "rounds"), [("totals", 8), ("freeze", 8), ("speed", 1)])
def test_the_state_keeps_its_promises(kind: str, rounds: int, tmp_path: Path) -> None:
    command = [sys.executable, str(HAMMER), kind, "--rounds", str(rounds), "--state", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert run.stdout.startswith(f"{kind}, ")
    assert os.listdir(tmp_path) == []


def test_a_power_failure_counts_nothing_too_little() -> None:
    with memory_directory() as directory:
        assert hammer.hammer_power(str(directory), 25).broken == []


def test_the_hammer_notices_what_the_disk_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordersigner.state.storage.File.sync", lambda file: None)
    with memory_directory() as directory:
        assert hammer.hammer_power(str(directory), 25).broken


LATE = """
from ordersigner.state.state_file import State
from programs import hammer
State.is_idle = lambda state, rules: True
print(len(hammer.hammer_freeze({directory!r}, 8).broken))
"""
LOST = """
from ordersigner.state import storage
from programs import hammer
storage.Lock.take = storage.Lock.give_back = lambda lock: None
print(len(hammer.hammer_totals({directory!r}, 8).broken))
"""


@pytest.mark.parametrize("fault", [LATE, LOST])
def test_the_hammer_notices_a_state_without_locks(fault: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(SOURCE / "tests")])}
    command = [sys.executable, "-c", fault.format(directory=str(tmp_path))]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(run.stdout) > 0
