"""The service's sandbox: it does not hinder the daemon, and blocks everything else."""

from __future__ import annotations

import json
import re

import pytest
from support.daemon import SOURCE, vectors, wait_until

from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, SOCKET, STATE, ask, drop_in
from system.machine import TIMEOUT, Machine

UNIT = f"_SYSTEMD_UNIT={SERVICE}"
MOST_EXPOSED = 0.4


def published_orders() -> list[tuple[dict[str, object], object]]:
    """Published requests of both types, with their responses."""
    return [(vector["request"], {"ok": True, **vector["expect"]}) for vector in vectors("published-orders")]


@pytest.mark.parametrize("unit", [SERVICE, "ordersigner@2.service"])
def test_systemd_calls_it_safe(installed: Machine, unit: str) -> None:
    report = installed.run("systemd-analyze", "security", "--no-pager", unit)
    exposure = re.search(rf"Overall exposure level for {unit}: ([0-9.]+)", report)
    assert exposure is not None, report
    assert float(exposure[1]) <= MOST_EXPOSED, report


def test_all_published_orders_are_signed_after_a_fresh_boot_and_nothing_is_denied(installed: Machine) -> None:
    installed.reboot()
    orders = published_orders()
    assert {request["type"] for request, _ in orders} == {"spot", "futures"}
    lines = "".join(json.dumps(request) + "\n" for request, _ in orders)
    output = installed.run("nc", "-N", "-U", SOCKET, user=MEMBER, input=lines)
    assert [json.loads(line) for line in output.splitlines()] == [response for _, response in orders]

    wait_until(
        lambda: len(installed.entries("ORDERSIGNER_SIDE=buy", "ORDERSIGNER_SIDE=sell", UNIT)) == len(orders),
        TIMEOUT,
    )
    installed.run("systemctl", "stop", SERVICE)
    assert installed.property(SERVICE, "Result") == "success"
    entries = installed.entries(UNIT, "+", f"UNIT={SERVICE}", "+", "_TRANSPORT=audit", "+", "_TRANSPORT=kernel")
    denials = re.compile("denied|not permitted|seccomp|failed", re.IGNORECASE)
    messages = [entry["MESSAGE"] for entry in entries if "pids.max for control group" not in entry["MESSAGE"]]
    assert [message for message in messages if denials.search(message)] == []
    assert [
        entry["MESSAGE"]
        for entry in entries
        if UNIT.endswith(entry.get("_SYSTEMD_UNIT", "?")) and entry["PRIORITY"] < "6"
    ] == []


def test_no_system_call_that_it_makes_is_filtered(installed: Machine) -> None:
    """Here a filtered call would kill the daemon, so the error that the unit asks for hides nothing."""
    drop_in(installed, SERVICE, "[Service]\nSystemCallErrorNumber=kill\n")
    assert ask(installed, REQUEST) == RESPONSE
    installed.run("systemctl", "stop", SERVICE)
    assert installed.property(SERVICE, "Result") == "success"
    assert installed.property(SERVICE, "NRestarts") == "0"


def test_a_program_in_the_daemons_place_can_do_nothing_harmful(installed: Machine) -> None:
    """probe.py tries what it can reach. The directory of its state is as systemd 252 leaves it."""
    installed.run("rm", "-rf", STATE)
    installed.run("install", "--directory", "--mode=0700", "--owner=61200", "--group=61200", STATE)
    installed.write("/usr/local/lib/probe.py", (SOURCE / "tests/system/probe.py").read_text())
    drop_in(
        installed,
        SERVICE,
        "[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/probe.py\n",
    )
    before = installed.now()
    installed.run("systemctl", "start", SERVICE)
    wait_until(lambda: installed.entries("SYSLOG_IDENTIFIER=python3", UNIT, since=before), TIMEOUT)
    messages = [entry["MESSAGE"] for entry in installed.entries("SYSLOG_IDENTIFIER=python3", UNIT, since=before)]
    assert len(messages) == 1, messages
    found = json.loads(messages[0])
    assert found == {
        "uid is root's": False,
        "groups": sorted(
            int(installed.run("getent", "group", f"ordersigner-{name}").split(":")[2]) for name in ("policy", "journal")
        ),
        "capabilities": ["0" * 16] * 5,
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "core": [0, 0],
        "writable": [STATE],
        "sockets": [
            path
            for path in found["sockets"]
            if path == "/run/systemd/notify" or path.startswith(("/run/systemd/journal/", "/run/systemd/journal."))
        ],
        "IPv4": "OSError",
        "netlink": "OSError",
        "interfaces": ["lo"],
        "program": "PermissionError",
        "executable memory": "PermissionError",
        "executable file": "PermissionError",
        "executable file in memory": "PermissionError",
        "other processes": [],
        "homes": ["PermissionError", "PermissionError"],
    }
