"""The asyncio client, where it differs from the other one, which test_client.py tests."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import json
import pickle
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemon import EXAMPLE, Daemon, standalone, vectors
from support.held import MARKET, address, holding, rule
from support.servers import (
    REFUSAL,
    TIME_LIMIT,
    FullServer,
    Peer,
    Server,
    large_both_ways,
    numbered,
    response,
    signature,
    well_behaved,
)

from ordersigner import __version__
from ordersigner.aio import Client
from ordersigner.client import ATTEMPTS, ProtocolError, SignerError, Unavailable
from ordersigner.client import Client as OtherClient

REQUEST: dict[str, Any] = EXAMPLE["request"]
SIGNATURE: str = EXAMPLE["expect"]["signature"]
BROKEN = dict(REQUEST, order=dict(REQUEST["order"], price=-1))


class ManualClock(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only in pass_time()."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def pass_time(self, seconds: float) -> None:
        """Move the clock. Run what is ready before that, and what is ready after it."""
        for step in (seconds, 0.0):
            for _ in range(10):
                await asyncio.sleep(0)
            self.now += step


def run(
    path: str | Path,
    work: Callable[[Client], Awaitable[None]],
    timeout: float | None = TIME_LIMIT,
    loop: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Run `work` with a client of the server at `path`. Check that no exception is lost, and no task left behind."""
    lost: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
        async with Client(path, timeout) as client:
            await work(client)
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    loop = loop or asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert not lost


def test_the_example_gets_its_signature(daemon: Daemon) -> None:
    async def work(client: Client) -> None:
        assert await client.sign(REQUEST) == SIGNATURE
        assert await client.sign_spot(REQUEST["order"], REQUEST["instrument"], REQUEST["signer"]) == SIGNATURE
        assert await client.ping() == __version__

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


def test_requests_for_todays_exchanges_are_those_of_the_other_client() -> None:
    address = "0x" + 40 * "a"
    typed_data = {"types": {}, "primaryType": "A", "domain": {}, "message": {"b": b"\x00\xff"}}
    action = {"type": "noop", "a": 1}
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("sign_typed_data", (address, typed_data)),
        ("sign_typed_data", (address, None, {}, "A", {}, {"b": b"\x00\xff"})),
        ("sign_message", (address, "1")),
        ("sign_message", (address, None, b"1")),
        ("sign_hyperliquid", (address, action, 1)),
        ("sign_hyperliquid", (address, action, 1, address, 2, "testnet")),
    ]
    lines: list[bytes] = []

    def behave(peer: Peer) -> None:
        while True:
            line = peer.line()
            if not line:
                return
            lines.append(line)
            peer.send(response(b'{"id": 1}'))

    with Server(behave) as server:
        with OtherClient(server.path, TIME_LIMIT) as other:
            for method, arguments in calls:
                assert getattr(other, method)(*arguments) == signature(1)

        async def work(client: Client) -> None:
            for method, arguments in calls:
                assert await getattr(client, method)(*arguments) == signature(1)
            with pytest.raises(TypeError, match="pass either text or data"):
                await client.sign_message(address)

        run(server.path, work)
    assert len(lines) == 2 * len(calls)
    assert lines[: len(calls)] == lines[len(calls) :]


def test_a_signed_transaction_comes_as_from_the_other_client() -> None:
    address, transaction = "0x" + 40 * "a", {"nonce": 5, "data": b"\x00"}
    answer = {"ok": True, "signature": signature(1), "transaction": "0x02", "hash": "0x" + 64 * "0"}
    lines: list[bytes] = []

    def behave(peer: Peer) -> None:
        while line := peer.line():
            lines.append(line)
            peer.send(json.dumps(answer).encode() + b"\r\n")

    with Server(behave) as server:
        with OtherClient(server.path, TIME_LIMIT) as other:
            expected = other.sign_transaction(address, transaction)

        async def work(client: Client) -> None:
            assert await client.sign_transaction(address, transaction) == expected

        run(server.path, work)
    assert lines[0] == lines[1]
    assert expected.transaction == "0x02"


def test_the_signers_come_as_from_the_other_client() -> None:
    key = {"address": "0x" + 40 * "a", "rules": ["bids"], "frozen": ["bids"], "available": True}

    def behave(peer: Peer) -> None:
        assert json.loads(peer.line()) == {"type": "signers"}
        peer.send(json.dumps({"ok": True, "signers": [key]}).encode() + b"\r\n")
        peer.line()
        peer.send(REFUSAL % b'{"code": "not_valid_choice", "message": "No."}')
        peer.line()
        peer.send(b'{"ok": true, "signers": [1]}\r\n')

    with Server(behave) as server:

        async def work(client: Client) -> None:
            assert await client.signers() == [key]
            with pytest.raises(SignerError, match="not_valid_choice"):
                await client.signers()
            with pytest.raises(ProtocolError, match="no valid signers"):
                await client.signers()

        run(server.path, work)


