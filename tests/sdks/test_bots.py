"""Where a bot's key is after 1,000 orders: everywhere if the bot was given it, and nowhere if the daemon holds it.

bots/ has a bot for each adapter. Each runs twice, with the private key and with its address, and signs the same. While
it still runs, this looks for the key in its memory, in what /proc shows of it, in its files, in what it printed and in
the daemon's journal. If a bot has the private key, it must be found in each of these places but the journal: so a
search that does not work fails here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sides import Sides, both_sides
from support.daemon import DEFAULT_SIGNALS, SOURCE, TIME_LIMIT, wait_until
from support.forms import found
from system.thieves.processes import mappings
from test_polymarket import answers
from venue import Venue

from ordersigner import sdks
from ordersigner.keccak import keccak_256

# By file of adapters. Each has one.
BOTS: dict[str, tuple[str, ...]] = {
    "eth_account": ("eth_account_orders", "polymarket_orders", "web3_transactions"),
    "ccxt": ("ccxt_orders",),
    "cow": ("cow_orders",),
    "derive": ("derive_orders",),
    "hummingbot": (),  # is not in this environment
    "hyperliquid": ("hyperliquid_orders",),
    "polymarket": ("clob_v1_orders", "clob_v2_orders"),
    "safe": ("safe_transactions",),
}
SLOW = 600.0  # seconds for all orders of a bot, on a busy machine
OTHER = "0x" + 40 * "5"
SECTIONS = f"""
[hyperliquid orders]
actions = order
network = testnet

[transaction ether]
chain = 5
to = {OTHER}
function = none
value(18) <= 1
fee(18) <= 1
"""
NODE: dict[str, Any] = {
    "eth_chainId": "0x5",
    "eth_getBlockByNumber": {"number": "0x1", "gasLimit": "0x1c9c380", "baseFeePerGas": hex(10**9)},
}
ALLOWS = "hyperliquid = orders\ntransactions = ether\n"


def node(asked: Any) -> Any:
    """A node's JSON-RPC, and what Hyperliquid says to all actions."""
    if not isinstance(asked, dict) or "method" not in asked:
        return {"status": "ok"}
    if asked["method"] == "eth_sendRawTransaction":
        return {
            "jsonrpc": "2.0",
            "id": asked["id"],
            "result": "0x" + keccak_256(bytes.fromhex(asked["params"][0][2:])).hex(),
        }
    return {"jsonrpc": "2.0", "id": asked["id"], "result": NODE[asked["method"]]}


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    with both_sides(request.node.nodeid, tmp_path, monkeypatch, SECTIONS, ALLOWS) as sides:
        yield sides


def places(process: int, home: Path) -> dict[str, bytes]:
    """The data of a bot that others can see, by place."""
    files = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    shown = {name: Path(f"/proc/{process}/{name}").read_bytes() for name in ("environ", "cmdline")}
    descriptors = [f"/proc/{process}/fd/{number}" for number in os.listdir(f"/proc/{process}/fd")]
    opened = b"".join(Path(path).read_bytes() for path in descriptors if os.path.isfile(path))
    return {"memory": b"".join(memory(process)), "open files": opened, **shown, **files}


def memory(process: int) -> Iterator[bytes]:
    with open(f"/proc/{process}/mem", "rb", buffering=0) as content:
        for start, size in mappings(str(process)):
            content.seek(start)
            try:
                yield content.read(size) or b""
            except OSError:  # the kernel's own pages
                pass


def run(bot: Path, signer: str, home: Path, url: str) -> tuple[dict[str, bytes], list[str]]:
    """The data of a bot after its last order, by place, and its orders."""
    home.mkdir()
    (home / ".env").write_text(f"SIGNER={signer}\nURL={url}\n")
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "SIGNER": signer}
    environment["ORDERSIGNER_SOCKET"] = os.environ["ORDERSIGNER_SOCKET"]
    with open(home / "printed", "wb") as printed, subprocess.Popen(
        [*DEFAULT_SIGNALS, sys.executable, str(bot), signer],
        stdin=subprocess.PIPE,
        stdout=printed,
        stderr=subprocess.STDOUT,
        env=environment,
    ) as process:
        try:
            said = home / "printed"
            wait_until(lambda: process.poll() is not None or said.read_text().endswith("\nsigned\n"), SLOW)
            assert process.poll() is None, said.read_text()
            seen = places(process.pid, home)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(TIME_LIMIT) == 0
        finally:
            process.kill()
    return seen, (home / "orders").read_text().splitlines()


@pytest.mark.parametrize("name", [name for file in sdks.FILES for name in BOTS[file]])
def test_the_key_is_nowhere_after_a_thousand_orders(sides: Sides, name: str, tmp_path: Path) -> None:
    bot = SOURCE / f"tests/sdks/bots/{name}.py"
    venues = [Venue({**answers(2, False), "/": node}) for _ in range(2)]
    with venues[0].running(), venues[1].running(), ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(run, bot, signer, tmp_path / home, venue.url)
            for home, signer, venue in zip(("robbed", "safe"), (sides.key, sides.address), venues)
        ]
        (robbed, orders), (safe, same_orders) = (each.result() for each in runs)
    sent, same_sent = ([(request.path, request.body) for request in venue.sent] for venue in venues)
    assert len(orders) == 1000
    assert len({*orders, *map(str, sent)}) >= 1000  # a bot that sends its orders writes the venue's answers
    assert orders == same_orders
    assert sent == same_sent
    journal = sides.daemon.log
    assert len(re.findall("^ordersigner: Signed ", journal, re.MULTILINE)) >= 1000

    wanted = {"memory", "open files", "environ", "cmdline", ".env", "bot.log", "printed"}
    assert {place for place, content in robbed.items() if found(content, sides.key)} >= wanted
    assert {"hex", "bytes"} <= found(robbed["memory"], sides.key)
    assert {place: found(content, sides.key) for place, content in safe.items() if found(content, sides.key)} == {}
    assert {place for place, content in safe.items() if sides.address.encode() in content} >= wanted
    assert found(journal.encode(), sides.key) == set()
    assert sides.address.lower() in journal
