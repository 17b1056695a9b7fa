"""The command `ordersigner`: signs lines of orders, lists usable keys, freezes and thaws rules, says how the daemon is
doing, and compares it with the earlier daemon.

In: arguments, and lines from files or standard input, which are sent as they are: the daemon checks them. Out: one line
for each on stdout, refusals and failures on stderr, and an exit status that tells them apart.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import shlex
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn, Sequence

from ordersigner import __version__
from ordersigner.client import (
    MAX_TIMEOUT,
    SYSTEM_SOCKET,
    TIMEOUT,
    Client,
    Error,
    SignerError,
    Unavailable,
    check_timeout,
    default_path,
    encode,
    frozen_rules,
    listed_signers,
    read_response,
    refusal,
    rules_request,
)
from ordersigner.commands import compare, status, terminal
from ordersigner.commands.lines import Progress, Source
from ordersigner.commands.terminal import STDIN
from ordersigner.text import masked, meant_option, printable, similar

if TYPE_CHECKING:
    from ordersigner.client import Frozen

PROGRAM = "ordersigner"
TIMEOUT_RANGE = f"more than 0 and at most {MAX_TIMEOUT}"  # seconds

MANY = 100  # lines, after which `sign` says how many were signed
DONE, REFUSED, FAILED, UNCONFIRMED = 0, 1, 2, 3  # exit statuses; argparse exits with 2 too


class Parser(argparse.ArgumentParser):
    """Says which command or option was probably meant."""

    def error(self, message: str) -> NoReturn:
        wrong_command = re.match("argument COMMAND: invalid choice: '([^']*)'", message)
        _, _, unknown = message.partition("unrecognized arguments: ")
        subparsers = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        commands = {name: command for action in subparsers for name, command in action.choices.items()}
        if wrong_command:
            unknown = self._unknown_before(wrong_command[1])
            meant = similar(wrong_command[1], commands)
            hint = f"did you mean {meant}?" if meant else f"there are {', '.join(commands)}"
            message = f"there is no option {unknown}" if unknown else f"there is no command {wrong_command[1]}: {hint}"
        options = [option for parser in (self, *commands.values()) for option in parser._option_string_actions]
        meant = meant_option(unknown.split(), options)
        super().error(masked(f"{message}; did you mean {meant}?" if meant else message))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def _unknown_before(self, command: str) -> str:
        """The first option before a command that is none of this parser's: the command may be its value."""
        before = self._given[: self._given.index(command)] if command in self._given else []
        names = [argument.partition("=")[0] for argument in before if argument.startswith("-")]
        known = tuple(self._option_string_actions)
        return next((name for name in names if not any(option.startswith(name) for option in known)), "")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 if a request was refused, or a key cannot be used; 2 if no daemon answered, or
    reading or writing failed; 3 if a freeze is not confirmed.
    """
    # Like any other filter, end silently at Ctrl-C, and when the program that reads the output ends.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    known = parser()
    arguments = known.parse_args(argv)
    if arguments.command is None:
        known.print_help(sys.stderr)
        return FAILED
    return terminal.run(PROGRAM, lambda: run(arguments), expected=Error, failed=FAILED)


def run(arguments: argparse.Namespace) -> int:
    """The exit status of a command. Raises client.Error, and OSError for the files and the output."""
    with Client(arguments.socket, arguments.timeout) as client:
        try:
            outcome: int = arguments.run(client, arguments)
        except Unavailable as error:
            if str(error).startswith(f"cannot connect to {client.path}: ") and isinstance(error.__context__, OSError):
                raise Unavailable(f"{error}{_what_to_do(client.path, error.__context__.errno)}") from None
            raise
    return outcome


def _what_to_do(path: str, number: int | None) -> str:
    """What helps if this command cannot connect to the daemon. number: of the system's error."""
    is_system = path == SYSTEM_SOCKET
    if number == errno.ENOENT and is_system:
        return ". To start the daemon: systemctl start ordersigner.socket. If its socket is elsewhere: --socket PATH"
    if number == errno.ENOENT:
        return ". Start the daemon there, or give the path of its socket: --socket PATH"
    if number == errno.EACCES and is_system:
        return ". To let a user connect: usermod --append --groups ordersigner USER. Then the user must log in again"
    if number == errno.EACCES:
        return f". This user may not connect there; to see who may: ls -ld {shlex.quote(path)}"
    if number == errno.ECONNREFUSED and os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        return ". It is not a socket"
    if number == errno.ECONNREFUSED:
        start = ": systemctl restart ordersigner.socket" if is_system else " again"
        return f". The daemon that made this socket has ended. Start it{start}"
    return ""


