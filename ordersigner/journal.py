"""What the daemon says of itself: one entry for each signature, refusal and fault.

Under systemd an entry goes to the journal with structured fields, elsewhere its text goes to stderr. An entry holds
identifiers, never a request, never a key; what came from a client is cut short and rid of control characters.
A journal that cannot be reached costs no client its answer: the text goes to stderr instead. One that does not keep
up makes signing wait, since no signature shall go without its entry.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import Callable, Mapping

from ordersigner.peer import Peer
from ordersigner.refusal import Refusal

LEVELS = {"err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}  # syslog's names and numbers

# MESSAGE_ID of the entries that programs look for.
SIGNED = "f8a2b1d7a1f04c6f9d0a3f0f6c1f6a51"
REFUSED = "0c1e2c9f5a4b4c59b1c53f6be3cbb8e7"
FAILED = "6b7a6f0f7e3f4d5b8d1a7cf5a3f9c2d4"

REFUSALS_PER_SECOND = 10  # entries; a client that sends rubbish shall not push everything else out of the journal
MAX_WORD = 32  # characters of a client's own word in an entry: half of a key's, so that none fits


Send = Callable[..., None]  # takes "FIELD=value" strings


class Journal:
    """Writes entries up to `level`, a value of LEVELS, by `send`."""

    def __init__(self, level: int, send: Send) -> None:
        self._level = level
        self._send = send
        self._second = 0
        self._refusals = 0  # in that second
        self._withheld = 0  # since the last entry of a refusal

    def signed(
        self, peer: Peer, type: str, order: Mapping[str, object], signer: str, digest: bytes, microseconds: int
    ) -> None:
        """A signature was made. signer: an address."""
        if self._level < LEVELS["info"]:
            return
        account = _address(order["accountId"])
        instrument = _word(order.get("instrument"))
        side = order["side"]
        self._write(
            "info",
            f"Signed {type} {side} {instrument} of account {account} by {signer} for {peer} in {microseconds} µs: "
            f"digest 0x{digest.hex()}",
            f"MESSAGE_ID={SIGNED}",
            f"ORDERSIGNER_TYPE={type}",
            f"ORDERSIGNER_ACCOUNT={account}",
            f"ORDERSIGNER_INSTRUMENT={instrument}",
            f"ORDERSIGNER_SIDE={side}",
            f"ORDERSIGNER_SIGNER={signer}",
            f"ORDERSIGNER_DIGEST=0x{digest.hex()}",
            f"ORDERSIGNER_USEC={microseconds}",
            *peer.fields,
        )

    def refused(self, peer: Peer, refusal: Refusal) -> None:
        """A request was refused; of very many in a second, not all are written."""
        if self._level < LEVELS["notice"] or self._is_too_much():
            return
        field, problems = next(iter(refusal.context.items()))
        what = f"{_word(field)}: {problems[0].code}" if field else problems[0].code
        withheld, self._withheld = self._withheld, 0
        self._write(
            "notice",
            f"Refused a request of {peer}: {what}" + (f" ({withheld} more refusals not shown)" if withheld else ""),
            f"MESSAGE_ID={REFUSED}",
            f"ORDERSIGNER_FIELD={_word(field)}",
            f"ORDERSIGNER_CODE={problems[0].code}",
            *peer.fields,
        )

    def failed(self, what: str, error: BaseException) -> None:
        """A fault of the daemon's own, with its traceback.

        The error's text is left out unless it is the system's: others may quote what a client sent.
        """
        name = str(error) if isinstance(error, OSError) else type(error).__name__
        lines = "".join(traceback.format_tb(error.__traceback__))
        self._write("err", f"{what}: {name}\n{lines}".rstrip(), f"MESSAGE_ID={FAILED}")

    def say(self, level: str, message: str) -> None:
        """Something of the daemon's own life."""
        if LEVELS[level] <= self._level:
            self._write(level, message)

    def _is_too_much(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refusals = second, 0
        self._refusals += 1
        if self._refusals <= REFUSALS_PER_SECOND:
            return False
        self._withheld += 1
        return True

    def _write(self, level: str, message: str, *fields: str) -> None:
        entry = (f"MESSAGE={message}", f"PRIORITY={LEVELS[level]}", "SYSLOG_IDENTIFIER=ordersigner", *fields)
        try:
            self._send(*entry)
        except OSError:
            _send_to_stderr(*entry)


def open_journal(level: str) -> Journal:
    """The journal of systemd if stderr is connected to it, else stderr. level: a key of LEVELS."""
    return Journal(LEVELS[level], _systemd_send() if _stderr_is_journal() else _send_to_stderr)


def _stderr_is_journal() -> bool:
    try:
        stderr = os.fstat(2)
    except OSError:  # it is closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _systemd_send() -> Send:
    from systemd import journal  # here, because nothing else needs libsystemd

    send: Send = journal.sendv  # journal.send would search the stack for its caller, at six times the cost
    return send


def _send_to_stderr(message: str, *fields: str) -> None:
    try:
        sys.stderr.write("ordersigner: " + message[len("MESSAGE=") :] + "\n")
        sys.stderr.flush()  # Python 3.8 keeps it back where it is no terminal
    except (OSError, ValueError, AttributeError):  # whoever read it is gone, or it was closed, or never there
        pass


def _address(text: object) -> str:
    """One spelling for each address, so that entries can be searched."""
    address = str(text).lower()
    return address if address.startswith("0x") else "0x" + address


def _word(value: object) -> str:
    """A client's own word, made fit to be written."""
    if not isinstance(value, (str, int)):
        return ""
    text = str(value)[:MAX_WORD]
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
