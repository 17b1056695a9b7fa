"""The map in ordersigner/__init__.py is true: no part imports what its line does not name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ordersigner

PACKAGE = Path(ordersigner.__file__).parent
MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in PACKAGE.rglob("*.py")}
ROWS = [re.split("  +", line.strip()) for line in str(ordersigner.__doc__).splitlines() if line.startswith("    ")]
SHARED = next(row[2] for row in ROWS if row[0] == "shared").split(": ")[1].split()
PARTS = {row[0]: set(row[1].split()) - {"-"} for row in ROWS if len(row) == 3 and row[0] not in ("part", "shared")}
KNOWN_IN = {name: set(row[1].split()) for row in ROWS if len(row) == 2 for name in row[0].split()}


def imports(module: str) -> Iterator[str]:
    """The modules that a module imports, at any depth of its code, and "open" if it opens files."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Name) and node.id == "open":
            yield node.id


def test_the_map_names_every_part() -> None:
    assert {module.split("/")[0] for module in MODULES} - {"__init__", "__main__"} == {*PARTS, *SHARED}


def test_no_test_waits_for_a_time() -> None:
    """It waits for a condition, with wait_until(). asyncio.sleep(0) only lets other tasks run."""
    found = [
        f"{file}:{node.lineno}"
        for file in Path(__file__).parent.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "sleep"
        and getattr(node.args[0], "value", None) != 0
    ]
    assert found == []


def test_a_part_imports_only_what_its_line_names() -> None:
    for module in MODULES.keys() - {"__main__"}:
        part = module.split("/")[0]
        ours = {name.split(".")[1] for name in imports(module) if name.split(".")[0] == "ordersigner"}
        assert ours - {part, "__version__"} <= PARTS.get(part, set()) | set(SHARED), module


def test_a_module_is_known_only_in_the_parts_that_its_line_names() -> None:
    for module in MODULES:
        for name in {name.split(".")[0] for name in imports(module)} & KNOWN_IN.keys():
            assert KNOWN_IN[name] & {module, module.split("/")[0]}, (module, name)


def test_no_imports_go_in_a_circle() -> None:
    parts = dict(PARTS)
    for _ in PARTS:
        for part in [part for part, below in parts.items() if not below & parts.keys()]:
            del parts[part]
    assert parts == {}


@pytest.mark.once
def test_a_daemon_that_serves_has_no_module_that_only_other_tasks_need() -> None:
    """Each costs every start milliseconds, and memory for as long as the daemon runs.

    With other versions of Python, the libraries themselves need some of them.
    """
    others = {"pathlib", "traceback", "textwrap", "urllib", "ordersigner.daemon.check", "ordersigner.daemon.trial"}
    command = "import sys, ordersigner.daemon.main; print(*sys.modules)"
    # Without the site's own modules, which may need some of them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])}
    loaded = subprocess.check_output([sys.executable, "-S", "-c", command], env=environment, text=True).split()
    assert "ordersigner.daemon.main" in loaded
    assert not others & set(loaded)
