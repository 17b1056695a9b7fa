"""Speed, latency, memory and start-up of the daemon, as ratios to the bare libsecp256k1 signature of the same run.

    python tests/benchmark.py                       a daemon of this checkout, without and with an entry a signature
    python tests/benchmark.py --connect PATH        the daemon that listens there, an installed one say

There is no pass or fail in it: machines are noisy, so only what one run compares is worth reading. All clients are
one other process, which costs the machine some five microseconds a request that the figures include.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
EXAMPLE = json.loads((HERE / "vectors" / "example.json").read_text())["request"]
LINES = [
    json.dumps({**EXAMPLE, "order": {**EXAMPLE["order"], "timestamp": 1_575_332_212_506_984 + number}}).encode() + b"\n"
    for number in range(1000)
]
REPLY = 4096  # bytes, more than a response takes
CLIENTS = (8, 32, 128)


class Result(NamedTuple):
    """One row. latencies: seconds, one a request; none where requests do not wait for each other."""

    name: str
    requests: int
    seconds: float
    latencies: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", metavar="PATH", help="measure the daemon that listens at PATH")
    parser.add_argument("--requests", metavar="N", type=int, default=20_000, help="per row (default: %(default)s)")
    arguments = parser.parse_args()
    count = arguments.requests

    bare = bare_signature(count)
    print(f"bare libsecp256k1 signature, through coincurve: {bare * 1e6:.1f} µs = 1.00\n")
    rows = [in_process_eth_account(max(count // 10, 1))]
    if arguments.connect:
        rows += through(arguments.connect, count, "")
        report(rows, bare)
        return
    for level, label in (("notice", ""), ("info", ", entries on")):
        with daemon(level) as (path, pid):
            rows += through(path, count, label)
            print(f"resident memory{label}: {resident(pid, path)}")
    print(f"process start to first reply: {statistics.median(start_to_first_reply() for _ in range(9)) * 1e3:.0f} ms\n")
    report(rows, bare)
    again = bare_signature(count)
    print(f"\nbare signature again, to see how steady the machine was: {again * 1e6:.1f} µs = {bare / again:.2f}")


def report(rows: list[Result], bare: float) -> None:
    print(f"{'':38}{'of bare':>8}{'per s':>9}{'p50 µs':>9}{'p99 µs':>9}{'max µs':>9}{'p50/bare':>10}")
    for name, requests, seconds, latencies in rows:
        line = f"{name:38}{bare * requests / seconds:8.2f}{requests / seconds:9.0f}"
        if latencies:
            latencies.sort()
            p50, p99, worst = (latencies[int(len(latencies) * share)] for share in (0.5, 0.99, 0.999999))
            line += f"{p50 * 1e6:9.0f}{p99 * 1e6:9.0f}{worst * 1e6:9.0f}{p50 / bare:10.1f}"
        print(line)


def timed(function: Callable[[], object], count: int) -> float:
    """Seconds a call, the median of five batches."""
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


def in_process_eth_account(count: int) -> Result:
    """What a program would do that carries the libraries itself: JSON, packed encoding, digest, signature."""
    from oracle import sign

    seconds = timed(lambda: sign(json.loads(LINES[0])), count)
    return Result("in-process eth-account", count, seconds * count, [])


def through(path: str, count: int, label: str) -> list[Result]:
    """All rows that go through the daemon at `path`."""
    return [
        closed_loop(path, 1, count, f"one client in lock-step{label}"),
        pipelining(path, count, f"one client pipelining{label}"),
        *(closed_loop(path, clients, count, f"{clients} clients{label}") for clients in CLIENTS),
    ]


def connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def lock_step(path: str, count: int, name: str) -> Result:
    """One client that sends its next request when it has the reply to the last."""
    latencies = []
    with connected(path) as connection:
        start = time.perf_counter()
        for number in range(count):
            begin = time.perf_counter()
            connection.sendall(LINES[number % len(LINES)])
            check(connection.recv(REPLY))
            latencies.append(time.perf_counter() - begin)
        return Result(name, count, time.perf_counter() - start, latencies)


def closed_loop(path: str, clients: int, count: int, name: str) -> Result:
    """Clients that each send their next request when they have the reply to their last."""
    if clients == 1:
        return lock_step(path, count, name)
    latencies = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        sent: dict[socket.socket, float] = {}
        for _ in range(clients):
            connection = stack.enter_context(connected(path))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(LINES[0])
            sent[connection] = time.perf_counter()
        for _ in range(clients):  # every thread has been started before the clock is
            selector.select()
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
        return Result(name, answered, time.perf_counter() - start, latencies)


def pipelining(path: str, count: int, name: str) -> Result:
    """One client that keeps a few hundred requests on their way."""
    window = 100
    batch = b"".join(LINES[:window])
    with connected(path) as connection:
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
        return Result(name, answered, time.perf_counter() - start, [])


def check(reply: bytes) -> None:
    if b'"ok": false' in reply or not reply:
        raise SystemExit(f"not a signature: {reply!r}")


@contextlib.contextmanager
def daemon(level: str) -> Iterator[tuple[str, int]]:
    """A daemon of this checkout: its socket's path and its process number."""
    with tempfile.TemporaryDirectory() as directory, open(os.path.join(directory, "log"), "wb") as log:
        path = os.path.join(directory, "socket")
        process = subprocess.Popen(
            [sys.executable, "-m", "ordersigner", "--socket", path, "--log-level", level], stderr=log, cwd=HERE.parent
        )
        while True:
            with contextlib.suppress(OSError):
                connected(path).close()
                break
        try:
            yield path, process.pid
        finally:
            process.terminate()
            process.wait()


def resident(pid: int, path: str) -> str:
    """Of a daemon that has been at work, without clients and with 128 idle ones."""

    def mebibytes() -> float:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    before = mebibytes()
    with contextlib.ExitStack() as stack:
        for _ in range(128):
            connection = stack.enter_context(connected(path))
            connection.sendall(LINES[0])
            connection.recv(REPLY)
        return f"{before:.1f} MiB, with 128 idle clients {mebibytes():.1f} MiB"


def start_to_first_reply() -> float:
    """Seconds from the daemon's start to its reply to a request that waited, as it is with socket activation."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = os.path.join(directory, "socket")
        listener.bind(path)
        listener.listen()
        with connected(path) as client:
            client.sendall(LINES[0])
            start = time.perf_counter()
            # The shell gives the process that becomes the daemon its own number and the descriptor that systemd would.
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
                cwd=HERE.parent,
            )
            check(client.recv(REPLY))
            elapsed = time.perf_counter() - start
        process.terminate()
        process.wait()
        return elapsed


if __name__ == "__main__":
    main()
