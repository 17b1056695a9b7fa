"""How long libraries take to sign in the program's own process, without the daemon: what the benchmark compares with.

In: how many signatures to measure. Out: seconds for one, by library. eth-account signs in this process, ethers and viem
in Node with the versions that tests/examples/node has locked, each one after the other. All three sign the same typed
data and transactions as the daemon's clients do. Raises Missing if Node or npm is missing, and Wrong if two libraries
give different signatures: then their times cannot be compared.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import coincurve
from eth_account import Account
from examples.toolchain import modules
from oracles.oracle import sign

from programs import benchmarked
from programs.benchmarked import KEY

TYPED, TRANSACTION = "typed data", "transaction"

# node runs this in a directory that has ethers and viem. In: a count, and JSON on standard input. Out: for each library
# and each kind of data, seconds for a signature, and the first signature.
JAVASCRIPT = """
const require = (await import("node:module")).createRequire(process.cwd() + "/");
const {ethers} = require("ethers"), {privateKeyToAccount} = require("viem/accounts");
const {key, typed, transactions, count} = JSON.parse(require("fs").readFileSync(0));
const wallet = new ethers.Wallet(key), account = privateKeyToAccount(key);
const big = ({type, value, maxFeePerGas, maxPriorityFeePerGas, gas, ...others}) => ({...others,
    value: BigInt(value), maxFeePerGas: BigInt(maxFeePerGas), maxPriorityFeePerGas: BigInt(maxPriorityFeePerGas),
    gas: BigInt(gas)});
const signers = {
    ethers: {
        "typed data": [typed, ({types: {EIP712Domain, ...types}, domain, message}) =>
            wallet.signTypedData(domain, types, message)],
        transaction: [transactions.map(({gas, ...others}) => ({...others, gasLimit: gas})),
            transaction => wallet.signTransaction(transaction)],
    },
    viem: {
        "typed data": [typed, data => account.signTypedData(data)],
        transaction: [transactions.map(big), transaction => account.signTransaction({type: "eip1559", ...transaction})],
    },
};
const found = {};
for (const [name, kinds] of Object.entries(signers)) {
    found[name] = {};
    for (const [kind, [data, sign]] of Object.entries(kinds)) {
        const signature = await sign(data[0]);
        for (let number = 0; number < count; number++) await sign(data[number % data.length]);
        const start = process.hrtime.bigint();
        for (let number = 0; number < count; number++) await sign(data[number % data.length]);
        found[name][kind] = [Number(process.hrtime.bigint() - start) / 1e9 / count, signature];
    }
}
console.log(JSON.stringify(found));
"""

# Another interpreter runs this and prints seconds per call, because leverj-ordersigner needs older libraries.
LEVERJ_ORDERSIGNER = """
import json, sys, time
from leverj_ordersigner import spot
count, lines = int(sys.argv[1]), sys.stdin.readlines()
spot.sign_order(*map(json.loads(lines[0]).get, ("order", "instrument", "signer")))
start = time.perf_counter()
for number in range(count):
    spot.sign_order(*map(json.loads(lines[number % len(lines)]).get, ("order", "instrument", "signer")))
print((time.perf_counter() - start) / count)
"""


class Missing(Exception):
    """What the measurement needs and this machine lacks."""


class Wrong(Exception):
    """A library signs something else than the others."""


def timed(function: Callable[[], object], count: int) -> float:
    """Seconds of processor time per call, as the median of five batches. Without other load, they are those elapsed."""
    batches = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(count // 5 or 1):
            function()
        batches.append((time.process_time() - start) / (count // 5 or 1))
    return statistics.median(batches)


def libsecp256k1(count: int) -> float:
    """A signature of a digest by libsecp256k1 alone, as coincurve calls it."""
    key = coincurve.PrivateKey(bytes.fromhex(KEY[2:]))
    digest = bytes(range(32))
    return timed(lambda: key.sign_recoverable(digest, hasher=None), count)


def python(count: int) -> dict[tuple[str, str], float]:
    """By kind and library: eth-account, with coincurve as in the daemon, and as pip installs it, without."""
    typed, transaction = _typed(0), _transaction(0)
    tasks: dict[str, Callable[[], object]] = {
        "order": lambda: sign(json.loads(benchmarked.ORDERS[0])),  # with the reading of its JSON
        TYPED: lambda: Account.sign_typed_data(KEY, full_message=typed),
        TRANSACTION: lambda: Account.sign_transaction(transaction, KEY),
    }
    found = {}
    for library, backend, times in (
        ("eth-account", "CoinCurveECCBackend", count),
        ("eth-account without coincurve", "NativeECCBackend", max(count // 10, 1)),
    ):
        before = os.environ.get("ECC_BACKEND_CLASS")
        os.environ["ECC_BACKEND_CLASS"] = f"eth_keys.backends.{backend}"  # eth-keys reads it for each key
        try:
            found.update({(kind, library): timed(task, times) for kind, task in tasks.items()})
        finally:
            os.environ.pop("ECC_BACKEND_CLASS")
            os.environ.update({"ECC_BACKEND_CLASS": before} if before else {})
    return found


def javascript(count: int) -> dict[tuple[str, str], float]:
    """By kind and library: ethers and viem."""
    different = range(benchmarked.DIFFERENT)
    content = {
        "key": KEY,
        "typed": [_typed(number) for number in different],
        "transactions": [_transaction(number) for number in different],
        "count": count,
    }
    command = ["node", "--input-type=module", "--eval", JAVASCRIPT]
    result = subprocess.run(
        command, input=json.dumps(content).encode(), stdout=subprocess.PIPE, check=True, cwd=_modules().parent
    )
    signed = {
        TYPED: Account.sign_typed_data(KEY, full_message=_typed(0)).signature,
        TRANSACTION: Account.sign_transaction(_transaction(0), KEY).raw_transaction,
    }
    found = {}
    for library, kinds in json.loads(result.stdout).items():
        for kind, (seconds, signature) in kinds.items():
            if signature != "0x" + bytes(signed[kind]).hex():
                raise Wrong(f"{library} signs {signature} for a {kind}, and eth-account {bytes(signed[kind]).hex()}")
            found[kind, library] = seconds
    return found


def leverj_ordersigner(interpreter: str, count: int) -> float:
    command = [interpreter, "-c", LEVERJ_ORDERSIGNER, str(count)]
    result = subprocess.run(command, input=b"".join(benchmarked.ORDERS), stdout=subprocess.PIPE, check=True)
    return float(result.stdout)


def versions() -> dict[str, str]:
    """Of what python() runs."""
    return {name: version(name) for name in ("coincurve", "eth-account", "eth-keys")}


def javascript_versions() -> dict[str, str]:
    """Of what javascript() runs."""
    node = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    installed = {
        name: str(json.loads((_modules() / name / "package.json").read_text())["version"])
        for name in ("ethers", "viem")
    }
    return {"node": node.lstrip("v"), **installed}


def _modules() -> Path:
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise Missing(f"ethers and viem need {' and '.join(missing)}")
    return modules()


def _typed(number: int) -> dict[str, Any]:
    typed: dict[str, Any] = benchmarked.cow(number)["typed_data"]
    return typed


def _transaction(number: int) -> dict[str, Any]:
    transaction: dict[str, Any] = benchmarked.transaction(number)["transaction"]
    return transaction
