"""Speed, latency, memory and start-up of the daemon, as ratios to the bare libsecp256k1 signature of the same run.

    python tests/programs/benchmark.py                 a daemon from this checkout, without and with a log entry each
    python tests/programs/benchmark.py --connect PATH  the daemon that listens there, for example an installed one
    python tests/programs/benchmark.py --plot DIR      also writes the plots of docs/performance.rst

It never fails because of a figure. Machines are noisy, so compare only figures of one run, or better, medians of
several runs (--runs). All clients are one other process. It costs about five microseconds per request, and the figures
include that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
EXAMPLE = json.loads((TESTS / "vectors" / "example.json").read_text())["request"]
LINES = [
    json.dumps({**EXAMPLE, "order": {**EXAMPLE["order"], "timestamp": 1_575_332_212_506_984 + number}}).encode() + b"\n"
    for number in range(1000)
]
# The same, with the address of a held key, and a policy with one rule that has every limit.
ADDRESS = "0x202a093beaa3b1e52c393ea2c4e2c935b48c0b8e"
HELD_LINES = [line.replace(EXAMPLE["signer"].encode(), ADDRESS.encode()) for line in LINES]
POLICY = f"""
[market LEV/ETH]
base = {EXAMPLE["instrument"]["base"]["address"]} 9
quote = {EXAMPLE["instrument"]["quote"]["address"]} 18

[rule bids]
key = {ADDRESS}
users = {os.getuid()}
accounts = {EXAMPLE["order"]["accountId"]}
markets = LEV/ETH
sides = buy
types = LMT
max-quantity = 50000
min-price = 0.00025
max-price = 25
max-notional = 500
clock = 1000000000
rate = 100000/second
"""
# What may be added to the rule, and to the section below.
TOTAL = "max-total-notional = 1000000000000/day\n"
RATE = "rate = 100000/second\n"
PRICE_LIST_AND_TIME = """
message.buyAmount(6) / message.sellAmount(18) >= 0.000000001
message.sellToken = {sellToken} 0x0000000000000000000000000000000000000000
message.validTo within 1000000000
"""
# An order of CoW Protocol, each time with another amount, and a policy whose rule pins all that it can.
EXCHANGES = json.loads((TESTS / "vectors/typed-data/exchanges.json").read_text())
COW = next(row for row in EXCHANGES if row["name"].startswith("CoW"))
TYPED_DATA = [
    {
        **{key: COW[key] for key in ("types", "primaryType", "domain")},
        "message": {**COW["message"], "sellAmount": str(10**18 + number)},
    }
    for number in range(1000)
]
TYPED_LINES, HELD_TYPED_LINES = (
    [json.dumps({"type": "typed_data", "typed_data": data, "signer": signer}).encode() + b"\n" for data in TYPED_DATA]
    for signer in (EXAMPLE["signer"], ADDRESS)
)
TYPED_POLICY = f"""
[typed cow]
type = {"Order(" + ",".join(f"{field['type']} {field['name']}" for field in COW["types"]["Order"]) + ")"}
domain.name = {COW["domain"]["name"]}
domain.version = {COW["domain"]["version"]}
domain.chainId = {COW["domain"]["chainId"]}
domain.verifyingContract = {COW["domain"]["verifyingContract"]}
message.receiver = {COW["message"]["receiver"]}
message.kind = {COW["message"]["kind"]}
message.sellAmount <= 2000000000000000000
message.buyAmount >= 1

[rule cow-bot]
key = {ADDRESS}
users = {os.getuid()}
typed = cow
"""

# An approval of an ERC-20 token, each time with another nonce, and a policy that pins all but that.
TOKEN, SPENDER = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "0xC92E8bdf79f0507f65a392b0ab4667716BFE0110"
TRANSACTIONS: list[dict[str, Any]] = [
    {
        "type": 2,
        "chainId": 1,
        "nonce": nonce,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerGas": 2 * 10**10,
        "gas": 60_000,
        "to": TOKEN,
        "value": 0,
        "data": f"0x095ea7b3{SPENDER[2:].lower():0>64}{10**9:064x}",
        "accessList": [],
    }
    for nonce in range(1000)
]
TRANSACTION_LINES, HELD_TRANSACTION_LINES = (
    [json.dumps({"type": "transaction", "transaction": one, "signer": signer}).encode() + b"\n" for one in TRANSACTIONS]
    for signer in (EXAMPLE["signer"], ADDRESS)
)
TRANSACTION_POLICY = f"""
[transaction approve]
chain = 1
to = {TOKEN}
function = approve(address spender, uint256 amount)
fee(18) <= 0.01
args.spender = {SPENDER}
args.amount(6) <= 1000

