"""A bot signs through OpenSSH, with the files and commands of docs/run/remote.rst. It gets signatures, nothing else.

One machine plays both parts: the bot's user is alice, the signer's account is bids-bot.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import pytest
from support.daemon import SOURCE, wait_until
from support.pages import is_printed, sessions

from ordersigner.signing import journal
from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, Packages, answer_on, ask, install, is_installed
from system.machine import TIMEOUT, Machine
from system.test_held_keys import BY_ADDRESS, KEY, KEYS, POLICY, restart, rule, seal, set_policy

ACCOUNT = "bids-bot"
PAGE = (SOURCE / "docs/run/remote.rst").read_text()
CONFIGURATION = "/etc/ssh/sshd_config.d/ordersigner.conf"
HOME = f"/home/{MEMBER}"
UNIT = f"{HOME}/.config/systemd/user/ordersigner-tunnel.service"


def block(name: str) -> str:
    """The page's file with this class."""
    found = re.search(rf"   :class: {name}\n\n((?:      .*\n|\n)+)", PAGE)
    assert found
    return textwrap.dedent(found[1]).strip() + "\n"


def command(beginning: str) -> str:
    """The page's command that begins so, in one line."""
    (found,) = (shown.words for shown in sessions(PAGE) if shown.words.startswith(beginning))
    return found


def prints_what_the_page_shows(command: str, printed: str) -> None:
    (output,) = (shown.output for shown in sessions(PAGE) if shown.words == command)
    assert is_printed(output, printed), printed


@pytest.fixture(scope="module")
def remote(machine: Machine, packages: Packages) -> Iterator[Machine]:
    """The machine with the package, a bot's account and its tunnel. A rule lets the account use a key."""
    if not is_installed(machine):
        install(machine, packages.built)
    policy = machine.run("cat", POLICY) + "\n"
    try:
        machine.run("tee", "--append", "/etc/hosts", input="127.0.0.1 signer\n")  # Debian 12's tree has none
        set_up_the_signers_side(machine)
        seal(machine, "bids", KEY)
        set_policy(machine, rule("bids", KEY, ACCOUNT))
        machine.run("systemctl", "start", "ordersigner.socket")
        restart(machine)
        set_up_the_bots_side(machine)
        yield machine
    finally:
        in_service(machine, "loginctl", "disable-linger", MEMBER)
        machine.run("loginctl", "terminate-user", MEMBER, check=False)  # on Debian 12 it has ended already
        wait_until(lambda: not machine.succeeds("pgrep", "-u", f"{MEMBER},{ACCOUNT}"), TIMEOUT)
        machine.run("userdel", ACCOUNT)
        machine.run("rm", "-rf", CONFIGURATION, "/etc/ssh/ordersigner", f"{HOME}/.ssh", f"{HOME}/.config")
        machine.run("systemctl", "restart", "ssh.service")
        machine.run("systemctl", "stop", "ordersigner.socket", SERVICE)
        machine.run("rm", f"{KEYS}/bids")
        machine.run("tee", POLICY, input=policy)
        machine.run("sed", "-i", "/signer/d", "/etc/hosts")


def set_up_the_signers_side(machine: Machine) -> None:
    """Makes the bot's key too, because the signer's side needs it."""
    in_home(machine, command("ssh-keygen -q "))
    public_key = in_home(machine, command("cat "))
    prints_what_the_page_shows(command("cat "), re.sub("AAAA[^ ]+", "AAAA", public_key))
    machine.run("sh", "-c", command("useradd "))
    machine.write(CONFIGURATION, block("sshd-config"))
    machine.run("sh", "-c", command("mkdir --parents /etc"))
    machine.run("sh", "-c", command("echo 'restrict").replace("ssh-ed25519 AAAA… bids-bot", public_key))
    machine.run("sh", "-c", command("sshd -t"))
    machine.run("sh", "-c", command("systemctl reload ssh"))


def set_up_the_bots_side(machine: Machine) -> None:
    *_, fingerprint = in_home(machine, command("ssh-keyscan ")).split("\n")  # Debian 12's prints a comment before it
    prints_what_the_page_shows(command("ssh-keyscan "), fingerprint)
    in_home(machine, command("mkdir --parents ~"))
    machine.write(UNIT, block("tunnel-unit"))
    in_service(machine, *command("loginctl ").split(), MEMBER)
    directory = tunnel(machine).rpartition("/")[0]
    wait_until(lambda: machine.succeeds("test", "-S", f"{directory}/systemd/private"), TIMEOUT)
    enable = command("systemctl --user enable")
    prints_what_the_page_shows(enable, in_home(machine, f"XDG_RUNTIME_DIR={directory} {enable}"))
    wait_until(lambda: machine.succeeds("test", "-S", tunnel(machine)), TIMEOUT)


def tunnel(machine: Machine) -> str:
    """The path of the socket on the bot's side."""
    return f"/run/user/{machine.run('id', '-u', MEMBER)}/ordersigner.sock"


def in_home(machine: Machine, script: str) -> str:
    return machine.run("env", f"HOME={HOME}", "sh", "-c", script, user=MEMBER)


def in_service(machine: Machine, *command: str) -> None:
    """Run a command that asks logind. It refuses processes from outside of the machine's control groups."""
    machine.run("systemd-run", "--quiet", "--wait", "--pipe", *command)


def ssh(*arguments: str) -> list[str]:
    options = ("BatchMode=yes", "IdentitiesOnly=yes", "ExitOnForwardFailure=yes")
    key = ["-i", f"{HOME}/.ssh/ordersigner", *(word for option in options for word in ("-o", option))]
    return ["env", f"HOME={HOME}", "ssh", *key, *arguments, f"{ACCOUNT}@signer"]


