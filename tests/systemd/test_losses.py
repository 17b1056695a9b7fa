"""Which entries journald drops, read from files like systemd's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ordersigner.systemd import losses

UNIT = "desk.service"
DEFAULT = "journald drops entries of desk.service beyond 10000 in 30s"
ADD = "Add LogRateLimitIntervalSec=1us to [Service] of desk.service, and restart it"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of a system on which the unit runs, and is the one of this process."""
    (tmp_path / "run/systemd/units").mkdir(parents=True)
    link(tmp_path, "invocation", "0123456789abcdef")
    (tmp_path / "proc/self").mkdir(parents=True)
    group(tmp_path, f"0::/system.slice/{UNIT}")
    return tmp_path


def link(root: Path, kind: str, text: str, unit: str = UNIT) -> None:
    """What systemd makes when a unit starts."""
    os.symlink(text, root / f"run/systemd/units/{kind}:{unit}")


def group(root: Path, *lines: str) -> None:
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


def configure(root: Path, path: str, *lines: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["# A comment", "[Journal]", "#Storage=auto", *lines, ""]))


def test_a_unit_without_a_limit_of_its_own_has_journalds(root: Path) -> None:
    (found,) = losses.of_this_process("", root)
    assert found.startswith(DEFAULT)
    assert found.endswith(ADD)


@pytest.mark.parametrize(("interval", "burst"), [("1", None), ("1000000", "1000000"), ("1", "10000")])
def test_a_limit_that_no_process_reaches_drops_nothing(root: Path, interval: str, burst: str | None) -> None:
    link(root, "log-rate-limit-interval", interval)
    if burst is not None:
        link(root, "log-rate-limit-burst", burst)
    assert losses.of_this_process("", root) == []


def test_a_limit_of_the_units_own_that_is_low_is_named(root: Path) -> None:
    link(root, "log-rate-limit-interval", "1000000")
    link(root, "log-rate-limit-burst", "5000")
    (found,) = losses.of_this_process("", root)
    assert "beyond 5000 in 1000000 microseconds" in found


@pytest.mark.parametrize("line", ["RateLimitIntervalSec=0", "RateLimitIntervalSec=0s", "RateLimitBurst = 0"])
def test_journald_itself_may_have_no_limit(root: Path, line: str) -> None:
    configure(root, "etc/systemd/journald.conf", line)
    assert losses.of_this_process("", root) == []


def test_journalds_own_limit_is_named_as_it_is_set(root: Path) -> None:
    configure(root, "etc/systemd/journald.conf", "RateLimitIntervalSec=1min", "RateLimitBurst=20")
    (found,) = losses.of_this_process("", root)
    assert "beyond 20 in 1min" in found


@pytest.mark.parametrize("interval", ["infinity", "nonsense", "10", "1us"])
def test_a_time_that_is_not_zero_is_a_limit(root: Path, interval: str) -> None:
    configure(root, "etc/systemd/journald.conf", f"RateLimitIntervalSec={interval}")
    assert losses.of_this_process("", root)


@pytest.mark.parametrize("level", ["notice", "5", "emerg"])
def test_a_level_that_leaves_signatures_out_is_named_with_its_file(root: Path, level: str) -> None:
    link(root, "log-rate-limit-interval", "1")
    configure(root, "etc/systemd/journald.conf.d/few.conf", f"MaxLevelStore={level}")
    (found,) = losses.of_this_process("", root)
    assert f"{root}/etc/systemd/journald.conf.d/few.conf has MaxLevelStore={level}" in found
    assert "restart systemd-journald.service" in found


@pytest.mark.parametrize("level", ["info", "debug", "7", "nonsense", ""])
def test_other_levels_drop_nothing(root: Path, level: str) -> None:
    link(root, "log-rate-limit-interval", "1")
    configure(root, "etc/systemd/journald.conf", f"MaxLevelStore={level}")
    assert losses.of_this_process("", root) == []


def test_a_level_of_the_unit_is_named(root: Path) -> None:
    link(root, "log-rate-limit-interval", "1")
    link(root, "log-level-max", "5")
    (found,) = losses.of_this_process("", root)
    assert "LogLevelMax=notice is set" in found


def test_a_journald_that_stores_nothing_is_named(root: Path) -> None:
    link(root, "log-rate-limit-interval", "1")
    configure(root, "usr/lib/systemd/journald.conf", "Storage=none")
    (found,) = losses.of_this_process("", root)
    assert "has Storage=none" in found


def test_settings_win_in_journalds_order(root: Path) -> None:
    configure(root, "etc/systemd/journald.conf", "Storage=none", "MaxLevelStore=err", "Compress=no")
    configure(root, "usr/lib/systemd/journald.conf", "Seal=no")  # the other one is used instead
    configure(root, "usr/lib/systemd/journald.conf.d/20-vendor.conf", "MaxLevelStore=warning")
    configure(root, "run/systemd/journald.conf.d/10-early.conf", "MaxLevelStore=emerg")
    configure(root, "usr/lib/systemd/journald.conf.d/30-same.conf", "MaxLevelStore=crit")
    configure(root, "etc/systemd/journald.conf.d/30-same.conf", "Storage=")  # an empty value is the default
    configure(root, "etc/systemd/journald.conf.d/90-not-read", "MaxLevelStore=alert")
    found = {name: setting.value for name, setting in losses.settings(root=root).items()}
    assert found == {"MaxLevelStore": "warning", "Compress": "no"}


def test_a_namespace_has_settings_of_its_own(root: Path) -> None:
    link(root, "log-rate-limit-interval", "1")
    configure(root, "etc/systemd/journald.conf", "MaxLevelStore=info")
    configure(root, "usr/lib/systemd/journald@held.conf.d/few.conf", "MaxLevelStore=notice")
    assert losses.of_this_process("", root) == []
    (found,) = losses.of_this_process("held", root)
    assert "restart systemd-journald@held.service" in found


@pytest.mark.parametrize(
    ("lines", "unit"),
    [
        ([], ""),
        (["0::/"], ""),
        (["1:name=systemd:/another.service", "0::/system.slice/system-desk.slice/desk@2.service"], "desk@2.service"),
        (["0::/user.slice/user-1000.slice/user@1000.service/app.slice/desk.service"], "user@1000.service"),
        (["0::/user.slice/user-1000.slice/session-3.scope"], "session-3.scope"),
        (["0::/system.slice/desk.service/part"], UNIT),
    ],
)
def test_the_unit_of_this_process_is_the_one_that_journald_sees(root: Path, lines: list[str], unit: str) -> None:
    group(root, *lines)
    assert losses.own_unit(root) == unit


def test_without_systemd_nothing_is_said(tmp_path: Path) -> None:
    assert losses.of_this_process("held", tmp_path) == []
    assert losses.of_package("held", tmp_path) == []


def test_the_packages_services_that_run_are_found(root: Path) -> None:
    assert losses.of_package("held", root) == []
    for unit in ("ordersigner.service", "ordersigner@2.service"):
        link(root, "invocation", "ab", unit)
    link(root, "log-rate-limit-interval", "1", "ordersigner.service")
    configure(root, "etc/systemd/journald@held.conf", "Storage=none")
    (found,) = losses.of_package("held", root)
    assert "ordersigner@2.service" in found
    (root / "run/systemd/journal.held").mkdir()
    assert len(losses.of_package("held", root)) == 2
