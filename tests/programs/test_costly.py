"""The lines that costly.py makes are lines, and each is answered."""

from __future__ import annotations

import itertools
import random

import pytest

from ordersigner.serving.framing import MAX_LINE
from programs import costly

pytestmark = pytest.mark.once


@pytest.mark.parametrize("kind", costly.KINDS)
def test_every_kind_makes_lines_and_each_is_answered(kind: str) -> None:
    lines = [costly.KINDS[kind](*sizes) for sizes in itertools.product((0, 7, 700), repeat=3)]
    fitting = {line for line in lines if len(line) <= MAX_LINE and b"\n" not in line}
    assert len(fitting) >= 3
    for line in fitting:
        costly.milliseconds(line)  # which fails where the daemon does
    assert costly.milliseconds(max(fitting, key=len)) > 0


def test_a_search_ends_with_its_slowest_line() -> None:
    found = costly.search("actions", 1.0, random.Random(1))
    assert found.milliseconds > 0
    assert found.line == costly.KINDS["actions"](*found.sizes)