def test_rules_are_frozen_and_thawed_as_by_the_other_client() -> None:
    def behave(peer: Peer) -> None:
        assert json.loads(peer.line()) == {"type": "freeze", "rules": ["bids"]}
        peer.send(b'{"ok": true, "frozen": ["bids"], "confirmed": false}\r\n')
        assert json.loads(peer.line()) == {"type": "thaw"}
        peer.send(REFUSAL % b'{"code": "not_allowed", "message": "No."}')

    with Server(behave) as server:

        async def work(client: Client) -> None:
            assert await client.freeze(["bids"]) == {"frozen": ["bids"], "confirmed": False, "kept": True}
            with pytest.raises(SignerError, match="not_allowed"):
                await client.thaw()
            with pytest.raises(TypeError):
                await client.freeze("bids")

        run(server.path, work)


def test_a_key_that_the_daemon_holds_is_named_by_its_address(directory: Path) -> None:
    key: str = REQUEST["signer"]
    held = address(key)

    async def work(client: Client) -> None:
        assert await client.signers() == [{"address": held, "rules": ["example"], "frozen": [], "available": True}]
        assert await client.sign(dict(REQUEST, signer=held)) == SIGNATURE
        assert await client.sign_spot(REQUEST["order"], REQUEST["instrument"], held) == SIGNATURE
        with pytest.raises(SignerError, match="unknown_signer"):
            await client.sign(dict(REQUEST, signer="0x" + 40 * "1"))

    with standalone(directory, *holding(directory, {"example": key[2:]}, MARKET + rule("example", held))) as daemon:
        run(daemon.path, work)


def test_tasks_share_one_connection(daemon: Daemon) -> None:
    async def work(client: Client) -> None:
        threads = daemon.threads()
        requests = [dict(REQUEST, order=dict(REQUEST["order"], timestamp=number)) for number in range(1, 2001)]
        signatures = await asyncio.gather(*map(client.sign, requests))
        assert len(set(signatures)) == 2000
        assert await client.sign(requests[1234]) == signatures[1234]
        assert daemon.threads() <= threads + 1  # the daemon has one for each connection

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


def test_no_more_than_64_kib_and_a_line_are_sent_without_an_answer() -> None:
    asked = threading.Event()
    sizes: list[int] = []

    def count(peer: Peer) -> None:
        asked.wait(TIME_LIMIT)
        peer.connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                peer.received += peer.connection.recv(65536)
        sizes.append(len(peer.received))
        peer.connection.setblocking(True)
        peer.serve()

    with Server(count) as server:

        async def work(client: Client) -> None:
            requests = [dict(numbered(number), remark="x" * 1000) for number in range(120)]
            calls = [asyncio.ensure_future(client.sign(request)) for request in requests]
            await asyncio.sleep(0)
            asked.set()
            assert await asyncio.gather(*calls) == [signature(number) for number in range(120)]

        run(server.path, work)
    assert 64 * 1024 <= sizes[0] < 66 * 1024


def test_lines_that_are_too_long_end_connections_but_no_other_request(daemon: Daemon) -> None:
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


def test_a_cancelled_task_does_not_disturb_others() -> None:
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


def test_one_that_closes_in_the_middle_of_many_loses_none() -> None:
    def some(peer: Peer) -> None:
        peer.answer(7)
        peer.send(response(peer.line())[:-1])  # without its LF

    with Server(some) as server:

        async def work(client: Client) -> None:
            signatures = await client.sign_many(map(numbered, range(700)))
            assert signatures == [signature(number) for number in range(700)]
            assert server.connections == 100

        run(server.path, work)


def test_one_that_closes_between_requests_is_connected_to_again() -> None:
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


def test_each_call_has_its_timeout_from_when_it_was_asked() -> None:
    clock = ManualClock()
    with Server(lambda peer: peer.read()) as server:

        async def work(client: Client) -> None:
            calls = []
            for number in range(3):
                calls.append(asyncio.ensure_future(client.sign(numbered(number))))
                await clock.pass_time(0.4)
            assert [call.done() for call in calls] == [True, False, False]  # after 1.2 seconds
            await clock.pass_time(0.4)
            assert [call.done() for call in calls] == [True, True, False]
            await clock.pass_time(0.4)
            for call in calls:
                with pytest.raises(Unavailable, match=r"no answer within 1\.0 seconds"):
                    await call

        run(server.path, work, 1.0, clock)


