"""What the daemon survives: python tests/programs/faults.py FAULT [--times N]

Each fault happens while clients are at work: in lock-step, pipelining, idle, and with a connection for each request.
They check every response, and count everything that they do not get: see load.py. What must not happen ends the
command. Out: the figures. Needs root, to change the limits of a process that is closed to its user.

    python tests/programs/faults.py kill --times 1000
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

import pytest
from oracles import oracle
from support import held
from support.daemon import (
    EXAMPLE,
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    TIME_LIMIT,
    connect,
    exchange,
    out_of_descriptors,
    out_of_memory,
    read_all,
    standalone,
    wait_until,
)
from support.load import HABITS, HELD, IDLE, LOCK_STEP, PIPELINING, Load, Tally, faithful, holding, policy, questions
from support.manager import Manager, managed
from system.machine import hierarchies

ORDER = EXAMPLE_LINE + b"\n"
CLIENTS = (*HABITS, LOCK_STEP, PIPELINING)
FAITHFUL = faithful(LOCK_STEP, PIPELINING, IDLE)
THREADS = 4 * 2**20  # bytes, less than a thread's stack
LONG_ORDER = EXAMPLE_LINE[:-1] + b" " * 60_000 + b"}\n"


class Unavailable(Exception):
    """This machine lacks what the fault needs."""


def go_on(load: Load, more: int = 200) -> None:
    """Returns when so many more requests have been answered."""
    enough = load.answered() + more
    wait_until(lambda: load.answered() >= enough or load.faults())
    assert load.faults() == []


def pid_of(manager: Manager) -> int:
    assert manager.process is not None
    return manager.process.pid


def wait_for(seconds: float, process: subprocess.Popen[bytes]) -> None:
    """Wait for a random time; fails if the daemon ends before."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        raise AssertionError(f"the daemon ended by itself, with {process.wait(seconds)}")


def entries(manager: Manager) -> int:
    """How many signatures the log has entries for; empties it. Only while no daemon runs."""
    log = manager.log.read_bytes()
    assert b"Traceback" not in log, log.decode()
    os.truncate(manager.log, 0)
    return log.count(b"ordersigner: Signed ")


# The process ends


def kill(directory: Path, times: int) -> str:
    """SIGKILL at random moments. The next process gets the same listening socket, as from systemd."""
    options = holding(directory)
    signed = 0
    with managed(directory, *options) as manager:
        with Load(manager.path, CLIENTS, questions()) as load:
            for number in range(times):
                assert manager.process is not None
                wait_for(random.uniform(0, 0.3), manager.process)
                assert load.faults() == []
                assert manager.stop(signal.SIGKILL) == -signal.SIGKILL
                signed += entries(manager)
                # The next kill also comes before the daemon is ready, every fifth time.
                (manager.launch if number % 5 == 4 else manager.start)(*options)
            go_on(load)
        assert manager.stop() == 0
        signed += entries(manager)
    tally = load.tally.check()
    assert signed >= sum(tally.answered.values()), f"{signed} entries for {tally}"
    return f"{times} kills, {times // 5} of them at any moment of a start; entries: {signed:,}\n{tally}"


def out_of_memory_kill(directory: Path, times: int) -> str:
    """The kernel kills the process because its control group has no memory left."""
    options = holding(directory)
    with contextlib.ExitStack() as stack:
        group, limit = stack.enter_context(memory_group())
        manager = stack.enter_context(managed(directory, *options))
        load = stack.enter_context(Load(manager.path, CLIENTS, questions()))
        (group / limit).write_text(str(2**20))
        for _ in range(times):
            assert manager.process is not None
            # What the process had before counts for another group: only new memory counts here.
            (group / "cgroup.procs").write_text(str(pid_of(manager)))
            with crowd(manager.path):
                assert manager.process.wait(TIME_LIMIT) == -signal.SIGKILL
            manager.start(*options)
            go_on(load)
    return f"{times} kills by the kernel, for lack of memory\n{load.tally.check()}"


@contextlib.contextmanager
def memory_group() -> Iterator[tuple[Path, str]]:
    """A control group, and the name of the file with its limit on memory."""
    for root in (*hierarchies("cgroup2"), *hierarchies("cgroup")):
        group = root / f"ordersigner-faults-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                for limit in ("memory.max", "memory.limit_in_bytes"):
                    if (group / limit).exists():
                        yield group, limit
                        return
            finally:
                wait_until(functools.partial(is_removed, group))
    raise Unavailable("there is no control group for memory here")


