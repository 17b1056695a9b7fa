"""The apt repository that packaging/debian/repository makes, served over HTTP: what apt accepts and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.daemon import SOURCE, wait_until

from system.conftest import (
    MEMBER,
    REQUEST,
    RESPONSE,
    SERVICE,
    UPGRADED,
    Packages,
    ask,
    clients_at_work,
    faithful_clients,
    is_installed,
)
from system.machine import TIMEOUT, Machine

PLACEHOLDER = "https://packages.example.org"
KEY, OTHER_KEY = "packages@example.org", "other@example.org"
KEYRING = "/etc/apt/keyrings/ordersigner.asc"
SOURCES = "/etc/apt/sources.list.d/ordersigner.sources"
NO_RETRIES = "/etc/apt/apt.conf.d/no-retries"


class Repository(NamedTuple):
    """A repository that the machine can reach."""

    directory: Path
    suite: str
    url: str
    keys: Path  # gpg's home

    def add(self, packages: Path, *, key: str = KEY) -> None:
        command = [str(SOURCE / "packaging/debian/repository"), "--key", key, "--url", self.url]
        command += ["--output", str(self.directory), str(packages)]
        environment = {**os.environ, "GNUPGHOME": str(self.keys)}
        ended = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert ended.returncode == 0, ended.stdout


@pytest.fixture(scope="module")
def keys() -> Iterator[Path]:
    """A home of gpg with two keys. Its path is short: gpg-agent has sockets in it."""
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        for user in (KEY, OTHER_KEY):
            gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
            subprocess.run([*gpg, "--quick-generate-key", user, "default", "sign", "1d"], check=True)
        yield Path(home)
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


@pytest.fixture(scope="module")
def served(
    machine: Machine, packages: Packages, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Repository]:
    """The repository of the packages. At the end, the machine has the built package, and this source is gone."""
    root = tmp_path_factory.mktemp("served")
    machine.write(NO_RETRIES, 'Acquire::Retries "0";\n')  # the machine cannot reach Debian's mirror
    with machine.served(root) as address:
        repository = Repository(root / "ordersigner", packages.suite, f"{address}/ordersigner", keys)
        repository.add(packages.directory.parent)
        yield repository
    machine.run("dpkg", "--purge", "ordersigner-keys", "ordersigner")
    forget(machine)
    machine.run("rm", NO_RETRIES)


def forget(machine: Machine) -> None:
    """Remove what the machine knows about the repository."""
    machine.run("sh", "-c", f"rm -f {KEYRING} {SOURCES} /var/lib/apt/lists/127.0.0.1* /var/lib/apt/lists/*/127.0.0.1*")
    machine.run("sh", "-c", "rm -f /var/cache/apt/archives/ordersigner*")


def page(repository: Repository) -> list[str]:
    """The lines of docs/start/install.rst that install from the repository, with its address, for root, unasked."""
    text = (SOURCE / "docs/start/install.rst").read_text().split("\nFrom a repository\n")[1].split("::\n\n")[1]
    block = "\n".join(re.findall("^    (.+)$", text, re.MULTILINE))
    lines = block.replace("\\\n", "").replace("sudo ", "").replace("apt install", "apt install --yes").split("\n")
    key, suite, source, update, install = (line.replace(f"{PLACEHOLDER}/ordersigner", repository.url) for line in lines)
    assert block.count(PLACEHOLDER) == 2
    return [key, f"{suite}; {source}", update, install]


def candidate(machine: Machine) -> str:
    """What apt would install."""
    return machine.run("apt-cache", "policy", "ordersigner")


def test_the_pages_lines_install_both_packages(machine: Machine, served: Repository) -> None:
    machine.run("dpkg", "--purge", "ordersigner-keys", "ordersigner")
    forget(machine)
    for line in page(served):
        machine.run("sh", "-c", line)
    assert is_installed(machine)
    assert f"{served.url} {served.suite}/main" in candidate(machine)
    assert machine.succeeds("ordersigner-keys", "--version")
    assert ask(machine, REQUEST, user="root") == RESPONSE


def test_an_upgrade_from_it_loses_no_request_and_the_earlier_version_stays(
    machine: Machine, packages: Packages, served: Repository, tmp_path: Path
) -> None:
    machine.run("usermod", "--append", "--groups", "ordersigner", MEMBER)
    assert ask(machine, REQUEST) == RESPONSE
    process = machine.property(SERVICE, "MainPID")
    (tmp_path / packages.suite).mkdir()
    shutil.copy(packages.newer, tmp_path / packages.suite)
    served.add(tmp_path)
    with clients_at_work(machine), faithful_clients(machine, 2):
        machine.run("apt-get", "update")
        machine.run("apt-get", "install", "--yes", "--only-upgrade", "ordersigner")
        wait_until(lambda: ask(machine, {"type": "ping"}) == {"ok": True, "version": UPGRADED}, TIMEOUT)
    assert machine.property(SERVICE, "MainPID") != process

    version = packages.built.name.split("_")[1]
    machine.run("apt-get", "install", "--yes", "--allow-downgrades", f"ordersigner={version}", "ordersigner-keys")
    assert ask(machine, REQUEST) == RESPONSE


def test_it_has_the_source_package(machine: Machine, served: Repository, packages: Packages) -> None:
    version = packages.built.name.split("_")[1]
    archive = f"ordersigner_{version}.tar.xz"
    machine.run(
        "sh", "-ec", f"mkdir /root/source; cd /root/source; apt-get source --download-only ordersigner={version}"
    )
    assert (machine.tree / "root/source" / archive).read_bytes() == (packages.directory / archive).read_bytes()
    machine.run("rm", "-r", "/root/source")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_the_signed_text(repository: Repository) -> None:
    signed = repository.directory / "dists" / repository.suite / "InRelease"
    signed.write_text(signed.read_text().replace("Label: ordersigner", "Label: Debian"))


def change_the_index(repository: Repository) -> None:
    for path in (repository.directory / "dists" / repository.suite / "main").rglob("*"):
        if path.is_file():
            flip_a_bit(path)


def sign_with_another_key(repository: Repository) -> None:
    key = (repository.directory / "ordersigner.asc").read_bytes()
    (repository.directory / "ordersigner.asc").unlink()
    repository.add(repository.directory / "pool", key=OTHER_KEY)
    (repository.directory / "ordersigner.asc").write_bytes(key)


def remove_the_signatures(repository: Repository) -> None:
    for name in ("InRelease", "Release.gpg"):
        (repository.directory / "dists" / repository.suite / name).unlink()


@pytest.fixture
def altered(
    machine: Machine, served: Repository, tmp_path: Path
) -> Iterator[Callable[[Callable[[Repository], None]], None]]:
    """Alters the repository until the end of the test. The machine has it as a source, and has not read it yet."""
    shutil.copytree(served.directory, tmp_path / "copy")
    key, source, *_ = page(served)
    machine.run("dpkg", "--purge", "ordersigner-keys", "ordersigner")
    forget(machine)
    for line in (key, source):
        machine.run("sh", "-c", line)
    yield lambda change: change(served)
    shutil.rmtree(served.directory)
    shutil.copytree(tmp_path / "copy", served.directory)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_the_signed_text, "BADSIG|manipulated"),
        (change_the_index, "Hash Sum mismatch"),
        (sign_with_another_key, "NO_PUBKEY|Missing key"),
        (remove_the_signatures, "is not signed"),
    ],
)
def test_a_repository_is_refused_after(
    machine: Machine,
    served: Repository,
    altered: Callable[[Callable[[Repository], None]], None],
    change: Callable[[Repository], None],
    reason: str,
) -> None:
    altered(change)
    output = machine.run("apt-get", "update", check=False)
    assert re.search(reason, output)
    assert served.url not in candidate(machine)
    assert not machine.succeeds("apt-get", "install", "--yes", "ordersigner")


def test_a_package_that_was_changed_is_refused(
    machine: Machine, served: Repository, altered: Callable[[Callable[[Repository], None]], None]
) -> None:
    def change(repository: Repository) -> None:
        for package in repository.directory.glob(f"pool/{repository.suite}/ordersigner_*.deb"):
            flip_a_bit(package)

    altered(change)
    machine.run("apt-get", "update")
    assert served.url in candidate(machine)
    output = machine.run("apt-get", "install", "--yes", "ordersigner", check=False)
    assert "Hash Sum mismatch" in output
    assert not is_installed(machine)
