"""Who may have what signed with the keys that the daemon holds.

In: a client (Peer), the address of a key, and what is to be signed (Payload). Out: a Permit, with the rule that allows
it. Raises Denied, which says what the rule that came closest objects to. Rules only permit: a request is signed if one
rule allows all of it. Their order matters only for rates: a signature counts for the first rule that allows it. Without
a rule nobody may do anything, root included.

An address that the client has no rule for is denied before it is looked up among the held keys. So nobody learns, from
an answer or from the time that it takes, which other keys there are.

No sockets, no files, no keys; the rates are the only state. reader.py makes a Policy from a file.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import AbstractSet, Mapping, NamedTuple, Protocol, Sequence

from ordersigner.payloads.payload import Payload
from ordersigner.peer import Peer
from ordersigner.policy.accounts import Accounts, Named, State
from ordersigner.refusal import Refusal

RATE_STEP = 1000  # of the objection of a rate: more than that of any objection to what is signed


class Objection(NamedTuple):
    """Why a rule does not allow something."""

    step: int  # the number of the check that failed: the higher, the closer the rule came
    field: str
    code: str
    message: str


class Judge(Protocol):
    """What a rule says about one kind of payload."""

    def judge(self, payload: Payload, now: float) -> Objection | None:
        """now: seconds since 1970."""

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        """What the journal says about a payload that it allows: the name of the section that does, words and fields.

        The name is "any" if the rule says so. The words follow those of the payload.
        """

    def permits(self) -> list[str]:
        """What it allows, in words: the payload, and then each of its limits."""

    def leaves_open(self) -> list[str]:
        """What it does not limit, in words."""


class Rate:
    """No more than `number` signatures in any span of `seconds`."""

    def __init__(self, number: int, seconds: int) -> None:
        self.number = number
        self.seconds = seconds
        self._times: deque[float] = deque(maxlen=number)

    def take(self, now: float) -> bool:
        """Count one more signature, if the rate allows it. now: seconds of a clock that never goes back."""
        if len(self._times) == self.number and now - self._times[0] < self.seconds:
            return False
        self._times.append(now)
        return True

    def carry_over(self, earlier: Rate) -> None:
        """Count the signatures that the same rule allowed before a reload, too."""
        self._times.extend(earlier._times)


class Rule:
    """Lets some users have some payloads signed with some keys."""

    def __init__(
        self,
        name: str,
        *,
        line: int,
        keys: Sequence[str],
        users: Sequence[Named],
        groups: Sequence[Named],
        judges: Mapping[str, Sequence[Judge]],
        rate: Rate | None,
    ) -> None:
        """line: in the policy file. keys: addresses. judges: by a payload's type; one of several must allow it."""
        self.name = name
        self.line = line
        self.keys = tuple(keys)
        self._set_users(users, groups)
        self.judges = {type: tuple(several) for type, several in judges.items()}
        self.rate = rate

    def _set_users(self, users: Sequence[Named], groups: Sequence[Named]) -> None:
        self.users = tuple(users)
        self.groups = tuple(groups)
        self._uids = frozenset(user.number for user in users)
        self._gids = frozenset(group.number for group in groups)

    def looked_up(self, accounts: Accounts) -> Rule:
        """The same rule, with the numbers that its users and groups have now. Both count for the same rate."""
        rule = copy.copy(self)
        rule._set_users(
            [user.looked_up(accounts.users) for user in self.users],
            [group.looked_up(accounts.groups) for group in self.groups],
        )
        return rule

    def is_for(self, uid: int, gids: AbstractSet[int]) -> bool:
        return uid in self._uids or not self._gids.isdisjoint(gids)

    def judge(self, payload: Payload, now: float, ticks: float) -> Objection | Permit:
        """now, ticks: see Grant.allow()."""
        closest = _NOT_THIS_TYPE
        for judge in self.judges.get(payload.type, ()):
            objection = judge.judge(payload, now)
            if objection is None:
                return Permit(self, judge) if self.rate is None or self.rate.take(ticks) else _TOO_FAST
            if objection.step > closest.step:
                closest = objection
        return closest


class Permit(NamedTuple):
    """The rule that allows a payload, and the one of its judges that does."""

    rule: Rule
    judge: Judge


