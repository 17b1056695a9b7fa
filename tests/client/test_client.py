"""The client, on every Python it supports: those on this machine run the same suites with one daemon."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import EXAMPLE, EXAMPLE_LINE, SOURCE, VECTORS, Daemon, standalone, vectors
from support.held import MARKET, MESSAGES, address, holding, rule

from ordersigner import __version__
from ordersigner.client import Client, SignerError, Unavailable, read_signature

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
# This Python; tox runs the tests on each that the daemon supports. Those that only the client supports are tested once.
VERSIONS = [OWN, *(pytest.param(version, marks=pytest.mark.once) for version in ("2.7", "3.6", "3.7"))]
SERVERS = SOURCE / "tests/support/servers.py"
CLIENT = SOURCE / "ordersigner" / "client.py"


@functools.lru_cache(maxsize=None)
def interpreter(version: str) -> str | None:
    """The path of that Python: this one, one on PATH, or one of pyenv's; None if there is none."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    if version == OWN:
        return sys.executable
    candidates = [shutil.which(f"python{version}"), *Path(pyenv, "versions").glob(f"{version}.*/bin/python")]
    tell = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in map(str, filter(None, candidates)):
        told = subprocess.run([candidate, "-c", tell], capture_output=True, check=False)
        if told.stdout.decode().strip() == version:  # a shim of pyenv is on PATH even if its Python is not installed
            return candidate
    return None


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    found = interpreter(request.param)
    if found is None:
        pytest.skip(f"Python {request.param} is neither on PATH nor one of pyenv's")
    return found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that holds the key of the example, and should hold another."""
    directory = tmp_path_factory.mktemp("daemon")
    key = EXAMPLE["request"]["signer"]
    policy = MARKET + rule("example", address(key), "0x" + 38 * "a" + "0B")
    with standalone(directory, *holding(directory, {"example": key[2:]}, policy)) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def run(python: str, script: Path, daemon: Daemon, copies: Path, *arguments: str) -> str:
    """The output of `script`, with a copy of the client's file and without the rest of the package."""
    shutil.copy(CLIENT, copies / "ordersigner_client.py")
    shutil.copy(SERVERS, copies)
    environment = {
        "PATH": os.environ["PATH"],
        "ORDERSIGNER_SOCKET": daemon.path,
        "PYTHONPATH": str(copies),
        "VECTORS": str(VECTORS),
        "PYTHONWARNINGS": "error",
    }
    command = [python, "-B", str(script), *arguments]
    ended = subprocess.run(command, cwd=copies, env=environment, capture_output=True, timeout=300, check=False)
    output = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 0, output
    assert "Warning" not in output
    return ended.stdout.decode()


@pytest.mark.parametrize("suite", ["suite", "earlier"])
def test_the_suite_passes(python: str, suite: str, daemon: Daemon, tmp_path: Path) -> None:
    run(python, SOURCE / "tests" / "client" / f"{suite}.py", daemon, tmp_path)


