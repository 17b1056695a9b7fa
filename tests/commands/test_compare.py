"""`ordersigner compare`, with a stand-in for the earlier daemon that has its recorded answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import run
from support.daemon import EXAMPLE, EXAMPLE_LINE, SOURCE, TIME_LIMIT, VECTORS, Daemon, needs_root, vectors, wait_until
from support.servers import Server, answering

from ordersigner.client import Error
from ordersigner.commands import compare

KEY: str = EXAMPLE["request"]["signer"]
SAME = ["the example of a spot order: the same signature", "the example of a futures order: the same signature"]


@contextlib.contextmanager
def earlier_daemon(directory: Path) -> Iterator[tuple[str, int]]:
    """Its socket and its process."""
    program = str(SOURCE / "tests/support/earlier_daemon.py")
    path = str(directory / "earlier.sock")
    arguments = [sys.executable, program, path, str(VECTORS / "published-orders.json")]
    with subprocess.Popen(arguments) as process:
        try:
            wait_until(lambda: os.path.exists(path) and os.stat(path).st_mode & 0o777 == 0o666)
            yield path, process.pid
        finally:
            process.terminate()
            process.wait(TIME_LIMIT)


def test_the_examples_are_orders_of_both_kinds_with_published_keys() -> None:
    published = {row["request"]["signer"] for row in vectors("published-orders")}
    assert {compare.SPOT["type"], compare.FUTURES["type"]} == {"spot", "futures"}
    assert {compare.SPOT["signer"], compare.FUTURES["signer"]} <= published


def test_daemons_that_agree_give_status_0_and_the_steps_that_remain(daemon: Daemon, directory: Path) -> None:
    with earlier_daemon(directory) as (path, pid):
        status, output, errors = run(daemon.path, "compare", "--earlier", path)
    lines = output.splitlines()
    assert (status, errors) == (0, "")
    assert re.match(rf"Earlier daemon: {path} \(owner \w+, group \w+, mode 0666\), where process {pid} \(\w+", lines[0])
    assert re.match(
        rf"This daemon: {daemon.path} \(owner \w+, group \w+, mode 0600\), where process {daemon.pid} ", lines[1]
    )
    assert lines[2:4] == SAME
    assert f"lsof +E -aU -p {pid}" in lines
    assert f"rm -f {path} {path}.lock" in lines
    assert any(line.startswith(("kill ", "systemctl disable --now ")) for line in lines)
    assert f"ordersigner compare --earlier {path}" in lines
    assert KEY[2:] not in output


def test_orders_of_the_user_are_compared_line_by_line(daemon: Daemon, directory: Path) -> None:
    rows = vectors("published-orders")
    (directory / "orders").write_text("".join(json.dumps(row["request"]) + "\n\n" for row in rows) + "x\n")
    with earlier_daemon(directory) as (path, _):
        status, output, errors = run(daemon.path, "compare", "--earlier", path, directory / "orders")
    assert (status, errors) == (0, "")
    assert output.count(": the same signature\n") == len(rows)
    assert f"{directory}/orders, line 1: the same signature" in output
    assert f"{directory}/orders, line {2 * len(rows) + 1}: both refuse it" in output


def test_another_answer_gives_status_1_and_names_the_order_but_never_a_key(daemon: Daemon, directory: Path) -> None:
    request = EXAMPLE["request"]
    base = request["instrument"]["base"]
    # The stand-in does not look at the instrument.
    changed = dict(request, instrument=dict(request["instrument"], base=dict(base, decimals=8)))
    unknown = dict(request, order=dict(request["order"], timestamp=1))
    negative = dict(request, instrument=dict(request["instrument"], base=dict(base, decimals=-1)))
    lines = "".join(json.dumps(row) + "\n" for row in (changed, unknown, negative)).encode()
    with earlier_daemon(directory) as (path, _):
        status, output, errors = run(daemon.path, "compare", "--earlier", path, "-", stdin=lines)
    signature = EXAMPLE["expect"]["signature"]
    different, extra, refused, *end = output.splitlines()[2:]
    assert (status, errors) == (1, "")
    assert re.fullmatch(
        rf"standard input, line 1: the earlier daemon gives {signature}, this one gives 0x\w+", different
    )
    assert re.fullmatch(r"standard input, line 2: the earlier daemon refuses it, this one gives 0x\w+", extra)
    assert refused == (
        f"standard input, line 3: the earlier daemon gives {signature}, "
        "this one refuses it: instrument.base.decimals: This number is less than zero. (negative)"
    )
    assert end == ["The daemons do not agree."]
    assert KEY[2:] not in output


def test_without_a_path_the_usual_one_is_taken(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "EARLIER_SOCKET", daemon.path)
    assert compare.earlier_path(None) == daemon.path
    assert compare.earlier_path("/run/../run/other.sock") == "/run/other.sock"


def test_if_nothing_is_at_the_usual_path_the_error_names_the_option(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "EARLIER_SOCKET", str(directory / "none"))
    with pytest.raises(Error) as raised:
        compare.earlier_path(None)
    assert (
        str(raised.value)
        == f"there is no earlier daemon at {directory}/none; if its socket is elsewhere: --earlier PATH"
    )


@pytest.mark.parametrize(
    "path", ["/tmp/a|e id", "/tmp/a b", "/tmp/$(id)", "/tmp/a%n", "/tmp/a\x1b[2J", "/tmp/a'", "/tmp/a\n"]
)
def test_a_path_that_could_mean_something_in_a_command_is_refused(daemon: Daemon, path: str) -> None:
    message = "ordersigner: --earlier: the path may have only letters, digits and the characters . / _ + -\n"
    assert run(daemon.path, "compare", "--earlier", path) == (2, "", message)


def test_a_path_that_already_leads_to_this_daemon_is_told(daemon: Daemon, directory: Path) -> None:
    link = directory / "link"
    link.symlink_to(daemon.path)
    status, output, errors = run(daemon.path, "compare", "--earlier", link)
    assert (status, errors) == (0, "")
    assert output.splitlines()[2:] == [*SAME, "Both paths lead to this daemon: it has replaced the earlier one."]


LISTEN = """
import os, socket, sys
owner, later, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.seteuid(owner)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
os.seteuid(0)
os.setresuid(later, later, later)
print("listening", flush=True)
sys.stdin.read()
"""


@needs_root
@pytest.mark.parametrize(
    ("owner", "later", "killed"),
    [
        pytest.param(61001, 61001, True, id="the owner's"),
        pytest.param(61001, 0, False, id="now root's"),
        pytest.param(61001, 61002, False, id="now another user's"),
        pytest.param(0, 61001, False, id="not root's any more"),
        pytest.param(0, 0, True, id="root's"),
    ],
)
def test_only_a_process_of_the_sockets_owner_is_to_be_killed(owner: int, later: int, killed: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        path = f"{directory}/socket"
        arguments = [sys.executable, "-c", LISTEN, str(owner), str(later), path]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            listener = compare.Listener(path, TIME_LIMIT)
            steps = compare.steps(listener).splitlines()
            process.communicate()
    assert listener.pid == process.pid
    assert any(re.match(f"kill {process.pid} |systemctl disable", line) for line in steps) is killed
    assert (
        f"# ... but not process {process.pid}: it does not belong to the user who owns the socket" in steps
    ) is not killed


@needs_root
def test_no_service_is_to_be_ended_whose_process_is_not_the_sockets_owners(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket belongs to another user than this process which, according to /proc, is in a service."""
    path = str(directory / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        files = {"status": Path("/proc/self/status").read_text(), "cgroup": "0::/system.slice/ssh.service\n"}
        monkeypatch.setattr(compare, "_read", lambda name: files.get(name.split("/")[-1], ""))
        steps = compare.steps(compare.Listener(path, TIME_LIMIT))
        assert "systemctl disable --now ssh.service  # if it runs nothing else" in steps
        os.chown(path, 61001, 61001)
        assert "systemctl disable" not in compare.steps(compare.Listener(path, TIME_LIMIT))


def test_requests_of_the_user_go_only_to_a_socket_that_the_user_names(daemon: Daemon) -> None:
    status, output, errors = run(daemon.path, "compare", "-", stdin=EXAMPLE_LINE)
    assert (status, output) == (2, "")
    assert errors.endswith("name the socket of the earlier daemon: --earlier PATH\n")


def test_a_daemon_that_does_not_answer_is_status_2(daemon: Daemon, directory: Path) -> None:
    absent = str(directory / "none")
    message = f"ordersigner: cannot connect to {absent}: No such file or directory"
    assert run(daemon.path, "compare", "--earlier", absent) == (2, "", f"{message}\n")
    status, output, errors = run(absent, "compare", "--earlier", daemon.path)
    assert (status, output) == (2, "")
    assert errors == f"{message}. Start the daemon there, or give the path of its socket: --socket PATH\n"


def test_what_is_not_a_daemon_is_status_2(daemon: Daemon) -> None:
    for answer in (KEY.encode(), json.dumps({"ok": True, "signature": KEY}).encode()):
        with Server(answering(answer)) as server:
            status, output, errors = run(daemon.path, "compare", "--earlier", server.path, "-", stdin=EXAMPLE_LINE)
        assert status == 2
        assert errors.startswith("ordersigner: ")
        assert KEY[2:] not in output + errors
