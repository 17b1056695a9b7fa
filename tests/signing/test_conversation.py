"""Conversations: the state that the requests of one connection share, and the state that they do not."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import EXAMPLE, EXAMPLE_LINE, EXAMPLE_RESPONSE, vectors
from support.kinds import request_of
from support.policies import policy_of
from support.services import ADDRESS, KEY, service_with

from ordersigner import __version__
from ordersigner.peer import Peer
from ordersigner.signing.conversation import MAX_SIGNERS, Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keys import Signer


def quiet() -> Service:
    return Service(Journal(LEVELS["err"], lambda *fields: None))


def line(key: int) -> bytes:
    return json.dumps({**EXAMPLE["request"], "signer": f"{key:064x}"}).encode()


def test_the_totals_are_counted() -> None:
    shared = quiet()
    for peer in (Peer(1, 2, 3), Peer(4, 5, 6)):
        conversation = Conversation(shared, peer)
        for request in (EXAMPLE_LINE, b"x", b"", b'{"type": "ping"}', EXAMPLE_LINE):
            conversation.respond(request)
    assert shared.counters.line() == "4 signed, 4 refused, 0 failed"


def test_asking_twice_gives_the_same_signature() -> None:
    conversation = Conversation(quiet(), Peer(1, 2, 3))
    assert conversation.respond(EXAMPLE_LINE) == conversation.respond(EXAMPLE_LINE) == EXAMPLE_RESPONSE


def test_a_ping_returns_the_version() -> None:
    response = Conversation(quiet(), Peer(1, 2, 3)).respond(b'{"type": "ping", "id": "a"}')
    assert json.loads(response) == {"ok": True, "version": __version__, "id": "a"}


def test_each_request_is_signed_with_the_key_it_brings() -> None:
    conversation = Conversation(quiet(), Peer(1, 2, 3))
    first = [conversation.respond(line(key)) for key in range(1, 50)]
    assert len(set(first)) == 49
    assert [conversation.respond(line(key)) for key in range(1, 50)] == first


@pytest.mark.parametrize("signer", ["0x" + 40 * "3", KEY])
def test_a_transaction_of_another_sender_is_refused_before_any_key_or_rule_is_looked_up(signer: str) -> None:
    request = request_of("transaction", signer)
    request["transaction"] = {**request["transaction"], "from": "0x" + 40 * "4"}
    error = json.loads(Conversation(quiet(), Peer(1, 2, 3)).respond(json.dumps(request).encode()))["error"]
    assert error["type"] == "ValueError"
    assert {field: one["code"] for field, (one,) in error["context"].items()} == {"transaction.from": "mismatch"}


def test_a_transaction_that_could_be_an_order_is_signed_only_with_the_clients_own_key() -> None:
    row = next(row for row in vectors("transactions/transaction-policies") if row["verdict"].get("code") == "ambiguous")
    policy = policy_of(row["policy"].replace(row["request"]["signer"], ADDRESS))
    asked = Service(Journal(LEVELS["err"], lambda *fields: None), service_with().keyring, policy)
    conversation = Conversation(asked, Peer(1, row["uid"], 3))
    held, own = (
        json.loads(conversation.respond(json.dumps({**row["request"], "signer": signer}).encode()))
        for signer in (ADDRESS, KEY)
    )
    assert held["error"]["context"]["transaction"][0]["code"] == "ambiguous"
    assert own["ok"]


def keys_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, Signer) for each in gc.get_objects())


def test_a_connection_keeps_few_keys() -> None:
    before = keys_in_memory()
    conversation = Conversation(quiet(), Peer(1, 2, 3))
    for key in range(1, 50):
        conversation.respond(line(key))
        assert keys_in_memory() - before == min(key, (key - 1) % MAX_SIGNERS + 1)


def test_a_key_is_freed_with_its_connection() -> None:
    before = keys_in_memory()
    conversation = Conversation(quiet(), Peer(1, 2, 3))
    conversation.respond(EXAMPLE_LINE)
    assert keys_in_memory() == before + 1
    del conversation
    assert keys_in_memory() == before


def test_a_key_is_never_taken_from_another_connection() -> None:
    shared = quiet()
    Conversation(shared, Peer(1, 2, 3)).respond(EXAMPLE_LINE)
    keyless = {key: value for key, value in EXAMPLE["request"].items() if key != "signer"}
    response = json.loads(Conversation(shared, Peer(1, 2, 3)).respond(json.dumps(keyless).encode()))
    assert response["error"]["context"]["signer"][0]["code"] == "missing"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_no_value_in_any_field_makes_the_daemon_fail(data: st.DataObject) -> None:
    request = json.loads(EXAMPLE_LINE)
    path = data.draw(
        st.sampled_from(
            [(key,) for key in request]
            + [("order", key) for key in request["order"]]
            + [("instrument", "base"), ("instrument", "quote", "decimals"), ("instrument", "base", "address"), ("id",)]
        )
    )
    parent = request
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(json_values)
    response = json.loads(Conversation(quiet(), Peer(1, 2, 3)).respond(json.dumps(request).encode()))
    assert response["ok"] is True or response["error"]["type"] == "ValueError"
    if not response["ok"]:
        assert response["error"]["context"]
