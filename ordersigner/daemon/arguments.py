"""The arguments of `ordersignerd`.

In: the command line. Out: a namespace whose values are valid each by itself. argparse ends the process with status 2,
and says why, for a command line that is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Iterator, NoReturn, Sequence

from ordersigner import __version__, peer
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.serving.server import Limits
from ordersigner.signing.journal import LEVELS
from ordersigner.text import masked, meant_option

MAX_UID = 2**32 - 2
MAX_NOW = 10**12  # seconds since 1970


class Parser(argparse.ArgumentParser):
    """Says which option was probably meant. What may be a key is not repeated."""

    def error(self, message: str) -> NoReturn:
        _, _, unknown = message.partition("unrecognized arguments: ")
        meant = meant_option(unknown.split(), self._option_string_actions)
        super().error(masked(f"{message}; did you mean {meant}?" if meant else message))


def parser() -> Parser:
    defaults = Limits()
    parser = Parser(
        prog="ordersignerd",
        description="Sign orders for clients on a Unix socket: the one that systemd passes, or --socket.",
    )
    parser.add_argument("--socket", metavar="PATH", help="listen here, not on the socket that systemd passes")
    parser.add_argument("--mode", type=permissions, default=0o600, help="permissions of --socket (default: 0600)")
    parser.add_argument("--keys", metavar="DIR", help="hold the keys in the files of this directory, one in each")
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="the policy: which users may sign what with the held keys; SIGHUP reloads it (default: "
        f"{reader.DEFAULT_PATH}, without --socket)",
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="keep totals, rates and frozen rules in a file in this directory (default: the one that systemd names)",
    )
    parser.add_argument("--no-wire-keys", action="store_true", help="sign only with held keys")
    parser.add_argument("--check", action="store_true", help="print what the policy allows and what is wrong with it")
    parser.add_argument(
        "--try",
        dest="requests",
        metavar="REQUESTS",
        help="with --check, print how the policy judges the requests in this file, one per line; - is standard input",
    )
    parser.add_argument(
        "--as", dest="client", metavar="USER", type=client, help="with --try, the user who asks (default: you)"
    )
    parser.add_argument(
        "--at", metavar="SECONDS", type=time, help="with --try, when they ask, in seconds since 1970 (default: now)"
    )
    parser.add_argument("--reload", action="store_true", help="have the daemon reload the policy; for systemctl reload")
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        default="info",
        help="info: an entry for each signature (default); notice: for refusals only; warning: for neither",
    )
    parser.add_argument(
        "--max-connections",
        metavar="N",
        type=connections,
        default=defaults.connections,
        help="connections at once (default: %(default)s)",
    )
    parser.add_argument(
        "--max-connections-per-user",
        metavar="N",
        type=connections,
        default=defaults.connections_per_user,
        help="connections at once from one user (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=defaults.timeout,
        help="time for a client to finish a line, and to read its responses (default: %(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"ordersignerd {__version__}")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The namespace of a command line, whose options go together."""
    ordersignerd = parser()
    arguments = ordersignerd.parse_args(argv)
    if arguments.requests is not None and not arguments.check:
        ordersignerd.error("--try needs --check")
    for option, value in (("--as", arguments.client), ("--at", arguments.at)):
        if value is not None and arguments.requests is None:
            ordersignerd.error(f"{option} needs --try")
    return arguments


def policy_path(arguments: argparse.Namespace) -> str | None:
    """--policy. Without it, a daemon with systemd's socket has a default, and any other daemon has no policy."""
    path: str | None = arguments.policy
    return reader.DEFAULT_PATH if path is None and arguments.socket is None else path


def permissions(text: str) -> int:
    with _says("permissions in octal, from 000 to 777"):
        value = int(text, 8)
        if 0 <= value <= 0o777:
            return value
        raise ValueError


def connections(text: str) -> int:
    with _says("a whole number, at least 1"):
        value = int(text)
        if value >= 1:
            return value
        raise ValueError


def client(text: str) -> Peer:
    """The client that a user, by name or number, would be."""
    with _says("the name of a user who exists, or a number below 4294967295"):
        try:
            if not (text.isascii() and text.isdecimal()):
                return peer.of_user(text)
            if len(text) <= 10 and int(text) <= MAX_UID:
                return peer.of_user(int(text))
        except KeyError:
            pass
        raise ValueError


def time(text: str) -> float:
    with _says(f"seconds since 1970, from 0 to {MAX_NOW}"):
        value = float(text)
        if 0 <= value <= MAX_NOW:
            return value
        raise ValueError


def seconds(text: str) -> float:
    with _says("seconds, from 0.001 to 86400"):
        value = float(text)
        if 0.001 <= value <= 86400:
            return value
        raise ValueError


@contextlib.contextmanager
def _says(expected: str) -> Iterator[None]:
    """Have an option's value that is not as expected refused with those words."""
    try:
        yield
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {expected}") from None
