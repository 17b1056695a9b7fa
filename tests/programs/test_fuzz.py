"""The fuzzer's corpus, replayed on every Python. `python tests/programs/fuzz.py` makes new input out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ordersigner.refusal import CODES
from programs import fuzzed


def files(target: str) -> list[Path]:
    return sorted((fuzzed.CORPUS / target).iterdir())


@pytest.mark.parametrize("path", files("respond"), ids=lambda path: path.name)
def test_what_must_hold_for_any_requests_holds_for_those_of_the_corpus(path: Path) -> None:
    fuzzed.respond(path.read_bytes())


@pytest.mark.parametrize("path", files("policy"), ids=lambda path: path.name)
def test_what_must_hold_for_any_policy_holds_for_those_of_the_corpus(path: Path) -> None:
    fuzzed.read_policy(path.read_bytes())


@pytest.mark.parametrize("path", files("call"), ids=lambda path: path.name)
def test_what_must_hold_for_any_call_holds_for_those_of_the_corpus(path: Path) -> None:
    fuzzed.read_call(path.read_bytes())


def test_the_corpus_reaches_signatures_and_refusals_of_every_kind() -> None:
    signed = set()
    codes = set()
    for path in files("respond"):
        lines = list(fuzzed.cut(path.read_bytes()))
        for line, response in zip(lines, map(json.loads, fuzzed.answers(lines))):
            if "signature" in response:
                request = json.loads(line)
                signed.add((request["type"], len(request["signer"]) < 64))
            if response["ok"]:
                continue
            codes |= {one["code"] for problems in response["error"]["context"].values() for one in problems}
    kinds = {"spot", "futures", "typed_data", "message", "hyperliquid", "transaction"}
    assert signed == {(kind, held) for kind in kinds for held in (True, False)}
    connection = {"too_long", "timed_out", "too_many_connections"}  # not in answer to a line
    assert codes == CODES.keys() - connection - {"key_on_wire", "not_recorded"}
