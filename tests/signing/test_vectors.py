"""Every published and recorded vector, as lines from line to response."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from oracles import oracle
from support.daemon import EXAMPLE_LINE, EXAMPLE_RESPONSE, vectors

from ordersigner.peer import Peer
from ordersigner.refusal import CODES
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keys import Signer

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
        for (report,) in response["error"]["context"].values():
            assert report["code"] in CODES


TYPED_FILES = (
    *("reference", "ethers-v6", "ethers-v5-spread", "metamask-v4", "eth-account", "clef"),
    *("exchanges", "exchange-shapes", "registry", "edge-cases"),
)
TYPED = [row for name in TYPED_FILES for row in vectors(f"typed-data/{name}")]
PERSONAL = [row for row in vectors("typed-data/personal") if row["version"] == "0x45"]


def typed_line(row: dict[str, Any], key: str) -> bytes:
    """A row's typed data as a request. Its JSON is left as it is, because reading it is a part of the test."""
    parts = {name: row[name] for name in ("types", "primaryType", "domain", "message") if name in row}
    text = row.get("typed_data_text") or json.dumps(parts)
    return f'{{"type": "typed_data", "typed_data": {text}, "signer": "{key}"}}'.encode()


def expected(row: dict[str, Any], key: str) -> dict[str, Any]:
    """The row's own signature where it is published with the key, or else that of its digest."""
    published = row.get("signature") if row.get("private_key") else None
    return {"ok": True, "signature": published or Signer(key).sign(bytes.fromhex(row["digest"][2:]))}


@pytest.mark.parametrize("row", TYPED, ids=range(len(TYPED)))
def test_typed_data(conversation: Conversation, row: dict[str, Any]) -> None:
    key = row.get("private_key") or "0x" + "11" * 32
    response = json.loads(conversation.respond(typed_line(row, key)))
    if "error" in row or "duplicate key" in row["name"]:  # JSON readers take the last; the protocol refuses such a line
        assert response["error"]["type"] == "ValueError"
        ((field, (report,)),) = response["error"]["context"].items()
        assert report["code"] in CODES
        assert field == "" or field.startswith("typed_data")
    else:
        assert response == expected(row, key)


@pytest.mark.parametrize("row", PERSONAL, ids=range(len(PERSONAL)))
@pytest.mark.parametrize("form", ["text", "hex"])
def test_a_message(conversation: Conversation, row: dict[str, Any], form: str) -> None:
    content = bytes.fromhex(row["message_hex"][2:])
    form = form if "text" in row else "hex"  # not all are UTF-8
    key = row.get("private_key") or "0x" + "11" * 32
    request = {"type": "message", form: row["text"] if form == "text" else "0x" + content.hex(), "signer": key}
    assert answer(conversation, request) == expected(row, key)


ACTIONS = [row for row in vectors("typed-data/exchanges") if "hyperliquid" in row]


@pytest.mark.parametrize("row", ACTIONS, ids=range(len(ACTIONS)))
def test_a_hyperliquid_action(conversation: Conversation, row: dict[str, Any]) -> None:
    published = row["hyperliquid"]
    request = {
        "type": "hyperliquid",
        "action": published["action"],
        "nonce": published["nonce"],
        "vaultAddress": published["vault"],
        "network": {"a": "mainnet", "b": "testnet"}[row["message"]["source"]],
        "signer": row["private_key"],
    }
    assert answer(conversation, request) == {"ok": True, "signature": row["signature"]}


TRANSACTIONS = vectors("transactions/transactions")


@pytest.mark.parametrize("row", TRANSACTIONS, ids=[row["name"] for row in TRANSACTIONS])
def test_a_transaction(conversation: Conversation, row: dict[str, Any]) -> None:
    line = row["line"].encode() if "line" in row else json.dumps(row["request"]).encode()
    response = json.loads(conversation.respond(line))
    if "error" in row:
        faults = [{"field": field, "code": one["code"]} for field, (one,) in response["error"]["context"].items()]
        assert response["error"]["type"] == "ValueError"
        assert all(fault in [row["error"], *row.get("or", [])] for fault in faults)
        assert faults
    else:
        request_id = {"id": row["request"]["id"]} if "id" in row["request"] else {}
        signed = {"signature": row["signature"], "transaction": row["raw"], "hash": row["hash"]}
        assert response == {"ok": True, **signed, **request_id}


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
        ("typed-data/edge-cases", 312),
        ("typed-data/exchanges", 30),
        ("typed-data/personal", 25),
    ],
)
def test_every_vector_is_there(name: str, count: int) -> None:
    assert len(vectors(name)) == count


@pytest.mark.parametrize("rows", [PUBLISHED, RECORDED], ids=["published", "recorded"])
def test_no_order_is_there_twice(rows: list[Any]) -> None:
    assert len({json.dumps(row["request"], sort_keys=True) for row in rows}) == len(rows)


def test_no_wire_error_is_there_twice() -> None:
    assert len({row["line_base64"] for row in WIRE_ERRORS}) == len(WIRE_ERRORS)
