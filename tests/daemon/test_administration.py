"""Held keys as the administrator sees them: start, --check, --reload, the journal's entries, and the stop."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from oracles import oracle
from support.daemon import (
    EXAMPLE,
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    SOURCE,
    TIME_LIMIT,
    Daemon,
    command,
    listens,
    needs_root,
    running,
    standalone,
    wait_until,
)
from support.files import LINE, ME, RULE, Files
from support.keys import ADDRESS, KEY, OTHER_KEY, put
from support.pages import sides

from ordersigner import process
from ordersigner.daemon import check, main
from ordersigner.daemon.reload import PolicyFile
from ordersigner.policy import reader
from ordersigner.signing.conversation import Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.systemd import journald, losses


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=SOURCE, env={**os.environ, **environment}, capture_output=True, check=False, text=True
    )


def codes(daemon: Daemon, line: bytes) -> Any:
    (problems,) = json.loads(daemon.ask(line))["error"]["context"].values()
    return [problem["code"] for problem in problems]


def test_a_daemon_with_keys_and_a_policy_signs_by_address(files: Files) -> None:
    with standalone(files.directory, *files.options) as daemon:
        assert daemon.ask(LINE + EXAMPLE_LINE) == EXAMPLE_RESPONSE * 2
        assert json.loads(daemon.ask(b'{"type": "signers"}\n')) == {
            "ok": True,
            "signers": [{"address": ADDRESS, "rules": ["all"], "frozen": [], "available": True}],
        }
        assert f"In force: 1 of 1 keys ({ADDRESS}), 1 rule of {files.policy}" in daemon.log
        assert daemon.stop() == 0
        assert KEY not in daemon.log


def test_keys_without_a_policy_can_be_used_by_nobody(files: Files) -> None:
    with standalone(files.directory, "--keys", str(files.keys)) as daemon:
        assert codes(daemon, LINE) == ["unknown_signer"]


def test_a_daemon_can_take_no_keys_from_clients(files: Files) -> None:
    with standalone(files.directory, *files.options, "--no-wire-keys") as daemon:
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        assert codes(daemon, EXAMPLE_LINE) == ["key_on_wire"]


def test_a_bad_key_file_is_named_and_the_others_work(files: Files) -> None:
    put(files.keys, "asks", OTHER_KEY, 0o644)
    with standalone(files.directory, *files.options) as daemon:
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        assert f"Key asks is not used: other users may read it: chmod 600 {files.keys}/asks" in daemon.log


def test_a_directory_of_keys_that_is_not_there_is_an_error(files: Files) -> None:
    ended = run("--socket", str(files.directory / "socket"), "--keys", "/nonexistent")
    assert (ended.returncode, ended.stderr) == (1, "ordersignerd: /nonexistent: No such file or directory\n")


def test_with_a_broken_policy_no_held_key_can_be_used_and_keys_on_the_wire_work(files: Files) -> None:
    files.policy.write_text(RULE + "colour = red\n")
    with standalone(files.directory, *files.options) as daemon:
        assert f"The policy is not used: {files.policy}:6: a [rule] section has no setting colour" in daemon.log
        assert codes(daemon, LINE) == ["unknown_signer"]
        assert daemon.ask(EXAMPLE_LINE) == EXAMPLE_RESPONSE


def test_systemds_credentials_are_keys(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    put(files.keys, "key_example")
    put(files.keys, "refused_asks", "sealed elsewhere")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(files.keys))
    with standalone(files.directory, "--policy", str(files.policy)) as daemon:
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        assert "Key asks is not used: sealed elsewhere" in daemon.log
        assert "In force: 1 of 2 keys" in daemon.log


# --reload


def reload(daemon: Daemon, files: Files) -> subprocess.CompletedProcess[str]:
    """What systemd runs for `systemctl reload`."""
    return run("--reload", "--policy", str(files.policy), MAINPID=str(daemon.pid))


def test_a_reload_returns_when_the_new_policy_is_in_force(files: Files) -> None:
    files.policy.write_text("")
    with standalone(files.directory, *files.options) as daemon, daemon.connect() as connection:
        for text, allowed in ((RULE, True), ("", False)) * 5:
            files.policy.write_text(text)
            ended = reload(daemon, files)
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
            connection.sendall(LINE)
            assert (connection.recv(1000) == EXAMPLE_RESPONSE) is allowed
        assert daemon.log.count("In force: ") == 11


def test_a_reload_of_a_broken_policy_fails_with_the_reason_and_changes_nothing(files: Files) -> None:
    with standalone(files.directory, *files.options) as daemon:
        files.policy.write_text("[rule all]\nkey = x\n")
        ended = reload(daemon, files)
        assert ended.returncode == 1
        assert f"{files.policy}:2: key: this is not an address of 40 hexadecimal digits" in ended.stderr
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        assert daemon.log.count("In force: ") == 1


@needs_root
def test_a_new_user_with_a_deleted_users_number_is_refused_without_a_reload(files: Files) -> None:
    """The daemon has an /etc of its own, in which a user is deleted and another one is made."""
    etc = files.directory / "etc"
    etc.mkdir()
    (etc / "group").touch()
    passwd = etc / "passwd"
    passwd.write_text(f"bid-bot:x:{ME}:{ME}::/:/bin/sh\n")
    files.policy.write_text(RULE.replace(f"users = {ME}", "users = bid-bot"))
    path = str(files.directory / "socket")
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(etc)]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no directory can be mounted here")
    with running([*inside, *command("--socket", path, *files.options)], files.directory, path) as daemon:
        wait_until(lambda: listens(path))
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        (etc / "passwd+").write_text(f"mallory:x:{ME}:{ME}::/:/bin/sh\n")
        (etc / "passwd+").rename(passwd)
        assert codes(daemon, LINE) == ["unknown_signer"]
        assert "They are now bid-bot (nobody)" in daemon.log
        passwd.write_text(f"bid-bot:x:{ME}:{ME}::/:/bin/sh\n")
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        assert daemon.stop() == 0


def test_a_hangup_reloads_too_and_a_broken_policy_changes_nothing(files: Files) -> None:
    with standalone(files.directory, *files.options) as daemon:
        files.policy.write_text("what\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"The policy is not used: {files.policy}:1: " in daemon.log)
        assert daemon.ask(LINE) == EXAMPLE_RESPONSE
        files.policy.write_text("")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "0 rules" in daemon.log)
        assert codes(daemon, LINE) == ["unknown_signer"]
        assert daemon.stop() == 0


def test_a_reload_that_hangs_keeps_no_later_one_from_working_and_does_not_undo_it(files: Files) -> None:
    service = Service(Journal(LEVELS["err"], print))
    policy = PolicyFile(service, str(files.policy), keeps_state=False)
    files.policy.unlink()
    os.mkfifo(files.policy)
    earlier = Thread(target=policy.reload)
    earlier.start()
    with open(files.policy, "w") as hanging:  # which blocks until it is read
        files.policy.unlink()
        files.policy.write_text(RULE.replace("all", "later"))
        assert policy.reload()
        hanging.write(RULE)
    earlier.join()
    assert [rule.name for rule in service.policy.rules] == ["later"]


def test_a_reload_fails_where_no_daemon_takes_it(files: Files) -> None:
    ended = run("--reload", "--policy", str(files.policy), MAINPID="")
    assert (ended.returncode, "systemctl reload" in ended.stderr) == (1, True)
    ended = run("--reload", "--policy", str(files.policy), MAINPID=str(2**22 + 1))
    assert (ended.returncode, "No such process" in ended.stderr) == (1, True)


# --check


def test_the_check_says_in_words_what_each_rule_allows_and_what_it_does_not_limit(files: Files) -> None:
    files.policy.write_text(
        f"[market LEV/ETH]\nbase = {EXAMPLE['request']['instrument']['base']['address']} 9\nquote = 0x{'00' * 20} 18\n"
        f"[rule bids]\nkey = {ADDRESS}\nusers = root\ngroups = 50000\naccounts = 0x{'12' * 20}\nmarkets = LEV/ETH\n"
        "sides = buy\ntypes = LMT\nmax-quantity = 50000\nmax-price = 0.00025\nclock = 60\nrate = 600/minute\n"
        f"[rule all]\nkey = {ADDRESS}\nusers = 0\naccounts = any\nmarkets = any\n"
    )
    ended = run("--check", *files.options)
    assert (ended.returncode, ended.stderr) == (0, "")
    bids, everything = ended.stdout.split("Rule all, line 16:")
    assert bids.startswith(
        f"Key {ADDRESS} is available.\nRule bids, line 4:\n  lets user root (0), members of group 50000\n"
        f"  use the key {ADDRESS}\n\n"
    )
    may, open_ends = sides(bids)
    for words in (
        "orders in LEV/ETH (spot, base 0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282 with 9 decimals, quote 0x00",
        f"order.accountId 0x{'12' * 20}",
        "order.side buy",
        "order.orderType LMT",
        "order.quantity from 0 to 50000",
        "order.price from 0 to 0.00025",
        "order.timestamp at most 60 seconds before or after now",
        "at most 600 signatures in any 60 seconds",
    ):
        assert words in may
    assert open_ends == (
        "how low order.price may be expiry, post-only, reduce-only, trigger price: they are not signed"
    )
    _, open_ends = sides(everything)
    for words in (
        "order.accountId: orders for accounts of others are signed too",
        "the market (instrument.base.address, ",
        "order.side",
        "order.orderType",
        "order.quantity",
        "how high order.price may be",
        "order.timestamp: an order may be signed today and used later",
        "how many signatures",
    ):
        assert words in open_ends


def test_the_check_ends_in_silence_if_nobody_reads_the_rest(files: Files) -> None:
    files.policy.write_text(RULE)
    requests = files.policy.with_name("requests")
    requests.write_bytes(LINE + b"\n")
    for options in ([], ["--try", str(requests)]):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "ordersigner", "--check", *files.options, *options]
        ended = subprocess.run(command, cwd=SOURCE, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
        os.close(writing)
        assert (ended.returncode, ended.stderr) == (1, b"")


def test_the_check_warns_of_an_account_that_begins_like_a_transaction(files: Files) -> None:
    files.policy.write_text(RULE.replace("any", "0xf884" + "11" * 18, 1))
    ended = run("--check", *files.options)
    assert ended.returncode == 0
    assert f"account 0xf884{'11' * 18}: it begins like a transaction" in sides(ended.stdout)[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "policy:1: this is neither a section"),
        (RULE + "rate = 5", "policy:6: rate: a rate is"),
        (RULE.replace(f"users = {ME}", "users = no-such-user 0"), "policy:3: there is no user no-such-user"),
        (RULE + "groups = no-such-group", "policy:6: there is no group no-such-group"),
        (RULE.replace(ADDRESS, oracle.signer_address(OTHER_KEY)), "no file holds it"),
    ],
)
def test_the_check_ends_with_1_for_any_error(files: Files, text: str, said: str) -> None:
    files.policy.write_text(text)
    ended = run("--check", *files.options)
    assert (ended.returncode, said in ended.stderr) == (1, True)


def test_the_check_needs_no_keys(files: Files) -> None:
    ended = run("--check", "--policy", str(files.policy))
    assert (ended.returncode, ended.stderr) == (0, "")
    files.policy.write_text("")
    assert run("--check", "--policy", str(files.policy)).stdout == (
        f"{files.policy} has no rules: nobody may use a key that the daemon holds.\n"
    )


def test_the_check_says_that_there_is_no_file(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "policy")
    monkeypatch.setattr(reader, "DEFAULT_PATH", path)
    assert check.check(reader.read_file(path), None, [], str(tmp_path)) == 0
    expected = f"There is no file {path}: nobody may use a key that the daemon holds.\n"
    assert capsys.readouterr() == (expected, "")


LOSS = "journald drops entries of desk.service"


def test_the_check_ends_with_1_if_journald_drops_entries(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(losses, "of_package", lambda namespace: [f"{LOSS}, {namespace}"])
    monkeypatch.setattr(process, "close_memory", lambda: None)
    assert main.main(["--check", *files.options]) == 1
    assert capsys.readouterr().err == f"{LOSS}, ordersigner\n"


@pytest.mark.parametrize(("used", "level", "said"), [(True, "info", 1), (True, "notice", 0), (False, "info", 0)])
def test_at_the_start_the_daemon_says_what_journald_drops(
    used: bool, level: str, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: list[str] = []
    service = Service(Journal(LEVELS[level], lambda entry, wait: entries.append(entry[0])))
    monkeypatch.setattr(losses, "of_this_process", lambda namespace: [LOSS])
    monkeypatch.setattr(journald, "is_used", lambda: used)
    monkeypatch.delenv("ORDERSIGNER_JOURNAL_NAMESPACE", raising=False)
    main.say_where_entries_go(service)
    assert entries == [f"MESSAGE={LOSS}"] * said
    assert ("journald drops entries" in service.status()) == bool(said)


def test_at_the_start_the_daemon_says_how_to_read_entries_about_held_keys(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no such journal here, so no held key signs."""
    monkeypatch.setenv("ORDERSIGNER_JOURNAL_NAMESPACE", "tests-have-no-such-journal")
    with standalone(files.directory, *files.options) as daemon:
        assert codes(daemon, LINE) == ["not_recorded"]
        assert daemon.ask(EXAMPLE_LINE) == EXAMPLE_RESPONSE
        assert "journalctl --namespace=+tests-have-no-such-journal --identifier ordersigner" in daemon.log
        assert "In force" not in daemon.log


