"""The command `ordersigner-keys`: makes, imports, lists and removes the keys that the daemon holds.

In: arguments, which never have a key; private keys from a random generator, a file, standard input or a terminal. Out:
one file for each key in a directory, and what to do with it next. What it prints has addresses, never a key or a
passphrase.

A user sees a Problem, or the error of a file, as one line. Any other exception is a fault of this program and is
reported without its text, which could quote a key.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import traceback
from pathlib import Path
from typing import Any, NoReturn, Sequence

from ordersigner import __version__
from ordersigner.commands import terminal
from ordersigner.commands.terminal import STDIN
from ordersigner.keytool import asking, forms, mnemonic, not_a_key
from ordersigner.keytool.directory import NAME, Directory, write
from ordersigner.keytool.keystore import Keystore
from ordersigner.keytool.problem import Problem
from ordersigner.process import close_memory
from ordersigner.text import meant_option, printable, similar

PROGRAM = "ordersigner-keys"
KEYS = "/etc/ordersigner/keys"
POLICY = "/etc/ordersigner/policy"
VENUES = "/usr/share/doc/ordersigner/examples/policies"  # of the Debian package; docs/venues in the source
HOST_SECRET = "/var/lib/systemd/credential.secret"

A_KEY = "this may be a private key or a mnemonic; any user can read arguments, so do not use it any more"

COMMANDS = ("new", "import", "list", "remove")
OPTIONS = ("--keys", "--plain", "--passphrase-fd", "--backup", "--derivation-path", "--yes")  # for hints

DONE, FAILED = 0, 1  # exit statuses; argparse exits with 2


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 if the command failed, or a listed key cannot be used; 2 for wrong arguments."""
    arguments = parse(argv)
    close_memory()  # Python cannot wipe a key: it stays there until this process ends, which is soon
    os.umask(0o022)  # for the directories above the keys; whatever holds a key has a mode of its own
    try:
        return terminal.run(PROGRAM, lambda: run(arguments), expected=Problem, failed=FAILED)
    except KeyboardInterrupt:  # end like a program that does not handle it, but with the terminal as it was
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise


def run(arguments: argparse.Namespace) -> int:
    """The exit status of a command. Raises Problem, and OSError for the files and the output."""
    try:
        if not arguments.plain and os.geteuid() != 0:
            raise Problem("sealed keys are for root: run it with sudo, or use --plain")
        status: int = arguments.run(Directory(arguments.keys, plain=arguments.plain), arguments)
    except (Problem, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - the text of any other error could quote a key
        frames = ", ".join(f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))
        raise Problem(f"internal error: {type(error).__name__}; {frames}") from None
    return status


