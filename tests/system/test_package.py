"""The package: its files, installation, upgrade, removal and purge."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from support.daemon import SOURCE, wait_until

from ordersigner.signing import journal
from system.conftest import (
    AS_ROOT,
    MEMBER,
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    STRANGER,
    SUITES,
    UPGRADED,
    Packages,
    ask,
    build,
    clients_at_work,
    install,
    is_installed,
    shown,
    without_what_differs,
)
from system.machine import TIMEOUT, Machine

PRIVATE = "/usr/lib/ordersigner"
DIGEST = "0xb2ab56720b4316d482d15645a021b7ed011081e119ae096fdbb17c7652be2d3a"  # of the example


def test_the_readmes_lines_install_it_and_the_pages_commands_give_a_signature_and_take_all_away_again(
    machine: Machine, packages: Packages
) -> None:
    """All lines from the build on, which the fixture `packages` runs; then those of two pages."""
    if is_installed(machine):
        machine.run("apt-get", "purge", "--yes", "ordersigner", "ordersigner-keys")
    section = (SOURCE / "README.rst").read_text().split("\nInstall\n", 1)[1].split("\n\n\n", 1)[0]
    commands = re.findall(r"^    (.+)$", section, re.MULTILINE)
    commands = commands[commands.index("packaging/debian/build") + 1 :]
    machine.run("sh", "-c", f"mkdir -p /root/dist; cp /root/*.deb /root/dist/; rm /root/dist/*{UPGRADED}*")

    def run(script: str) -> str:
        return machine.run("bash", "-c", f"USER={MEMBER}; {AS_ROOT}{script}")

    outputs = {line: run(line) for line in commands}
    (signature,) = (output for line, output in outputs.items() if " sign " in line)
    assert signature == RESPONSE["signature"]
    assert MEMBER in machine.run("getent", "group", "ordersigner")

    quickstart = (SOURCE / "docs/start/quickstart.rst").read_text()
    for script, expected in shown(quickstart[quickstart.index("\nWith the package\n") :]):
        machine.run("journalctl", "--sync")
        assert without_what_differs(run(script)) == without_what_differs(expected or ""), script

    pages = (SOURCE / "docs/start/install.rst").read_text()
    lines = re.findall("^    (.+)$", pages.split("\nUninstall\n")[1], re.MULTILINE)
    assert len(lines) == 3
    run("\n".join(lines).replace("apt purge", "apt purge --yes"))
    assert not is_installed(machine)


def test_it_installs_the_examples_for_other_languages(installed: Machine) -> None:
    examples = list((SOURCE / "docs/examples").iterdir())
    assert len(examples) > 5
    for example in examples:
        copy = installed.tree / "usr/share/doc/ordersigner/examples" / example.name
        assert copy.read_bytes() == example.read_bytes()
        assert os.access(copy, os.X_OK) == os.access(example, os.X_OK)


def test_it_installs_completion_for_bash(installed: Machine, packages: Packages) -> None:
    for name in ("ordersigner", "ordersignerd"):
        copy = installed.tree / "usr/share/bash-completion/completions" / name
        assert copy.read_bytes() == (SOURCE / "packaging/completion" / name).read_bytes()
    listed = subprocess.run(["dpkg-deb", "--contents", str(packages.tool)], check=True, capture_output=True, text=True)
    assert " ./usr/share/bash-completion/completions/ordersigner-keys\n" in listed.stdout


def test_its_man_pages_have_the_date_of_the_release(installed: Machine) -> None:
    released = re.search("^ -- .+>  (.+)$", (SOURCE / "packaging/debian/changelog").read_text(), re.MULTILINE)
    assert released
    date = parsedate_to_datetime(released[1]).date().isoformat()
    for page in ("man1/ordersigner.1", "man5/ordersigner-policy.5", "man8/ordersignerd.8"):
        assert f'"{date}"' in gzip.decompress((installed.tree / f"usr/share/man/{page}.gz").read_bytes()).decode()


@pytest.mark.parametrize("packages", SUITES[:1], indirect=True)
def test_a_second_build_gives_the_same_package(packages: Packages, tmp_path: Path) -> None:
    """With another umask, from files with other modes and times, in another directory, and later."""
    checkout = tmp_path / "another checkout"
    checkout.mkdir()
    script = f"""
        umask 077
        cd '{SOURCE}'
        git ls-files -z | tar --null --files-from=- -c | tar -x --touch --no-same-permissions -C '{checkout}'
        cd '{checkout}'
        git init --quiet
        git add --all
    """
    subprocess.run(["sh", "-ec", script], check=True)
    assert (checkout / "setup.py").stat().st_mode & 0o777 == 0o600
    umask = os.umask(0o077)
    try:
        build(checkout, packages.suite, tmp_path)
    finally:
        os.umask(umask)

    names = {path.name for path in packages.directory.iterdir() if path.name.endswith((".deb", ".dsc", ".tar.xz"))}
    assert len(names) == 5
    different = [
        name
        for name in sorted(names)
        if (packages.directory / name).read_bytes() != (tmp_path / packages.suite / name).read_bytes()
    ]
    assert different == []


def test_the_suites_share_an_output_folder_where_only_this_machines_package_is_at_the_top(packages: Packages) -> None:
    (own,) = re.findall("^VERSION_CODENAME=(.+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    for name in ("ordersigner", "ordersigner-keys"):  # as in "apt install ./dist/NAME_*.deb"
        top = [package.resolve() for package in packages.directory.parent.glob(f"{name}_*.deb")]
        assert all(package.exists() and package.parent.name == own for package in top)
        assert len(top) == 1 or packages.suite != own
    assert packages.built.parent.name == packages.suite


def test_the_package_sorts_below_one_of_debians_and_those_of_newer_suites(packages: Packages) -> None:
    version = packages.built.name.split("_")[1]
    base = version.partition("~")[0]
    for newer in (f"{base}-1", f"{base}~deb15u1"):
        assert subprocess.run(["dpkg", "--compare-versions", version, "lt", newer], check=False).returncode == 0


def test_the_packages_name_the_projects_host_and_its_maintainers(packages: Packages) -> None:
    host = re.search('^HOST = "(.+)"', (SOURCE / "setup.py").read_text(), re.MULTILINE)
    assert host
    for package in (packages.built, packages.tool):
        command = ["dpkg-deb", "--field", str(package), "Homepage", "Maintainer"]
        fields = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        assert sorted(fields) == [
            f"Homepage: https://{host[1]}",
            f"Maintainer: Ordersigner maintainers <maintainers@{host[1]}>",
        ]


def test_the_package_depends_on_the_api_of_the_foreign_function_interface(packages: Packages) -> None:
    command = ["dpkg-deb", "--field", str(packages.built), "Depends"]
    depends = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    oldest, newest = re.findall(r"python3-cffi-backend-api-(?:min \(<=|max \(>=) (\d+)\)", depends)
    assert oldest == newest
    assert "python3-cffi-backend," not in depends


def test_the_autopkgtest_of_the_service_passes(installed: Machine) -> None:
    installed.write("/root/sign-example", (SOURCE / "packaging/debian/tests/sign-example").read_text())
    installed.run("sh", "/root/sign-example")


def test_the_autopkgtest_without_isolation_passes_for_any_user(installed: Machine) -> None:
    for name in ("packaging/debian/tests/sign-without-systemd", "tests/vectors/example.json"):
        installed.write(f"/home/{STRANGER}/{name}", (SOURCE / name).read_text())
    command = f"cd /home/{STRANGER} && python3 packaging/debian/tests/sign-without-systemd"
    assert installed.run("sh", "-c", command, user=STRANGER).endswith(RESPONSE["signature"])
    assert installed.property(SERVICE, "ActiveState") == "inactive"


def test_the_bundled_module_is_compiled_and_private(installed: Machine) -> None:
    sources = installed.run("find", PRIVATE, "-name", "*.py").splitlines()
    compiled = installed.run("find", PRIVATE, "-name", "*.pyc").splitlines()
    assert len(compiled) == len(sources) > 0
    assert "No module named 'coincurve'" in installed.run("python3", "-c", "import coincurve", check=False)
    libraries = installed.run("sh", "-c", f"ldd {PRIVATE}/coincurve/*.so")
    assert "libsecp256k1.so" in libraries


def test_the_commands_and_units_have_man_pages_and_the_commands_print_the_packages_version(installed: Machine) -> None:
    version = installed.run("dpkg-query", "--show", "--showformat=${Version}", "ordersigner")
    for command in ("ordersigner", "ordersignerd"):
        assert installed.run(command, "--version") == f"{command} {version.partition('~')[0]}"
    for section, page in (("1", "ordersigner"), ("8", "ordersignerd"), ("7", "ordersigner-protocol")):
        assert f"{page} ({section})" in installed.run("whatis", "-s", section, page)
    manual = installed.run("man", "ordersignerd")
    for unit in ("ordersigner.service", "ordersigner.socket", "ordersigner@.service", "ordersigner-check-keys.service"):
        assert installed.run("man", unit) == manual


def test_the_journal_explains_its_entries(installed: Machine) -> None:
    """What `journalctl -x` shows, and the two kinds of entry that a client can cause, with their values."""
    for message_id in (journal.SIGNED, journal.REFUSED, journal.FAILED):
        assert "Defined-By: ordersigner" in installed.run("journalctl", "--dump-catalog", message_id)
    before = installed.now()
    ask(installed, REQUEST)
    ask(installed, {**REQUEST, "signer": "0x" + "0" * 64})
    wait_until(lambda: installed.entries("ORDERSIGNER_CODE=not_key", since=before), TIMEOUT)
    shown = installed.run("journalctl", "--catalog", "--no-pager", f"--since=@{before // 1_000_000}")
    assert "Subject: A signature was made" in shown
    assert f"journalctl --namespace=+ordersigner ORDERSIGNER_DIGEST={DIGEST}" in shown
    assert "Subject: A request was refused" in shown
    assert "Code:  not_key" in shown


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


def test_an_upgrade_does_not_start_a_stopped_service(installed: Machine, packages: Packages) -> None:
    install(installed, packages.newer)
    assert installed.property("ordersigner.socket", "ActiveState") == "active"
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    assert ask(installed, {"type": "ping"}) == {"ok": True, "version": UPGRADED}
    install(installed, packages.built)


def test_an_upgrade_keeps_a_disabled_socket_disabled(installed: Machine, packages: Packages) -> None:
    installed.run("systemctl", "disable", "--now", "ordersigner.socket")
    install(installed, packages.newer)
    assert installed.property("ordersigner.socket", "UnitFileState") == "disabled"
    assert installed.property("ordersigner.socket", "ActiveState") == "inactive"
    install(installed, packages.built)
    installed.run("systemctl", "enable", "--now", "ordersigner.socket")


def test_removal_stops_everything_and_purge_leaves_only_the_group(installed: Machine, packages: Packages) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    process = installed.property(SERVICE, "MainPID")

    installed.run("apt-get", "remove", "--yes", "ordersigner")
    assert not installed.succeeds("test", "-e", f"/proc/{process}")
    assert not installed.succeeds("test", "-e", "/run/ordersigner")
    assert "0 unit files" in installed.run("systemctl", "list-unit-files", "ordersigner*", check=False)

    install(installed, packages.built)
    assert ask(installed, REQUEST) == RESPONSE

    installed.run("apt-get", "purge", "--yes", "ordersigner")
    # System groups stay in Debian: the administrator may have made this one, and its number must not be reused.
    assert installed.run("getent", "group", "ordersigner").endswith(f":{MEMBER}")
    # The package comes from apt's cache. man's cache holds the pages that were shown, and is cleared daily. What was
    # signed with held keys stays on record.
    pruned = " -o ".join(f"-path {path}" for path in ("/root", "/var/cache/apt", "/var/cache/man", "/var/log/journal"))
    find = f"find / -xdev ( {pruned} ) -prune"
    find += " -o -iname *ordersigner* -print"
    assert installed.run(*find.split()) == ""
    assert installed.run("find", "/run", "-iname", "*ordersigner*") == ""
    assert installed.run("systemctl", "--failed", "--no-legend") == ""

    install(installed, packages.built)
    assert ask(installed, REQUEST) == RESPONSE
