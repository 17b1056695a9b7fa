"""Every step from a request line to its response line, in order.

Knows no sockets and no systemd. Nothing a line can hold raises: what is the client's fault is answered as a refusal,
what is our own as an InternalError, with the detail in the journal.

To freeze or to thaw rules may take seconds. Then respond() has no response, and finish() does the rest, while other
conversations go on. What needs no waiting is for respond(), where each client has its share of the work: refusals, and
requests that change nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from time import monotonic, perf_counter_ns, time
from typing import AbstractSet, Callable, Mapping, Sequence, TypeVar

from ordersigner import __version__
from ordersigner.payloads.payload import Payload
from ordersigner.peer import Peer
from ordersigner.policy import accounts, rules
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Grant, Permit, Policy, in_tokens
from ordersigner.refusal import Refusal
from ordersigner.signing import freezing, protocol
from ordersigner.signing.counters import Counters
from ordersigner.signing.journal import Journal
from ordersigner.signing.keyring import Keyring
from ordersigner.signing.keys import HeldKey, Signer, address_in
from ordersigner.state.memory import Memory, Outdated
from ordersigner.state.state_file import State

NOT_RECORDED = Refusal.of(
    "", "not_recorded", "The journal did not take the entry of this signature in time.", type="InternalError"
)
LOOK_AGAIN = 1.0  # seconds until a connection that uses held keys finds out again who the users of the policy are
MAX_SIGNERS = 8  # keys that a connection keeps ready; one more, and all are dropped first. Most clients use one.


T = TypeVar("T")


class Service:
    """What all conversations share: the journal, the held keys, the policy, and the counters."""

    def __init__(
        self,
        journal: Journal,
        keyring: Keyring | None = None,
        policy: Policy | None = None,
        *,
        ledger: Memory | State | None = None,
        wire_keys: bool = True,
        may_read_status: Callable[[Peer], bool] = lambda peer: False,
    ) -> None:
        """ledger: the state that all processes share; by default that of this process, which ends with it.

        wire_keys: whether clients may send keys of their own. may_read_status: whether one gets the counters.
        """
        self.journal = journal
        self.keyring = keyring or Keyring()
        self.policy = policy or Policy()
        self.ledger: Memory | State = ledger or Memory()
        self.generation: int | None = None  # of this policy; None if no other process can reload it
        # Takes the policy that another process has reloaded. Returns whether there was one.
        self.follow: Callable[[], bool] = lambda: False
        self.wire_keys = wire_keys
        self.may_read_status = may_read_status
        self.entries_get_lost = False  # whether journald drops entries after it took them
        self._replacing = threading.Lock()
        self.counters = Counters()

    def replace_policy(self, policy: Policy) -> None:
        """Use `policy` from the next request on."""
        with self._replacing:
            self.policy = policy
        self.counters.forget_rules_except({rule.name for rule in policy.rules})

    def look_users_up(self) -> None:
        """From here on, the names in the policy stand for the users and groups that have them now. Raises OSError."""
        if self.policy.accounts_state == accounts.state():
            return
        with self._replacing:
            before = self.policy
            self.policy = before.looked_up(accounts.read())
            changed = self.policy.named - before.named
        if changed:
            names = ", ".join(sorted(map(str, changed)))
            self.journal.say("notice", f"Users or groups of the policy have changed. They are now {names}")

    @property
    def frozen(self) -> AbstractSet[str]:
        """The names of the rules that allow nothing now: of all rules, if the state cannot tell which are frozen."""
        try:
            return self.ledger.frozen.keys()
        except OSError:
            return {rule.name for rule in self.policy.rules}

    def share_counts(self) -> None:
        """Have what this process counted by rule in the sums over all processes. What fails is tried again later."""
        with contextlib.suppress(OSError):
            self.counters.share(self.ledger.add_counts)

    def status(self) -> str:
        """For people, in one line."""
        parts = [self.counters.line()]
        held, wanted = self.keyring.count(self.policy.keys)
        if wanted:
            parts.append(f"{held} of {wanted} keys")
        frozen = sorted(self.frozen)
        if frozen:
            more = f" and {len(frozen) - 3} more" if len(frozen) > 3 else ""
            parts.append(f"frozen: {', '.join(frozen[:3])}{more}")
        if self.entries_get_lost:
            parts.append("journald drops entries: see the journal")
        if self.journal.hangs:
            parts.append("the journal takes no entries")
        return "; ".join(parts)

    def numbers(self) -> protocol.Message:
        """For monitoring."""
        held, wanted = self.keyring.count(self.policy.keys)
        return {
            "version": __version__,
            "pid": os.getpid(),
            **self.counters.numbers(),
            "not_recorded": self.journal.untaken,
            "keys": held,
            "keys_wanted": wanted,
            "frozen": sorted(self.frozen),
            "rules": self._numbers_of_rules(),
        }

    def _numbers_of_rules(self) -> protocol.Message:
        """By name, over all processes. What the state cannot tell is null."""
        self.share_counts()
        frozen = self.frozen
        counts = _if_readable(self.ledger.counts)
        return {
            rule.name: {
                "signed": None if counts is None else counts.get(rule.name, (0, 0))[0],
                "refused": None if counts is None else counts.get(rule.name, (0, 0))[1],
                "frozen": rule.name in frozen,
                "totals": [
                    {
                        "section": total.section,
                        "term": total.term,
                        "span": _SPAN[total.seconds],
                        "used": None if used is None else in_tokens(used, total.decimals),
                        "limit": in_tokens(total.limit, total.decimals),
                    }
                    for total in rule.totals
                    for used in [_if_readable(self.ledger.used, rule.key_of(total), total.seconds)]
                ],
            }
            for rule in self.policy.rules
        }


_SPAN = {3600: "hour", 86400: "day"}  # of a total, by its seconds


def _if_readable(read: Callable[..., T], *arguments: object) -> T | None:
    """What `read` returns; None if the state is damaged."""
    try:
        return read(*arguments)
    except OSError:
        return None


class Conversation:
    """The requests of one connection. The keys it sends are kept for as long as it lasts, and nowhere else."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._service = service
        self._peer = peer
        self._signers: dict[str, Signer] = {}
        self._grants: Mapping[str, Grant] = {}
        self._policy: Policy | None = None  # whose grants these are
        self._look_again = 0.0  # by monotonic(): when to find out again who the users of the policy are
        self.waits = False  # whether finish() has the response to the latest request
        # Of that request its type, the rules that it means, and its id.
        self._unfinished: tuple[str, Sequence[str], str | int | None] | None = None

    def respond(self, line: bytes) -> bytes:
        """line: a request without its terminator. Returns the response with its own.

        It is empty if finish() gives the response: then `waits` is true, and finish() comes before the next line.
        """
        service = self._service
        start = perf_counter_ns()
        request_id: str | int | None = None
        payload: Payload | None = None
        address: str | None = None
        permit: Permit | None = None
        try:
            message = protocol.decode(line)
            request_id = protocol.read_id(message)
            request = protocol.read_request(message)
            kind = KINDS.get(request.type)
            if kind is None:
                return self._answered(request, request_id)
            form = kind.form
            payload = form.read(request.members)
            address = address_in(request.signer)
            signer: Signer | HeldKey
            if address is None:
                signer = self._key_of_client(request.signer)
                if form.check_signer is not None:
                    form.check_signer(payload, signer.address)
            else:
                if form.check_signer is not None:  # before the policy: it is the request that contradicts itself
                    form.check_signer(payload, address)
                signer, permit = self._held_key_if_allowed(address, payload)
            signature = signer.sign(payload.digest)
            added = None if form.response is None else form.response(payload, signature)
            response = protocol.signed(signature, request_id, added)
            if service.journal.has_signatures:
                microseconds = (perf_counter_ns() - start) // 1000
                recorded = added and {name: added[name] for name in form.recorded}
                if not service.journal.signed(self._peer, payload, signer.address, permit, microseconds, recorded):
                    service.counters.failed += 1
                    return protocol.refused(NOT_RECORDED, request_id)
        except Refusal as refusal:
            return self.refuse(refusal, request_id, payload, address)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the connection
            return self._fail(error, request_id)
        finally:
            if permit is not None:
                permit.leave()
        service.counters.count(request.type, permit.rule.name if permit else "")
        return response

    def _answered(self, request: protocol.Request, request_id: str | int | None) -> bytes:
        """As respond(), for a request that asks for no signature. Raises Refusal."""
        if request.type == "ping":
            return protocol.pong(__version__, request_id)
        if request.type == "signers":
            return protocol.signers(self._usable_keys(), request_id)
        if request.type == "status":
            return protocol.status(self._status_if_allowed(), request_id)
        names = self._rules_meant(request)
        if freezing.is_done(request.type, names, self._service.ledger):
            return self._frozen(request_id, confirmed=True)
        self._unfinished, self.waits = (request.type, names, request_id), True
        return b""

    def finish(self, is_stopping: Callable[[], bool] = lambda: False) -> bytes:
        """The response to the request for which respond() had none. This may wait for seconds.

        is_stopping: whether the daemon stops, which ends the wait.
        """
        assert self._unfinished is not None
        (type, names, request_id), self._unfinished, self.waits = self._unfinished, None, False
        service = self._service
        try:
            if type == "thaw":
                freezing.thaw(names, self._peer, service.ledger, service.journal)
                return self._frozen(request_id, confirmed=True)
            confirmed = freezing.freeze(names, self._peer, service.ledger, service.journal, is_stopping)
            return self._frozen(request_id, confirmed=confirmed)
        except Refusal as refusal:
            return self.refuse(refusal, request_id)
        except Exception as error:  # noqa: BLE001 - as in respond()
            return self._fail(error, request_id)

    def _rules_meant(self, request: protocol.Request) -> Sequence[str]:
        """The rules that a request to freeze or to thaw is about. Raises Refusal."""
        names, ledger = protocol.read_rules(request.members), self._service.ledger
        if request.type == "thaw":
            return freezing.to_thaw(names, self._peer, ledger)
        own = self._own_rules()
        known = {rule.name for rule in self._service.policy.rules}
        return freezing.to_freeze(names, self._peer, own, ledger, known)

    def _frozen(self, request_id: str | int | None, *, confirmed: bool) -> bytes:
        """The response to a request to freeze or to thaw."""
        own = self._own_rules()
        frozen = [name for name in sorted(self._service.frozen) if name in own or self._peer.uid == 0]
        return protocol.frozen(frozen, confirmed, self._service.ledger.is_kept, request_id)

    def refuse(
        self,
        refusal: Refusal,
        request_id: str | int | None = None,
        payload: Payload | None = None,
        address: str | None = None,
    ) -> bytes:
        """The response to a request that is refused, for its content, for how it came, or by the policy.

        payload, address: what was to be signed with a held key, if anything.
        """
        self._service.counters.count_refusal(refusal.code, refusal.rule if isinstance(refusal, rules.Denied) else "")
        self._service.journal.refused(self._peer, refusal, payload, address)
        return protocol.refused(refusal, request_id)

    def _fail(self, error: Exception, request_id: str | int | None) -> bytes:
        """The response to a request on which the daemon failed."""
        self._service.counters.failed += 1
        self._service.journal.failed(f"A request of {self._peer} could not be answered", error)
        return protocol.failed(request_id)

    def report_unread(self, size: int) -> None:
        """Have the journal say that the client takes no responses. size: bytes that wait for it."""
        self._service.journal.unread(self._peer, size)

    def _key_of_client(self, text: str) -> Signer:
        """The key that the client sent."""
        signer = self._signers.get(text)
        if signer is None:
            signer = Signer(text)  # first, because text that is no key at all is refused as such
            if not self._service.wire_keys:
                raise rules.key_on_wire()
            if len(self._signers) == MAX_SIGNERS:
                self._signers.clear()
            self._signers[text] = signer
        return signer

    def _held_key_if_allowed(self, address: str, payload: Payload) -> tuple[HeldKey, Permit]:
        """The held key of an address, and the permit of the rule that lets this client sign `payload` with it.

        If a reload has returned before this was decided, it is decided again.
        """
        service = self._service
        while True:
            generation = service.generation  # before the policy, because a reload replaces the policy first
            try:
                grant = self._grants_of_policy().get(address)
                if grant is None:
                    raise rules.unknown_signer(self._peer)
                key = service.keyring.get(address)
                if key is None:
                    raise rules.key_unavailable(grant.rules[0])
                return key, grant.allow(payload, now=time(), ledger=service.ledger, generation=generation)
            except Outdated:
                service.follow()
            except rules.Denied:
                if not service.follow():
                    raise

    def _grants_in_force(self) -> Mapping[str, Grant]:
        """What the active policy lets this client do, even if another process has just reloaded it."""
        self._service.follow()
        return self._grants_of_policy()

    def _grants_of_policy(self) -> Mapping[str, Grant]:
        """The same, by the policy that this process has read.

        The number of a user who was deleted may be another's by now. So a connection looks before it uses a held key
        for the first time, and a connection that stays open looks again.
        """
        service = self._service
        now = monotonic()
        if now >= self._look_again:
            service.look_users_up()
            self._look_again = now + LOOK_AGAIN
        if self._policy is not service.policy:
            self._policy = service.policy
            self._grants = self._policy.grants(self._peer)
        return self._grants

    def _status_if_allowed(self) -> protocol.Message:
        """The counters, for root and users who may read the policy."""
        if not self._service.may_read_status(self._peer):
            raise rules.no_status()
        self._service.follow()
        return self._service.numbers()

    def _usable_keys(self) -> list[protocol.Message]:
        """The held keys that this client may use."""
        grants = self._grants_in_force().values()
        if not grants:
            self._service.journal.nothing_allowed(self._peer)
        keyring = self._service.keyring
        frozen = self._service.frozen
        return [
            {
                "address": grant.address,
                "rules": [rule.name for rule in grant.rules],
                "frozen": [rule.name for rule in grant.rules if rule.name in frozen],
                "available": keyring.get(grant.address) is not None,
            }
            for grant in grants
        ]

    def _own_rules(self) -> set[str]:
        """The names of the rules that are for this client."""
        return {rule.name for grant in self._grants_in_force().values() for rule in grant.rules}
