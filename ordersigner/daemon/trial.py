"""`ordersignerd --check --try REQUESTS`: what the policy says to requests, one after the other. Nothing is signed.

In: a Policy, and lines of JSON: each a request as a client sends it, or an object with "request" and perhaps "uid",
"now" and "frozen": the user, the seconds since 1970, and the rules that are frozen. Out: for each line a Verdict, in
words without a private key. Raises nothing, whatever a line contains. Totals and rates begin empty.
"""

from __future__ import annotations

import json
from time import time
from typing import AbstractSet, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

from ordersigner import peer
from ordersigner.daemon.arguments import MAX_NOW, MAX_UID
from ordersigner.payloads.payload import Payload
from ordersigner.peer import Peer
from ordersigner.policy import rules
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Denied, Grant, Ledger, Policy
from ordersigner.refusal import Refusal
from ordersigner.serving.framing import MAX_LINE, TOO_LONG
from ordersigner.signing import protocol
from ordersigner.signing.keyring import Keyring
from ordersigner.signing.keys import Signer, address_in
from ordersigner.state.memory import Memory
from ordersigner.text import UTF_16, is_utf_16, printable, similar, without_mark

KEY_OF_CLIENT = "a key of the client's own, so no rule is asked"
NO_SIGNATURE = "no signature is asked for, so no rule is asked"

_WHITE = " \t\r\n"
_MEMBERS = ("request", "uid", "now", "frozen")
_JSON = json.JSONDecoder(parse_int=str)  # Python converts no more than about 4,300 digits


class Verdict(NamedTuple):
    """is_allowed: whether the daemon would answer without a refusal. lines: for people, all but the first indented."""

    is_allowed: bool
    lines: Sequence[str]


class Unreadable(Exception):
    """The requests cannot be read, for the reason that it says."""


class _Asked(NamedTuple):
    """A line that is tried. uid, now: None if the line has none."""

    request: bytes  # as a client sends it
    uid: int | None
    now: float | None
    frozen: AbstractSet[str]


class _Freezer:
    """A Ledger in which some rules are frozen."""

    def __init__(self, memory: Memory, frozen: AbstractSet[str]) -> None:
        self._frozen = frozen
        self.reserve = memory.reserve

    def enter(self, rule: str, generation: int | None = None) -> bool:
        return rule not in self._frozen

    def leave(self, rule: str) -> None:
        pass


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a file, or of standard input for "-", as they come. Raises Unreadable."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            for number, line in enumerate(file):
                if number == 0 and is_utf_16(line):
                    raise Unreadable(UTF_16)
                yield without_mark(line) if number == 0 else line
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None


class Trial:
    """Judges lines one after the other."""

    def __init__(
        self,
        policy: Policy,
        client: Peer,
        *,
        clock: Callable[[], float] = time,
        keyring: Keyring | None = None,
        wire_keys: bool = True,
    ) -> None:
        """client, clock: for lines that do not say. keyring: None if every key that a rule names counts as held."""
        self._policy = policy
        self._client = client
        self._clock = clock
        self._keyring = keyring
        self._wire_keys = wire_keys
        self._now = 0.0
        self._memory = Memory(lambda: self._now)
        self._clients: dict[int | None, tuple[Peer, Mapping[str, Grant]]] = {}

    def run(self, lines: Iterable[bytes]) -> int:
        """Print the verdict on each line that is not blank. Returns the exit status: 0, or 1 if one is refused."""
        status = 0
        for line in lines:
            content = line.strip(_WHITE.encode())
            if content:
                is_allowed, words = self.verdict(content)
                print("\n".join(words), flush=True)
                status = status if is_allowed else 1
        return status

    def verdict(self, line: bytes) -> Verdict:
        """line: without blanks at its ends."""
        try:
            asked = _read(line)
            self._now = self._clock() if asked.now is None else asked.now
            return self._judge(asked)
        except Refusal as refusal:
            first, *others = _words(refusal)
            return Verdict(False, [first, *(f"  {words}" for words in others)])

    def _judge(self, asked: _Asked) -> Verdict:
        """The steps of Conversation.respond() up to the signature. Raises Refusal before any rule is asked."""
        if len(asked.request) > MAX_LINE:
            raise Refusal.of("", "too_long", TOO_LONG)
        request = protocol.read_request(protocol.decode(asked.request))
        if request.type not in KINDS:
            return Verdict(True, [NO_SIGNATURE])
        form = KINDS[request.type].form
        payload = form.read(request.members)
        address = address_in(request.signer)
        signer = Signer(request.signer).address if address is None else address
        if address is None and not self._wire_keys:
            raise rules.key_on_wire()
        if form.check_signer is not None:
            form.check_signer(payload, signer)
        if address is None:
            return Verdict(True, [KEY_OF_CLIENT])
        client, grants = self._client_of(asked.uid)
        if address not in grants:
            raise rules.unknown_signer(client)
        grant = grants[address]
        if self._keyring is not None and self._keyring.get(address) is None:
            raise rules.key_unavailable(grant.rules[0])
        return self._ask(grant, payload, asked.frozen)

    def _client_of(self, uid: int | None) -> tuple[Peer, Mapping[str, Grant]]:
        if uid not in self._clients:
            client = self._client if uid is None else peer.of_user(uid)
            self._clients[uid] = client, self._policy.grants(client)
        return self._clients[uid]

    def _ask(self, grant: Grant, payload: Payload, frozen: AbstractSet[str]) -> Verdict:
        """The verdict of a client's rules for a key."""
        before = _Freezer(self._memory.copy(), frozen)
        try:
            permit = grant.allow(payload, now=self._now, ledger=_Freezer(self._memory, frozen))
            verdict = permit.rule.name
        except Denied as denied:
            permit = None
            (verdict,) = _words(denied)
        objections = []
        for rule in grant.rules:
            words = self._objection(Grant(grant.address, [rule]), payload, before)
            if words:
                objections.append(f"  rule {rule.name}: {words}")
        return Verdict(permit is not None, [verdict, *objections])

    def _objection(self, grant: Grant, payload: Payload, ledger: Ledger) -> str:
        """What one rule says against it; "" if nothing."""
        try:
            grant.allow(payload, now=self._now, ledger=ledger).leave()
        except Denied as denied:
            return _words(denied)[0]
        return ""


