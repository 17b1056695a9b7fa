"""The road as a whole: a request line in, a response line out.

Knows no sockets and no systemd. Nothing a line can hold raises: what is the client's fault is answered as a refusal,
what is our own as an InternalError, with the detail in the journal.
"""

from __future__ import annotations

from time import perf_counter_ns

from ordersigner import __version__, orders, protocol
from ordersigner.journal import Journal
from ordersigner.keys import Signer
from ordersigner.peer import Peer
from ordersigner.refusal import Refusal

# What a request asks to have signed, by its type: from the request's members to a digest, and the facts about it.
READ = {"futures": orders.read, "spot": orders.read}
MAX_SIGNERS = 8  # keys that a connection keeps ready; one more, and all are dropped first. Most clients use one.


class Service:
    """What all conversations share: the journal, and the totals since the start."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.signed = 0
        self.refused = 0
        self.failed = 0


class Conversation:
    """The requests of one connection. The keys it sends are kept for as long as it lasts, and nowhere else."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._service = service
        self._peer = peer
        self._signers: dict[str, Signer] = {}

    def respond(self, line: bytes) -> bytes:
        """line: a request without its terminator. Returns the response with its own."""
        service = self._service
        start = perf_counter_ns()
        request_id: str | int | None = None
        try:
            message = protocol.decode(line)
            request_id = protocol.read_id(message)
            request = protocol.read_request(message)
            if request.type == "ping":
                return protocol.pong(__version__, request_id)
            subject = READ[request.type](request.members)
            signer = self._signer(request.signer)
            signature = signer.sign(subject.digest)
            response = protocol.signed(signature, request_id)
            microseconds = (perf_counter_ns() - start) // 1000
            service.journal.signed(self._peer, subject, signer.address, microseconds)
        except Refusal as refusal:
            return self.refuse(refusal, request_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the connection
            service.failed += 1
            service.journal.failed(f"A request of {self._peer} could not be answered", error)
            return protocol.failed(request_id)
        service.signed += 1
        return response

    def refuse(self, refusal: Refusal, request_id: str | int | None = None) -> bytes:
        """The response to a request that is refused, for its content or for how it came."""
        self._service.refused += 1
        self._service.journal.refused(self._peer, refusal)
        return protocol.refused(refusal, request_id)

    def _signer(self, text: str) -> Signer:
        signer = self._signers.get(text)
        if signer is None:
            if len(self._signers) == MAX_SIGNERS:
                self._signers.clear()
            signer = self._signers[text] = Signer(text)
        return signer
