"""The package ordersigner-keys, next to the daemon's: its files, and the tool with systemd's own sealing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest
from eth_account import Account
from support.daemon import SOURCE, vectors

from system.conftest import (
    AS_ROOT,
    MEMBER,
    REQUEST,
    RESPONSE,
    STRANGER,
    Packages,
    ask,
    install,
    shown,
    without_what_differs,
)
from system.machine import Machine

PRIVATE = "/usr/lib/ordersigner-keys"
KEYS = "/etc/ordersigner/keys"
KEY = REQUEST["signer"][2:]
ADDRESS = Account.from_key(KEY).address
(OLD,) = vectors("keystores/eth-account")  # needs pycryptodome's scrypt
MNEMONIC = "test test test test test test test test test test test junk"
MNEMONIC_ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.fixture
def tool(installed: Machine, packages: Packages) -> Iterator[Machine]:
    """The machine with both packages and without keys."""
    if not installed.succeeds("test", "-e", "/usr/sbin/ordersigner-keys"):
        install(installed, packages.tool)
    was_there = installed.succeeds("test", "-e", "/etc/ordersigner")
    yield installed
    installed.run("find", KEYS, "-type", "f", "-delete", check=False)
    if not was_there:
        installed.run("rm", "-rf", "/etc/ordersigner")


@pytest.fixture(scope="module", autouse=True)
def _uninstalled(machine: Machine) -> Iterator[None]:
    """At the end, the machine has only the daemon, as the other modules expect."""
    yield
    machine.run("apt-get", "purge", "--yes", "ordersigner-keys")
    leftovers = machine.run("find", PRIVATE, "/usr/lib/python3/dist-packages/ordersigner", check=False)
    assert "keytool" not in leftovers
    assert "/eth_account/" not in leftovers


def in_bash(machine: Machine, script: str, input: str = "") -> str:
    return machine.run("bash", "-ec", script, input=input)


def unsealed(machine: Machine, name: str) -> str:
    return machine.run("systemd-creds", "decrypt", f"--name=key_{name}", f"{KEYS}/{name}", "-")


def test_a_new_key_is_sealed_and_its_backup_opens_elsewhere(tool: Machine) -> None:
    made = in_bash(tool, "echo 'several words' | ordersigner-keys new bids --backup /root/bids.json --passphrase-fd 0")
    key = unsealed(tool, "bids")
    address = Account.from_key(key).address
    assert made.startswith(f"The address of the key bids is {address}\n")
    assert "    [rule bids]\n" in made
    assert tool.run("stat", "--format=%a %U", KEYS, f"{KEYS}/bids", "/root/bids.json") == "700 root\n600 root\n600 root"
    backup = tool.run("cat", "/root/bids.json")
    tool.run("rm", "/root/bids.json")
    assert bytes(Account.decrypt(json.loads(backup), "several words")).hex() == key
    assert key not in made + backup


def test_the_readmes_lines_make_a_key_and_a_rule_and_a_user_signs_without_seeing_it(
    tool: Machine, packages: Packages
) -> None:
    """All lines of the section, each with sudo as root and the others as the member. The first is about the package."""
    section = (SOURCE / "README.rst").read_text().split("\nHold a key\n", 1)[1].split("\n\n\n", 1)[0]
    block = "\n".join(re.findall(r"^    (.+)$", section, re.MULTILINE))
    first, *lines = re.sub(r"\\\n|(?<=[|])\n", "", block).split("\n")
    assert first == "sudo apt install --yes ./dist/ordersigner-keys_*.deb"
    assert packages.tool.name.startswith("ordersigner-keys_")
    as_member = f"runuser -u {MEMBER} -- env address=$address bash -c "
    script = [f"cd /; USER={MEMBER}", *(line if "sudo" in line else as_member + shlex.quote(line) for line in lines)]
    output = in_bash(tool, AS_ROOT + "\n".join(script))
    key = unsealed(tool, "bids")
    account = Account.from_key(key)
    assert key not in output
    (signature,) = re.findall("^0x[0-9a-f]{130}$", output, re.MULTILINE)
    (entry,) = tool.entries(f"ORDERSIGNER_SIGNER={account.address.lower()}", "ORDERSIGNER_RULE=bids")
    digest = bytes.fromhex(entry["ORDERSIGNER_DIGEST"][2:])
    assert Account._recover_hash(digest, signature=signature) == account.address
    request = json.dumps({**REQUEST, "signer": account.address})
    assert "unknown_signer" in tool.run("ordersigner", "sign", input=request, check=False)  # root has no rule
    forget_the_rules(tool)


def forget_the_rules(tool: Machine) -> None:
    tool.run("sed", "-i", "/^\\[market LEV/,$d", "/etc/ordersigner/policy")
    tool.run("systemctl", "stop", "ordersigner.service")


def test_the_page_on_held_keys_shows_what_its_commands_print(tool: Machine) -> None:
    """With the address of the key that is made here in place of the page's, and a passphrase that nobody types."""
    page = (SOURCE / "docs/start/hold-keys.rst").read_text()
    steps = shown(page)
    assert len(steps) > 12
    of_this_machine = of_page = re.findall("^    The address of the key bids is (.+)$", page, re.MULTILINE)[0]
    different = []
    try:
        for commands, expected in steps:
            script = f"address={of_this_machine}; {commands}"
            if " new " in script:
                script += " --passphrase-fd 3 3<<<'several words of it'"
            if " remove " in script:
                script += " --yes"
            if "journalctl" in script:
                script = f"journalctl --sync --namespace=ordersigner; {script}"  # a person is slower than journald
            output = tool.run("bash", "-c", f"{{ {AS_ROOT}{script}\n}} 2>&1", check=False)
            made = re.match("The address of the key bids is (0x[0-9a-fA-F]{40})\n", output)
            if made:
                of_this_machine = made[1]
            for given, as_shown in ((of_this_machine, of_page), (of_this_machine.lower(), of_page.lower())):
                output = output.replace(given, as_shown)
            if without_what_differs(output.strip("\n")) != without_what_differs(expected or ""):
                different.append((commands, output))
        left = tool.run("ordersignerd", "--check", check=False)
    finally:
        tool.run("sh", "-c", "userdel bid-bot; rm -f /root/bids.json", check=False)
        forget_the_rules(tool)
    assert different == []
    assert "policy with an error" not in left  # the page corrects the mistake that it shows


