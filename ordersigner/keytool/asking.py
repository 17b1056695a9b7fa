"""Input from the user: a secret from a file or a terminal, a passphrase from a descriptor or a terminal, or an answer.

In: where to read, and what to ask. Out: text. The terminal does not show a secret while it is typed. Raises Problem,
which never quotes the text. Where there is no terminal it names the option to use, and never reads a secret from
elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import termios
from typing import IO, Iterator

from ordersigner.commands.terminal import STDIN, errors_name, opened
from ordersigner.keytool.problem import Problem
from ordersigner.text import UTF_16, is_utf_16, without_mark

MAX_INPUT = 64 * 1024  # bytes of a key, a keystore, a mnemonic or a passphrase
KEY_SIZE = 32  # bytes of a private key
MIN_PASSPHRASE = 12  # characters, for a backup


def read_secret(file: str) -> str:
    """The text of a file, or what is typed if standard input is a terminal."""
    if file == STDIN and os.isatty(0):
        return ask("Private key, keystore or mnemonic, in one line: ", else_use="a FILE")
    with errors_name(file), opened(file) as source:
        content = b""
        while len(content) <= MAX_INPUT:
            chunk = os.read(source, MAX_INPUT)
            if not chunk:
                break
            content += chunk
    if len(content) > MAX_INPUT:
        raise Problem(f"the input is longer than {MAX_INPUT:,} bytes")
    return _text(content)


def passphrase(prompt: str, source: int | None) -> str:
    """From a descriptor, if there is one, or from the terminal."""
    if source is None:
        return ask(prompt, else_use="--passphrase-fd")
    line = b""
    try:
        while b"\n" not in line and len(line) <= MAX_INPUT:
            letter = os.read(source, 1)  # not beyond the end of the line: the rest belongs to the next reader
            if not letter:
                break
            line += letter
    except OSError as error:
        raise Problem(f"--passphrase-fd {source}: {error.strerror}") from None
    if len(line) > MAX_INPUT:
        raise Problem(f"the passphrase is longer than {MAX_INPUT:,} bytes")
    return _text(_without_end(line))


def new_passphrase(source: int | None) -> str:
    """For a backup. From a terminal it is asked for twice."""
    first = passphrase("Passphrase for the backup: ", source)
    if len(first) < MIN_PASSPHRASE:
        raise Problem(
            f"the passphrase of a backup needs at least {MIN_PASSPHRASE} characters: "
            "anyone who finds the file can try passphrases until one fits"
        )
    if source is None and ask("The same again: ", else_use="--passphrase-fd") != first:
        raise Problem("the two passphrases differ: start again")
    return first


def ask(prompt: str, *, else_use: str, echo: bool = False) -> str:
    """A line from the terminal, which does not show it. else_use: the option to use where there is no terminal."""
    try:
        terminal = open("/dev/tty", "rb+", buffering=0)  # noqa: SIM115 - closed below
    except OSError:
        raise Problem(f"there is no terminal to ask at: use {else_use}") from None
    with terminal, contextlib.nullcontext() if echo else _hidden(terminal):
        terminal.write(prompt.encode())
        line = terminal.readline()
        if not line.endswith(b"\n"):
            raise Problem("nothing was typed")
    return _text(_without_end(line))


@contextlib.contextmanager
def _hidden(terminal: IO[bytes]) -> Iterator[None]:
    """Meanwhile the terminal does not show what is typed.

    getpass would decode a passphrase by the locale, where this tool takes UTF-8 from everywhere, and would take a line
    that ended early for a whole one.
    """
    before = termios.tcgetattr(terminal)
    silent = termios.tcgetattr(terminal)
    silent[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
        yield
    finally:
        # Also forgets what was pasted after the first line, so that it is not taken for a command.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        terminal.write(b"\n")


def _without_end(line: bytes) -> bytes:
    return re.sub(rb"\r?\n\Z", b"", line)


def _text(content: bytes) -> str:
    if is_utf_16(content):
        raise Problem(f"the input cannot be read: {UTF_16}")
    try:
        return without_mark(content).decode()
    except UnicodeDecodeError:
        if len(content) == KEY_SIZE:
            raise Problem(
                "this is no text, but may be a key in binary form: turn it into hex with xxd -p -c 32"
            ) from None
        raise Problem("this is not UTF-8 text") from None
