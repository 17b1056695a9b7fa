"""The command `ordersigner-keys`: makes, imports, lists and removes the keys that the daemon holds.

In: private keys from a random generator, a file, standard input or a terminal; never from an argument. Out: one file
for each key in a directory, sealed with systemd's secret of this host, or plain. What it prints has addresses, never a
key or a passphrase. The only module that imports eth-account; the daemon imports neither.

Problem is the only error that a user sees, as one line. Everything else is a fault of this program and is reported
without its text, which could quote a key.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import termios
import traceback
from pathlib import Path
from typing import Any, Iterator, NoReturn, Sequence

from eth_account import Account

from ordersigner import __version__
from ordersigner.process import close_memory

KEYS = "/etc/ordersigner/keys"
POLICY = "/etc/ordersigner/policy"
HOST_SECRET = "/var/lib/systemd/credential.secret"

STDIN = "-"  # as the name of a file
MAX_INPUT = 64 * 1024  # bytes of a key, a keystore, a mnemonic or a passphrase
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")  # the policy's limit, and no hidden file
KEY = re.compile(r"(?:0x)?([0-9A-Fa-f]{64})")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1; keys are below it
WORDS = (12, 15, 18, 21, 24)  # of a mnemonic; source: BIP-39
PATH = re.compile(r"m(?:/[0-9]{1,10}['H]?)+")
FIRST_PATH = "m/44'/60'/0'/0/0"  # of an Ethereum wallet's first account; source: BIP-44, SLIP-44

# What the passphrase of a keystore may cost. A file can ask for any amount; geth's and eth-account's ask for 256 MiB.
MAX_MEMORY = 1024**3  # bytes of scrypt: 128 * n * r
MAX_WORK = 2**25  # blocks that scrypt mixes, n * r * p; iterations of pbkdf2

A_KEY = "this may be a private key; any user can read arguments, so do not use that key"
BROKEN = "this is not a complete keystore, or one of an unknown kind"

DONE, FAILED = 0, 1  # exit statuses; argparse exits with 2


class Problem(Exception):
    """Why something cannot be done: one line for the user, without secrets."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 if the command failed, or a listed key cannot be used; 2 for wrong arguments."""
    arguments = parse(argv)
    close_memory()  # Python cannot wipe a key: it stays there until this process ends, which is soon
    os.umask(0o022)  # for the directories above the keys; whatever holds a key has a mode of its own
    try:
        if not arguments.plain and os.geteuid() != 0:
            raise Problem("sealed keys are for root: run it with sudo, or use --plain")
        status: int = arguments.run(Directory(arguments.keys, plain=arguments.plain), arguments)
        sys.stdout.flush()
    except Problem as problem:
        report(str(problem))
        status = FAILED
    except OSError as error:
        report(f"{error.filename or 'standard output'}: {error.strerror}")
        status = FAILED
    except KeyboardInterrupt:  # end like a program that does not handle it, but with the terminal as it was
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    except Exception as error:  # noqa: BLE001 - the text of any other error could quote a key
        frames = traceback.extract_tb(error.__traceback__)
        report(f"internal error: {type(error).__name__}; " + ", ".join(f"{f.name}:{f.lineno}" for f in frames))
        status = FAILED
    try:
        sys.stdout.flush()
    except OSError:  # reported above; this keeps Python from trying once more, and reporting it, at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    return status


