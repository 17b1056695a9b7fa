"""Who may sign what with the keys that the daemon holds.

In: a client (Peer), the address of a key, and the data to sign (Payload). Out: a Permit, with the rule that allows it.
Raises Denied, with the objection of the rule that came closest. Rules only permit: a request is signed if one rule
allows all of it. Their order matters only for rates: a signature counts for the first rule that allows it. Without a
rule, nobody may sign anything, not even root.

An address that the client has no rule for is denied before it is looked up among the held keys. So neither an answer
nor the time that it takes tells which other keys there are.

No sockets, no files, no keys. What lasts longer than a request is in a Ledger, which is handed in. reader.py makes a
Policy from a file.
"""

from __future__ import annotations

import copy
import re
from typing import Callable, Mapping, NamedTuple, Protocol, Sequence

from ordersigner.payloads.payload import Payload
from ordersigner.peer import Peer
from ordersigner.policy.accounts import Accounts, Named, State
from ordersigner.refusal import Refusal

# Steps of objections that come after any objection to the payload.
TOTAL_STEP, RATE_STEP, FROZEN_STEP = 1000, 1001, 1002
MAX_NAMES = 4  # of what rules allow, that a refusal lists
OPEN_WITH_TOTAL = "how much is open at one time: the total counts what is signed, even if it is cancelled"
MAX_GRANTS = 64  # for clients with different rules, that are kept ready; one more, and all are dropped first
SPANS = {3600: "an hour", 86400: "a day"}  # of a total, by its seconds

# The names that a section may have, none of which looks like a private key.
is_name = re.compile(r"(?![0-9A-Fa-f]{64}\Z)[A-Za-z0-9._/-]{1,64}").fullmatch


class Objection(NamedTuple):
    """Why a rule does not allow something."""

    step: int  # the number of the check that failed: the higher, the closer the rule came
    field: str
    code: str
    message: str | Callable[[], str]  # a function if it takes time: most objections are never told
    section: str = ""  # the name of the one that objects
    names: Sequence[str] = ()  # what it allows in place of what was given, to follow the message
    reason: str = ""  # more than the client is told, for the administrator

    @property
    def text(self) -> str:
        """What the client is told."""
        message = self.message if isinstance(self.message, str) else self.message()
        names = sorted(set(self.names))
        if not names:
            return message
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        return f"{message} They allow: {', '.join(names[:MAX_NAMES])}{more}."


def closer(one: Objection, other: Objection) -> Objection:
    """The one that came closer; on a tie the first, with the names of both."""
    if other.step > one.step:
        return other
    if other.step == one.step and other.names:
        return one._replace(names=(*one.names, *other.names))
    return one


class Judge(Protocol):
    """The limits of a rule on one kind of payload."""

    def judge(self, payload: Payload, now: float) -> Objection | None:
        """now: seconds since 1970."""

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        """What the journal says about a payload that it allows: the name of the section that does, words and fields.

        The name is "any" if the rule says so. The words follow those of the payload.
        """

    @property
    def title(self) -> str:
        """The header of its section, such as [typed cow-sell]; "" if the limits are those of the rule itself."""

    totals: Sequence[Total]

    def needs(self, payload: Payload) -> Sequence[Need]:
        """The amounts that a payload takes from its totals, if it allows the payload."""

    def permits(self) -> list[str]:
        """What it allows, in words: the payload, and then each of its limits."""

    def leaves_open(self) -> list[str]:
        """What it does not limit, in words."""


class Rate(NamedTuple):
    """No more than `number` signatures in any span of `seconds`."""

    number: int
    seconds: int


class Total(NamedTuple):
    """No more than `limit` of a term in all signatures of any span of `seconds`."""

    section: str  # "" for a setting of the rule itself
    term: str  # without blanks
    seconds: int
    limit: int  # in the smallest units: a whole token has 10**decimals
    decimals: int
    kind: str = ""  # of the section, such as "typed"


class Need(NamedTuple):
    """The amount that one payload takes from a total. field: where a refusal is filed."""

    total: Total
    amount: int
    field: str


