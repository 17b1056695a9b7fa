"""One machine for each suite and session, with the package built from this checkout.

Making a machine takes about two minutes, so tests share it and leave it as they found it. Where no machine can be made
the tests are skipped. With ORDERSIGNER_REQUIRE_SYSTEM=1 or CI in the environment they fail instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.daemon import EXAMPLE, SOURCE

from system.machine import APT_CONFIG, Machine, Unavailable, check_host, make_tree

SUITES = re.findall("^([a-z]+) deb", (SOURCE / "packaging/debian/suites").read_text(), re.MULTILINE)
# For a test whose result does not depend on the suite: another test covers everything that does.
one_suite = pytest.mark.parametrize("packages", ["trixie"], indirect=True)
SOCKET = "/run/ordersigner/ordersigner.sock"
MEMBER = "alice"  # a member of the group ordersigner
STRANGER = "bob"  # not a member
REQUEST = EXAMPLE["request"]
RESPONSE = {"ok": True, **EXAMPLE["expect"]}
SERVICE = "ordersigner.service"
STATE = "/var/lib/private/ordersigner"  # the directory of the state
UPGRADED = "1000.0"  # the version of the package that tests upgrade to


class Packages(NamedTuple):
    """Two versions of the package, for one suite."""

    suite: str
    directory: Path  # where the build put its results
    built: Path
    newer: Path
    tool: Path  # ordersigner-keys


@pytest.fixture(scope="session", params=SUITES)
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The package as packaging/debian/build makes it, and the same with a newer version."""
    try:
        check_host()
    except Unavailable as error:
        unavailable(error)
    output = tmp_path_factory.getbasetemp() / "dist"  # the same for all suites
    build(SOURCE, request.param, output)
    directory = output / request.param
    (built,) = directory.glob("ordersigner_*.deb")
    (tool,) = directory.glob("ordersigner-keys_*.deb")
    return Packages(request.param, directory, built, repack(built, tmp_path_factory.mktemp("newer")), tool)


def build(checkout: Path, suite: str, output: Path) -> None:
    command = [str(checkout / "packaging/debian/build"), "--suite", suite, "--output", str(output)]
    environment = {**os.environ, "APT_CONFIG": str(APT_CONFIG)}
    ended = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stdout


def repack(package: Path, directory: Path) -> Path:
    """The same package with the version UPGRADED, which its daemon returns for a ping."""
    work = directory / "content"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(work)], check=True)
    control = work / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {UPGRADED}\n" if line.startswith("Version:") else line for line in lines))
    (module,) = work.glob("usr/lib/python3/dist-packages/ordersigner/__init__.py")
    module.write_text(f'__version__ = "{UPGRADED}"\n')
    newer = directory / f"ordersigner_{UPGRADED}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(work), str(newer)], check=True)
    return newer


@pytest.fixture(scope="session")
def machine(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine. The package may or may not be installed on it."""
    tree = tmp_path_factory.mktemp("machine") / "tree"
    machine = Machine(tree)
    try:
        make_tree(packages.suite, tree, [packages.built, packages.tool], [packages.newer])
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
    pytest.fail(f"the systemd tests must not be skipped here: {error}")


@pytest.fixture
def installed(machine: Machine, packages: Packages) -> Iterator[Machine]:
    """The machine with the built package. Its socket listens, its service is not started."""
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
    """Install the package as README.rst does."""
    output = machine.run("apt-get", "install", "--yes", "--allow-downgrades", f"/root/{package.name}")
    machine.run("usermod", "--append", "--groups", "ordersigner", MEMBER)
    return output


AS_ROOT = """sudo() {
    [ "$1" != -u ] || set -- runuser -u "$2" -- "${@:3}"
    command "$@"
}
cd /root; set -eo pipefail
"""


def shown(text: str) -> list[tuple[str, str | None]]:
    """The commands of a page, in blocks of `sh`, each with the block of `text` that follows: its output."""
    found = re.findall(r"\.\. code-block:: (\w+)\n(?: +:.+\n)*\n((?:    .*\n|\n)+)", text)
    blocks = [(language, textwrap.dedent(block).strip("\n")) for language, block in found]
    following = [*blocks[1:], ("", "")]
    return [
        (block, after if kind == "text" else None)
        for (language, block), (kind, after) in zip(blocks, following)
        if language == "sh"
    ]


def without_what_differs(output: str) -> str:
    """Without what is another one in each run: a version, a user's number, a process, a time, a signature's digits."""
    for pattern, same in (
        (r"\b\d+\.\d+\.\d+\b", "VERSION"),
        (r"\b[\d.]+ (ms|µs)\b", r"TIME \1"),
        (r"uid \d+, gid \d+, pid \d+", "uid, gid, pid"),
        (r"(bid-bot) \(\d+\)", r"\1 (UID)"),
        (r"0x[0-9a-f]{130}\b", "SIGNATURE"),
        (r"digest 0x[0-9a-f]{64}\b", "digest"),
    ):
        output = re.sub(pattern, same, output)
    return output


def drop_in(machine: Machine, unit: str, text: str) -> None:
    """Change the settings of `unit` until the end of the test."""
    machine.run("mkdir", "-p", f"/run/systemd/system/{unit}.d")
    machine.run("tee", f"/run/systemd/system/{unit}.d/test.conf", input=text)
    machine.run("systemctl", "daemon-reload")


def answer_on(client: subprocess.Popen[str], request: object) -> object:
    """The response on a connection that stays open."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(json.dumps(request) + "\n")
    client.stdin.flush()
    return json.loads(client.stdout.readline())


def ask(machine: Machine, request: object, *, user: str = MEMBER, path: str = SOCKET) -> object:
    """Send `request` with nc and return the response."""
    return json.loads(machine.run("nc", "-N", "-U", path, user=user, input=json.dumps(request) + "\n", timeout=60))


@contextlib.contextmanager
def clients_at_work(machine: Machine) -> Iterator[None]:
    """Clients that keep asking. Every one of their requests must get the right answer."""
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


@contextlib.contextmanager
def faithful_clients(machine: Machine, count: int) -> Iterator[None]:
    """Clients that keep one connection each and do not make another: see faithful.py. All of them must be served."""
    machine.write("/usr/local/lib/faithful.py", (SOURCE / "tests/system/faithful.py").read_text())
    arguments = [SOCKET, json.dumps(REQUEST), json.dumps(RESPONSE), str(count)]
    with machine.started("python3", "/usr/local/lib/faithful.py", *arguments, user=MEMBER) as clients:
        assert clients.stdout is not None
        assert clients.stdout.readline() == "started\n"
        yield
        output, errors = clients.communicate(timeout=60)
    good, bad = json.loads(output)
    assert bad == [], errors
    assert good["idle"] == 2 * count
    assert all(good[kind] > 100 for kind in ("busy", "pipelining"))
