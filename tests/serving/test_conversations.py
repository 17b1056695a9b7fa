"""One table of conversations, over every way there is to a daemon.

A conversation is what a client sends before it half-closes, and the responses it must get, in order: a signature, a
version, or the error codes by field.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest
from eth_account import Account
from oracles.hyperliquid_reference import expected as hyperliquid_digest
from support.daemon import (
    EXAMPLE,
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    TIME_LIMIT,
    activated,
    exchange,
    standalone,
    wait_until,
)

from ordersigner import __version__
from ordersigner.peer import peer_of
from ordersigner.serving import connection
from ordersigner.serving.server import Limits, OrderServer
from ordersigner.signing.conversation import Service
from ordersigner.signing.journal import LEVELS, Journal

SIGNED = {"ok": True, "signature": EXAMPLE["expect"]["signature"]}
PONG = {"ok": True, "version": __version__}
LONGEST = EXAMPLE_LINE[:-1] + b" " * (65536 - len(EXAMPLE_LINE)) + b"}"

KEY = "0x" + "1" * 64
ORDER_OF_BATCH = {"a": 1, "b": True, "p": "1100.5", "s": "0.02", "r": False, "t": {"limit": {"tif": "Gtc"}}}
ORDERS = {"type": "order", "orders": [], "grouping": "na"}
CANCEL = {"a": 1, "o": 123456789012}
CANCELS = {"type": "cancel", "cancels": []}


def batch(action: dict[str, Any], part: dict[str, Any], count: int | None = None) -> tuple[bytes, dict[str, Any]]:
    """A Hyperliquid action with so many parts, or with as many as a line takes; and the response, by eth-account."""
    *_, key = (key for key, value in action.items() if value == [])

    def request(count: int) -> dict[str, Any]:
        return {"type": "hyperliquid", "action": {**action, key: [part] * count}, "nonce": 1, "network": "mainnet"}

    def line(count: int) -> bytes:
        return json.dumps({**request(count), "signer": KEY}, separators=(",", ":")).encode()

    if count is None:
        count = (65536 - len(line(0)) + 1) // (len(line(2)) - len(line(1)))
        assert len(line(count)) <= 65536 < len(line(count + 1))
    signed = Account.unsafe_sign_hash(hyperliquid_digest(request(count)), KEY)
    return line(count) + b"\n", {"ok": True, "signature": "0x" + signed.signature.hex()}


BATCHES = [
    batch(*asked)
    for asked in ((ORDERS, ORDER_OF_BATCH, 500), (ORDERS, ORDER_OF_BATCH), (CANCELS, CANCEL, 1000), (CANCELS, CANCEL))
]

CONVERSATIONS: dict[str, tuple[bytes, list[Any]]] = {
    "nothing": (b"", []),
    "a line that ends with LF": (EXAMPLE_LINE + b"\n", [SIGNED]),
    "a line that ends with CRLF": (EXAMPLE_LINE + b"\r\n", [SIGNED]),
    "a last line without terminator": (EXAMPLE_LINE, [SIGNED]),
    "a last line that ends with CR": (EXAMPLE_LINE + b"\r", [SIGNED]),
    "blank lines": (b"\n\r\n  \r\n" + EXAMPLE_LINE + b"\n\n\r\n\t\n" + EXAMPLE_LINE + b"\n\n", [SIGNED, SIGNED]),
    "nothing but blank lines": (b"\n\r\n \n", []),
    "a ping": (b'{"type": "ping"}\n', [PONG]),
    "an id comes back": (
        b'{"type": "ping", "id": "a"}\n' + EXAMPLE_LINE[:-1] + b', "id": 7}\n',
        [{**PONG, "id": "a"}, {**SIGNED, "id": 7}],
    ),
    "an id comes back with an error": (b'{"type": "ping", "x": 1, "id": 7}\n', [{"x": ["unexpected"], "id": 7}]),
    "many lines at once": (
        b"".join(b'{"type": "ping", "id": %d}\n' % number for number in range(5000)),
        [{**PONG, "id": number} for number in range(5000)],
    ),
    "many orders at once": ((EXAMPLE_LINE + b"\r\n") * 300, [SIGNED] * 300),
    "batches, up to the longest": (b"".join(line for line, _ in BATCHES), [response for _, response in BATCHES]),
    "a batch with one order too many": (
        BATCHES[1][0].replace(b"[{", b"[" + json.dumps(ORDER_OF_BATCH).encode() + b",{"),
        [{"": ["too_long"]}],
    ),
    "rubbish between orders": (
        EXAMPLE_LINE + b"\nx\n" + EXAMPLE_LINE + b'\n{"type": "ping"\n\xff\n[]\n' + EXAMPLE_LINE,
        [
            SIGNED,
            {"": ["not_json"]},
            SIGNED,
            {"": ["not_json"]},
            {"": ["wrong_encoding"]},
            {"": ["wrong_type"]},
            SIGNED,
        ],
    ),
    "an HTTP request ends it": (
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + EXAMPLE_LINE + b"\n" + EXAMPLE_LINE,
        [{"": ["not_json"]}],
    ),
    "a line like that of an HTTP request does not end it later": (
        EXAMPLE_LINE + b"\nGET / HTTP/1.0\r\n" + EXAMPLE_LINE,
        [SIGNED, {"": ["not_json"]}, SIGNED],
    ),
    "lines of other protocols do not end it": (
        b"EHLO x\r\nHTTP/1.1 200 OK\r\nHost: x\r\n" + EXAMPLE_LINE,
        [*[{"": ["not_json"]}] * 3, SIGNED],
    ),
    "the longest line": (LONGEST + b"\n" + EXAMPLE_LINE, [SIGNED, SIGNED]),
    "the longest line with CRLF": (LONGEST + b"\r\n" + EXAMPLE_LINE, [SIGNED, SIGNED]),
    "the longest line without terminator": (LONGEST, [SIGNED]),
    "a line one byte too long ends it": (
        EXAMPLE_LINE + b"\n" + LONGEST + b" \n" + EXAMPLE_LINE + b"\n",
        [SIGNED, {"": ["too_long"]}],
    ),
    "a line far too long ends it": (EXAMPLE_LINE + b"\n" + b"x" * 10_000_000, [SIGNED, {"": ["too_long"]}]),
}

Ask = Callable[[bytes], bytes]


@contextlib.contextmanager
def over_a_socket_pair(directory: Path) -> Iterator[Ask]:
    """The server alone, in this process, with no listening socket involved."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with OrderServer(listener, Service(Journal(LEVELS["err"], lambda *fields: None)), Limits()) as server:

        def ask(sent: bytes) -> bytes:
            ours, theirs = socket.socketpair()
            with ours:
                server.process_request(theirs, peer_of(theirs))
                return exchange(ours, sent)

        yield ask
        server.drain()


