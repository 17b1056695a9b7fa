"""From the earlier daemon to this one and back, with the commands of docs/run/migrate.rst word for word.

A stand-in runs as the earlier daemon: no package index has the real one. See tests/support/earlier_daemon.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from support.daemon import SOURCE, VECTORS, wait_until
from support.pages import Command, is_printed, sessions

from system.conftest import MEMBER, SOCKET
from system.machine import TIMEOUT, Machine

EARLIER_SOCKET = "/tmp/leverj-ordersigner-daemon.sock"
UNIT = """
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/earlier_daemon.py %s /usr/local/lib/published-orders.json

[Install]
WantedBy=multi-user.target
"""
PAGE = (SOURCE / "docs/run/migrate.rst").read_text()


def commands_of(heading: str) -> list[Command]:
    """The commands of a section of the page."""
    section = re.split(rf"^{heading}\n-+\n", PAGE, flags=re.MULTILINE)[1]
    return sessions(re.split(r"^-+$", section, flags=re.MULTILINE)[0])


def run(machine: Machine, command: Command) -> str:
    """What a command of the page prints, which is what the page shows."""
    printed = machine.run("sh", "-c", command.words)
    assert is_printed(command.output, printed), printed
    return printed


def sign_as_the_earlier_client(machine: Machine, path: str = EARLIER_SOCKET) -> None:
    """All published orders, as the user MEMBER; fails unless they get their signatures."""
    test = "TheEarlierClient.test_gets_the_published_signatures_in_order"
    environment = ["env", f"ORDERSIGNER_SOCKET={path}", "VECTORS=/usr/local/lib"]
    machine.run(*environment, "python3", "/usr/local/lib/earlier.py", test, user=MEMBER)


@pytest.fixture
def with_the_earlier_daemon(installed: Machine) -> Iterator[Machine]:
    """The machine with the earlier daemon too, and with a user who is not in the group."""
    installed.run("gpasswd", "--delete", MEMBER, "ordersigner")
    installed.write("/usr/local/lib/earlier_daemon.py", (SOURCE / "tests/support/earlier_daemon.py").read_text())
    installed.write("/usr/local/lib/earlier.py", (SOURCE / "tests/client/earlier.py").read_text())
    installed.write("/usr/local/lib/published-orders.json", (VECTORS / "published-orders.json").read_text())
    installed.write("/etc/systemd/system/leverj.service", UNIT % EARLIER_SOCKET)
    installed.run("systemctl", "daemon-reload")
    installed.run("systemctl", "enable", "--now", "leverj.service")
    yield installed
    installed.run("systemctl", "disable", "--now", "leverj.service")
    installed.run("rm", "-rf", "/etc/systemd/system/leverj.service", "/etc/systemd/system/ordersigner.socket.d")
    installed.run("rm", "-f", "/etc/tmpfiles.d/ordersigner.conf", EARLIER_SOCKET)
    installed.run("systemctl", "daemon-reload")
    installed.run("usermod", "--append", "--groups", "ordersigner", MEMBER)


def test_the_pages_lines_replace_the_earlier_daemon_and_bring_it_back(with_the_earlier_daemon: Machine) -> None:
    machine = with_the_earlier_daemon
    wait_until(lambda: machine.succeeds("test", "-S", EARLIER_SOCKET), TIMEOUT)
    (compare,) = commands_of("Compare")
    connected, add, *switch, check = commands_of("Switch")

    before = run(machine, compare)
    assert f"{EARLIER_SOCKET} (owner root, group root, mode 0666)" in before
    assert "of user root in leverj.service listens" in before
    assert f"{SOCKET} (owner root, group ordersigner, mode 0660), where process 1 (systemd) of user root" in before
    assert before.count(": the same signature\n") == 2
    for command in switch:
        assert command.words in [line.partition("  #")[0] for line in before.splitlines()]
    with machine.started("nc", "-U", EARLIER_SOCKET, user=MEMBER):
        wait_until(lambda: f" {MEMBER} " in machine.run("sh", "-c", connected.words), TIMEOUT)
        run(machine, connected)
    sign_as_the_earlier_client(machine)

    for command in (add, *switch):
        run(machine, command)
    assert machine.property("leverj.service", "ActiveState") == "inactive"
    assert machine.run("readlink", EARLIER_SOCKET) == SOCKET
    sign_as_the_earlier_client(machine)
    assert "Both paths lead to this daemon" in run(machine, check)

    for command in (*commands_of("Remove the earlier path"), *commands_of("Go back")):
        run(machine, command)
    wait_until(lambda: machine.succeeds("test", "-S", EARLIER_SOCKET), TIMEOUT)
    assert not machine.succeeds("test", "-L", EARLIER_SOCKET)
    sign_as_the_earlier_client(machine)
    sign_as_the_earlier_client(machine, SOCKET)
    run(machine, compare)