class Parser(argparse.ArgumentParser):
    """Does not repeat what it does not understand: that could be a key or a mnemonic."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        quoting = "unrecognized arguments|invalid choice|ignored explicit argument|ambiguous option"
        super().error(re.sub(f"({quoting}).*", r"\1", message, flags=re.DOTALL))


def parser() -> argparse.ArgumentParser:
    common = Parser(add_help=False)
    common.add_argument("--keys", metavar="DIR", type=not_key, help=f"where the keys are (default: {KEYS})")
    common.add_argument(
        "--plain",
        action="store_true",
        help="files that are not sealed, for a daemon that runs without systemd; needs --keys",
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
    new_parser.add_argument("name", metavar="NAME", type=name, help="of the key: letters, digits, . and -")
    new_parser.add_argument(
        "--backup", metavar="FILE", type=not_key, help="also write it to a keystore with a passphrase"
    )
    new_parser.set_defaults(run=new)

    import_parser = commands.add_parser(
        "import",
        parents=[common, passphrase],
        help="import a key",
        description="Read 64 hex digits, a version 3 keystore or a mnemonic, and seal the key.",
        epilog=ends,
    )
    import_parser.add_argument("name", metavar="NAME", type=name, help="of the key: letters, digits, . and -")
    import_parser.add_argument(
        "file",
        metavar="FILE",
        type=not_key,
        nargs="?",
        default=STDIN,
        help="- is standard input; if that is a terminal, it asks (default: -)",
    )
    import_parser.add_argument(
        "--derivation-path", metavar="PATH", type=derivation_path, help=f"of a mnemonic's key, such as {FIRST_PATH}"
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
    remove_parser.add_argument("name", metavar="NAME", type=name, help="of the key")
    remove_parser.add_argument("--yes", action="store_true", help="do not ask")
    remove_parser.set_defaults(run=remove)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Exits with status 2 where they are wrong, or do not go together."""
    commands = parser()
    arguments, rest = commands.parse_known_args(argv)
    if arguments.command == "import" and arguments.file == STDIN and rest and not rest[0].startswith("-"):
        arguments.file = rest.pop(0)  # the argparse of older Pythons does not find FILE after an option
        if KEY.fullmatch(arguments.file):
            commands.error(f"argument FILE: {A_KEY}")
    if rest:
        commands.error("unrecognized arguments")
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
        key = create()
        directory.add(arguments.name, key)
    else:
        backup = Path(arguments.backup)
        if os.path.lexists(backup):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), arguments.backup)
        passphrase = new_passphrase(arguments.passphrase_fd)
        key = create()
        write(backup, keystore(key, passphrase))
        try:
            directory.add(arguments.name, key)
        except BaseException:
            backup.unlink()  # the key was never in place
            raise
    explain(directory, arguments.name, address(key))
    if arguments.backup is None:
        print("There is no backup. To have one, remove this key now, and make another one with --backup FILE.")
    else:
        print(f"The backup is {printable(arguments.backup)}. Keep it, and its passphrase, away from this machine.")
    return DONE


def import_key(directory: Directory, arguments: argparse.Namespace) -> int:
    directory.check_free(arguments.name)
    key = read_key(read_secret(arguments.file), arguments)
    directory.add(arguments.name, key)
    explain(directory, arguments.name, address(key))
    print("Keep what you imported the key from as a backup, away from this machine. Delete other copies.")
    return DONE


def list_keys(directory: Directory, arguments: argparse.Namespace) -> int:
    rows = []
    status = DONE
    for found in directory.names():
        try:
            rows.append((found, address(directory.read(found)), "plain" if directory.plain else "sealed"))
        except Problem as problem:
            rows.append((found, "-", f"cannot be used: {problem}"))
            status = FAILED
    width = max((len(row[0]) for row in rows), default=0)
    for found, account, state in rows:
        print(printable(f"{found:{width}}  {account:42}  {state}"))
    return status


def remove(directory: Directory, arguments: argparse.Namespace) -> int:
    directory.check_present(arguments.name)
    try:
        account = address(directory.read(arguments.name))
    except Problem as problem:
        account = f"an unknown address: {problem}"
    if not arguments.yes:
        answer = ask(
            f"The key {arguments.name} ({account}) cannot be restored without a backup.\nRemove it? [y/N] ",
            else_use="--yes",
            echo=True,
        )
        if answer.lower() not in ("y", "yes"):
            raise Problem(f"the key {arguments.name} is kept")
    directory.remove(arguments.name)
    print(f"Removed the key {arguments.name} ({account}).")
    print(f"\nRemove it from the rules in {policy(directory)} too. A running daemon holds it until")
    print("it restarts:\n")
    print_restart(directory)
    return DONE


def explain(directory: Directory, label: str, account: str) -> None:
    """Say what to do with a key that is in place now, and what it depends on."""
    print(f"The address of the key {label} is {account}")
    print("\nThe daemon signs nothing with it without a rule. Put one like this, with your own words in place of those")
    print(f"in capitals, into {policy(directory)}:\n")
    print(f"    [rule {label}]")
    print(f"    key      = {account}")
    print("    users    = USER")
    print("    accounts = ACCOUNT")
    print("    markets  = MARKET")
    print("\nThen restart the daemon, which reads its keys only when it starts:\n")
    print_restart(directory)
    if not directory.plain:
        print(f"\nThe key is sealed with the secret of this machine, {HOST_SECRET}.")
        print("If that file is lost, so are all sealed keys: they cannot be opened on another machine.")