class Parser(argparse.ArgumentParser):
    """Does not repeat what it does not understand: that could be a key or a mnemonic. It names the nearest command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"invalid choice: '([^']*)'", message)
        near = similar(unknown[1], COMMANDS) if unknown else ""
        choose = unknown or message.endswith("required: COMMAND")
        hint = f": did you mean {near}?" if near else f": choose from {', '.join(COMMANDS)}" if choose else ""
        quoting = "unrecognized arguments|invalid choice|ignored explicit argument|ambiguous option"
        super().error(re.sub(f"({quoting}).*", r"\1", message, flags=re.DOTALL) + hint)


def parser() -> argparse.ArgumentParser:
    common = Parser(add_help=False)
    common.add_argument("--keys", metavar="DIR", type=not_key, help=f"the directory of the keys (default: {KEYS})")
    common.add_argument(
        "--plain",
        action="store_true",
        help="use files that are not sealed, for a daemon that runs without systemd; needs --keys",
    )
    passphrase = Parser(add_help=False)
    passphrase.add_argument(
        "--passphrase-fd",
        metavar="N",
        type=descriptor,
        help="read the passphrase from the first line of this descriptor, and do not ask for it",
    )
    parser = Parser(prog="ordersigner-keys", description="Manage the keys that the daemon holds.")
    parser.add_argument("--version", action="version", version=f"ordersigner-keys {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    ends = "Exit status: 0 if the command succeeded, 1 if not, 2 if the arguments are wrong."

    new_parser = commands.add_parser(
        "new", parents=[common, passphrase], help="make a key", description="Make a key and seal it.", epilog=ends
    )
    new_parser.add_argument("name", metavar="NAME", type=checked_name, help="the key's name: letters, digits, . and -")
    new_parser.add_argument(
        "--backup", metavar="FILE", type=not_key, help="also write the key to a keystore that a passphrase protects"
    )
    new_parser.set_defaults(run=new)

    import_parser = commands.add_parser(
        "import",
        parents=[common, passphrase],
        help="import a key",
        description="Read 64 hex digits, a version 3 keystore or a mnemonic, and seal the key.",
        epilog=ends,
    )
    import_parser.add_argument(
        "name", metavar="NAME", type=checked_name, help="the key's name: letters, digits, . and -"
    )
    import_parser.add_argument(
        "file",
        metavar="FILE",
        type=not_key,
        nargs="?",
        default=STDIN,
        help="the file to read; - is standard input, and you are asked if it is a terminal (default: -)",
    )
    import_parser.add_argument(
        "--derivation-path",
        metavar="PATH",
        type=derivation_path,
        help=f"the path of a mnemonic's key, such as {forms.FIRST_PATH}",
    )
    import_parser.set_defaults(run=import_key)

    list_parser = commands.add_parser(
        "list",
        parents=[common],
        help="list the keys",
        description="Write a line for each key: its name, its address, and whether the daemon can use it.",
        epilog="Exit status: 0 if all keys can be used, 1 if not, 2 if the arguments are wrong.",
    )
    list_parser.set_defaults(run=list_keys)

    remove_parser = commands.add_parser(
        "remove", parents=[common], help="delete a key", description="Delete the file of a key.", epilog=ends
    )
    remove_parser.add_argument("name", metavar="NAME", type=checked_name, help="the key's name")
    remove_parser.add_argument("--yes", action="store_true", help="do not ask")
    remove_parser.set_defaults(run=remove)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Exits with status 2 where they are wrong, or do not go together."""
    commands = parser()
    arguments, rest = commands.parse_known_args(argv)
    if arguments.command == "import" and arguments.file == STDIN and rest and not rest[0].startswith("-"):
        arguments.file = rest.pop(0)  # the argparse of older Pythons does not find FILE after an option
        try:
            not_key(arguments.file)
        except argparse.ArgumentTypeError:
            commands.error(f"argument FILE: {A_KEY}")
    if rest:
        words = " ".join(map(str, (vars(arguments).get("name"), vars(arguments).get("file"), *rest)))
        meant = meant_option(rest, OPTIONS)
        wrong = f"there is no such option: did you mean {meant}?" if meant else "unrecognized arguments"
        commands.error(A_KEY if not_a_key.may_be_secret(words) else wrong)
    if arguments.plain and arguments.keys is None:
        commands.error("--plain needs --keys DIR: the default directory is for sealed keys")
    if arguments.command == "new" and arguments.passphrase_fd is not None and arguments.backup is None:
        commands.error("--passphrase-fd is for --backup FILE")
    if arguments.command == "import" and arguments.passphrase_fd == 0 and arguments.file == STDIN:
        commands.error("standard input cannot hold both the key and the passphrase: name a FILE")
    if arguments.keys is None:
        arguments.keys = KEYS
    return arguments


def new(directory: Directory, arguments: argparse.Namespace) -> int:
    directory.check_free(arguments.name)
    if arguments.backup is None:
        key = forms.create()
        directory.add(arguments.name, key)
    else:
        backup = Path(arguments.backup)
        if os.path.lexists(backup):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), arguments.backup)
        passphrase = asking.new_passphrase(arguments.passphrase_fd)
        key = forms.create()
        write(backup, forms.keystore(key, passphrase))
        try:
            directory.add(arguments.name, key)
        except BaseException:
            backup.unlink()  # the key was never in place
            raise
    explain(directory, arguments.name, forms.address(key))
    if arguments.backup is None:
        print("There is no backup. To have one, remove this key now, and make another one with --backup FILE.")
    else:
        print(f"The backup is {printable(arguments.backup)}. Keep it, and its passphrase, away from this machine.")
    return DONE


def import_key(directory: Directory, arguments: argparse.Namespace) -> int:
    directory.check_free(arguments.name)
    key = read_key(asking.read_secret(arguments.file), arguments)
    directory.add(arguments.name, key)
    explain(directory, arguments.name, forms.address(key))
    print("\nCompare the address with the one that you expect, for example in your wallet. If it differs, remove this")
    print("key. If not, keep what you imported it from as a backup, away from this machine, and delete other copies.")
    return DONE


def read_key(text: str, arguments: argparse.Namespace) -> str:
    """The key in what a user gave: hex digits, a keystore or a mnemonic. Asks for what opens it. Raises Problem."""
    text = text.strip()
    digits = forms.KEY.fullmatch(text)
    is_json = text.startswith(("{", "["))
    if arguments.derivation_path and (digits or is_json):
        raise Problem("--derivation-path is for a mnemonic, and this is not one")
    if digits:
        return forms.checked(digits[1])
    if is_json:
        keystore = Keystore(text)
        return keystore.open(asking.passphrase("Passphrase of the keystore: ", arguments.passphrase_fd))
    reason = not_a_key.reason(text)
    if reason:
        raise Problem(reason)
    if mnemonic.looks_like(text):
        words = mnemonic.checked(text)
        path = arguments.derivation_path or ask_path()
        prompt = "Passphrase of the mnemonic (empty if it has none): "
        return forms.from_mnemonic(words, asking.passphrase(prompt, arguments.passphrase_fd), path)
    raise Problem(
        "this is neither 64 hex digits nor a version 3 keystore nor a mnemonic of 12 to 24 words with blanks between"
    )


