"""The client for asyncio. Requests, results and exceptions are those of the same methods in ordersigner.client.

All calls share one connection and are answered in the order in which they were sent. Nothing here waits: attempts to
connect return at once, and callbacks of the event loop do the rest. A call is queued until there is a connection and
room on it, then it is sent. It ends with its response, at its timeout, or when its task is cancelled. The response to
a call that ended early is read and dropped.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Callable, Generic, Iterable, Mapping, TypeVar

from ordersigner import client

T = TypeVar("T")


class Client:
    """Gets signatures from the daemon. All tasks share one connection. Create it in the event loop that will use it.

    path: the daemon's socket, as for ordersigner.client.Client.
    timeout: seconds for each call, from the call to its result; None to wait without limit. This includes the wait for
    a connection, and the wait to be sent: at most 256 requests are sent and not yet answered.

    If the connection ends, the client makes a new one and sends the requests without a response again. Each call keeps
    its own time limit, and raises Unavailable after three connections in a row without any response.

    A call that times out raises Unavailable. If no response to any call came during the second half of its timeout,
    the client also replaces the connection and sends the other requests again.
    """

    def __init__(self, path: str | None = None, timeout: float | None = client.TIMEOUT) -> None:
        client.check_timeout(timeout)
        self.path = path or client.default_path()
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._connection: client.Connection | None = None
        self._responded = False  # whether the connection has given any response
        self._silent_since = 0.0  # when the connection was made or last gave a response, by the loop's clock
        self._next_attempt: asyncio.TimerHandle | None = None  # to connect, while too many clients wait
        self._retry_pauses = client.retry_pauses()
        self._queued: collections.deque[_Call[Any]] = collections.deque()
        self._sent: collections.deque[_Call[Any]] = collections.deque()  # on the connection, without a response so far

    async def sign_spot(self, order: Mapping[str, Any], instrument: Mapping[str, Any], signer: str) -> str:
        return await self.sign({"type": "spot", "order": order, "instrument": instrument, "signer": signer})

    async def sign_futures(self, order: Mapping[str, Any], instrument: Mapping[str, Any], signer: str) -> str:
        return await self.sign({"type": "futures", "order": order, "instrument": instrument, "signer": signer})

    async def sign_typed_data(
        self,
        signer: str,
        typed_data: Mapping[str, Any] | None = None,
        types: Mapping[str, Any] | None = None,
        primary_type: str | None = None,
        domain: Mapping[str, Any] | None = None,
        message: Mapping[str, Any] | None = None,
    ) -> str:
        return await self.sign(client.typed_data_request(signer, typed_data, types, primary_type, domain, message))

    async def sign_message(self, signer: str, text: str | None = None, data: bytes | None = None) -> str:
        return await self.sign(client.message_request(signer, text, data))

    async def sign_hyperliquid(
        self,
        signer: str,
        action: Mapping[str, Any],
        nonce: int,
        vault_address: str | None = None,
        expires_after: int | None = None,
        network: str = "mainnet",
    ) -> str:
        return await self.sign(client.hyperliquid_request(signer, action, nonce, vault_address, expires_after, network))

    async def sign(self, request: Mapping[str, Any]) -> str:
        return await self._ask(request, client.read_signature)

    async def sign_many(self, requests: Iterable[Mapping[str, Any]], return_errors: bool = False) -> list[Any]:
        """All signatures, in the order of the requests.

        Makes a call for each request, 256 at a time, and each call has its own timeout.

        return_errors: put the exception of a request that failed in place of its signature, instead of raising
        the first. After Unavailable, no more calls are made: the requests left get that exception too.
        """
        requests = list(requests)
        outcomes: list[Any] = [None] * len(requests)
        places = iter(range(len(requests)))

        async def work() -> None:
            for place in places:
                try:
                    outcomes[place] = await self.sign(requests[place])
                except (client.Error, TypeError, ValueError) as error:
                    if not return_errors:
                        raise
                    outcomes[place] = error
                    if isinstance(error, client.Unavailable):
                        for left in places:
                            outcomes[left] = error

        workers = [asyncio.ensure_future(work()) for _ in range(min(client.MAX_UNANSWERED, len(requests)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return outcomes

    async def ping(self) -> str:
        return await self._ask({"type": "ping"}, client.read_version)

    async def signers(self) -> list[client.Signer]:
        return await self._ask({"type": "signers"}, client.read_signers)

    def close(self) -> None:
        """Close the connection. Calls that wait raise Unavailable. A later call connects again."""
        calls = [*self._sent, *self._queued]
        self._sent.clear()
        self._queued.clear()
        self._disconnect()
        for call in calls:
            call.fail(client.Unavailable(f"{self.path}: the client was closed"))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    async def _ask(self, request: Mapping[str, Any], read: Callable[[bytes], T | client.SignerError]) -> T:
        call = _Call(client.encode(request), read, self._loop)
        timer = (
            None if self.timeout is None else self._loop.call_later(self.timeout, self._time_out, call, self.timeout)
        )
        try:
            self._queued.append(call)
            self._send_queued()
            return client.result(await call.outcome)
        finally:
            call.outcome.cancel()  # does nothing if there is one; otherwise the call is no longer sent
            if timer is not None:
                timer.cancel()

    def _send_queued(self) -> None:
        """Send queued calls, as many as there is room for. Without a connection, try to connect first."""
        while self._queued and self._queued[0].outcome.done():
            self._queued.popleft()
        if not self._queued or (self._connection is None and not self._connect()):
            return
        lines = []
        while self._queued and len(self._sent) < client.MAX_UNANSWERED:
            call = self._queued.popleft()
            if not call.outcome.done():
                self._sent.append(call)
                lines.append(call.line)
        self._flush(b"".join(lines))

    def _connect(self) -> bool:
        """Try to connect, once. If too many clients are waiting, try again soon; other failures end all calls."""
        if self._next_attempt is not None:
            return False
        try:
            self._connection = client.Connection(self.path)
        except client.BacklogFull:
            self._next_attempt = self._loop.call_later(next(self._retry_pauses), self._attempt_again)
            return False
        except client.Unavailable as error:
            while self._queued:
                self._queued.popleft().fail(client.Unavailable(str(error)))
            return False
        self._responded = False
        self._silent_since = self._loop.time()
        self._retry_pauses = client.retry_pauses()
        self._loop.add_reader(self._connection, self._receive)
        return True

    def _attempt_again(self) -> None:
        self._next_attempt = None
        self._send_queued()

    def _flush(self, data: bytes = b"") -> None:
        """Send `data` and what is unsent, now or as soon as the socket takes it."""
        assert self._connection is not None
        self._connection.send(data)
        if self._connection.unsent:
            self._loop.add_writer(self._connection, self._flush)
        else:
            self._loop.remove_writer(self._connection)

    def _receive(self) -> None:
        assert self._connection is not None
        responses = self._connection.receive()
        if responses is None:
            self._connection_lost()
            return
        if responses:
            self._responded = True
            self._silent_since = self._loop.time()
        try:
            if len(responses) > len(self._sent):
                raise client.ProtocolError(f"{self.path}: more responses than requests")
            for response in responses:
                self._sent[0].succeed(response)
                self._sent.popleft()
        except client.ProtocolError as error:
            # What comes next on this connection may answer any call, or none.
            if self._sent:
                self._sent.popleft().fail(error)
            self._send_again()
        else:
            self._send_queued()

    def _connection_lost(self) -> None:
        """The daemon ended the connection. Count that for each call that it left without an answer."""
        for call in self._sent:
            call.fruitless = 0 if self._responded else call.fruitless + 1
            if call.fruitless == client.ATTEMPTS:
                call.fail(client.Unavailable(f"{self.path}: {client.ATTEMPTS} connections ended without an answer"))
        self._send_again()

    def _send_again(self) -> None:
        """End the connection, and send the calls that it did not answer on another."""
        self._queued.extendleft(reversed(self._sent))
        self._sent.clear()
        self._disconnect()
        self._send_queued()

    def _disconnect(self) -> None:
        if self._next_attempt is not None:
            self._next_attempt.cancel()
            self._next_attempt = None
        if self._connection is not None:
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            self._connection.close()
            self._connection = None

    def _time_out(self, call: _Call[Any], timeout: float) -> None:
        if self._connection is None:
            call.fail(client.BacklogFull(f"cannot connect to {self.path}: too many clients are waiting"))
            return
        call.fail(client.Unavailable(f"{self.path}: no answer within {timeout} seconds"))
        if self._loop.time() - self._silent_since >= timeout / 2:
            self._send_again()


class _Call(Generic[T]):
    """A request on its way to its outcome."""

    def __init__(
        self, line: bytes, read: Callable[[bytes], T | client.SignerError], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.line = line
        self.outcome: asyncio.Future[T | client.SignerError] = loop.create_future()
        self.fruitless = 0  # connections in a row that ended without any response, with this call sent on them
        self._read = read

    def succeed(self, response: bytes) -> None:
        """Raises ProtocolError if `response` is not valid, also if nobody waits for it any more."""
        outcome = self._read(response)
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, error: client.Error) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
