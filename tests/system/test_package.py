"""The package: what it installs, and that upgrade, removal and purge do what they should and nothing else."""

from __future__ import annotations

import json
import re

from daemon import SOURCE, wait_until

from system.conftest import (
    MEMBER,
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    UPGRADED,
    Packages,
    ask,
    clients_at_work,
    install,
    is_installed,
)
from system.machine import TIMEOUT, Machine

PRIVATE = "/usr/lib/ordersigner"


def test_the_readmes_lines_give_a_signature_and_take_all_away_again(machine: Machine, packages: Packages) -> None:
    """Run as they stand, but for the first, which `packages` runs, and for sudo."""
    section = (SOURCE / "README.rst").read_text().split("Install with apt\n", 1)[1].split("\n\n\n", 1)[0]
    build, *commands = re.findall(r"^    (.+)$", section, re.MULTILINE)
    assert build == "packaging/debian/build"
    machine.run("sh", "-c", f"mkdir -p /root/dist; cp /root/{packages.built.name} /root/dist/")

    said = {}
    for command in commands:
        line = command.replace("sudo ", "").replace("apt ", "apt --yes ").replace("$USER", MEMBER)
        user = MEMBER if command.startswith("nc") else "root"
        said[line.split()[0]] = machine.run("sh", "-c", f"cd ~root 2>/dev/null; {line}", user=user)
    assert json.loads(said["nc"]) == RESPONSE
    assert '"ORDERSIGNER_ACCOUNT" : "0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282"' in said["journalctl"]
    assert "active (running)" in said["systemctl"]
    assert not is_installed(machine)


def test_the_autopkgtest_passes(installed: Machine) -> None:
    installed.write("/root/sign-example", (SOURCE / "packaging/debian/tests/sign-example").read_text())
    installed.run("sh", "/root/sign-example")


def test_what_is_bundled_is_compiled_and_nobody_elses(installed: Machine) -> None:
    sources = installed.run("find", PRIVATE, "-name", "*.py").splitlines()
    compiled = installed.run("find", PRIVATE, "-name", "*.pyc").splitlines()
    assert len(compiled) == len(sources) > 0
    assert "No module named 'coincurve'" in installed.run("python3", "-c", "import coincurve", check=False)
    libraries = installed.run("sh", "-c", f"ldd {PRIVATE}/coincurve/*.so")
    assert "libsecp256k1.so" in libraries


def test_the_commands_have_their_man_pages_and_tell_the_packages_version(installed: Machine) -> None:
    version = installed.run("dpkg-query", "--show", "--showformat=${Version}", "ordersigner")
    for command in ("ordersigner", "ordersignerd"):
        assert installed.run(command, "--version") == f"{command} {version.split('+')[0]}"
    for section, page in (("1", "ordersigner"), ("8", "ordersignerd"), ("7", "ordersigner-protocol")):
        assert f"{page} ({section})" in installed.run("whatis", "-s", section, page)


def test_the_command_finds_the_socket(installed: Machine) -> None:
    assert f"answers at {SOCKET} in " in installed.run("ordersigner", "ping", user=MEMBER)
    signed = installed.run("ordersigner", "sign", user=MEMBER, input=json.dumps(REQUEST))
    assert signed == RESPONSE["signature"]


def test_an_upgrade_restarts_the_service_and_loses_no_request(installed: Machine, packages: Packages) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    process = installed.property(SERVICE, "MainPID")
    try:
        with clients_at_work(installed):
            install(installed, packages.newer)
            wait_until(lambda: ask(installed, {"type": "ping"}) == {"ok": True, "version": UPGRADED}, TIMEOUT)
        assert installed.property(SERVICE, "MainPID") != process
    finally:
        install(installed, packages.built)


def test_an_upgrade_leaves_a_service_stopped_that_was(installed: Machine, packages: Packages) -> None:
    install(installed, packages.newer)
    assert installed.property("ordersigner.socket", "ActiveState") == "active"
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    assert ask(installed, {"type": "ping"}) == {"ok": True, "version": UPGRADED}
    install(installed, packages.built)


def test_an_upgrade_respects_a_disabled_socket(installed: Machine, packages: Packages) -> None:
    installed.run("systemctl", "disable", "--now", "ordersigner.socket")
    install(installed, packages.newer)
    assert installed.property("ordersigner.socket", "UnitFileState") == "disabled"
    assert installed.property("ordersigner.socket", "ActiveState") == "inactive"
    install(installed, packages.built)
    installed.run("systemctl", "enable", "--now", "ordersigner.socket")


def test_removal_stops_all_and_purge_leaves_nothing(installed: Machine, packages: Packages) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    process = installed.property(SERVICE, "MainPID")

    installed.run("apt-get", "remove", "--yes", "ordersigner")
    assert not installed.succeeds("test", "-e", f"/proc/{process}")
    assert not installed.succeeds("test", "-e", "/run/ordersigner")
    assert installed.succeeds("getent", "group", "ordersigner")  # its members shall be there if it comes back
    assert "0 unit files" in installed.run("systemctl", "list-unit-files", "ordersigner*", check=False)

    install(installed, packages.built)
    assert ask(installed, REQUEST) == RESPONSE

    installed.run("apt-get", "purge", "--yes", "ordersigner")
    assert not installed.succeeds("getent", "group", "ordersigner")
    # Of the caches, apt's is where the package comes from, and man's holds what was shown and is cleared daily.
    find = "find / -xdev ( -path /root -o -path /var/cache/apt -o -path /var/cache/man ) -prune"
    find += " -o -iname *ordersigner* -print"
    assert installed.run(*find.split()) == ""
    assert installed.run("find", "/run", "-iname", "*ordersigner*") == ""
    assert installed.run("systemctl", "--failed", "--no-legend") == ""

    install(installed, packages.built)
    assert ask(installed, REQUEST) == RESPONSE
