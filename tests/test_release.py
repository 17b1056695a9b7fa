"""Only a commit that can be a release is built, and releases are signed where no code from PyPI runs.

system/test_release.py has the parts that install something.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.daemon import SOURCE
from support.publishing import MISSING, gpg_home, package

from ordersigner import __version__

pytestmark = pytest.mark.once

KEY = "packages@example.org"
FIGURES = "docs/plots/figures.json"
DEBIANS = dict(re.findall("^([a-z]+) (deb.+)$", (SOURCE / "packaging/debian/suites").read_text(), re.MULTILINE))
NEEDS_GPG = pytest.mark.skipif(bool(MISSING), reason=f"needs {' '.join(MISSING)}")
# What packaging/release/sign may run: Debian's tools. Python, pip and what they install are not among them.
TOOLS = """apt-ftparchive awk cat chmod cmp cp date dirname dpkg-deb dpkg-query env find git gpg gpg-agent gpgconf grep
    id ls mkdir mktemp mv printf rm sed sh sha256sum sort tar tr xargs xz"""


@pytest.fixture
def releasable(tmp_path: Path) -> Path:
    """A checkout of what is here, as a commit that can be released. Next to it is a secret key of gpg."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "private-keys-v1.d").mkdir()
    (tmp_path / "private-keys-v1.d/0123.key").touch()
    listed = "git ls-files -z --cached --others --exclude-standard"
    copy = f"{listed} | tar --null --files-from=- --ignore-failed-read -c | tar -xC '{checkout}'"
    subprocess.run(["sh", "-c", copy], cwd=SOURCE, check=True)
    (checkout / "PKG-INFO").unlink(missing_ok=True)  # of the sdist, which has the host from setup.py
    git(checkout, "init", "--quiet")
    replace(checkout / "docs/develop/changelog.rst", f"^{__version__}.*", f"{__version__} (2026-01-31)")
    replace(checkout / FIGURES, '"version": ".*"', f'"version": "{__version__}"')
    replace(checkout / FIGURES, '"draft": .*,', '"draft": false,')
    replace(checkout / "setup.py", '^HOST = ".*"', 'HOST = "ordersigner.example"')
    commit(checkout)
    return checkout


def git(checkout: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]
    subprocess.run(["git", "-C", str(checkout), *identity, *arguments], check=True, stdout=subprocess.DEVNULL)


def commit(checkout: Path) -> None:
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message=Change")