@pytest.mark.parametrize("version", [pytest.param("2.7", marks=pytest.mark.once), OWN])
def test_the_lines_for_a_copy_of_the_client_sign_an_order(version: str, daemon: Daemon, directory: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is neither on PATH nor one of pyenv's")
    page = (SOURCE / "docs/use/python.rst").read_text()
    (block,) = re.findall(r"\.\. code-block:: python\n\n( +import .*ordersigner_client\n(?: {3,4}.*\n)+)", page)
    lines = textwrap.dedent(block)
    assert lines.count("\n") == 3
    (directory / "first.py").write_text(lines)
    (directory / "order.json").write_bytes(EXAMPLE_LINE)
    assert run(python, directory / "first.py", daemon, directory) == EXAMPLE["expect"]["signature"] + "\n"


GREEN = """
import {library}
from ordersigner_client import Client
{patch}
import json, os, sys, threading

request = json.loads(sys.argv[1])
clients = [Client() for _ in range(2)]
signatures = []

def sign(client):
    for _ in range(50):
        signatures.append(client.sign(request))
    signatures.extend(client.sign_many([request] * 300))

threads = [threading.Thread(target=sign, args=(client,)) for client in clients for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(signatures), *set(signatures))
"""


@pytest.mark.parametrize(
    ("library", "patch"),
    [("eventlet", "eventlet.monkey_patch()"), ("gevent.monkey", "gevent.monkey.patch_all()")],
)
def test_it_works_under_libraries_that_patch_the_standard_one(
    library: str, patch: str, daemon: Daemon, directory: Path
) -> None:
    shutil.copy(CLIENT, directory / "ordersigner_client.py")
    command = [sys.executable, "-c", GREEN.format(library=library, patch=patch), EXAMPLE_LINE.decode()]
    environment = {**os.environ, "ORDERSIGNER_SOCKET": daemon.path, "PYTHONPATH": str(directory)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert ended.stdout == f"1400 {EXAMPLE['expect']['signature']}\n"


SPAWNING = """
import json, multiprocessing, sys
from ordersigner.account import Account
from ordersigner.client import Client

path, address, request = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client, account = Client(path), Account(address, path)
signed = client.sign(request), account.sign_message("login")
with multiprocessing.get_context("spawn").Pool(1) as pool:
    print(pool.map(client.sign, [request] * 2) == [signed[0]] * 2)
    print(pool.map(account.sign_message, ["login"]) == [signed[1]])
"""


def test_a_used_client_or_account_can_be_sent_to_a_process_that_is_spawned(directory: Path) -> None:
    key = EXAMPLE["request"]["signer"][2:]
    policy = MESSAGES + rule("example", address(key), allows="messages = any\n")
    with standalone(directory, *holding(directory, {"example": key}, policy)) as daemon:
        command = [sys.executable, "-c", SPAWNING, daemon.path, address(key), EXAMPLE_LINE.decode()]
        ended = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=300, check=True)
        assert ended.stdout == "True\nTrue\n"


def test_a_daemon_that_was_restarted_is_found_again(directory: Path) -> None:
    with Client(str(directory / "socket")) as client:
        for _ in range(2):
            with standalone(directory):
                assert client.sign(EXAMPLE["request"]) == EXAMPLE["expect"]["signature"]
        with pytest.raises(Unavailable, match="No such file"):
            client.sign(EXAMPLE["request"])


def test_a_daemon_that_restarts_in_the_middle_of_many_loses_none(directory: Path) -> None:
    rows = vectors("published-orders")
    expected = [row["expect"]["signature"] for row in rows]
    with Client(str(directory / "socket")) as client:
        with standalone(directory):
            signatures = client.sign_many(row["request"] for row in rows)
            taken = [next(signatures) for _ in range(5)]
        with standalone(directory):
            taken.extend(signatures)
    assert taken == expected


def test_a_line_that_is_not_finished_is_refused_in_its_place(directory: Path) -> None:
    with standalone(directory, "--timeout", "0.05") as hasty, Client(hasty.path) as client:
        answered, refused = client.exchange([EXAMPLE_LINE + b"\n", b'{"type":'], read_signature)
        assert answered == EXAMPLE["expect"]["signature"]
        assert isinstance(refused, SignerError)
        assert refused.context[""][0]["code"] == "timed_out"


def test_a_line_that_may_come_late_is_waited_for_only_after_all_answers(daemon: Daemon) -> None:
    taken: list[object] = []

    def lines() -> Iterator[bytes | None]:
        for number in range(3):
            yield from [EXAMPLE_LINE + b"\n"] * 10
            yield None
            assert len(taken) == 10 * (number + 1)

    with Client(daemon.path) as client:
        for signature in client.exchange(lines(), read_signature):
            taken.append(signature)
    assert taken == [EXAMPLE["expect"]["signature"]] * 30


def test_it_runs_from_the_installed_package_too(python: str, daemon: Daemon) -> None:
    program = f"import ordersigner.client as c; assert c.Client().ping() == '{__version__}'"
    environment = {"PATH": os.environ["PATH"], "ORDERSIGNER_SOCKET": daemon.path, "PYTHONPATH": str(SOURCE)}
    subprocess.run([python, "-B", "-W", "error::SyntaxWarning", "-c", program], env=environment, check=True)
