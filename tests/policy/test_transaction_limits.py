"""Transactions under rules: the verdicts of the vectors, and what --check says."""

from __future__ import annotations

from typing import Any

import pytest
from support.daemon import vectors

from ordersigner.payloads import transactions
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.policy.rules import Denied
from ordersigner.state.memory import Memory

ROWS = vectors("transactions/transaction-policies")
JUDGED = [row for row in ROWS if "request" in row]
WRONG = [row for row in ROWS if "errors" in row["verdict"]]
RULE = """
[rule bot]
key = 0x2c7536e3605d9c16a7a3d7b1898e529396a65c23
users = 1000
transactions = s
"""


@pytest.mark.parametrize("row", WRONG, ids=[row["name"] for row in WRONG])
def test_a_wrong_line_is_named(row: dict[str, Any]) -> None:
    reading = reader.read(row["policy"], "policy")
    assert sorted({line for line, _ in reading.errors}) == row["verdict"]["errors"]


@pytest.mark.parametrize("row", JUDGED, ids=[row["name"] for row in JUDGED])
def test_a_request_gets_the_verdict_of_the_vectors(row: dict[str, Any]) -> None:
    reading = reader.read(row["policy"], "policy")
    assert list(reading.errors) == []
    verdict = judged(reading, row["request"], row["uid"], row["now"])
    if row["verdict"].get("allowed"):
        assert verdict == row["verdict"]["rule"]
    else:
        assert verdict == (row["verdict"]["field"], row["verdict"]["code"])


def judged(reading: reader.Reading, request: dict[str, Any], uid: int = 1000, now: float = 0) -> Any:
    """The name of the rule that allows it; or the field and the code of the refusal."""
    payload = transactions.read(request)
    grant = reading.policy.grants(Peer(1, uid, uid)).get(request["signer"].lower())
    if grant is None:
        return "signer", "unknown_signer"
    try:
        permit = grant.allow(payload, now=now, ledger=Memory())
    except Denied as denied:
        ((field, (problem,)),) = denied.context.items()
        return field, problem.code
    permit.judge.entry(payload)
    return permit.rule.name