def replace(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def refusal_to_build(checkout: Path, *arguments: str) -> str:
    """The reason. There is always one, because of the secret key, but it comes after all checks that run nothing from
    PyPI.
    """
    command = [str(checkout / "packaging/release/build"), "--check", *arguments]
    environment = {**os.environ, "GNUPGHOME": str(checkout.parent)}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    return ended.stderr


def test_a_release_can_be_built_of_a_commit_where_everything_agrees_but_not_next_to_a_key(releasable: Path) -> None:
    git(releasable, "tag", f"v{__version__}")
    assert refusal_to_build(releasable).startswith("build: you have a secret key of gpg: ")
    assert not (releasable / ".cache/release").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_cannot_build_a_release(releasable: Path) -> None:
    (releasable.parent / "private-keys-v1.d/0123.key").unlink()
    assert refusal_to_build(releasable).startswith("build: root can read the key of every user: ")
    assert not (releasable / ".cache/release").exists()


@pytest.mark.parametrize(
    ("path", "pattern", "by", "reason"),
    [
        ("ordersigner/__init__.py", '^__version__ = ".*"', '__version__ = "9.0"', "has version 9.0"),
        ("docs/develop/changelog.rst", f"^{__version__}", "9.0", "docs/develop/changelog.rst begins with '9.0 ("),
        (
            "packaging/debian/changelog",
            f"{re.escape(__version__)}",
            "9.0",
            "packaging/debian/changelog begins with '9.0'",
        ),
        ("packaging/debian/changelog", "unstable", "UNRELEASED", "begins with 'another line'"),
        ("packaging/debian/changelog", r"\d{4} \d\d:", "2999 12:", "has not passed"),
        (
            "docs/develop/changelog.rst",
            f"^{__version__}.*",
            f"{__version__} (unreleased)",
            "(unreleased)', without the date",
        ),
        ("docs/develop/changelog.rst", f"^{__version__}.*", __version__, "without the date"),
        (FIGURES, f'"version": "{__version__}"', '"version": "0.9"', "has figures of version 0.9, not of"),
        (FIGURES, '"draft": false', '"draft": true', "has figures of a run that was too short"),
        ("setup.py", "ordersigner[.]example", "host." + "invalid", "lead nowhere: put others into setup.py."),
        ("docs/SECURITY.md", "^#", "# mail@host." + "invalid", "put others into docs/SECURITY.md."),
    ],
    ids=[
        "other code",
        "other page",
        "other package",
        "not for unstable",
        "date to come",
        "unreleased",
        "no date",
        "other figures",
        "draft of figures",
        "no host",
        "a second place without a host",
    ],
)
def test_a_build_is_refused_where(releasable: Path, path: str, pattern: str, by: str, reason: str) -> None:
    replace(releasable / path, pattern, by)
    commit(releasable)
    assert reason in refusal_to_build(releasable)


def test_a_build_is_refused_with_changes_that_are_not_committed(releasable: Path) -> None:
    (releasable / "new").touch()
    assert "not committed" in refusal_to_build(releasable)


def test_a_build_is_refused_if_its_version_was_tagged_at_another_commit(releasable: Path) -> None:
    git(releasable, "tag", f"v{__version__}")
    commit(releasable)
    assert "is tagged already" in refusal_to_build(releasable)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with gpg_home(KEY) as home:
        yield home


@pytest.fixture
def built(releasable: Path, tmp_path: Path) -> Path:
    """The files that packaging/release/build makes of the commit, with smaller packages."""
    built = tmp_path / "built"
    for suite, release in DEBIANS.items():
        for name, architecture in (("ordersigner", "amd64"), ("ordersigner-keys", "all")):
            (built / "packages").mkdir(parents=True, exist_ok=True)
            package(built / "packages", suite, architecture, f"{__version__}~{release}", name=name)
    for name in (f"{__version__}.tar.gz", f"{__version__}-py3-none-any.whl", f"{__version__}.cdx.json"):
        (built / f"ordersigner-{name}").write_text(name)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=releasable, check=True, stdout=subprocess.PIPE, text=True)
    (built / "BUILD").write_text(f"commit: {head.stdout}")
    return built


def sign(
    home: Path, checkout: Path, built: Path, *options: str, url: str = "https://host/path"
) -> subprocess.CompletedProcess[str]:
    """Run packaging/release/sign with Debian's tools alone."""
    tools = checkout.parent / "tools"
    tools.mkdir(exist_ok=True)
    for tool in TOOLS.split():
        found = shutil.which(tool, path="/usr/bin:/bin")
        if found and not (tools / tool).exists():
            (tools / tool).symlink_to(found)
    command = [str(checkout / "packaging/release/sign"), *options, "--output", str(checkout.parent / "signed")]
    if url:
        command += ["--url", url]
    environment = {"PATH": str(tools), "GNUPGHOME": str(home), "HOME": str(checkout.parent)}
    return subprocess.run([*command, str(built)], check=False, capture_output=True, text=True, env=environment)


@NEEDS_GPG
def test_everything_that_was_built_is_signed_without_python(
    home: Path, releasable: Path, built: Path, tmp_path: Path
) -> None:
    ended = sign(home, releasable, built)
    assert ended.returncode == 0, ended.stderr
    signed = tmp_path / "signed"
    keyring = ["--keyring", str(tmp_path / "keyring")]
    asc = str(signed / "repository/ordersigner.asc")
    subprocess.run(["gpg", "--homedir", str(home), "--output", keyring[1], "--dearmor", asc], check=True)
    subprocess.run(["gpgv", "--quiet", *keyring, "SHA256SUMS.asc", "SHA256SUMS"], cwd=signed, check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=signed, check=True)
    files = {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()} - {"BUILD"}
    assert {line.split()[1] for line in (signed / "SHA256SUMS").read_text().splitlines()} == files
    published = {str(path.relative_to(signed)) for path in signed.rglob("*") if path.is_file()}
    assert {path for path in published if not path.startswith("repository/")} == {
        *files, "SHA256SUMS", "SHA256SUMS.asc"
    }  # fmt: skip
    assert "Nothing is published yet" in ended.stdout
    again = sign(home, releasable, built)
    assert "is there already" in again.stderr


