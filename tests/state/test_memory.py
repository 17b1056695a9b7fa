"""Rates of a daemon that has no place to keep them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ordersigner.state.memory import Memory


def taken(number: int, seconds: int, times: list[float]) -> list[bool]:
    """Whether a rate has room at each of the times."""
    now = [0.0]
    memory = Memory(lambda: now[0])
    answers = []
    for now[0] in times:
        answers.append(memory.reserve([], ("r", number, seconds)) is None)
    return answers


def test_a_rate_allows_no_more_than_its_number_in_any_span() -> None:
    times = [0.0, 59.0, 59.5, 60.0, 61.0, 119.0, 119.5]
    assert taken(2, 60, times) == [True, True, False, True, False, True, False]


@given(st.integers(1, 5), st.lists(st.integers(0, 3), max_size=60))
def test_no_span_ever_has_more_signatures_than_the_rate_allows(number: int, pauses: list[int]) -> None:
    times = [float(sum(pauses[:end])) for end in range(len(pauses) + 1)]
    signed: list[float] = []
    for now, room in zip(times, taken(number, 10, times)):
        assert room == (sum(now - time < 10 for time in signed) < number)
        if room:
            signed.append(now)
    assert all(sum(start <= time < start + 10 for time in signed) <= number for start in signed)
