"""`ordersignerd --check --try`: the same verdicts as the daemon's, and the objection of each rule of the client."""

from __future__ import annotations

import base64
import json
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemon import EXAMPLE_LINE, SOURCE, command, vectors
from support.kinds import POLICY, REQUESTS, request_of
from support.policies import policy_of
from support.services import ADDRESS, ALICE, BOB, KEY, OTHER_KEY, rule, service_with

from ordersigner.daemon.trial import KEY_OF_CLIENT, NO_SIGNATURE, Trial, Verdict
from ordersigner.peer import Peer
from ordersigner.policy.kinds import KINDS
from ordersigner.serving.framing import MAX_LINE
from ordersigner.signing.conversation import Conversation
from ordersigner.signing.protocol import MAX_DEPTH

NOW = 1_800_000_000.5
SPOT = request_of("spot")
TIMESTAMP = SPOT["order"]["timestamp"]
PRIVATE_KEYS = (KEY, OTHER_KEY)


def trial(*rules: str, **settings: Any) -> Trial:
    return Trial(policy_of("".join(rules)), ALICE, **{"clock": lambda: NOW, **settings})


def line(**members: Any) -> bytes:
    return json.dumps(members).encode()


def order(**values: Any) -> dict[str, Any]:
    return {**SPOT, "order": {**SPOT["order"], **values}}


# The same as the daemon


def in_words(response: bytes) -> list[str]:
    """A response in the words of a trial."""
    answer = json.loads(response)
    if answer["ok"]:
        return []
    return [
        f"{' '.join(filter(None, (problem['code'], field)))}: {problem['message']}"
        for field, problems in answer["error"]["context"].items()
        for problem in problems
    ]


def malformed() -> list[bytes]:
    rows = [base64.b64decode(row["line_base64"]).strip(b" \t\r\n") for row in vectors("peer-wire-errors")]
    published = [json.dumps(row["request"]).encode() for row in vectors("peer-orders")]
    return [row for row in rows if row and b"\n" not in row and len(row) <= MAX_LINE] + published


def for_held_key() -> list[bytes]:
    """Requests of each kind, as they are and with a change, for keys with and without a rule."""
    lines = []
    for kind in KINDS:
        for signer in (ADDRESS, "0x" + "12" * 20, "0x" + "zz" * 20, KEY, "5" * 63):
            lines.append(line(**request_of(kind, signer)))
        wrong: list[Any] = [None, 5, {}, []]
        lines += [line(**{**request_of(kind), key: value}) for key in REQUESTS[kind] for value in wrong]
    lines += [
        line(**order(side="up")),
        line(**order(quantity=-1, price="x")),
        line(**order(accountId="0xf884" + "1" * 36)),
    ]
    return lines