def draft(built: Path) -> None:
    with (built / "BUILD").open("a") as file:
        file.write("draft: the bundled modules could not be checked\n")


def of_another_version(built: Path) -> None:
    package(built / "packages", "trixie", "amd64", "9.0~deb13u1", name="ordersigner")


def for_ubuntu(built: Path) -> None:
    package(built / "packages", "noble", "amd64", f"{__version__}~ubuntu24.04.1", name="ordersigner")


def with_a_file_of_another(built: Path) -> None:
    dsc = built / f"packages/trixie/ordersigner_{__version__}~deb13u1.dsc"
    dsc.write_text("Format: 3.0\nFiles:\n 0 5 ../../../../secret\n")


@NEEDS_GPG
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda built: (built / "packages/trixie/a.deb").symlink_to(built.parent / "secret"), "does not make"),
        (lambda built: (built / "more").symlink_to(built.parent), "does not make"),
        (lambda built: (built / "packages/two\nnames").touch(), "does not make"),
        (lambda built: (built / "packages/-rf *").touch(), "does not make"),
        (lambda built: os.mkfifo(built / "packages/trixie/fifo"), "does not make"),
        (lambda built: (built / "sign").touch(), ", where version "),
        (lambda built: (built / f"ordersigner-{__version__}.cdx.json").unlink(), ", where version "),
        (lambda built: (built / "BUILD").unlink(), "has no file BUILD"),
        (lambda built: (built / "BUILD").write_text(f"commit: {'0' * 40}\n"), f"built of commit {'0' * 40}"),
        (draft, "it was built as a draft"),
        (of_another_version, f"not of the packages of version {__version__}"),
        (lambda built: (built / "packages/trixie/.hidden").touch(), "not of the packages"),
        (lambda built: (built / "packages/other").touch(), "not of the packages"),
        (lambda built: (built / "packages/trixie" / f"ordersigner_{__version__}~deb12u1.dsc").touch(), "not of the"),
        (lambda built: shutil.copytree(built / "packages/trixie", built / "packages/trixie/ordersigner"), "not of the"),
        (lambda built: shutil.copytree(built / "packages/trixie", built / "packages/tri.ie"), "not of the"),
        (for_ubuntu, "not of the packages"),
        (with_a_file_of_another, "is not the name of a file of a package"),
    ],
    ids=lambda value: "" if callable(value) else value,
)
def test_nothing_is_signed_if_what_was_built(
    home: Path, releasable: Path, built: Path, tmp_path: Path, change: Callable[[Path], object], reason: str
) -> None:
    (tmp_path / "secret").write_text("the content of a key")
    change(built)
    ended = sign(home, releasable, built)
    assert ended.returncode == 1
    assert reason in ended.stderr
    left = [path for path in (tmp_path / "signed").rglob("*") if path.is_file()]
    assert [path for path in left if "the content of a key" in path.read_text(errors="replace")] == []
    assert [path for path in left if path.suffix == ".asc" or path.name == "InRelease"] == []


@NEEDS_GPG
def test_only_a_draft_is_signed_without_an_address_or_with_changes_here(
    home: Path, releasable: Path, built: Path
) -> None:
    assert "without --url" in sign(home, releasable, built, url="").stderr
    (releasable / "new").touch()
    assert "not committed" in sign(home, releasable, built).stderr
    draft(built)
    ended = sign(home, releasable, built, "--draft", url="")
    assert ended.returncode == 0
    assert ended.stderr.count("sign: only a draft: ") == 3