def test_everything_that_can_be_imported_is_imported(tool: Machine) -> None:
    tool.write("/root/keystore", json.dumps(OLD["keystore"]))
    tool.run("ordersigner-keys", "import", "hex", input=f"0x{KEY}\n")
    in_bash(tool, f"ordersigner-keys import old /root/keystore --passphrase-fd 3 3<<<'{OLD['passphrase']}'")
    path = "--derivation-path=\"m/44'/60'/0'/0/0\""
    in_bash(tool, f"ordersigner-keys import words {path} --passphrase-fd 3 3<<<''", input=MNEMONIC)
    tool.run("rm", "/root/keystore")
    assert unsealed(tool, "hex") == KEY
    assert unsealed(tool, "old") == OLD["key"]
    assert tool.run("ordersigner-keys", "list").split("\n") == [
        f"hex    {ADDRESS}  sealed",
        f"old    {OLD['address']}  sealed",
        f"words  {MNEMONIC_ADDRESS}  sealed",
    ]


def test_the_list_names_what_cannot_be_used(tool: Machine) -> None:
    for name in ("bids", "before"):
        tool.run("ordersigner-keys", "import", name, input=KEY)
    tool.run("mv", f"{KEYS}/before", f"{KEYS}/after")
    in_bash(tool, f"head -c 100 {KEYS}/bids >{KEYS}/half")
    listed = tool.run("ordersigner-keys", "list", check=False).split("\n")
    assert listed[0].split(maxsplit=2) == [
        "after",
        "-",
        "cannot be used: it was sealed under the name before: rename the file to that",
    ]
    assert listed[1].split() == ["bids", ADDRESS, "sealed"]
    assert listed[2].split(maxsplit=2)[2].startswith("cannot be used: systemd-creds: ")
    assert not tool.succeeds("ordersigner-keys", "list")


def test_without_the_secret_of_the_host_no_key_can_be_used(tool: Machine) -> None:
    tool.run("ordersigner-keys", "import", "bids", input=KEY)
    secret = "/var/lib/systemd/credential.secret"
    tool.run("mv", secret, f"{secret}.away")
    listed = tool.run("ordersigner-keys", "list", check=False)
    tool.run("mv", f"{secret}.away", secret)
    assert "cannot be used: systemd-creds: " in listed
    assert tool.run("ordersigner-keys", "list").endswith("sealed")


