"""A second process on the same socket: as closed as the first, and what it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from daemon import SOURCE, wait_until

from system.conftest import (
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    UPGRADED,
    Packages,
    ask,
    clients_at_work,
    drop_in,
    install,
    is_installed,
)
from system.machine import TIMEOUT, Machine

INSTANCE = "ordersigner@2.service"
PROCESSES = (SERVICE, INSTANCE)


@pytest.fixture
def scaled(installed: Machine) -> Iterator[Machine]:
    """The machine with two processes."""
    installed.run("systemctl", "enable", "--now", INSTANCE)
    wait_until(lambda: are_running(installed), TIMEOUT)
    yield installed
    installed.run("rm", "-rf", "/run/systemd/system/ordersigner@.service.d")
    installed.run("systemctl", "daemon-reload")
    if is_installed(installed):
        installed.run("systemctl", "disable", "--now", INSTANCE)


def are_running(machine: Machine) -> bool:
    return all(machine.property(unit, "ActiveState") == "active" for unit in PROCESSES)


def process_numbers(machine: Machine) -> list[str]:
    return [machine.property(unit, "MainPID") for unit in PROCESSES]


def signed(machine: Machine, unit: str) -> int:
    """How many signatures a process has made, by its status line."""
    return int(machine.property(unit, "StatusText").split()[0] or 0)


def test_the_manuals_lines_work(installed: Machine) -> None:
    """Run as they stand, but for those that open an editor."""
    section = (SOURCE / "docs/operate.rst").read_text().split(".. _more-cores:\n", 1)[1].split("\nThe journal\n", 1)[0]
    commands = [line for line in re.findall(r"^    (.+)$", section, re.MULTILINE) if " edit " not in line]
    assert (commands[0], commands[-1]) == (
        f"systemctl enable --now {INSTANCE}",
        f"systemctl disable --now {INSTANCE}",
    )
    for command in commands:
        installed.run("sh", "-c", command)
    assert ask(installed, REQUEST) == RESPONSE


def test_an_instance_brings_the_first_process_with_it(scaled: Machine) -> None:
    assert len({*process_numbers(scaled), "0"}) == 3
    assert len({scaled.property(unit, "UID") for unit in PROCESSES}) == 2


def test_verify_finds_nothing_to_say(scaled: Machine) -> None:
    assert scaled.run("systemd-analyze", "verify", INSTANCE) == ""


def test_an_instance_has_all_settings_of_the_first_process(scaled: Machine) -> None:
    """But for those that its own file and its name make differ, and for what is no setting."""
    own = {"After", "Before", "DropInPaths", "FragmentPath", "Id", "Names", "NonBlocking", "Requires", "Slice"}
    own |= {"TriggeredBy", "UnitFileState", "WantedBy", "Wants"}
    own |= {"ExecStart", "ExecStartEx", "Group", "User"}  # of which the first two have the process number
    state = re.compile(
        "Bytes|CPUUsage|ControlGroup|Current|GID|InvocationID|Operations|PID|Peak|StatusText|Timestamp|UID"
    )

    def settings(unit: str) -> dict[str, str]:
        lines = [line.partition("=") for line in scaled.run("systemctl", "show", unit).splitlines()]
        return {name: value for name, _, value in lines if name not in own and not state.search(name)}

    first, second = map(settings, PROCESSES)
    assert first == second
    assert first["ProtectSystem"] == "strict"


def test_clients_are_divided_between_the_processes(scaled: Machine) -> None:
    with clients_at_work(scaled):
        wait_until(lambda: all(signed(scaled, unit) > 10 for unit in PROCESSES), TIMEOUT)


def test_a_rolling_restart_loses_no_request(scaled: Machine) -> None:
    before = process_numbers(scaled)
    with clients_at_work(scaled):
        for _ in range(3):
            for unit in PROCESSES:
                scaled.run("systemctl", "restart", unit)
    assert not set(before) & set(process_numbers(scaled))


@pytest.mark.parametrize(("ended", "left"), [PROCESSES, PROCESSES[::-1]])
def test_what_one_process_suffers_the_other_makes_up_for(scaled: Machine, ended: str, left: str) -> None:
    survivor = scaled.property(left, "MainPID")
    scaled.run("systemctl", "stop", ended)
    for _ in range(20):
        assert ask(scaled, REQUEST) == RESPONSE
    assert scaled.property(left, "MainPID") == survivor
    scaled.run("systemctl", "start", ended)
    scaled.run("systemctl", "kill", "--signal=KILL", ended)
    assert ask(scaled, REQUEST) == RESPONSE
    wait_until(lambda: scaled.property(ended, "NRestarts") == "1" and are_running(scaled), TIMEOUT)
    assert scaled.property(left, "MainPID") == survivor


def test_when_all_processes_are_stopped_the_next_client_starts_one(scaled: Machine) -> None:
    scaled.run("systemctl", "stop", *PROCESSES)
    assert ask(scaled, REQUEST) == RESPONSE
    assert scaled.property(SERVICE, "ActiveState") == "active"


def test_settings_for_all_instances_have_a_place(scaled: Machine) -> None:
    drop_in(
        scaled, "ordersigner@.service", "[Service]\nExecStart=\nExecStart=/usr/sbin/ordersignerd --log-level notice\n"
    )
    scaled.run("systemctl", "restart", INSTANCE)
    assert "--log-level notice" in scaled.property(INSTANCE, "ExecStart")
    assert scaled.property(INSTANCE, "ExecStart").count("argv[]") == 1
    assert ask(scaled, REQUEST) == RESPONSE


def test_both_processes_are_there_after_a_reboot(scaled: Machine) -> None:
    scaled.reboot()
    wait_until(lambda: are_running(scaled), TIMEOUT)
    assert ask(scaled, REQUEST) == RESPONSE


def test_stopping_the_socket_stops_all(scaled: Machine) -> None:
    scaled.run("systemctl", "stop", "ordersigner.socket")
    assert [scaled.property(unit, "ActiveState") for unit in PROCESSES] == ["inactive", "inactive"]
    assert not scaled.succeeds("test", "-e", SOCKET)
    scaled.run("systemctl", "start", "ordersigner.socket")


def test_an_upgrade_restarts_both_and_loses_no_request(scaled: Machine, packages: Packages) -> None:
    before = process_numbers(scaled)
    try:
        with clients_at_work(scaled):
            install(scaled, packages.newer)
        assert not {*before, "0"} & set(process_numbers(scaled))
        for _ in range(20):
            assert ask(scaled, {"type": "ping"}) == {"ok": True, "version": UPGRADED}
    finally:
        install(scaled, packages.built)


def test_removal_stops_instances_and_purge_forgets_them(scaled: Machine, packages: Packages) -> None:
    before = process_numbers(scaled)
    scaled.run("apt-get", "remove", "--yes", "ordersigner")
    assert not any(scaled.succeeds("test", "-e", f"/proc/{number}") for number in before)

    install(scaled, packages.built)
    assert scaled.property(INSTANCE, "UnitFileState") == "enabled"
    assert ask(scaled, REQUEST) == RESPONSE

    scaled.run("apt-get", "purge", "--yes", "ordersigner")
    assert scaled.run("find", "/etc", "-name", "ordersigner*") == ""
    assert scaled.run("systemctl", "--failed", "--no-legend") == ""
    install(scaled, packages.built)