def seconds(text: str) -> float:
    """A value of --timeout."""
    try:
        value = float(text)
        check_timeout(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seconds, {TIMEOUT_RANGE}") from None
    return value


def common_options(*, defaults: bool) -> Parser:
    """The options that may come before the command and after it."""
    path = default_path().replace("%", "%%")
    common = Parser(add_help=False, argument_default=None if defaults else argparse.SUPPRESS)
    common.add_argument("--socket", metavar="PATH", help=f"the daemon's socket (default: {path})")
    common.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help=f"how long to wait for the daemon's next answer, {TIMEOUT_RANGE} (default: {TIMEOUT:g})",
    )
    if defaults:
        common.set_defaults(socket=default_path(), timeout=TIMEOUT)
    return common


def parser() -> argparse.ArgumentParser:
    common = common_options(defaults=False)  # a default of the command would replace what comes before the command
    parser = Parser(
        prog="ordersigner",
        parents=[common_options(defaults=True)],
        description="Use the signing daemon from the command line.",
        epilog="For the options of a command: ordersigner COMMAND --help. For all: man ordersigner.",
    )
    parser.add_argument("--version", action="version", version=f"ordersigner {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    sign_parser = commands.add_parser(
        "sign",
        parents=[common],
        help="sign requests, one per line",
        description="Read requests, one per line, and write one signature per line, in the same order; for a "
        "transaction, write the signed transaction. If the daemon refuses a request, its line is empty and the reason "
        "goes to stderr.",
        epilog="Exit status: 0 if all requests are signed, 1 if some are refused, 2 if no daemon answers or a file "
        "cannot be read.",
    )
    sign_parser.add_argument(
        "files", metavar="FILE", nargs="*", default=[STDIN], help="requests, one per line; - is stdin (default: -)"
    )
    sign_parser.add_argument("--json", action="store_true", help="write the whole responses, even for refused requests")
    sign_parser.set_defaults(run=sign)
    signers_parser = commands.add_parser(
        "signers",
        parents=[common],
        help="list the keys that you may use",
        description="List the held keys that you may use, one per line: the address, which you put into a request as "
        "its signer, and the rules of the daemon's policy that let you use the key.",
        epilog="Exit status: 0 if there are keys and all are available, 1 if there are none, if some are not "
        "available, or if the daemon refuses, 2 if no daemon answers.",
    )
    signers_parser.add_argument("--json", action="store_true", help="write the whole response")
    signers_parser.set_defaults(run=list_signers)
    status_parser = commands.add_parser(
        "status",
        parents=[common],
        help="show what the daemon has done",
        description="Show, for each process of the daemon, what it has signed and refused since its start. The daemon "
        "answers only root and users who may read its policy.",
        epilog="Exit status: 0 if all processes answer, 1 if one does not or the daemon refuses, 2 if none answers.",
    )
    status_parser.add_argument("--json", action="store_true", help="write one line of JSON")
    status_parser.set_defaults(run=show_status)
    freeze_parser = commands.add_parser(
        "freeze",
        parents=[common],
        help="stop signatures under rules",
        description="Freeze rules of the daemon's policy: from then on they allow nothing, in all processes of the "
        "daemon and across restarts, until root thaws them. You may freeze the rules that are for you, and root any.",
        epilog="Exit status: 0 if the rules are frozen, 1 if the daemon refuses or no rule is for you, 2 if no daemon "
        "answers, 3 if the rules are frozen but a signature may still be under way.",
    )
    freeze_parser.set_defaults(run=freeze)
    thaw_parser = commands.add_parser(
        "thaw",
        parents=[common],
        help="allow signatures under rules again",
        description="Thaw rules that are frozen. Only root may do that.",
        epilog="Exit status: 0 if the rules are not frozen any more, 1 if the daemon refuses, 2 if no daemon answers.",
    )
    thaw_parser.set_defaults(run=thaw)
    for changing in (freeze_parser, thaw_parser):
        changing.add_argument("rules", metavar="RULE", nargs="*", help="names of rules (default: all of them)")
        changing.add_argument("--json", action="store_true", help="write the whole response")
    ping_parser = commands.add_parser(
        "ping",
        parents=[common],
        help="check that the daemon answers",
        description="Check that the daemon answers. Write its version and the time it took.",
        epilog="Exit status: 0 if the daemon answers, 1 if it refuses, 2 if no daemon answers.",
    )
    ping_parser.set_defaults(run=ping)
    compare_parser = commands.add_parser(
        "compare",
        parents=[common],
        help="compare with the earlier daemon",
        description="Send the same requests to the earlier daemon, leverj-ordersigner-daemon, and to this one. Write "
        "who listens, whether the signatures are the same, and the commands that replace the earlier daemon.",
        epilog="Exit status: 0 if the daemons agree, 1 if they do not, 2 if one of them does not answer or a file "
        "cannot be read.",
    )
    compare_parser.add_argument(
        "--earlier",
        metavar="PATH",
        help=f"the earlier daemon's socket (default: {compare.EARLIER_SOCKET}; required with FILE)",
    )
    compare_parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="requests, one per line; - is stdin (default: an order of each kind, with public test keys)",
    )
    compare_parser.set_defaults(run=compare_daemons)
    return parser


