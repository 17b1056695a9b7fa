"""Requests to freeze and to thaw rules: which a client may freeze, and the order of flag, journal and answer.

In: the client, the names that it gives, and those of the rules that are for it. Out: the rules that are meant, and
whether a freeze is confirmed: that the flag is on disk, and no signature is under way in any process. Raises Refusal,
and OSError if the state cannot be written.

A freeze comes before its entry in the journal, because it is urgent. A thaw comes after it, as a signature does.
"""

from __future__ import annotations

from itertools import takewhile
from time import monotonic, sleep
from typing import AbstractSet, Callable, Collection, Sequence

from ordersigner.peer import Peer
from ordersigner.policy import rules
from ordersigner.policy.rules import is_name
from ordersigner.refusal import Refusal
from ordersigner.signing.journal import Journal
from ordersigner.state.memory import Memory
from ordersigner.state.state_file import State
from ordersigner.state.storage import NoRoom

PATIENCE = 6.0  # seconds for signatures that are under way; the journal may take 5 of them
LOOK_EVERY = 0.005  # seconds, at first
SELDOM = 0.1  # seconds, in the end: many clients may wait for the same signer that hangs
MAX_STRANGERS = 64  # frozen names that no rule has
NOT_RECORDED = Refusal.of(
    "", "not_recorded", "The journal did not take the entry, so the rule stays frozen.", type="InternalError"
)
NO_ROOM = Refusal.of(
    "rules",
    "too_many_values",
    "Nothing was frozen: too many rules are. Root must thaw some that the policy does not have any more.",
)


def to_freeze(
    names: Sequence[str] | None, peer: Peer, own: Collection[str], ledger: Memory | State, known: AbstractSet[str]
) -> Sequence[str]:
    """The rules that a client means, all that it may freeze if it gives no names. Raises Refusal.

    own: names of the rules that are for the client. known: those of all rules.
    """
    if peer.uid != 0:
        if not set(own).issuperset(names or ()):
            raise rules.not_ones_own()
        return sorted(own) if names is None else names
    if names is None:
        return sorted(known)
    _check(names)
    if len({*_known_frozen(ledger), *names} - known) > MAX_STRANGERS:
        message = f"At most {MAX_STRANGERS} names that no rule has may be frozen: thaw some."
        raise Refusal.of("rules", "too_many_values", message)
    return names


def is_done(type: str, names: Sequence[str], ledger: Memory | State) -> bool:
    """Whether a request is done already, so that freeze() or thaw() would change nothing and wait for nothing."""
    return not names or (type == "freeze" and ledger.has_frozen(names) and ledger.is_idle(names))


def freeze(
    names: Sequence[str], peer: Peer, ledger: Memory | State, journal: Journal, is_stopping: Callable[[], bool]
) -> bool:
    """Freeze rules. Returns whether it is confirmed within PATIENCE, or before the daemon stops. May wait as long.

    Raises Refusal if the state has no room for the names.
    """
    until = monotonic() + PATIENCE
    before = _known_frozen(ledger)
    try:
        confirmed = ledger.freeze(names, peer.uid)
    except NoRoom:
        raise NO_ROOM from None
    for name in names:
        if name not in before:
            journal.froze(peer, name)
    pause = LOOK_EVERY
    while not confirmed and monotonic() < until and not is_stopping():
        sleep(pause)
        pause = min(1.5 * pause, SELDOM)
        confirmed = ledger.is_idle(names)
    return confirmed


def to_thaw(names: Sequence[str] | None, peer: Peer, ledger: Memory | State) -> Sequence[str]:
    """The frozen rules that a client means, all of them if it gives no names. Raises Refusal."""
    if peer.uid != 0:
        raise rules.only_root_thaws()
    _check(names or ())
    return [name for name in sorted(ledger.frozen) if names is None or name in names]


def thaw(names: Sequence[str], peer: Peer, ledger: Memory | State, journal: Journal) -> None:
    """Thaw rules. If the journal does not take the entry of one, that and those after it stay frozen: raise Refusal."""
    recorded = list(takewhile(lambda name: journal.thaws(peer, name), names))
    if recorded:
        ledger.thaw(recorded)  # together: each change waits for the disk
    if len(recorded) < len(names):
        raise NOT_RECORDED


def _known_frozen(ledger: Memory | State) -> set[str]:
    """The frozen rules; none if nobody knows, which must keep no rule from being frozen."""
    try:
        return set(ledger.frozen)
    except OSError:
        return set()


def _check(names: Sequence[str]) -> None:
    if not all(map(is_name, names)):
        message = "The name of a rule has at most 64 letters, digits and . _ / - and does not look like a private key."
        raise Refusal.of("rules", "not_name", message)