@pytest.mark.parametrize("make", [malformed, for_held_key])
@pytest.mark.parametrize("wire_keys", [True, False])
def test_a_verdict_is_the_daemons_answer(
    make: Callable[[], list[bytes]], wire_keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordersigner.signing.conversation.time", lambda: NOW)
    daemon = Conversation(service_with(POLICY, wire_keys=wire_keys), ALICE)
    tried = trial(POLICY, wire_keys=wire_keys)
    lines = make()
    assert len(lines) > 40
    signed = 0
    for given in lines:
        said, verdict = in_words(daemon.respond(given)), tried.verdict(given)
        assert verdict.is_allowed == (not said), given
        first, *others = verdict.lines
        if said:
            printable = ["".join(letter if letter.isprintable() else "?" for letter in words) for words in said]
            assert [first, *(words[2:] for words in others if not words.startswith("  rule "))] == printable
        else:
            signed += 1
            assert first in ("all", KEY_OF_CLIENT, NO_SIGNATURE)
        assert not any(key in words for key in PRIVATE_KEYS for words in verdict.lines)
    assert signed or not wire_keys


def test_a_request_inside_of_an_object_is_judged_as_alone() -> None:
    for given in malformed() + for_held_key():
        inside = b'{"now": 5e0 , "request":' + given + b',"uid":1001}'
        alone = Trial(policy_of(POLICY), Peer(1, 1001, 2**32 - 1), clock=lambda: 5).verdict(given)
        if b'"request"' in given or not is_json(given):
            continue  # then the line is no such object
        assert trial(POLICY).verdict(inside) == alone, given


def is_json(text: bytes) -> bool:
    try:
        json.loads(text.decode())  # which accepts no byte order mark
    except ValueError:
        return False
    return True


def test_the_bounds_of_a_line_are_those_of_the_request() -> None:
    tried = trial(rule("a"))
    deepest = b'{"type": "ping", "id": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    deeper = deepest.replace(b"[]", b"[[]]")
    for asked, code in ((deepest, "wrong_type id"), (deeper, "too_deep")):
        assert tried.verdict(asked).lines[0].startswith(f"{code}: ")
        assert tried.verdict(b'{"request": ' + asked + b"}").lines[0].startswith(f"{code}: ")
    longest = b'{"type": "ping", "id": "' + b"x" * (MAX_LINE - 26) + b'"}'
    assert len(longest) == MAX_LINE
    for asked, code in ((longest, "out_of_range id"), (longest[:-1] + b" }", "too_long")):
        assert tried.verdict(asked).lines[0].startswith(f"{code}: ")
        assert tried.verdict(b'{"request": ' + asked + b', "now": 1}').lines[0].startswith(f"{code}: ")


# What each rule says


def test_each_rule_of_the_client_for_the_key_that_objects_is_named() -> None:
    tried = trial(
        rule("to-sell", sides="sell"),
        rule("small", max_quantity="1", markets="leveth"),
        rule("all"),
        rule("late", clock="1"),
        rule("others", users="1002"),
        rule("other-key", key="0x" + "12" * 20),
        POLICY[: POLICY.index("[market perp]")],
    )
    assert tried.verdict(line(**SPOT)) == Verdict(
        True,
        [
            "all",
            "  rule to-sell: not_allowed order.side: [rule to-sell] does not allow this value: buy.",
            "  rule small: over_limit order.quantity: This value is above the limit of [rule small]: 12.3343.",
            f"  rule late: over_limit order.timestamp: This time is too early for [rule late]: {TIMESTAMP}.",
        ],
    )


def test_of_a_refusal_the_closest_rule_comes_first_and_then_all() -> None:
    tried = trial(rule("to-sell", sides="sell"), rule("late", clock="1"))
    late = f"over_limit order.timestamp: This time is too early for [rule late]: {TIMESTAMP}."
    assert tried.verdict(line(**SPOT)) == Verdict(
        False,
        [
            late,
            "  rule to-sell: not_allowed order.side: [rule to-sell] does not allow this value: buy.",
            f"  rule late: {late}",
        ],
    )


LIMITED = (
    rule("limited", markets="leveth", types="LMT", max_total_notional="12/hour") + POLICY[: POLICY.index("[typed")]
)


def test_requests_are_judged_in_turn_and_those_that_are_allowed_count() -> None:
    tried = trial(LIMITED, rule("rare", sides="buy", rate="1/minute"))
    five = order(quantity="5", price="1")
    allowed = [tried.verdict(line(request=five, now=now)).lines[0] for now in (0, 1, 2, 3)]
    assert allowed[:3] == ["limited", "limited", "rare"]
    assert allowed[3].startswith("rate_limited signer: ")
    assert tried.verdict(line(request=order(quantity="2", price="1"), now=4)).lines[0] == "limited"
    assert tried.verdict(line(request=five, now=7200)).lines[0] == "limited"


def test_what_a_rule_says_beside_counts_nothing() -> None:
    tried = trial(rule("to-buy", sides="buy"), LIMITED)
    for _ in range(5):
        assert tried.verdict(line(**order(quantity="5", price="1", side="buy"))).lines == ["to-buy"]
    refused = tried.verdict(line(**order(quantity="5", price="3", side="sell")))
    text = "This is more than [rule limited] has left for an hour: 12."
    assert refused.lines[0] == f"over_total order.quantity: {text}"


def test_rules_are_frozen_for_a_line() -> None:
    tried = trial(rule("a"), rule("b"))
    frozen = "frozen signer: [rule a] is frozen."
    assert tried.verdict(line(request=SPOT, frozen=["a", "no-such-rule"])).lines == ["b", f"  rule a: {frozen}"]
    both = tried.verdict(line(request=SPOT, frozen=["a", "b"]))
    assert both == Verdict(False, [frozen, f"  rule a: {frozen}", "  rule b: frozen signer: [rule b] is frozen."])
    assert tried.verdict(line(**SPOT)).lines == ["a"]


def test_a_line_says_who_asks() -> None:
    tried = trial(rule("a", users="1002"))
    assert tried.verdict(line(**SPOT)).lines[0].startswith("unknown_signer signer: ")
    assert tried.verdict(line(request=SPOT, uid=1002)).lines == ["a"]
    assert Trial(policy_of(rule("a", users="1002")), BOB).verdict(line(**SPOT)).lines == ["a"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"uid": "root"}, "wrong_type uid"),
        ({"uid": True}, "wrong_type uid"),
        ({"uid": -1}, "wrong_type uid"),
        ({"uid": 2**32 - 1}, "wrong_type uid"),
        ({"uid": None}, "wrong_type uid"),
        ({"now": "0"}, "wrong_type now"),
        ({"now": -0.5}, "wrong_type now"),
        ({"now": 1e300}, "wrong_type now"),
        ({"frozen": "a"}, "wrong_type frozen"),
        ({"frozen": [1]}, "wrong_type frozen"),
        ({"frosen": ["a"]}, 'unexpected frosen: Unexpected key. Did you mean "frozen"?'),
        ({"later": 1}, "unexpected later: Unexpected key. Besides request, there may be uid, now, frozen."),
    ],
)
def test_what_else_a_line_says_is_checked(members: dict[str, Any], expected: str) -> None:
    verdict = trial(rule("a")).verdict(line(request=SPOT, **members))
    assert (verdict.is_allowed, verdict.lines[0].startswith(expected)) == (False, True), verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"request": {}, "request": {}}', "duplicate request"),
        (b'{"request": {"type": "ping"}, "uid": 1, "uid": 2}', "duplicate uid"),
        (b'{"request": {"type": "ping"}, "now": NaN}', "not_json now"),
        (b'{"request": {"type": "ping"}', "not_json"),
        (b'{"request": {"type": "ping"}} x', "not_json"),
        (b'{"request": 5}', "wrong_type"),
        (b'{"request": {"type": "ping", "type": "ping"}}', "duplicate type"),
    ],
)
def test_a_line_that_is_wrong_gets_its_refusal(text: bytes, expected: str) -> None:
    verdict = trial(rule("a")).verdict(text)
    assert (verdict.is_allowed, verdict.lines[0].startswith(f"{expected}: ")) == (False, True), verdict


