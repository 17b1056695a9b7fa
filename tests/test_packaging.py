"""The files in packaging/ agree with each other and with the daemon."""

from __future__ import annotations

import email.utils
import fnmatch
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.daemon import SOURCE

from ordersigner import __version__
from ordersigner.daemon.main import PACKAGED_NAMESPACE
from ordersigner.policy import reader
from ordersigner.signing import journal

UNITS = SOURCE / "packaging/systemd"
DEBIAN = SOURCE / "packaging/debian"
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
SUITES = dict(re.findall("^([a-z]+) (.+)$", (DEBIAN / "suites").read_text(), re.MULTILINE))
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
    heading = re.search("^[0-9].*", (SOURCE / "docs/develop/changelog.rst").read_text(), re.MULTILINE)
    assert heading
    assert re.fullmatch(rf"{re.escape(__version__)} \((unreleased|\d{{4}}-\d\d-\d\d)\)", heading[0])


def test_both_changelogs_have_the_same_versions_with_the_same_dates() -> None:
    page = re.findall(r"^([\d.]+) \((.+)\)\n-+\n", (SOURCE / "docs/develop/changelog.rst").read_text(), re.MULTILINE)
    entries = re.findall(r"^ordersigner \((.+)\) |^ -- .+>  (.+)$", (DEBIAN / "changelog").read_text(), re.MULTILINE)
    versions, dates = [version for version, _ in entries if version], [date for _, date in entries if date]
    assert [version for version, _ in page] == versions
    for (_, shown), date in zip(page, dates):
        assert shown in ("unreleased", email.utils.parsedate_to_datetime(date).date().isoformat())
    assert "unreleased" not in [shown for _, shown in page[1:]]


def test_the_news_are_about_versions_of_the_changelog() -> None:
    """apt-listchanges shows an entry to users who upgrade from an earlier version."""
    heading = r"^ordersigner \((.+)\) "
    versions = re.findall(heading, (DEBIAN / "changelog").read_text(), re.MULTILINE)
    news = re.findall(heading, (DEBIAN / "ordersigner.NEWS").read_text(), re.MULTILINE)
    assert news
    assert set(news) <= set(versions)


def test_one_file_says_where_the_project_is() -> None:
    """The build of the package puts that in place of HOST; system/test_package.py looks at the result."""
    for name in ("control", "changelog", "ordersigner.NEWS"):
        assert set(re.findall("<(.+@.+)>", (DEBIAN / name).read_text())) == {"maintainers@HOST"}, name
    command = ["git", "-C", str(SOURCE), "grep", "--files-with-matches", "[.]invalid"]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout.split()
    assert set(found) <= {"setup.py", "PKG-INFO"}  # the second one is in the sdist alone


def test_the_debian_changelog_has_a_date_that_has_passed() -> None:
    """Otherwise a second build would not give the same package."""
    date = re.search("^ -- .+>  (.+)$", (DEBIAN / "changelog").read_text(), re.MULTILINE)
    assert date
    assert email.utils.parsedate_to_datetime(date[1]).timestamp() + 60 < time.time()


def test_the_copyright_file_has_a_paragraph_for_each_bundled_module() -> None:
    """packaging/debian/audit compares its text with the archives: see system/test_release.py."""
    patterns = re.findall("^Files: debian/bundled/(.+)$", (DEBIAN / "copyright").read_text(), re.MULTILINE)
    modules = re.findall("^(.+)==(.+) --hash=sha256:", (DEBIAN / "bundled/requirements.txt").read_text(), re.MULTILINE)
    assert len(modules) == 10
    matching = [
        sum(fnmatch.fnmatch(f"{name}-{version}.tar.gz", pattern) for pattern in patterns) for name, version in modules
    ]
    assert matching == [1] * 10


LOCKED = SOURCE / "packaging/locked"
LISTS = sorted(path.name for path in LOCKED.glob("*.txt"))


def requirements(name: str) -> dict[str, list[str]]:
    """The hashes of each requirement of a list, by its line: name, version, and the Pythons that it is for."""
    lines = (LOCKED / name).read_text().replace("\\\n", "").splitlines()
    parts = [line.split("--hash=") for line in lines if not line.startswith("#")]
    return {requirement.strip(): [value.strip() for value in hashes] for requirement, *hashes in parts}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_what_is_locked_has_a_version_and_hashes_for_each_requirement(name: str) -> None:
    locked = requirements(name)
    for requirement, hashes in locked.items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", requirement)
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes)
    assert locked


