"""The command `ordersigner`: order lines in, signatures out; and a sign of life from the daemon.

In: lines, from files or standard input, passed on as they are, for the daemon to judge. Out: one line for each, on
stdout; what is refused is told on stderr and in the exit status.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import select
import signal
import stat
import sys
import time
from typing import Iterator, NamedTuple, Sequence

from ordersigner import __version__
from ordersigner.client import MAX_TIMEOUT, TIMEOUT, Client, Error, SignerError, default_path, read_response, refusal

CHUNK = 64 * 1024  # bytes read at once
MAX_LINE = 64 * 1024 + 2  # bytes, CR LF included: of a longer line this much is enough for the daemon to refuse it
PATIENCE = 0.5  # seconds that a long input has taken before a progress bar comes up
REFRESH = 0.1  # seconds between two states of the bar

SIGNED, REFUSED, FAILED = 0, 1, 2  # exit statuses


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 if a request was refused; 2 if no daemon answered, or the input cannot be read."""
    # As any other filter: a reader that has enough ends it without a word, and so does Ctrl-C.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = parser().parse_args(argv)
    try:
        with Client(arguments.socket, arguments.timeout) as client:
            status: int = arguments.run(client, arguments)
            return status
    except Error as error:
        complain(str(error))
    except OSError as error:  # of a file
        complain(f"{error.filename or 'cannot read or write'}: {error.strerror}")
    return FAILED


def seconds(text: str) -> float:
    """A time that Client takes."""
    value = float(text)
    if not 0 < value <= MAX_TIMEOUT:
        raise ValueError
    return value


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--socket", metavar="PATH", default=default_path(), help="the daemon's (default: %(default)s)")
    common.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=TIMEOUT,
        help="how long to wait for the daemon's next answer (default: %(default)g)",
    )
    parser = argparse.ArgumentParser(prog="ordersigner", description="Ask the signing daemon from the command line.")
    parser.add_argument("--version", action="version", version=f"ordersigner {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    sign_parser = commands.add_parser(
        "sign",
        parents=[common],
        help="sign order lines",
        description="Write the signature of each order line, in order. The line of one that is refused stays empty, "
        "and the reason goes to stderr.",
        epilog="Exit status: 0 if all are signed, 1 if some are refused, 2 if no daemon answers.",
    )
    sign_parser.add_argument("files", metavar="FILE", nargs="*", default=["-"], help="of order lines; - is stdin")
    sign_parser.add_argument("--json", action="store_true", help="write whole responses, refusals too")
    sign_parser.set_defaults(run=sign)
    ping_parser = commands.add_parser(
        "ping",
        parents=[common],
        help="ask for a sign of life",
        description="Write one line that says which version answers, and how fast.",
        epilog="Exit status: 0 if the daemon answers, 1 if it refuses to, 2 if no daemon answers.",
    )
    ping_parser.set_defaults(run=ping)
    return parser


def ping(client: Client, arguments: argparse.Namespace) -> int:
    start = time.perf_counter()
    try:
        version = client.ping()
    except SignerError as error:
        complain(str(error))
        return REFUSED
    milliseconds = (time.perf_counter() - start) * 1000
    print(f"ordersigner {version} answers at {client.path} in {milliseconds:.1f} ms")
    return SIGNED


def sign(client: Client, arguments: argparse.Namespace) -> int:
    status = SIGNED
    with contextlib.ExitStack() as cleanup:
        source = Source(arguments.files, cleanup)
        progress = Progress(source.size, enabled=sys.stderr.isatty() and not sys.stdout.isatty())
        cleanup.callback(progress.clear)
        for response in client.exchange(source.lines(), read_response):
            origin = source.unanswered.popleft()
            progress.advance(origin.size)
            if not response["ok"]:
                status = REFUSED
            if arguments.json:
                print(json.dumps(response))
            elif response["ok"]:
                print(response.get("signature") or response.get("version", ""))
            else:
                print()
                progress.clear()
                complain(f"{origin.file}, line {origin.number}: {refusal(response)}")
        sys.stdout.flush()
    return status


def complain(message: str) -> None:
    """To stderr, without the control characters that an order's own words may hold."""
    text = "".join(letter if letter.isprintable() else "?" for letter in message)
    print(f"ordersigner: {text}", file=sys.stderr, flush=True)  # on Python 3.8 it would wait for the end


class Origin(NamedTuple):
    """Where a line stands, and how many bytes it takes there."""

    file: str
    number: int
    size: int


class Source:
    """The lines of files, "-" for standard input. size: bytes of them all, 0 if nobody knows."""

    def __init__(self, files: Sequence[str], cleanup: contextlib.ExitStack) -> None:
        self._files = []
        for file in files:  # at once: what cannot be opened is told before anything is signed
            if file == "-":
                self._files.append(("standard input", 0))
            else:
                opened = cleanup.enter_context(open(file, "rb"))  # noqa: SIM115 - that is one
                self._files.append((file, opened.fileno()))
        states = [os.fstat(descriptor) for _, descriptor in self._files]
        self.size = sum(state.st_size for state in states) if all(stat.S_ISREG(s.st_mode) for s in states) else 0
        self.unanswered: collections.deque[Origin] = collections.deque()  # lines, in their order

    def lines(self) -> Iterator[bytes | None]:
        """The lines that are not blank, each with its LF; None where the next one is yet to come."""
        for file, descriptor in self._files:
            number = 0
            for line in _lines(descriptor):
                if line is None:
                    yield None
                    sys.stdout.flush()  # all answers are here: for whoever sends no other line before seeing them
                    continue
                number += 1
                if line.strip():
                    self.unanswered.append(Origin(file, number, len(line) + 1))
                    yield line + b"\n"


def _lines(descriptor: int) -> Iterator[bytes | None]:
    """The lines of a file, without their LF; None before one that has to be waited for."""
    unfinished = b""
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            break
        lines = (unfinished + chunk).split(b"\n")
        unfinished = lines.pop()[:MAX_LINE]
        yield from lines
    if unfinished:
        yield unfinished


class Progress:
    """A bar on a terminal for an input that takes long."""

    WIDTH = 40  # characters

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._total = total  # bytes, 0 if unknown
        self._bytes = self._lines = 0
        self._start = time.monotonic()
        self._next = self._start + PATIENCE if enabled else float("inf")
        self._shown = False

    def advance(self, size: int) -> None:
        self._bytes += size
        self._lines += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REFRESH
            self._shown = True
            text = f"{self._lines:,} lines, {self._lines / (now - self._start):,.0f} a second"
            if self._total:
                part = min(self._bytes / self._total, 1)
                text = f"[{'#' * int(part * self.WIDTH):{self.WIDTH}}] {part:4.0%}  {text}"
            sys.stderr.write(f"\r{text}\x1b[K")  # the rest of the line is erased
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


if __name__ == "__main__":
    sys.exit(main())
