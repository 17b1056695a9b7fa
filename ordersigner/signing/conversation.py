"""Every step from a request line to its response line, in order.

Knows no sockets and no systemd. Nothing a line can hold raises: what is the client's fault is answered as a refusal,
what is our own as an InternalError, with the detail in the journal.
"""

from __future__ import annotations

import os
import threading
from time import monotonic, perf_counter_ns, time
from typing import Callable

from ordersigner import __version__
from ordersigner.payloads.payload import Payload
from ordersigner.peer import Peer
from ordersigner.policy import accounts, rules
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import Grant, Ledger, Permit, Policy
from ordersigner.refusal import Refusal
from ordersigner.signing import protocol
from ordersigner.signing.counters import Counters
from ordersigner.signing.journal import Journal
from ordersigner.signing.keyring import Keyring
from ordersigner.signing.keys import HeldKey, Signer, address_in
from ordersigner.state.memory import Memory

NOT_RECORDED = Refusal.of(
    "", "not_recorded", "The journal did not take the entry of this signature in time.", type="InternalError"
)
LOOK_AGAIN = 1.0  # seconds until a connection that uses held keys finds out again who the users of the policy are
MAX_SIGNERS = 8  # keys that a connection keeps ready; one more, and all are dropped first. Most clients use one.


class Service:
    """What all conversations share: the journal, the held keys, the policy, and the counters."""

    def __init__(
        self,
        journal: Journal,
        keyring: Keyring | None = None,
        policy: Policy | None = None,
        *,
        ledger: Ledger | None = None,
        wire_keys: bool = True,
        may_read_status: Callable[[Peer], bool] = lambda peer: False,
    ) -> None:
        """wire_keys: whether clients may send keys of their own. may_read_status: whether one gets the counters."""
        self.journal = journal
        self.keyring = keyring or Keyring()
        self.policy = policy or Policy()
        self.ledger: Ledger = ledger or Memory()
        self.wire_keys = wire_keys
        self.may_read_status = may_read_status
        self.entries_get_lost = False  # whether journald drops entries after it took them
        self._replacing = threading.Lock()
        self.reloads = 0  # readings of the policy that have begun; see reload.take_policy()
        self.counters = Counters()

    def replace_policy(self, policy: Policy) -> None:
        """From the next request on, `policy` is in force."""
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

    def status(self) -> str:
        """For people, in one line."""
        parts = [self.counters.line()]
        held, wanted = self.keyring.count(self.policy.keys)
        if wanted:
            parts.append(f"{held} of {wanted} keys")
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
            "rules": len(self.policy.rules),
        }


class Conversation:
    """The requests of one connection. The keys it sends are kept for as long as it lasts, and nowhere else."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._service = service
        self._peer = peer
        self._signers: dict[str, Signer] = {}
        self._grants: dict[str, Grant] = {}
        self._policy: Policy | None = None  # whose grants these are
        self._look_again = 0.0  # by monotonic(): when to find out again who the users of the policy are

    def respond(self, line: bytes) -> bytes:
        """line: a request without its terminator. Returns the response with its own."""
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
            if request.type == "ping":
                return protocol.pong(__version__, request_id)
            if request.type == "signers":
                return protocol.signers(self._usable_keys(), request_id)
            if request.type == "status":
                return protocol.status(self._status_if_allowed(), request_id)
            form = KINDS[request.type].form
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
            microseconds = (perf_counter_ns() - start) // 1000
            if not service.journal.signed(self._peer, payload, signer.address, permit, microseconds):
                service.counters.failed += 1
                return protocol.refused(NOT_RECORDED, request_id)
        except Refusal as refusal:
            return self.refuse(refusal, request_id, payload, address)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the connection
            service.counters.failed += 1
            service.journal.failed(f"A request of {self._peer} could not be answered", error)
            return protocol.failed(request_id)
        finally:
            if permit is not None:
                permit.leave()
        service.counters.count(request.type, permit.rule.name if permit else "")
        return response

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
        self._service.counters.refused_by_code[refusal.code] += 1
        self._service.journal.refused(self._peer, refusal, payload, address)
        return protocol.refused(refusal, request_id)

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
        """The held key of an address, and the permit of the rule that lets this client sign `payload` with it."""
        service = self._service
        grant = self._grants_in_force().get(address)
        if grant is None:
            raise rules.unknown_signer(self._peer)
        key = service.keyring.get(address)
        if key is None:
            raise rules.key_unavailable(grant.rules[0])
        return key, grant.allow(payload, now=time(), ledger=service.ledger)

    def _grants_in_force(self) -> dict[str, Grant]:
        """What the policy that is in force lets this client do.

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
        return self._service.numbers()

    def _usable_keys(self) -> list[protocol.Message]:
        """The held keys that this client may use."""
        grants = self._grants_in_force().values()
        if not grants:
            self._service.journal.nothing_allowed(self._peer)
        keyring = self._service.keyring
        return [
            {
                "address": grant.address,
                "rules": [rule.name for rule in grant.rules],
                "available": keyring.get(grant.address) is not None,
            }
            for grant in grants
        ]