def ping(client: Client, arguments: argparse.Namespace) -> int:
    start = time.perf_counter()
    try:
        version = client.ping()
    except SignerError as error:
        report(str(error))
        return REFUSED
    milliseconds = (time.perf_counter() - start) * 1000
    print(f"ordersigner {version} answers at {client.path} in {milliseconds:.1f} ms")
    return DONE


def sign(client: Client, arguments: argparse.Namespace) -> int:
    signed = refused = 0
    start = time.monotonic()
    source = Source(arguments.files)
    if STDIN in arguments.files and os.isatty(0) and sys.stderr.isatty():
        report("Reading requests from the terminal, one per line; end with Ctrl-D")
    progress = Progress(source.size, enabled=sys.stderr.isatty() and not sys.stdout.isatty())
    try:
        for response in client.exchange(source.lines(), read_response):
            origin = source.unanswered.popleft()
            progress.advance(origin.size)
            if response["ok"]:
                signed += 1
            else:
                refused += 1
            if arguments.json:
                print(json.dumps(response))
            elif response["ok"]:
                print(next((response[key] for key in ("transaction", "signature", "version") if key in response), ""))
            else:
                if not sys.stdout.isatty():  # for people the message is enough
                    print()
                progress.clear()
                report(f"{origin.file}, line {origin.number}: {refusal(response)}")
    finally:
        progress.clear()
    if signed + refused >= MANY and sys.stderr.isatty():
        report(f"{signed:,} signed, {refused:,} refused, {time.monotonic() - start:.1f} s")
    return REFUSED if refused else DONE


