"""Keys that the daemon holds: sealed files become its keys, and nothing about them keeps it from serving.

The journal and the status line say what is wrong with a sealed file. The policy says which user may use which key.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import SOURCE, wait_until
from support.held import address

from system.conftest import (
    MEMBER,
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    STATE,
    STRANGER,
    Packages,
    answer_on,
    ask,
    drop_in,
    install,
    is_installed,
)
from system.machine import TIMEOUT, Machine
from system.test_units import answer_of, waiting_client

CHECK_KEYS = "ordersigner-check-keys.service"
INSTANCE = "ordersigner@2.service"
KEYS = "/etc/ordersigner/keys"
POLICY = "/etc/ordersigner/policy"
OPENED, REFUSED = "/run/ordersigner-keys", "/run/ordersigner-refused-keys"
SECRET = "/var/lib/systemd/credential.secret"
UNUSABLE = "d707e20fd5224daca2eead26cd442dbd"  # the MESSAGE_ID of an entry that names a key and what is wrong with it
MOST_EXPOSED = 0.9
MOST_KEYS = 200

KEY = REQUEST["signer"][2:]  # with it a request by address has the response of the example
OTHER_KEY = secrets.token_hex(32)


# A policy that was right for an earlier version. Now line 2 is wrong because it moves money, line 5 because this action
# has no price, and line 8 because it has no side.
EARLIER_SECTIONS = """[hyperliquid transfers]
actions = order vaultTransfer
[hyperliquid slowly]
actions = twapOrder
max-price = 100
[hyperliquid later]
actions = scheduleCancel
sides = buy
"""

BY_ADDRESS = {**REQUEST, "signer": address(KEY)}
BY_OTHER_ADDRESS = {**REQUEST, "signer": address(OTHER_KEY)}


def rule(name: str, key: str, user: str = MEMBER, *more: str) -> str:
    lines = [f"[rule {name}]", f"key = {address(key)}", f"users = {user}", "accounts = any", "markets = any", *more]
    return "\n".join(lines) + "\n"


@pytest.fixture
def holder(installed: Machine) -> Iterator[Machine]:
    """The machine with the installed package, where tests put keys and a policy. All are removed at the end."""
    policy = installed.run("cat", POLICY) + "\n"
    yield installed
    if not is_installed(installed):
        return
    installed.run("systemctl", "stop", "ordersigner.socket", SERVICE, INSTANCE, CHECK_KEYS)
    installed.run("rm", "-rf", f"/run/systemd/system/{CHECK_KEYS}.d", f"/run/systemd/system/{CHECK_KEYS}")
    installed.run("systemctl", "daemon-reload")
    installed.run("sh", "-c", f"find {KEYS} -mindepth 1 -delete; rm -rf {OPENED} {REFUSED} {STATE}")
    installed.run("tee", POLICY, input=policy)


def seal(machine: Machine, name: str, key: str, *options: str, file: str = "") -> None:
    command = ["systemd-creds", "encrypt", "--with-key=host", f"--name=key_{name}", *options]
    machine.run(*command, "-", f"{KEYS}/{file or name}", input=key)


def set_policy(machine: Machine, *rules: str) -> None:
    machine.run("tee", POLICY, input="\n".join(rules))


def restart(machine: Machine, *units: str) -> None:
    machine.run("systemctl", "restart", *(units or (SERVICE,)))


def status(machine: Machine, unit: str = SERVICE) -> str:
    return machine.property(unit, "StatusText")


def wait_for_status(machine: Machine, unit: str, end: str) -> None:
    wait_until(lambda: status(machine, unit).endswith(end), TIMEOUT)


def reasons(machine: Machine, since: int) -> list[tuple[str, str]]:
    """Which keys were named since then, and what was said about each."""
    entries = machine.entries(f"MESSAGE_ID={UNUSABLE}", since=since)
    return [(entry["ORDERSIGNER_KEY"], entry["ORDERSIGNER_REASON"]) for entry in entries]


def refusal(response: object) -> tuple[str, str]:
    """The field and the code of the first problem."""
    assert isinstance(response, dict)
    field, problems = next(iter(response["error"]["context"].items()))
    return field, problems[0]["code"]


def test_verify_reports_nothing(holder: Machine) -> None:
    assert holder.run("systemd-analyze", "verify", CHECK_KEYS) == ""


def test_systemd_calls_the_unit_that_checks_the_keys_safe(holder: Machine) -> None:
    report = holder.run("systemd-analyze", "security", "--no-pager", CHECK_KEYS)
    exposure = re.search(rf"Overall exposure level for {CHECK_KEYS}: ([0-9.]+)", report)
    assert exposure is not None, report
    assert float(exposure[1]) <= MOST_EXPOSED, report


def test_no_system_call_that_opening_a_key_or_a_reload_makes_is_filtered(holder: Machine) -> None:
    """Here a filtered call would kill the process, so the error that the units ask for hides nothing."""
    drop_in(holder, SERVICE, "[Service]\nSystemCallErrorNumber=kill\n")
    with_check(holder, "SystemCallErrorNumber=kill")
    seal(holder, "good", KEY)
    seal(holder, "bad", KEY, file="renamed")
    set_policy(holder, rule("good", KEY))
    assert ask(holder, BY_ADDRESS) == RESPONSE
    holder.run("systemctl", "reload", SERVICE)
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert holder.property(CHECK_KEYS, "Result") == "success"
    assert holder.property(SERVICE, "NRestarts") == "0"


def test_only_root_reads_the_keys_and_only_the_daemon_also_the_policy(holder: Machine) -> None:
    modes = holder.run("stat", "--format=%A %U %G", "/etc/ordersigner", KEYS, POLICY).splitlines()
    assert modes == ["drwxr-xr-x root root", "drwx------ root root", "-rw-r----- root ordersigner-policy"]
    holder.run("systemctl", "start", SERVICE)
    group = holder.run("getent", "group", "ordersigner-policy").split(":")
    assert group[3] == ""
    groups = re.findall(r"^Groups:\t(.*)", process_status(holder), re.MULTILINE)
    assert group[2] in groups[0].split()


def process_status(machine: Machine) -> str:
    return machine.run("cat", f"/proc/{machine.property(SERVICE, 'MainPID')}/status")


def test_without_keys_nothing_is_done_or_said_about_them(holder: Machine) -> None:
    before = holder.now()
    assert ask(holder, REQUEST) == RESPONSE
    assert holder.property(CHECK_KEYS, "ConditionResult") == "no"
    wait_until(lambda: status(holder) == "1 signed, 0 refused, 0 failed", TIMEOUT)
    assert reasons(holder, before) == []


def test_without_the_directory_of_keys_the_daemon_serves(holder: Machine) -> None:
    holder.run("rmdir", KEYS)
    try:
        assert ask(holder, REQUEST) == RESPONSE
    finally:
        holder.run("mkdir", "--mode=0700", KEYS)


def test_the_manuals_lines_give_a_signature_with_a_sealed_key(holder: Machine) -> None:
    """All lines of the section."""
    section = (SOURCE / "docs/start/hold-keys.rst").read_text().split("\nWithout ordersigner-keys\n", 1)[1]
    commands = re.findall(r"^    (.+)$", section.replace("\\\n", ""), re.MULTILINE)
    assert commands[0].startswith("systemd-creds encrypt ")
    holder.write("/root/bids.txt", KEY)
    set_policy(holder, rule("bids", KEY))
    for command in commands:
        holder.run("sh", "-c", f"cd /root && {command}")
    assert not holder.succeeds("test", "-e", "/root/bids.txt")
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert status(holder).endswith("; 1 of 1 keys")


def test_a_user_may_use_only_the_keys_that_its_rules_name(holder: Machine) -> None:
    holder.run("usermod", "--append", "--groups", "ordersigner", STRANGER)
    try:
        seal(holder, "first", KEY)
        seal(holder, "second", OTHER_KEY)
        set_policy(holder, rule("first", KEY), rule("second", OTHER_KEY, STRANGER))
        assert ask(holder, BY_ADDRESS) == RESPONSE
        own = ask(holder, {**REQUEST, "signer": OTHER_KEY}, user=STRANGER)
        assert ask(holder, BY_OTHER_ADDRESS, user=STRANGER) == own
        nobodys = {**REQUEST, "signer": "0x" + "1" * 40}
        refused = [
            ask(holder, BY_OTHER_ADDRESS),
            ask(holder, BY_ADDRESS, user=STRANGER),
            ask(holder, BY_ADDRESS, user="root"),
            ask(holder, nobodys),
        ]
        assert [refusal(response) for response in refused] == [("signer", "unknown_signer")] * 4
        assert all(response == refused[0] for response in refused)
    finally:
        holder.run("gpasswd", "--delete", STRANGER, "ordersigner")


def test_a_new_user_with_a_deleted_users_number_is_refused_without_a_reload(holder: Machine) -> None:
    before = holder.now()
    seal(holder, "good", KEY)
    users = ["bid-bot"]
    holder.run("useradd", "--groups", "ordersigner", "bid-bot")
    try:
        set_policy(holder, rule("good", KEY, "bid-bot"))
        restart(holder)
        assert ask(holder, BY_ADDRESS, user="bid-bot") == RESPONSE
        with holder.started("nc", "-U", SOCKET, user="bid-bot") as client:
            assert answer_on(client, BY_ADDRESS) == RESPONSE
            number = holder.run("id", "--user", "bid-bot")
            holder.run("userdel", "--force", users.pop())
            holder.run("useradd", "--uid", number, "--groups", "ordersigner", "mallory")
            users.append("mallory")
            assert refusal(ask(holder, BY_ADDRESS, user="mallory")) == ("signer", "unknown_signer")
            assert refusal(answer_on(client, BY_ADDRESS)) == ("signer", "unknown_signer")
            client.terminate()
        assert ask(holder, REQUEST, user="mallory") == RESPONSE  # with a key of its own
        messages = [entry["MESSAGE"] for entry in holder.entries("SYSLOG_IDENTIFIER=ordersigner", since=before)]
        assert messages.count("Users or groups of the policy have changed. They are now bid-bot (nobody)") == 1
    finally:
        for user in users:
            holder.run("userdel", user)


FAULTS = {
    "corrupt": "it is damaged, or was sealed on another host",
    "expired": "it has expired",
    "folder": "it is not a regular file, or does not belong to root",
    "foreign": "it is damaged, or was sealed on another host",
    "half": "it is not a file that systemd-creds made, or only part of one",
    "not-sealed": "it is not a file that systemd-creds made, or only part of one",
    "not-there": "it is not a regular file, or does not belong to root",
    "of-a-user": "it is not a regular file, or does not belong to root",
    "renamed": "it was sealed with the name key_earlier instead of key_renamed",
    "two_words": "a name may have only letters, digits, dots and hyphens, and at most 200 of them",
    "l" * 200: "a name may have only letters, digits, dots and hyphens, and at most 200 of them",
}


def make_faulty_files(machine: Machine) -> None:
    """One for each of FAULTS."""
    seal(machine, "earlier", OTHER_KEY, file="renamed")
    seal(machine, "two_words", OTHER_KEY, file="two words")
    seal(machine, "expired", OTHER_KEY, "--timestamp=2020-01-01", "--not-after=2020-01-02")
    for name in ("corrupt", "half", "of-a-user", "l" * 201):
        seal(machine, name, OTHER_KEY)
    machine.run(
        "sh",
        "-ec",
        f"cd {KEYS}; sed -i '2s/^..../AAAA/' corrupt; truncate -s 100 half; chmod 600 of-a-user; chown bob of-a-user",
    )
    machine.run("sh", "-ec", f"cd {KEYS}; mkdir folder; ln -s /nonexistent not-there; echo {OTHER_KEY} >not-sealed")
    machine.run("mv", SECRET, "/root/secret")
    machine.run("systemd-creds", "setup")
    seal(machine, "foreign", OTHER_KEY)
    machine.run("mv", "/root/secret", SECRET)


def test_files_that_cannot_be_opened_are_named_once_and_the_good_keys_work(holder: Machine) -> None:
    seal(holder, "good", KEY)
    make_faulty_files(holder)
    seal(holder, "zzz", secrets.token_hex(32))
    holder.run("cp", f"{KEYS}/corrupt", f"{KEYS}/.hidden")
    set_policy(holder, rule("good", KEY))
    before = holder.now()
    assert ask(holder, BY_ADDRESS) == RESPONSE

    assert sorted(reasons(holder, before)) == sorted(FAULTS.items())
    assert holder.property(SERVICE, "NRestarts") == "0"
    assert status(holder).endswith(f"; 2 of {2 + len(FAULTS)} keys")
    assert sorted(holder.run("ls", "-A", OPENED).split()) == ["good", "zzz"]
    # People find the entries among those of the daemon's unit, with an explanation.
    assert "Cannot use the key" in holder.run("journalctl", "--no-pager", "--unit", SERVICE)
    explained = holder.run("journalctl", "--no-pager", "--catalog", f"MESSAGE_ID={UNUSABLE}", "ORDERSIGNER_KEY=renamed")
    assert "Subject: A key cannot be used" in explained
    assert re.search(f"The key in {KEYS}/renamed cannot be used:\n.* {FAULTS['renamed']}", explained), explained


def test_no_key_is_in_the_journal_or_in_a_readable_file(holder: Machine) -> None:
    seal(holder, "good", KEY)
    make_faulty_files(holder)
    holder.run("rm", f"{KEYS}/not-sealed")
    set_policy(holder, rule("good", KEY))
    before = holder.now()
    assert ask(holder, BY_ADDRESS) == RESPONSE
    restart(holder)
    entries = holder.entries(since=before)
    assert len(entries) > len(FAULTS)
    written = json.dumps(entries).lower()
    search = f"grep --recursive --ignore-case --files-with-matches -e {KEY} -e {OTHER_KEY}"
    found = holder.run("sh", "-c", f"{search} /run/ordersigner* /etc /tmp /var/tmp /var/lib", check=False)
    for key in (KEY, OTHER_KEY):
        assert key not in written
    assert found == ""


def test_with_bad_keys_only_the_daemon_still_serves_and_says_so(holder: Machine) -> None:
    make_faulty_files(holder)
    set_policy(holder, rule("lost", KEY))
    assert ask(holder, REQUEST) == RESPONSE
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "key_unavailable")
    assert status(holder).endswith(f"; 0 of {len(FAULTS)} keys")


def test_a_key_that_is_added_replaced_or_removed_counts_from_the_next_restart(holder: Machine) -> None:
    set_policy(holder, rule("any", KEY), rule("other", OTHER_KEY))
    seal(holder, "one", OTHER_KEY)
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "key_unavailable")
    seal(holder, "one", KEY)
    seal(holder, "bad", KEY, file="two")
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "key_unavailable")
    restart(holder)
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert refusal(ask(holder, BY_OTHER_ADDRESS)) == ("signer", "key_unavailable")
    holder.run("sh", "-c", f"rm {KEYS}/*")
    restart(holder)
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "key_unavailable")
    assert holder.run("ls", "-A", OPENED, REFUSED).split() == [f"{OPENED}:", f"{REFUSED}:"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("ExecStart=\nExecStart=/usr/bin/false", id="fails"),
        pytest.param("ExecStart=\nExecStart=/nonexistent", id="is-not-there"),
        pytest.param("ExecStart=\nExecStart=/usr/bin/sleep infinity\nTimeoutStartSec=1", id="hangs"),
        pytest.param("ExecStart=\nExecStart=/bin/sh -c 'kill -KILL $$$$'", id="is-killed"),
        pytest.param("", id="is-masked"),
    ],
)
def test_a_check_that_does_not_work_keeps_no_client_waiting_and_no_key_away_that_was_there(
    holder: Machine, fault: str
) -> None:
    """First with nothing in /run, as after a boot, then with the keys of an earlier start."""
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    if fault:
        with_check(holder, fault)
    else:
        holder.run("systemctl", "mask", "--runtime", CHECK_KEYS)
    with waiting_client(holder) as client:
        assert answer_of(client) == RESPONSE
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "key_unavailable")

    holder.run("rm", "-rf", f"/run/systemd/system/{CHECK_KEYS}.d", f"/run/systemd/system/{CHECK_KEYS}")
    holder.run("systemctl", "daemon-reload")
    restart(holder)
    assert ask(holder, BY_ADDRESS) == RESPONSE
    if fault:
        with_check(holder, fault)
    else:
        holder.run("systemctl", "mask", "--runtime", CHECK_KEYS)
    restart(holder)
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert holder.property(SERVICE, "NRestarts") == "0"


def test_a_key_that_expires_after_the_last_check_does_not_keep_the_daemon_from_starting(holder: Machine) -> None:
    seal(holder, "brief", KEY, "--not-after=+4s")
    set_policy(holder, rule("brief", KEY))
    assert ask(holder, BY_ADDRESS) == RESPONSE
    holder.run("systemctl", "mask", "--runtime", CHECK_KEYS)
    opens = ["systemd-creds", "decrypt", "--name=key_brief", f"{OPENED}/brief", "-"]
    wait_until(lambda: not holder.succeeds(*opens), TIMEOUT)
    holder.run("systemctl", "restart", "--no-block", SERVICE)
    wait_until(lambda: status(holder).endswith("; 0 of 1 keys"), TIMEOUT)
    assert ask(holder, REQUEST) == RESPONSE
    assert holder.property(SERVICE, "NRestarts") == "1"


def with_check(machine: Machine, settings: str) -> None:
    """Change the unit that checks the keys until the end of the test."""
    drop_in(machine, CHECK_KEYS, f"[Service]\n{settings}\n")


def test_keys_for_which_there_is_no_time_are_named_and_the_others_work(holder: Machine) -> None:
    """systemd-creds takes as long as it may for one of the keys."""
    slow = '#!/bin/sh\ncase $* in *key_m-slow*) exec sleep infinity ;; esac\nexec /usr/bin/systemd-creds "$@"\n'
    holder.write("/usr/local/lib/slow/systemd-creds", slow)
    holder.run("chmod", "+x", "/usr/local/lib/slow/systemd-creds")
    with_check(
        holder,
        "Environment=PATH=/usr/local/lib/slow:/usr/bin\nExecPaths=/usr/local/lib/slow\nTimeoutStartSec=2",
    )
    for name, key in (("good", KEY), ("m-slow", OTHER_KEY), ("z", secrets.token_hex(32))):
        seal(holder, name, key)
    set_policy(holder, rule("good", KEY))
    before = holder.now()
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert [name for name, _ in reasons(holder, before)] == ["m-slow", "z"]
    assert all("time" in reason or "too long" in reason for _, reason in reasons(holder, before))
    assert status(holder).endswith("; 1 of 3 keys")
    assert holder.property(CHECK_KEYS, "Result") == "timeout"


def test_more_keys_than_systemd_has_room_for_are_refused_and_the_daemon_starts(holder: Machine) -> None:
    sealing = "od -An -N32 -tx1 /dev/urandom | tr -d ' \\n' | systemd-creds encrypt --with-key=host"
    command = f"for i in $(seq 1000 1{MOST_KEYS + 4}); do {sealing} --name=key_$i - {KEYS}/$i || exit; done"
    holder.run("sh", "-c", command)
    before = holder.now()
    assert ask(holder, REQUEST) == RESPONSE
    assert [name for name, _ in reasons(holder, before)] == [str(1000 + MOST_KEYS + i) for i in range(5)]
    assert f"{MOST_KEYS} of {MOST_KEYS} keys" in status(holder)
    assert holder.property(SERVICE, "NRestarts") == "0"


@contextlib.contextmanager
def replaced(machine: Machine, path: str, content: str | None) -> Iterator[None]:
    """Another content for a file, or none, and the real one back at the end."""
    machine.run("cp", "--preserve", path, "/root/saved")
    try:
        if content is None:
            machine.run("rm", path)
        else:
            machine.run("tee", path, input=content)
        yield
    finally:
        machine.run("sh", "-c", f"test -e {path} || cp --preserve /root/saved {path}; cat /root/saved >{path}")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param(SECRET, None, id="secret-is-gone"),
        pytest.param("/etc/machine-id", "a" * 32 + "\n", id="machine-id-is-another"),
    ],
)
def test_without_the_hosts_secret_the_daemon_serves_and_with_it_again_the_keys_work(
    holder: Machine, path: str, content: str | None
) -> None:
    """systemd deletes the secret if the machine-id is another. The check must not do that, nor let systemd do it."""
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    assert ask(holder, BY_ADDRESS) == RESPONSE
    secret = holder.run("sha256sum", SECRET)
    with replaced(holder, path, content):
        before = holder.now()
        restart(holder)
        assert ask(holder, REQUEST) == RESPONSE
        assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "key_unavailable")
        assert status(holder).endswith("; 0 of 1 keys")
        if path != SECRET:
            assert holder.run("sha256sum", SECRET) == secret
    ((name, reason),) = reasons(holder, before)  # journalctl needs the machine-id too
    assert (name, SECRET in reason) == ("good", True)
    restart(holder)
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert holder.run("sha256sum", SECRET) == secret


def test_twelve_restarts_at_once_work(holder: Machine) -> None:
    seal(holder, "good", KEY)
    make_faulty_files(holder)
    set_policy(holder, rule("good", KEY))
    holder.run("systemctl", "start", SERVICE, INSTANCE)
    restarts = f"for i in $(seq 6); do systemctl restart {SERVICE} & systemctl restart {INSTANCE} & done; wait"
    with waiting_client(holder) as client:
        holder.run("sh", "-c", restarts)
        assert answer_of(client) == RESPONSE
    for unit in (SERVICE, INSTANCE):
        wait_for_status(holder, unit, f"; 1 of {1 + len(FAULTS)} keys")
        assert holder.property(unit, "NRestarts") == "0"
    for _ in range(10):
        assert ask(holder, BY_ADDRESS) == RESPONSE


def test_after_a_reboot_the_first_client_is_served_with_a_held_key_also_by_an_instance(holder: Machine) -> None:
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    # An editor that replaces the file leaves it with another group.
    holder.run("sh", "-c", f"cp {POLICY} {POLICY}.new && chmod 600 {POLICY}.new && mv {POLICY}.new {POLICY}")
    holder.run("systemctl", "enable", INSTANCE)
    try:
        holder.reboot()
        assert ask(holder, BY_ADDRESS) == RESPONSE
        for unit in (SERVICE, INSTANCE):
            wait_for_status(holder, unit, "; 1 of 1 keys")
        for _ in range(10):
            assert ask(holder, BY_ADDRESS) == RESPONSE
        assert holder.run("stat", "--format=%A %U %G", POLICY) == "-rw-r----- root ordersigner-policy"
    finally:
        holder.run("systemctl", "disable", "--now", INSTANCE)


def test_after_a_reload_no_process_signs_under_the_earlier_policy(holder: Machine) -> None:
    """Neither on a connection that was open before, nor what waited in a process that did not run."""
    seal(holder, "good", KEY)
    holder.run("systemctl", "start", SERVICE, INSTANCE)
    processes = [holder.property(unit, "MainPID") for unit in (SERVICE, INSTANCE)]
    with contextlib.ExitStack() as cleanup:
        clients = []
        for other in (INSTANCE, SERVICE):
            with stopped(holder, other):
                clients.append(cleanup.enter_context(holder.started("nc", "-U", SOCKET, user=MEMBER)))
                assert refusal(answer_on(clients[-1], BY_ADDRESS)) == ("signer", "unknown_signer")
        for _ in range(4):
            set_policy(holder, rule("good", KEY))
            holder.run("systemctl", "reload", SERVICE)
            assert [answer_on(client, BY_ADDRESS) for client in clients] == [RESPONSE] * 2
            set_policy(holder)
            holder.run("systemctl", "reload", SERVICE)
            refused = [refusal(answer_on(client, BY_ADDRESS)) for client in reversed(clients)]
            assert refused == [("signer", "unknown_signer")] * 2

        set_policy(holder, rule("good", KEY))
        holder.run("systemctl", "reload", SERVICE)
        (in_instance,) = clients[1:]
        assert answer_on(in_instance, BY_ADDRESS) == RESPONSE
        assert in_instance.stdin is not None
        assert in_instance.stdout is not None
        with stopped(holder, INSTANCE):
            in_instance.stdin.write(3 * (json.dumps(BY_ADDRESS) + "\n"))
            in_instance.stdin.flush()
            set_policy(holder)
            holder.run("systemctl", "reload", SERVICE)
        refused = [refusal(json.loads(in_instance.stdout.readline())) for _ in range(3)]
        assert refused == [("signer", "unknown_signer")] * 3
    assert [holder.property(unit, "MainPID") for unit in (SERVICE, INSTANCE)] == processes


@contextlib.contextmanager
def stopped(machine: Machine, unit: str) -> Iterator[None]:
    """A process of the daemon that takes no connections for a while."""
    process = machine.property(unit, "MainPID")
    machine.run("systemctl", "kill", "--signal=STOP", unit)
    try:
        # The signal is on its way when the command returns. "T" is the state of a stopped thread.
        states = f"sed 's/.*) //' /proc/{process}/task/*/stat | cut -d ' ' -f 1 | sort -u"
        wait_until(lambda: machine.run("sh", "-c", states).split() == ["T"], TIMEOUT)
        yield
    finally:
        machine.run("systemctl", "kill", "--signal=CONT", unit)


def test_a_reload_with_a_broken_policy_fails_says_why_and_leaves_the_old_one_in_force(holder: Machine) -> None:
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    assert ask(holder, BY_ADDRESS) == RESPONSE
    process = holder.property(SERVICE, "MainPID")
    set_policy(holder, rule("good", KEY), "[rule broken]\nkey = " + OTHER_KEY + "\n")
    before = holder.now()
    assert "failed" in holder.run("systemctl", "reload", SERVICE, check=False)
    assert ask(holder, BY_ADDRESS) == RESPONSE
    assert holder.property(SERVICE, "MainPID") == process
    entries = holder.entries(f"_SYSTEMD_UNIT={SERVICE}", since=before)
    assert any(entry["MESSAGE"].startswith(f"{POLICY}:8: ") for entry in entries), entries
    assert f"{POLICY}:8: " in holder.run("systemctl", "status", SERVICE)
    assert OTHER_KEY not in json.dumps(entries)


def test_a_broken_policy_at_the_start_leaves_keys_of_clients_working(holder: Machine) -> None:
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY), "nonsense\n")
    before = holder.now()
    assert ask(holder, REQUEST) == RESPONSE
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "unknown_signer")
    errors = [entry["MESSAGE"] for entry in holder.entries(f"_SYSTEMD_UNIT={SERVICE}", "PRIORITY=3", since=before)]
    assert [f"{POLICY}:7: " in message for message in errors] == [True]


def test_a_new_policy_and_the_keys_survive_an_upgrade(holder: Machine, packages: Packages) -> None:
    """On the way back, the policy has lines that are errors, as an earlier version's may be for a new one."""
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    holder.run("systemctl", "start", SERVICE)
    try:
        assert POLICY not in install(holder, packages.newer)
        assert ask(holder, BY_ADDRESS) == RESPONSE
        assert holder.run("stat", "--format=%A %U %G", POLICY) == "-rw-r----- root ordersigner-policy"
        set_policy(holder, EARLIER_SECTIONS, rule("good", KEY))
    finally:
        output = install(holder, packages.built)
    said = output.split("until they are corrected, no held key can be used:\n", 1)[1]
    assert re.findall(f"^  {POLICY}:([0-9]+): ", said, re.MULTILINE) == ["2", "5", "8"]
    assert ask(holder, REQUEST) == RESPONSE
    assert refusal(ask(holder, BY_ADDRESS)) == ("signer", "unknown_signer")
    set_policy(holder, rule("good", KEY))
    (news,) = re.findall("^(/.+) says what has changed", said, re.MULTILINE)
    assert holder.succeeds("test", "-f", news)
    for command in re.findall("^  ((?:ordersignerd|systemctl) .+)$", said, re.MULTILINE):
        holder.run(*command.split())
    assert ask(holder, BY_ADDRESS) == RESPONSE


