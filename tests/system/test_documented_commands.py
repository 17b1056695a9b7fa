"""Commands that the documentation shows, in a fresh clone, without the packages of the tests' own Python.

They run once, and boot nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import faults
from support.daemon import DEFAULT_SIGNALS, EXAMPLE, SOURCE, wait_until

from ordersigner import __version__

DOCS = SOURCE / "docs"
PAGES = [*sorted(DOCS.rglob("*.rst")), SOURCE / "README.rst"]
# The commands do not get this process's Python environment.
CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
TESTS_PYTHON, FUZZERS_PYTHON = ".cache/tests/bin/python ", ".cache/fuzzer/bin/python "


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    path = tmp_path / "ordersigner"
    subprocess.run(["git", "clone", "--quiet", str(SOURCE), str(path)], check=True)
    return path


def run(command: list[str], cwd: Path, home: Path | None = None) -> str:
    environment = {**CLEAN, "HOME": str(home)} if home else CLEAN
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def commands(page: Path, beginning: str) -> list[str]:
    """The lines of a page, and of its tables, that show a command, with those that continue it."""
    text = page.read_text().replace("\\\n", "")
    return [" ".join(line.split()) for line in re.findall(f"^ {{4,}}({re.escape(beginning)}.*)$", text, re.MULTILINE)]


def test_the_documentation_builds(clone: Path) -> None:
    shown = commands(DOCS / "develop/contribute.rst", "make -C docs")
    assert shown == ["make -C docs html", "make -C docs man"]
    assert commands(SOURCE / "README.rst", "make -C docs") == shown[:1]
    for command in shown:
        run(command.split(), clone)
    assert "ordersigner.account.Account" in (clone / "docs/_build/html/use/api.html").read_text()
    assert (clone / "docs/_build/man/ordersignerd.8").exists()
    assert run(["git", "status", "--porcelain"], clone) == ""


def test_the_fast_loop_of_contributors_works_in_a_fresh_clone(clone: Path) -> None:
    text = (DOCS / "develop/contribute.rst").read_text()
    section = text[text.index("\nFast loop\n---") : text.index("\nThe whole run\n---")]
    install, *prepare, test, lint, types = re.findall("^    (.+)$", section, re.MULTILINE)
    assert install.startswith("sudo apt install ")
    assert len(prepare) == 2
    for command in prepare:
        run(["sh", "-c", command], clone)
    assert re.search(r"\b[1-9]\d* passed in ", run(["sh", "-c", test], clone))
    for command in (lint, types):
        run(["sh", "-c", command], clone)
    assert run(["git", "status", "--porcelain"], clone) == ""


def without_the_package() -> list[str]:
    text = (DOCS / "start/install.rst").read_text()
    section = text[text.index("Without the package\n---") : text.index("More about the build\n---")]
    section = section.replace("\\\n", "")
    shown = re.findall("^    ((?:python3|~/ordersigner/bin).+)$", section, re.MULTILINE)
    assert len(shown) == 6
    return shown


@contextlib.contextmanager
def started(command: str, home: Path) -> Iterator[None]:
    daemon = subprocess.Popen(
        [*DEFAULT_SIGNALS, "sh", "-c", f"exec {command}"],
        cwd=home,
        env={**CLEAN, "HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        daemon.terminate()
        assert daemon.wait() == 0


def signed_by(bin: Path, start: str, home: Path, socket: str) -> str:
    """The signature of the example, from a daemon that is started with a command."""
    with started(start, home):
        wait_until((home / socket).exists)
        (home / "order.json").write_text(json.dumps(EXAMPLE["request"]) + "\n")
        return run([str(bin / "ordersigner"), "sign", "--socket", socket, "order.json"], home).strip()


def installed(bin: Path) -> set[str]:
    listed = json.loads(run([str(bin / "python"), "-m", "pip", "list", "--format=json"], bin))
    return {package["name"] for package in listed} - {"pip", "setuptools", "wheel"}


def without_a_compiler(directory: Path) -> dict[str, str]:
    """An environment whose PATH has what a shell needs, and no compiler."""
    directory.mkdir()
    for tool in ("cat", "env", "ldd", "sh", "uname", "file"):
        found = shutil.which(tool)
        if found:
            (directory / tool).symlink_to(found)
    return {**CLEAN, "PATH": str(directory)}


STRANGER = """
import ordersigner.aio, ordersigner.sdks
from ordersigner.account import Account
from ordersigner.client import Client
ordersigner.sdks.install()
print(Account("0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282").address, Client("/nowhere").path)
"""


@pytest.mark.parametrize(
    "pip",
    [
        pytest.param("", id="this pip"),
        pytest.param(
            "20.3.4",
            id="Debian 11's pip",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="it needs Python 3.11 or earlier"),
        ),
    ],
)
def test_a_program_gets_the_package_alone_and_needs_no_compiler(pip: str, clone: Path, tmp_path: Path) -> None:
    assert commands(DOCS / "start/install.rst", "pip install") == ["pip install ordersigner"]
    bin = tmp_path / "venv/bin"
    run([sys.executable, "-m", "venv", str(bin.parent)], tmp_path)
    if pip:
        run([str(bin / "python"), "-m", "pip", "install", "--quiet", f"pip=={pip}"], tmp_path)
    environment = without_a_compiler(tmp_path / "tools")

    def program(name: str, *arguments: str) -> tuple[int, str, str]:
        command = [str(bin / name), *arguments]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
        return ended.returncode, ended.stdout, ended.stderr

    status, _, errors = program("python", "-m", "pip", "install", "--quiet", str(clone))
    assert status == 0, errors
    assert installed(bin) == {"ordersigner"}
    assert program("ordersigner", "--version") == (0, f"ordersigner {__version__}\n", "")
    assert program("python", "-c", STRANGER) == (0, "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282 /nowhere\n", "")
    for name, module, extra in (
        ("ordersignerd", "ordersigner", "daemon"),
        ("ordersigner-keys", "ordersigner.keytool", "keys"),
    ):
        for command in ([name], ["python", "-m", module]):
            status, output, errors = program(*command)
            assert (status, output) == (1, "")
            (line,) = errors.splitlines()
            assert line.startswith(f"{name}: the Python module ")
            assert line.endswith(f" is missing. To install it: {bin}/python -m pip install 'ordersigner[{extra}]'")


def test_the_command_that_ordersigner_keys_prints_installs_what_is_missing(clone: Path, tmp_path: Path) -> None:
    bin = tmp_path / "venv/bin"
    run([sys.executable, "-m", "venv", str(bin.parent)], tmp_path)
    run([str(bin / "pip"), "install", "--quiet", str(clone)], tmp_path)
    refused = subprocess.run([str(bin / "ordersigner-keys"), "list"], check=False, capture_output=True, text=True)
    run(["sh", "-c", refused.stderr.partition("To install it: ")[2]], tmp_path)
    made = run([str(bin / "ordersigner-keys"), "new", "--plain", "--keys", "keys", "bids"], tmp_path)
    assert re.search("0x[0-9a-fA-F]{40}", made)


def test_the_extra_of_the_daemon_is_all_that_it_needs(clone: Path, tmp_path: Path) -> None:
    """With a compiler, and the headers of libsystemd."""
    bin = tmp_path / "venv/bin"
    run([sys.executable, "-m", "venv", str(bin.parent)], tmp_path)
    run([str(bin / "pip"), "install", "--quiet", f"{clone}[daemon]"], tmp_path)
    assert {"ordersigner", "coincurve", "msgpack", "pycryptodome", "systemd-python"} <= installed(bin)
    assert not {"eth-account", "eth_account"} & installed(bin)
    assert signed_by(bin, f"{bin}/ordersignerd --socket socket", tmp_path, "socket") == EXAMPLE["expect"]["signature"]
    run([str(bin / "python"), "-c", "from systemd.daemon import listen_fds"], tmp_path)


def test_the_daemon_can_be_installed_without_what_only_systemd_and_the_key_tool_need(
    clone: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    *daemon, start, keys, systemd = without_the_package()
    assert ["ordersignerd" in start, "keys.txt" in keys, "systemd.txt" in systemd] == [True] * 3
    for command in daemon:
        run(["sh", "-c", command], clone, home)
    bin = home / "ordersigner/bin"
    assert not {"eth-account", "eth_account", "systemd-python"} & installed(bin)
    assert signed_by(bin, start, home, "ordersigner.sock") == EXAMPLE["expect"]["signature"]

    for command in (keys, systemd):
        run(["sh", "-c", command], clone, home)
    made = run([str(bin / "ordersigner-keys"), "new", "--plain", "--keys", "keys", "bids"], home)
    assert re.search("0x[0-9a-fA-F]{40}", made)
    run([str(bin / "python"), "-c", "from systemd.daemon import listen_fds"], home)


@pytest.mark.parametrize("version", ["3.6.15", "3.7.16", "3.14.0", ""])
def test_quickstart_says_which_python_it_needs(tmp_path: Path, version: str) -> None:
    """One that is too old or too new, in the words of that Python; or none."""
    real = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions", version, "bin/python3")
    if version and real.exists():
        (tmp_path / "python3").symlink_to(real)
    elif version:
        (tmp_path / "python3").write_text(
            f'#!/bin/sh\nif [ "$1" = --version ]; then echo "Python {version}"; exit; fi\n'
            f'exec {sys.executable} -c "import sys; sys.version_info = ({version.replace(".", ", ")}); $2"\n'
        )
        (tmp_path / "python3").chmod(0o755)
    for tool in ("bash", "dirname", "readlink", "sed"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    command = [str(SOURCE / "packaging/quickstart"), "--once"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (1, "")
    found = f"Python {version}" if version else "missing"
    assert ended.stderr == (
        f"quickstart needs Python 3.8 to 3.13, but python3 is {found}. Put one of these first on PATH, or install the"
        " package: see docs/start/install.rst.\n"
    )


# Runs a program once for each list of arguments.
RUN = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as exit:
        if exit.code:
            sys.exit(f"{sys.argv}: {exit.code}")
"""