def _words(refusal: Refusal) -> list[str]:
    """CODE FIELD: text, for each problem, as the client gets it."""
    context = json.loads(protocol.refused(refusal, None))["error"]["context"]
    return [
        printable(f"{' '.join(filter(None, (problem['code'], field)))}: {problem['message']}")
        for field, problems in context.items()
        for problem in problems
    ]


def _read(line: bytes) -> _Asked:
    """What a line asks. One that is no object with "request" is a request itself, right or wrong. Raises Refusal."""
    members = _members(line)
    requests = [text for key, text in members if key == "request"]
    if not requests:
        return _Asked(line, None, None, frozenset())
    if len(requests) > 1:
        raise Refusal.of("request", "duplicate", "This key appears twice in its object.")
    others = ", ".join(f"{json.dumps(key)}: {text}" for key, text in members if key != "request")
    return _Asked(requests[0].encode(), *_options(protocol.decode(f"{{{others}}}".encode())))


def _members(line: bytes) -> list[tuple[str, str]]:
    """The members of the object in a line, each with the JSON of its value; none if the line is no such thing."""
    members = []
    try:
        text = line.decode()
        at = _skip(text, 0, "{")
        while True:
            key, end = _JSON.raw_decode(text, at)
            start = _skip(text, end, ":")
            _, end = _JSON.raw_decode(text, start)
            members.append((key, text[start:end]))
            end = _blanks(text, end)
            if text[end:] == "}":
                return members
            at = _skip(text, end, ",")
    except (ValueError, IndexError, RecursionError):
        return []


def _skip(text: str, at: int, mark: str) -> int:
    """The position after a mark and the blanks around it. Raises ValueError if another character comes first."""
    at = _blanks(text, at)
    if text[at] != mark:
        raise ValueError
    return _blanks(text, at + 1)


def _blanks(text: str, at: int) -> int:
    while text[at] in _WHITE:
        at += 1
    return at


def _options(message: protocol.Message) -> tuple[int | None, float | None, AbstractSet[str]]:
    """Who asks, when, and what is frozen. Raises Refusal."""
    for key in message:
        if key not in _MEMBERS:
            meant = similar(key, _MEMBERS)
            hint = f'Did you mean "{meant}"?' if meant else f"Besides request, there may be {', '.join(_MEMBERS[1:])}."
            raise Refusal.of(key, "unexpected", f"Unexpected key. {hint}")
    uid, now, frozen = (message.get(key) for key in _MEMBERS[1:])
    if "uid" in message and not (type(uid) is int and 0 <= uid <= MAX_UID):
        raise Refusal.of("uid", "wrong_type", f"This must be the number of a user, from 0 to {MAX_UID}.")
    if "now" in message and not (type(now) in (int, float) and 0 <= now <= MAX_NOW):  # type: ignore[operator]
        raise Refusal.of("now", "wrong_type", f"This must be seconds since 1970, from 0 to {MAX_NOW}.")
    if "frozen" in message and not (type(frozen) is list and all(type(name) is str for name in frozen)):
        raise Refusal.of("frozen", "wrong_type", "This must be an array with names of rules.")
    return uid, now, frozenset(frozen or ())  # type: ignore[return-value, call-overload]