def test_remove_deletes_the_file_and_nothing_else(tool: Machine) -> None:
    for name in ("bids", "asks"):
        tool.run("ordersigner-keys", "import", name, input=KEY)
    assert not tool.succeeds("ordersigner-keys", "remove", "bids")  # there is no terminal
    assert "systemctl restart" in tool.run("ordersigner-keys", "remove", "bids", "--yes")
    assert tool.run("ls", KEYS) == "asks"


def test_the_restarts_that_it_names_work(tool: Machine) -> None:
    told = tool.run("ordersigner-keys", "import", "bids", input=KEY)
    lines = re.findall("^    (systemctl .+)$", told, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        in_bash(tool, line)
    assert ask(tool, REQUEST) == RESPONSE


def test_an_upgrade_of_the_daemon_alone_keeps_the_tool(tool: Machine, packages: Packages) -> None:
    tool.run("ordersigner-keys", "import", "bids", input=KEY)
    install(tool, packages.newer)
    assert tool.run("ordersigner-keys", "list") == f"bids  {ADDRESS}  sealed"
    install(tool, packages.built)


def test_it_is_for_root(tool: Machine) -> None:
    refused = tool.run("/usr/sbin/ordersigner-keys", "list", user=MEMBER, check=False)
    assert refused == "ordersigner-keys: sealed keys are for root: run it with sudo, or use --plain"


def test_the_autopkgtest_passes_for_any_user(tool: Machine) -> None:
    tool.write("/usr/local/bin/make-a-plain-key", (SOURCE / "packaging/debian/tests/make-a-plain-key").read_text())
    assert tool.run("sh", "/usr/local/bin/make-a-plain-key", user=STRANGER).endswith("plain")


def test_no_other_program_sees_the_bundled_modules(tool: Machine) -> None:
    bundled = tool.run("ls", PRIVATE).split()
    assert {"Crypto.py", "eth_account", "eth_account-0.10.0.dist-info"} <= set(bundled)
    for module in (name.partition(".")[0] for name in bundled if not name.endswith((".dist-info", "__pycache__"))):
        assert f"No module named '{module}'" in tool.run("python3", "-c", f"import {module}", check=False)
    assert tool.run("find", PRIVATE, "-name", "*.so") == ""
    sources = tool.run("find", PRIVATE, "-name", "*.py").splitlines()
    compiled = tool.run("find", PRIVATE, "-name", "*.pyc").splitlines()
    assert len(compiled) == len(sources) > 100


def test_the_signatures_library_of_the_daemon_makes_the_addresses(tool: Machine) -> None:
    """Not the pure Python of eth-keys, whose time depends on the key."""
    program = "import sys; sys.path[:0] = sys.argv[1:]; from eth_keys import keys; print(keys.PrivateKey(b'1' * 32)"
    program += ".backend.__class__.__name__)"
    assert tool.run("python3", "-c", program, PRIVATE, "/usr/lib/ordersigner") == "CoinCurveECCBackend"


def test_it_has_a_man_page_and_prints_the_version_of_the_package(tool: Machine) -> None:
    version = tool.run("dpkg-query", "--show", "--showformat=${Version}", "ordersigner-keys")
    assert tool.run("ordersigner-keys", "--version") == f"ordersigner-keys {version.partition('~')[0]}"
    assert "ordersigner-keys (8)" in tool.run("whatis", "-s", "8", "ordersigner-keys")
    assert "--derivation-path" in tool.run("man", "ordersigner-keys")


def test_the_daemons_package_needs_nothing_of_the_tool(packages: Packages) -> None:
    def field(name: str) -> str:
        command = ["dpkg-deb", "--field", str(packages.built), name]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    assert "python3-pycryptodome" in field("Depends")
    for name in ("eth", "cytoolz", "bitarray", "hexbytes", "ordersigner-keys"):
        assert name not in field("Depends") + field("Recommends")
    listed = subprocess.run(
        ["dpkg-deb", "--contents", str(packages.built)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "ordersigner/commands/main.py" in listed
    assert "keytool" not in listed
    assert "ordersigner-keys" not in listed
