"""Speed, latency, processor time and memory of the daemon. The unit of time is a signature by libsecp256k1 alone.

    python tests/programs/benchmark.py                 the daemon of this checkout
    python tests/programs/benchmark.py --against DIR   the same, alternating with an earlier release
    python tests/programs/benchmark.py --connect PATH  the daemon that listens there, for example an installed one
    python tests/programs/benchmark.py --only WORD     only the rows whose name contains that word
    python tests/programs/benchmark.py --against DIR --docs   all that docs/trust/performance.rst shows

It never fails because of a figure. The processor time of the daemon hardly moves with the other load of a machine; the
rest does, so compare only figures of one run, or better, medians of several runs (--runs). All clients are one other
process. It costs about five microseconds per request, and rates and latencies include that.

DIR is a checkout of the earlier release (git worktree add DIR TAG), a directory that pip install --target filled, or a
virtual environment where it is installed. What it cannot do is left out, and named below the table.

With --docs it measures hostile clients (hostile.py), the longest work for a line (costly.py), ethers and viem
(libraries.py, which needs node and npm) as well, and writes figures, tables and plots (plot.py). That takes about ten
minutes on a machine with two processors that does nothing else. A shorter run gives a draft, which no release accepts.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import platform
import random
import re
import selectors
import shlex
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).resolve().parents[1]
SOURCE = TESTS.parent
sys.path[:0] = [str(SOURCE), str(TESTS)]

from support import held

from programs import benchmarked, costly, hostile, libraries, plot
from programs.benchmarked import Row, Setup
from programs.libraries import libsecp256k1

LINES = benchmarked.ORDERS
PING = b'{"type": "ping"}\n'
REPLY = 4096  # bytes, more than a response takes
WINDOW = 100  # requests that a pipelining client sends together, while as many are on their way
PATIENCE = 60  # seconds until a daemon that does not answer counts as hung
COLD_STARTS = 15
MILLION = 1_000_000

# What the figures of the documentation take at least; less is a draft.
REQUESTS, RUNS = 3000, 3
CROWD_SECONDS, CROWD_ROUNDS = 1.0, 2  # for each client next to each hostile crowd
COSTLY_SECONDS = 2.0  # to look for the longest work of each kind

# Units of figures.
RATE = "of the rate of libsecp256k1 alone"
TIME = "times libsecp256k1 alone"
PROCESSOR = "times libsecp256k1 alone, of processor time"

# The least that a server in Python can do for one client. Arguments: --socket PATH.
FLOOR = """
import os, socket, sys
from ordersigner.peer import Peer
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[2])
listener.listen()
service = Service(Journal(LEVELS["err"], lambda entry, wait: None))
while True:
    connection, _ = listener.accept()
    conversation = Conversation(service, Peer(os.getpid(), os.getuid(), os.getgid()))
    while line := connection.recv(65536):
        connection.sendall(conversation.respond(line[:-1]))
"""


class Cannot(Exception):
    """A daemon does not start with the options of a setup, or refuses the first request of a row."""


class Figures:
    """What the runs measured. found: by row and measure, the unit, and for each release a number of each run."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], tuple[str, list[list[float]]]] = {}
        self.left_out: dict[str, list[str]] = {}  # by reason, rows that the earlier release has not

    def add(self, row: str, measure: str, value: float, unit: str, release: int = 0) -> None:
        self.found.setdefault((row, measure), (unit, [[], []]))[1][release].append(value)

    def leave_out(self, row: str, reason: str) -> None:
        rows = self.left_out.setdefault(reason, [])
        rows += [row] if row not in rows else []

    def medians(self) -> list[dict[str, Any]]:
        """As in the file of the result: "value" is of this release, "earlier" of the earlier one, or null."""
        combined = []
        for (row, measure), (unit, (ours, earlier)) in self.found.items():
            typical = max if measure in ("slowest", "longest time") else statistics.median
            values = {"value": typical(ours), "earlier": typical(earlier) if earlier else None}
            combined.append({"row": row, "measure": measure, "unit": unit, **values})
        return combined