[rule approver]
key = {ADDRESS}
users = {os.getuid()}
transactions = approve
"""

# node runs this with a directory that has ethers and viem, and prints seconds per call of each.
JAVASCRIPT = """
const require = (await import("node:module")).createRequire(process.argv[1] + "/");
const {ethers} = require("ethers"), {privateKeyToAccount} = require("viem/accounts");
const lines = JSON.parse(require("fs").readFileSync(0)), count = Number(process.argv[2]);
const {key, data} = lines, wallet = new ethers.Wallet(key), account = privateKeyToAccount(key);
const signers = {
    ethers: ({types: {EIP712Domain, ...types}, domain, message}) => wallet.signTypedData(domain, types, message),
    viem: data => account.signTypedData(data),
};
const seconds = {};
for (const [name, sign] of Object.entries(signers)) {
    for (let number = 0; number < count; number++) await sign(data[number % data.length]);
    const start = process.hrtime.bigint();
    for (let number = 0; number < count; number++) await sign(data[number % data.length]);
    seconds[name] = Number(process.hrtime.bigint() - start) / 1e9 / count;
}
console.log(JSON.stringify(seconds));
"""
REPLY = 4096  # bytes, more than a response takes
CROWDS = (8, 32, 128)
IDLE = 128  # connections
ENOUGH = 100_000  # signatures, to see whether memory grows
COLD_STARTS = 15
MILLION = 1_000_000

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


class Figures:
    """What one run measured, in that order: a number and its unit by name."""

    def __init__(self, bare: float) -> None:
        self.bare = bare  # seconds
        self.found: dict[str, tuple[float, str]] = {"bare libsecp256k1 signature": (bare * 1e6, "µs")}

    def add(self, name: str, value: float, unit: str) -> None:
        self.found[name] = (value, unit)

    def add_rate(self, name: str, requests: int, seconds: float) -> None:
        self.add(name, requests * self.bare / seconds, "of the bare rate")

    def add_latency(self, name: str, seconds: float) -> None:
        self.add(name, seconds / self.bare, "times the bare signature")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", metavar="PATH", help="measure the daemon that listens at PATH")
    parser.add_argument("--cold", metavar="COMMAND", help="with --connect: also its start; COMMAND stops the service")
    parser.add_argument("--requests", metavar="N", type=int, default=20_000, help="of each kind (default: %(default)s)")
    parser.add_argument("--runs", metavar="N", type=int, default=1, help="print medians of N runs (default: 1)")
    parser.add_argument("--million", action="store_true", help="a million requests of one client instead")
    parser.add_argument(
        "--leverj-ordersigner", metavar="PYTHON", help="also that library, by an interpreter that has it"
    )
    parser.add_argument(
        "--javascript", metavar="DIR", type=Path, help="also ethers and viem: npm install --prefix DIR ethers viem"
    )
    parser.add_argument("--plot", metavar="DIR", type=Path, help="also write plots of the figures into DIR")
    arguments = parser.parse_args()
    if arguments.plot and arguments.million:
        parser.error("--plot does not go together with --million")
    if arguments.cold and not arguments.connect:
        parser.error("--cold is about the service behind --connect")
    runs = []
    for number in range(arguments.runs):
        if sys.stderr.isatty():
            print(f"run {number + 1} of {arguments.runs}", file=sys.stderr)
        runs.append(measure(arguments))
    found = {}
    for name, (_, unit) in runs[0].found.items():
        combined = max if name.endswith("slowest") else statistics.median
        found[name] = combined(run.found[name][0] for run in runs), unit
        print(f"{name:58}{found[name][0]:9.3g} {unit}")
    if arguments.plot:
        from programs import plot

        arguments.plot.mkdir(parents=True, exist_ok=True)
        for file, drawing in plot.plots(found, statistics.median(run.bare for run in runs)).items():
            (arguments.plot / file).write_text(drawing)


def measure(arguments: argparse.Namespace) -> Figures:
    count = arguments.requests
    figures = Figures(bare_signature(count))
    in_process(figures, max(count // 10, 1), arguments.leverj_ordersigner)
    with contextlib.ExitStack() as stack:
        if arguments.connect:
            daemons = [("", arguments.connect, 0)]
        else:
            daemons = [
                (label, *stack.enter_context(daemon(level)))
                for level, label in (("notice", ""), ("info", ", entries on"))
            ]
        for label, path, pid in daemons:
            if arguments.million:
                a_million(figures, path, label)
            else:
                through(figures, path, pid, count, label)
    if not (arguments.connect or arguments.million):
        held_keys(figures, count)
        limits(figures, count)
        typed_data(figures, count, arguments.javascript)
        transactions(figures, count)
    if arguments.cold:
        cold_starts(figures, arguments.connect, shlex.split(arguments.cold))
    elif not arguments.connect:
        starts(figures)
    figures.add("bare signature again, to see how steady the machine was", bare_signature(count) * 1e6, "µs")
    return figures


def timed(function: Callable[[], object], count: int) -> float:
    """Seconds per call, as the median of five batches."""
    batches = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count // 5 or 1):
            function()
        batches.append((time.perf_counter() - start) / (count // 5 or 1))
    return statistics.median(batches)


def bare_signature(count: int) -> float:
    import coincurve

    key = coincurve.PrivateKey(bytes.fromhex(EXAMPLE["signer"][2:]))
    digest = bytes(range(32))
    return timed(lambda: key.sign_recoverable(digest, hasher=None), count)


def in_process(figures: Figures, count: int, leverj_ordersigner: str | None) -> None:
    """What a program does that includes the libraries itself: JSON, packed encoding, digest, signature."""
    from oracles.oracle import sign

    figures.add_rate("in-process eth-account", 1, timed(lambda: sign(json.loads(LINES[0])), count))
    if leverj_ordersigner:
        result = subprocess.run(
            [leverj_ordersigner, "-c", LEVERJ_ORDERSIGNER, str(count)],
            input=b"".join(LINES),
            stdout=subprocess.PIPE,
            check=True,
        )
        figures.add_rate("in-process leverj-ordersigner", 1, float(result.stdout))


def through(figures: Figures, path: str, pid: int, count: int, label: str) -> None:
    """Measure the daemon at `path`, and its memory if `pid` is not 0."""
    lock_step(figures, path, count, f"one client in lock-step{label}")
    with connected(path) as connection:
        figures.add_rate(f"one client pipelining{label}", count, pipelined(connection, count))
    if pid:
        with connected(path) as connection:
            pipelined(connection, ENOUGH)
        figures.add(f"resident after {ENOUGH:,} signatures{label}", resident(pid), "MiB")
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            connection = stack.enter_context(connected(path))
            connection.sendall(LINES[0])
            check(connection.recv(REPLY))
        if pid:
            figures.add(f"resident with {IDLE} idle connections more{label}", resident(pid), "MiB")
        lock_step(figures, path, count, f"one client in lock-step next to {IDLE} idle{label}")
    for clients in CROWDS:
        crowd(figures, path, clients, count, f"{clients} clients{label}")
    if pid:
        figures.add(f"resident after that{label}", resident(pid), "MiB")


def a_million(figures: Figures, path: str, label: str) -> None:
    """One connection signs a million orders; measure each tenth of them."""
    with connected(path) as connection:
        for tenth in range(10):
            seconds = pipelined(connection, MILLION // 10)
            figures.add_rate(f"one client pipelining, tenth {tenth + 1} of a million{label}", MILLION // 10, seconds)


def held_keys(figures: Figures, count: int) -> None:
    """A key that the daemon holds, under a rule with every limit, compared with one that the client sends."""
    with holder(POLICY) as path:
        for label, lines in (("key sent", LINES), ("held key", HELD_LINES)):
            lock_step(figures, path, count, f"{label}: lock-step", lines)
            with connected(path) as connection:
                figures.add_rate(f"{label}: pipelining", count, pipelined(connection, count, lines))
            connecting(figures, path, count // 4 or 1, f"{label}: a connection for each request", lines)


def limits(figures: Figures, count: int) -> None:
    """What limits add to a request with a held key, from its line to its response, in this process and in turns."""
    from support.keys import held

    from ordersigner.peer import Peer
    from ordersigner.policy import reader
    from ordersigner.signing.conversation import Conversation, Service
    from ordersigner.signing.journal import LEVELS, Journal
    from ordersigner.signing.keyring import Keyring
    from ordersigner.state.memory import Memory
    from ordersigner.state.state_file import State

    key = held(EXAMPLE["signer"][2:])
    keyring, peer = Keyring({key.address: key}), Peer(os.getpid(), os.getuid(), os.getgid())

    def signs(policy: str, line: bytes, ledger: Memory | State) -> Callable[[], object]:
        read = reader.read(policy, "policy")
        assert not read.errors, read.errors
        conversation = Conversation(
            Service(Journal(LEVELS["err"], lambda entry, wait: None), keyring, read.policy, ledger=ledger), peer
        )
        check(conversation.respond(line))
        return lambda: conversation.respond(line)

    rule, order = POLICY.replace(RATE, ""), HELD_LINES[0].strip()
    in_a_day = {**TYPED_DATA[0], "message": {**TYPED_DATA[0]["message"], "validTo": int(time.time()) + 86400}}
    cow = json.dumps({"type": "typed_data", "typed_data": in_a_day, "signer": ADDRESS}).encode()
    others = "".join(
        f"[rule other-{number}]\nkey = 0x{number:040x}\nusers = {number + 1}\naccounts = any\nmarkets = LEV/ETH\n"
        for number in range(189)
    )
    conditions = PRICE_LIST_AND_TIME.format(**COW["message"]) + "\n[rule"
    with tempfile.TemporaryDirectory() as directory:
        state = State(directory, "")
        parts = {
            "held key: a rule whose state ends with the process": signs(rule, order, Memory()),
            "more if rules can be frozen": signs(rule, order, state),
            "more if they have a total": signs(rule + TOTAL, order, state),
            "more if they have a rate": signs(rule + RATE, order, state),
            "more among 190 rules": signs(rule + others, order, state),
            "CoW order, held key: two values and two limits": signs(TYPED_POLICY, cow, state),
            "more for a price, a list and a time": signs(TYPED_POLICY.replace("\n[rule", conditions), cow, state),
        }
        less = ("", *[list(parts)[number] for number in (0, 1, 1, 1)], "", list(parts)[5])
        seconds = dict.fromkeys(parts, float("inf"))
        for _ in range(20):
            for name, part in parts.items():
                seconds[name] = min(seconds[name], timed(part, max(count // 100, 1)))
        state.close()
    for (name, each), without in zip(seconds.items(), less):
        figures.add(name, (each - seconds.get(without, 0.0)) * 1e6, "µs")


def typed_data(figures: Figures, count: int, javascript: Path | None) -> None:
    """Typed data, an order of CoW Protocol, through the daemon, and in the program's own process by other libraries."""
    from eth_account import Account

    data = TYPED_DATA[0]
    key = EXAMPLE["signer"]
    seconds = timed(lambda: Account.sign_typed_data(key, full_message=data), max(count // 10, 1))
    figures.add_rate("CoW order: in-process eth-account", 1, seconds)
    if javascript:
        result = subprocess.run(
            ["node", "--input-type=module", "-e", JAVASCRIPT, str(javascript.resolve()), str(max(count // 10, 1))],
            input=json.dumps({"key": key, "data": TYPED_DATA}).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        for library, each in json.loads(result.stdout).items():
            figures.add_rate(f"CoW order: in-process {library}", 1, each)
    with holder(TYPED_POLICY) as path:
        for label, lines in (("key sent", TYPED_LINES), ("held key", HELD_TYPED_LINES)):
            lock_step(figures, path, count, f"CoW order, {label}: lock-step", lines)
            with connected(path) as connection:
                figures.add_rate(f"CoW order, {label}: pipelining", count, pipelined(connection, count, lines))


def transactions(figures: Figures, count: int) -> None:
    """Signed transactions through the daemon, and in the program's own process by eth-account."""
    from eth_account import Account

    key = EXAMPLE["signer"]
    seconds = timed(lambda: Account.sign_transaction(TRANSACTIONS[0], key), max(count // 10, 1))
    figures.add_rate("transaction: in-process eth-account", 1, seconds)
    with holder(TRANSACTION_POLICY) as path:
        for label, lines in (("key sent", TRANSACTION_LINES), ("held key", HELD_TRANSACTION_LINES)):
            lock_step(figures, path, count, f"transaction, {label}: lock-step", lines)
            with connected(path) as connection:
                figures.add_rate(f"transaction, {label}: pipelining", count, pipelined(connection, count, lines))


@contextlib.contextmanager
def holder(policy: str) -> Iterator[str]:
    """Run a daemon that holds the example's key under `policy`. Yields the path of its socket."""
    with tempfile.TemporaryDirectory() as directory:
        key, file = Path(directory, "keys", "example"), Path(directory, "policy")
        key.parent.mkdir(0o700)
        key.touch(0o600)
        key.write_text(EXAMPLE["signer"])
        file.write_text(policy)
        with daemon("notice", "--keys", str(key.parent), "--policy", str(file)) as (path, _):
            yield path


def connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def check(reply: bytes) -> None:
    if b'"ok": false' in reply or not reply:
        raise SystemExit(f"not a signature: {reply!r}")


def lock_step(figures: Figures, path: str, count: int, name: str, lines: list[bytes] = LINES) -> None:
    """One client that sends its next request when it has read the last reply."""
    latencies = []
    with connected(path) as connection:
        for number in range(count):
            begin = time.perf_counter()
            connection.sendall(lines[number % len(lines)])
            check(connection.recv(REPLY))
            latencies.append(time.perf_counter() - begin)
    figures.add_latency(f"{name}, p50", statistics.median(latencies))


def connecting(figures: Figures, path: str, count: int, name: str, lines: list[bytes]) -> None:
    """One client that makes a connection for each request."""
    latencies = []
    for number in range(count):
        begin = time.perf_counter()
        with connected(path) as connection:
            connection.sendall(lines[number % len(lines)])
            check(connection.recv(REPLY))
        latencies.append(time.perf_counter() - begin)
    figures.add_latency(f"{name}, p50", statistics.median(latencies))


def pipelined(connection: socket.socket, count: int, lines: list[bytes] = LINES) -> float:
    """One client with up to a few hundred requests in flight. Returns the seconds for `count` of them."""
    window = 100
    batch = b"".join(lines[:window])
    start = time.perf_counter()
    connection.sendall(batch)
    sent, answered = window, 0
    while answered < count:
        if sent - answered <= window and sent < count:
            connection.sendall(batch)
            sent += window
        chunk = connection.recv(65536)
        check(chunk)
        answered += chunk.count(b"\n")
    return time.perf_counter() - start


def crowd(figures: Figures, path: str, clients: int, count: int, name: str) -> None:
    """Several clients. Each sends its next request when it has read its last reply."""
    latencies = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        sent: dict[socket.socket, float] = {}
        for _ in range(clients):
            connection = stack.enter_context(connected(path))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(LINES[0])
            sent[connection] = time.perf_counter()
        start = time.perf_counter()
        answered = 0
        while answered < count:
            for key, _ in selector.select():
                connection = key.fileobj  # type: ignore[assignment]
                check(connection.recv(REPLY))
                now = time.perf_counter()
                latencies.append(now - sent[connection])
                sent[connection] = now
                connection.sendall(LINES[answered % len(LINES)])
                answered += 1
        figures.add_rate(name, answered, time.perf_counter() - start)
    latencies.sort()
    figures.add_latency(f"{name}, p50", statistics.median(latencies))
    figures.add(f"{name}, p99", latencies[int(len(latencies) * 0.99)] * 1e3, "ms")
    figures.add(f"{name}, slowest", latencies[-1] * 1e3, "ms")


@contextlib.contextmanager
def daemon(level: str, *options: str) -> Iterator[tuple[str, int]]:
    """Run a daemon from this checkout. Yields the path of its socket and its process number."""
    with tempfile.TemporaryDirectory() as directory, open(os.path.join(directory, "log"), "wb") as log:
        path = os.path.join(directory, "socket")
        command = [sys.executable, "-m", "ordersigner", "--socket", path, "--log-level", level, *options]
        process = subprocess.Popen(command, stderr=log, cwd=TESTS.parent)
        while True:
            with contextlib.suppress(OSError):
                connected(path).close()
                break
        try:
            yield path, process.pid
        finally:
            process.terminate()
            process.wait()


def resident(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def starts(figures: Figures) -> None:
    """Time from the start of a daemon from this checkout to its reply to a request that was already waiting."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        figures.add(
            "process start to first reply", statistics.median(start(path) for _ in range(COLD_STARTS)) * 1e3, "ms"
        )


def start(path: str) -> float:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        with connected(path) as client:
            client.sendall(LINES[0])
            begin = time.perf_counter()
            # The shell sets what systemd would: the process number and the descriptor of the socket.
            process = subprocess.Popen(
                [
                    "bash",
                    "-c",
                    f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listener.fileno()}',
                    "bash",
                    sys.executable,
                    "-m",
                    "ordersigner",
                    "--log-level",
                    "warning",
                ],
                pass_fds=[listener.fileno()],
                cwd=TESTS.parent,
            )
            check(client.recv(REPLY))
            elapsed = time.perf_counter() - begin
        process.terminate()
        process.wait()
    os.unlink(path)
    return elapsed


def cold_starts(figures: Figures, path: str, stop: list[str]) -> None:
    """Time from connect() to the reply if the daemon is not running, so that systemd starts it."""
    elapsed = []
    for _ in range(COLD_STARTS):
        subprocess.run(stop, check=True, stderr=subprocess.DEVNULL)  # systemctl warns that a client may start it again
        begin = time.perf_counter()
        with connected(path) as client:
            client.sendall(LINES[0])
            check(client.recv(REPLY))
        elapsed.append(time.perf_counter() - begin)
    figures.add("connect() to first reply of a stopped service", statistics.median(elapsed) * 1e3, "ms")


if __name__ == "__main__":
    main()
