"""One tree with the languages' tools for all tests, and a daemon in it that holds a key.

Where no tree can be made the tests are skipped. With CI in the environment they fail instead.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import EXAMPLE, SOURCE, Daemon, standalone
from support.held import MARKET, MESSAGES, ORDERS, address, holding, rule
from support.promises import is_ci

from examples.toolchain import NODE, Toolchain, Unavailable

EXAMPLES = SOURCE / "docs/examples"
# By the names of their files: the one that the JavaScript of the tests has, and that of the order that everybody tries.
KEYS = {"node": 64 * "1", "example": EXAMPLE["request"]["signer"][2:]}
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
OTHER = "0x" + 40 * "5"
CHAINS = (1, 8453)


def sections() -> Iterator[tuple[str, str]]:
    """What the tests of libraries have signed, besides typed data and messages: kinds and names, and their settings."""
    yield (
        "hyperliquid trade",
        "actions = order cancel cancelByCloid modify batchModify updateLeverage updateIsolatedMargin scheduleCancel"
        " twapOrder twapCancel\nassets = 0\n",
    )
    yield "hyperliquid vault", "powers = vaultTransfer\n"
    for chain in CHAINS:
        yield (
            f"transaction approve-{chain}",
            f"chain = {chain}\nto = {TOKEN}\nfunction = approve(address spender, uint256 amount)\nfee(18) <= 1\n",
        )
        yield (
            f"transaction send-{chain}",
            f"chain = {chain}\nto = {OTHER}\nfunction = none\nfee(18) <= 1\nvalue(18) <= 5\n",
        )
    yield "transaction create", "chain = 1\nto = none\nfee <= 1000000000000000000000000000\n"


def policy() -> str:
    written = dict(sections())
    lists: dict[str, list[str]] = {"hyperliquid": [], "transaction": []}
    for section in written:
        kind, name = section.split()
        lists[kind].append(name)
    allows = f"{ORDERS}typed = any\nmessages = any\nhyperliquid = {' '.join(lists['hyperliquid'])}\n"
    allows += f"transactions = {' '.join(lists['transaction'])}\n"
    text = "".join(f"\n[{section}]\n{settings}" for section, settings in written.items())
    return MARKET + MESSAGES + text + rule("examples", *map(address, KEYS.values()), allows=allows)


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