class Release(NamedTuple):
    """Something to measure. command: what starts its daemon."""

    command: list[str]
    directory: Path

    @classmethod
    def at(cls, directory: Path) -> Release:
        if (directory / "ordersigner/__init__.py").exists():
            return cls([sys.executable, "-m", "ordersigner"], directory)
        if (directory / "bin/ordersignerd").exists():
            return cls([str(directory / "bin/ordersignerd")], directory)
        raise SystemExit(f"benchmark: {directory} has neither ordersigner/__init__.py nor bin/ordersignerd")

    def environment(self) -> dict[str, str]:
        """In which its modules are found before others, such as an installed release."""
        path = {"PYTHONPATH": str(self.directory)} if self.command[0] == sys.executable else {}
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NOTIFY_SOCKET")}
        return {**inherited, **path}

    def version(self) -> str:
        command = [*self.command, "--version"]
        printed = subprocess.run(
            command, cwd=self.directory, env=self.environment(), stdout=subprocess.PIPE, check=True, text=True
        )
        return printed.stdout.split()[-1]

    def commit(self) -> str:
        """Of a checkout; with "+" if the package was changed since. Empty if it is not one."""
        git = ["git", "-C", str(self.directory)]
        result = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if result.returncode or not (self.directory / ".git").exists():
            return ""
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "ordersigner"], check=False).returncode
        return result.stdout.strip() + ("+" if changed else "")


class Daemon(NamedTuple):
    """A daemon that runs. processes: their numbers; none if they cannot be found."""

    path: str
    processes: list[int]

    def processor_seconds(self) -> float:
        """All that its processes have used so far, in user and in system mode, also of threads that have ended."""
        time.sleep(0.005)  # the clock of a thread that runs is only right to a tick
        return sum(time.clock_gettime(~process << 3 | 2) for process in self.processes)  # as clock_getcpuclockid(3)

    def memory(self, field: str) -> float:
        """MB. field: of /proc/PID/status, VmRSS for what is resident now and VmHWM for the most that ever was."""
        texts = (Path(f"/proc/{process}/status").read_text() for process in self.processes)
        return sum(int(text.split(f"{field}:")[1].split()[0]) * 1024 / 1e6 for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="DIR", type=Path, help="alternate with an earlier release")
    parser.add_argument("--connect", metavar="PATH", help="measure the daemon that listens at PATH")
    parser.add_argument("--cold", metavar="COMMAND", help="with --connect: also its start; COMMAND stops the service")
    parser.add_argument(
        "--requests", metavar="N", type=int, default=REQUESTS, help="of each row (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", metavar="N", type=int, help=f"print medians of N runs (default: 1, and {RUNS} with --docs)"
    )
    parser.add_argument(
        "--crowd", metavar="N", type=int, default=hostile.CROWD, help="hostile clients (default: %(default)s)"
    )
    parser.add_argument(
        "--only", metavar="WORD", default="", help="only rows whose name has WORD, a regular expression"
    )
    parser.add_argument("--million", action="store_true", help="a million requests of one client instead")
    parser.add_argument(
        "--leverj-ordersigner", metavar="PYTHON", help="also that library, by an interpreter that has it"
    )
    parser.add_argument(
        "--docs", metavar="DIR", type=Path, nargs="?", const=SOURCE / "docs/plots", help="also write figures and plots"
    )
    arguments = parser.parse_args()
    arguments.runs = arguments.runs or (RUNS if arguments.docs else 1)
    if arguments.cold and not arguments.connect:
        parser.error("--cold is about the service behind --connect")
    if arguments.connect and arguments.against:
        parser.error("--against alternates with the daemon of this checkout, and --connect is about another one")
    if arguments.docs and (arguments.million or arguments.only or not arguments.against):
        parser.error("--docs needs --against DIR, and all rows")
    directories = [*([] if arguments.connect else [SOURCE]), *([arguments.against] if arguments.against else [])]
    releases = [Release.at(directory.resolve()) for directory in directories]
    figures = Figures()
    began = conditions(arguments, releases)
    for number in range(arguments.runs):
        if sys.stderr.isatty():
            print(f"run {number + 1} of {arguments.runs}", file=sys.stderr)
        measure(figures, arguments, releases, number)
    if arguments.docs:
        part = 0.1 if is_short(arguments) else 1
        measure_crowds(figures, arguments.crowd, CROWD_SECONDS * part, 1 if is_short(arguments) else CROWD_ROUNDS)
        measure_costly(figures, COSTLY_SECONDS * part)
    result = {**began, "figures": figures.medians(), "left out": figures.left_out}
    print_table(result)
    if arguments.docs:
        plot.write(arguments.docs, result)


