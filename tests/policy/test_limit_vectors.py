"""Verdicts, complaints and open fields under policies that were written by hand, in tests/vectors/limits."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.daemon import vectors

from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Policy, unknown_signer
from ordersigner.refusal import Refusal
from ordersigner.signing import protocol
from ordersigner.state.memory import Frozen, Memory

VERDICTS, READING, OPEN = (vectors(f"limits/{name}") for name in ("verdicts", "reading", "open"))
PEER = Peer(pid=1, uid=1000, gid=1000, groups=())


class Daemon:
    """A loaded policy, in a daemon whose clock the rows set."""

    def __init__(self, text: str, frozen: Any = ()) -> None:
        reading = reader.read(text, "policy")
        assert list(reading.errors) == []
        self.policy: Policy = reading.policy
        self.now = 0.0
        self.memory = Memory(lambda: self.now)
        self.memory.frozen.update({name: Frozen(0.0, 0) for name in frozen})

    def answer(self, request: Any, now: float) -> Any:
        """The answer as a row has it: "allow", or the code and the field of the refusal."""
        self.now = now
        try:
            message = protocol.read_request(protocol.decode(json.dumps(request).encode()))
            payload = KINDS[message.type].form.read(message.members)
            grant = self.policy.grants(PEER).get(request["signer"].lower())
            if grant is None:
                raise unknown_signer(PEER)
            grant.allow(payload, now=now, ledger=self.memory).leave()
        except Refusal as refusal:
            ((field, (problem, *_)),) = refusal.context.items()
            return {"code": problem.code, "field": field}
        return "allow"


@pytest.mark.parametrize("row", VERDICTS, ids=lambda row: str(row["name"]))
def test_a_request_gets_the_verdict_of_the_vectors(row: Any) -> None:
    daemon = Daemon(row["policy"], row.get("frozen", ()))
    for earlier in row.get("before", ()):
        daemon.answer(earlier["request"], earlier["now"])
    assert daemon.answer(row["request"], row["now"]) == row["verdict"]


@pytest.mark.parametrize("row", READING, ids=lambda row: str(row["name"]))
def test_a_file_has_errors_in_the_lines_of_the_vectors(row: Any) -> None:
    errors = reader.read(row["policy"], "policy").errors
    assert list(dict.fromkeys(error.line for error in errors)) == row["errors"]


# What is left open. A row has the sides of each field that a black box found: of a request that is allowed, a field
# alone was set to the end of its type, or to another value, and the request was still allowed.
def names(words: list[str], field: str, side: str) -> bool:
    """Whether words of `--check` name a side of a field."""
    field = re.sub(r"\.[0-9]+(?=\.)", ".*", field)
    path = re.escape(field).replace(r"\*", r"(?:\*|[0-9]+)")
    own = [word for word in words if re.search(rf"(?:^|[ (]){path}(?:[ ,():.]|$)", word)]
    if any(re.match(rf"(?:(?:bits?|words?) [0-9 to]+ of )?{path}(?:$|[ ,:.](?!at ))", word) for word in own):
        return True  # the field as a whole, or a part of it
    wanted = {"low": r"how low |from 0 to ", "high": r"how (?:low or )?high ", "any": "what is at "}.get(side, "-")
    return any(re.search(wanted, word) for word in own)


@pytest.mark.parametrize("row", OPEN, ids=lambda row: str(row["name"]))
def test_each_open_field_and_side_is_named(row: Any) -> None:
    daemon = Daemon(row["policy"])
    assert daemon.answer(row["request"], row["now"]) == "allow"
    grant = daemon.policy.grants(PEER)[row["request"]["signer"]]
    payload = KINDS[row["request"]["type"]].form.read(row["request"])
    words = [
        word
        for rule in grant.rules
        for judge in rule.judges[payload.type]
        if judge.judge(payload, row["now"]) is None
        for word in [*judge.leaves_open(), *judge.permits()]
    ]
    missing = [(field, side) for field, sides in row["open"].items() for side in sides if not names(words, field, side)]
    assert missing == [], words
