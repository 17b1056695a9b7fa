"""`ordersigner status`, metrics for Prometheus, and alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from support.daemon import SOURCE, wait_until
from support.held import MARKET
from support.pages import is_printed, sessions

from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, STATE, ask, one_suite
from system.machine import TIMEOUT, Machine
from system.test_held_keys import BY_ADDRESS, KEY, holder, refusal, restart, rule, seal, set_policy
from system.test_instances import INSTANCE, scaled

__all__ = ["holder", "scaled"]  # fixtures

PAGE = (SOURCE / "docs/run/monitor.rst").read_text()
EXAMPLES = "/usr/share/doc/ordersigner/examples/monitoring"
WATCH = "ordersigner-watch"
SELL = {**BY_ADDRESS, "order": {**BY_ADDRESS["order"], "side": "sell"}}
METRICS = "/var/lib/prometheus/node-exporter/ordersigner.prom"


def set_up(machine: Machine, example: str) -> None:
    """Set up an example as the page says."""
    (commands,) = [block for block in re.findall(r"::\n\n((?:    .+\n)+)", PAGE) if f"install {example} " in block]
    assert len(commands.replace("\\\n", "").splitlines()) == 5
    machine.run("sh", "-euc", commands)


def prints_what_the_page_shows(machine: Machine, command: str) -> None:
    """A command of the page, by the words that it begins with. Of the journal, only the last entry."""
    (shown,) = (each for each in sessions(PAGE) if each.words.startswith(command))
    machine.sync_journals()
    last = " --lines 1" if command.startswith("journalctl") else ""
    printed = machine.run("sh", "-c", shown.words + last, user="root" if shown.by_root else MEMBER)
    assert is_printed(shown.output, printed), printed


@pytest.fixture
def watched(holder: Machine) -> Iterator[Machine]:
    """The machine with a rule, and the example that freezes rules."""
    seal(holder, "watched", KEY)
    set_policy(holder, rule("bids", KEY, MEMBER, "sides = buy"))
    restart(holder)
    set_up(holder, WATCH)
    yield holder
    holder.run("systemctl", "disable", "--now", f"{WATCH}.timer")
    holder.run("ordersigner", "thaw", check=False)
    holder.run("sh", "-c", f"rm -r /etc/systemd/system/{WATCH}.* /usr/local/bin/{WATCH} /var/lib/{WATCH}")


@pytest.fixture
def exporter(installed: Machine) -> Iterator[Machine]:
    """The machine with node_exporter and the example, set up as the page says."""
    installed.run("apt-get", "install", "--yes", "--no-install-recommends", "prometheus-node-exporter")
    set_up(installed, "ordersigner-metrics")
    yield installed
    installed.run("systemctl", "disable", "--now", "ordersigner-metrics.timer")
    installed.run("sh", "-c", "rm /etc/systemd/system/ordersigner-metrics.* /usr/local/bin/ordersigner-metrics")
    installed.run("apt-get", "purge", "--yes", "prometheus-node-exporter")


def test_only_root_and_readers_of_the_policy_get_the_status(installed: Machine) -> None:
    assert ask(installed, REQUEST) == RESPONSE
    assert f"{SERVICE}: process" in installed.run("ordersigner", "status")
    refused = installed.run("ordersigner", "status", user=MEMBER, check=False)
    assert "(not_allowed)" in refused
    installed.run("usermod", "--append", "--groups", "ordersigner-policy", MEMBER)
    try:
        assert f"{SERVICE}: process" in installed.run("ordersigner", "status", user=MEMBER)
    finally:
        installed.run("gpasswd", "--delete", MEMBER, "ordersigner-policy")


@one_suite
def test_the_status_is_shown_as_it_is_printed(holder: Machine) -> None:
    """A process with the key of the page, a signature with it, one with a client's key, and a refusal."""
    seal(holder, "bids", KEY)
    limits = rule("bids", KEY, MEMBER, "sides = buy", "types = LMT", "max-total-notional = 1000/day")
    set_policy(holder, MARKET, limits.replace("markets = any", "markets = LEV/ETH"))
    holder.run("systemctl", "stop", SERVICE)
    holder.run("rm", "-rf", STATE)  # an earlier module may have used a rule of this name
    restart(holder)
    assert ask(holder, BY_ADDRESS) == ask(holder, REQUEST) == RESPONSE
    assert refusal(ask(holder, SELL)) == ("order.side", "not_allowed")
    prints_what_the_page_shows(holder, "ordersigner status")


