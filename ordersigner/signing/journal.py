"""What the daemon writes down: one entry for each signature, refusal, fault, loaded policy and freeze.

Under systemd an entry goes to the journal with structured fields, elsewhere it goes to stderr as a line. An entry says
what was signed and holds no request as a whole and no key. Text from a client is cut short, stripped of control
characters and, among words, in quotes.

Every signature must have its entry: signed() says whether it was taken, and so does thaws() for a rule. If the journal
is slow, the daemon waits, up to a limit (journald.py). Past the limit it waits no more, until an entry is taken again.

Entries about held keys can go to a journal of their own, the journal for held keys. A client that no rule names adds
nothing to it, and so pushes nothing out.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Iterable, Mapping, Sequence

from ordersigner.payloads.payload import Payload
from ordersigner.peer import Peer, user_behind
from ordersigner.policy.rules import Denied, Permit
from ordersigner.refusal import Refusal
from ordersigner.systemd.journald import Send, sender, sender_to_namespace
from ordersigner.text import entered

LEVELS = {"err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}  # syslog's names and numbers

# MESSAGE_ID of the entries that programs look for.
SIGNED = "f8a2b1d7a1f04c6f9d0a3f0f6c1f6a51"
REFUSED = "0c1e2c9f5a4b4c59b1c53f6be3cbb8e7"
FAILED = "6b7a6f0f7e3f4d5b8d1a7cf5a3f9c2d4"
IN_FORCE = "2f4d8c1be2a94a0c9f6b7d5e3a1c8f60"
FROZEN = "9d3f5a7c1e8b46f2a0c4d6e8b1f3a5c7"  # and thawed

ENTRIES_PER_SECOND = 10  # of a kind of refusal for each user, and of faults: no client must flood the journal with them
MAX_PLACES = 32  # of a traceback, in an entry: the innermost ones
MAX_USERS = 256  # for whom refusals are counted apart


class Journal:
    """Writes entries up to `level`, a value of LEVELS, by `send`, which raises OSError if an entry is not taken.

    send_held: the same for signatures with held keys, for what a rule refused, and for loaded policies and frozen
    rules.
    """

    def __init__(self, level: int, send: Send, send_held: Send | None = None) -> None:
        self._level = level
        self.has_signatures = level >= LEVELS["info"]  # whether signatures leave entries
        self._any = _Way(send)
        self._held = self._any if send_held is None else _Way(send_held)
        self._refusals = _RatePerUser()
        self._refusals_by_policy = _RatePerUser()  # no other refusal must keep their entries out
        self._faults = _Rate()
        self._unread = _Rate()  # of its own: the client's requests may all be refused

    @property
    def untaken(self) -> int:
        """How many entries were not taken."""
        return sum(way.untaken for way in {self._any, self._held})

    @property
    def hangs(self) -> bool:
        """Whether the last entry was not taken."""
        return self._any.untaken_in_a_row + self._held.untaken_in_a_row > 0

    def signed(
        self,
        peer: Peer,
        payload: Payload,
        signer: str,
        permit: Permit | None,
        microseconds: int,
        recorded: Mapping[str, object] | None = None,
    ) -> bool:
        """A signature was made, and must have an entry. Returns whether it has.

        signer: an address; permit: what allowed it, None for a key of the client's. recorded: of the response.
        """
        what, fields = payload.entry()
        digest = "0x" + payload.digest.hex()
        by = signer
        allowed: tuple[str, ...] = ()
        if permit is not None:
            rule = permit.rule.name
            section, more, values = permit.judge.entry(payload)
            what += more
            by += f", rule {rule}, section {section},"
            allowed = (f"ORDERSIGNER_RULE={rule}", f"ORDERSIGNER_SECTION={section}", *values)
        if recorded is not None:
            allowed = (*(f"ORDERSIGNER_{name.upper()}={value}" for name, value in recorded.items()), *allowed)
        return self._write(
            self._any if permit is None else self._held,
            "info",
            f"Signed {what} by {by} for {peer} in {microseconds} µs: digest {digest}",
            f"MESSAGE_ID={SIGNED}",
            f"ORDERSIGNER_TYPE={payload.type}",
            *fields,
            f"ORDERSIGNER_SIGNER={signer}",
            f"ORDERSIGNER_DIGEST={digest}",
            *allowed,
            f"ORDERSIGNER_USEC={microseconds}",
            *peer.fields,
        )

    def refused(self, peer: Peer, refusal: Refusal, payload: Payload | None = None, signer: str | None = None) -> None:
        """A request was refused. Refusals past the rate leave no entry. The next entry of the same user and kind,
        by the policy or any other, has their number.

        payload, signer: what was to be signed with a held key, and its address.
        """
        if self._level < LEVELS["notice"]:
            return
        by_policy = isinstance(refusal, Denied) and payload is not None and signer is not None
        withheld = (self._refusals_by_policy if by_policy else self._refusals).next(peer.uid)
        if withheld is None:
            return
        field, in_words = entered(next(iter(refusal.context)))
        what = f"{in_words}: {refusal.code}" if field else refusal.code
        fields = [f"ORDERSIGNER_FIELD={field}", f"ORDERSIGNER_CODE={refusal.code}"]
        way = self._any
        if isinstance(refusal, Denied) and payload is not None and signer is not None:
            closest = f", closest rule {refusal.rule}" if refusal.rule else ""
            reason = f" ({refusal.reason})" if refusal.reason else ""
            digest = "0x" + payload.digest.hex()
            way = self._held if refusal.rule else self._any
            what += f"{reason}: {payload.entry()[0]} by {signer}{closest}: digest {digest}"
            fields += [
                f"ORDERSIGNER_TYPE={payload.type}",
                f"ORDERSIGNER_SIGNER={signer}",
                f"ORDERSIGNER_DIGEST={digest}",
                *_field("RULE", refusal.rule),
                *_field("SECTION", refusal.section),
            ]
        self._write(
            way,
            "notice",
            f"Refused a request of {peer}: {what}" + _more(withheld, "refusals of this kind"),
            f"MESSAGE_ID={REFUSED}",
            *fields,
            *peer.fields,
        )

    def nothing_allowed(self, peer: Peer) -> None:
        """A client asked which keys it may use, and it may use none. Limited in rate like refusals."""
        if self._level < LEVELS["notice"]:
            return
        withheld = self._refusals.next(peer.uid)
        if withheld is not None:
            message = f"No rule for uid {peer.uid}: a client asked which keys it may use ({peer})"
            self._write(self._any, "notice", message + _more(withheld, "refusals of this kind"), *peer.fields)

    def unread(self, peer: Peer, size: int) -> None:
        """A client sends requests and reads no responses, so no more requests are read. Limited like refusals."""
        if self._level < LEVELS["notice"]:
            return
        withheld = self._unread.next()
        if withheld is not None:
            message = (
                f"A client does not read its responses, of which {size // 1024} KiB wait here, so its requests are not "
                f"read either: it must read responses while it writes ({peer})"
            )
            self._write(self._any, "notice", message + _more(withheld, "such clients"), *peer.fields)

    def in_force(self, held: Sequence[str], wanted: int, missing: Sequence[str], rules: int, path: str | None) -> None:
        """A policy was loaded.

        held: addresses of the keys that the daemon has; wanted: how many it should have; missing: addresses that rules
        name and whose keys it does not have; path: of the policy.
        """
        if self._level < LEVELS["info"]:
            return
        keys = f"{len(held)} of {wanted} keys" + (f" ({', '.join(held)})" if held else "")
        gone = f"; not available: {', '.join(missing)}" if missing else ""
        self._write(
            self._held if held or rules else self._any,
            "info",
            f"In force: {keys}, {rules} {'rule' if rules == 1 else 'rules'}" + (f" of {path}" if path else "") + gone,
            f"MESSAGE_ID={IN_FORCE}",
            *(f"ORDERSIGNER_SIGNER={address}" for address in (*held, *missing)),
        )

    def froze(self, peer: Peer, rule: str) -> None:
        """A rule was frozen."""
        if self._level >= LEVELS["warning"]:
            self._write(self._held, "warning", f"Froze rule {rule} for {peer}", *_event("freeze", rule, peer))

    def thaws(self, peer: Peer, rule: str) -> bool:
        """A rule is about to be thawed. Returns whether that has its entry, if it must have one."""
        if self._level < LEVELS["notice"]:
            return True
        return self._write(self._held, "notice", f"Thawed rule {rule} for {peer}", *_event("thaw", rule, peer))

    def failed(self, what: str, error: BaseException) -> None:
        """A fault of the daemon's own, with its traceback; limited in rate, since clients may cause it.

        The error's text is left out unless it is the system's: other texts may quote what a client sent.
        """
        withheld = self._faults.next()
        if withheld is None:
            return
        name = str(error) if isinstance(error, OSError) else type(error).__name__
        message = "\n".join((f"{what}: {name}{_more(withheld, 'faults')}", *_places(error)))
        self._write(self._any, "err", message, f"MESSAGE_ID={FAILED}")

    def say(self, level: str, message: str) -> None:
        """Write an entry about the daemon itself: its start, its end, its limits."""
        if LEVELS[level] <= self._level:
            self._write(self._any, level, message)

    def _write(self, way: _Way, level: str, message: str, *fields: str) -> bool:
        """Whether the entry was taken."""
        entry = (f"MESSAGE={message}", f"PRIORITY={LEVELS[level]}", "SYSLOG_IDENTIFIER=ordersigner", *fields)
        try:
            way.send(entry, way.untaken_in_a_row == 0)
        except OSError:
            way.untaken += 1
            way.untaken_in_a_row += 1
            return False
        untaken, way.untaken_in_a_row = way.untaken_in_a_row, 0
        if untaken:
            self._write(
                way,
                "warning",
                f"{untaken} entries before the last one are missing: journald did not accept them in time",
            )
        return True


class _Way:
    """Where entries go. One that hangs holds up no entry that goes elsewhere."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.untaken = 0  # entries that were not taken
        self.untaken_in_a_row = 0  # of them, since the last that was taken


