"""The promises of a Ledger, in a file or in memory: totals, rates, freezes and counts."""

from __future__ import annotations

import threading

import pytest
from support.states import Host

from ordersigner.policy.rules import Ledger
from ordersigner.state.memory import Memory
from ordersigner.state.state_file import State

MINUTE, HOUR, DAY = 60, 3600, 86400
LARGEST = 2**256 - 1


@pytest.fixture(params=["file", "memory"])
def ledger(request: pytest.FixtureRequest, host: Host) -> State | Memory:
    """Its time is that of `host`."""
    if request.param == "file":
        return host.open()
    return Memory(lambda: host.wall_clock)


def spend(ledger: Ledger, amount: int, limit: int = 100, seconds: int = DAY, key: str = "a") -> bool:
    return ledger.reserve([(key, seconds, limit, amount)], None) is None


def test_a_total_is_never_passed_and_says_what_it_has_left(ledger: State | Memory) -> None:
    assert ledger.reserve([("a", DAY, 100, 60)], None) is None
    assert ledger.reserve([("a", DAY, 100, 41)], None) == (0, 40)
    assert ledger.reserve([("a", DAY, 100, 40)], None) is None
    assert ledger.reserve([("a", DAY, 100, 1)], None) == (0, 0)
    assert ledger.used("a", DAY) == 100


def test_what_is_refused_counts_nothing(ledger: State | Memory) -> None:
    for _ in range(3):
        assert not spend(ledger, 101)
    assert ledger.used("a", DAY) == 0
    assert spend(ledger, 100)


def test_a_signature_counts_for_all_totals_and_the_rate_or_for_none(ledger: State | Memory) -> None:
    needs = [("a", DAY, 100, 10), ("b", HOUR, 15, 10)]
    rate = ("rate", 2, MINUTE)
    assert ledger.reserve(needs, rate) is None
    assert ledger.reserve(needs, rate) == (1, 5)
    assert (ledger.used("a", DAY), ledger.used("b", HOUR)) == (10, 10)
    assert ledger.reserve([], rate) is None
    assert ledger.reserve(needs[:1], rate) == (1, 0)
    assert ledger.used("a", DAY) == 10


def test_a_key_that_was_never_used_has_used_nothing(ledger: State | Memory) -> None:
    assert ledger.used("a", DAY) == 0


@pytest.mark.parametrize(("seconds", "bucket"), [(HOUR, 60), (DAY, 600)])
def test_room_comes_back_after_the_span_and_at_most_one_bucket_late(
    ledger: State | Memory, host: Host, seconds: int, bucket: int
) -> None:
    host.wait(bucket - host.wall_clock % bucket)  # to the start of a bucket
    assert spend(ledger, 100, seconds=seconds)
    host.wait(seconds + bucket - 1)
    assert not spend(ledger, 1, seconds=seconds)
    host.wait(1)
    assert spend(ledger, 100, seconds=seconds)


def test_no_span_has_more_than_the_limit_at_its_edges(ledger: State | Memory, host: Host) -> None:
    host.wait(600 - host.wall_clock % 600 + 599)  # to the end of a bucket
    assert spend(ledger, 100)
    host.wait(DAY)
    assert not spend(ledger, 1)
    host.wait(1)
    assert spend(ledger, 100)


def test_room_comes_back_bucket_by_bucket(ledger: State | Memory, host: Host) -> None:
    host.wait(60 - host.wall_clock % 60)
    for _ in range(10):
        assert spend(ledger, 10, seconds=HOUR)
        host.wait(MINUTE)
    host.wait(HOUR - 10 * MINUTE)
    assert not spend(ledger, 1, seconds=HOUR)
    for number in range(10):
        host.wait(MINUTE)
        assert ledger.used("a", HOUR) == 90 - 10 * number


def test_a_total_that_rests_for_years_begins_at_zero(ledger: State | Memory, host: Host) -> None:
    assert spend(ledger, 100)
    host.wait(10 * 365 * DAY)
    assert spend(ledger, 100)
    assert not spend(ledger, 1)


def test_another_limit_resets_nothing(ledger: State | Memory) -> None:
    assert spend(ledger, 100, limit=100)
    assert ledger.reserve([("a", DAY, 120, 30)], None) == (0, 20)
    assert ledger.reserve([("a", DAY, 50, 1)], None) == (0, 0)
    assert spend(ledger, 20, limit=120)