@NEEDS_GPG
def test_without_a_key_nothing_is_signed(releasable: Path, built: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)
    ended = sign(empty, releasable, built)
    assert ended.returncode == 1
    assert "gpg has no secret key" in ended.stderr
    subprocess.run(["gpgconf", "--homedir", str(empty), "--kill", "all"], check=True)


@pytest.mark.skipif(shutil.which("gpg-agent") is None, reason="needs gpg and gpg-agent")
def test_without_a_key_that_can_sign_the_command_that_makes_one_is_printed_and_works(tmp_path: Path) -> None:
    environment = {**os.environ, "GNUPGHOME": str(tmp_path)}
    tmp_path.chmod(0o700)
    command = [str(SOURCE / "packaging/release/signing-key")]
    refused = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert refused.returncode == 1
    (line,) = re.findall("^    (gpg .+)$", refused.stderr, re.MULTILINE)
    try:
        made = subprocess.run(
            ["sh", "-c", line.replace("gpg ", "gpg --batch --passphrase '' ", 1)],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert made.returncode == 0, made.stderr
        named = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=True, env=environment)
    assert re.fullmatch("[0-9A-F]{40}\n", named)


# A claim about speed, and its proof: "2.1 bare signatures of processor time, against 2.4 with 1.1.0".
CLAIM = re.compile(r"\b(slower|faster|as fast|sped up|speeds up)\b", re.IGNORECASE)
PROOF = r"(\d+(?:\.\d+)?)[^;]*? against (\d+(?:\.\d+)?)[^;]*? with (?:version )?{}\b"


def claims_without_proof(changelog: str, measured: set[tuple[str, str]]) -> list[str]:
    """Items that say how fast a release is and do not quote figures against the release before.

    measured: the pairs of figures that the documentation has for the newest release. Those of older ones were replaced.
    The first release has none before it.
    """
    _, *parts = re.split(r"^(\d+\.\d+\.\d+)(?: \(.+\))?\n-+\n", changelog, flags=re.MULTILINE)
    versions, sections = parts[::2], parts[1::2]
    found = []
    for number, (section, before) in enumerate(zip(sections, versions[1:])):
        for item in (" ".join(item.split()) for item in re.split(r"^- ", section, flags=re.MULTILINE)):
            proof = re.search(PROOF.format(re.escape(before)), item)
            if CLAIM.search(item) and not (proof and (number > 0 or proof.groups() in measured)):
                found.append(item)
    return found


def test_a_claim_about_speed_quotes_the_figures_against_the_last_release() -> None:
    with open(SOURCE / "docs/plots/against.csv", newline="") as file:
        rows = [row[1:] for row in csv.reader(file)]
    measured = {pair for row in rows for pair in zip(row[::2], row[1::2])}
    assert claims_without_proof((SOURCE / "docs/develop/changelog.rst").read_text(), measured) == []


@pytest.mark.parametrize(
    ("item", "proven"),
    [
        ("Orders are signed no slower.", False),
        ("Orders are no slower: 2.1 bare signatures of processor time.", False),
        ("Orders are no slower: 2.1 bare signatures, against 2.4 with the commit before.", False),
        ("Orders are no slower: 2.1 bare signatures, against 2.4 with 1.0.0.", False),
        ("Orders are no slower: 1.5 bare signatures, against 2.4 with 1.1.0.", False),
        ("Orders are no slower: 2.1 bare\n  signatures of processor time, against 2.4 with 1.1.0.", True),
        ("Orders are faster: a rate of 2.1, against 2.4 with version 1.1.0.", True),
        ("Orders have a name.", True),
    ],
)
def test_a_claim_about_speed_without_figures_is_found(item: str, proven: bool) -> None:
    sections = f"1.2.0 (unreleased)\n-----\n\n- {item}\n\n1.1.0\n-----\n\n- Other.\n\n1.0.0\n-----\n\nIt is faster.\n"
    assert (claims_without_proof(sections, {("2.1", "2.4")}) == []) == proven
