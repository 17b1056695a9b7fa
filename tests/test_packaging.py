"""The files in packaging/ agree with each other and with the daemon."""

from __future__ import annotations

import email.utils
import fnmatch
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.daemon import SOURCE

from ordersigner import __version__
from ordersigner.policy import reader
from ordersigner.signing import journal

UNITS = SOURCE / "packaging/systemd"
DEBIAN = SOURCE / "packaging/debian"
CHECK_KEYS = (UNITS / "check-keys").read_text()


def test_the_policy_that_is_installed_has_no_rule_and_shows_a_good_one() -> None:
    text = (SOURCE / "packaging/policy").read_text()
    installed = reader.read(text, "policy")
    assert (installed.errors, installed.policy.rules) == ([], ())
    example = re.sub("^#   ", "", text, flags=re.MULTILINE)
    assert example != text
    reading = reader.read(example, "policy")
    assert reading.errors == []
    assert [rule.name for rule in reading.policy.rules] == ["bids"]


def test_both_changelogs_begin_with_the_version_of_the_package() -> None:
    assert (DEBIAN / "changelog").read_text().startswith(f"ordersigner ({__version__}) unstable;")
    heading = re.search("^[0-9].*", (SOURCE / "docs/changelog.rst").read_text(), re.MULTILINE)
    assert heading
    assert heading[0] in (__version__, f"{__version__} (unreleased)")


def test_the_debian_changelog_has_a_date_that_has_passed() -> None:
    """Otherwise a second build would not give the same package."""
    date = re.search("^ -- .+>  (.+)$", (DEBIAN / "changelog").read_text(), re.MULTILINE)
    assert date
    assert email.utils.parsedate_to_datetime(date[1]).timestamp() + 60 < time.time()


def test_the_copyright_file_has_a_paragraph_for_each_bundled_module() -> None:
    """What is in it is compared with the archives by packaging/debian/audit: see system/test_release.py."""
    patterns = re.findall("^Files: debian/bundled/(.+)$", (DEBIAN / "copyright").read_text(), re.MULTILINE)
    modules = re.findall("^(.+)==(.+) --hash=sha256:", (DEBIAN / "bundled/requirements.txt").read_text(), re.MULTILINE)
    assert len(modules) == 10
    matching = [
        sum(fnmatch.fnmatch(f"{name}-{version}.tar.gz", pattern) for pattern in patterns) for name, version in modules
    ]
    assert matching == [1] * 10


@pytest.fixture
def releasable(tmp_path: Path) -> Path:
    """A checkout of what is here, as a commit that can be released."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    listed = "git ls-files -z --cached --others --exclude-standard"
    copy = f"{listed} | tar --null --files-from=- --ignore-failed-read -c | tar -xC '{checkout}'"
    subprocess.run(["sh", "-c", copy], cwd=SOURCE, check=True)
    git(checkout, "init", "--quiet")
    replace(checkout / "docs/changelog.rst", f"^{__version__}.*", __version__)
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


def check_release(checkout: Path, *arguments: str) -> str:
    """Why it is refused. Without --url it always is, after everything that needs no network."""
    command = [str(checkout / "packaging/release/release"), "--check", *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    return ended.stderr


def test_a_release_can_be_made_of_a_commit_where_everything_agrees(releasable: Path) -> None:
    git(releasable, "tag", f"v{__version__}")
    assert check_release(releasable).startswith("release: without --url, ")


@pytest.mark.parametrize(
    ("path", "pattern", "by", "reason"),
    [
        ("ordersigner/__init__.py", '^__version__ = ".*"', '__version__ = "9.0"', "has version 9.0"),
        ("docs/changelog.rst", f"^{__version__}", "9.0", "docs/changelog.rst begins with '9.0'"),
        (
            "packaging/debian/changelog",
            f"{re.escape(__version__)}",
            "9.0",
            "packaging/debian/changelog begins with '9.0'",
        ),
        ("packaging/debian/changelog", "unstable", "UNRELEASED", "begins with 'another line'"),
        ("packaging/debian/changelog", r"\d{4} \d\d:", "2999 12:", "has not passed"),
        ("docs/changelog.rst", f"^{__version__}", f"{__version__} (unreleased)", "(unreleased)"),
    ],
    ids=["other code", "other page", "other package", "not for unstable", "date to come", "unreleased"],
)
def test_a_release_is_refused_where(releasable: Path, path: str, pattern: str, by: str, reason: str) -> None:
    replace(releasable / path, pattern, by)
    commit(releasable)
    assert reason in check_release(releasable)


def test_a_release_is_refused_with_changes_that_are_not_committed(releasable: Path) -> None:
    (releasable / "new").touch()
    assert "not committed" in check_release(releasable)


def test_a_release_is_refused_if_its_version_was_tagged_at_another_commit(releasable: Path) -> None:
    git(releasable, "tag", f"v{__version__}")
    commit(releasable)
    assert "is tagged already" in check_release(releasable)


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


def test_the_journal_catalog_explains_every_message_id() -> None:
    catalog = (UNITS / "ordersigner.catalog").read_text()
    explained = re.findall(
        "^-- ([0-9a-f]{32})\nSubject: .+\nDefined-By: ordersigner\nDocumentation: man:", catalog, re.M
    )
    defined = [value for value in vars(journal).values() if re.fullmatch("[0-9a-f]{32}", str(value))]
    defined += re.findall("^MESSAGE_ID=(.+)$", CHECK_KEYS, re.M)
    assert len(defined) >= 4
    assert sorted(explained) == sorted(defined)


def test_the_journal_catalog_shows_only_fields_that_the_entries_have() -> None:
    shown = set(re.findall("@(.+?)@", (UNITS / "ordersigner.catalog").read_text()))
    assert shown
    sources = [path.read_text() for path in (SOURCE / "ordersigner").rglob("*.py")]
    assert shown <= set(re.findall(r"ORDERSIGNER_\w+", "".join([*sources, CHECK_KEYS])))
