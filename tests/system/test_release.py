"""The parts of a release that need the tools of packaging/release/release-tool. They run once, and boot nothing.

packaging/release/build itself, with --draft, runs them all. It builds the packages four times, so it is no test.
"""

from __future__ import annotations

import importlib.machinery
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from support.daemon import EXAMPLE, SOURCE

from ordersigner import __version__

DEBIAN = SOURCE / "packaging/debian"
REQUIREMENTS = DEBIAN / "bundled/requirements.txt"
LOCKED = set(re.findall("^(.+)==(.+) --hash=sha256:(.+)$", REQUIREMENTS.read_text(), re.MULTILINE))
Poison = Callable[[str, str, str, Path], None]
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the port "discard"
ADVISORY: dict[str, Any] = {
    "schema_version": "1.7.3",
    "id": "GHSA-aaaa-bbbb-cccc",
    "summary": "An example",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "rlp"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.1"}]}],
        }
    ],
}


@pytest.fixture
def audit() -> ModuleType:
    """packaging/debian/audit"""
    loader = importlib.machinery.SourceFileLoader("audit", str(DEBIAN / "audit"))
    module = ModuleType("audit")
    module.__file__ = str(DEBIAN / "audit")
    exec(loader.get_code("audit"), module.__dict__)  # type: ignore[arg-type]
    return module


class Advisories(BaseHTTPRequestHandler):
    """Answers in OSV's protocol: one module has a vulnerability."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"vulns": [ADVISORY]} if query["package"]["name"] == "rlp" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def _vulnerable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/v1/query")
        yield
        server.shutdown()
        thread.join()


def test_the_bill_of_materials_lists_exactly_what_is_locked() -> None:
    printed = [subprocess.run([str(DEBIAN / "sbom")], check=True, stdout=subprocess.PIPE).stdout for _ in range(2)]
    assert printed[0] == printed[1]
    bill = json.loads(printed[0])
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", __version__)
    assert {
        (component["name"], component["version"], one["content"])
        for component in bill["components"]
        for reference in component["externalReferences"]
        for one in reference["hashes"]
    } == LOCKED
    assert len(bill["components"]) == len(LOCKED) == 10


@pytest.mark.usefixtures("_vulnerable")
def test_a_known_vulnerability_is_found(audit: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.vulnerabilities() == audit.WRONG
    assert re.search(r"^    rlp \S+: GHSA-aaaa-bbbb-cccc, fixed in 9.1$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.usefixtures("_vulnerable")
def test_a_vulnerability_with_a_reason_is_accepted(
    audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accepting = tmp_path / "requirements.txt"
    accepting.write_text(f"# Accepted: GHSA-aaaa-bbbb-cccc, because we never call it\n{REQUIREMENTS.read_text()}")
    audit.__dict__["REQUIREMENTS"] = accepting
    assert audit.vulnerabilities() == audit.CHECKED
    assert capsys.readouterr().out == "osv knows no vulnerability in the 10 bundled modules.\n"


def test_without_a_service_it_says_that_it_could_not_check(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", NOWHERE)
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    monkeypatch.setenv("https_proxy", NOWHERE)
    assert audit.vulnerabilities() == audit.UNCHECKED
    assert capsys.readouterr().out.startswith("COULD NOT CHECK for known vulnerabilities:\n")


def test_a_module_that_a_service_does_not_know_is_not_checked(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip-audit itself would find no vulnerability in it and exit with status 0."""
    names = [name for name, _, _ in LOCKED]
    modules: list[dict[str, object]] = [{"name": name, "version": "1", "vulns": []} for name in names[1:]]
    skipped = {"name": names[0], "skip_reason": "not found"}
    for answer, unchecked in (
        (modules, f"{names[0]}: no answer"),
        ([*modules, skipped], f"{names[0]}: not found"),
    ):
        ended = subprocess.CompletedProcess([], 0, json.dumps({"dependencies": answer}), "")
        monkeypatch.setattr(subprocess, "run", lambda *arguments, ended=ended, **options: ended)
        assert audit.ask("pypi") == ([], [unchecked])


