"""Each promise in docs/trust/security.rst names tests that exist, and that run where all tests must run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import SOURCE
from support.promises import TABLE, promises

pytestmark = pytest.mark.once
SKIPPED = """
import pytest

@pytest.fixture
def machine():
    pytest.skip("no machine here")

@pytest.mark.parametrize("suite", ["one", "two"])
def test_kept(machine, suite): pass

def test_other(machine): pass

@pytest.mark.skip
def test_marked(): pass
"""
PROMISES = """
Promises
--------

.. list-table::

   * - Promise
     - Tests
   * - It is kept.
     - | ``tests/test_some.py::test_kept``
       | ``tests/test_some.py::test_marked``
"""


def pytest_in(directory: Path, *arguments: str, ci: str = "") -> str:
    environment = {**os.environ, "CI": ci, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(SOURCE / "tests")])}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quiet", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False).stdout


def test_every_promise_names_its_tests() -> None:
    assert len(promises()) > 20
    assert [promise for promise, tests in promises().items() if not tests] == []


def test_every_test_that_a_promise_names_is_collected() -> None:
    named = {test for tests in promises().values() for test in tests}
    files = sorted({test.partition("::")[0] for test in named})
    lines = pytest_in(SOURCE, "--collect-only", *files).splitlines()
    assert named - {line.partition("[")[0] for line in lines} == set()


def test_the_table_has_nothing_but_names_of_tests_in_its_second_column() -> None:
    """So a name that is misspelled, or broken over two lines, is not left out."""
    cells = [line.strip() for line in TABLE.read_text().splitlines() if "``tests/" in line]
    assert len(cells) == sum(map(len, promises().values()))


@pytest.mark.parametrize(("ci", "outcome"), [("", "4 skipped"), ("true", "1 skipped, 3 errors")])
def test_in_ci_a_test_that_holds_a_promise_must_not_be_skipped(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "table.rst").write_text(PROMISES)
    (tmp_path / "tests/test_some.py").write_text(SKIPPED)
    plugin = "from pathlib import Path\nfrom support.promises import Promises\n"
    plugin += "def pytest_configure(config): config.pluginmanager.register(Promises(Path('table.rst')))\n"
    (tmp_path / "conftest.py").write_text(plugin)
    output = pytest_in(tmp_path, "-c", os.devnull, f"--rootdir={tmp_path}", ci=ci)
    assert output.splitlines()[-1].startswith(outcome), output
