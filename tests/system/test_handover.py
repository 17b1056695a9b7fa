"""Connections survive restarts, upgrades and reinstallations, and the store is empty at all other times."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from support.daemon import SOURCE, wait_until

from system.conftest import (
    MEMBER,
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    UPGRADED,
    Packages,
    ask,
    drop_in,
    faithful_clients,
    install,
    is_installed,
)
from system.machine import TIMEOUT, Machine

INSTANCE = "ordersigner@2.service"
PROCESSES = (SERVICE, INSTANCE)
# Unlike nc, it ends its connection when its standard input ends.
UNTIL_END_OF_INPUT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
for line in sys.stdin:
    client.sendall(line.encode())
    print(client.recv(1000).decode(), end="", flush=True)
"""


@pytest.fixture
def scaled(installed: Machine) -> Iterator[Machine]:
    """The machine with two processes."""
    installed.run("systemctl", "enable", "--now", INSTANCE)
    wait_until(lambda: all(installed.property(unit, "ActiveState") == "active" for unit in PROCESSES), TIMEOUT)
    yield installed
    if is_installed(installed):
        installed.run("systemctl", "disable", "--now", INSTANCE)


def process_numbers(machine: Machine) -> list[str]:
    return [machine.property(unit, "MainPID") for unit in PROCESSES]


def stored(machine: Machine, unit: str = SERVICE) -> int:
    """How many descriptors systemd keeps for a service."""
    return int(machine.property(unit, "NFileDescriptorStore"))


def converse(client: subprocess.Popen[str]) -> None:
    """Have nc ask on the connection that it has."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(json.dumps(REQUEST) + "\n")
    client.stdin.flush()
    assert json.loads(client.stdout.readline()) == RESPONSE


def test_clients_keep_their_connections_through_six_restarts(scaled: Machine) -> None:
    with faithful_clients(scaled, 4):
        for _ in range(6):
            before = process_numbers(scaled)
            scaled.run("systemctl", "restart", *PROCESSES)
            assert not {*before, "0"} & set(process_numbers(scaled))
            assert [stored(scaled, unit) for unit in PROCESSES] == [0, 0]


def test_clients_keep_their_connections_through_an_upgrade_and_a_reinstallation(
    scaled: Machine, packages: Packages
) -> None:
    try:
        with faithful_clients(scaled, 2):
            before = process_numbers(scaled)
            install(scaled, packages.newer)
            assert ask(scaled, {"type": "ping"}) == {"ok": True, "version": UPGRADED}
            upgraded = process_numbers(scaled)
            assert not {*before, "0"} & set(upgraded)
            scaled.run("apt-get", "install", "--yes", "--reinstall", f"/root/{packages.newer.name}")
            assert not {*upgraded, "0"} & set(process_numbers(scaled))
    finally:
        install(scaled, packages.built)


def test_clients_keep_their_connections_where_the_process_is_told_to_end(installed: Machine) -> None:
    """Not by systemctl restart: systemd starts it again by itself."""
    with faithful_clients(installed, 2):
        installed.run("systemctl", "kill", "--signal=TERM", SERVICE)
        wait_until(lambda: installed.property(SERVICE, "NRestarts") == "1", TIMEOUT)
        wait_until(lambda: installed.property(SERVICE, "ActiveState") == "active", TIMEOUT)


def test_clients_keep_their_connections_where_the_sockets_file_is_deleted_and_the_socket_restarted(
    installed: Machine,
) -> None:
    with faithful_clients(installed, 2):
        installed.run("rm", SOCKET)
        assert not installed.succeeds("nc", "-N", "-U", SOCKET, user=MEMBER)
        installed.run("systemctl", "restart", "ordersigner.socket")
        assert ask(installed, REQUEST) == RESPONSE


def test_as_many_connections_as_the_daemon_takes_of_a_user_are_kept(installed: Machine) -> None:
    """And counted: it takes no other afterwards."""
    installed.write("/usr/local/lib/crowd.py", (SOURCE / "tests/system/crowd.py").read_text())
    arguments = ["python3", "/usr/local/lib/crowd.py", SOCKET, "256", json.dumps(REQUEST), "between-lines"]
    with installed.started(*arguments, user=MEMBER) as crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == "all are between two lines\n"
        installed.run("systemctl", "restart", SERVICE)
        assert "too_many_connections" in installed.run("nc", "-N", "-U", SOCKET, user=MEMBER)
        output, errors = crowd.communicate("go on\n", timeout=60)
        assert crowd.returncode == 0, errors
        assert [json.loads(line) for line in output.splitlines()] == [RESPONSE] * 256


def test_after_a_kill_clients_see_the_end_of_their_connections(installed: Machine) -> None:
    """Because nothing is stored while the daemon serves, even if a connection was handed over before."""
    with installed.started("nc", "-U", SOCKET, user=MEMBER) as client:
        assert client.stdout is not None
        for _ in range(2):
            converse(client)
            assert client.poll() is None
            installed.run("systemctl", "restart", SERVICE)
            assert stored(installed) == 0
        installed.run("systemctl", "kill", "--signal=KILL", SERVICE)
        assert client.stdout.readline() == ""
        wait_until(lambda: installed.property(SERVICE, "NRestarts") == "1", TIMEOUT)
        assert ask(installed, REQUEST) == RESPONSE


def test_a_stop_ends_connections_and_leaves_nothing_in_the_store(installed: Machine) -> None:
    with installed.started("nc", "-U", SOCKET, user=MEMBER) as client:
        assert client.stdout is not None
        converse(client)
        installed.run("systemctl", "stop", SERVICE)
        assert client.stdout.readline() == ""
        assert stored(installed) == 0
        assert ask(installed, REQUEST) == RESPONSE


def test_a_unit_without_a_store_answers_what_has_come_and_ends_connections(installed: Machine) -> None:
    """So a downgrade to a version without one leaves no client waiting: its unit is loaded before the restart."""
    with installed.started("nc", "-U", SOCKET, user=MEMBER) as client:
        assert client.stdout is not None
        converse(client)
        drop_in(installed, SERVICE, "[Service]\nFileDescriptorStoreMax=0\n")
        installed.run("systemctl", "restart", SERVICE)
        assert client.stdout.readline() == ""
        assert stored(installed) == 0


def test_connections_wait_in_the_store_while_the_service_cannot_start(installed: Machine) -> None:
    """If a client leaves in the meantime, its connection does not stay there."""
    with installed.started("nc", "-U", SOCKET, user=MEMBER) as client:
        assert client.stdout is not None
        converse(client)
        with installed.started("python3", "-c", UNTIL_END_OF_INPUT, SOCKET, user=MEMBER) as hasty:
            converse(hasty)
            drop_in(installed, SERVICE, "[Service]\nExecStart=\nExecStart=/usr/bin/false\n")
            installed.run("systemctl", "restart", SERVICE, check=False)
            wait_until(lambda: int(installed.property(SERVICE, "NRestarts")) >= 3, TIMEOUT)
            assert stored(installed) == 2
        wait_until(lambda: stored(installed) == 1, TIMEOUT)
        drop_in(installed, SERVICE, "")
        converse(client)
        assert stored(installed) == 0