def test_an_upgrade_from_a_package_without_held_keys_works(holder: Machine, packages: Packages, tmp_path: Path) -> None:
    earlier = without_held_keys(packages.built, tmp_path)
    holder.write(f"/root/{earlier.name}", "")
    (holder.tree / f"root/{earlier.name}").write_bytes(earlier.read_bytes())
    holder.run("apt-get", "purge", "--yes", "ordersigner")
    try:
        install(holder, earlier)
        assert ask(holder, REQUEST) == RESPONSE
        assert not holder.succeeds("test", "-e", "/etc/ordersigner")
    finally:
        install(holder, packages.built)
    assert holder.property(SERVICE, "NRestarts") == "0"
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    restart(holder)
    assert ask(holder, BY_ADDRESS) == RESPONSE


def without_held_keys(package: Path, directory: Path) -> Path:
    """A package of an earlier version without the files and settings that held keys need."""
    work = directory / "content"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(work)], check=True)
    subprocess.run(["rm", "-r", str(work / "etc"), str(work / "DEBIAN/conffiles")], check=True)
    for pattern in ("usr/lib/tmpfiles.d", "**/check-keys", f"**/{CHECK_KEYS}"):
        (path,) = work.glob(pattern)
        subprocess.run(["rm", "-r", str(path)], check=True)
    later = (
        "SetCredential|LoadCredential|SupplementaryGroups|ExecReload|ReloadPropagatedFrom|(Wants|After)=.*-check-keys"
    )
    settings = re.compile(f"^({later}).*\n", re.MULTILINE)
    for unit in work.glob("**/ordersigner*.service"):
        unit.write_text(settings.sub("", unit.read_text()))
    (sysusers,) = work.glob("usr/lib/sysusers.d/*")
    sysusers.write_text("g ordersigner -\n")
    control = work / "DEBIAN/control"
    control.write_text(re.sub("^Version: .*", "Version: 0.9", control.read_text(), flags=re.MULTILINE))
    earlier = directory / "ordersigner_0.9.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(work), str(earlier)], check=True)
    return earlier


