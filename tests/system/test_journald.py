"""A journal that is slow, hangs, restarts or is gone: no signature is given without its entry, and none is lost."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from programs.flood import signatures
from support.daemon import TIME_LIMIT, wait_until

from system.conftest import REQUEST, RESPONSE, SERVICE, SOCKET
from system.machine import TIMEOUT, Machine

JOURNALD = "systemd-journald.service"
SOCKETS = ("systemd-journald.socket", "systemd-journald-dev-log.socket")
ORDER = json.dumps(REQUEST).encode() + b"\n"
MANY = 3000  # entries are more than wait in the socket of a journald that does not read them


class Client:
    """A connection to the machine's daemon, from the host."""

    def __init__(self, machine: Machine) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIME_LIMIT)
        self.socket.connect(f"{machine.root()}{SOCKET}")
        self.responses = self.socket.makefile("rb")

    def read(self) -> str:
        """The code of the next response, empty for the right signature."""
        response = json.loads(self.responses.readline())
        if response == RESPONSE:
            return ""
        ((problem,),) = response["error"]["context"].values()
        return str(problem["code"])

    def ask(self) -> str:
        self.socket.sendall(ORDER)
        return self.read()


@contextlib.contextmanager
def connected(machine: Machine) -> Iterator[Client]:
    client = Client(machine)
    try:
        yield client
    finally:
        client.responses.close()
        client.socket.close()


def test_a_journald_that_hangs_costs_signatures_until_it_goes_on_and_each_that_was_given_has_its_entry(
    installed: Machine,
) -> None:
    before = installed.now()
    with connected(installed) as client, connected(installed) as other:
        assert client.ask() == ""
        given = 1
        installed.run("systemctl", "kill", "--signal=STOP", JOURNALD)
        try:
            while not (code := client.ask()):
                given += 1
            assert code == "not_recorded"
            assert other.ask() == "not_recorded"
        finally:
            installed.run("systemctl", "kill", "--signal=CONT", JOURNALD)
        wait_until(lambda: client.ask() == "", TIMEOUT)
        assert other.ask() == ""
    assert installed.property(SERVICE, "NRestarts") == "0"
    assert signatures(installed, before) == given + 2
    assert any("journald did not accept them in time" in entry["MESSAGE"] for entry in installed.entries(since=before))


def test_clients_of_a_slow_journald_wait_and_lose_nothing(installed: Machine) -> None:
    before = installed.now()
    with connected(installed) as client, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(lambda: [client.ask() for _ in range(MANY)])
        while not answers.done():  # it stands still about half of the time
            installed.run("systemctl", "kill", "--signal=STOP", JOURNALD)
            installed.run("systemctl", "kill", "--signal=CONT", JOURNALD)
        assert set(answers.result()) == {""}
    assert signatures(installed, before) == MANY


def test_a_restart_of_journald_costs_no_signature_and_no_entry(installed: Machine) -> None:
    before = installed.now()
    with connected(installed) as client, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(lambda: [client.ask() for _ in range(MANY)])
        restarts = 0
        while not answers.done():
            installed.run("systemctl", "restart", JOURNALD)
            installed.run("systemctl", "reset-failed", JOURNALD)  # or it reaches its start limit
            restarts += 1
        assert set(answers.result()) == {""}
    assert restarts > 1
    assert signatures(installed, before) == MANY


def test_without_journald_and_its_sockets_no_signature_is_given_if_the_kernel_says_so(installed: Machine) -> None:
    """systemd 257 may leave journald's old socket open, which takes entries that nobody ever reads: a known limit."""
    before = installed.now()
    with connected(installed) as client:
        assert client.ask() == ""
        installed.run("systemctl", "stop", *SOCKETS, JOURNALD)
        try:
            may_be_open = installed.property(JOURNALD, "SubState") == "dead-resources-pinned"
            assert client.ask() in (["", "not_recorded"] if may_be_open else ["not_recorded"])
        finally:
            installed.run("systemctl", "start", *SOCKETS, JOURNALD)
        assert client.ask() == ""
    assert installed.property(SERVICE, "NRestarts") == "0"
    assert signatures(installed, before) == 2
