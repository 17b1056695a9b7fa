"""One tree with the languages' tools for all tests, and a daemon in it that holds a key.

Where no tree can be made the tests are skipped. With CI in the environment they fail instead.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import EXAMPLE, SOURCE, Daemon, standalone
from support.held import MARKET, MESSAGES, ORDERS, address, holding, rule
from support.promises import is_ci

from examples.toolchain import NODE, Toolchain, Unavailable

EXAMPLES = SOURCE / "docs/examples"
# By the names of their files: the key in the JavaScript of the tests, and that of the example order.
KEYS = {"node": 64 * "1", "example": EXAMPLE["request"]["signer"][2:]}
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
OTHER = "0x" + 40 * "5"
CHAINS = (1, 8453)


SECTIONS = """
[hyperliquid trade]
actions = order cancel cancelByCloid modify batchModify updateLeverage updateIsolatedMargin scheduleCancel
assets = 0

[hyperliquid twaps]
actions = twapOrder twapCancel

[hyperliquid vault]
powers = vaultTransfer

[transaction create]
chain = 1
to = none
fee(18) <= 1000000000
"""
ON_A_CHAIN = """
[transaction approve-{0}]
chain = {0}
to = {1}
function = approve(address spender, uint256 amount)
fee(18) <= 1

[transaction send-{0}]
chain = {0}
to = {2}
function = none
fee(18) <= 1
value(18) <= 5
"""


def policy() -> str:
    """A policy that allows everything that the tests sign."""
    text = MARKET + MESSAGES + SECTIONS + "".join(ON_A_CHAIN.format(chain, TOKEN, OTHER) for chain in CHAINS)
    allows = f"{ORDERS}typed = any\nmessages = any\n"
    for kind, setting in {"hyperliquid": "hyperliquid", "transaction": "transactions"}.items():
        allows += f"{setting} = {' '.join(re.findall(rf'^.{kind} (.+)]$', text, re.MULTILINE))}\n"
    return text + rule("examples", *map(address, KEYS.values()), allows=allows)


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    try:
        toolchain = Toolchain(tmp_path_factory.mktemp("project"))
    except Unavailable as error:
        if is_ci():
            pytest.fail(f"the tests of the examples must not be skipped here: {error}")
        pytest.skip(str(error))
    toolchain.put(*EXAMPLES.iterdir(), *NODE.glob("*.mjs"))
    return toolchain


@pytest.fixture
def place(toolchain: Toolchain) -> Iterator[Path]:
    """A directory in which the tree's programs find the sockets that are made there, by inside()."""
    with tempfile.TemporaryDirectory(dir=toolchain.directory) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def holder(place: Path) -> Iterator[Daemon]:
    """A daemon that holds the keys."""
    options = holding(place, KEYS, policy())
    with standalone(place, *options, "--state", str(place)) as running:
        assert "not used" not in running.log
        yield running


def inside(toolchain: Toolchain, path: str | Path) -> str:
    """What the tree's programs call a path in the toolchain's directory."""
    return str(Path("/project") / Path(path).relative_to(toolchain.directory))