def test_the_copyright_file_has_the_licenses_and_holders_of_the_archives(
    audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.licenses() == audit.CHECKED, capsys.readouterr().out
    (tmp_path / "copyright").write_text(
        (DEBIAN / "copyright")
        .read_text()
        .replace("Files: debian/bundled/rlp-", "Files: debian/bundled/other-")
        .replace("Copyright: 2017 Ofek Lev\nLicense: Expat or Apache-2.0", "Copyright: 2017 Ofek Lev\nLicense: Expat")
        .replace("The Ethereum Foundation", "Another Foundation")
    )
    (tmp_path / "bundled").symlink_to(DEBIAN / "bundled")
    audit.__dict__["DEBIAN"] = tmp_path
    assert audit.licenses() == audit.WRONG
    findings = capsys.readouterr().out
    assert "rlp-4.1.0.tar.gz: no paragraph has its license" in findings
    assert "coincurve-21.0.0.tar.gz: its license is 'Expat or Apache-2.0', not Expat" in findings
    assert findings.count("it does not name The Ethereum Foundation") == 8


class Dist(NamedTuple):
    """What packaging/release/wheel made of a checkout, and the last line that it printed."""

    wheel: Path
    sdist: Path
    tracked: set[str]  # the files of the checkout
    said: str


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    base = tmp_path_factory.mktemp("release")
    checkout, directory = base / "checkout", base / "dist"
    subprocess.run(["git", "clone", "--quiet", str(SOURCE), str(checkout)], check=True)
    (checkout / ".cache").symlink_to(SOURCE / ".cache")  # the tools are there
    command = [str(checkout / "packaging/release/wheel"), str(directory)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, check=True, stdout=subprocess.PIPE, text=True)
    wheel, sdist = sorted(directory.iterdir())
    return Dist(wheel, sdist, set(listed.stdout.split("\0")) - {""}, ended.stdout.splitlines()[-1])


def test_the_wheel_is_made_from_the_sdist_and_signs_the_example(dist: Dist) -> None:
    assert dist.said == EXAMPLE["expect"]["signature"]


def test_the_wheel_has_the_package_and_nothing_else(dist: Dist) -> None:
    info = f"ordersigner-{__version__}.dist-info"
    with zipfile.ZipFile(dist.wheel) as archive:
        packaged = {name for name in archive.namelist() if not name.startswith(f"{info}/")}
        metadata = archive.read(f"{info}/METADATA").decode()
    assert packaged == {name for name in dist.tracked if name.startswith("ordersigner/")}
    required = re.findall("^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    assert required
    assert [each for each in required if " extra == " not in each] == []


def test_the_sdist_has_all_that_is_tracked(dist: Dist) -> None:
    with tarfile.open(dist.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {"PKG-INFO", "setup.cfg"}
    assert {name for name in names if not name.startswith("ordersigner.egg-info/")} == dist.tracked | made


def test_tests_run_in_the_sdist(dist: Dist, tmp_path: Path) -> None:
    """Some of each kind, after the line that the documentation shows: of the code, with a daemon, of a release."""
    shutil.unpack_archive(dist.sdist, tmp_path)
    unpacked = tmp_path / f"ordersigner-{__version__}"
    (prepare,) = re.findall("^    (git init .+)$", (unpacked / "docs/develop/contribute.rst").read_text(), re.MULTILINE)
    identity = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "PYTHONPATH": str(unpacked)}
    subprocess.run(["sh", "-c", prepare], cwd=unpacked, check=True, env=environment)
    checks = "test_a_release_can_be_built_of_a_commit_where_everything_agrees_but_not_next_to_a_key"
    tests = [
        *("payloads/test_messages.py", "daemon/test_own_socket.py", "test_architecture.py", "test_extras.py"),
        *("test_keccak.py", "test_docs.py::test_quickstart_explains_itself", f"test_release.py::{checks}"),
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]
    ended = subprocess.run(command, cwd=unpacked, check=False, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr
    everything = [sys.executable, "-m", "pytest", "-q", "--collect-only", "--ignore=tests/sdks", "tests"]
    subprocess.run(everything, cwd=unpacked, check=True, stdout=subprocess.DEVNULL, env=environment)


def poisoned_wheel(name: str, version: str, code: str, directory: Path) -> None:
    """A wheel whose module runs the code when it is imported or run."""
    module = name.replace("-", "_")
    with zipfile.ZipFile(directory / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{module}/__init__.py", code)
        archive.writestr(f"{module}/__main__.py", "")
        info = f"{module}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def poisoned_sdist(name: str, version: str, code: str, directory: Path) -> None:
    """A source distribution whose build backend runs the code."""
    root = f"{name.replace('-', '_')}-{version}"
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    with tarfile.open(directory / f"{root}.tar.gz", "w:gz") as archive:
        for path, text in (("pyproject.toml", backend), ("backend.py", code), ("PKG-INFO", f"Name: {name}\n")):
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def poisoned_index(directory: Path, locked: Path, poisoned: Poison, ran: Path) -> dict[str, str]:
    """The environment for an index with other archives of all versions that a list locks. Their code makes a file."""
    for name, version in re.findall(r"^([a-z0-9-]+)==([\w.]+)", locked.read_text(), re.MULTILINE):
        project = directory / "index" / name
        project.mkdir(parents=True, exist_ok=True)
        poisoned(name, version, f"open({str(ran)!r}, 'w')", project)
        links = [f'<a href="{path.name}">{path.name}</a>' for path in project.iterdir() if path.suffix != ".html"]
        (project / "index.html").write_text(f"<!doctype html>{''.join(links)}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": (directory / "index").as_uri()}


@pytest.mark.parametrize(
    ("command", "locked", "poisoned", "name"),
    [
        ("packaging/release/release-tool python -m build --version", "release.txt", poisoned_wheel, "build"),
        ("packaging/release/wheel dist", "release.txt", poisoned_wheel, "setuptools"),
        ("packaging/quickstart --once", "daemon.txt", poisoned_wheel, "coincurve"),
        ("packaging/quickstart --once", "daemon.txt", poisoned_sdist, "coincurve"),
        ("packaging/debian/bundled/download-only/download dist", "", poisoned_sdist, "coincurve"),
    ],
    ids=["a tool of a release", "what builds the wheel", "quickstart", "quickstart, compiling", "what is bundled"],
)
def test_no_code_runs_from_an_index_that_serves_other_archives(
    tmp_path: Path, command: str, locked: str, poisoned: Poison, name: str
) -> None:
    checkout, ran = tmp_path / "checkout", tmp_path / "ran"
    subprocess.run(["git", "clone", "--quiet", str(SOURCE), str(checkout)], check=True)
    list_of_versions = checkout / "packaging/locked" / locked if locked else REQUIREMENTS
    environment = poisoned_index(tmp_path, list_of_versions, poisoned, ran)
    words = command.split()
    ended = subprocess.run(
        [str(checkout / words[0]), *words[1:]],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert ended.returncode != 0
    assert "DO NOT MATCH THE HASHES" in ended.stderr
    assert not ran.exists()

    # Without the hashes it would run.
    site = str(tmp_path / "site")
    version = dict(re.findall(r"^([a-z0-9-]+)==([\w.]+)", list_of_versions.read_text(), re.MULTILINE))[name]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, f"{name}=={version}"]
    subprocess.run(pip, check=False, stderr=subprocess.DEVNULL, env=environment)
    subprocess.run([sys.executable, "-c", f"import {name}"], check=False, env={**environment, "PYTHONPATH": site})
    assert ran.exists()


# What hostile code looks for: the files of a home of gpg, its agent, and the agent's memory.
THIEF = """
import glob, json, os, socket, sys

def attempt(steal):
    try:
        return repr(steal())
    except OSError as error:
        return type(error).__name__

home, agent, loot = {home!r}, {agent!r}, {loot!r}
client = socket.socket(socket.AF_UNIX)
found = {{
    "files": attempt(lambda: [open(path, "rb").read() for path in os.scandir(home + "/private-keys-v1.d")]),
    "agent": attempt(lambda: client.connect(home + "/S.gpg-agent")),
    "memory": attempt(lambda: open("/proc/%s/mem" % agent, "rb")),
    "user": os.geteuid(),
}}
client.close()
json.dump(found, open(loot, "w"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become two users")
def test_hostile_code_in_the_build_does_not_reach_the_key_of_another_user() -> None:
    signer, builder = 61001, 61002
    with tempfile.TemporaryDirectory(prefix="release") as directory:
        base = Path(directory)
        base.chmod(0o755)
        home, built = base / "signer", base / "builder"
        for path, user in ((home, signer), (built, builder)):
            path.mkdir(mode=0o700 if user == signer else 0o755)
            os.chown(path, user, user)
        with_key = {"GNUPGHOME": str(home), "HOME": str(home)}
        gpg = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "a@example.org", "ed25519"]
        run_as(signer, [*gpg, "sign", "1d"], env=with_key)
        pid = ["gpg-connect-agent", "getinfo pid", "/bye"]
        try:
            agent = run_as(signer, pid, env=with_key).split()[1]
            checkout, loot = built / "checkout", built / "loot"
            thief = THIEF.format(home=str(home), agent=agent, loot=str(loot))

            subprocess.run(["git", "clone", "--quiet", str(SOURCE), str(checkout)], check=True)
            with (checkout / "setup.py").open("a") as file:
                file.write(thief)
            identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]
            subprocess.run(["git", "-C", str(checkout), *identity, "commit", "-qam", "Steal"], check=True)
            for path in (checkout, *checkout.rglob("*")):
                os.chown(path, builder, builder, follow_symlinks=False)

            run_as(builder, [str(checkout / "packaging/release/wheel"), "dist"], cwd=built)
            denied = "PermissionError"
            assert json.loads(loot.read_text()) == {
                "files": denied, "agent": denied, "memory": denied, "user": builder
            }  # fmt: skip

            # The same code as the user who has the key.
            loot.unlink()
            built.chmod(0o777)
            run_as(signer, ["/usr/bin/python3", "-c", thief])
            found = json.loads(loot.read_text())
            assert "private-key" in found["files"]
            assert (found["agent"], found["user"]) == ("None", signer)
        finally:
            run_as(signer, ["gpgconf", "--kill", "all"], env=with_key)


def run_as(user: int, command: list[str], cwd: Path = Path("/"), env: dict[str, str] | None = None) -> str:
    """What the command prints. It gets Debian's own Python, and nothing of root's but the network."""
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    environment = {**os.environ, "HOME": str(cwd), **(env or {}), "PATH": "/usr/bin:/bin"}
    environment.pop("PYTHONPATH", None)
    ended = subprocess.run([*as_user, *command], check=False, capture_output=True, text=True, cwd=cwd, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
