"""Tries to break the state that processes share (hammer.py), where the daemon runs: in the sandbox of its service.

    python tests/programs/hammer_in_sandbox.py --minutes 60 --suite bookworm

Builds the package, boots the suite in a container (see system/machine.py), installs the package there, and has the
service run all of hammer.py instead of the daemon. --minutes is how long it may take.

Out: the figures. Raises AssertionError if a promise was broken.

Needs root.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from support.daemon import SOURCE
from system.conftest import SERVICE, drop_in
from system.machine import Machine

from programs.booted import run

PROGRAM = "/usr/local/lib/hammer.py"


def hammer(machine: Machine, seconds: float, *arguments: str) -> str:
    """The figures. machine: with the package installed. arguments: for hammer.py."""
    machine.write(PROGRAM, (SOURCE / "tests/programs/hammer.py").read_text())
    command = f"/usr/bin/python3 {PROGRAM} --state ${{STATE_DIRECTORY}} {' '.join(arguments)}"
    settings = ["Type=oneshot", "Restart=no", "WatchdogSec=0", f"TimeoutStartSec={seconds:.0f}", "ExecStart="]
    drop_in(machine, SERVICE, "\n".join(["[Service]", *settings, f"ExecStart={command}\n"]))
    before = machine.now()
    machine.run("systemctl", "start", SERVICE, check=False, timeout=seconds + 60)
    entries = machine.entries("SYSLOG_IDENTIFIER=python3", f"_SYSTEMD_UNIT={SERVICE}", since=before)
    figures = "\n".join(entry["MESSAGE"] for entry in entries)
    assert machine.property(SERVICE, "Result") == "success", figures
    return figures


if __name__ == "__main__":
    run(__doc__, hammer)