@contextlib.contextmanager
def answered_at_once(directory: Path) -> Iterator[Ask]:
    """The same, with a client that is so fast that the accepting thread has its first request before it starts one."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    service = Service(Journal(LEVELS["err"], lambda *fields: None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "SPIN", TIME_LIMIT)
        with OrderServer(listener, service, Limits()) as server:

            def ask(sent: bytes) -> bytes:
                ours, theirs = socket.socketpair()
                with ours, ThreadPoolExecutor(1) as pool:
                    asking = pool.submit(exchange, ours, sent)
                    server.process_request(theirs, peer_of(theirs))
                    return asking.result(TIME_LIMIT)

            yield ask
            server.drain()


@contextlib.contextmanager
def over_a_socket_of_its_own(directory: Path) -> Iterator[Ask]:
    with standalone(directory) as daemon:
        yield daemon.ask
        assert daemon.stop() == 0


@contextlib.contextmanager
def over_a_socket_handed_over(directory: Path) -> Iterator[Ask]:
    with activated(directory) as daemon:
        yield daemon.ask
        assert daemon.stop() == 0
        assert Path(daemon.path).exists()  # it is not ours to remove


@contextlib.contextmanager
def over_nc(directory: Path) -> Iterator[Ask]:
    """As a person checks it."""
    assert shutil.which("nc"), "nc is missing: install netcat-openbsd"
    with standalone(directory) as daemon:
        yield (
            lambda sent: (
                subprocess.run(
                    ["nc", "-N", "-U", daemon.path], input=sent, stdout=subprocess.PIPE, timeout=TIME_LIMIT, check=False
                ).stdout
            )
        )


WAYS = [over_a_socket_pair, answered_at_once, over_a_socket_of_its_own, over_a_socket_handed_over, over_nc]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with request.param(tmp_path_factory.mktemp("way")) as asking:
        yield asking


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(ask: Ask, name: str) -> None:
    sent, expected = CONVERSATIONS[name]
    received = ask(sent)
    *responses, rest = received.split(b"\r\n")
    assert rest == b""
    assert [summary(json.loads(response)) for response in responses] == expected


def summary(response: dict[str, Any]) -> dict[str, Any]:
    """A response as the table has it: whole if it is good, its codes by field if it is not."""
    if response["ok"]:
        return response
    context = response.pop("error")["context"]
    assert response.pop("ok") is False
    return {**{field: [report["code"] for report in reports] for field, reports in context.items()}, **response}


def test_the_example_is_answered_byte_for_byte(ask: Ask) -> None:
    assert ask(EXAMPLE_LINE + b"\n") == EXAMPLE_RESPONSE


def test_a_client_that_waits_for_each_response_gets_it_without_half_closing(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, daemon.connect() as connection:
        for _ in range(3):
            connection.sendall(EXAMPLE_LINE + b"\n")
            received = b""
            while not received.endswith(b"\r\n"):
                received += connection.recv(1000)
            assert received == EXAMPLE_RESPONSE


def test_a_line_that_comes_byte_by_byte_is_a_line(tmp_path: Path) -> None:
    with standalone(tmp_path) as daemon, daemon.connect() as connection:
        for number in range(len(EXAMPLE_LINE)):
            connection.sendall(EXAMPLE_LINE[number : number + 1])
        assert exchange(connection, b"\n") == EXAMPLE_RESPONSE


def test_a_client_that_connected_before_the_daemon_was_up_is_served(tmp_path: Path) -> None:
    with activated(tmp_path) as daemon, daemon.connect() as connection:
        connection.sendall(EXAMPLE_LINE + b"\n")
        assert wait_until(lambda: connection.recv(1000)) == EXAMPLE_RESPONSE