def policy(directory: Directory) -> str:
    return "the file that the daemon's --policy names" if directory.plain else POLICY


def print_restart(directory: Directory) -> None:
    if directory.plain:
        print(f"    ordersignerd --keys {directory.path} --policy FILE ...")
    else:
        print("    systemctl restart ordersigner.service")
        print("    systemctl restart 'ordersigner@*.service'   # if you use instances")


def report(message: str) -> None:
    print(f"ordersigner-keys: {printable(message)}", file=sys.stderr, flush=True)  # Python 3.8 buffers stderr


def printable(text: str) -> str:
    """The names of files, and what other programs say, can have control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# Values of arguments


def name(text: str) -> str:
    if not NAME.fullmatch(not_key(text)):
        raise argparse.ArgumentTypeError("expected up to 64 letters, digits, . and -, with a letter or a digit first")
    return text


def not_key(text: str) -> str:
    if KEY.fullmatch(text):
        raise argparse.ArgumentTypeError(A_KEY)
    return text


def descriptor(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("expected the number of an open descriptor")
    return int(text)


def derivation_path(text: str) -> str:
    """A path of BIP-32, with ' for a hardened step."""
    if not PATH.fullmatch(text) or any(int(number) >= 2**31 for number in re.findall("[0-9]+", text)):
        raise argparse.ArgumentTypeError(f"expected a path such as {FIRST_PATH}")
    return text.replace("H", "'")


# The directory of keys


class Directory:
    """The keys of a daemon, each in a file that has its name.

    plain: the files are 64 hex digits, for `ordersignerd --keys`. Otherwise they are sealed as systemd's credentials.
    A key is 64 hex digits everywhere. All methods raise Problem.
    """

    def __init__(self, path: str, *, plain: bool) -> None:
        self.path = Path(path)
        self.plain = plain

    def names(self) -> list[str]:
        """All files but hidden ones, also those that cannot be used."""
        try:
            return sorted(entry for entry in os.listdir(self.path) if not entry.startswith("."))
        except FileNotFoundError:
            return []

    def check_free(self, label: str) -> None:
        if os.path.lexists(self.path / label):
            raise Problem(f"there is a key {label} already: choose another name, or remove that key first")

    def check_present(self, label: str) -> None:
        if not os.path.lexists(self.path / label):
            raise Problem(f"there is no key {label} in {self.path}")

    def add(self, label: str, key: str) -> None:
        """Never replaces a file, and never leaves part of one."""
        content = key.encode() if self.plain else systemd_creds("encrypt", label, STDIN, key.encode())
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            write(self.path / label, content)
        except FileExistsError:
            self.check_free(label)
            raise

    def read(self, label: str) -> str:
        """The key."""
        if not NAME.fullmatch(label):
            raise Problem("its name has other characters than letters, digits, . and -")
        file = self.path / label
        if not file.is_file():
            raise Problem("it is not a file")
        if self.plain:
            try:
                content = file.read_bytes()
                open_to_others = file.stat().st_mode & 0o077
            except OSError as error:
                raise Problem(str(error.strerror)) from None
            if open_to_others:
                raise Problem(f"others may read it: chmod 600 {file}")
        else:
            content = systemd_creds("decrypt", label, str(file))
        # Exactly what the daemon takes.
        digits = re.fullmatch(rb"(?:0x)?([0-9A-Fa-f]{64})\n?", content)
        if not digits:
            raise Problem("it does not hold a private key")
        return checked(digits[1].decode())

    def remove(self, label: str) -> None:
        (self.path / label).unlink()