def is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # its last process has not ended quite yet
        return False
    return True


@contextlib.contextmanager
def crowd(path: str, size: int = 100) -> Iterator[list[socket.socket]]:
    """Clients that are all in the middle of a long line, or were refused before."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(size):
            clients.append(stack.enter_context(connect(path)))
            clients[-1].setblocking(False)
            with contextlib.suppress(ConnectionError):
                clients[-1].send(LONG_ORDER[:-1])
        yield clients


# The process stands still, or lacks something


def stop(directory: Path, times: int) -> str:
    """SIGSTOP, and SIGCONT after up to two seconds: half of the stops are longer than the time limit for a line.

    Meanwhile new clients connect and ask. No client connects again.
    """
    options = [*holding(directory), "--timeout", "1"]
    waited = 0
    with managed(directory, *options) as manager, Load(manager.path, FAITHFUL, questions()) as load:
        for _ in range(times):
            assert manager.process is not None
            go_on(load, random.randrange(1, 200))
            manager.process.send_signal(signal.SIGSTOP)
            with contextlib.ExitStack() as stack:
                waiting = [stack.enter_context(connect(manager.path)) for _ in range(3)]
                for client in waiting:
                    client.sendall(ORDER)
                wait_for(random.uniform(0, 2), manager.process)
                manager.process.send_signal(signal.SIGCONT)
                for client in waiting:
                    assert client.recv(1000) == EXAMPLE_RESPONSE
                    waited += 1
    assert load.tally.lost == load.tally.ended == 0
    return f"{times} stops; {waited} new clients waited and were answered\n{load.tally.check()}"


def descriptors(directory: Path, times: int) -> str:
    """No descriptor is left. New clients wait, and others do not notice."""
    waited = 0
    with managed(directory, *holding(directory)) as manager, Load(manager.path, FAITHFUL, questions()) as load:
        opened = Path(f"/proc/{pid_of(manager)}/fd")
        usual = len(os.listdir(opened))
        for number in range(times):
            with contextlib.ExitStack() as stack:
                wait_until(lambda: len(os.listdir(opened)) == usual)  # the last new clients are gone
                with out_of_descriptors(pid_of(manager)):
                    waiting = [stack.enter_context(connect(manager.path)) for _ in range(3)]
                    for client in waiting:
                        client.sendall(ORDER)
                    wait_until(lambda number=number: manager.log.read_text().count("Cannot accept") > number)  # type: ignore[misc]
                    go_on(load)
                for client in waiting:
                    assert client.recv(1000) == EXAMPLE_RESPONSE
                    waited += 1
    assert load.tally.lost == load.tally.ended == 0
    return f"{times} times; {waited} new clients waited and were answered\n{load.tally.check()}"


def threads(directory: Path, times: int) -> str:
    """No memory is left for the stack of another thread. New clients are refused, and others do not notice."""
    refused = 0
    with managed(directory, *holding(directory)) as manager, Load(manager.path, FAITHFUL, questions()) as load:
        for _ in range(times):
            with out_of_memory(pid_of(manager), THREADS), crowd(manager.path) as clients:
                go_on(load)
                for client in clients:
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        refused += b"too_many_connections" in client.recv(1000)
            go_on(load)
            with connect(manager.path) as client:
                assert exchange(client, ORDER) == EXAMPLE_RESPONSE
    assert load.tally.lost == load.tally.ended == 0
    return f"{times} times; {refused:,} new clients were refused\n{load.tally.check()}"


def memory(directory: Path, times: int) -> str:
    """No memory is left, and a hundred clients send long lines. Some are cut off, or the daemon has to restart."""
    answered = ended = 0
    with contextlib.ExitStack() as cleanup:
        manager = cleanup.enter_context(contextlib.closing(Manager(directory)))
        restarts = cleanup.enter_context(restarted(manager, *holding(directory)))
        load = cleanup.enter_context(Load(manager.path, (LOCK_STEP, PIPELINING, IDLE), questions()))
        for _ in range(times):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(connect(manager.path)) for _ in range(100)]
                for client in clients:
                    client.sendall(ORDER)
                    assert client.recv(1000) == EXAMPLE_RESPONSE
                with out_of_memory(pid_of(manager), 0):
                    for client in clients:
                        with contextlib.suppress(ConnectionError):
                            client.sendall(LONG_ORDER[:-1])
                    go_on(load)
                for client in clients:
                    with contextlib.suppress(ConnectionError):
                        client.sendall(LONG_ORDER[-1:])
                        client.shutdown(socket.SHUT_WR)
                    said = read_all(client)
                    assert said in (EXAMPLE_RESPONSE, b"")
                    answered += bool(said)
                    ended += not said
            go_on(load)
    figures = f"of the clients with long lines, {answered:,} were answered and {ended:,} cut off"
    return f"{times} times; {figures}; the daemon gave up {len(restarts)} times\n{load.tally.check()}"


@contextlib.contextmanager
def restarted(manager: Manager, *options: str) -> Iterator[list[int]]:
    """The daemon is started, and started again whenever it ends, as by systemd. Gives the exit statuses."""
    statuses: list[int] = []
    stopping = threading.Event()

    def watch() -> None:
        while True:
            assert manager.process is not None
            status = manager.process.wait()
            if stopping.is_set():
                return
            statuses.append(status)
            manager.start(*options)

    manager.start(*options)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield statuses
    finally:
        stopping.set()
        assert manager.process is not None
        manager.process.terminate()
        thread.join()


# The world around it changes


def clock(directory: Path, times: int) -> str:
    """The wall clock jumps by up to a year, back and forth. Limits on the time follow it, rates do not."""
    preload = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if preload is None:
        raise Unavailable("needs libfaketime: apt-get install faketime")
    offset = directory / "offset"
    offset.write_text("+0")
    key = "0x" + "c1" * 32
    rules = [
        held.rule("timed", held.address(key), allows="accounts = any\nmarkets = any\nsides = buy\nclock = 60\n"),
        held.rule("counted", held.address(key), allows="accounts = any\nmarkets = any\nsides = sell\nrate = 3/hour\n"),
    ]
    options = held.holding(directory, {"load": HELD, "clock": key}, policy(os.geteuid()) + "\n".join(rules))
    preloaded = {
        "LD_PRELOAD": str(preload),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }

    def said_about(side: str, seconds: float) -> str:
        """What the daemon says about an order whose timestamp is `seconds` from now: the code, or "" if it signs."""
        timestamp = int((time.time() + seconds) * 1e6)
        request = {**EXAMPLE["request"], "order": {**EXAMPLE["request"]["order"], "side": side, "timestamp": timestamp}}
        line = json.dumps({**request, "signer": held.address(key)}).encode() + b"\n"
        with connect(manager.path) as client:
            answer = json.loads(exchange(client, line))
        if answer["ok"]:
            assert answer["signature"] == oracle.sign({**request, "signer": key})
            return ""
        ((problem,),) = answer["error"]["context"].values()
        return str(problem["code"])

    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(managed(directory, *options, environment=preloaded))
        load = stack.enter_context(Load(manager.path, FAITHFUL, questions()))
        assert [said_about("sell", 0) for _ in range(4)] == ["", "", "", "rate_limited"]
        for _ in range(times):
            jump = random.choice((-1, 1)) * random.randrange(3600, 365 * 86400)
            offset.write_text(f"{jump:+d}")
            assert said_about("buy", jump) == ""
            assert said_about("buy", 0) == "over_limit"
            assert said_about("sell", jump) == "rate_limited"
            go_on(load)
    assert load.tally.lost == load.tally.ended == 0
    return f"{times} jumps\n{load.tally.check()}"


def deleted(directory: Path, times: int) -> str:
    """The file of --socket is deleted. A second daemon takes the path, and then the first is told to end."""
    options = holding(directory)
    path = str(directory / "socket")
    tally = Tally()
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(standalone(directory, *options, path=path))
        for _ in range(times):
            with Load(path, FAITHFUL, questions()) as load:
                os.unlink(path)
                go_on(load)
                with pytest.raises(FileNotFoundError):
                    connect(path)
                after = stack.enter_context(standalone(directory, *options, path=path))
                go_on(load)
            tally.add(load.tally.check())
            assert daemon.stop() == 0
            daemon = after
            assert daemon.ask(ORDER) == EXAMPLE_RESPONSE
    assert tally.lost == tally.ended == 0
    return f"{times} times\n{tally}"


FAULTS = {
    "kill": kill,
    "out-of-memory-kill": out_of_memory_kill,
    "stop": stop,
    "descriptors": descriptors,
    "threads": threads,
    "memory": memory,
    "clock": clock,
    "deleted": deleted,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=FAULTS, metavar="FAULT", help=f"one of: {', '.join(FAULTS)}")
    parser.add_argument("--times", type=int, default=100, metavar="N", help="how often (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        try:
            print(FAULTS[arguments.fault](Path(directory), arguments.times))
        except Unavailable as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