def names(requirements: Iterable[str]) -> set[str]:
    return {re.split("[^a-z0-9-]", requirement)[0] for requirement in requirements}


def test_what_the_extras_of_the_commands_require_is_locked() -> None:
    setup = (SOURCE / "setup.py").read_text()
    lists = dict(re.findall(r"^([A-Z]+) = \[((?:.|\n)*?)\]", setup, re.MULTILINE))
    daemon, keys = (set(re.findall('"([a-z-]+)>=', lists[name])) for name in ("DAEMON", "KEYS"))
    compiled = {"systemd-python"}
    assert daemon > compiled
    assert names(requirements("systemd.txt")) == compiled
    assert daemon - compiled | {"setuptools"} <= names(requirements("daemon.txt"))
    assert not compiled & names(requirements("keys.txt"))
    assert requirements("daemon.txt").items() <= requirements("keys.txt").items()
    assert keys
    assert keys <= names(requirements("keys.txt")) - names(requirements("daemon.txt"))


def test_each_tool_of_a_release_is_locked() -> None:
    wanted = re.findall("^[a-z].*$", (LOCKED / "release.in").read_text(), re.MULTILINE)
    assert {"build", "setuptools", "uv"} <= names(wanted) <= names(requirements("release.txt"))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="PyPI has no coincurve that installs on Python 3.14")
@pytest.mark.parametrize("name", ["daemon.txt", "keys.txt"])
def test_what_is_locked_is_all_that_this_python_needs(name: str, tmp_path: Path) -> None:
    """pip refuses a requirement of a requirement that the list does not have."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--dest", str(tmp_path)]
    subprocess.run([*command, "--requirement", str(LOCKED / name)], check=True)
    assert len(list(tmp_path.iterdir())) > 3


def test_journald_drops_no_entry_of_any_unit_for_its_rate() -> None:
    """With 0 it would take its default. Instances get the settings of ordersigner.service: see debian/rules."""
    units = {path.name: path.read_text() for path in UNITS.glob("*.service")}
    assert "ordersigner.service" in units
    for name, text in units.items():
        assert re.findall("^LogRateLimit.*", text, re.MULTILINE) == ["LogRateLimitIntervalSec=1us"], name


def test_the_journal_for_held_keys_has_one_name_and_one_group() -> None:
    unit, rules = (UNITS / "ordersigner.service").read_text(), (DEBIAN / "rules").read_text()
    assert f"\nEnvironment=ORDERSIGNER_JOURNAL_NAMESPACE={PACKAGED_NAMESPACE}\n" in unit
    for place in (f"journald@{PACKAGED_NAMESPACE}.conf.d/", f"systemd-journald@{PACKAGED_NAMESPACE}.$$kind.d/"):
        assert place in rules
    (settings,) = re.findall(r"journald@\w+\.conf\.d/(\S+)", rules)
    assert settings < "local.conf"  # of the administrator, which wins only if it sorts later
    (group,) = re.findall("^SocketGroup=(.+)$", (UNITS / "ordersigner.journald-socket.conf").read_text(), re.MULTILINE)
    assert re.search(f"^SupplementaryGroups=.*\\b{group}$", unit, re.MULTILINE)
    assert f"\ng {group} -\n" in (UNITS / "ordersigner.sysusers").read_text()


def test_the_directory_of_the_state_is_private_not_executable_and_purged() -> None:
    unit = (UNITS / "ordersigner.service").read_text()
    (name,) = re.findall("^StateDirectory=(.+)$", unit, re.MULTILINE)
    assert "\nStateDirectoryMode=0700\n" in unit
    assert f"\nNoExecPaths=-/var/lib/private/{name}\n" in unit
    assert f"rm -rf /var/lib/private/{name} /var/lib/{name}\n" in (DEBIAN / "ordersigner.postrm").read_text()


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


@needs_dpkg
def test_a_build_for_an_unknown_suite_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    command = [str(DEBIAN / "build"), "--suite", "jammy", "--output", str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == f"build: no suite jammy: it must be one of {' '.join(SUITES)}\n"
    assert list(tmp_path.iterdir()) == []


@needs_dpkg
def test_packages_of_a_later_suite_have_the_higher_version_and_debians_own_an_even_higher_one() -> None:
    """So an upgrade of the system brings its own."""
    versions = [f"1.0~{release}" for release in SUITES.values()] + ["1.0"]
    for lower, higher in zip(versions, versions[1:]):
        assert subprocess.run(["dpkg", "--compare-versions", lower, "lt", higher], check=False).returncode == 0