# The command


def run(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    ended = subprocess.run(
        command("--check", *arguments), cwd=SOURCE, env=os.environ, input=given, capture_output=True, check=False
    )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy"
    path.write_text(rule("me", users=str(os.geteuid()), clock="5") + rule("everybody", users="1001"))
    return str(path)


def test_the_command_prints_a_verdict_for_each_line(policy: str, tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    requests.write_bytes(
        b"\xef\xbb\xbf" + line(**SPOT) + b"\r\n\r\n  \n" + line(request=SPOT, uid=1001) + b"\n" + EXAMPLE_LINE
    )
    (status, out, err) = run("--policy", policy, "--try", str(requests), "--at", str(TIMESTAMP / 1e6))
    assert (status, out, err) == (0, f"me\neverybody\n{KEY_OF_CLIENT}\n", "")
    (status, out, err) = run("--policy", policy, "--try", "-", given=requests.read_bytes())
    assert (status, err) == (1, "")
    first, second, *others = out.splitlines()
    assert first.startswith("over_limit order.timestamp: ")
    assert second == f"  rule me: {first}"
    assert others == ["everybody", KEY_OF_CLIENT]


def test_a_terminal_need_not_have_every_character(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    given = line(type="hyperliquid", action=5, nonce=1, network="mainnet", signer=ADDRESS)
    status, out, err = run("--policy", policy, "--try", "-", given=given)
    assert (status, err) == (1, "")
    assert out == 'wrong_type action: This is an integer. It must be an object, such as {"type": "order", ?}.\n'


def test_the_command_asks_as_another_user(policy: str) -> None:
    given = line(**SPOT)
    assert run("--policy", policy, "--try", "-", "--as", "1001", given=given)[:2] == (0, "everybody\n")
    status, out, _ = run("--policy", policy, "--try", "-", "--as", "4294967294", given=given)
    assert (status, out.startswith("unknown_signer signer: ")) == (1, True)


def test_a_user_has_its_groups(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    account = pwd.getpwuid(os.geteuid())
    policy.write_text(rule("group", groups=str(account.pw_gid), users="4294967294"))
    for user in (account.pw_name, str(account.pw_uid)):
        ended = run("--policy", str(policy), "--try", "-", "--as", user, given=line(**SPOT))
        assert ended[:2] == (0, "group\n")
    assert run("--policy", str(policy), "--try", "-", given=line(request=SPOT, uid=account.pw_uid))[:2] == (
        0,
        "group\n",
    )


def test_keys_need_not_be_there_unless_they_are_given(policy: str, tmp_path: Path) -> None:
    given = line(**SPOT)
    (tmp_path / "keys").mkdir(mode=0o700)
    asked = ("--policy", policy, "--try", "-", "--as", "1001")
    assert run(*asked, given=given)[:2] == (0, "everybody\n")
    status, out, _ = run(*asked, "--keys", str(tmp_path / "keys"), given=given)
    assert (status, out.startswith("key_unavailable signer: ")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--try", "/nonexistent"), "/nonexistent: it cannot be read: No such file or directory"),
        (("--try", "/"), "/: it cannot be read: Is a directory"),
        (("--try", "-", "--policy", "/nonexistent"), "/nonexistent: it cannot be read: No such file or directory"),
        (("--try", "-", "--as", "no-such-user"), "--as: expected the name of a user who exists, or a number"),
        (("--try", "-", "--as", "4294967295"), "--as: expected the name of a user who exists, or a number"),
        (("--try", "-", "--at", "noon"), "--at: expected seconds since 1970"),
        (("--try", "-", "--at", "nan"), "--at: expected seconds since 1970"),
        (("--try", "-", "--keys", "/nonexistent"), "/nonexistent: No such file or directory"),
        (("--as", "0"), "--as needs --try"),
        (("--at", "0"), "--at needs --try"),
    ],
)
def test_wrong_arguments_and_files_end_it_with_2(arguments: tuple[str, ...], said: str, policy: str) -> None:
    status, out, err = run("--policy", policy, *arguments)
    assert (status, out, said in err) == (2, "", True), err


def test_a_trial_needs_a_check_and_a_policy_without_errors(policy: str) -> None:
    ended = subprocess.run(command("--try", "-"), cwd=SOURCE, capture_output=True, text=True, check=False)
    assert (ended.returncode, "--try needs --check" in ended.stderr) == (2, True)
    Path(policy).write_text("nonsense\n")
    status, out, err = run("--policy", policy, "--try", "-", given=line(**SPOT))
    assert (status, out) == (2, "")
    assert err.startswith(f"{policy}:1: ")
    assert run("--policy", policy, "--try", "-", given="{}".encode("utf-16"))[0] == 2
