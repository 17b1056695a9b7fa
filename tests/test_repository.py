"""The files of an apt repository that packaging/debian/repository makes. system/test_repository.py has apt use one."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import SOURCE
from support.publishing import MISSING, gpg_home, package

SUITES = re.findall("^([a-z]+) ", (SOURCE / "packaging/debian/suites").read_text(), re.MULTILINE)
KEY, OTHER_KEY = "packages@example.org", "other@example.org"

pytestmark = [pytest.mark.once, pytest.mark.skipif(bool(MISSING), reason=f"needs {' '.join(MISSING)}")]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with gpg_home(KEY, OTHER_KEY) as home:
        yield home


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Packages of every suite, and of two architectures."""
    directory = tmp_path / "dist"
    for architecture in ("all", "arm64"):
        package(directory, "bookworm", architecture)
    for suite in SUITES:
        package(directory, suite, "amd64")
    return directory


def add(home: Path, repository: Path, packages: Path, *options: str, key: str = KEY) -> str:
    """The complaint of the command; empty if it succeeds."""
    command = [str(SOURCE / "packaging/debian/repository"), "--key", key, "--output", str(repository), *options]
    environment = {**os.environ, "GNUPGHOME": str(home)}
    ended = subprocess.run(
        [*command, str(packages)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (ended.returncode == 0) == (ended.stderr == "")
    return ended.stderr


def files(repository: Path, suite: str, architecture: str) -> list[str]:
    """The files that an index names, all of which must exist."""
    index = (repository / f"dists/{suite}/main/binary-{architecture}/Packages").read_text()
    names = re.findall("^Filename: (.+)$", index, re.MULTILINE)
    assert all((repository / name).exists() for name in names)
    return [Path(name).name for name in names]


def test_each_suite_has_an_index_for_each_of_its_architectures(home: Path, built: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert add(home, repository, built, "--url", "https://host/path") == ""
    assert files(repository, "bookworm", "amd64") == ["a_1.0_all.deb", "a_1.0_amd64.deb"]
    assert files(repository, "bookworm", "arm64") == ["a_1.0_all.deb", "a_1.0_arm64.deb"]
    for suite in SUITES:
        assert "a_1.0_amd64.deb" in files(repository, suite, "amd64")
        architectures = "amd64 arm64" if suite == "bookworm" else "amd64"
        release = (repository / f"dists/{suite}/Release").read_text()
        assert f"\nArchitectures: {architectures}\nCodename: {suite}\n" in release
        source = (repository / f"dists/{suite}/ordersigner.sources").read_text()
        assert f"\nURIs: https://host/path\nSuites: {suite}\n" in source


def test_its_signatures_and_hashes_are_right_and_indices_are_there_by_their_hashes(
    home: Path, built: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    assert add(home, repository, built) == ""
    keyring = tmp_path / "keyring"
    armored = str(repository / "ordersigner.asc")
    subprocess.run(["gpg", "--homedir", str(home), "--output", str(keyring), "--dearmor", armored], check=True)
    for suite in SUITES:
        index = repository / "dists" / suite
        for signed in (["InRelease"], ["Release.gpg", "Release"]):
            paths = [str(index / name) for name in signed]
            verified = subprocess.run(["gpgv", "--quiet", "--keyring", str(keyring), *paths], check=False)
            assert verified.returncode == 0
        sums = (index / "Release").read_text().split("\nSHA256:\n")[1].split("\nSHA512:\n")[0]
        for line in sums.splitlines():
            digest, _, name = line.split()
            for path in (index / name, (index / name).parent / "by-hash/SHA256" / digest):
                assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        assert (index / "Release").read_text() in (index / "InRelease").read_text()


def test_an_earlier_version_stays_until_its_file_is_deleted(home: Path, built: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert add(home, repository, built) == ""
    index = repository / "dists/trixie/main/binary-amd64"
    before = {path.name for path in index.glob("by-hash/SHA256/*")}
    package(tmp_path / "later", "trixie", "amd64", version="1.1")
    assert add(home, repository, tmp_path / "later") == ""
    assert files(repository, "trixie", "amd64") == ["a_1.0_amd64.deb", "a_1.1_amd64.deb"]
    assert before < {path.name for path in index.glob("by-hash/SHA256/*")}
    (repository / "pool/trixie/a_1.0_amd64.deb").unlink()
    assert add(home, repository, tmp_path / "later") == ""
    assert files(repository, "trixie", "amd64") == ["a_1.1_amd64.deb"]


def test_an_architecture_without_packages_disappears(home: Path, built: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert add(home, repository, built) == ""
    (built / "bookworm/a_1.0_arm64.deb").unlink()
    (repository / "pool/bookworm/a_1.0_arm64.deb").unlink()
    assert add(home, repository, built) == ""
    assert "arm64" not in (repository / "dists/bookworm/Release").read_text()


def test_another_package_of_the_same_version_is_refused(home: Path, built: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert add(home, repository, built) == ""
    package(tmp_path / "other", "trixie", "amd64", about="other")
    assert "differs from the package of the same version" in add(home, repository, tmp_path / "other")


def test_another_key_is_refused_until_the_published_one_is_deleted(home: Path, built: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert add(home, repository, built) == ""
    assert "was signed with another key" in add(home, repository, built, key=OTHER_KEY)
    (repository / "ordersigner.asc").unlink()
    assert add(home, repository, built, key=OTHER_KEY) == ""


def test_a_source_package_cannot_name_a_file_outside_of_it(home: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a key")
    (built / "trixie/a_1.0.dsc").write_text("Format: 3.0\nFiles:\n 0 5 ../../secret\n")
    assert "is not the name of a file of a package" in add(home, tmp_path / "repository", built)
    assert not [path for path in (tmp_path / "repository").rglob("*") if path.is_file()]


def test_without_packages_nothing_is_made(home: Path, tmp_path: Path) -> None:
    assert "no packages in" in add(home, tmp_path / "repository", tmp_path)
    assert not (tmp_path / "repository").exists()
