"""Freezing and thawing: the users who may, the effect on a rule, and the answer, the journal and the status."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.daemon import wait_until
from support.policies import policy_of
from support.services import ADDRESS, ALICE, BOB, KEY, REQUEST, rule, service_with

from ordersigner.peer import Peer
from ordersigner.policy.accounts import Named
from ordersigner.policy.rules import Denied, Need, Objection, Policy, Rule, Total, is_name
from ordersigner.signing import freezing, journal
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.protocol import MAX_RESPONSE
from ordersigner.state.memory import Memory
from ordersigner.state.state_file import State

ROOT = Peer(pid=3, uid=0, gid=0)
DONE = (True, "", "")  # as outcome() has it


def answer(service: Service, peer: Peer, request: dict[str, Any]) -> Any:
    talk = Conversation(service, peer)
    line = json.dumps(request).encode()
    response = talk.respond(line)
    assert talk.waits is (response == b"")
    return json.loads(response or talk.finish())


def freeze(service: Service, peer: Peer, *rules: str) -> Any:
    return answer(service, peer, {"type": "freeze", **({"rules": rules} if rules else {})})


def thaw(service: Service, peer: Peer, *rules: str) -> Any:
    return answer(service, peer, {"type": "thaw", **({"rules": rules} if rules else {})})


def outcome(response: Any) -> tuple[bool, str, str]:
    """Whether the request was done, and the field and the code of a refusal."""
    if response["ok"]:
        return DONE
    ((field, (problem,)),) = response["error"]["context"].items()
    return False, field, problem["code"]


def sign(service: Service, peer: Peer = ALICE, signer: str = ADDRESS, **order: Any) -> tuple[bool, str, str]:
    return outcome(answer(service, peer, {**REQUEST, "signer": signer, "order": {**REQUEST["order"], **order}}))


FROZEN = (False, "signer", "frozen")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Service]]:
    """Two services with the same state, as in two processes."""
    ledgers = [State(str(tmp_path), "boot") for _ in range(2)]
    services = [service_with(rule("a"), rule("b", users="1002"), rule("c", users="1001 1002")) for _ in ledgers]
    for service, ledger in zip(services, ledgers):
        service.ledger = ledger
    yield services
    for ledger in ledgers:
        ledger.close()


# Who may


def test_a_user_freezes_the_rules_that_are_for_it(two: list[Service]) -> None:
    first, second = two
    assert freeze(first, ALICE) == {"ok": True, "frozen": ["a", "c"], "confirmed": True}
    assert sign(first) == sign(second) == FROZEN
    assert sign(second, BOB) == DONE  # by b
    assert freeze(second, BOB, "b") == {"ok": True, "frozen": ["b", "c"], "confirmed": True}
    assert sign(first, BOB) == FROZEN


def test_a_group_names_its_members() -> None:
    service = service_with("[rule g]\nkey = " + ADDRESS + "\ngroups = 50\naccounts = any\nmarkets = any\n")
    assert freeze(service, BOB)["frozen"] == ["g"]
    assert freeze(service, ALICE)["frozen"] == []


@pytest.mark.parametrize("names", [["b"], ["none"], ["a", "b"], ["no name"], ["0x" + "1" * 62], ["1" * 64], ["x" * 65]])
def test_another_users_rule_and_one_that_does_not_exist_get_the_same_answer(
    two: list[Service], names: list[str]
) -> None:
    denied = freeze(two[0], ALICE, *names)
    assert outcome(denied) == (False, "rules", "not_allowed")
    assert denied == freeze(two[0], ALICE, "none")
    assert denied["error"]["type"] == "PermissionError"
    assert sign(two[0]) == DONE


def test_root_freezes_any_name_and_without_names_all_rules(two: list[Service]) -> None:
    assert freeze(two[0], ROOT, "later", "a")["frozen"] == ["a", "later"]
    assert freeze(two[1], ROOT)["frozen"] == ["a", "b", "c", "later"]
    assert freeze(two[1], ALICE)["frozen"] == ["a", "c"]


def test_a_rule_that_comes_later_is_frozen_from_its_beginning(two: list[Service]) -> None:
    freeze(two[0], ROOT, "later")
    two[1].replace_policy(policy_of(rule("later")))
    assert sign(two[1]) == FROZEN
    two[1].replace_policy(Policy())
    two[1].replace_policy(policy_of(rule("later")))
    assert sign(two[1]) == FROZEN


def test_root_freezes_at_most_64_names_that_no_rule_has() -> None:
    service = service_with(rule("a"))
    names = [f"n{number}" for number in range(65)]
    assert outcome(freeze(service, ROOT, *names)) == (False, "rules", "too_many_values")
    assert freeze(service, ROOT, *names[:64], "a")["frozen"] == sorted([*names[:64], "a"])
    assert outcome(freeze(service, ROOT, names[64])) == (False, "rules", "too_many_values")
    assert freeze(service, ROOT, *names[:3], "a")["ok"]
    thaw(service, ROOT, names[0])
    assert freeze(service, ROOT, names[64])["ok"]


def test_a_freeze_for_which_the_state_has_no_room_says_so_and_all_are_thawed_at_once(
    two: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen rules stay so even if they are not in the policy any more."""
    for letter in "wxyz":
        names = [(letter * 64)[:61] + f"{number:03d}" for number in range(190)]
        two[0].replace_policy(policy_of("".join(map(rule, names))))
        answer = freeze(two[0], ROOT)
    assert outcome(answer) == (False, "rules", "too_many_values")
    assert outcome(freeze(two[0], ALICE)) == (False, "rules", "too_many_values")
    assert sign(two[0]) == DONE
    syncs: list[int] = []
    monkeypatch.setattr("os.fdatasync", syncs.append)
    assert thaw(two[1], ROOT)["frozen"] == []
    assert len(syncs) == 2
    assert len(freeze(two[0], ROOT)["frozen"]) == 190