def test_a_bot_signs_with_a_held_key_and_its_own_and_the_journal_names_its_account(remote: Machine) -> None:
    before = remote.now()
    assert ask(remote, BY_ADDRESS, path=tunnel(remote)) == RESPONSE
    assert ask(remote, REQUEST, path=tunnel(remote)) == RESPONSE
    entries = remote.entries(f"MESSAGE_ID={journal.SIGNED}", since=before)
    account = remote.run("id", "-u", ACCOUNT)
    assert [entry["ORDERSIGNER_PEER_UID"] for entry in entries] == [account, account]
    assert entries[0]["ORDERSIGNER_RULE"] == "bids"
    process = entries[0]["ORDERSIGNER_PEER_PID"]
    assert remote.run("cat", f"/proc/{process}/comm") in ("sshd", "sshd-session")
    shows = command("journalctl ")
    prints_what_the_page_shows(shows, remote.run("sh", "-c", f"{shows} --lines 1"))


def test_the_bots_side_can_try_the_tunnel(remote: Machine) -> None:
    export, ping = command("export "), command("echo '{")
    directory = tunnel(remote).rpartition("/")[0]
    prints_what_the_page_shows(ping, in_home(remote, f"XDG_RUNTIME_DIR={directory}; {export}; {ping}"))


def test_the_pages_rule_has_no_problems(remote: Machine) -> None:
    policy = remote.run("cat", POLICY)
    try:
        set_policy(remote, block("rule"))
        prints_what_the_page_shows("ordersignerd --check", remote.run("ordersignerd", "--check"))
        remote.run("sh", "-c", command("systemctl reload ordersigner"))
    finally:
        set_policy(remote, policy)
        remote.run("systemctl", "reload", SERVICE)


def test_a_restart_of_the_daemon_does_not_end_a_connection_of_the_tunnel(remote: Machine) -> None:
    with remote.started("nc", "-U", tunnel(remote), user=MEMBER) as client:
        assert answer_on(client, BY_ADDRESS) == RESPONSE
        process = remote.property(SERVICE, "MainPID")
        restart(remote)
        assert remote.property(SERVICE, "MainPID") != process
        assert answer_on(client, BY_ADDRESS) == RESPONSE


def test_a_tunnel_that_was_killed_comes_back_and_finds_a_socket_in_a_new_directory(remote: Machine) -> None:
    remote.run("systemctl", "stop", "ordersigner.socket")
    remote.run("rmdir", "/run/ordersigner")
    remote.run("systemctl", "start", "ordersigner.socket")
    assert answer_to_ping(remote) == ""  # its login is still in the old directory
    remote.run("pkill", "--signal", "KILL", "-u", MEMBER, "-x", "ssh")  # which leaves the socket behind
    wait_until(lambda: '"ok": true' in answer_to_ping(remote), TIMEOUT)
    assert ask(remote, BY_ADDRESS, path=tunnel(remote)) == RESPONSE


def answer_to_ping(machine: Machine) -> str:
    return machine.run(
        "nc", "-N", "-U", tunnel(machine), user=MEMBER, input='{"type": "ping"}\n', check=False, timeout=60
    )


def test_a_bots_account_gets_no_shell_no_command_and_no_file(remote: Machine) -> None:
    for arguments in ((), ("-t", "-t"), ("-s",)):
        with remote.started(*ssh(*arguments), "sftp" if "-s" in arguments else "id", user=MEMBER, merge=True) as client:
            output, _ = client.communicate("id\n", timeout=60)
        assert client.returncode != 0
        assert "uid=" not in output


@pytest.mark.parametrize(
    "forwarding",
    [("-R", "2222:127.0.0.1:22"), ("-R", "/tmp/remote.sock:/run/dbus/system_bus_socket"), ("-w", "0")],
    ids=["TCP", "Unix socket", "tunnel device"],
)
def test_a_bots_account_can_have_nothing_forwarded_from_the_signers_machine(
    remote: Machine, forwarding: tuple[str, str]
) -> None:
    with remote.started(*ssh("-N", *forwarding), user=MEMBER, merge=True) as client:
        output, _ = client.communicate(timeout=60)
    assert client.returncode == 255
    assert re.search("failed|not permitted|No such device", output), output


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:22",
        "/run/dbus/system_bus_socket",  # every user on the machine may connect to it
        "/run/systemd/journal/stdout",  # to this one too
        "/run/ordersigner/ordersigner.sock",  # the same socket, by the path outside
        "/../run/dbus/system_bus_socket",
    ],
)
def test_a_bots_account_reaches_no_port_and_no_other_socket(remote: Machine, target: str) -> None:
    assert remote.succeeds("test", "-S", "/run/dbus/system_bus_socket", user=ACCOUNT)
    local = "/tmp/other.sock"
    with remote.started(*ssh("-v", "-N", "-L", f"{local}:{target}"), user=MEMBER, merge=True) as client:
        wait_until(lambda: remote.succeeds("test", "-S", local), TIMEOUT)
        assert remote.run("nc", "-N", "-U", local, user=MEMBER, input="x\n", timeout=60) == ""
        remote.run("pkill", "-u", MEMBER, "-f", local)
        output, _ = client.communicate(timeout=60)
    assert re.search(r"open failed: (administratively prohibited|connect failed): open failed", output), output
    remote.run("rm", "-f", local)