def test_the_check_of_a_missing_file_is_an_error() -> None:
    ended = run("--check", "--policy", "/nonexistent")
    assert (ended.returncode, ended.stderr) == (1, "/nonexistent: it cannot be read: No such file or directory\n")


def test_the_readmes_rule_is_right_as_it_stands_and_lets_the_example_be_signed_now(files: Files) -> None:
    section = (SOURCE / "README.rst").read_text().split("\nHold a key\n", 1)[1].split("\n\n\n", 1)[0]
    block = "\n".join(re.findall("^    (.+)$", section, re.MULTILINE))
    lines = re.sub(r"\\\n|(?<=[|])\n", "", block).split("\n")
    (write,) = [line for line in lines if line.startswith("printf ")]
    (change,) = [line.partition("/usr/share")[0] for line in lines if line.startswith("sed ")]

    def in_bash(script: str, given: bytes = b"") -> bytes:
        script = f"sudo() {{ cat; }}; address={ADDRESS}; USER={pwd.getpwuid(ME).pw_name}; {script}"
        return subprocess.run(["bash", "-c", script], input=given, stdout=subprocess.PIPE, check=True).stdout

    files.policy.write_bytes(in_bash(write))
    checked = run("--check", *files.options)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert sides(checked.stdout)[1].partition(" expiry")[0] == "how low order.price may be"
    with standalone(files.directory, *files.options) as daemon:
        assert b'"signature"' in daemon.ask(in_bash(change, EXAMPLE_LINE))
        assert codes(daemon, LINE) == ["over_limit"]  # its timestamp is of another time


