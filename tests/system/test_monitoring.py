"""What the daemon tells operators: `ordersigner status`, metrics for Prometheus, and alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from support.daemon import SOURCE, wait_until

from system.conftest import MEMBER, REQUEST, RESPONSE, SERVICE, ask
from system.machine import TIMEOUT, Machine
from system.test_held_keys import BY_ADDRESS, KEY, holder, refusal, restart, rule, seal, set_policy
from system.test_instances import INSTANCE, scaled

__all__ = ["holder", "scaled"]  # fixtures

EXAMPLES = "/usr/share/doc/ordersigner/examples/monitoring"
WATCH = "ordersigner-watch"
METRICS = "/var/lib/prometheus/node-exporter/ordersigner.prom"


def set_up(machine: Machine, example: str) -> None:
    """Set up an example as the page says."""
    page = (SOURCE / "docs/run/monitor.rst").read_text()
    (commands,) = [block for block in re.findall(r"::\n\n((?:    .+\n)+)", page) if f"install {example} " in block]
    assert len(commands.splitlines()) == 5
    machine.run("sh", "-euc", commands)


@pytest.fixture
def watched(holder: Machine) -> Iterator[Machine]:
    """The machine with a rule, and the example that freezes rules."""
    seal(holder, "watched", KEY)
    set_policy(holder, rule("watched", KEY, MEMBER, "sides = buy"))
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
    before = exporter.run("stat", "--format=%i", METRICS)
    wait_until(lambda: exporter.run("stat", "--format=%i", METRICS) != before, TIMEOUT)  # the timer runs it


def test_a_rule_under_which_refusals_pile_up_is_frozen(watched: Machine) -> None:
    watched.run("systemctl", "stop", f"{WATCH}.timer")
    watched.run("systemctl", "start", WATCH)  # the first look
    other = {**BY_ADDRESS, "order": {**BY_ADDRESS["order"], "side": "sell"}}
    for _ in range(21):
        assert refusal(ask(watched, other)) == ("order.side", "not_allowed")
    assert ask(watched, BY_ADDRESS) == RESPONSE
    watched.run("systemctl", "start", WATCH)
    assert refusal(ask(watched, BY_ADDRESS)) == ("signer", "frozen")
    assert watched.entries("ORDERSIGNER_EVENT=freeze", "ORDERSIGNER_RULE=watched")
    watched.run("ordersigner", "thaw", "watched")
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
