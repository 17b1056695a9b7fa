"""The verdict: which rule allows a request, which refusal a client gets, and what it cannot learn."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from oracles import oracle
from support.daemon import EXAMPLE, traced
from support.policies import policy_of
from support.services import ADDRESS, ALICE, BOB, KEY, LOST_KEY, OTHER_KEY, REQUEST, rule, service_with

from ordersigner.peer import Peer
from ordersigner.policy.rules import MAX_GRANTS, Policy
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import ENTRIES_PER_SECOND, LEVELS, Journal
from ordersigner.signing.protocol import MAX_RESPONSE

OTHER, LOST = oracle.signer_address(OTHER_KEY), oracle.signer_address(LOST_KEY)
NOBODYS = "0x" + "ab" * 20


def ask(service: Service, peer: Peer, signer: str = ADDRESS, **order: Any) -> Any:
    """The signature, or the refusal as (field, code)."""
    request = {**REQUEST, "signer": signer, "order": {**REQUEST["order"], **order}}
    return outcome(Conversation(service, peer).respond(json.dumps(request).encode()))


def outcome(response: bytes) -> Any:
    answer = json.loads(response)
    if answer["ok"]:
        return answer["signature"]
    ((field, (problem,)),) = answer["error"]["context"].items()
    assert answer["error"]["type"] == (
        "ValueError" if problem["code"] in ("negative", "not_key") else "PermissionError"
    )
    return field, problem["code"]


SIGNATURE = EXAMPLE["expect"]["signature"]


@pytest.mark.parametrize("signer", [ADDRESS, ADDRESS[2:], "0x" + ADDRESS[2:].upper(), ADDRESS[2:].upper()])
def test_a_held_key_is_named_by_its_address_in_any_spelling(signer: str) -> None:
    assert ask(service_with(rule("a")), ALICE, signer) == SIGNATURE


def test_silence_permits_nobody_root_included() -> None:
    root = Peer(pid=1, uid=0, gid=0, groups=(0,))
    for peer in (root, ALICE):
        assert ask(service_with(), peer) == ("signer", "unknown_signer")
    assert ask(service_with(rule("a")), root) == ("signer", "unknown_signer")


def test_clients_with_the_same_rules_share_what_they_may_do() -> None:
    policy = policy_of(rule("a") + rule("b", users="1002"))
    assert policy.grants(ALICE) is policy.grants(ALICE._replace(pid=ALICE.pid + 1))
    assert policy.grants(Peer(pid=1, uid=5, gid=5)) == {}
    groups = range(2, 3 * MAX_GRANTS)
    policy = policy_of("".join(rule(f"r{gid}", groups=f"{gid}").replace("users = 1001\n", "") for gid in groups))
    for _ in range(2):
        for gid in groups:
            (grant,) = policy.grants(Peer(pid=1, uid=7, gid=gid)).values()
            assert [rule.name for rule in grant.rules] == [f"r{gid}"]


@pytest.mark.parametrize("setting", [{"users": "1002"}, {"users": "5 1002"}, {"groups": "1002"}, {"groups": "7 51"}])
def test_a_rule_is_for_users_and_for_groups_primary_and_supplementary(setting: dict[str, str]) -> None:
    text = rule("a", **setting) if "users" in setting else rule("a", **setting).replace("users = 1001\n", "")
    service = service_with(text)
    assert ask(service, BOB) == SIGNATURE
    assert ask(service, ALICE) == ("signer", "unknown_signer")


def test_one_rule_must_allow_all_of_it() -> None:
    service = service_with(rule("to-buy", sides="buy", types="MKT"), rule("limited", sides="sell", types="LMT"))
    assert ask(service, ALICE, side="buy", orderType="LMT") == ("order.orderType", "not_allowed")
    assert ask(service, ALICE, side="sell", orderType="LMT").startswith("0x")
    assert ask(service, ALICE, side="buy", orderType="MKT").startswith("0x")


@pytest.mark.parametrize("turned", [False, True])
def test_the_refusal_is_that_of_the_rule_that_came_closest(turned: bool) -> None:
    rules = [
        rule("account", accounts=NOBODYS),
        rule("side", sides="sell"),
        rule("clock", clock="1"),
        rule("type", types="STM"),
    ]
    assert ask(service_with(*(rules[::-1] if turned else rules)), ALICE) == ("order.timestamp", "over_limit")
    assert ask(service_with(*(rules[:2][::-1] if turned else rules[:2])), ALICE) == ("order.side", "not_allowed")


def test_the_faults_of_an_order_come_first_and_are_the_same_for_everybody() -> None:
    service = service_with(rule("a"))
    for peer, signer in ((ALICE, ADDRESS), (BOB, ADDRESS), (BOB, NOBODYS)):
        assert ask(service, peer, signer, price=-1) == ("order.price", "negative")


def test_a_key_that_could_not_be_loaded_is_unavailable_to_those_who_may_use_it() -> None:
    service = service_with(rule("a", key=LOST))
    assert ask(service, ALICE, LOST) == ("signer", "key_unavailable")
    assert ask(service, BOB, LOST) == ("signer", "unknown_signer")


def answer_and_work(service: Service, signer: str) -> tuple[bytes, int]:
    """The response to a second request, and how much work it was."""
    conversation = Conversation(service, ALICE)
    line = json.dumps({**REQUEST, "signer": signer}).encode()
    conversation.respond(line)  # what only the first request does
    return traced(lambda: conversation.respond(line))


def test_a_key_that_is_not_there_and_one_that_is_not_yours_get_the_same_answer_for_the_same_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = service_with(rule("a"), rule("b", key=OTHER, users="1002"), rule("c", key=LOST, users="1002"))
    assert ask(service, BOB, OTHER).startswith("0x")
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)  # all in one second, which has its entries
    for _ in range(ENTRIES_PER_SECOND):
        ask(service, ALICE, NOBODYS)
    answers = [answer_and_work(service, address) for address in (NOBODYS, OTHER, LOST)]
    assert answers[0] == answers[1] == answers[2]
    assert b"unknown_signer" in answers[0][0]
    assert outcome(answer_and_work(service, ADDRESS)[0]) == SIGNATURE


@pytest.mark.parametrize(
    "signer", ["0x" + "g" * 40, ADDRESS[:-1] + " ", "0x" + "\u0661" * 40, "0X" + ADDRESS[2:], "ab" * 21]
)
def test_text_as_long_as_an_address_that_is_none_is_refused(signer: str) -> None:
    assert ask(service_with(rule("a")), ALICE, signer) == ("signer", "not_key")


def test_keys_on_the_wire_need_no_rule_and_can_be_forbidden() -> None:
    assert ask(service_with(), ALICE, KEY) == SIGNATURE
    service = service_with(rule("a"), wire_keys=False)
    assert ask(service, ALICE, KEY) == ("signer", "key_on_wire")
    assert ask(service, ALICE, ADDRESS) == SIGNATURE
    assert ask(service, ALICE, "0x" + "zz" * 32) == ("signer", "not_key")


def test_what_limits_a_held_key_does_not_limit_a_key_of_the_clients_own() -> None:
    request = {**REQUEST, "order": {**REQUEST["order"], "accountId": "f884" + "11" * 18}}
    service = service_with(rule("a"))
    for signer, expected in ((KEY, True), (ADDRESS, False)):
        response = json.loads(Conversation(service, ALICE).respond(json.dumps({**request, "signer": signer}).encode()))
        assert response["ok"] is expected


def signers(service: Service, peer: Peer) -> Any:
    answer = json.loads(Conversation(service, peer).respond(b'{"type": "signers", "id": 3}'))
    assert (answer.pop("ok"), answer.pop("id")) == (True, 3)
    assert list(answer) == ["signers"]
    return answer["signers"]


def test_a_client_can_ask_which_keys_it_may_use_and_learns_of_no_others() -> None:
    service = service_with(rule("a"), rule("b", key=f"{OTHER} {ADDRESS}", users="1002 1001"), rule("c", key=LOST))
    assert signers(service, ALICE) == [
        {"address": ADDRESS, "rules": ["a", "b"], "frozen": [], "available": True},
        {"address": OTHER, "rules": ["b"], "frozen": [], "available": True},
        {"address": LOST, "rules": ["c"], "frozen": [], "available": False},
    ]
    assert signers(service, BOB) == [
        {"address": OTHER, "rules": ["b"], "frozen": [], "available": True},
        {"address": ADDRESS, "rules": ["b"], "frozen": [], "available": True},
    ]
    assert signers(service_with(), ALICE) == []


def test_the_longest_list_of_keys_fits_a_response() -> None:
    keys = [" ".join(f"0x{number:040x}" for number in range(start, start + 95)) for start in (0, 95)]
    service = service_with(*(rule(letter * 64, key=key) for letter, key in zip("xy", keys)))
    service.ledger.freeze(["x" * 64, "y" * 64], 0)
    response = Conversation(service, ALICE).respond(json.dumps({"type": "signers", "id": "\U0001f600" * 128}).encode())
    assert json.loads(response)["ok"] is True
    assert len(response) <= MAX_RESPONSE


def test_a_request_for_the_keys_takes_nothing_else() -> None:
    answer = json.loads(Conversation(service_with(), ALICE).respond(b'{"type": "signers", "signer": "x"}'))
    assert list(answer["error"]["context"]) == ["signer"]


# The rate


def test_a_rule_that_is_used_up_is_refused_and_another_rule_goes_on() -> None:
    service = service_with(rule("a", rate="2/hour"))
    assert [ask(service, ALICE) for _ in range(3)] == [SIGNATURE, SIGNATURE, ("signer", "rate_limited")]
    service = service_with(rule("a", rate="1/hour"), rule("b", rate="1/hour"))
    assert [ask(service, ALICE) for _ in range(3)] == [SIGNATURE, SIGNATURE, ("signer", "rate_limited")]


def test_a_refused_request_does_not_count() -> None:
    service = service_with(rule("a", rate="1/hour", sides="buy"))
    for _ in range(5):
        assert ask(service, ALICE, side="sell") == ("order.side", "not_allowed")
    assert ask(service, ALICE) == SIGNATURE


def test_a_reload_does_not_reset_a_rate() -> None:
    service = service_with(rule("a", rate="2/hour"))
    assert [ask(service, ALICE) for _ in range(2)] == [SIGNATURE] * 2
    service.replace_policy(policy_of(rule("a", rate="3/hour")))
    assert [ask(service, ALICE) for _ in range(2)] == [SIGNATURE, ("signer", "rate_limited")]
    service.replace_policy(policy_of(rule("a", rate="1/hour")))
    assert ask(service, ALICE) == ("signer", "rate_limited")
    service.replace_policy(policy_of(rule("a")))
    assert ask(service, ALICE) == SIGNATURE


def test_a_rule_with_another_name_begins_a_new_count_and_one_that_returns_goes_on() -> None:
    service = service_with(rule("a", rate="1/hour"))
    assert ask(service, ALICE) == SIGNATURE
    service.replace_policy(policy_of(rule("b", rate="1/hour")))
    assert [ask(service, ALICE) for _ in range(2)] == [SIGNATURE, ("signer", "rate_limited")]
    service.replace_policy(policy_of(rule("a")))
    assert ask(service, ALICE) == SIGNATURE
    service.replace_policy(policy_of(rule("a", rate="1/hour")))
    assert ask(service, ALICE) == ("signer", "rate_limited")


def test_a_new_policy_holds_from_the_next_request_of_a_connection_on() -> None:
    service = service_with(rule("a"))
    conversation = Conversation(service, ALICE)
    line = json.dumps({**REQUEST, "signer": ADDRESS}).encode()
    assert outcome(conversation.respond(line)) == SIGNATURE
    service.replace_policy(Policy())
    assert outcome(conversation.respond(line)) == ("signer", "unknown_signer")


# The journal


def test_the_entry_of_a_signature_names_the_rule() -> None:
    entries: list[dict[str, str]] = []
    service = service_with(rule("bids"), entries=entries)
    ask(service, ALICE)
    ask(service, ALICE, KEY)
    assert entries[0]["ORDERSIGNER_RULE"] == "bids"
    assert f"by {ADDRESS}, rule bids, section any, for uid 1001" in entries[0]["MESSAGE"]
    assert entries[0]["ORDERSIGNER_SIGNER"] == entries[1]["ORDERSIGNER_SIGNER"] == ADDRESS
    assert "ORDERSIGNER_RULE" not in entries[1]


def test_the_entry_of_a_refusal_names_address_peer_digest_and_the_closest_rule() -> None:
    entries: list[dict[str, str]] = []
    service = service_with(rule("bids", sides="sell"), entries=entries)
    ask(service, ALICE)
    digest = "0x" + oracle.digest(REQUEST).hex()
    (entry,) = entries
    assert entry["MESSAGE"] == (
        'Refused a request of uid 1001, gid 1001, pid 1: "order.side": not_allowed: spot buy "LEVETH" of account '
        f"0x167cdb1ac9979a6a694b368ed3d2bf9259fa8282 by {ADDRESS}, closest rule bids: digest {digest}"
    )
    assert {name: value for name, value in entry.items() if name.startswith("ORDERSIGNER_")} == {
        "ORDERSIGNER_FIELD": "order.side",
        "ORDERSIGNER_CODE": "not_allowed",
        "ORDERSIGNER_TYPE": "spot",
        "ORDERSIGNER_SIGNER": ADDRESS,
        "ORDERSIGNER_DIGEST": digest,
        "ORDERSIGNER_RULE": "bids",
        "ORDERSIGNER_SECTION": "any",
        "ORDERSIGNER_PEER_UID": "1001",
        "ORDERSIGNER_PEER_GID": "1001",
        "ORDERSIGNER_PEER_PID": "1",
    }


def test_the_administrator_reads_that_there_is_no_rule_and_the_client_does_not() -> None:
    entries: list[dict[str, str]] = []
    service = service_with(entries=entries)
    ask(service, ALICE)
    assert '"signer": unknown_signer (no rule for uid 1001 names this key)' in entries[0]["MESSAGE"]
    assert "ORDERSIGNER_RULE" not in entries[0]
    assert signers(service, BOB) == []
    assert entries[1]["MESSAGE"].startswith("No rule for uid 1002")
    assert entries[1]["ORDERSIGNER_PEER_UID"] == "1002"


def test_a_key_that_is_refused_on_the_wire_is_not_in_the_journal() -> None:
    entries: list[dict[str, str]] = []
    ask(service_with(wire_keys=False, entries=entries), ALICE, KEY)
    assert KEY[2:] not in json.dumps(entries)


def test_the_status_counts_the_keys_only_where_there_should_be_any() -> None:
    assert service_with(rule("a", key=f"{ADDRESS} {LOST}")).status() == "0 signed, 0 refused, 0 failed; 2 of 3 keys"
    assert Service(Journal(LEVELS["err"], print)).status() == "0 signed, 0 refused, 0 failed"


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_a_signature_counts_for_the_first_rule_that_allows_it(first: str, second: str) -> None:
    service = service_with(rule(first, rate="1/hour"), rule(second, rate="1/hour"))
    signed = [ask(service, ALICE) == SIGNATURE and list(service.counters.signed_by_rule) for _ in range(2)]
    assert signed == [[first], [first, second]]
    assert ask(service, ALICE) == ("signer", "rate_limited")
