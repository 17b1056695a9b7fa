"""`--check` names everything that a rule leaves open.

A black box finds it: of a request that is allowed, one value alone is set to the end of its type. If that is allowed
too, the words for the section that allows it must have the value's path and side. Every kind of request is tried,
because each needs an example here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from support.daemon import SOURCE, vectors
from support.kinds import POLICY, REQUESTS, request_of
from support.left_open import Change, changes, names, words_of
from support.policies import policy_of
from support.services import ADDRESS
from support.venues import ROWS as OF_VENUES
from support.venues import Row, adapted

from ordersigner.payloads.payload import Payload
from ordersigner.payloads.typed_data import TypedData
from ordersigner.peer import Peer
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Denied, Judge, Policy
from ordersigner.refusal import Refusal
from ordersigner.state.memory import Memory

pytestmark = pytest.mark.once

ROWS = vectors("limits/verdicts")
OPEN = vectors("limits/open")
ALLOWED = [row for row in ROWS if row["verdict"] == "allow" and not row.get("before")]
OF_SDKS = {(row.policy, row.section): row for row in OF_VENUES}  # one for each section of the ready-made policies
KNOWN = words_of([row["request"] for row in (*ROWS, *OPEN)] + [request_of(kind) for kind in REQUESTS])
# The client's decimals are not signed, but they change amounts, which are.
UNSIGNED = re.compile(r"instrument\.(base|quote)\.decimals")
# Words for everything that a request may have.
EVERYTHING = ("the typed data: ", "the content of the action ")


class Case(NamedTuple):
    """A request that a policy allows at a time."""

    name: str
    policy: str
    uid: int
    request: dict[str, Any]
    now: float


class Box:
    """A policy, asked as a client asks it."""

    def __init__(self, policy: Policy, uid: int, now: float) -> None:
        self._grants = policy.grants(Peer(1, uid, uid))
        self._now = now

    def answer(self, request: dict[str, Any]) -> tuple[bytes, Judge | None, str]:
        """The digest, and the rule that allows it or the code of the refusal. Raises Refusal if it is no request."""
        payload: Payload = KINDS[request["type"]].form.read(request)
        try:
            permit = self._grants[request["signer"].lower()].allow(
                payload, now=self._now, ledger=Memory(lambda: self._now)
            )
        except Denied as denied:
            return payload.digest, None, denied.code
        return payload.digest, permit.judge, ""

    def allows(self, change: Change, digest: bytes) -> Judge | None:
        """The rule that allows a change of the request with this digest; None if there is none. An end is the farthest
        value that can be signed: if that could be something else than this kind, the next one counts.
        """
        for request in change.requests:
            try:
                changed, judge, code = self.answer(request)
            except Refusal:
                continue
            if changed == digest or code == "ambiguous":
                continue
            if judge is not None or change.side != "other":
                return judge
        return None


def box_of(case: Case) -> tuple[Box, bytes]:
    """The box, and the digest of the case's request."""
    box = Box(policy_of(case.policy), case.uid, case.now)
    digest, judge, code = box.answer(case.request)
    assert judge is not None, code
    return box, digest


def open_changes(case: Case) -> Iterator[tuple[Change, Judge]]:
    """Each change of the request that is allowed, and the rule that allows it."""
    box, digest = box_of(case)
    for change in changes(case.request, KNOWN):
        judge = None if UNSIGNED.fullmatch(change.name) else box.allows(change, digest)
        if judge is not None:
            yield change, judge


def ready_made(row: Row) -> str:
    """The policy of docs/venues for a request of an SDK."""
    return adapted((SOURCE / f"docs/venues/{row.policy}.policy").read_text(), "1000", [row])


def first_of_each(rows: list[Any]) -> Iterator[Any]:
    """The first row of each policy and each type of what is signed."""
    seen = set()
    for row in rows:
        request = row["request"]
        what = request.get("typed_data", {}).get("primaryType"), str(request.get("action", {}))[:24]
        if (row["policy"], request["type"], what) not in seen:
            seen.add((row["policy"], request["type"], what))
            yield row


