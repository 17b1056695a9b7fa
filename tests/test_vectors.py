"""Every published and recorded vector, as lines from line to response."""

from __future__ import annotations

import base64
import json
from typing import Any

import oracle
import pytest
from daemon import EXAMPLE_LINE, EXAMPLE_RESPONSE, vectors

from ordersigner.journal import LEVELS, Journal
from ordersigner.peer import Peer
from ordersigner.refusal import CODES
from ordersigner.service import Conversation, Service

PUBLISHED = vectors("published-orders")
RECORDED = vectors("peer-orders")
WIRE_ERRORS = vectors("peer-wire-errors")


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(Service(Journal(LEVELS["err"], lambda *fields: None)), Peer(1, 2, 3))


def answer(conversation: Conversation, request: dict[str, Any]) -> Any:
    return json.loads(conversation.respond(json.dumps(request).encode()))


def test_the_example_is_answered_byte_for_byte(conversation: Conversation) -> None:
    assert conversation.respond(EXAMPLE_LINE) == EXAMPLE_RESPONSE


@pytest.mark.parametrize("row", PUBLISHED, ids=range(len(PUBLISHED)))
def test_a_published_order(conversation: Conversation, row: dict[str, Any]) -> None:
    assert answer(conversation, row["request"]) == {"ok": True, **row["expect"]}


@pytest.mark.parametrize("row", RECORDED, ids=range(len(RECORDED)))
def test_a_recorded_order(conversation: Conversation, row: dict[str, Any]) -> None:
    request, expect = row["request"], row["expect"]
    response = answer(conversation, request)
    if "signature" in expect:
        assert response == {"ok": True, "signature": expect["signature"]}
    elif response["ok"]:
        assert "either" in expect
        assert response["signature"] == oracle.sign(request)
    else:
        assert response["error"]["type"] == "ValueError"
        ((_, (report,)),) = response["error"]["context"].items()
        assert report["code"] in CODES


@pytest.mark.parametrize("row", WIRE_ERRORS, ids=range(len(WIRE_ERRORS)))
def test_a_recorded_wire_error(conversation: Conversation, row: dict[str, Any]) -> None:
    line = base64.b64decode(row["line_base64"])
    response = json.loads(conversation.respond(line))
    assert codes(response) == codes(row["response"]) != {}
    assert response["ok"] is False
    assert response["error"]["type"] == row["response"]["error"]["type"]
    assert set(response["error"]) == set(row["response"]["error"])


def codes(response: dict[str, Any]) -> dict[str, list[str]]:
    return {field: [report["code"] for report in reports] for field, reports in response["error"]["context"].items()}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("published-orders", 332),
        ("published-unit-conversions", 3538),
        ("published-quantity-fractions", 5),
        ("peer-orders", 700),
        ("peer-wire-errors", 244),
    ],
)
def test_every_vector_is_there(name: str, count: int) -> None:
    assert len(vectors(name)) == count


@pytest.mark.parametrize("rows", [PUBLISHED, RECORDED], ids=["published", "recorded"])
def test_no_order_is_there_twice(rows: list[Any]) -> None:
    assert len({json.dumps(row["request"], sort_keys=True) for row in rows}) == len(rows)


def test_no_wire_error_is_there_twice() -> None:
    assert len({row["line_base64"] for row in WIRE_ERRORS}) == len(WIRE_ERRORS)