def test_removal_keeps_keys_policy_and_state_and_purge_only_the_keys(holder: Machine, packages: Packages) -> None:
    seal(holder, "good", KEY)
    set_policy(holder, rule("good", KEY))
    assert ask(holder, BY_ADDRESS) == RESPONSE
    sealed = holder.run("sha256sum", f"{KEYS}/good")
    holder.run("apt-get", "remove", "--yes", "ordersigner")
    assert not any(holder.succeeds("test", "-e", path) for path in (OPENED, REFUSED))
    assert holder.succeeds("test", "-d", STATE)
    install(holder, packages.built)
    assert ask(holder, BY_ADDRESS) == RESPONSE

    output = holder.run("apt-get", "purge", "--yes", "ordersigner")
    commands = re.findall("^  (rm .+)$", output, re.MULTILINE)
    assert [command.split("/")[1] for command in commands] == ["etc", "var"]  # the keys, and the journal about them
    assert KEYS in output
    assert holder.run("find", "/var/lib", "-name", "*ordersigner*") == ""
    assert holder.run("find", "/etc/ordersigner").splitlines() == ["/etc/ordersigner", KEYS, f"{KEYS}/good"]
    assert holder.run("sha256sum", f"{KEYS}/good") == sealed
    install(holder, packages.built)
    assert status_after_start(holder).endswith("; 1 of 1 keys")

    holder.run("apt-get", "purge", "--yes", "ordersigner")
    for command in commands:
        holder.run("sh", "-c", command)
    assert not holder.succeeds("test", "-e", "/etc/ordersigner")
    install(holder, packages.built)
    output = holder.run("apt-get", "purge", "--yes", "ordersigner")
    assert "stay" not in output
    assert not holder.succeeds("test", "-e", "/etc/ordersigner")
    install(holder, packages.built)


def status_after_start(machine: Machine) -> str:
    machine.run("systemctl", "start", SERVICE)
    return status(machine)