def test_only_root_thaws(two: list[Service]) -> None:
    freeze(two[0], ALICE)
    for peer in (ALICE, BOB):
        assert outcome(thaw(two[0], peer)) == outcome(thaw(two[0], peer, "a")) == (False, "type", "not_allowed")
    assert sign(two[1]) == FROZEN
    assert thaw(two[1], ROOT, "a", "none") == {"ok": True, "frozen": ["c"], "confirmed": True}
    assert sign(two[0]) == DONE
    freeze(two[0], ROOT, "strange")
    assert thaw(two[1], ROOT) == {"ok": True, "frozen": [], "confirmed": True}


# Requests that are wrong


@pytest.mark.parametrize("type", ["freeze", "thaw"])
@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ("a", "wrong_type"),
        (1, "wrong_type"),
        ({"a": 1}, "wrong_type"),
        (True, "wrong_type"),
        (None, "empty"),
        ([], "empty"),
        ([1], "wrong_type"),
        (["a", 1], "wrong_type"),
        ([["a"]], "wrong_type"),
        ([False], "wrong_type"),
        ([None], "empty"),
        (["a", ""], "empty"),
        (["a", "a"], "duplicate"),
        (["no name"], "not_name"),
        (["a\n"], "not_name"),
        (["é"], "not_name"),
        (["x" * 65], "not_name"),
        (["ab" * 32], "not_name"),
    ],
)
def test_rules_that_are_not_an_array_of_names_are_refused_by_their_field(type: str, rules: Any, code: str) -> None:
    service = service_with(rule("a"))
    refused = answer(service, ROOT, {"type": type, "rules": rules, "id": 7})
    assert outcome(refused) == (False, "rules", code)
    assert refused["id"] == 7
    assert refused["error"]["type"] == "ValueError"
    assert "ab" * 32 not in json.dumps(refused)
    assert sign(service) == DONE


@pytest.mark.parametrize("type", ["freeze", "thaw"])
def test_nothing_else_may_be_in_the_request(type: str) -> None:
    talk = Conversation(service_with(rule("a")), ROOT)
    response = json.loads(talk.respond(json.dumps({"type": type, "signer": ADDRESS, "id": "x"}).encode()))
    assert (outcome(response), response["id"]) == ((False, "signer", "unexpected"), "x")
    assert not talk.waits