@pytest.mark.parametrize("many", [False, True])
def test_any_number_of_calls_that_get_no_answer_end_at_their_timeout(many: bool) -> None:
    clock = ManualClock()
    with Server(lambda peer: peer.read()) as server:

        async def work(client: Client) -> None:
            requests = [numbered(number) for number in range(1000)]
            outcome: asyncio.Future[list[Any]]
            if many:
                outcome = asyncio.ensure_future(client.sign_many(requests, return_errors=True))
            else:
                outcome = asyncio.gather(*map(client.sign, requests), return_exceptions=True)
            await clock.pass_time(0.9)
            assert not outcome.done()
            await clock.pass_time(0.1)
            assert outcome.done()
            assert [type(error) for error in await outcome] == [Unavailable] * 1000

        run(server.path, work, 1.0, clock)


def test_a_timeout_of_none_never_ends_a_call() -> None:
    clock = ManualClock()
    answering = threading.Event()

    def late(peer: Peer) -> None:
        answering.wait(TIME_LIMIT)
        peer.serve()

    with Server(late) as server:

        async def work(client: Client) -> None:
            call = asyncio.ensure_future(client.sign(numbered(1)))
            await clock.pass_time(1e6)
            answering.set()
            assert await call == signature(1)

        run(server.path, work, None, clock)


def test_a_timeout_that_is_not_possible_is_refused() -> None:
    async def work(client: Client) -> None:
        for timeout in (0, -1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="timeout: must be None, or seconds: more than 0 and at most 86400"):
                Client(timeout=timeout)

    run("/nonexistent", work)


def test_a_call_that_got_no_answer_has_the_others_asked_again_on_another_connection() -> None:
    clock = ManualClock()
    with Server(lambda peer: peer.read(), well_behaved) as server:

        async def work(client: Client) -> None:
            client.timeout = 1.0
            first = asyncio.ensure_future(client.sign(numbered(1)))
            await clock.pass_time(0)
            client.timeout = 3.0
            others = [asyncio.ensure_future(client.sign(numbered(number))) for number in range(2, 100)]
            await clock.pass_time(1.0)
            assert first.done()
            with pytest.raises(Unavailable):
                await first
            assert await asyncio.gather(*others) == [signature(number) for number in range(2, 100)]
            assert server.connections == 2

        run(server.path, work, TIME_LIMIT, clock)


def test_a_call_that_got_no_answer_while_others_did_leaves_the_connection_to_them() -> None:
    clock = ManualClock()
    answering = [threading.Event(), threading.Event()]

    def slow(peer: Peer) -> None:
        for event in answering:
            event.wait(TIME_LIMIT)
            peer.answer(1)
        peer.serve()

    with Server(slow) as server:

        async def work(client: Client) -> None:
            calls = [asyncio.ensure_future(client.sign(numbered(number))) for number in (1, 2)]
            await clock.pass_time(0.75)
            answering[0].set()
            assert await calls[0] == signature(1)
            await clock.pass_time(0.25)
            with pytest.raises(Unavailable):
                await calls[1]
            answering[1].set()
            assert await client.sign(numbered(3)) == signature(3)
            assert server.connections == 1

        run(server.path, work, 1.0, clock)


def test_all_calls_wait_at_the_same_time_while_too_many_clients_are_waiting() -> None:
    clock = ManualClock()
    with FullServer(well_behaved) as server:

        async def work(client: Client) -> None:
            outcome = asyncio.gather(*(client.sign(numbered(n)) for n in range(10)), return_exceptions=True)
            await clock.pass_time(1.0)
            assert outcome.done()
            for error in await outcome:
                assert isinstance(error, Unavailable)
                assert str(error) == f"cannot connect to {server.path}: too many clients are waiting"

        run(server.path, work, 1.0, clock)


def test_one_connection_serves_all_calls_that_waited_for_it() -> None:
    with FullServer(well_behaved) as server:

        async def work(client: Client) -> None:
            outcome = asyncio.gather(*(client.sign(numbered(number)) for number in range(10)))
            await asyncio.sleep(0)
            server.make_room()
            assert await outcome == [signature(number) for number in range(10)]
            assert server.connections == 1

        run(server.path, work)


def test_a_call_that_is_cancelled_while_it_connects_leaves_nothing_behind() -> None:
    clock = ManualClock()
    with FullServer(well_behaved) as server:

        async def work(client: Client) -> None:
            call = asyncio.ensure_future(client.sign(numbered(1)))
            await clock.pass_time(0.01)  # some attempts
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            server.make_room()
            other = asyncio.ensure_future(client.sign(numbered(2)))
            while not other.done():
                await clock.pass_time(0.1)
            assert await other == signature(2)

        run(server.path, work, None, clock)


def test_a_path_need_not_be_text(daemon: Daemon) -> None:
    async def work(client: Client) -> None:
        assert await client.sign(REQUEST) == SIGNATURE
        assert client.path == daemon.path

    run(Path(daemon.path), work)


