"""`ordersignerd --check`: the page that says what each rule may sign, and what it does not limit."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Tuple

import pytest
from support.daemon import SOURCE
from support.kinds import POLICY
from support.pages import sides
from support.services import ADDRESS, rule

from ordersigner.daemon.check import LEFT, RIGHT, WIDTH, check
from ordersigner.policy.reader import read, read_file
from ordersigner.state.state_file import State

VENUES = sorted((SOURCE / "docs/venues").iterdir())
Check = Callable[..., Tuple[int, str, str]]


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Check:
    """The status, the page, and what is on standard error."""

    def printed(text: str, state: str = str(tmp_path)) -> tuple[int, str, str]:
        status = check(read(text, "policy"), None, [], state)
        return status, *capsys.readouterr()

    return printed


@pytest.mark.parametrize("file", VENUES, ids=lambda file: str(file.stem))
def test_a_ready_made_policy_fits_80_columns_but_for_words_that_do_not(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    check(read_file(str(file)), None, [], str(tmp_path))
    for line in capsys.readouterr().out.splitlines()[:-1]:
        left, right = line[: LEFT + 2], line[LEFT + 4 :]
        assert len(line) <= 80 or len(max(left.split(), key=len)) > LEFT or len(max(right.split(), key=len)) > RIGHT - 2
        assert len(line) <= WIDTH


@pytest.mark.parametrize("file", VENUES, ids=lambda file: str(file.stem))
def test_each_word_that_says_what_is_open_is_on_the_page(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reading = read_file(str(file))
    check(reading, None, [], str(tmp_path))
    shown = set(capsys.readouterr().out.split())
    judges = [judge for rule in reading.policy.rules for several in rule.judges.values() for judge in several]
    words = {word for judge in judges for text in judge.leaves_open() for word in text.split()}
    assert words
    assert [word for word in words if word not in shown] == []


def test_no_word_makes_the_page_wider(page: Check) -> None:
    long = "m" * 300
    text = f"""
        [typed long]
        type = Order(string {long},uint256 {long}s)
        domain.name = {long}
        [rule {"r" * 64}]
        key = {ADDRESS} 0x{"12" * 20}
        users = {" ".join(map(str, range(1000, 1100)))}
        typed = long
    """
    status, shown, _ = page(text)
    assert status == 0
    assert max(map(len, shown.splitlines()[:-1])) <= WIDTH
    assert "".join(shown.split()).count("m" * 60) >= 4
    assert shown.count("the key 0x") == 2


def test_both_sides_of_a_section_are_beside_each_other(page: Check) -> None:
    _, shown, _ = page(POLICY)
    may, open_ends = sides(shown)
    assert "[typed trade] typed data Trade(address token, uint256 amount, string note, " in may
    assert "message.note message.hash" in open_ends


def test_a_word_that_is_longer_than_the_left_column_has_a_row_of_its_own(page: Check) -> None:
    hash = "0x" + "ab" * 32
    _, shown, _ = page(POLICY.replace("message.partial = false\n", f"message.hash = {hash}\n"))
    assert f"\n    {hash}\n" in shown


def test_a_struct_that_was_shown_is_not_shown_again(page: Check) -> None:
    text = """
        [typed one]
        type = Sign(Order order,uint8 kind)Order(address maker,uint256 size)
        domain.name = Venue
        [typed two]
        type = Order(address maker,uint256 size)
        domain.name = Venue
        [typed three]
        type = Order(address maker,uint128 size)
        domain.name = Venue
    """
    _, shown, _ = page(text + rule("r", typed="one two three"))
    said = sides(shown)[0].replace("( ", "(").replace(") Order", ")Order")  # where a line ends
    assert "typed data Sign(Order order, uint8 kind)Order(address maker, uint256 size) with" in said
    assert "typed data Order(… as in [typed one]) with" in said
    assert "typed data Order(address maker, uint128 size) with" in said


def test_the_page_ends_with_a_summary(page: Check) -> None:
    assert page(rule("a") + rule("b"))[1].endswith("\npolicy: 2 rules, 1 key. No problems were found.\n")
    status, shown, said = page(rule("a", users="no-such-user"))
    assert (status, said) == (1, "policy:3: there is no user no-such-user\n")
    assert shown.endswith("\npolicy: 1 rule, 1 key. 1 problem, see above.\n")
    status, shown, _ = page(rule("a", users="no-such-user", sides="up"))
    assert (status, shown) == (1, "policy: 2 problems. The daemon does not use a policy with an error.\n")


def test_a_rule_says_since_when_it_is_frozen_and_the_status_stays(page: Check, tmp_path: Path) -> None:
    state = State(str(tmp_path), "", wall_clock=lambda: 1_796_010_000_900_000_000)
    state.freeze(["b", "gone"], 1000)
    state.close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, shown, said = page(rule("a") + rule("b"))
    assert (status, said) == (0, "warning: the rule gone is frozen, but the policy has no such rule\n")
    assert "\nRule b, line 6, frozen since 2026-11-30 03:40:00 UTC by uid 1000:\n" in shown
    assert "Rule a, line 1:\n" in shown
    assert shown.endswith("\npolicy: 2 rules, 1 of them frozen, 1 key. No problems were found.\n")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_state_that_cannot_be_read_is_named_and_the_status_stays(page: Check, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no state")
    status, shown, said = page(rule("a"))
    assert (status, said) == (0, "")
    assert f"Which of them are frozen cannot be read: {tmp_path}: {tmp_path}/state is damaged: it is too short" in shown


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max-prize": "1"}, "did you mean max-price?"),
        ({"markets": "perp2"}, "did you mean perp?"),
        ({"types": "LMTT"}, "did you mean LMT?"),
        ({"sides": "buys"}, "did you mean buy?"),
        ({"users": "rooot"}, "did you mean root?"),
        ({"groups": "rooot"}, "did you mean root?"),
        ({"typed": "trades"}, "did you mean trade?"),
    ],
)
def test_a_near_miss_is_named(settings: dict[str, str], said: str, page: Check) -> None:
    assert said in page(POLICY + rule("r", **settings))[2]


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        ({"key": "0x12"}, "an address of 40 hexadecimal digits, such as 0x2222…2222"),
        ({"rate": "5"}, "N/second, N/minute or N/hour"),
        ({"clock": "1 2"}, "a whole number from 1 to 1000000000"),
        ({"max-quantity": ""}, "decimal digits with at most one point"),
        ({"sides": ""}, "a value is missing"),
        ({"max-total-notional": "5"}, "AMOUNT/hour or AMOUNT/day, such as 500/day"),
        ({"types": "x"}, "valid words are LMT, MKT, SLM, STM"),
        ({"max-price": "5"}, "such as types = LMT"),
        ({"max-total-notional": "0/day"}, "a total must be more than 0, or it would allow nothing"),
        ({"types": "LMT", "min-price": "5.1", "max-price": "5.01"}, "min-price: this is above max-price, so no value"),
        ({"types": "LMT", "min-leverage": "5", "max-leverage": "4"}, "min-leverage: this is above max-leverage, so no"),
    ],
)
def test_a_complaint_says_what_is_expected(settings: dict[str, str], form: str, page: Check) -> None:
    assert form in page(rule("r", **settings))[2]


def test_a_market_says_what_is_expected(page: Check) -> None:
    said = page(f"[market m]\ninstrument = 1 2 3\nquote = 0x{'12' * 20}\n")[2]
    assert said.splitlines() == [
        "policy:2: instrument: expected NUMBER [DIGITS], such as 1 4",
        "policy:3: quote: expected ADDRESS DECIMALS, such as 0x2222…2222 18",
    ]
