"""The command `ordersigner` as a process, with files, pipes and terminals."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import command, environment, in_shell, run, shown_on
from support.daemon import EXAMPLE, EXAMPLE_LINE, SOURCE, TIME_LIMIT, Daemon, standalone, vectors, wait_until
from support.held import MARKET, address, holding, rule
from support.servers import REFUSAL, Server, answering

from ordersigner import __version__
from ordersigner.client import SYSTEM_SOCKET, Unavailable
from ordersigner.commands import main as cli

SIGNATURE: str = EXAMPLE["expect"]["signature"]
BROKEN = json.dumps(dict(EXAMPLE["request"], order=dict(EXAMPLE["request"]["order"], price=-1))).encode()


@contextlib.contextmanager
def running(path: str, *arguments: str | Path, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command(*arguments), env=environment(path), **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def test_standard_input_is_signed(daemon: Daemon) -> None:
    assert run(daemon.path, "sign", stdin=EXAMPLE_LINE) == (0, SIGNATURE + "\n", "")


def test_files_are_signed_in_their_order(daemon: Daemon, directory: Path) -> None:
    rows = vectors("published-orders")
    lines = [json.dumps(row["request"]) for row in rows]
    (directory / "one").write_text("\n".join(lines[:200]))
    (directory / "two").write_text("".join(f"{line}\r\n\r\n" for line in lines[200:]))
    status, output, errors = run(daemon.path, "sign", directory / "one", "-", directory / "two", stdin=EXAMPLE_LINE)
    expected = [row["expect"]["signature"] for row in rows]
    assert output.splitlines() == [*expected[:200], SIGNATURE, *expected[200:]]
    assert (status, errors) == (0, "")


def test_a_refused_line_gives_an_empty_line_and_a_message(daemon: Daemon) -> None:
    lines = b"\n".join([EXAMPLE_LINE, b"", BROKEN, b"\x1b[2J\xff", EXAMPLE_LINE])
    status, output, errors = run(daemon.path, "sign", stdin=lines)
    assert status == 1
    assert output.split("\n") == [SIGNATURE, "", "", SIGNATURE, ""]
    assert errors.splitlines()[0].startswith("ordersigner: standard input, line 3: order.price: ")
    assert errors.splitlines()[1].startswith("ordersigner: standard input, line 4: request: ")
    assert EXAMPLE["request"]["signer"][2:] not in errors


def test_control_characters_in_an_order_do_not_reach_the_terminal(daemon: Daemon) -> None:
    line = json.dumps(dict(EXAMPLE["request"], **{"\x1b]0;title\x07": 1})).encode()
    status, _, errors = run(daemon.path, "sign", stdin=line)
    assert status == 1
    assert "?]0;title?: Unexpected key." in errors


def test_json_writes_the_responses_as_they_came(daemon: Daemon) -> None:
    lines = b"\n".join([EXAMPLE_LINE, BROKEN, b'{"type": "ping", "id": 7}', b'{"type": "ping", "id": "\xc3\xa4"}'])
    status, output, errors = run(daemon.path, "sign", "--json", stdin=lines)
    assert (status, errors) == (1, "")
    assert output.encode().replace(b"\n", b"\r\n") == daemon.ask(lines)


def test_a_line_that_is_too_long_is_refused_and_the_next_is_signed(daemon: Daemon) -> None:
    line = EXAMPLE_LINE + b" " * (65536 - len(EXAMPLE_LINE))
    lines = b"\n".join([line + b"\r", line + b" ", b"x" * 1_000_000, EXAMPLE_LINE])
    status, output, errors = run(daemon.path, "sign", stdin=lines)
    assert (status, output.split("\n")) == (1, [SIGNATURE, "", "", SIGNATURE, ""])
    assert re.findall(r"line (\d+): .*\((\w+)\)", errors) == [("2", "too_long"), ("3", "too_long")]


def test_no_daemon_is_status_2(directory: Path) -> None:
    for arguments in (["ping"], ["sign"], ["signers"]):
        status, output, errors = run(str(directory / "none"), *arguments, stdin=EXAMPLE_LINE)
        assert (status, output) == (2, "")
        assert errors.startswith(f"ordersigner: cannot connect to {directory}/none: No such file or directory. ")


def test_of_a_transaction_the_signed_transaction_is_written(daemon: Daemon) -> None:
    row = next(row for row in vectors("transactions/transactions") if "raw" in row)
    line = json.dumps(row["request"]).encode() + b"\n"
    assert run(daemon.path, "sign", stdin=line + EXAMPLE_LINE) == (0, f"{row['raw']}\n{SIGNATURE}\n", "")
    _, output, _ = run(daemon.path, "sign", "--json", stdin=line)
    assert json.loads(output) == {
        "ok": True,
        "signature": row["signature"],
        "transaction": row["raw"],
        "hash": row["hash"],
    }


@pytest.mark.parametrize(
    ("path", "number", "words"),
    [
        (SYSTEM_SOCKET, errno.ENOENT, "To start the daemon: systemctl start ordersigner.socket. "),
        (SYSTEM_SOCKET, errno.EACCES, "usermod --append --groups ordersigner USER. Then the user must log in again"),
        (SYSTEM_SOCKET, errno.ECONNREFUSED, "Start it: systemctl restart ordersigner.socket"),
        ("/other", errno.ENOENT, "give the path of its socket: --socket PATH"),
        ("/other path", errno.EACCES, "to see who may: ls -ld '/other path'"),
        ("/other", errno.ECONNREFUSED, "The daemon that made this socket has ended. Start it again"),
        ("/other", errno.ENOTSOCK, "Socket operation on non-socket"),
    ],
)
@pytest.mark.parametrize("command", ["ping", "sign", "signers", "status", "freeze", "thaw"])
def test_a_daemon_that_cannot_be_reached_is_reported_with_what_to_do(
    command: str, path: str, number: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: socket.socket, address: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", fail)
    (tmp_path / "order").write_bytes(EXAMPLE_LINE)
    files = [str(tmp_path / "order")] if command == "sign" else []
    with pytest.raises(Unavailable) as caught:
        cli.run(cli.parser().parse_args(["--socket", path, command, *files]))
    assert str(caught.value).startswith(f"cannot connect to {path}: {os.strerror(number)}")
    assert words in str(caught.value)


def test_a_socket_that_nobody_listens_at_is_reported_as_such(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "left"))
    status, _, errors = run(str(directory / "left"), "ping")
    assert status == 2
    assert "Connection refused. The daemon that made this socket has ended." in errors


def test_a_path_that_is_no_socket_is_reported_as_such(directory: Path) -> None:
    (directory / "file").touch()
    for path in (directory, directory / "file"):
        status, output, errors = run(str(path), "ping")
        assert (status, output) == (2, "")
        assert errors == f"ordersigner: cannot connect to {path}: Connection refused. It is not a socket\n"


@pytest.mark.parametrize("before", ["", " "])
def test_a_request_in_place_of_a_file_is_not_repeated(directory: Path, before: str) -> None:
    for request in (EXAMPLE_LINE.decode(), f"[{EXAMPLE_LINE.decode()}]", "{" + "a" * 5000):
        status, output, errors = run(str(directory / "none"), "sign", before + request)
        assert (status, output) == (2, "")
        assert errors.startswith("ordersigner: this is a request, not the name of a FILE: ")
        assert EXAMPLE["request"]["signer"][2:] not in errors


def test_without_a_command_there_is_the_help(tmp_path: Path) -> None:
    status, output, errors = run(str(tmp_path / "socket"))
    assert (status, output) == (2, "")
    assert errors == run(str(tmp_path / "socket"), "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sing"], "there is no command sing: did you mean sign?"),
        (["Status"], "there is no command Status: did you mean status?"),
        (["pong"], "there is no command pong: did you mean ping?"),
        (
            ["frobnicate"],
            "there is no command frobnicate: there are sign, signers, status, freeze, thaw, ping, compare",
        ),
        (["--sockt", "/run/x", "ping"], "there is no option --sockt; did you mean --socket?"),
        (["--timeuot", "5", "sing"], "there is no option --timeuot; did you mean --timeout?"),
        (["--xyz", "5", "ping"], "there is no option --xyz"),
        (["--sock", "/run/x", "sing", "--jsn"], "there is no command sing: did you mean sign?"),
        (["sign", "--jsn"], "unrecognized arguments: --jsn; did you mean --json?"),
        (["--sokcet=x", "ping"], "did you mean --socket?"),
        (["ping", "--json"], "unrecognized arguments: --json"),
        (["ping", "x"], "unrecognized arguments: x"),
    ],
)
def test_a_word_that_is_nearly_right_gets_the_right_one(arguments: list[str], words: str, tmp_path: Path) -> None:
    status, output, errors = run(str(tmp_path / "socket"), *arguments)
    assert (status, output) == (2, "")
    assert errors.endswith(f"error: {words}\n") or (words in errors and "=" in arguments[0])


@pytest.mark.parametrize("arguments", [[], ["ping"], ["sign"], ["sign", "--key"], ["--timeout"], ["--socket"]])
@pytest.mark.parametrize("prefix", ["", "0x"])
def test_a_key_among_the_arguments_is_not_repeated(arguments: list[str], prefix: str, tmp_path: Path) -> None:
    key = prefix + EXAMPLE["request"]["signer"][2:]
    status, output, errors = run(str(tmp_path / "socket"), *arguments, key)
    assert status == 2
    assert key[-30:] not in output + errors


def test_the_options_of_all_commands_may_come_before_the_command(daemon: Daemon) -> None:
    for arguments in (["--socket", daemon.path, "ping"], ["ping", "--socket", daemon.path]):
        assert run("/nonexistent", *arguments)[0] == 0
    late = ["--timeout", "5", "--socket", "/nonexistent", "ping", "--socket", daemon.path]
    assert run("/nonexistent", *late)[0] == 0
    assert run("/nonexistent", "--timeout", "0", "ping")[2].endswith(
        "argument --timeout: expected seconds, more than 0 and at most 86400\n"
    )


def test_a_request_that_has_several_lines_is_reported_once(daemon: Daemon, directory: Path) -> None:
    (directory / "an order").write_text(json.dumps(EXAMPLE["request"], indent=2))
    message = "line 1: this request has several lines, and must have one"
    expected = f"ordersigner: {directory}/an order, {message}: jq -c . '{directory}/an order' | ordersigner sign\n"
    assert run(daemon.path, "sign", directory / "an order") == (2, "", expected)
    (directory / "two").write_bytes(b"\n" + EXAMPLE_LINE + b"\n")
    status, output, errors = run(daemon.path, "sign", directory / "two", "-", stdin=b"\n\n[\n1]\n")
    assert (status, output) == (2, SIGNATURE + "\n")
    assert (
        errors
        == "ordersigner: standard input, line 3: " + message.partition(": ")[2] + ": jq -c . | ordersigner sign\n"
    )


def test_a_later_line_that_is_cut_off_does_not_end_a_stream(daemon: Daemon) -> None:
    for first in (b"\xef\xbb\xbf" * 2, b"\xff{", b"[" + b"9" * 5000, b'{"type": "sp'):
        assert run(daemon.path, "sign", stdin=first + b"\n" + EXAMPLE_LINE)[:2] == (1, f"\n{SIGNATURE}\n")
    lines = b"\n".join([EXAMPLE_LINE, b"{", b'{"type":', EXAMPLE_LINE])
    status, output, errors = run(daemon.path, "sign", stdin=lines)
    assert (status, output) == (1, f"{SIGNATURE}\n\n\n{SIGNATURE}\n")
    assert errors.count("A request must be on one line.") == 2


@pytest.mark.parametrize(
    "arguments", [["ping"], ["sign"], ["signers"], ["status"], ["compare", "--earlier", "/x", "-"]]
)
def test_a_closed_standard_output_or_error_is_no_traceback(arguments: list[str], daemon: Daemon) -> None:
    closed = "ordersigner: standard output: Bad file descriptor\n"
    assert in_shell("exec >&-", daemon.path, *arguments, stdin=EXAMPLE_LINE) == (2, "", closed)
    assert in_shell("exec >&- 2>&-", daemon.path, *arguments, stdin=EXAMPLE_LINE) == (2, "", "")
    status, output, _ = in_shell("exec 2>&-", daemon.path, *arguments, stdin=BROKEN)
    assert status == {"ping": 0, "status": 0, "sign": 1, "signers": 1}.get(arguments[0], 2)
    assert "ordersigner:" not in output


def test_nothing_to_sign_needs_no_daemon(directory: Path) -> None:
    assert run(str(directory / "none"), "sign", stdin=b"\n \n\r\n") == (0, "", "")


def test_a_file_that_is_not_there_is_reported_before_anything_is_signed(daemon: Daemon, directory: Path) -> None:
    (directory / "order").write_bytes(EXAMPLE_LINE)
    for missing, reason in ((directory / "none", "No such file or directory"), (directory, "Is a directory")):
        status, output, errors = run(daemon.path, "sign", directory / "order", missing)
        assert (status, output, errors) == (2, "", f"ordersigner: {missing}: {reason}\n")


def test_a_file_that_may_not_be_read_is_reported_before_anything_is_signed(daemon: Daemon, directory: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    (directory / "order").write_bytes(EXAMPLE_LINE)
    (directory / "secret").touch(0o000)
    status, output, errors = run(daemon.path, "sign", directory / "order", directory / "secret")
    assert (status, output, errors) == (2, "", f"ordersigner: {directory}/secret: Permission denied\n")


def test_files_may_be_as_editors_on_windows_write_them(daemon: Daemon, directory: Path) -> None:
    for name in ("one", "two"):
        (directory / name).write_bytes(b"\xef\xbb\xbf" + EXAMPLE_LINE + b"\r\n")
    ended = run(daemon.path, "sign", directory / "one", "-", directory / "two", stdin=b"\xef\xbb\xbf" + EXAMPLE_LINE)
    assert ended == (0, f"{SIGNATURE}\n" * 3, "")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_named(daemon: Daemon, directory: Path, codec: str) -> None:
    (directory / "order").write_bytes(EXAMPLE_LINE.decode().encode(codec))
    status, output, errors = run(daemon.path, "sign", directory / "order")
    reason = f"{directory}/order: it is UTF-16 text: save it as UTF-8"
    assert (status, output, errors) == (2, "", f"ordersigner: {reason}\n")


def test_a_read_error_names_the_file(daemon: Daemon) -> None:
    # A file that can be opened but not read: address 0 of the process's own memory.
    status, output, errors = run(daemon.path, "sign", "/proc/self/mem")
    assert (status, output, errors) == (2, "", "ordersigner: /proc/self/mem: Input/output error\n")
    assert in_shell("exec <&-", daemon.path, "sign") == (2, "", "ordersigner: standard input: Bad file descriptor\n")


def test_what_was_signed_before_a_read_error_is_written(daemon: Daemon, directory: Path) -> None:
    (directory / "orders").write_bytes((EXAMPLE_LINE + b"\n") * 1000)
    status, output, errors = run(daemon.path, "sign", directory / "orders", "/proc/self/mem")
    assert (status, errors) == (2, "ordersigner: /proc/self/mem: Input/output error\n")
    assert output
    assert set(output.splitlines()) == {SIGNATURE}


def test_a_write_error_is_reported_with_status_2(daemon: Daemon) -> None:
    for arguments in (["sign"], ["ping"]):
        with open("/dev/full", "wb") as full, running(
            daemon.path, *arguments, stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE
        ) as process:
            _, errors = process.communicate(EXAMPLE_LINE, timeout=TIME_LIMIT)
        assert (process.returncode, errors) == (2, b"ordersigner: standard output: No space left on device\n")


def test_more_files_are_signed_than_may_be_open(daemon: Daemon, directory: Path) -> None:
    files = [directory / f"order{number}" for number in range(60)]
    for file in files:
        file.write_bytes(EXAMPLE_LINE)
    assert in_shell("ulimit -n 32", daemon.path, "sign", *files) == (0, (SIGNATURE + "\n") * 60, "")


def test_descriptors_with_high_numbers_work(daemon: Daemon, directory: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1200:
        pytest.skip("too few descriptors are allowed")
    (directory / "order").write_bytes(EXAMPLE_LINE)
    occupy = 'ulimit -n 1200; for ((n = 3; n < 1100; n++)); do eval "exec $n</dev/null"; done'
    assert in_shell(occupy, daemon.path, "sign", directory / "order") == (0, SIGNATURE + "\n", "")


def test_the_socket_option_overrides_the_environment(daemon: Daemon) -> None:
    assert run("/nonexistent", "sign", "--socket", daemon.path, stdin=EXAMPLE_LINE)[:2] == (0, SIGNATURE + "\n")


def test_a_ping_is_one_line(daemon: Daemon) -> None:
    status, output, errors = run(daemon.path, "ping")
    assert (status, errors) == (0, "")
    assert re.fullmatch(rf"ordersigner {re.escape(__version__)} answers at {daemon.path} in \d+\.\d ms\n", output)


def test_the_keys_of_a_daemon_are_listed_and_sign_by_address(directory: Path) -> None:
    key: str = EXAMPLE["request"]["signer"]
    held, missing = address(key), "0x" + 40 * "f"
    policy = MARKET + rule("bids", held) + rule("asks", held, missing)
    by_address = json.dumps(dict(EXAMPLE["request"], signer=held)).encode()
    with standalone(directory, *holding(directory, {"example": key[2:]}, policy)) as daemon:
        lines = f"{held} bids, asks\n{missing} asks (not available)\n"
        assert run(daemon.path, "signers") == (1, lines, "")
        assert json.loads(run(daemon.path, "signers", "--json")[1])["signers"][0]["rules"] == ["bids", "asks"]
        assert run(daemon.path, "sign", stdin=by_address) == (0, SIGNATURE + "\n", "")


def test_a_user_who_may_use_no_key_of_a_daemon_is_told_so(daemon: Daemon) -> None:
    status, output, errors = run(daemon.path, "signers")
    assert (status, output) == (1, "")
    assert errors == (
        "ordersigner: you may not use any key that the daemon holds; an administrator can find the reason in the "
        "journal: journalctl --namespace=+ordersigner --identifier ordersigner\n"
    )


ADDRESSES = ["0x" + 20 * "1a", "0x" + 20 * "2B"]


def listing(*signers: dict[str, Any]) -> Server:
    """A server that answers every request with this list of keys."""
    return Server(answering(json.dumps({"ok": True, "signers": signers}).encode()))


def test_the_keys_that_may_be_used_are_lines_of_address_and_rules() -> None:
    with listing(
        {"address": ADDRESSES[0], "rules": ["bids", "asks"], "available": True},
        {"address": ADDRESSES[1], "rules": ["asks"], "available": True},
    ) as server:
        assert run(server.path, "signers") == (0, f"{ADDRESSES[0]} bids, asks\n{ADDRESSES[1]} asks\n", "")


def test_a_key_that_is_not_available_is_marked_with_status_1() -> None:
    with listing(
        {"address": ADDRESSES[0], "rules": ["bids"], "available": False},
        {"address": ADDRESSES[1], "rules": ["asks"], "available": True},
    ) as server:
        lines = f"{ADDRESSES[0]} bids (not available)\n{ADDRESSES[1]} asks\n"
        assert run(server.path, "signers") == (1, lines, "")


def test_json_writes_the_list_of_keys_as_it_came() -> None:
    key = {"address": ADDRESSES[0], "rules": ["bids"], "available": True}
    for keys, status in (([key], 0), ([{**key, "available": False}], 1), ([], 1)):
        with listing(*keys) as server:
            assert run(server.path, "signers", "--json") == (
                status,
                json.dumps({"ok": True, "signers": keys}) + "\n",
                "",
            )


def test_a_daemon_that_knows_no_signers_is_status_1() -> None:
    refusal = REFUSAL.rstrip() % b'{"code": "not_valid_choice", "message": "No such type."}'
    with Server(answering(refusal)) as server:
        assert run(server.path, "signers") == (1, "", "ordersigner: request: No such type. (not_valid_choice)\n")
        assert run(server.path, "signers", "--json") == (1, refusal.decode() + "\n", "")


def test_an_answer_that_is_not_a_list_of_keys_is_status_2() -> None:
    with Server(answering(b'{"ok": true, "signers": ["x"]}')) as server:
        for arguments in (["signers"], ["signers", "--json"]):
            assert run(server.path, *arguments) == (2, "", "ordersigner: the response has no valid signers\n")


def test_a_daemon_that_refuses_is_status_1(directory: Path) -> None:
    with standalone(directory, "--max-connections", "1") as full, contextlib.ExitStack() as cleanup:
        wait_until(lambda: is_admitted(cleanup.enter_context(full.connect())))
        status, output, errors = run(full.path, "ping")
        assert (status, output) == (1, "")
        assert "too_many_connections" in errors
        assert run(full.path, "sign", stdin=EXAMPLE_LINE)[:2] == (1, "\n")


def is_admitted(connection: socket.socket) -> bool:
    """Whether the daemon accepts this connection; it may not have finished with the one before."""
    try:
        connection.sendall(b'{"type": "ping"}\n')
        return b"version" in connection.recv(1000)
    except ConnectionError:
        return False


def test_a_daemon_that_never_answers_is_status_2(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(directory / "silent"))
        silent.listen()
        status, _, errors = run(str(directory / "silent"), "ping", "--timeout", "0.05")
    assert status == 2
    assert "no answer within 0.05 seconds" in errors


def test_each_line_is_answered_before_the_next_one_arrives(daemon: Daemon) -> None:
    with running(daemon.path, "sign", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            process.stdin.write(EXAMPLE_LINE + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().decode() == SIGNATURE + "\n"
        process.stdin.close()
        assert process.wait(TIME_LIMIT) == 0


def test_it_ends_silently_when_the_reader_of_its_output_ends(daemon: Daemon) -> None:
    with running(daemon.path, "sign", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            while True:
                process.stdin.write((EXAMPLE_LINE + b"\n") * 1000)
        assert process.wait(TIME_LIMIT) == -signal.SIGPIPE
        assert process.stderr.read() == b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def test_a_long_input_gets_a_progress_bar_on_a_terminal(daemon: Daemon, directory: Path) -> None:
    assert "lines" not in seen_on_a_terminal(daemon, directory, 1)
    seen = seen_on_a_terminal(daemon, directory, 40_000)
    shares = [int(share) for share in re.findall(r"(\d+)%", seen)]
    assert shares == sorted(shares)
    assert shares
    assert re.search(r"\r\[#+ *\]  ?\d+%  [\d,]+ lines, [\d,]+ a second\x1b\[K", seen)
    assert re.search(r"\r\x1b\[Kordersigner: 40,000 signed, 0 refused, \d+\.\d s\n$", seen)


def at_a_terminal(path: str, typed: bytes, *arguments: str | Path) -> str:
    """The output for a user who types this, ended by Ctrl-D, without the echo."""
    ours, theirs = pty.openpty()
    settings = termios.tcgetattr(theirs)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    os.write(ours, typed + b"\x04")
    with running(path, *arguments, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = shown_on(ours)
        process.wait(TIME_LIMIT)
    return seen.replace("\r\n", "\n")


def test_at_a_terminal_it_says_that_it_waits_and_leaves_no_empty_lines(daemon: Daemon) -> None:
    hint = "ordersigner: Reading requests from the terminal, one per line; end with Ctrl-D\n"
    seen = at_a_terminal(daemon.path, EXAMPLE_LINE + b"\n{}\n" + EXAMPLE_LINE + b"\n", "sign")
    assert re.fullmatch(f"{hint}{SIGNATURE}\nordersigner: standard input, line 2: .*\n{SIGNATURE}\n", seen)


def test_many_lines_at_a_terminal_get_a_summary(daemon: Daemon, directory: Path) -> None:
    for count in (99, 100):
        (directory / "orders").write_bytes((EXAMPLE_LINE + b"\n") * (count - 1) + b"{}\n")
        seen = at_a_terminal(daemon.path, b"", "sign", directory / "orders")
        assert ("signed" in seen) == (count == 100)
        assert "Ctrl-D" not in seen
    assert re.search(r"\nordersigner: 99 signed, 1 refused, \d+\.\d s\n$", seen)


def seen_on_a_terminal(daemon: Daemon, directory: Path, count: int) -> str:
    """The output on stderr, a terminal, while so many orders are signed into a file."""
    (directory / "orders").write_bytes((EXAMPLE_LINE + b"\n") * count)
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with open(directory / "signatures", "w") as output, running(
        daemon.path, "sign", directory / "orders", stdout=output, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = shown_on(ours)
        assert process.wait(TIME_LIMIT) == 0
    assert (directory / "signatures").read_text() == (SIGNATURE + "\n") * count
    return seen


def test_the_installed_command_is_this_one() -> None:
    declared = re.search(r'"ordersigner = (\S+):(\S+)"', (SOURCE / "setup.py").read_text())
    assert declared
    assert getattr(importlib.import_module(declared[1]), declared[2]) is cli.main


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "86401", "x"])
def test_a_timeout_that_is_not_possible_is_refused_with_the_range(timeout: str, tmp_path: Path) -> None:
    status, _, errors = run(str(tmp_path / "socket"), "ping", "--timeout", timeout)
    assert status == 2
    assert errors.endswith("argument --timeout: expected seconds, more than 0 and at most 86400\n")


@pytest.mark.parametrize("arguments", [[], ["sign"], ["signers"], ["freeze"], ["thaw"], ["ping"], ["compare"]])
def test_help_goes_to_standard_output_with_status_0(arguments: list[str], tmp_path: Path) -> None:
    status, output, errors = run(str(tmp_path / "socket"), *arguments, "--help")
    assert (status, errors) == (0, "")
    assert output.startswith("usage: ordersigner")
    assert "more than 0 and at most 86400" in " ".join(output.split())
