"""A machine of each suite for the whole session, with the package that was just built.

A machine takes about two minutes to make, so tests share it, and leave it as they found it. Where none can be made, the
tests are skipped, and where ORDERSIGNER_REQUIRE_SYSTEM=1 or CI is set, they fail.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from daemon import EXAMPLE, SOURCE

from system.machine import Machine, Unavailable, check_host, make_tree

SUITES = ("bookworm", "trixie")
SOCKET = "/run/ordersigner/ordersigner.sock"
MEMBER = "alice"  # of the group ordersigner
STRANGER = "bob"
REQUEST = EXAMPLE["request"]
RESPONSE = {"ok": True, **EXAMPLE["expect"]}
SERVICE = "ordersigner.service"
UPGRADED = "1000.0"  # the version of a package made to be upgraded to


class Packages(NamedTuple):
    """Two versions of the package, for one suite."""

    suite: str
    built: Path
    newer: Path


@pytest.fixture(scope="session", params=SUITES)
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Built by packaging/debian/build; the newer one is the same but for its version."""
    try:
        check_host()
    except Unavailable as error:
        unavailable(error)
    output = tmp_path_factory.mktemp(request.param)
    command = [str(SOURCE / "packaging/debian/build"), "--suite", request.param, "--output", str(output)]
    build = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert build.returncode == 0, build.stdout
    (built,) = output.glob("ordersigner_*.deb")
    return Packages(request.param, built, repack(built, output / "newer"))


def repack(package: Path, work: Path) -> Path:
    """The same package with the version UPGRADED, which its daemon tells in answer to a ping."""
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(work)], check=True)
    control = work / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {UPGRADED}\n" if line.startswith("Version:") else line for line in lines))
    (module,) = work.glob("usr/lib/python3/dist-packages/ordersigner/__init__.py")
    module.write_text(f'__version__ = "{UPGRADED}"\n')
    newer = package.with_name(f"ordersigner_{UPGRADED}.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(work), str(newer)], check=True)
    return newer


@pytest.fixture(scope="session")
def machine(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine, on which the package may or may not be installed."""
    tree = tmp_path_factory.mktemp("machine") / "tree"
    machine = Machine(tree)
    try:
        make_tree(packages.suite, tree, [packages.built, packages.newer])
        machine.boot()
        machine.run("useradd", "--create-home", MEMBER)
        machine.run("useradd", "--create-home", STRANGER)
        yield machine
    except Unavailable as error:
        unavailable(error)
    finally:
        machine.power_off()
        shutil.rmtree(tree, ignore_errors=True)
    assert machine.control_groups() == []


def unavailable(error: Unavailable) -> None:
    if os.environ.get("ORDERSIGNER_REQUIRE_SYSTEM", os.environ.get("CI", "")) in ("", "0", "false"):
        pytest.skip(str(error))
    pytest.fail(f"the systemd tests may not be skipped here: {error}")


@pytest.fixture
def installed(machine: Machine, packages: Packages) -> Iterator[Machine]:
    """The machine with the package as it was built, its socket listening, its service not started."""
    if not is_installed(machine):
        install(machine, packages.built)
    machine.run("systemctl", "start", "ordersigner.socket")
    yield machine
    machine.run("rm", "-rf", *(f"/run/systemd/system/ordersigner.{kind}.d" for kind in ("service", "socket")))
    machine.run("systemctl", "daemon-reload")
    if is_installed(machine):
        machine.run("systemctl", "stop", "ordersigner.socket", "ordersigner.service")
        machine.run("systemctl", "reset-failed")


def is_installed(machine: Machine) -> bool:
    return "ok installed" in machine.run("dpkg-query", "--show", "--showformat=${Status}", "ordersigner", check=False)


def install(machine: Machine, package: Path) -> str:
    """As README.rst says."""
    output = machine.run("apt-get", "install", "--yes", "--allow-downgrades", f"/root/{package.name}")
    machine.run("usermod", "--append", "--groups", "ordersigner", MEMBER)
    return output


def drop_in(machine: Machine, unit: str, text: str) -> None:
    """Change `unit` until the end of the test."""
    machine.run("mkdir", "-p", f"/run/systemd/system/{unit}.d")
    machine.run("tee", f"/run/systemd/system/{unit}.d/test.conf", input=text)
    machine.run("systemctl", "daemon-reload")


def ask(machine: Machine, request: object, *, user: str = MEMBER, path: str = SOCKET) -> object:
    """The response to `request`, through nc."""
    return json.loads(machine.run("nc", "-N", "-U", path, user=user, input=json.dumps(request) + "\n", timeout=60))


@contextlib.contextmanager
def clients_at_work(machine: Machine) -> Iterator[None]:
    """Clients that ask all the time, and that get the right answer every time."""
    machine.write("/usr/local/lib/loop.py", (SOURCE / "tests/system/loop.py").read_text())
    arguments = ["python3", "/usr/local/lib/loop.py", SOCKET, json.dumps(REQUEST), json.dumps(RESPONSE)]
    with machine.started(*arguments, user=MEMBER) as clients:
        assert clients.stdout is not None
        assert clients.stdout.readline() == "started\n"
        yield
        output, errors = clients.communicate(timeout=60)
    good, bad = output.split(maxsplit=1)
    assert bad == "[]\n", errors
    assert int(good) > 100