ALICE, BOB = 61001, 61002  # the numbers of no users here
# Programs that root runs. Each becomes the user of its first argument, and then connects to the path of its last one.
BECOME_AND_CONNECT = """
import array, os, socket, sys
uid, descriptor, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
other = socket.socket(fileno=descriptor)
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
"""
GIVE_CONNECTION = """
other.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))])
"""
ASK_ON_BOTH = """
((_, _, given),) = other.recvmsg(1, socket.CMSG_SPACE(4))[1]
line = sys.stdin.buffer.read()
for each in (socket.socket(fileno=array.array("i", given)[0]), connection):
    each.sendall(line)
    sys.stdout.buffer.write(each.makefile("rb").readline())
"""


@needs_root
def test_a_connection_that_another_user_is_given_stays_the_first_users(files: Files) -> None:
    files.policy.write_text(RULE.replace(f"users = {ME}", f"users = {ALICE}"))
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = f"{directory}/socket"
        ours, theirs = socket.socketpair()
        with ours, theirs, standalone(files.directory, *files.options, "--mode", "666", path=path) as daemon:
            alice, _ = as_user(ALICE, ours, path, GIVE_CONNECTION)
            _, answers = as_user(BOB, theirs, path, ASK_ON_BOTH, line=LINE)
            given, own = answers.splitlines(keepends=True)
            assert given == EXAMPLE_RESPONSE
            assert b"unknown_signer" in own
            (entry,) = [line for line in daemon.log.splitlines() if "Signed" in line]
            assert f"for uid {ALICE}, gid {ALICE}, pid {alice}" in entry


def as_user(uid: int, other: socket.socket, path: str, program: str, line: bytes = b"") -> tuple[int, bytes]:
    """Run a program to its end. Returns the number of its process, and its output."""
    arguments = [sys.executable, "-c", BECOME_AND_CONNECT + program, str(uid), str(other.fileno()), path]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[other.fileno()]
    ) as process:
        output, _ = process.communicate(line, TIME_LIMIT)
    assert process.returncode == 0
    return process.pid, output


def test_no_process_has_a_key_among_its_arguments_or_variables(files: Files) -> None:
    with standalone(files.directory, *files.options) as daemon:
        for name in ("cmdline", "environ"):
            assert KEY.encode() not in Path(f"/proc/{daemon.pid}/{name}").read_bytes()
        assert sys.executable.encode() in Path(f"/proc/{daemon.pid}/cmdline").read_bytes()