def test_what_was_spent_under_another_span_counts_as_spent_now(ledger: State | Memory, host: Host) -> None:
    assert spend(ledger, 100, seconds=DAY)
    host.wait(12 * HOUR)
    assert not spend(ledger, 1, seconds=HOUR)
    host.wait(HOUR - 60)
    assert not spend(ledger, 1, seconds=HOUR)
    host.wait(120)
    assert spend(ledger, 100, seconds=HOUR)
    assert not spend(ledger, 1, seconds=DAY)


def test_keys_are_told_apart_whatever_they_are(ledger: State | Memory) -> None:
    keys = ["", "a", "a\n", "a" * 10_000, "a" * 9_999 + "b", "ä", "\0", "a\0"]
    for key in keys:
        assert spend(ledger, 100, key=key)
    assert not any(spend(ledger, 1, key=key) for key in keys)


def test_amounts_have_256_bits(ledger: State | Memory, host: Host) -> None:
    assert spend(ledger, LARGEST - 1, limit=LARGEST)
    assert ledger.reserve([("a", DAY, LARGEST, 2)], None) == (0, 1)
    host.wait(HOUR)
    assert not spend(ledger, LARGEST, limit=LARGEST)
    assert spend(ledger, 1, limit=LARGEST)
    assert ledger.used("a", DAY) == LARGEST


def signatures(ledger: State | Memory, number: int, seconds: int) -> int:
    """How many signatures a rate has room for now."""
    count = 0
    while ledger.reserve([], ("rate", number, seconds)) is None:
        count += 1
    return count


def test_a_rate_has_room_for_its_number_in_any_span(ledger: State | Memory, host: Host) -> None:
    assert signatures(ledger, 3, MINUTE) == 3
    host.wait(59)
    assert signatures(ledger, 3, MINUTE) == 0
    host.wait(1)
    assert signatures(ledger, 3, MINUTE) == 3


def test_a_rate_that_changes_keeps_the_latest_signatures(ledger: State | Memory, host: Host) -> None:
    assert signatures(ledger, 2, MINUTE) == 2
    host.wait(30)
    assert signatures(ledger, 5, MINUTE) == 3
    assert signatures(ledger, 3, MINUTE) == 0
    host.wait(30)
    assert signatures(ledger, 3, MINUTE) == 0
    assert signatures(ledger, 3, HOUR) == 0
    host.wait(30)
    assert signatures(ledger, 5, MINUTE) == 5


def test_a_frozen_rule_is_not_entered_and_the_others_are(ledger: State | Memory) -> None:
    assert ledger.freeze(["a"], 1000)
    assert not ledger.enter("a")
    assert ledger.enter("b")
    ledger.leave("b")
    assert ledger.thaw(["b", "a", "a"]) == ["a"]
    assert ledger.enter("a")
    ledger.leave("a")


def test_a_freeze_says_since_when_and_by_whom_and_a_second_one_changes_nothing(ledger: State | Memory) -> None:
    ledger.freeze(["a"], 1000)
    first = ledger.frozen["a"]
    ledger.freeze(["a", "b"], 2000)
    assert ledger.frozen["a"] == first
    assert [ledger.frozen[rule].uid for rule in ("a", "b")] == [1000, 2000]
    assert first.since > 1_700_000_000


def test_a_freeze_is_confirmed_when_no_signature_is_under_way(ledger: State | Memory) -> None:
    assert ledger.enter("a")
    assert ledger.enter("a")
    assert not ledger.is_idle(["b", "a"])
    assert not ledger.freeze(["a"], 0)
    assert not ledger.enter("a")
    ledger.leave("a")
    assert not ledger.is_idle(["a"])
    ledger.leave("a")
    assert ledger.is_idle(["b", "a"])
    assert ledger.freeze(["a"], 0)


def test_counts_of_a_rule_are_added(ledger: State | Memory) -> None:
    ledger.add_counts({"a": (1, 2), "b": (0, 1)})
    ledger.add_counts({"a": (10, 20), "c": (5, 5)})
    assert ledger.counts() == {"a": (11, 22), "b": (0, 1), "c": (5, 5)}


def test_many_threads_get_exactly_what_there_is(ledger: State | Memory) -> None:
    given = []

    def work() -> None:
        while ledger.enter("a"):
            if not spend(ledger, 1, limit=500):
                break
            given.append(1)
            ledger.leave("a")
        ledger.leave("a")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 500
    assert ledger.is_idle(["a"])


def test_after_the_end_it_can_still_be_left(ledger: State | Memory) -> None:
    assert ledger.enter("a")
    ledger.close()
    ledger.leave("a")