def systemd_creds(verb: str, label: str, source: str, content: bytes = b"") -> bytes:
    """What systemd-creds makes of a file, or of `content` on its standard input. Raises Problem with its reason."""
    # The key of the host: the default on a machine with a TPM depends on its state, and is lost when that changes.
    with_key = ["--with-key=host"] if verb == "encrypt" else []
    command = ["systemd-creds", verb, *with_key, f"--name=key_{label}", source, "-"]
    try:
        ended = subprocess.run(command, input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise Problem("systemd-creds is missing: it comes with systemd 250 and later") from None
    if ended.returncode != 0:
        sealed_as = re.search(rb"name 'key_([^']+)' does not match", ended.stderr)
        if sealed_as:
            raise Problem(
                f"it was sealed under the name {sealed_as[1].decode(errors='replace')}: give it that name again"
            )
        reasons = ended.stderr.decode(errors="replace").strip().splitlines() or [f"status {ended.returncode}"]
        raise Problem(f"systemd-creds: {reasons[-1]}")
    return ended.stdout


def write(file: Path, content: bytes) -> None:
    """Write a new file of mode 0600 that is complete or does not exist. Raises OSError, also if it exists."""
    part = file.with_name(f".{file.name}.{os.getpid()}")  # hidden, so that readers of the directory skip it
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(descriptor)
            try:
                os.link(part, file)  # unlike a rename, this never replaces a file
            except PermissionError:  # a file system without links, as on many memory sticks
                if os.path.lexists(file):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
                part.rename(file)
        finally:
            part.unlink(missing_ok=True)
        with descriptor_of(file.parent) as parent:
            os.fsync(parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None


# Keys


def create() -> str:
    return digits_of(Account.create())


def digits_of(account: Any) -> str:
    """The key of an account of eth-account."""
    return bytes(account.key).hex()


def address(key: str) -> str:
    """With the checksum of EIP-55."""
    return str(Account.from_key(bytes.fromhex(key)).address)


def checked(key: str) -> str:
    """A key that is in range, in lower case. Raises Problem."""
    if not 0 < int(key, 16) < ORDER:
        raise Problem("the number is not a private key of secp256k1")
    return key.lower()


def read_key(text: str, arguments: argparse.Namespace) -> str:
    """The key in what a user gave: hex digits, a keystore or a mnemonic. Raises Problem."""
    text = text.strip()
    words = text.split()
    if arguments.derivation_path and len(words) not in WORDS:
        raise Problem("--derivation-path is for a mnemonic, and this is not one")
    digits = KEY.fullmatch(text)
    if digits:
        return checked(digits[1])
    if text.startswith("{"):
        return from_keystore(text, arguments.passphrase_fd)
    if len(words) in WORDS:
        return from_mnemonic(" ".join(words), arguments)
    raise Problem("this is neither 64 hex digits nor a version 3 keystore nor a mnemonic of 12 to 24 words")


def keystore(key: str, passphrase: str) -> bytes:
    """A version 3 keystore, at the cost that geth calls standard."""
    content = Account.encrypt(bytes.fromhex(key), passphrase, kdf="scrypt", iterations=2**18)
    return json.dumps(content).encode() + b"\n"


def from_keystore(text: str, passphrase_fd: int | None) -> str:
    """Raises Problem."""
    try:
        keys = json.loads(text, object_pairs_hook=lowered)
        if not isinstance(keys, dict) or keys["version"] != 3:
            raise Problem("this is not a keystore of version 3")
        check_cost(keys["crypto"]["kdf"], keys["crypto"]["kdfparams"])
        promised = keys.get("address", "").lower()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Problem(BROKEN) from None
    passphrase = the_passphrase("Passphrase of the keystore: ", passphrase_fd)
    try:
        key = bytes(Account.decrypt(keys, passphrase))
    except Exception as error:  # noqa: BLE001 - it raises many kinds, and their texts could quote what was decrypted
        if "MAC mismatch" in str(error):
            raise Problem("this is not the passphrase of the keystore") from None
        raise Problem(BROKEN) from None
    if not 0 < len(key) <= 32:
        raise Problem("the keystore does not hold a private key")
    digits = checked(key.rjust(32, b"\0").hex())  # old programs left out leading zeros
    if promised and promised.rpartition("0x")[2] != address(digits).lower()[2:]:
        raise Problem("the keystore holds the key of another address than it says")
    return digits


def lowered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with its keys in lower case, as old programs do not write them."""
    return {key.lower(): value for key, value in pairs}


def check_cost(kdf: str, values: dict[str, Any]) -> None:
    """Raises Problem for a keystore that takes too much to open, KeyError or TypeError for an incomplete one."""
    numbers = [values[key] for key in (("n", "r", "p") if kdf == "scrypt" else ("c",))]
    if any(type(number) is not int or number < 1 for number in numbers):
        raise TypeError
    if kdf == "scrypt":
        n, r, p = numbers
        too_much = 128 * n * r > MAX_MEMORY or n * r * p > MAX_WORK
    else:
        too_much = numbers[0] > MAX_WORK
    if too_much or not 32 <= values["dklen"] <= 64:
        raise Problem("the passphrase of this keystore takes too much memory or time to check")


def from_mnemonic(words: str, arguments: argparse.Namespace) -> str:
    """Raises Problem."""
    path = arguments.derivation_path
    if path is None:
        answer = ask(f"Derivation path [{FIRST_PATH}]: ", else_use="--derivation-path", echo=True)
        try:
            path = derivation_path(answer or FIRST_PATH)
        except argparse.ArgumentTypeError as error:
            raise Problem(str(error)) from None
    passphrase = the_passphrase("Passphrase of the mnemonic (empty if it has none): ", arguments.passphrase_fd)
    Account.enable_unaudited_hdwallet_features()
    try:
        account = Account.from_mnemonic(words, passphrase, path)
    except Exception:  # noqa: BLE001 - its text quotes the mnemonic
        raise Problem("these words are not a mnemonic: a word is wrong, or their order") from None
    return digits_of(account)


# Secrets from outside


def read_secret(file: str) -> str:
    """The text of a file, or what is typed if standard input is a terminal. Raises Problem."""
    if file == STDIN and os.isatty(0):
        return ask("Private key, keystore or mnemonic, in one line: ", else_use="a FILE")
    try:
        with contextlib.nullcontext(0) if file == STDIN else descriptor_of(file) as source:
            content = b""
            while len(content) <= MAX_INPUT:
                chunk = os.read(source, MAX_INPUT)
                if not chunk:
                    break
                content += chunk
    except OSError as error:
        raise Problem(f"{'standard input' if file == STDIN else file}: {error.strerror}") from None
    if len(content) > MAX_INPUT:
        raise Problem(f"the input is longer than {MAX_INPUT:,} bytes")
    return text_of(content)


@contextlib.contextmanager
def descriptor_of(file: str | Path) -> Iterator[int]:
    """The descriptor of a file or directory, open for reading."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def the_passphrase(prompt: str, source: int | None) -> str:
    """From a descriptor, if there is one, or from the terminal. Raises Problem."""
    if source is None:
        return ask(prompt, else_use="--passphrase-fd")
    line = b""
    try:
        while b"\n" not in line and len(line) <= MAX_INPUT:
            letter = os.read(source, 1)  # no further than the end of the line: what follows belongs to the next reader
            if not letter:
                break
            line += letter
    except OSError as error:
        raise Problem(f"--passphrase-fd {source}: {error.strerror}") from None
    if len(line) > MAX_INPUT:
        raise Problem(f"the passphrase is longer than {MAX_INPUT:,} bytes")
    return text_of(without_end(line))


def new_passphrase(source: int | None) -> str:
    """Raises Problem."""
    passphrase = the_passphrase("Passphrase for the backup: ", source)
    if not passphrase:
        raise Problem("a backup needs a passphrase")
    if source is None and ask("The same again: ", else_use="--passphrase-fd") != passphrase:
        raise Problem("these are two different passphrases")
    return passphrase


def ask(prompt: str, *, else_use: str, echo: bool = False) -> str:
    """A line from the terminal, which does not show what is typed. Raises Problem.

    else_use: what to use where there is no terminal.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        raise Problem(f"there is no terminal to ask at: use {else_use}") from None
    try:
        before = termios.tcgetattr(terminal)
        if not echo:
            silent = termios.tcgetattr(terminal)
            silent[3] &= ~termios.ECHO
            termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
        try:
            os.write(terminal, prompt.encode())
            line = b""
            while not line.endswith(b"\n"):
                chunk = os.read(terminal, 4096)  # a line has no more in the terminal's line mode
                if not chunk:
                    raise Problem("nothing was typed")
                line += chunk
        finally:
            if not echo:
                # Also forgets what was pasted after the first line, so that it is not taken for a command.
                termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
                os.write(terminal, b"\n")
    finally:
        os.close(terminal)
    return text_of(without_end(line))


def without_end(line: bytes) -> bytes:
    return re.sub(rb"\r?\n\Z", b"", line)


def text_of(content: bytes) -> str:
    """Raises Problem."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Problem("this is not UTF-8 text") from None