CASES = [
    *(Case(f"example of {kind}", POLICY, 1001, request_of(kind), 1_800_000_000) for kind in REQUESTS),
    *(Case(f"open: {row['name']}", row["policy"], 1000, row["request"], row["now"]) for row in OPEN),
    *(Case(row["name"], row["policy"], 1000, row["request"], row["now"]) for row in first_of_each(ALLOWED)),
    *(Case(str(row), ready_made(row), 1000, row.request, row.now) for row in OF_SDKS.values()),
]


def test_each_kind_of_request_has_an_example() -> None:
    assert {case.request["type"] for case in CASES if case.policy == POLICY} == KINDS.keys()


def test_each_ready_made_policy_is_tried() -> None:
    assert {policy for policy, _ in OF_SDKS} == {file.stem for file in (SOURCE / "docs/venues").iterdir()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_what_is_open_is_named(case: Case) -> None:
    for change, judge in open_changes(case):
        check(change, judge)


def check(change: Change, judge: Judge) -> None:
    open_ends, permits = judge.leaves_open(), judge.permits()
    if not any(text.startswith(EVERYTHING) for text in open_ends):
        assert names(open_ends, permits, change), (change.name, change.side, open_ends, permits)


# The box itself


_ORDER = {f"order.{name}" for name in ("accountId", "timestamp", "orderType", "side", "quantity", "price")}
NOTHING_LIMITED = f"[rule r]\nkey = {ADDRESS}\nusers = 1001\naccounts = any\nmarkets = any\ntyped = any\n"
SIGNED = {
    "spot": {*_ORDER, "instrument.base.address", "instrument.quote.address"},
    "futures": {*_ORDER, "order.instrument", "order.marginPerFraction", "order.quote"},
}


@pytest.mark.parametrize("kind", SIGNED)
def test_the_box_finds_every_field_of_an_order(kind: str) -> None:
    case = Case(kind, NOTHING_LIMITED, 1001, request_of(kind), 1_800_000_000)
    assert {change.name for change, _ in open_changes(case)} == SIGNED[kind]


def test_the_box_finds_every_field_of_typed_data() -> None:
    request = request_of("typed_data")
    payload = KINDS["typed_data"].form.read(request)
    assert isinstance(payload, TypedData)
    case = Case("", NOTHING_LIMITED, 1001, request, 1_800_000_000)
    found = {re.sub(r"\.[0-9]+", ".*", change.name) for change, _ in open_changes(case)}
    assert found >= {path for path, *_ in payload.schema.paths()} | {"message.parts", "domain.name", "domain.chainId"}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_kind_that_names_nothing_is_caught(kind: str) -> None:
    class Silent:
        def leaves_open(self) -> list[str]:
            return []

        permits = leaves_open

    case = next(case for case in CASES if case.policy == POLICY and case.request["type"] == kind)
    found = [change for change, _ in open_changes(case)]
    assert found
    for change in found:
        with pytest.raises(AssertionError):
            check(change, Silent())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("message.legs.*.size", True),
        ("message.legs.1.size", True),
        ("message.legs.0.size", False),
        ("how high message.legs.*.size may be", True),
        ("how low message.legs.*.size may be (it may be negative)", False),
        ("with message.legs.*.size from 0 to 5", False),
        ("message.legs.*.size, except in element 0", True),
        ("message.legs.*.size, except in elements 0 or 1", False),
        ("message.legs.*.sizes", False),
        ("the.message.legs.*.size", False),
        ("how many elements message.legs has", False),
        ("message.legs: the legs", True),
        ("bits 0 to 19 of message.legs.*.size", True),
    ],
)
def test_words_name_a_side_of_a_field(text: str, is_named: bool) -> None:
    change = Change(("typed_data", "message", "legs", 1, "size"), "high", [])
    assert names([text], [], change) == is_named