class _Rate:
    """Lets ENTRIES_PER_SECOND entries pass in a second, and counts the others. Safe for use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._entries = 0  # in that second
        self._withheld = 0  # since the last entry

    def next(self) -> int | None:
        """How many entries were withheld since the last one, or None if this one must be withheld too."""
        second = int(time.monotonic())
        with self._lock:
            if second != self._second:
                self._second, self._entries = second, 0
            if self._entries == ENTRIES_PER_SECOND:
                self._withheld += 1
                return None
            self._entries += 1
            withheld, self._withheld = self._withheld, 0
            return withheld

    def is_idle(self) -> bool:
        """Whether it can be forgotten: nothing is withheld, and its last entry was in an earlier second."""
        with self._lock:
            return not self._withheld and self._second != int(time.monotonic())


class _RatePerUser:
    """A _Rate for each user, and one for all users together that there are past MAX_USERS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rates: dict[int, _Rate] = {}
        self._others = _Rate()

    def next(self, uid: int) -> int | None:
        """As _Rate.next()."""
        return self._rate_of(user_behind(uid)).next()

    def _rate_of(self, user: int) -> _Rate:
        with self._lock:
            if user not in self._rates:
                if len(self._rates) >= MAX_USERS:
                    self._rates = {known: rate for known, rate in self._rates.items() if not rate.is_idle()}
                if len(self._rates) >= MAX_USERS:
                    return self._others
                self._rates[user] = _Rate()
            return self._rates[user]


def open_journal(level: str) -> Journal:
    """The journal that this process has to write to. level: a key of LEVELS. To be called before sockets are opened."""
    return Journal(LEVELS[level], sender(), sender_to_namespace())


def _field(name: str, value: str) -> tuple[str, ...]:
    return (f"ORDERSIGNER_{name}={value}",) if value else ()


def _event(event: str, rule: str, peer: Peer) -> tuple[str, ...]:
    return (f"MESSAGE_ID={FROZEN}", f"ORDERSIGNER_EVENT={event}", f"ORDERSIGNER_RULE={rule}", *peer.fields)


def _places(error: BaseException) -> Iterable[str]:
    """Where an error came from, the innermost place last, as Python prints it but without the sources: to read them may
    take a descriptor and memory that there is none of."""
    places: deque[str] = deque(maxlen=MAX_PLACES)
    at = error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        places.append(f'  File "{code.co_filename}", line {at.tb_lineno}, in {code.co_name}')
        at = at.tb_next
    return places


def _more(withheld: int, what: str) -> str:
    return f" ({withheld} more {what} not shown)" if withheld else ""