def test_a_client_that_is_copied_or_pickled_says_why_it_cannot_be() -> None:
    async def work(client: Client) -> None:
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="belongs to its event loop: make one in each loop and process"):
                attempt(client)

    run("/nonexistent", work)


@pytest.mark.parametrize("line", [b"garbage\r\n", b'{"ok": true}\r\n', b"x" * 3_000_000])
def test_what_is_not_a_response_is_an_error_and_ends_the_connection(line: bytes) -> None:
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


def test_a_reason_given_before_closing_is_raised() -> None:
    reason = REFUSAL % b'{"code": "too_many_connections", "message": "No connection left."}'
    with Server(lambda peer: peer.send(reason)) as server:

        async def work(client: Client) -> None:
            for _ in range(20):
                with pytest.raises(SignerError, match="too_many_connections"):
                    await client.sign(numbered(1))

        run(server.path, work)


def test_closing_ends_calls_that_wait_for_an_answer() -> None:
    asked = threading.Event()

    def silent(peer: Peer) -> None:
        peer.line()
        asked.set()
        peer.read()

    with Server(silent, well_behaved) as server:

        async def work(client: Client) -> None:
            task = asyncio.ensure_future(client.sign(numbered(1)))
            await asyncio.get_running_loop().run_in_executor(None, asked.wait, TIME_LIMIT)
            client.close()
            with pytest.raises(Unavailable):
                await task
            assert await client.sign(numbered(2)) == signature(2)

        run(server.path, work)


def test_a_client_that_was_closed_survives_lost_connections_as_a_new_one_does() -> None:
    def hang_up(peer: Peer) -> None:
        peer.line()

    with Server(well_behaved, hang_up, hang_up, well_behaved) as server:

        async def work(client: Client) -> None:
            assert await client.sign(numbered(1)) == signature(1)
            client.close()
            assert await client.sign(numbered(2)) == signature(2)
            assert server.connections == 4

        run(server.path, work)


def test_closing_ends_calls_that_wait_for_a_connection() -> None:
    with FullServer(well_behaved) as server:

        async def work(client: Client) -> None:
            call = asyncio.ensure_future(client.sign(numbered(1)))
            await asyncio.sleep(0)
            client.close()
            with pytest.raises(Unavailable, match="closed"):
                await call

        run(server.path, work)


def test_what_follows_a_line_that_is_not_a_response_is_not_taken_for_an_answer() -> None:
    def shifted(peer: Peer) -> None:
        lines = [peer.line() for _ in range(3)]
        peer.send(b"garbage\r\n" + response(lines[0]) + response(lines[1]))
        peer.serve()

    with Server(shifted, well_behaved) as server:

        async def work(client: Client) -> None:
            outcomes = await client.sign_many(map(numbered, range(3)), return_errors=True)
            assert isinstance(outcomes[0], ProtocolError)
            assert outcomes[1:] == [signature(1), signature(2)]

        run(server.path, work)


def test_an_answer_that_no_call_waits_for_is_not_taken_for_that_of_the_next_call() -> None:
    hung_up = threading.Event()

    def talkative(peer: Peer) -> None:
        peer.answer(1)
        peer.send(response(b'{"id": 9}')[:20])
        peer.read()
        hung_up.set()

    with Server(talkative, well_behaved) as server:

        async def work(client: Client) -> None:
            assert await client.sign(numbered(1)) == signature(1)
            assert await asyncio.get_running_loop().run_in_executor(None, hung_up.wait, TIME_LIMIT)
            assert await client.sign(numbered(2)) == signature(2)
            assert server.connections == 2

        run(server.path, work)


def test_two_answers_to_one_request_are_an_error() -> None:
    with Server(lambda peer: peer.send(response(peer.line()) * 2), well_behaved) as server:

        async def work(client: Client) -> None:
            with pytest.raises(ProtocolError, match="more responses than requests"):
                await client.sign(numbered(1))
            assert await client.sign(numbered(2)) == signature(2)

        run(server.path, work)


def test_a_failure_in_many_leaves_no_task_behind() -> None:
    def refuse_one(peer: Peer) -> None:
        peer.answer(10)
        peer.line()
        peer.send(REFUSAL % b'{"code": "negative", "message": "No."}')
        peer.serve()

    with Server(refuse_one) as server:

        async def work(client: Client) -> None:
            with pytest.raises(SignerError, match="negative"):
                await client.sign_many(map(numbered, range(1000)))
            assert await client.sign(numbered(2)) == signature(2)

        run(server.path, work)


def test_a_path_that_is_not_text_is_an_error_of_the_call() -> None:
    async def work(client: Client) -> None:
        client.path = 7  # type: ignore[assignment]
        with pytest.raises(TypeError):
            await client.sign(numbered(1))

    run("/nonexistent", work)
