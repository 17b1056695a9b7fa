"""The client for asyncio. Requests, results and exceptions are those of the same methods in ordersigner.client.

All calls share one connection and are answered in the order in which they were sent. Nothing here waits: attempts to
connect return at once, and callbacks of the event loop do the rest. A call is queued until there is a connection and
room on it, then it is sent. It ends with its response, at its timeout, or when its task is cancelled. The response to
a call that ended early is read and dropped.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Callable, Iterable, Mapping, TypeVar

from ordersigner import client

T = TypeVar("T")


class Client:
    """Gets signatures from the daemon. All tasks share one connection. Create it in the event loop that will use it.

    path: the daemon's socket, as for ordersigner.client.Client.
    timeout: seconds for each call, from the call to its result; None to wait without limit. This includes the time to
    connect, and to be sent: at most 256 requests, or 64 KiB of them, are on their way at a time.

    If the connection ends, the client makes a new one and resends the requests that got no response. Each call keeps
    its own time limit, and raises Unavailable after three connections in a row without any response.

    A call that times out raises Unavailable. If no call got a response during the second half of its timeout, the
    client also makes a new connection and resends the other requests.
    """

    def __init__(self, path: client.Path | None = None, timeout: float | None = client.TIMEOUT) -> None:
        client.check_timeout(timeout)
        self.path = client.path_text(path)
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._queued: collections.deque[_Call] = collections.deque()  # calls that are not in the exchange so far
        self._exchange = client.Exchange(self.path)
        self._connection: client.Connection | None = None
        self._silent_since = 0.0  # when the connection was made or last gave a response, by the loop's clock
        self._next_attempt: asyncio.TimerHandle | None = None  # to connect, while too many clients wait
        self._retry_pauses = client.retry_pauses()

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

    async def sign_transaction(self, signer: str, transaction: Mapping[str, Any]) -> client.SignedTransaction:
        return await self._ask(client.transaction_request(signer, transaction), client.read_transaction)

    async def sign(self, request: Mapping[str, Any]) -> str:
        return await self._ask(request, client.read_signature)

    async def sign_many(self, requests: Iterable[Mapping[str, Any]], return_errors: bool = False) -> list[Any]:
        """The signatures of all requests, as a list in their order.

        It makes a call for each request, 256 at a time, and each call has its own timeout.

        return_errors: put the exception of a request that failed in place of its signature, instead of raising the
        first one. After Unavailable, it makes no more calls: the remaining requests also get that exception.
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

    async def freeze(self, rules: Iterable[str] | None = None) -> client.Frozen:
        """Freeze rules. Later calls wait until this one is answered, because they share the connection."""
        return await self._ask(client.rules_request("freeze", rules), client.read_frozen)

    async def thaw(self, rules: Iterable[str] | None = None) -> client.Frozen:
        return await self._ask(client.rules_request("thaw", rules), client.read_frozen)

    def close(self) -> None:
        """Close the connection. Calls that wait raise Unavailable. A later call connects again."""
        self._disconnect()
        self._give_up(f"{self.path}: the client was closed")

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a client of ordersigner.aio belongs to its event loop: make one in each loop and process")

    async def _ask(self, request: Mapping[str, Any], read: Callable[[bytes], T | client.SignerError]) -> T:
        call = _Call(client.encode(request), read, self._loop)
        timer = None
        if self.timeout is not None:
            timer = self._loop.call_later(self.timeout, self._time_out, call, self.timeout)
        try:
            self._queued.append(call)
            self._send()
            outcome: T | client.Error = await call.settled
            return client.result(outcome)
        finally:
            call.settled.cancel()  # does nothing if there is an outcome; otherwise the call is no longer sent
            if timer is not None:
                timer.cancel()

    def _send(self) -> None:
        """Send queued calls, as many as there is room for. Without a connection, try to connect first."""
        if self._next_attempt is not None:
            return
        if self._connection is None:
            self._exchange.restart()
        while self._queued and self._exchange.has_room():
            call = self._queued.popleft()
            if not call.is_over():
                self._exchange.ask(call)
        if not self._exchange.unanswered or (self._connection is None and not self._connect()):
            return
        assert self._connection is not None
        self._connection.send(self._exchange.outgoing)
        if self._exchange.outgoing:
            self._loop.add_writer(self._connection, self._send)
        else:
            self._loop.remove_writer(self._connection)

    def _connect(self) -> bool:
        """Try to connect, once. If too many clients are waiting, try again soon; other failures end all calls."""
        try:
            self._connection = client.Connection(self.path)
        except client.BacklogFull:
            self._next_attempt = self._loop.call_later(next(self._retry_pauses), self._attempt_again)
            return False
        except client.Unavailable as error:
            self._give_up(str(error))
            return False
        self._silent_since = self._loop.time()
        self._retry_pauses = client.retry_pauses()
        self._loop.add_reader(self._connection, self._receive)
        return True

    def _give_up(self, reason: str) -> None:
        for call in [*self._exchange.unanswered, *self._queued]:
            call.settle(client.Unavailable(reason))
        self._queued.clear()
        self._exchange.restart()

    def _attempt_again(self) -> None:
        self._next_attempt = None
        self._send()

    def _receive(self) -> None:
        assert self._connection is not None
        data = self._connection.receive()
        if data is None:
            return
        if self._exchange.receive(data):
            self._silent_since = self._loop.time()
        if self._exchange.ended:
            self._disconnect()
        self._send()

    def _disconnect(self) -> None:
        if self._next_attempt is not None:
            self._next_attempt.cancel()
            self._next_attempt = None
        if self._connection is not None:
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            self._connection.close()
            self._connection = None

    def _time_out(self, call: _Call, timeout: float) -> None:
        if self._connection is None:
            call.settle(client.BacklogFull(client.BACKLOG_FULL % self.path))
            return
        call.settle(client.Unavailable(client.NO_ANSWER % (self.path, timeout)))
        if self._loop.time() - self._silent_since >= timeout / 2:
            self._disconnect()
            self._send()


class _Call(client.Call):
    """A call whose outcome is in a future, for the task that waits for it."""

    def __init__(self, line: bytes, read: Callable[[bytes], Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(line, read)
        self.settled: asyncio.Future[Any] = loop.create_future()

    def settle(self, outcome: object) -> None:
        if not self.settled.done():
            self.settled.set_result(outcome)

    def is_over(self) -> bool:
        return self.settled.done()
