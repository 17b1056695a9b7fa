"""The process: arguments, its socket, its signals, its end, and its secrets."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.daemon import (
    EXAMPLE,
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    PING,
    SOURCE,
    TIME_LIMIT,
    activated,
    command,
    connect,
    exchange,
    listens,
    read_all,
    running,
    standalone,
    wait_until,
)

from ordersigner import __version__, aio
from ordersigner.client import Client

ORDER = EXAMPLE_LINE + b"\n"
SIGNATURE = EXAMPLE["expect"]["signature"]
KEY = EXAMPLE["request"]["signer"]


def run(
    *arguments: str, environment: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected to end by itself."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command(*arguments),
        cwd=SOURCE,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
        **options,
    )


def test_help_tells_every_option() -> None:
    result = run("--help")
    assert result.returncode == 0
    for option in ("--socket", "--mode", "--log-level", "--max-connections", "--timeout", "--version"):
        assert option in result.stdout


def test_version() -> None:
    assert run("--version").stdout == f"ordersignerd {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "9"], "--mode: expected permissions in octal, from 000 to 777"),
        (["--mode", "7777"], "--mode: expected permissions in octal, from 000 to 777"),
        (["--max-connections", "0"], "--max-connections: expected a whole number, at least 1"),
        (["--max-connections-per-user", "x"], "--max-connections-per-user: expected a whole number, at least 1"),
        (["--timeout", "0"], "--timeout: expected seconds, from 0.001 to 86400"),
        (["--timeout", "nan"], "--timeout: expected seconds, from 0.001 to 86400"),
        (["--log-level", "all"], "--log-level: invalid choice: 'all'"),
        (["--signer", "x"], "unrecognized arguments: --signer x"),
        (["--no-wire-key", "--max-connectoins=5"], "--max-connectoins=5; did you mean --max-connections?"),
        (["--sockt", "x"], "unrecognized arguments: --sockt x; did you mean --socket?"),
        (["0x" + "ab" * 32], "unrecognized arguments: 0x\u2026\n"),
        (["PATH"], "unrecognized arguments: PATH"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_expected(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr
    assert said in result.stderr


def serving(listener: socket.socket) -> subprocess.Popen[bytes]:
    """A daemon that gets `listener` as from systemd."""
    script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listener.fileno()}'
    arguments = ["bash", "-c", script, "bash", *command("--log-level", "warning")]
    return subprocess.Popen(arguments, cwd=SOURCE, pass_fds=[listener.fileno()])


# Its own socket


def test_its_socket_is_its_users_alone_unless_told_otherwise(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon:
        assert stat.S_IMODE(os.stat(daemon.path).st_mode) == 0o600
    with standalone(tmp_path, "--mode", "0660") as daemon:
        assert stat.S_IMODE(os.stat(daemon.path).st_mode) == 0o660


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_removes_its_socket_at_exit(tmp_path: Path, number: int) -> None:
    with standalone(tmp_path) as daemon:
        assert os.path.exists(daemon.path)
        assert daemon.stop(number) == 0
        assert not os.path.exists(daemon.path)


def test_started_by_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with running(["nohup", *command("--socket", path)], tmp_path, path) as daemon:
        wait_until(lambda: "Listening on" in daemon.log)
        status = Path(f"/proc/{daemon.pid}/status")
        for _ in range(2):  # a daemon that is about to stop takes no second one
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: int(status.read_text().split("ShdPnd:")[1].split()[0], 16) == 0)
        assert daemon.ask(ORDER) == EXAMPLE_RESPONSE


def test_it_leaves_a_socket_that_took_the_place_of_its_own(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        os.unlink(daemon.path)
        other.bind(daemon.path)
        assert daemon.stop() == 0
        assert os.path.exists(daemon.path)


def test_it_clears_a_stale_socket_away(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon:
        daemon.process.kill()
        daemon.process.wait()
        assert os.path.exists(daemon.path)
    with standalone(tmp_path) as daemon:
        assert daemon.ask(ORDER) == EXAMPLE_RESPONSE


def test_it_refuses_a_socket_that_is_alive_and_leaves_it_alone(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon:
        result = run("--socket", daemon.path)
        assert result.returncode == 1
        assert result.stderr == f"ordersignerd: cannot listen at {daemon.path}: another process does\n"
        assert daemon.ask(ORDER) == EXAMPLE_RESPONSE


def test_it_refuses_a_socket_that_is_alive_and_overrun(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(path)
        listener.listen(0)
        stack.enter_context(connect(path))
        assert run("--socket", path).returncode == 1
        assert os.path.exists(path)


def test_of_two_that_start_at_once_on_a_stale_socket_one_serves(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon:
        daemon.process.kill()
        daemon.process.wait()
        rivals = [
            subprocess.Popen(command("--socket", daemon.path), cwd=SOURCE, stderr=subprocess.PIPE) for _ in "123456"
        ]
        try:
            wait_until(lambda: sum(rival.poll() is not None for rival in rivals) == len(rivals) - 1)
            assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
        finally:
            for rival in rivals:
                rival.terminate()
                rival.communicate(timeout=TIME_LIMIT)
        assert sorted(rival.returncode for rival in rivals) == [0] + [1] * (len(rivals) - 1)


def test_it_refuses_to_remove_what_is_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    result = run("--socket", str(path))
    assert result.returncode == 1
    assert "not a socket" in result.stderr
    assert path.read_text() == "precious"


@pytest.mark.parametrize("path", ["/nonexistent/socket", "x" * 200, "/dev/null/socket", ""])
def test_a_path_that_cannot_be_listened_on_is_told(path: str) -> None:
    result = run("--socket", path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"ordersignerd: cannot listen at {path or 'an empty path'}: ")
    assert "Traceback" not in result.stderr


# A socket that is handed over


def handed_over(*sockets: socket.socket, pid: str = "$$", fds: str = "") -> subprocess.CompletedProcess[str]:
    """A daemon started with `sockets` as descriptors 3 and up, as systemd starts it."""
    moves = " ".join(f"{3 + number}<&{each.fileno()}" for number, each in enumerate(sockets))
    script = f'LISTEN_PID={pid} LISTEN_FDS={fds or len(sockets)} exec "$@" {moves}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *command()],
        cwd=SOURCE,
        pass_fds=[each.fileno() for each in sockets],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("none", "LISTEN_FDS is '0'"),
        ("another process's", "LISTEN_PID is '1', not this process's"),
        ("not a number", "LISTEN_FDS is 'x'"),
        ("not listening", "descriptor 3 is not a listening Unix stream socket"),
        ("a datagram socket", "descriptor 3 is not a listening Unix stream socket"),
        ("an internet socket", "descriptor 3 is not a listening Unix stream socket"),
        ("two", "want one listening socket, got 2 descriptors"),
    ],
)
def test_what_is_handed_over_must_be_one_listening_unix_stream_socket(kind: str, message: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        family = socket.AF_INET if kind == "an internet socket" else socket.AF_UNIX
        type_ = socket.SOCK_DGRAM if kind == "a datagram socket" else socket.SOCK_STREAM
        first = stack.enter_context(socket.socket(family, type_))
        if kind == "two":
            result = handed_over(first, stack.enter_context(socket.socket(family, type_)))
        elif kind == "another process's":
            result = handed_over(first, pid="1")
        elif kind == "not a number":
            result = handed_over(first, fds="x")
        elif kind == "none":
            result = handed_over(fds="0")
        else:
            if kind == "an internet socket":
                first.bind(("127.0.0.1", 0))
                first.listen()
            result = handed_over(first)
    assert result.returncode == 1
    assert result.stderr.startswith("ordersignerd: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_without_any_socket_it_says_where_to_get_one() -> None:
    result = run()
    assert result.returncode == 1
    assert result.stderr == "ordersignerd: no socket: start ordersigner.socket, or give --socket PATH\n"


def test_two_ways_at_once_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    result = subprocess.run(
        ["bash", "-c", script, "bash", *command("--socket", path)],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "--socket is not allowed" in result.stderr
    assert not os.path.exists(path)


def test_a_handover_to_an_ancestor_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    with standalone(tmp_path) as daemon:
        assert daemon.ask(PING).startswith(b'{"ok": true')


# The end


@pytest.mark.parametrize("way", [standalone, activated])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_before_it_ends(way: object, number: int, tmp_path: Path) -> None:
    count = 400
    with way(tmp_path, "--log-level", "notice") as daemon:  # type: ignore[operator]
        daemon.ask(PING)
        with daemon.connect() as connection:
            # As many requests as fit into the sockets' buffers, so that all have been sent when the signal comes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**22)
            connection.sendall(ORDER * count)
            assert connection.recv(1) == b"{"
            daemon.process.send_signal(number)
            assert read_all(connection) == (EXAMPLE_RESPONSE * count)[1:]
        assert daemon.process.wait(TIME_LIMIT) == 0


def test_clients_that_were_not_yet_accepted_are_answered_too(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, contextlib.ExitStack() as stack:
        daemon.process.send_signal(signal.SIGSTOP)
        clients = [stack.enter_context(daemon.connect()) for _ in range(20)]
        for client in clients:
            client.sendall(ORDER)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGCONT)
        assert [read_all(client) for client in clients] == [EXAMPLE_RESPONSE] * len(clients)
        assert daemon.process.wait(TIME_LIMIT) == 0


def test_idle_clients_do_not_hold_up_its_end(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect()) for _ in range(20)]
        assert exchange(clients.pop(), ORDER) == EXAMPLE_RESPONSE
        daemon.process.send_signal(signal.SIGTERM)
        assert [read_all(client) for client in clients] == [b""] * len(clients)
        assert daemon.process.wait(TIME_LIMIT) == 0


def test_a_client_that_never_reads_does_not_hold_up_its_end(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, daemon.connect() as deaf:
        deaf.settimeout(0.5)
        with contextlib.suppress(TimeoutError, socket.timeout):
            while True:
                deaf.sendall(b"x\n" * 10_000)
        assert daemon.stop() == 0


def test_a_restart_loses_no_request_of_clients_that_connect_for_each(tmp_path: Path) -> None:
    """With socket activation: the next process accepts the connections that this one does not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = str(tmp_path / "socket")
    failures: list[bytes] = []
    answered = [0]
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            with connect(path) as connection:
                response = exchange(connection, ORDER)
            if response == EXAMPLE_RESPONSE:
                answered[0] += 1
            else:
                failures.append(response)

    with listener:
        listener.bind(path)
        listener.listen(1024)
        process = serving(listener)
        clients = [threading.Thread(target=talk) for _ in range(8)]
        for client in clients:
            client.start()
        for _ in range(3):
            enough = answered[0] + 200
            wait_until(lambda enough=enough: answered[0] > enough)  # type: ignore[misc]
            process.terminate()
            assert process.wait(TIME_LIMIT) == 0
            process = serving(listener)
        stop.set()
        for client in clients:
            client.join()
        process.terminate()
        assert process.wait(TIME_LIMIT) == 0
    assert failures == []