def test_a_name_is_what_the_policy_takes_for_one() -> None:
    for name in ("a", "A.b_c-d/9", "x" * 64, "0" * 63, "", "x" * 65, "é", "a b", "a\n", "0" * 64, "fA" * 32):
        try:
            policy_of(rule(name))
            taken = True
        except AssertionError:
            taken = False
        assert bool(is_name(name)) is taken, name


# The effect on a rule


def test_another_rule_that_allows_the_request_signs_it() -> None:
    service = service_with(rule("a"), rule("b"))
    freeze(service, ALICE, "a")
    assert sign(service) == DONE
    freeze(service, ALICE, "b")
    assert sign(service) == FROZEN


def test_what_a_frozen_rule_would_not_have_allowed_gets_the_usual_objection() -> None:
    service = service_with(rule("a", sides="buy"))
    freeze(service, ALICE)
    assert sign(service, side="sell") == (False, "order.side", "not_allowed")
    assert sign(service, side="buy") == FROZEN


def test_a_frozen_rule_answers_before_its_rate_and_uses_none_of_it() -> None:
    service = service_with(rule("a", rate="1/hour"))
    freeze(service, ALICE)
    assert [sign(service) for _ in range(3)] == [FROZEN] * 3
    thaw(service, ROOT)
    assert [sign(service) for _ in range(2)] == [DONE, (False, "signer", "rate_limited")]
    freeze(service, ALICE)
    assert sign(service) == FROZEN


def test_keys_on_the_wire_are_not_affected() -> None:
    service = service_with(rule("a"))
    freeze(service, ROOT)
    assert sign(service, signer=KEY) == DONE


def test_a_rule_is_frozen_since_its_first_freeze(two: list[Service]) -> None:
    freeze(two[0], ALICE)
    before = dict(two[0].ledger.frozen)
    freeze(two[1], ROOT, "a")
    assert two[1].ledger.frozen["a"] == before["a"]
    assert before["a"].uid == ALICE.uid


# Whether it is confirmed


def test_a_freeze_waits_for_a_signature_that_is_under_way_in_another_process(two: list[Service]) -> None:
    first, second = two
    assert first.ledger.enter("a")
    talk = Conversation(second, ALICE)
    talk.respond(b'{"type": "freeze"}')
    answers: list[bytes] = []
    waiting = threading.Thread(target=lambda: answers.append(talk.finish()))
    waiting.start()
    wait_until(lambda: "a" in first.ledger.frozen)
    assert (sign(first), answers) == (FROZEN, [])
    first.ledger.leave("a")
    waiting.join()
    assert json.loads(answers[0]) == {"ok": True, "frozen": ["a", "c"], "confirmed": True}