def list_signers(client: Client, arguments: argparse.Namespace) -> int:
    (response,) = client.exchange([encode({"type": "signers"})], read_response)
    listed = listed_signers(response) if response["ok"] else []
    if arguments.json:
        print(json.dumps(response))
    elif not response["ok"]:
        report(str(refusal(response)))
    elif not listed:
        reason = "an administrator can find the reason in the journal: journalctl --namespace=+ordersigner"
        report(f"you may not use any key that the daemon holds; {reason} --identifier ordersigner")
    else:
        for signer in listed:
            rules = (f"{rule} (frozen)" if rule in signer["frozen"] else rule for rule in signer["rules"])
            print(signer["address"], ", ".join(rules), *([] if signer["available"] else ["(not available)"]))
    return DONE if listed and all(signer["available"] for signer in listed) else REFUSED


def freeze(client: Client, arguments: argparse.Namespace) -> int:
    frozen = _freeze_or_thaw("freeze", client, arguments)
    if frozen is None:
        return REFUSED
    if not frozen["frozen"]:
        report("the policy has no rule for this user, so nothing was frozen")
        return REFUSED
    if not frozen["kept"]:
        report("this daemon has no directory for state: the rules are frozen in one process, and only until it ends")
    if not frozen["confirmed"]:
        report("requests that come now are refused, but one that came before may still be signed")
        return UNCONFIRMED
    return DONE


def thaw(client: Client, arguments: argparse.Namespace) -> int:
    return REFUSED if _freeze_or_thaw("thaw", client, arguments) is None else DONE


def _freeze_or_thaw(kind: str, client: Client, arguments: argparse.Namespace) -> Frozen | None:
    """Write which rules are frozen then. Returns None if the daemon refuses."""
    (response,) = client.exchange([encode(rules_request(kind, arguments.rules or None))], read_response)
    frozen = frozen_rules(response) if response["ok"] else None
    if arguments.json:
        print(json.dumps(response))
    elif frozen is None:
        report(str(refusal(response)))
    elif frozen["frozen"]:
        print("Frozen:", ", ".join(frozen["frozen"]))
    elif kind == "thaw":
        print("No rule is frozen.")
    return frozen


def show_status(client: Client, arguments: argparse.Namespace) -> int:
    try:
        found = status.ask(client.path, arguments.timeout)
    except SignerError as error:
        report(str(error))
        return REFUSED
    if arguments.json:
        print(json.dumps(found._asdict()))
    else:
        for process in found.processes:
            print("\n".join(status.words(process)))
        for line in status.words_of_rules(found.processes[-1]):
            print(line)
        for unit in found.silent:
            report(f"{unit} does not answer; to see why: systemctl status {unit}")
    return REFUSED if found.silent else DONE


def compare_daemons(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.files and not arguments.earlier:
        # Any local user can make a socket at the usual path while the earlier daemon does not run.
        raise Error("requests of your own may hold keys, so name the socket of the earlier daemon: --earlier PATH")
    source = Source(arguments.files)
    lines = [line for line in source.lines() if line]
    requests = [(f"{origin.file}, line {origin.number}", line) for origin, line in zip(source.unanswered, lines)]
    path = compare.earlier_path(arguments.earlier)
    earlier = compare.Listener(path, client.timeout)
    ours = compare.Listener(client.path, client.timeout)
    print(printable(f"Earlier daemon: {earlier}."))
    print(printable(f"This daemon: {ours}."))
    outcome = DONE
    with Client(path, client.timeout) as earlier_client:
        for agree, sentence in compare.compared(earlier_client, client, requests or compare.examples()):
            print(printable(sentence))
            if not agree:
                outcome = REFUSED
    if os.path.samefile(path, client.path):
        print("Both paths lead to this daemon: it has replaced the earlier one.")
    elif outcome == DONE:
        print(f"The daemons agree. To replace the earlier one, run as root:\n\n{compare.steps(earlier)}")
    else:
        print("The daemons do not agree.")
    return outcome


def report(message: str) -> None:
    terminal.report(PROGRAM, message)