def test_the_status_is_that_of_all_processes(scaled: Machine) -> None:
    found = json.loads(scaled.run("ordersigner", "status", "--json"))
    pids = {unit: int(scaled.property(unit, "MainPID")) for unit in (SERVICE, INSTANCE)}
    assert {process["unit"]: process["pid"] for process in found["processes"]} == pids
    assert found["silent"] == []
    scaled.run("systemctl", "kill", "--signal=STOP", INSTANCE)
    try:
        assert f"{INSTANCE} does not answer" in scaled.run("ordersigner", "status", check=False)
    finally:
        scaled.run("systemctl", "kill", "--signal=CONT", INSTANCE)


def test_node_exporter_serves_the_metrics(exporter: Machine) -> None:
    assert ask(exporter, REQUEST) == RESPONSE
    exporter.run("systemctl", "start", "ordersigner-metrics.service")
    fetch = ["wget", "--quiet", "--output-document=-", "http://127.0.0.1:9100/metrics"]
    wait_until(lambda: exporter.succeeds(*fetch), TIMEOUT)
    served = exporter.run(*fetch)
    assert f'ordersigner_up{{unit="{SERVICE}"}} 1' in served
    assert f'ordersigner_signatures_total{{type="spot",unit="{SERVICE}"}} 1' in served
    assert "node_textfile_scrape_error 0" in served
    prints_what_the_page_shows(exporter, "wget ")
    before = exporter.run("stat", "--format=%i", METRICS)
    wait_until(lambda: exporter.run("stat", "--format=%i", METRICS) != before, TIMEOUT)  # the timer runs it


def test_a_rule_under_which_refusals_pile_up_is_frozen(watched: Machine) -> None:
    watched.run("systemctl", "stop", f"{WATCH}.timer")
    watched.run("systemctl", "start", WATCH)  # the first look
    for _ in range(21):
        assert refusal(ask(watched, SELL)) == ("order.side", "not_allowed")
    assert ask(watched, BY_ADDRESS) == RESPONSE
    watched.run("systemctl", "start", WATCH)
    assert refusal(ask(watched, BY_ADDRESS)) == ("signer", "frozen")
    prints_what_the_page_shows(watched, "journalctl --identifier")
    prints_what_the_page_shows(watched, "journalctl --namespace")
    watched.run("ordersigner", "thaw", "bids")
    watched.run("systemctl", "start", WATCH)
    assert ask(watched, BY_ADDRESS) == RESPONSE


def test_the_alerts_fire_when_they_should_and_only_then(installed: Machine) -> None:
    """By Prometheus' own tool for tests of alerts."""
    extract = 'for deb in /var/cache/apt/archives/prom*.deb; do dpkg-deb --extract "$deb" /tmp/prometheus; done'
    installed.run("sh", "-euc", extract)
    installed.write("/root/alerts.test.yml", (SOURCE / "tests/system/alerts.test.yml").read_text())
    installed.run("cp", f"{EXAMPLES}/alerts.yml", "/root/alerts.yml")
    try:
        assert "SUCCESS" in installed.run("/tmp/prometheus/usr/bin/promtool", "test", "rules", "/root/alerts.test.yml")
    finally:
        installed.run("rm", "-r", "/tmp/prometheus", "/root/alerts.yml", "/root/alerts.test.yml")