class Ledger(Protocol):
    """The state that outlasts a request: totals, rates, and frozen rules.

    Each method raises OSError if it cannot tell, and then the rule must not be used.

    generation: that of the policy that allows the signature, or None. If there is a newer one by now, enter() and
    reserve() raise an error of the ledger's own. Then nothing was begun, and nothing counted.
    """

    def enter(self, rule: str, generation: int | None = None) -> bool:
        """Begin a signature under a rule. If it is frozen, return False, and there is nothing to leave."""

    def leave(self, rule: str) -> None:
        """The signature has been handed out, or there will be none."""

    def reserve(
        self,
        totals: Sequence[tuple[str, int, int, int]],
        rate: tuple[str, int, int] | None,
        generation: int | None = None,
    ) -> tuple[int, int] | None:
        """Count one more signature, for good, if all totals and the rate have room for it.

        totals: for each its key, its seconds, its limit and the amount; rate: its key, its number and its seconds.
        Returns None, or the index of the first total that has no room and what it has left; len(totals) is the rate's.
        """


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
        self.users = tuple(users)
        self.groups = tuple(groups)
        self.judges = {type: tuple(several) for type, several in judges.items()}
        self.rate = rate
        self._rate = None if rate is None else (f"{name}\n\nrate", *rate)  # with its key in a ledger

    def looked_up(self, accounts: Accounts) -> Rule:
        """The same rule, with the numbers that its users and groups have now. Both count for the same rate."""
        rule = copy.copy(self)
        rule.users = tuple(user.looked_up(accounts.users) for user in self.users)
        rule.groups = tuple(group.looked_up(accounts.groups) for group in self.groups)
        return rule

    def judge(self, payload: Payload, now: float, ledger: Ledger, generation: int | None = None) -> Objection | Permit:
        """A Permit counts as a signature, and the rule is entered until permit.leave()."""
        closest = _NOT_THIS_TYPE
        is_entered = False
        try:
            for judge in self.judges.get(payload.type, ()):
                objection = judge.judge(payload, now)
                if objection is None:
                    if not is_entered and not ledger.enter(self.name, generation):
                        return Objection(FROZEN_STEP, "signer", "frozen", f"[rule {self.name}] is frozen.")
                    is_entered = True
                    objection = self._reserve(judge, payload, ledger, generation)
                    if objection is None:
                        is_entered = False
                        return Permit(self, judge, ledger)
                closest = closer(closest, objection)
        except OSError as error:
            message = f"[rule {self.name}] cannot be used: {_DAMAGED}"
            return Objection(FROZEN_STEP, "signer", "frozen", message, reason=str(error))
        finally:
            if is_entered:
                ledger.leave(self.name)
        return closest

    def _reserve(self, judge: Judge, payload: Payload, ledger: Ledger, generation: int | None) -> Objection | None:
        """Count the signature, or say what has no room for it."""
        needs = judge.needs(payload) if judge.totals else ()
        if not needs and self._rate is None:
            return None
        totals = [(self.key_of(total), total.seconds, total.limit, amount) for total, amount, _ in needs]
        shortage = ledger.reserve(totals, self._rate, generation)
        if shortage is None:
            return None
        index, left = shortage
        if index == len(needs):
            message = f"[rule {self.name}] allows no more signatures for now."
            return Objection(RATE_STEP, "signer", "rate_limited", message)
        return over_total(needs[index], left, f"rule {self.name}")

    @property
    def totals(self) -> list[Total]:
        """Those of all its judges."""
        judges = dict.fromkeys(judge for judges in self.judges.values() for judge in judges)
        return [total for judge in judges for total in judge.totals]

    def key_of(self, total: Total) -> str:
        """A total's key in a ledger: it begins at 0 again when the rule, the section or the term gets another name."""
        return f"{self.name}\n{total.section}\n{total.term}"


def over_total(need: Need, left: int, rule: str) -> Objection:
    """The objection to a payload for which a total has no room. left: in the smallest units."""
    total = need.total
    where = f"{total.kind} {total.section}" if total.section else rule
    message = f"This is more than [{where}] has left for {SPANS[total.seconds]}: {in_tokens(left, total.decimals)}."
    return Objection(TOTAL_STEP, need.field, "over_total", message, total.section)


def total_in_words(total: Total, counted: str) -> str:
    """The words for a total of what is counted."""
    limit, span = in_tokens(total.limit, total.decimals), SPANS[total.seconds].partition(" ")[2]
    return f"at most {limit} of {counted} in all signatures of any {span}, for all users and keys of this rule together"


def in_tokens(units: int, decimals: int) -> str:
    """An amount of whole tokens, exactly, without zeros at its end."""
    whole, part = divmod(abs(units), 10**decimals)
    fraction = f".{part:0{decimals}}".rstrip("0").rstrip(".") if part else ""
    return f"{'-' if units < 0 else ''}{whole}{fraction}"


