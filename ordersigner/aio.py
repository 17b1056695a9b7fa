"""The client for asyncio: what it takes, returns and raises is what ordersigner.client says of the same names."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Callable, Iterable, Mapping

from ordersigner import client


class Client:
    """Asks the daemon, for all tasks on one connection: pipelined, answered in order. To be made in its event loop."""

    def __init__(self, path: str | None = None, timeout: float | None = client.TIMEOUT) -> None:
        self.path = path or client.default_path()
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._window = asyncio.Semaphore(client.MAX_UNANSWERED)
        self._connecting = asyncio.Lock()
        self._connection: client.Connection | None = None
        self._waiting: collections.deque[asyncio.Future[bytes | None]] = collections.deque()  # None: no response
        self._fruitless = 0  # connections that ended since the last response

    async def sign_spot(self, order: Mapping[str, Any], instrument: Mapping[str, Any], signer: str) -> str:
        return await self.sign({"type": "spot", "order": order, "instrument": instrument, "signer": signer})

    async def sign_futures(self, order: Mapping[str, Any], instrument: Mapping[str, Any], signer: str) -> str:
        return await self.sign({"type": "futures", "order": order, "instrument": instrument, "signer": signer})

    async def sign(self, request: Mapping[str, Any]) -> str:
        return await self._ask(request, client.read_signature)

    async def sign_many(self, requests: Iterable[Mapping[str, Any]], return_errors: bool = False) -> list[Any]:
        """All signatures, in the requests' order; with return_errors, an exception in the place of one that failed."""
        return await asyncio.gather(*map(self.sign, requests), return_exceptions=return_errors)

    async def ping(self) -> str:
        return await self._ask({"type": "ping"}, client.read_version)

    def close(self) -> None:
        """Close the connection. Who waits for a response gets Unavailable; who asks again opens another."""
        self._fruitless = client.ATTEMPTS
        self._end()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    async def _ask(self, request: Mapping[str, Any], read: Callable[[bytes], str | client.SignerError]) -> str:
        line = client.encode(request)
        async with self._window:
            while True:
                try:
                    response = await asyncio.wait_for(asyncio.shield(await self._send(line)), self.timeout)
                    if response is not None:
                        return client.result(read(response))
                except (asyncio.TimeoutError, client.ProtocolError) as error:
                    self._end()  # what comes from now on, no other request shall take for its response
                    if isinstance(error, client.ProtocolError):
                        raise
                    raise client.Unavailable(f"{self.path}: no answer within {self.timeout} seconds") from None
                if self._fruitless >= client.ATTEMPTS:
                    raise client.Unavailable(f"{self.path}: the connection ended without an answer")

    async def _send(self, line: bytes) -> asyncio.Future[bytes | None]:
        async with self._connecting:
            if self._connection is None:  # in a thread: a daemon that many others wait for takes its time
                self._connection = await self._loop.run_in_executor(None, client.connect, self.path, self.timeout)
                self._loop.add_reader(self._connection, self._receive, self._connection)
        self._waiting.append(self._loop.create_future())
        self._flush(self._connection, line)
        return self._waiting[-1]

    def _flush(self, connection: client.Connection, data: bytes = b"") -> None:
        connection.send(data)
        self._loop.remove_writer(connection)
        if connection.unsent:
            self._loop.add_writer(connection, self._flush, connection)

    def _receive(self, connection: client.Connection) -> None:
        responses = connection.receive()
        self._fruitless = 0 if responses else self._fruitless
        if responses is None or len(responses) > len(self._waiting):  # it ended, or nobody asked for what it says
            self._fruitless += bool(self._waiting)
            self._end()
            return
        for line in responses:
            self._waiting.popleft().set_result(line)

    def _end(self) -> None:
        if self._connection is not None:
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            self._connection.close()
            self._connection = None
        while self._waiting:
            self._waiting.popleft().set_result(None)
