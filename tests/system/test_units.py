"""The socket and the service: the clients that they serve, the journal and the status, and faults."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from typing import Iterator

import pytest
from support.daemon import SOURCE, wait_until

from ordersigner.serving.connection import SEND_BUFFER
from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, SOCKET, STRANGER, ask, drop_in
from system.machine import TIMEOUT, Machine

UNIT = f"_SYSTEMD_UNIT={SERVICE}"
MESSAGE_ID_SIGNED = "f8a2b1d7a1f04c6f9d0a3f0f6c1f6a51"


def test_verify_reports_nothing(installed: Machine) -> None:
    assert installed.run("systemd-analyze", "verify", "ordersigner.socket", SERVICE) == ""


def test_installing_enables_and_starts_the_socket_and_not_the_service(installed: Machine) -> None:
    assert installed.property("ordersigner.socket", "UnitFileState") == "enabled"
    assert installed.property("ordersigner.socket", "ActiveState") == "active"
    assert installed.property(SERVICE, "UnitFileState") == "static"
    assert installed.property(SERVICE, "ActiveState") == "inactive"


def test_the_socket_belongs_to_the_group(installed: Machine) -> None:
    assert installed.run("stat", "--format=%A %U %G", SOCKET) == "srw-rw---- root ordersigner"
    assert installed.run("stat", "--format=%A %U %G", "/run/ordersigner") == "drwxr-xr-x root root"


def test_a_member_of_the_group_gets_the_example_signed(installed: Machine) -> None:
    assert ask(installed, REQUEST) == RESPONSE


def test_a_user_outside_the_group_is_refused(installed: Machine) -> None:
    output = installed.run("nc", "-N", "-U", SOCKET, user=STRANGER, input='{"type": "ping"}\n', check=False)
    assert "Permission denied" in output
    assert installed.property(SERVICE, "ActiveState") == "inactive"


def test_the_journal_says_who_had_what_signed_and_never_the_key(installed: Machine) -> None:
    before = installed.now()
    assert ask(installed, REQUEST) == RESPONSE
    wait_until(lambda: installed.entries(f"MESSAGE_ID={MESSAGE_ID_SIGNED}", since=before), TIMEOUT)

    (entry,) = installed.entries(f"MESSAGE_ID={MESSAGE_ID_SIGNED}", since=before)
    uid = installed.run("id", "-u", MEMBER)
    assert {name: value for name, value in entry.items() if name.startswith("ORDERSIGNER_")} == {
        "ORDERSIGNER_TYPE": "spot",
        "ORDERSIGNER_ACCOUNT": "0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282",
        "ORDERSIGNER_INSTRUMENT": "LEVETH",
        "ORDERSIGNER_SIDE": "buy",
        "ORDERSIGNER_SIGNER": "0x202a093beaa3b1e52c393ea2c4e2c935b48c0b8e",
        "ORDERSIGNER_DIGEST": entry["ORDERSIGNER_DIGEST"],
        "ORDERSIGNER_PEER_UID": uid,
        "ORDERSIGNER_PEER_GID": installed.run("id", "-g", MEMBER),
        "ORDERSIGNER_PEER_PID": entry["ORDERSIGNER_PEER_PID"],
        "ORDERSIGNER_USEC": entry["ORDERSIGNER_USEC"],
    }
    assert re.fullmatch("0x[0-9a-f]{64}", entry["ORDERSIGNER_DIGEST"])
    assert int(entry["ORDERSIGNER_PEER_PID"]) > 1
    assert 0 < int(entry["ORDERSIGNER_USEC"]) < 10_000_000
    assert (entry["PRIORITY"], entry["_SYSTEMD_UNIT"]) == ("6", SERVICE)
    key = REQUEST["signer"][2:]
    assert key not in json.dumps(installed.entries(UNIT, since=before)).lower()


def test_a_refusal_writes_an_entry_that_names_the_field(installed: Machine) -> None:
    before = installed.now()
    response = ask(installed, {**REQUEST, "signer": "0x" + "0" * 64})
    assert isinstance(response, dict)
    assert response["error"]["context"]["signer"][0]["code"] == "not_key"
    wait_until(lambda: installed.entries("ORDERSIGNER_CODE=not_key", since=before), TIMEOUT)
    (entry,) = installed.entries("ORDERSIGNER_CODE=not_key", since=before)
    assert (entry["PRIORITY"], entry["ORDERSIGNER_FIELD"]) == ("5", "signer")


def test_the_status_line_has_the_totals(installed: Machine) -> None:
    ask(installed, REQUEST)
    ask(installed, {})
    wait_until(lambda: installed.property(SERVICE, "StatusText") == "1 signed, 1 refused, 0 failed", TIMEOUT)
    assert "1 signed, 1 refused, 0 failed" in installed.run("systemctl", "status", SERVICE)


def test_a_stopped_service_is_started_by_the_next_client(installed: Machine) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    installed.run("systemctl", "stop", SERVICE)
    assert installed.property(SERVICE, "Result") == "success"
    assert installed.property(SERVICE, "ExecMainStatus") == "0"
    assert ask(installed, REQUEST) == RESPONSE


def test_a_restarted_service_is_a_new_process_on_the_same_socket(installed: Machine) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    inode = installed.run("stat", "--format=%i", SOCKET)
    process = installed.property(SERVICE, "MainPID")
    installed.run("systemctl", "restart", SERVICE)
    assert installed.property(SERVICE, "MainPID") not in (process, "0")
    assert installed.run("stat", "--format=%i", SOCKET) == inode
    assert ask(installed, REQUEST) == RESPONSE


def test_stopping_the_socket_stops_the_service_and_removes_the_file(installed: Machine) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    installed.run("systemctl", "stop", "ordersigner.socket")
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    assert not installed.succeeds("test", "-e", SOCKET)
    installed.run("systemctl", "start", "ordersigner.socket")
    assert ask(installed, REQUEST) == RESPONSE


def test_a_killed_service_is_started_again(installed: Machine) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    installed.run("systemctl", "kill", "--signal=KILL", SERVICE)
    wait_until(lambda: installed.property(SERVICE, "NRestarts") == "1", TIMEOUT)
    assert ask(installed, REQUEST) == RESPONSE


def test_a_service_that_hangs_is_killed_by_the_watchdog_and_its_clients_are_served(installed: Machine) -> None:
    drop_in(installed, SERVICE, "[Service]\nWatchdogSec=2\n")
    installed.run("systemctl", "start", SERVICE)
    installed.run("systemctl", "kill", "--signal=STOP", SERVICE)
    with waiting_client(installed) as client:
        wait_until(lambda: installed.property(SERVICE, "NRestarts") == "1", TIMEOUT)
        assert answer_of(client) == RESPONSE
    assert installed.entries("JOB_RESULT=done", f"UNIT={SERVICE}")
    assert any("watchdog" in entry["MESSAGE"].lower() for entry in installed.entries(f"UNIT={SERVICE}"))


def test_the_service_survives_a_restart_of_the_service_manager_and_the_journal(installed: Machine) -> None:
    """An upgrade of systemd does this. The sandbox must still reach the sockets of both."""
    assert ask(installed, REQUEST) == RESPONSE
    installed.run("systemctl", "daemon-reexec")
    installed.run("systemctl", "restart", "systemd-journald.service")
    before = installed.now()
    assert ask(installed, REQUEST) == RESPONSE
    wait_until(lambda: installed.property(SERVICE, "StatusText") == "2 signed, 0 refused, 0 failed", TIMEOUT)
    wait_until(lambda: installed.entries(f"MESSAGE_ID={MESSAGE_ID_SIGNED}", since=before), TIMEOUT)
    assert installed.property(SERVICE, "NRestarts") == "0"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("ExecStart=\nExecStart=/usr/bin/false", id="fails"),
        pytest.param("ExecStart=\nExecStart=/nonexistent", id="is-not-there"),
        pytest.param("LoadCredential=another:/nonexistent", id="lacks-a-credential"),
    ],
)
def test_the_socket_survives_a_service_that_cannot_start_and_its_clients_are_served_later(
    installed: Machine, fault: str
) -> None:
    drop_in(installed, SERVICE, f"[Service]\n{fault}\n")
    with waiting_client(installed) as client:
        # By then both limits of systemd, five starts in ten seconds and twenty activations in two, would be exceeded.
        wait_until(lambda: int(installed.property(SERVICE, "NRestarts")) >= 6, TIMEOUT)
        assert installed.property("ordersigner.socket", "ActiveState") == "active"
        assert client.poll() is None
        drop_in(installed, SERVICE, "")
        assert answer_of(client) == RESPONSE


def test_the_most_connections_that_the_daemon_accepts_fit_the_limits_of_the_unit(installed: Machine) -> None:
    """As many clients of two users as it accepts. Each sends most of a line of the maximum length, then the rest."""
    installed.run("systemctl", "start", SERVICE)  # or the clients may all wait before there is a process to look at
    installed.run("usermod", "--append", "--groups", "ordersigner", STRANGER)
    try:
        installed.write("/usr/local/lib/crowd.py", (SOURCE / "tests/system/crowd.py").read_text())
        arguments = ["python3", "/usr/local/lib/crowd.py", SOCKET, "256", json.dumps(REQUEST)]
        with contextlib.ExitStack() as stack:
            crowds = [stack.enter_context(installed.started(*arguments, user=user)) for user in (MEMBER, STRANGER)]
            for process in crowds:
                assert process.stdout is not None
                assert process.stdout.readline() == "all are in the middle of a line\n"
            wait_until(lambda: status_of(installed, "Threads") > 512, TIMEOUT)
            assert status_of(installed, "Threads") <= int(installed.property(SERVICE, "TasksMax"))
            replies = 512 * 2 * SEND_BUFFER  # in the kernel, if no client reads; it counts them as the service's memory
            limit = int(installed.property(SERVICE, "MemoryMax"))
            assert status_of(installed, "VmHWM") * 1024 + replies <= limit
            assert "too_many_connections" in installed.run("nc", "-N", "-U", SOCKET)
            for process in crowds:
                output, errors = process.communicate("go on\n", timeout=60)
                assert process.returncode == 0, errors
                assert [json.loads(line) for line in output.splitlines()] == [RESPONSE] * 256
        assert installed.property(SERVICE, "NRestarts") == "0"
        assert ask(installed, REQUEST) == RESPONSE
    finally:
        installed.run("gpasswd", "--delete", STRANGER, "ordersigner")


def test_a_users_subordinate_uids_share_its_connections(installed: Machine) -> None:
    """With newuidmap(1) the member could connect with each of them."""
    installed.run("systemctl", "start", SERVICE)
    installed.write("/usr/local/lib/crowd.py", (SOURCE / "tests/system/crowd.py").read_text())
    (first_uid,) = re.findall(rf"^{MEMBER}:(\d+):", installed.run("cat", "/etc/subuid"), re.MULTILINE)
    ping = ["sh", "-c", f'echo \'{{"type": "ping"}}\' | nc -N -U {SOCKET}']
    arguments = ["python3", "/usr/local/lib/crowd.py", SOCKET, "256", json.dumps(REQUEST)]
    with installed.started(*arguments, user=MEMBER) as crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == "all are in the middle of a line\n"
        wait_until(lambda: status_of(installed, "Threads") > 256, TIMEOUT)
        for uid, answer in ((int(first_uid) + 7, "too_many_connections"), (12345, '"ok": true')):
            as_uid = ["setpriv", f"--reuid={uid}", "--regid=ordersigner", "--clear-groups"]
            assert answer in installed.run(*as_uid, *ping)


def test_the_drop_in_offers_the_earlier_daemons_path_also_after_a_reboot(installed: Machine) -> None:
    source = "/usr/share/doc/ordersigner/examples/earlier-daemon-path.conf"
    commands = re.findall(r"^#   (.+)$", installed.run("cat", source), re.MULTILINE)
    (path,) = re.findall(r"^Symlinks=(.+)$", installed.run("cat", source), re.MULTILINE)
    assert path == "/tmp/leverj-ordersigner-daemon.sock"
    for command in commands:
        installed.run("sh", "-c", f"cd /usr/share/doc/ordersigner/examples && {command}")
    try:
        assert installed.run("readlink", path) == SOCKET
        assert ask(installed, REQUEST, path=path) == RESPONSE
        installed.reboot()
        assert ask(installed, REQUEST, path=path) == RESPONSE
        assert ask(installed, REQUEST) == RESPONSE
    finally:
        installed.run("systemctl", "stop", "ordersigner.socket")
        installed.run("rm", "-r", "/etc/systemd/system/ordersigner.socket.d", "/etc/tmpfiles.d/ordersigner.conf")
        installed.run("systemctl", "daemon-reload")
        installed.run("systemctl", "start", "ordersigner.socket")
    assert not installed.succeeds("test", "-e", path)
    assert ask(installed, REQUEST) == RESPONSE


def status_of(machine: Machine, field: str) -> int:
    """A number from /proc/PID/status of the service's main process."""
    status = machine.run("cat", f"/proc/{machine.property(SERVICE, 'MainPID')}/status")
    (value,) = re.findall(rf"^{field}:\s+(\d+)", status, re.MULTILINE)
    return int(value)


@contextlib.contextmanager
def waiting_client(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """A client that has sent the example and waits for its answer."""
    with machine.started("nc", "-N", "-U", SOCKET, user=MEMBER) as client:
        assert client.stdin is not None
        client.stdin.write(json.dumps(REQUEST) + "\n")
        client.stdin.close()
        client.stdin = None
        yield client


def answer_of(client: subprocess.Popen[str]) -> object:
    output, errors = client.communicate(timeout=60)
    assert output, errors
    return json.loads(output)