def test_its_own_clients_notice_no_restart(tmp_path: Path) -> None:
    """Five restarts under load, with requests of the threads' client and of the asyncio client on the way."""
    path = str(tmp_path / "socket")
    stopping = threading.Event()
    answered = [0, 0]

    def talk() -> None:
        with Client(path) as client:
            while not stopping.is_set():
                assert list(client.sign_many([EXAMPLE["request"]] * 50)) == [SIGNATURE] * 50
                answered[0] += 50

    async def talk_in_tasks() -> None:
        async with aio.Client(path) as client:
            while not stopping.is_set():
                assert await client.sign_many([EXAMPLE["request"]] * 50) == [SIGNATURE] * 50
                answered[1] += 50

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, ThreadPoolExecutor(2) as pool:
        listener.bind(path)
        listener.listen(1024)
        process = serving(listener)
        clients = [pool.submit(talk), pool.submit(asyncio.run, talk_in_tasks())]
        try:
            for _ in range(5):
                enough = [count + 200 for count in answered]
                wait_until(
                    lambda enough=enough: (  # type: ignore[misc]
                        all(map(operator.gt, answered, enough)) or any(client.done() for client in clients)
                    )
                )
                process.terminate()
                assert process.wait(TIME_LIMIT) == 0
                process = serving(listener)
        finally:
            stopping.set()
        for client in clients:
            client.result()
        process.terminate()
        assert process.wait(TIME_LIMIT) == 0


