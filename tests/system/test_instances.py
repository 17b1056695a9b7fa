"""Instances of ordersigner@.service: more processes on the same socket."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from support.daemon import SOURCE, wait_until

from system.conftest import (
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    UPGRADED,
    Packages,
    ask,
    clients_at_work,
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
    if is_installed(installed):
        installed.run("systemctl", "disable", "--now", INSTANCE)


def are_running(machine: Machine) -> bool:
    return all(machine.property(unit, "ActiveState") == "active" for unit in PROCESSES)


def process_numbers(machine: Machine) -> list[str]:
    return [machine.property(unit, "MainPID") for unit in PROCESSES]


def signed(machine: Machine, unit: str) -> int:
    """The number of signatures in the status line of a process."""
    return int(machine.property(unit, "StatusText").split()[0] or 0)


def test_the_manuals_lines_work(installed: Machine) -> None:
    """All lines of the section."""
    manual = (SOURCE / "docs/run/operate.rst").read_text()
    section = manual.split(".. _more-cores:\n", 1)[1].split("\n.. _journal:\n", 1)[0]
    commands = re.findall(r"^    (?:# )?(systemctl .+)$", section, re.MULTILINE)
    assert (commands[0], commands[-1]) == (
        f"systemctl enable --now {INSTANCE}",
        f"systemctl disable --now {INSTANCE}",
    )
    for command in commands:
        installed.run("sh", "-c", command)
    assert ask(installed, REQUEST) == RESPONSE


def test_an_instance_starts_the_first_process(scaled: Machine) -> None:
    assert len({*process_numbers(scaled), "0"}) == 3


def test_verify_reports_nothing(scaled: Machine) -> None:
    assert scaled.run("systemd-analyze", "verify", INSTANCE) == ""


@pytest.mark.parametrize(
    "name", ["2", "futures", "eth.futures", r"two\x20words", "a-name-longer-than-any-user-name-may-be"]
)
def test_an_instance_may_have_any_name(installed: Machine, name: str) -> None:
    unit = f"ordersigner@{name}.service"
    installed.run("systemctl", "start", unit)
    assert installed.property(unit, "ActiveState") == "active"
    assert installed.property(unit, "Description") == f"Order Signing Daemon, instance {name}"
    installed.run("systemctl", "stop", unit)


def test_the_processes_share_a_user_that_cannot_read_their_memory(scaled: Machine) -> None:
    (uid,) = {scaled.property(unit, "UID") for unit in PROCESSES}
    same_user = ["setpriv", f"--reuid={uid}", "--clear-groups", "cat"]
    assert "PATH=" in scaled.run(*same_user, "/proc/self/environ")
    for number in process_numbers(scaled):
        assert scaled.run(*same_user, f"/proc/{number}/environ", check=False).endswith("Permission denied")


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
def test_one_process_serves_while_the_other_is_gone(scaled: Machine, ended: str, left: str) -> None:
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


@pytest.mark.parametrize("ended", PROCESSES)
def test_a_process_that_ends_cleanly_by_itself_is_started_again(scaled: Machine, ended: str) -> None:
    scaled.run("systemctl", "kill", "--signal=TERM", ended)
    wait_until(lambda: scaled.property(ended, "NRestarts") == "1" and are_running(scaled), TIMEOUT)
    assert scaled.property(ended, "Result") == "success"


def test_an_instance_that_was_stopped_with_the_socket_comes_back_with_the_first_client(scaled: Machine) -> None:
    scaled.run("systemctl", "stop", "ordersigner.socket")
    assert [scaled.property(unit, "ActiveState") for unit in PROCESSES] == ["inactive", "inactive"]
    assert not scaled.succeeds("test", "-e", SOCKET)
    scaled.run("systemctl", "start", "ordersigner.socket")
    assert ask(scaled, REQUEST) == RESPONSE
    wait_until(lambda: are_running(scaled), TIMEOUT)


def test_when_all_processes_are_stopped_the_next_client_starts_all(scaled: Machine) -> None:
    scaled.run("systemctl", "stop", *PROCESSES)
    assert ask(scaled, REQUEST) == RESPONSE
    wait_until(lambda: are_running(scaled), TIMEOUT)


def test_after_a_reboot_the_first_client_starts_all(scaled: Machine) -> None:
    scaled.reboot()
    assert [scaled.property(unit, "ActiveState") for unit in PROCESSES] == ["inactive", "inactive"]
    assert ask(scaled, REQUEST) == RESPONSE
    wait_until(lambda: are_running(scaled), TIMEOUT)


@pytest.fixture
def etc(scaled: Machine) -> Iterator[Machine]:
    """The machine with two processes, and with an administrator's settings in /etc until the end of the test."""
    yield scaled
    scaled.run("sh", "-c", "rm -rf /etc/systemd/system/ordersigner@.service*")
    scaled.run("systemctl", "daemon-reload")


def test_a_drop_in_for_all_instances_changes_their_command(etc: Machine) -> None:
    etc.write(
        "/etc/systemd/system/ordersigner@.service.d/05-quiet.conf",
        "[Service]\nExecStart=\nExecStart=/usr/sbin/ordersignerd --log-level notice\n",
    )
    etc.run("systemctl", "daemon-reload")
    etc.run("systemctl", "restart", INSTANCE)
    assert re.findall("argv\\[\\]=(.*?) ;", etc.property(INSTANCE, "ExecStart")) == [
        "/usr/sbin/ordersignerd --log-level notice"
    ]
    assert ask(etc, REQUEST) == RESPONSE


def test_a_drop_in_for_all_instances_overrides_a_limit(etc: Machine) -> None:
    etc.write("/etc/systemd/system/ordersigner@.service.d/10-memory.conf", "[Service]\nMemoryMax=1G\n")
    etc.run("systemctl", "daemon-reload")
    assert etc.property(INSTANCE, "MemoryMax") == str(1 << 30)
    assert etc.property(SERVICE, "MemoryMax") != str(1 << 30)


def test_a_copy_of_the_template_in_etc_replaces_it(etc: Machine) -> None:
    copy = "/etc/systemd/system/ordersigner@.service"
    etc.run("cp", etc.property(INSTANCE, "FragmentPath"), copy)
    etc.run("sed", "-i", "s/^MemoryMax=.*/MemoryMax=1G/", copy)
    etc.run("systemctl", "daemon-reload")
    etc.run("systemctl", "restart", INSTANCE)
    assert etc.property(INSTANCE, "FragmentPath") == copy
    assert etc.property(INSTANCE, "MemoryMax") == str(1 << 30)
    assert ask(etc, REQUEST) == RESPONSE


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