def test_each_command_with_the_tests_own_python_can_be_run_as_it_is_shown() -> None:
    """Programs run with --help, and pytest only collects its tests. The Python has what tests/run installs."""
    shown = sorted({command for page in PAGES for command in commands(page, TESTS_PYTHON)})
    assert len(shown) > 15
    arguments = [shlex.split(command)[1:] for command in shown]
    for words in arguments:
        if words[:2] == ["-m", "pytest"]:
            run([sys.executable, *words, "--collect-only", "--quiet"], SOURCE)
    for program in {words[0] for words in arguments} - {"-m"}:
        asked = [] if program.endswith(("prose.py", "typed_data_speed.py")) else ["--help"]  # those have no --help
        lists = [[*words, *asked] for words in arguments if words[0] == program]
        run([sys.executable, "-c", RUN, json.dumps(lists)], SOURCE)


def test_a_fault_is_repeated_by_the_command_of_its_row() -> None:
    (command,) = (one for one in commands(DOCS / "trust/faults.rst", TESTS_PYTHON) if "faults.py kill" in one)
    once = re.sub("--times [0-9]+", "--times 1", command).split()[1:]
    assert "\n0 wrong responses\n" in run([sys.executable, *once], SOURCE)


def test_the_fuzzers_commands_are_those_that_the_tests_run() -> None:
    tested = re.findall(
        r'\["python", "(tests/programs/fuzz.py)", "(\w+)", "--same"', (SOURCE / "pyproject.toml").read_text()
    )
    shown = [command.split()[1:] for command in commands(DOCS / "develop/contribute.rst", FUZZERS_PYTHON)]
    assert shown == [[*words, "--seconds", "3600"] for words in tested]
    (fuzzed,) = commands(DOCS / "trust/faults.rst", FUZZERS_PYTHON)
    assert fuzzed.split()[1:] in shown


def test_each_row_of_the_faults_has_its_command() -> None:
    """Which can be run: see above. Its fault, if it names one, is one that the program knows."""
    table = (DOCS / "trust/faults.rst").read_text().partition("\nHow it is measured\n")[0]
    head, *rows = table.split("\n   * - ")[1:]
    assert [line.strip() for line in head.splitlines()[:3]] == ["Fault", "- Lost", "- Repeat it"]
    found = [re.findall(r"^ +(\.cache/\w+/bin/python .+)$", row, re.MULTILINE) for row in rows]
    assert [len(each) for each in found] == [1] * len(rows)
    named = [command.split()[2] for (command,) in found if "/faults.py " in command]
    assert sorted(named) == sorted(faults.FAULTS)