_NOT_THIS_TYPE = Objection(0, "type", "not_allowed", "No rule allows this type of request with this key.")
_TOO_FAST = Objection(RATE_STEP, "signer", "rate_limited", "Too many signatures in too short a time.")


class Denied(Refusal):
    """The policy, or a setting of the daemon, does not allow a request.

    rule: the one that came closest, if there is any. reason: more than the client is told, for the administrator.
    """

    def __init__(self, objection: Objection, *, rule: str = "", reason: str = "") -> None:
        refusal = Refusal.of(objection.field, objection.code, objection.message)
        super().__init__(refusal.context, type="PermissionError")
        self.rule = rule
        self.reason = reason


class Grant:
    """What one client may do with one key."""

    def __init__(self, address: str, rules: Sequence[Rule]) -> None:
        self.address = address
        self.rules = tuple(rules)

    def allow(self, payload: Payload, *, now: float, ticks: float) -> Permit:
        """The permit for `payload`; the rate of its rule counts one more signature from here on. Raises Denied.

        now: seconds since 1970; ticks: seconds of a clock that never goes back.
        """
        closest: Objection | None = None
        name = ""
        for rule in self.rules:
            verdict = rule.judge(payload, now, ticks)
            if isinstance(verdict, Permit):
                return verdict
            if closest is None or verdict.step > closest.step:
                closest, name = verdict, rule.name
        assert closest is not None  # a grant has at least one rule
        raise Denied(closest, rule=name)


class Policy:
    """All rules."""

    def __init__(self, rules: Sequence[Rule] = (), accounts_state: State = ()) -> None:
        """accounts_state: that of the system's files when users and groups got their numbers from them."""
        self.rules = tuple(rules)
        self.keys = {key for rule in rules for key in rule.keys}
        self.accounts_state = accounts_state

    @property
    def named(self) -> set[Named]:
        """The users and groups of all rules."""
        return {named for rule in self.rules for named in (*rule.users, *rule.groups)}

    def looked_up(self, accounts: Accounts) -> Policy:
        """The same policy, with the numbers that its users and groups have now."""
        return Policy([rule.looked_up(accounts) for rule in self.rules], accounts.state)

    def grants(self, peer: Peer) -> dict[str, Grant]:
        """What a client may do, by the address of the key."""
        gids = {peer.gid, *peer.groups}
        rules: dict[str, list[Rule]] = {}
        for rule in self.rules:
            if rule.is_for(peer.uid, gids):
                for key in rule.keys:
                    rules.setdefault(key, []).append(rule)
        return {address: Grant(address, own) for address, own in rules.items()}

    def carry_over(self, earlier: Policy) -> None:
        """Take over how often the rules of the same names were used under an earlier policy.

        A reload must not reset a rate. A rule that had another name, or no rate, begins a new count.
        """
        rates = {rule.name: rule.rate for rule in earlier.rules}
        for rule in self.rules:
            rate = rates.get(rule.name)
            if rule.rate is not None and rate is not None:
                rule.rate.carry_over(rate)


_UNKNOWN_SIGNER = (
    'This client may not use a key of this address. {"type": "signers"}, or the command "ordersigner signers", lists'
    " the keys that it may use."
)


def unknown_signer(peer: Peer) -> Denied:
    """A client has no rule for an address, whether or not the daemon holds that key."""
    objection = Objection(0, "signer", "unknown_signer", _UNKNOWN_SIGNER)
    return Denied(objection, reason=f"no rule for uid {peer.uid} names this key")


def key_unavailable(rule: Rule) -> Denied:
    """A rule names a key that could not be loaded."""
    objection = Objection(0, "signer", "key_unavailable", "The key of this address could not be loaded.")
    return Denied(objection, rule=rule.name)


def no_status() -> Denied:
    """The counters tell about other clients."""
    return Denied(Objection(0, "type", "not_allowed", "Only root and users who may read the policy get the status."))


def key_on_wire() -> Denied:
    """The daemon signs only with keys that it holds."""
    return Denied(Objection(0, "signer", "key_on_wire", "This daemon takes only addresses of keys that it holds."))
