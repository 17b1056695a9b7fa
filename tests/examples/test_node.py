"""What docs/examples has for Node, with Debian's Node and npm's libraries."""

from __future__ import annotations

import re

import pytest
from support.daemon import Daemon

from examples.conftest import inside
from examples.toolchain import NODE, Toolchain


@pytest.mark.parametrize("name", sorted(path.name for path in NODE.glob("*.test.mjs")))
def test_node_finds_no_fault(toolchain: Toolchain, holder: Daemon, name: str) -> None:
    """The tests that this file has for Node itself."""
    output = toolchain.run("node", "--test", "--test-reporter=tap", name, socket=inside(toolchain, holder.path))
    passed = re.search(r"^# pass (\d+)$", output, re.MULTILINE)
    assert passed
    assert int(passed[1]) == len(re.findall(r"^ *test\(", (NODE / name).read_text(), re.MULTILINE)) > 0, output
