"""The examples for monitoring, which run the command `ordersigner`: here another program stands in for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.daemon import SOURCE

EXAMPLES = SOURCE / "docs/monitoring"
ANSWERS = """#!/bin/sh
echo "$@" >> "$ASKED"
case $1 in
    status) cat "$STATUS" ;;
    freeze) exit "$FREEZE" ;;
esac
"""


class Host:
    """A directory with a command `ordersigner`, and the arguments that it gets."""

    def __init__(self, directory: Path) -> None:
        self.asked, self.status, self.kept = (directory / name for name in ("asked", "status", "kept"))
        self.asked.touch()
        self.freeze = 0  # the exit status
        command = directory / "bin/ordersigner"
        command.parent.mkdir()
        command.write_text(ANSWERS)
        command.chmod(0o755)
        self._path = f"{command.parent}:{os.environ['PATH']}"

    def run(self, name: str, *arguments: str) -> tuple[int, str]:
        """Exit status and standard output of an example."""
        names = {"PATH": self._path, "ASKED": str(self.asked), "STATUS": str(self.status), "FREEZE": str(self.freeze)}
        ended = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env={**os.environ, **names},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout

    def answer(self, **rules: Any) -> None:
        self.status.write_text(json.dumps({"processes": [process(rules)], "silent": []}))

    def watch(self) -> tuple[int, str]:
        return self.run("ordersigner-watch", "20", str(self.kept))

    @property
    def frozen(self) -> list[str]:
        return [line.split()[1] for line in self.asked.read_text().splitlines() if line.startswith("freeze ")]


def process(rules: dict[str, Any]) -> dict[str, Any]:
    numbers = ("signed", "refused", "failed", "not_recorded", "connections", "keys", "keys_wanted", "started")
    counts: dict[str, Any] = {name: {} for name in ("signed_by_type", "signed_by_rule", "refused_by_code")}
    return {"unit": "ordersigner.service", **dict.fromkeys(numbers, 0), "last_signed": None, **counts, "rules": rules}


def rule(refused: int | None, *, frozen: bool = False, totals: Any = ()) -> dict[str, Any]:
    return {"signed": 1, "refused": refused, "frozen": frozen, "totals": list(totals)}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_rule_that_refuses_more_than_usual_is_frozen(host: Host) -> None:
    host.answer(bids=rule(1000), asks=rule(1000))
    assert host.watch() == (0, "")  # the first look
    host.answer(bids=rule(1020), asks=rule(1021))
    assert host.watch() == (0, "Freezing rule asks: 21 refusals. To thaw it: ordersigner thaw asks\n")
    assert host.frozen == ["asks"]


def test_a_rule_that_was_thawed_is_not_frozen_for_what_it_refused_before(host: Host) -> None:
    for refused, frozen in ((0, False), (50, False), (90, True), (95, False)):
        host.answer(bids=rule(refused, frozen=frozen))
        host.watch()
    assert host.frozen == ["bids"]


def test_a_new_rule_and_counts_that_begin_again_or_are_not_known_freeze_nothing(host: Host) -> None:
    host.answer(bids=rule(100))
    host.watch()
    host.answer(bids=rule(5), asks=rule(100))
    host.watch()
    host.answer(bids=rule(None), asks=rule(None))
    assert host.watch() == (0, "")
    assert host.frozen == []


def test_a_freeze_that_is_not_confirmed_and_a_daemon_that_is_away_fail_the_unit(host: Host) -> None:
    host.answer(bids=rule(0))
    host.watch()
    host.answer(bids=rule(30))
    host.freeze = 3
    assert host.watch()[0] == 3
    host.status.write_text("")
    assert host.watch() == (1, "")


def test_the_metrics_have_what_all_processes_did_together(host: Host) -> None:
    total = {"section": "cow-sell", "term": "message.sellAmount(18)", "span": "day", "used": "0.5", "limit": "5"}
    host.answer(bids=rule(7, frozen=True, totals=[total]), asks=rule(None, totals=[{**total, "used": None}]))
    status, metrics = host.run("ordersigner-metrics")
    assert status == 0
    where = 'rule="bids",section="cow-sell",term="message.sellAmount(18)",span="day"'
    for line in (
        'ordersigner_rules{unit="ordersigner.service"} 2',
        'ordersigner_rule_refusals_total{rule="bids"} 7',
        'ordersigner_rule_frozen{rule="bids"} 1',
        'ordersigner_rule_frozen{rule="asks"} 0',
        f"ordersigner_total_used{{{where}}} 0.5",
        f"ordersigner_total_limit{{{where}}} 5",
    ):
        assert line in metrics.splitlines()
    assert 'total_used{rule="asks"' not in metrics
    assert 'refusals_total{rule="asks"' not in metrics


def test_the_page_explains_each_metric(host: Host) -> None:
    total = {"section": "bids", "term": "max-total-notional", "span": "day", "used": "0.5", "limit": "5"}
    busy = process({"bids": rule(1, totals=[total])})
    counts = {"signed_by_type": {"spot": 1}, "signed_by_rule": {"bids": 1}, "refused_by_code": {"frozen": 1}}
    host.status.write_text(json.dumps({"processes": [{**busy, **counts, "last_signed": 1.0}], "silent": []}))
    _, metrics = host.run("ordersigner-metrics")
    page = (SOURCE / "docs/run/monitor.rst").read_text()
    explained = re.findall("``(ordersigner_[a-z_]+)``", page)
    assert sorted(explained) == sorted(re.findall("^# TYPE ([a-z_]+) ", metrics, re.MULTILINE))


def test_the_page_speaks_of_each_alert() -> None:
    """In the paragraph on what to alert on. A new alert needs its words here."""
    words = {
        "OrdersignerDoesNotAnswer": "the daemon does not answer",
        "OrdersignerMetricsAreOld": "the metrics are old",
        "OrdersignerSignsNothing": "signatures stop",
        "OrdersignerRefusesMore": "rising refusals",
        "OrdersignerKeyUnavailable": "a key is missing",
        "OrdersignerFails": "a failure of the daemon",
        "OrdersignerJournalHangs": "its journal accepts no entries",
        "OrdersignerRuleFrozen": "a frozen rule",
        "OrdersignerTotalNearlyUsed": "a total that is nearly used",
    }
    assert re.findall(r"alert: (\w+)", (EXAMPLES / "alerts.yml").read_text()) == list(words)
    page = (SOURCE / "docs/run/monitor.rst").read_text()
    paragraph = page.split("\nWhat to alert on\n")[1].split("\nPrometheus\n")[0]
    assert [word for word in words.values() if word not in " ".join(paragraph.split())] == []