def test_without_room_in_its_log_it_gives_no_signature_until_there_is_room_again(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    reader, writer = os.pipe()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(reader, "rb", buffering=0))
        pipe = stack.enter_context(open(writer, "wb"))
        process = stack.enter_context(subprocess.Popen(command("--socket", path), cwd=SOURCE, stderr=pipe))
        stack.callback(process.kill)
        wait_until(lambda: listens(path))
        client, other = (stack.enter_context(connect(path)) for _ in range(2))
        answers = (ask(client) for _ in range(1000))
        assert b'"not_recorded"' in next(answer for answer in answers if answer != EXAMPLE_RESPONSE)
        assert b'"not_recorded"' in ask(client)
        assert b'"not_recorded"' in ask(other)
        written = b""
        while select.select([log], [], [], 0)[0]:
            written += log.read(65536)
        assert ask(client) == EXAMPLE_RESPONSE
        while b"missing" not in written:
            written += log.read(65536)
        assert b"3 entries before the last one are missing" in written
        assert ask(other) == EXAMPLE_RESPONSE


def ask(client: socket.socket) -> bytes:
    client.sendall(ORDER)
    return client.recv(1000)


def test_a_log_that_hangs_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    reader, writer = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reader)
        pipe = stack.enter_context(open(writer, "wb"))
        process = stack.enter_context(subprocess.Popen(command("--socket", path), cwd=SOURCE, stderr=pipe))
        stack.callback(process.kill)
        wait_until(lambda: listens(path))
        for _ in range(3):  # their entries fill the pipe
            stack.enter_context(connect(path)).sendall(ORDER * 200)
        wait_until(lambda: not select.select([], [pipe], [], 0)[1])
        process.terminate()
        assert process.wait(TIME_LIMIT) == 0