class Permit(NamedTuple):
    """The rule that allows a payload, and the judge that does. The receiver must call leave()."""

    rule: Rule
    judge: Judge
    ledger: Ledger

    def leave(self) -> None:
        """The signature has been handed out, or there will be none."""
        self.ledger.leave(self.rule.name)


_DAMAGED = "the daemon's state is damaged or full; the journal says more."
_NOT_THIS_TYPE = Objection(0, "type", "not_allowed", "No rule allows this type of request with this key.")


class Denied(Refusal):
    """The policy, or a setting of the daemon, does not allow a request.

    rule, section: those that came closest, if there are any. reason: more than the client is told, for the
    administrator.
    """

    def __init__(self, objection: Objection, *, rule: str = "", reason: str = "") -> None:
        refusal = Refusal.of(objection.field, objection.code, objection.text)
        super().__init__(refusal.context, type="PermissionError")
        self.rule = rule
        self.section = objection.section
        self.reason = reason or objection.reason


class Grant:
    """What one client may do with one key."""

    def __init__(self, address: str, rules: Sequence[Rule]) -> None:
        self.address = address
        self.rules = tuple(rules)

    def allow(self, payload: Payload, *, now: float, ledger: Ledger, generation: int | None = None) -> Permit:
        """The permit for `payload`, which counts from here on. Raises Denied, and what the ledger raises.

        now: seconds since 1970. generation: for the ledger.
        """
        closest: Objection | None = None
        name = ""
        for rule in self.rules:
            verdict = rule.judge(payload, now, ledger, generation)
            if isinstance(verdict, Permit):
                return verdict
            if closest is None or verdict.step > closest.step:
                name = rule.name
            closest = verdict if closest is None else closer(closest, verdict)
        assert closest is not None  # a grant has at least one rule
        raise Denied(closest, rule=name)


class Policy:
    """All rules."""

    def __init__(self, rules: Sequence[Rule] = (), accounts_state: State = ()) -> None:
        """accounts_state: that of the system's files when users and groups got their numbers from them."""
        self.rules = tuple(rules)
        self.keys = {key for rule in rules for key in rule.keys}
        self.accounts_state = accounts_state
        # The places of the rules in the file, by the numbers of their users and groups: a client must not pay for the
        # rules of others.
        self._of_users: dict[int | None, list[int]] = {}
        self._of_groups: dict[int | None, list[int]] = {}
        for place, rule in enumerate(self.rules):
            for user in rule.users:
                self._of_users.setdefault(user.number, []).append(place)
            for group in rule.groups:
                self._of_groups.setdefault(group.number, []).append(place)
        # By the places of the rules: most connections are of a few users, and would each have thousands of objects.
        self._grants: dict[tuple[int, ...], Mapping[str, Grant]] = {}

    @property
    def named(self) -> set[Named]:
        """The users and groups of all rules."""
        return {named for rule in self.rules for named in (*rule.users, *rule.groups)}

    def looked_up(self, accounts: Accounts) -> Policy:
        """The same policy, with the numbers that its users and groups have now."""
        return Policy([rule.looked_up(accounts) for rule in self.rules], accounts.state)

    def grants(self, peer: Peer) -> Mapping[str, Grant]:
        """What a client may do, by the address of the key."""
        places = set(self._of_users.get(peer.uid, ()))
        for gid in {peer.gid, *peer.groups}:
            places.update(self._of_groups.get(gid, ()))
        chosen = tuple(sorted(places))
        grants = self._grants.get(chosen)
        if grants is None:
            rules: dict[str, list[Rule]] = {}
            for rule in (self.rules[place] for place in chosen):
                for key in rule.keys:
                    rules.setdefault(key, []).append(rule)
            grants = {address: Grant(address, own) for address, own in rules.items()}
            if len(self._grants) >= MAX_GRANTS:
                self._grants.clear()
            self._grants[chosen] = grants
        return grants


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


def not_ones_own() -> Denied:
    """A client names a rule that is not for it, whether or not there is such a rule."""
    return Denied(Objection(0, "rules", "not_allowed", "Not all of these are names of rules for this user."))


def only_root_thaws() -> Denied:
    """A program that was taken over must not start again what it had stopped."""
    return Denied(Objection(0, "type", "not_allowed", "Only root may thaw rules."))


def key_on_wire() -> Denied:
    """The daemon signs only with keys that it holds."""
    return Denied(Objection(0, "signer", "key_on_wire", "This daemon takes only addresses of keys that it holds."))
