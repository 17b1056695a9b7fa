"""The parts of a release that need the tools of packaging/release/release-tool. They run once, and boot nothing.

packaging/release/release itself, with --draft, runs them all. It builds the packages four times, so it is no test.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.daemon import EXAMPLE, SOURCE

from ordersigner import __version__

DEBIAN = SOURCE / "packaging/debian"
REQUIREMENTS = DEBIAN / "bundled/requirements.txt"
LOCKED = set(re.findall("^(.+)==(.+) --hash=sha256:(.+)$", REQUIREMENTS.read_text(), re.MULTILINE))
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


def test_the_wheel_is_made_from_the_sdist_and_signs_the_example(tmp_path: Path) -> None:
    checkout, dist, site = (tmp_path / name for name in ("checkout", "dist", "site"))
    subprocess.run(["git", "clone", "--quiet", str(SOURCE), str(checkout)], check=True)
    tool = str(SOURCE / "packaging/release/release-tool")
    subprocess.run([tool, "python", "-m", "build", "--outdir", str(dist), str(checkout)], check=True)
    wheel, sdist = sorted(map(str, dist.iterdir()))
    subprocess.run([tool, "twine", "check", "--strict", wheel, sdist], check=True)
    with zipfile.ZipFile(wheel) as archive:
        packaged = {name for name in archive.namelist() if name.startswith("ordersigner/")}
    assert packaged == {
        str(path.relative_to(checkout)) for path in (checkout / "ordersigner").rglob("*") if path.is_file()
    }

    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), wheel]
    subprocess.run(pip, check=True)
    signed = subprocess.run(
        [sys.executable, str(DEBIAN / "tests/sign-without-systemd"), str(site / "bin/ordersignerd")],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert signed.stdout.strip() == EXAMPLE["expect"]["signature"]