def measure(figures: Figures, arguments: argparse.Namespace, releases: list[Release], run: int) -> None:
    """One run, with new processes. Releases take turns row by row, and the first of a run is last in the next."""
    count = arguments.requests
    wanted = re.compile(arguments.only)
    turns = list(enumerate(releases))[:: -1 if run % 2 else 1]
    if arguments.million:
        setups, count = a_million(), MILLION // 10
    else:
        setups = [part for setup in benchmarked.setups() if (part := part_of(setup, wanted)).rows]
        in_process(figures, wanted, max(count // 10, 1), arguments)
    if arguments.connect:
        setups = setups[:1]
    floor = part_of(Setup([Row("floor of one client in lock-step", "lock-step", LINES)]), wanted)
    if floor.rows and not (arguments.connect or arguments.million):
        with running(Release([sys.executable, "-c", FLOOR], SOURCE), floor) as server:
            measure_row(figures, floor.rows[0], server, count, libsecp256k1(max(count // 10, 50)), 0)
    for setup in setups:
        with contextlib.ExitStack() as stack:
            daemons = {}
            if arguments.connect:
                daemons[0] = Daemon(arguments.connect, holders(arguments.connect))
            for number, release in turns:
                try:
                    daemons[number] = stack.enter_context(running(release, setup))
                except Cannot as error:
                    leave_out(figures, number, setup.rows, error)
            measure_memory(figures, setup, daemons, {"at the start": "VmRSS"})
            for row in setup.rows:
                requests = count // 4 or 1 if row.way == "connecting" else count
                alone = libsecp256k1(max(count // 10, 50))
                figures.add(plot.ALONE, "time", alone * 1e6, "µs")
                figures.add(plot.ALONE, "longest time", alone * 1e6, "µs")
                for number, daemon in daemons.items():
                    try:
                        measure_row(figures, row, daemon, requests, alone, number)
                    except (Cannot, OSError) as error:
                        leave_out(figures, number, [row], error)
            measure_memory(figures, setup, daemons, {"after crowds": "VmRSS", "at most": "VmHWM"})
    if arguments.cold:
        cold_starts(figures, arguments.connect, shlex.split(arguments.cold))
    if wanted.search("process start to first reply"):
        for number, release in turns:
            elapsed, used = zip(*(start(release) for _ in range(min(count, COLD_STARTS))))
            figures.add("process start to first reply", "time", statistics.median(elapsed) * 1e3, "ms", number)
            figures.add(
                "process start to first reply", "work", statistics.median(used) * 1e3, "ms of processor", number
            )


def part_of(setup: Setup, wanted: re.Pattern[str]) -> Setup:
    """Only the rows that are wanted. The memory is that after all rows."""
    if setup.memory and wanted.search(setup.memory):
        return setup
    return setup._replace(rows=[row for row in setup.rows if wanted.search(row.name)], memory="")


def a_million() -> list[Setup]:
    """Daemons that sign a million orders each. Each tenth of them is a row."""
    setups = []
    for level, label in (("notice", ""), ("info", ", entries on")):
        names = [f"one client pipelining{label}, tenth {tenth} of a million" for tenth in range(1, 11)]
        setups.append(Setup([Row(name, "pipelining", LINES) for name in names], level))
    return setups


def leave_out(figures: Figures, release: int, rows: list[Row], error: Exception) -> None:
    if release == 0:
        raise SystemExit(f"benchmark: {rows[0].name}: {error}")
    for row in rows:
        figures.leave_out(row.name, str(error))


def measure_memory(figures: Figures, setup: Setup, daemons: dict[int, Daemon], when: dict[str, str]) -> None:
    """Megabytes. when: fields of /proc/PID/status by what the measures are called."""
    for number, daemon in daemons.items():
        for measure, field in when.items() if setup.memory and daemon.processes else ():
            figures.add(setup.memory, measure, daemon.memory(field), "MB", number)


def measure_row(figures: Figures, row: Row, daemon: Daemon, count: int, alone: float, release: int) -> None:
    """alone: seconds that libsecp256k1 alone takes now."""
    with contextlib.ExitStack() as stack:
        for _ in range(row.idle):
            ask(stack.enter_context(connected(daemon.path)), row.lines[0])
        if row.way == "connecting":
            clients = []
            with connected(daemon.path) as connection:
                ask(connection, row.lines[0])
        else:
            clients = [stack.enter_context(connected(daemon.path)) for _ in range(row.clients)]
        for client in clients:
            ask(client, row.lines[0])
        used, start = daemon.processor_seconds(), time.perf_counter()
        latencies = WAYS[row.way](daemon.path, clients, row.lines, count)
        seconds = time.perf_counter() - start
        used = daemon.processor_seconds() - used
    add = functools.partial(figures.add, release=release)
    add(row.name, "rate", count * alone / seconds, RATE)
    if latencies:
        latencies.sort()
        add(row.name, "p50", statistics.median(latencies) / alone, TIME)
    if row.way == "crowd":
        add(row.name, "p99", latencies[int(len(latencies) * 0.99)] * 1e3, "ms")
        add(row.name, "slowest", latencies[-1] * 1e3, "ms")
    if daemon.processes:
        add(row.name, "processor time", used / count / alone, PROCESSOR)


# What clients do. In: the daemon's path, connections, requests and how many of them to ask. Out: latencies, in seconds.


def in_lock_step(path: str, clients: list[socket.socket], lines: list[bytes], count: int) -> list[float]:
    """One client that sends its next request when it has read the last reply."""
    (connection,) = clients
    latencies = []
    for number in range(count):
        begin = time.perf_counter()
        ask(connection, lines[number % len(lines)])
        latencies.append(time.perf_counter() - begin)
    return latencies


def connecting(path: str, clients: list[socket.socket], lines: list[bytes], count: int) -> list[float]:
    """One client that makes a connection for each request."""
    latencies = []
    for number in range(count):
        begin = time.perf_counter()
        with connected(path) as connection:
            ask(connection, lines[number % len(lines)])
        latencies.append(time.perf_counter() - begin)
    return latencies


def pipelining(path: str, clients: list[socket.socket], lines: list[bytes], count: int) -> list[float]:
    """One client with up to a few hundred requests in flight."""
    (connection,) = clients
    sent = answered = 0
    while answered < count:
        if sent - answered <= WINDOW and sent < count:
            more = min(WINDOW, count - sent)
            begin = sent % len(lines)
            connection.sendall(b"".join((lines[begin:] + lines[:begin])[:more]))
            sent += more
        chunk = connection.recv(65536)
        check(chunk)
        answered += chunk.count(b"\n")
    return []


def crowding(path: str, clients: list[socket.socket], lines: list[bytes], count: int) -> list[float]:
    """Several clients. Each sends its next request when it has read its last reply."""
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        begun: dict[socket.socket, float] = {}
        waiting = iter(range(count))
        for connection, number in zip(clients, waiting):
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(lines[number % len(lines)])
            begun[connection] = time.perf_counter()
        while len(latencies) < count:
            ready = selector.select(PATIENCE)
            if not ready:
                raise Cannot("it does not answer")
            for key, _ in ready:
                connection = key.fileobj  # type: ignore[assignment]
                check(connection.recv(REPLY))
                now = time.perf_counter()
                latencies.append(now - begun[connection])
                begun[connection] = now
                for number in waiting:
                    connection.sendall(lines[number % len(lines)])
                    break
    return latencies


WAYS: dict[str, Callable[[str, list[socket.socket], list[bytes], int], list[float]]] = {
    "lock-step": in_lock_step,
    "connecting": connecting,
    "pipelining": pipelining,
    "crowd": crowding,
}


def connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Python's own time limit would cost the client a system call more for each reply.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE, 0))
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def ask(connection: socket.socket, line: bytes) -> None:
    connection.sendall(line)
    check(connection.recv(REPLY))


def check(reply: bytes) -> None:
    if b'"ok": false' in reply or not reply:
        codes = re.findall(r'"code": "(\w+)"', reply.decode()) or re.findall(r'"type": "(\w+)"', reply.decode())
        raise Cannot(f"refused with {' '.join(codes)}" if reply else "the connection ended")


@contextlib.contextmanager
def running(release: Release, setup: Setup) -> Iterator[Daemon]:
    """Run a daemon for `setup`. Yields when all its processes answer. Raises Cannot if one of them ends."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        options = ["--log-level", setup.level]
        if setup.keys:
            options += held.holding(
                directory, {f"key-{number}": key for number, key in enumerate(setup.keys)}, setup.policy
            )
        if setup.state:
            (directory / "state").mkdir(0o700)
            options += ["--state", str(directory / "state")]
        path = str(directory / "socket")
        log = stack.enter_context(open(directory / "log", "wb"))
        processes: list[int] = []
        if setup.processes > 1:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(path)
            listener.listen(1024)
        for _ in range(setup.processes):
            # While the others are stopped, only the new process can answer.
            for other in processes:
                os.kill(other, signal.SIGSTOP)
            if setup.processes > 1:
                process = activated(release, listener, options, log)
            else:
                process = launch(release, [*release.command, "--socket", path, *options], log)
            stack.callback(end, process)
            try:
                wait_for_answer(path, process)
            except Cannot as error:
                lines = (directory / "log").read_text().strip().splitlines()
                why = (lines[-1] if lines else str(error)).replace(name, "DIR")
                raise Cannot(f"it does not start: {why}") from None
            finally:
                for other in processes:
                    os.kill(other, signal.SIGCONT)
            processes.append(process.pid)
        yield Daemon(path, processes)


def launch(release: Release, command: list[str], log: Any, *descriptors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stderr=log, stdout=log, cwd=release.directory, env=release.environment(), pass_fds=descriptors
    )


def activated(release: Release, listener: socket.socket, options: list[str], log: Any) -> subprocess.Popen[bytes]:
    """Start a daemon as systemd would. The shell sets the process number and the descriptor of the socket."""
    shell = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listener.fileno()}'
    return launch(release, ["bash", "-c", shell, "bash", *release.command, *options], log, listener.fileno())


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def wait_for_answer(path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with connected(path) as connection:
                connection.settimeout(1)
                connection.sendall(PING)
                if connection.recv(REPLY):
                    return
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.005)
        except socket.timeout:  # also if a process that is being stopped took this connection
            pass
    raise Cannot("it does not answer")


def holders(path: str) -> list[int]:
    """The processes that listen at `path`, but systemd. None if they cannot be looked at; that needs root."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    sockets = {f"socket:[{line[6]}]" for line in lines if line[-1] == path}
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if directory.name != "1" and sockets & {os.readlink(each) for each in (directory / "fd").iterdir()}:
                found.append(int(directory.name))
    return found


def start(release: Release) -> tuple[float, float]:
    """Seconds from the start of a daemon to its reply to a request that was already waiting, and its processor time."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = os.path.join(directory, "socket")
        listener.bind(path)
        listener.listen()
        with connected(path) as client:
            client.sendall(LINES[0])
            begin = time.perf_counter()
            process = activated(release, listener, ["--log-level", "warning"], subprocess.DEVNULL)
            try:
                check(client.recv(REPLY))
                return time.perf_counter() - begin, Daemon(path, [process.pid]).processor_seconds()
            finally:
                end(process)


def cold_starts(figures: Figures, path: str, stop: list[str]) -> None:
    """Time from connect() to the reply if the daemon is not running, so that systemd starts it."""
    elapsed = []
    for _ in range(COLD_STARTS):
        subprocess.run(stop, check=True, stderr=subprocess.DEVNULL)  # systemctl warns that a client may start it again
        begin = time.perf_counter()
        with connected(path) as client:
            ask(client, LINES[0])
        elapsed.append(time.perf_counter() - begin)
    figures.add("connect() to first reply of a stopped service", "time", statistics.median(elapsed) * 1e3, "ms")


def in_process(figures: Figures, wanted: re.Pattern[str], count: int, arguments: argparse.Namespace) -> None:
    """What a program does that includes the libraries itself, as rows such as "eth-account, transaction"."""
    alone = libsecp256k1(count * 10)
    seconds = {}
    if wanted.search("eth-account"):
        seconds.update(libraries.python(count))
    if arguments.leverj_ordersigner:
        taken = libraries.leverj_ordersigner(arguments.leverj_ordersigner, count)
        seconds["order", "leverj-ordersigner"] = taken
    if arguments.docs:
        seconds.update(libraries.javascript(count))
    for (kind, library), each in seconds.items():
        figures.add(f"{library}, {kind}", "rate", alone / each, RATE)


def measure_crowds(figures: Figures, size: int, seconds: float, rounds: int) -> None:
    """Clients next to each hostile crowd, and next to one of ordinary clients. Times in relation to the latter."""
    crowds, every = hostile.compare(list(hostile.KINDS), size, seconds, rounds)
    ordinary = hostile.medians(every)
    for field in hostile.LATENCIES:
        figures.add(plot.ORDINARY, field.replace("_", " "), getattr(ordinary, field) * 1e3, "ms")
    for name, found in crowds.items():
        row = plot.HOSTILE + name
        for field in hostile.LATENCIES:
            figures.add(row, field.replace("_", " "), getattr(found, field) / getattr(ordinary, field), "times")
        figures.add(row, "first", found.first, "s")
        figures.add(row, "memory", found.memory, "MB")


def measure_costly(figures: Figures, seconds: float) -> None:
    chance = random.Random(1)
    for kind in costly.KINDS:
        found = costly.search(kind, seconds, chance)
        figures.add(plot.COSTLY + kind, "slowest line", found.milliseconds, "ms of processor time")


def is_short(arguments: argparse.Namespace) -> bool:
    return bool(arguments.requests < REQUESTS or arguments.runs < RUNS or arguments.crowd < hostile.CROWD)


def conditions(arguments: argparse.Namespace, releases: list[Release]) -> dict[str, Any]:
    """What is measured, on what, as it is when the run begins."""
    from ordersigner import keccak

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "releases": [{"version": release.version(), "commit": release.commit()} for release in releases],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "draft": is_short(arguments) or not re.fullmatch("[0-9a-f]+", releases[0].commit() if releases else ""),
        "runs": arguments.runs,
        "requests": arguments.requests,
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "keccak": "pycryptodome" if hasattr(keccak, "keccak") else "OpenSSL",
        "libraries": {**libraries.versions(), **(libraries.javascript_versions() if arguments.docs else {})},
        "machine": f"{os.cpu_count()} processors ({model[1].strip() if model else platform.machine()})",
        "hostile clients": arguments.crowd,
    }


def print_table(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if name not in ("releases", "figures", "left out"):
            print(f"{name}: {value}")
    versions = [f"{release['version']} {release['commit'][:7]}".strip() for release in result["releases"]]
    print(" " * 62 + "  ".join(f"{version:>14}" for version in versions))
    for each in result["figures"]:
        numbers = f"{each['value']:9.3g}"
        if each["earlier"] is not None:
            ratio = f"{each['value'] / each['earlier']:.2f}" if each["earlier"] else "-"
            numbers += f"{each['earlier']:9.3g}  ratio {ratio:>5} "
        print(f"{each['row'] + ', ' + each['measure']:62}{numbers} {each['unit']}")
    for reason, rows in result["left out"].items():
        print(f"not for the earlier release ({reason}): {'; '.join(rows)}")


if __name__ == "__main__":
    main()