def test_a_freeze_that_a_hanging_signer_holds_up_is_not_confirmed_and_holds(
    two: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    assert freezing.PATIENCE == 6.0
    monkeypatch.setattr(freezing, "PATIENCE", 0.05)
    assert first.ledger.enter("a")
    assert freeze(second, ALICE) == {"ok": True, "frozen": ["a", "c"], "confirmed": False}
    assert sign(first) == sign(second) == FROZEN
    assert freeze(second, ALICE)["confirmed"] is False
    first.ledger.leave("a")
    assert freeze(second, ALICE)["confirmed"] is True


def test_what_changes_nothing_needs_no_waiting(two: list[Service]) -> None:
    """Where it would, each client had a thread of its own for it, and many of them would hold the others up."""

    def waits(peer: Peer, request: bytes) -> bool:
        talk = Conversation(two[1], peer)
        return talk.respond(request) == b"" and talk.waits

    freezing_a = b'{"type": "freeze", "rules": ["a"]}'
    assert not waits(BOB, freezing_a)
    assert not waits(ALICE, b'{"type": "freeze", "rules": []}')
    assert not waits(Peer(pid=1, uid=9, gid=9), b'{"type": "freeze"}')
    assert not waits(ALICE, b'{"type": "thaw"}')
    assert not waits(ROOT, b'{"type": "thaw"}')
    assert waits(ALICE, freezing_a)
    freeze(two[0], ALICE, "a")
    assert not waits(ALICE, freezing_a)
    assert waits(ALICE, b'{"type": "freeze"}')
    assert waits(ROOT, b'{"type": "thaw"}')


def test_the_stop_of_the_daemon_ends_the_wait(two: list[Service]) -> None:
    assert two[0].ledger.enter("a")
    talk = Conversation(two[1], ALICE)
    talk.respond(b'{"type": "freeze"}')
    assert json.loads(talk.finish(lambda: True))["confirmed"] is False
    two[0].ledger.leave("a")


def test_a_signature_under_way_in_the_same_process_is_waited_for() -> None:
    service = service_with(rule("a"))
    assert service.ledger.enter("a")
    talk = Conversation(service, ALICE)
    talk.respond(b'{"type": "freeze"}')
    assert json.loads(talk.finish(lambda: True))["confirmed"] is False
    service.ledger.leave("a")
    assert freeze(service, ALICE)["confirmed"] is True


def test_a_signature_is_under_way_from_the_decision_until_it_has_its_entry(two: list[Service]) -> None:
    service, other = two
    under_way = []

    def send(entry: Sequence[str], wait: bool) -> None:
        under_way.append(not other.ledger.is_idle(["a"]))

    service.journal = Journal(LEVELS["info"], print, send)
    assert sign(service) == DONE
    assert under_way == [True]
    assert other.ledger.is_idle(["a"])


def test_a_request_that_gets_no_signature_holds_up_no_freeze(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    service = entries.service()
    entries.takes = False
    assert sign(service) == (False, "", "not_recorded")
    entries.takes = True
    with monkeypatch.context() as broken:
        broken.setattr("ordersigner.signing.protocol.signed", None)
        response = answer(service, ALICE, {**REQUEST, "signer": ADDRESS})
        assert response["error"]["type"] == "InternalError"
    service.replace_policy(policy_of(rule("a", rate="1/hour")))
    assert [sign(service) for _ in range(2)] == [DONE, (False, "signer", "rate_limited")]
    assert service.ledger.is_idle(["a", "b"])


def test_a_ledger_that_ends_with_the_process_says_so() -> None:
    service = service_with(rule("a"))
    assert freeze(service, ALICE) == {"ok": True, "frozen": ["a"], "confirmed": True, "kept": False}
    assert thaw(service, ROOT) == {"ok": True, "frozen": [], "confirmed": True, "kept": False}


# The journal


class Entries:
    """A journal that accepts all entries, or none."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []
        self.takes = True

    def send(self, entry: Sequence[str], wait: bool) -> None:
        if not self.takes:
            raise BlockingIOError
        self.entries.append(dict(field.split("=", 1) for field in entry))

    def service(self, level: str = "info") -> Service:
        service = service_with(rule("a"), rule("b"))
        service.journal = Journal(LEVELS[level], print, self.send)
        return service


@pytest.fixture
def entries() -> Entries:
    return Entries()


PEER = {"ORDERSIGNER_PEER_UID": "1001", "ORDERSIGNER_PEER_GID": "1001", "ORDERSIGNER_PEER_PID": "1"}


def test_each_rule_that_is_frozen_or_thawed_has_its_entry(entries: Entries) -> None:
    service = entries.service()
    freeze(service, ALICE, "a")
    assert entries.entries == [
        {
            "MESSAGE": "Froze rule a for uid 1001, gid 1001, pid 1",
            "PRIORITY": str(LEVELS["warning"]),
            "SYSLOG_IDENTIFIER": "ordersigner",
            "MESSAGE_ID": journal.FROZEN,
            "ORDERSIGNER_EVENT": "freeze",
            "ORDERSIGNER_RULE": "a",
            **PEER,
        }
    ]
    freeze(service, ALICE)
    assert [entry["ORDERSIGNER_RULE"] for entry in entries.entries] == ["a", "b"]  # a was frozen
    thaw(service, ROOT, "b", "none")
    (thawed,) = entries.entries[2:]
    assert thawed["MESSAGE"] == "Thawed rule b for uid 0, gid 0, pid 3"
    assert (thawed["ORDERSIGNER_EVENT"], thawed["PRIORITY"]) == ("thaw", str(LEVELS["notice"]))


def test_a_freeze_needs_no_entry_and_a_thaw_does(entries: Entries) -> None:
    service = entries.service()
    entries.takes = False
    assert freeze(service, ALICE)["confirmed"]
    assert sign(service) == FROZEN
    refused = thaw(service, ROOT, "a")
    assert outcome(refused) == (False, "", "not_recorded")
    assert refused["error"]["type"] == "InternalError"
    assert sign(service) == FROZEN
    entries.takes = True
    assert thaw(service, ROOT, "a")["frozen"] == ["b"]
    assert sign(service) == DONE


@pytest.mark.parametrize(("level", "events"), [("notice", ["freeze", "thaw"]), ("warning", ["freeze"]), ("err", [])])
def test_a_level_leaves_out_what_is_below_it(entries: Entries, level: str, events: list[str]) -> None:
    service = entries.service(level)
    freeze(service, ALICE, "a")
    assert thaw(service, ROOT)["frozen"] == []
    assert [entry["ORDERSIGNER_EVENT"] for entry in entries.entries] == events


def test_the_entry_of_a_refusal_names_the_section_that_came_closest(entries: Entries) -> None:
    service = entries.service()
    payload = Stub.payload()
    for section in ("x402", ""):
        denied = Denied(Objection(1, "f", "over_limit", "Too much.", section), rule="a")
        service.journal.refused(ALICE, denied, payload, ADDRESS)
    assert [entry.get("ORDERSIGNER_SECTION") for entry in entries.entries] == ["x402", None]


class Damaged(Memory):
    """A ledger whose file was truncated."""

    def enter(self, rule: str, generation: int | None = None) -> bool:
        raise OSError("/state is too short")

    def freeze(self, rules: Sequence[str], uid: int) -> bool:
        raise OSError("/state is too short")

    @property
    def frozen(self) -> dict[str, Any]:
        raise OSError("/state is too short")

    @frozen.setter
    def frozen(self, value: object) -> None:
        pass

    def counts(self) -> dict[str, tuple[int, int]]:
        raise OSError("/state is too short")


def test_with_a_damaged_state_nothing_is_signed_and_the_journal_says_why(entries: Entries) -> None:
    service = entries.service()
    service.ledger = Damaged()
    assert sign(service) == FROZEN
    assert "(/state is too short)" in entries.entries[-1]["MESSAGE"]
    failed = freeze(service, ALICE)
    assert (failed["ok"], failed["error"]["type"]) == (False, "InternalError")
    (signer,) = answer(service, ALICE, {"type": "signers"})["signers"]
    assert signer["frozen"] == ["a", "b"]
    assert service.numbers()["frozen"] == ["a", "b"]
    rules: Any = service.numbers()["rules"]
    assert rules["a"] == {"signed": None, "refused": None, "frozen": True, "totals": []}


# Signers and the status


def test_signers_lists_which_of_the_rules_are_frozen() -> None:
    service = service_with(rule("a"), rule("b"), rule("c", users="1002"))
    freeze(service, ROOT, "b", "c", "strange")
    (signer,) = answer(service, ALICE, {"type": "signers"})["signers"]
    assert (signer["rules"], signer["frozen"]) == (["a", "b"], ["b"])


def test_the_status_sums_over_all_processes(two: list[Service]) -> None:
    for service in two:
        sign(service)
        sign(service, side="?")  # no rule was asked
        sign(service, orderType="MKT")
    two[0].share_counts()
    freeze(two[0], ALICE)
    sign(two[1])
    assert two[1].numbers()["rules"] == {
        "a": {"signed": 4, "refused": 1, "frozen": True, "totals": []},
        "b": {"signed": 0, "refused": 0, "frozen": False, "totals": []},
        "c": {"signed": 0, "refused": 0, "frozen": True, "totals": []},
    }
    assert two[1].numbers()["frozen"] == ["a", "c"]


def test_counts_that_the_state_does_not_take_are_not_lost(two: list[Service], monkeypatch: pytest.MonkeyPatch) -> None:
    service = two[0]
    sign(service)
    with monkeypatch.context() as full:

        def fails(counts: object) -> None:
            raise OSError

        full.setattr(service.ledger, "add_counts", fails)
        service.share_counts()
        sign(service)
    assert service.ledger.counts() == {}
    service.share_counts()
    assert service.ledger.counts() == {"a": (2, 0)}


class Stub:
    """Allows everything, and counts it."""

    title = "[stub stub]"

    def __init__(self, *totals: Total) -> None:
        self.totals: Sequence[Total] = totals

    def judge(self, payload: object, now: float) -> None:
        return None

    def needs(self, payload: object) -> list[Need]:
        return [Need(total, 250_000, "order.quantity") for total in self.totals]

    def entry(self, payload: object) -> tuple[str, str, tuple[str, ...]]:
        return "stub", "", ()

    def permits(self) -> list[str]:
        return []

    def leaves_open(self) -> list[str]:
        return []

    @staticmethod
    def payload() -> Any:
        class Payload:
            type = "spot"
            digest = b"\x01" * 32

            @staticmethod
            def entry() -> tuple[str, tuple[str, ...]]:
                return "something", ()

        return Payload()

    def rule(self, name: str) -> Rule:
        users = [Named("1001", 1001)]
        return Rule(name, line=1, keys=[ADDRESS], users=users, groups=[], judges={"spot": [self]}, rate=None)


def test_the_status_says_how_much_of_each_total_is_used(two: list[Service]) -> None:
    totals = [
        Total("x402", "message.value(6)", 86400, 100_000_000, 6),
        Total("", "max-total-notional", 3600, 600_000, 3),
    ]
    for service in two:
        service.replace_policy(Policy([Stub(*totals).rule("a")]))
    assert [sign(two[0]), sign(two[1])] == [DONE, DONE]
    rules: Any = two[1].numbers()["rules"]
    assert rules["a"]["totals"] == [
        {"section": "x402", "term": "message.value(6)", "span": "day", "used": "0.5", "limit": "100"},
        {"section": "", "term": "max-total-notional", "span": "hour", "used": "500", "limit": "600"},
    ]
    assert sign(two[0]) == (False, "order.quantity", "over_total")
    freeze(two[0], ALICE)
    assert sign(two[0]) == FROZEN  # before the total


def test_a_status_that_would_be_too_long_leaves_rules_out_and_counts_them() -> None:
    wide = [Total("s" * 64, f"{number} " + "t" * 300, 86400, 2**256 - 1, 18) for number in range(2)]
    names = [f"{number:03}" + "r" * 61 for number in range(190)]
    service = service_with()
    service.may_read_status = lambda peer: True
    service.replace_policy(Policy([Stub(*wide).rule(name) for name in names]))
    service.ledger.freeze([*names, *(f"{number:02}" + "n" * 62 for number in range(64))], 0)
    for name in names:
        service.counters.count("spot", name)
    response = Conversation(service, ALICE).respond(json.dumps({"type": "status", "id": "\U0001f600" * 128}).encode())
    assert 0.98 * MAX_RESPONSE < len(response) <= MAX_RESPONSE
    found = json.loads(response)["status"]
    assert list(found["rules"]) == names[: 190 - found["rules_left_out"]]
    assert 0 < len(found["rules"]) < 190
    service.replace_policy(Policy([Stub().rule("a")]))
    assert "rules_left_out" not in answer(service, ALICE, {"type": "status"})["status"]


def test_the_status_line_names_what_is_frozen() -> None:
    service = service_with(rule("a"), rule("b"))
    assert "frozen" not in service.status()
    freeze(service, ROOT, "b")
    assert service.status().endswith("; frozen: b")
    freeze(service, ROOT, "a", "c", "d", "e")
    assert service.status().endswith("; frozen: a, b, c and 2 more")
