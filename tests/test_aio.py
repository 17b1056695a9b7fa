"""The asyncio client: what is its own, beside what test_client.py says of the other, with which it shares the rest."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from daemon import EXAMPLE, Daemon, standalone, vectors
from servers import PATIENCE, REFUSAL, Peer, Server, large_both_ways, numbered, response, signature, well_behaved

from ordersigner.aio import Client
from ordersigner.client import ATTEMPTS, ProtocolError, SignerError, Unavailable

REQUEST: dict[str, Any] = EXAMPLE["request"]
SIGNATURE: str = EXAMPLE["expect"]["signature"]
BROKEN = dict(REQUEST, order=dict(REQUEST["order"], price=-1))


def run(path: str, work: Callable[[Client], Awaitable[None]], timeout: float = PATIENCE) -> None:
    """Let `work` have a client of the server at `path`, and see that no exception gets lost in the loop."""
    lost: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
        async with Client(path, timeout) as client:
            await work(client)
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert not lost


def test_the_example_gets_its_signature(daemon: Daemon) -> None:
    async def work(client: Client) -> None:
        assert await client.sign(REQUEST) == SIGNATURE
        assert await client.sign_spot(REQUEST["order"], REQUEST["instrument"], REQUEST["signer"]) == SIGNATURE
        assert await client.ping() == "1.0.0"

    run(daemon.path, work)


def test_published_orders_get_their_signatures_in_order(daemon: Daemon) -> None:
    rows = vectors("published-orders")

    async def work(client: Client) -> None:
        signatures = await client.sign_many(row["request"] for row in rows)
        assert signatures == [row["expect"]["signature"] for row in rows]
        futures = next(row for row in rows if row["request"]["type"] == "futures")
        request = futures["request"]
        signed = await client.sign_futures(request["order"], request["instrument"], request["signer"])
        assert signed == futures["expect"]["signature"]

    run(daemon.path, work)


def test_errors_are_raised_or_come_in_their_places(daemon: Daemon) -> None:
    async def work(client: Client) -> None:
        outcomes = await client.sign_many([REQUEST, BROKEN, REQUEST], return_errors=True)
        assert outcomes[::2] == [SIGNATURE] * 2
        assert isinstance(outcomes[1], SignerError)
        with pytest.raises(SignerError, match=r"order\.price"):
            await client.sign_many([REQUEST, BROKEN, REQUEST, BROKEN])
        with pytest.raises(SignerError, match=r"order\.price"):
            await client.sign(BROKEN)
        with pytest.raises(TypeError, match="signer: "):
            await client.sign(dict(REQUEST, signer=b""))
        assert await client.sign(REQUEST) == SIGNATURE

    run(daemon.path, work)


def test_tasks_share_one_connection(daemon: Daemon) -> None:
    async def work(client: Client) -> None:
        threads = daemon.threads()
        requests = [dict(REQUEST, order=dict(REQUEST["order"], timestamp=number)) for number in range(1, 2001)]
        signatures = await asyncio.gather(*map(client.sign, requests))
        assert len(set(signatures)) == 2000
        assert await client.sign(requests[1234]) == signatures[1234]
        assert daemon.threads() <= threads + 1  # it has one for each connection

    run(daemon.path, work)


def test_lines_and_responses_larger_than_the_kernel_holds_do_not_block_each_other(daemon: Daemon) -> None:
    unexpected = {"\\" * 1000 + str(number): number for number in range(10)}  # these names come back, escaped
    large = dict(REQUEST, **unexpected, order=dict(REQUEST["order"], remark="x" * 40_000))

    async def work(client: Client) -> None:
        outcomes = await client.sign_many([large] * 40, return_errors=True)
        codes = [{problem["code"] for problems in e.context.values() for problem in problems} for e in outcomes]
        assert codes == [{"unexpected"}] * 40

    run(daemon.path, work)


def test_one_that_reads_on_only_when_its_answer_is_taken_does_not_block_forever() -> None:
    with Server(large_both_ways) as server:

        async def work(client: Client) -> None:
            requests = [numbered(1)] * 20 + [dict(numbered(2), remark="x" * 1_000_000)]
            outcomes = await client.sign_many(requests, return_errors=True)
            assert [len(refusal.message) for refusal in outcomes[:20]] == [60_000] * 20
            assert outcomes[20:] == [signature(2)]

        run(server.path, work)


def test_lines_that_are_too_long_end_connections_and_no_other_request(daemon: Daemon) -> None:
    long = dict(REQUEST, order=dict(REQUEST["order"], remark="x" * 70000))

    async def work(client: Client) -> None:
        outcomes = await client.sign_many([REQUEST, long, long, long, long, REQUEST], return_errors=True)
        assert [outcomes[0], outcomes[-1]] == [SIGNATURE] * 2
        assert [error.context[""][0]["code"] for error in outcomes[1:-1]] == ["too_long"] * 4

    run(daemon.path, work)


def test_a_daemon_that_was_restarted_is_found_again(directory: Path) -> None:
    async def work(client: Client) -> None:
        for _ in range(2):
            with standalone(directory):
                assert await client.sign(REQUEST) == SIGNATURE
        with pytest.raises(Unavailable, match=r"cannot connect to .*/socket: No such file"):
            await client.ping()

    run(str(directory / "socket"), work)


def test_a_cancelled_task_disturbs_no_other() -> None:
    with Server(well_behaved) as server:

        async def work(client: Client) -> None:
            tasks = [asyncio.ensure_future(client.sign(numbered(number))) for number in range(100)]
            await tasks[0]
            for task in tasks[1::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert outcomes[::2] == [signature(number) for number in range(0, 100, 2)]
            assert server.connections == 1

        run(server.path, work)


def test_one_that_closes_in_the_midst_of_many_loses_none() -> None:
    def some(peer: Peer) -> None:
        peer.answer(7)
        peer.send(response(peer.line())[:-1])  # but for its LF

    with Server(some) as server:

        async def work(client: Client) -> None:
            signatures = await client.sign_many(map(numbered, range(700)))
            assert signatures == [signature(number) for number in range(700)]
            assert server.connections == 100

        run(server.path, work)


def test_one_that_closes_between_requests_goes_unnoticed() -> None:
    with Server(lambda peer: peer.answer(1)) as server:

        async def work(client: Client) -> None:
            for number in range(5):
                assert await client.sign(numbered(number)) == signature(number)

        run(server.path, work)


def test_one_that_always_closes_is_given_up() -> None:
    with Server(lambda peer: peer.line()) as server:

        async def work(client: Client) -> None:
            with pytest.raises(Unavailable, match="ended without an answer"):
                await client.sign(numbered(1))
            assert server.connections == ATTEMPTS

        run(server.path, work)


def test_one_that_never_answers_runs_into_the_timeout_for_all() -> None:
    with Server(lambda peer: peer.read()) as server:

        async def work(client: Client) -> None:
            outcomes = await client.sign_many(map(numbered, range(3)), return_errors=True)
            assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3

        run(server.path, work, timeout=0.05)


@pytest.mark.parametrize("line", [b"garbage\r\n", b'{"ok": true}\r\n', b"x" * 3_000_000])
def test_what_is_no_response_is_an_error_and_ends_the_connection(line: bytes) -> None:
    def wrong(peer: Peer) -> None:
        peer.line()
        peer.send(line)
        peer.serve()

    with Server(wrong, well_behaved) as server:

        async def work(client: Client) -> None:
            with pytest.raises(ProtocolError):
                await client.sign(numbered(1))
            assert await client.sign(numbered(2)) == signature(2)

        run(server.path, work)


def test_a_reason_given_while_closing_is_told() -> None:
    reason = REFUSAL % b'{"code": "too_many_connections", "message": "No connection left."}'
    with Server(lambda peer: peer.send(reason)) as server:

        async def work(client: Client) -> None:
            for _ in range(20):
                with pytest.raises(SignerError, match="too_many_connections"):
                    await client.sign(numbered(1))

        run(server.path, work)


def test_closing_gives_up_what_is_on_the_way() -> None:
    asked = threading.Event()

    def silent(peer: Peer) -> None:
        peer.line()
        asked.set()
        peer.read()

    with Server(silent, well_behaved) as server:

        async def work(client: Client) -> None:
            task = asyncio.ensure_future(client.sign(numbered(1)))
            await asyncio.get_running_loop().run_in_executor(None, asked.wait, PATIENCE)
            client.close()
            with pytest.raises(Unavailable):
                await task
            assert await client.sign(numbered(2)) == signature(2)

        run(server.path, work)
