"""The promises of docs/trust/security.rst, and the tests that hold each.

Promises is a plugin for pytest. With CI in the environment, it makes a test that a promise names fail if it is skipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import SOURCE

TABLE = SOURCE / "docs/trust/security.rst"
TEST = re.compile(r"``(tests/[\w/]+\.py::test_\w+)``")


def promises(table: Path = TABLE) -> dict[str, list[str]]:
    """The names of its tests for each promise, in the section "Promises"."""
    section = re.split(r"^(.+)\n-+\n", table.read_text(), flags=re.MULTILINE)
    rows = re.split(r"^   \* - ", section[section.index("Promises") + 1], flags=re.MULTILINE)[2:]  # without the heading
    return {" ".join(row.partition("\n     - ")[0].split()): TEST.findall(row) for row in rows}


def is_ci() -> bool:
    return os.environ.get("CI", "") not in ("", "0", "false")


class Promises:
    def __init__(self, table: Path = TABLE) -> None:
        self._tests = {test for tests in promises(table).values() for test in tests} if is_ci() else set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        outcome = yield
        report = outcome.get_result()
        if report.skipped and item.nodeid.partition("[")[0] in self._tests:
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} holds a promise of docs/trust/security.rst and must not be skipped: {report.longrepr}"
            )
