"""What docs/examples has for Node, with Debian's Node and npm's libraries."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import tempfile
from pathlib import Path

import pytest
from support.daemon import EXAMPLE, Daemon
from support.held import address, holding
from support.manager import managed
from support.servers import FullServer, signature, well_behaved
from support.tabs import samples

from examples.conftest import KEYS, inside, policy
from examples.toolchain import NODE, Toolchain


@pytest.mark.parametrize("name", sorted(path.name for path in NODE.glob("*.test.mjs")))
def test_node_finds_no_fault(toolchain: Toolchain, holder: Daemon, name: str) -> None:
    """Runs the tests of this file, which are written for Node."""
    node = ("node", "--test", "--test-reporter=tap", "--test-timeout=60000")
    output = toolchain.run(*node, name, socket=inside(toolchain, holder.path))
    passed = re.search(r"^# pass (\d+)$", output, re.MULTILINE)
    assert passed
    assert int(passed[1]) >= len(re.findall(r"^ *test\(", (NODE / name).read_text(), re.MULTILINE)) > 0, output


def test_a_program_ends_when_nothing_waits_though_it_does_not_close_the_client(
    toolchain: Toolchain, holder: Daemon
) -> None:
    program = 'import { Client } from "./ordersigner.mjs"; console.log(await new Client().ask({ type: "ping" }));'
    command = ("timeout", "20", "node", "--input-type=module", "--eval", program)
    assert "ok: true" in toolchain.run(*command, socket=inside(toolchain, holder.path))


def test_a_user_who_may_not_connect_is_told_what_to_do(toolchain: Toolchain, holder: Daemon) -> None:
    program = 'import { Client } from "./ordersigner.mjs"; await new Client().ask({ type: "ping" });'
    command = ("node", "--input-type=module", "--eval", program)
    said = toolchain.run(*command, socket=inside(toolchain, holder.path), user=1000, status=1)
    assert "(EACCES): this user may not connect there" in said


def test_a_client_gets_in_when_those_who_wait_to_connect_are_fewer(
    toolchain: Toolchain, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    program = (
        'import { Client } from "./ordersigner.mjs"; const client = new Client(); const asked = client.sign({ id: 5 });'
        "await new Client({ timeout: 200 }).sign({ id: 6 }).catch((error) => console.log(error.message));"
        "console.log(await asked);"
    )
    with FullServer(well_behaved) as server:
        socket = inside(toolchain, server.path)
        with toolchain.started("node", "--input-type=module", "--eval", program, socket=socket) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{socket}: too many clients are waiting\n"
            server.make_room()
            assert process.stdout.readline() == f"{signature(5)}\n"


def test_restarts_of_the_daemon_cost_no_call(toolchain: Toolchain, place: Path) -> None:
    """A service manager keeps the socket. Half of the restarts kill the daemon in the middle of its work."""
    options = holding(place, KEYS, policy())
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(managed(place, *options, keeps=0))
        load = stack.enter_context(toolchain.started("node", "load.mjs", socket=inside(toolchain, manager.path)))
        assert load.stdin is not None
        assert load.stdout is not None
        for number in range(6):
            assert load.stdout.readline() == "working\n"  # it has had 1,000 more signatures
            manager.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
            manager.start(*options)
            load.stdin.write("go on\n")
            load.stdin.flush()
        load.stdin.close()
        *_, last = load.stdout.read().splitlines()
    ended = json.loads(last)
    assert ended["wrong"] == []
    assert ended["right"] > 6000


def test_the_sample_of_the_first_page_signs(toolchain: Toolchain, holder: Daemon, tmp_path: Path) -> None:
    request = EXAMPLE["request"]
    (tmp_path / "order.json").write_text(json.dumps({**request, "signer": address(request["signer"])}))
    toolchain.put(tmp_path / "order.json")
    socket = inside(toolchain, holder.path)
    printed = toolchain.run("node", "--input-type=module", "--eval", samples()["Node"], socket=socket)
    assert printed.strip() == EXAMPLE["expect"]["signature"]