# What it says


def test_it_listens_before_it_signs(tmp_path: Path) -> None:
    with activated(tmp_path) as daemon, daemon.connect() as connection:
        connection.sendall(ORDER)  # waits at the socket before the daemon runs
        assert connection.recv(1000) == EXAMPLE_RESPONSE
        said = [line for line in daemon.log.splitlines() if line.startswith("ordersigner: ")]
        assert [line.split()[1] for line in said] == ["In", "Listening", "Signed"]


def test_systemd_is_told_the_status_with_ready_and_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("systemd")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(TIME_LIMIT)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with standalone(tmp_path) as daemon:
            assert manager.recv(1000).splitlines() == [b"READY=1", b"STATUS=0 signed, 0 refused, 0 failed"]
            daemon.ask(ORDER)
            assert manager.recv(1000) == b"STATUS=1 signed, 0 refused, 0 failed"
            assert daemon.stop() == 0
            assert manager.recv(1000) == b"STOPPING=1"


# What it keeps to itself


def test_it_writes_no_key_to_its_log_nor_shows_it_among_the_processes(tmp_path: Path) -> None:
    with standalone(tmp_path, "--log-level", "debug") as daemon:
        daemon.ask(ORDER + ORDER[:-3] + b"\n" + KEY.encode() + b"\n" + ORDER.replace(b'"spot"', b'"SPOT"'))
        assert KEY[2:].encode() not in Path(f"/proc/{daemon.pid}/cmdline").read_bytes()
        assert daemon.stop() == 0
        assert 'Signed spot buy "LEVETH"' in daemon.log
        assert "Refused a request" in daemon.log
        assert KEY[2:] not in daemon.log


def test_it_leaves_no_core_dump(tmp_path: Path) -> None:
    generous = ["bash", "-c", 'ulimit -c "$(ulimit -H -c)"; exec "$@"', "bash"]
    process = subprocess.Popen([*generous, *command("--socket", str(tmp_path / "socket"))], cwd=SOURCE)
    wait_until((tmp_path / "socket").exists)
    process.send_signal(signal.SIGABRT)  # SIGQUIT may be ignored, as in a shell's background jobs
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)


def test_neither_the_kernel_nor_a_debugger_of_its_user_may_copy_its_memory() -> None:
    script = (
        "import ctypes, resource; from ordersigner import process; process.close_memory(); "
        "print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE))"  # PR_GET_DUMPABLE
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert result.stdout == "0 (0, 0)\n"


def test_eth_account_is_not_needed_to_answer() -> None:
    script = (
        "import sys; from ordersigner.daemon.main import main; from ordersigner.signing.conversation import *; "
        "from ordersigner.signing.journal import *; from ordersigner.peer import *; import pathlib, json; "
        "request = json.loads(pathlib.Path(sys.argv[1]).read_text())['request']; "
        "talk = Conversation(Service(Journal(6, lambda *fields: None)), Peer(1, 2, 3)); "
        "assert b'true' in talk.respond(json.dumps(request).encode()); "
        "print(sorted(name for name in sys.modules if name.startswith(('eth_', 'web3', 'systemd', 'pydantic'))))"
    )
    example = str(SOURCE / "tests" / "vectors" / "example.json")
    result = subprocess.run(
        [sys.executable, "-c", script, example], cwd=SOURCE, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_it_serves_no_more_connections_than_it_may_have_descriptors(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    limited = ["bash", "-c", 'ulimit -n 50; exec "$@"', "bash", *command("--socket", path)]
    with running(limited, tmp_path, path) as daemon:
        wait_until(lambda: "Listening" in daemon.log)
        assert "50 descriptors are allowed: serving 18 connections at once, no more" in daemon.log
        assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