def ask_path() -> str:
    """The derivation path of a mnemonic's key. Raises Problem."""
    answer = asking.ask(f"Derivation path [{forms.FIRST_PATH}]: ", else_use="--derivation-path", echo=True)
    return forms.derivation_path(answer or forms.FIRST_PATH)


def list_keys(directory: Directory, arguments: argparse.Namespace) -> int:
    rows = []
    first: dict[str, str] = {}  # addresses, each with the first key of it: the daemon takes no other
    status = DONE
    if not os.path.lexists(directory.path) and arguments.keys != KEYS:  # before the first key, nothing is at KEYS
        raise Problem(f"there is no directory {directory.path}")
    for name in directory.names():
        try:
            address = forms.address(directory.read(name))
            if first.setdefault(address, name) != name:
                raise Problem(f"it holds the same key as {first[address]}")
            rows.append((name, address, "plain" if directory.plain else "sealed"))
        except Problem as problem:
            rows.append((name, "-", f"cannot be used: {problem}"))
            status = FAILED
    width = max((len(row[0]) for row in rows), default=0)
    for name, address, state in rows:
        print(printable(f"{name:{width}}  {address:42}  {state}"))
    if not rows:
        terminal.report(PROGRAM, f"there are no keys in {directory.path}: {PROGRAM} new NAME makes one")
    return status


def remove(directory: Directory, arguments: argparse.Namespace) -> int:
    directory.check_present(arguments.name)
    try:
        address = forms.address(directory.read(arguments.name))
    except Problem as problem:
        address = f"an unknown address: {problem}"
    if not arguments.yes:
        answer = asking.ask(
            f"The key {arguments.name} ({address}) cannot be restored without a backup.\nRemove it? [y/N] ",
            else_use="--yes",
            echo=True,
        )
        if answer.lower() not in ("y", "yes"):
            raise Problem(f"the key {arguments.name} is kept")
    directory.remove(arguments.name)
    print(f"Removed the key {arguments.name} ({address}).")
    print(f"\nRemove it from the rules in {policy(directory)} too. A running daemon holds it until")
    print("it restarts:\n")
    print_restart(directory)
    return DONE


def explain(directory: Directory, name: str, address: str) -> None:
    """Say what to do with a key that is in place now, and what it depends on."""
    print(f"The address of the key {name} is {address}")
    print(
        "\nThe daemon signs nothing with it without a rule. For orders of Leverj, put this one, with your own user and"
    )
    print(f"account in it, into {policy(directory)}:\n")
    print(f"    [rule {name}]")
    print(f"    key      = {address}")
    print("    # The user that your program runs as:")
    print(f"    users    = {'root' if os.getuid() == 0 else os.getuid()}")
    print("    # The account that it trades for:")
    print(f"    accounts = {address}")
    print("    # Every market, with no limit on amounts. ordersigner-policy(5) describes limits:")
    print("    markets  = any")
    print(f"\nFor other venues, copy a policy from {venues(directory)}.")
    print("\nThen restart the daemon, which reads its keys only when it starts:\n")
    print_restart(directory)
    if not directory.plain:
        print(f"\nThe key is sealed with the secret of this machine, {HOST_SECRET}.")
        print("If that file is lost, so are all sealed keys: they cannot be opened on another machine.")


def policy(directory: Directory) -> str:
    return "the file that the daemon's --policy names" if directory.plain else POLICY


def venues(directory: Directory) -> str:
    return "docs/venues in the source" if directory.plain else VENUES


def print_restart(directory: Directory) -> None:
    if directory.plain:
        print(f"    ordersignerd --keys {directory.path} --policy FILE ...")
    else:
        print("    systemctl restart ordersigner.service")
        print("    systemctl restart 'ordersigner@*.service'   # if you use instances")


# Values of arguments


def checked_name(text: str) -> str:
    if not NAME.fullmatch(not_key(text)):
        raise argparse.ArgumentTypeError("expected up to 64 letters, digits, . and -, with a letter or a digit first")
    return text


def not_key(text: str) -> str:
    if forms.KEY.fullmatch(text) or not_a_key.may_be_secret(text):
        raise argparse.ArgumentTypeError(A_KEY)
    return text


def descriptor(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("expected the number of an open descriptor")
    return int(text)


def derivation_path(text: str) -> str:
    try:
        return forms.derivation_path(text)
    except Problem as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
