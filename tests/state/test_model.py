"""Whatever happens to processes, boots and limits, the file counts the same as a single process that never ends."""

from __future__ import annotations

import contextlib
from typing import List, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.states import Host, memory_directory

from ordersigner.state.memory import Memory

HOUR, DAY = 3600, 86400

amounts = st.one_of(st.integers(0, 40), st.just(2**255))
limits = st.sampled_from([50, 100, 2**256 - 1])
totals = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([HOUR, DAY]), limits, amounts),
    max_size=3,
    unique_by=lambda total: total[0],
)
rates = st.one_of(st.none(), st.tuples(st.just("r"), st.integers(1, 6), st.sampled_from([1, 60, 3600])))
pauses = st.sampled_from([0, 0, 1, 30, 59, 60, 61, 600, 3000, 40_000, 86_000, 200_000])
events = st.sampled_from(["nothing", "nothing", "nothing", "restart", "reboot"])
steps = st.lists(st.tuples(pauses, events, st.integers(0, 2), totals, rates), min_size=1, max_size=25)

Total = Tuple[str, int, int, int]
Rate = Optional[Tuple[str, int, int]]
Step = Tuple[int, str, int, List[Total], Rate]


@pytest.mark.once
@settings(max_examples=20)
@given(steps)
def test_the_file_counts_as_the_memory_of_one_process_does(
    steps: list[tuple[int, str, int, list[Total], Rate]],
) -> None:
    with memory_directory() as directory, contextlib.ExitStack() as stack:
        host = Host(directory, stack)
        memory = Memory(lambda: host.wall_clock)
        processes = [host.open() for _ in range(3)]
        for pause, event, process, totals, rate in steps:
            host.wait(pause)
            if event == "restart":
                processes[process].close()
                processes[process] = host.open()
            elif event == "reboot":
                for state in processes:
                    state.close()
                host.reboot()
                processes = [host.open() for _ in processes]
            state = processes[process]
            assert state.reserve(totals, rate) == memory.reserve(totals, rate)
            for key, seconds, _, _ in totals:
                assert state.used(key, seconds) == memory.used(key, seconds)
