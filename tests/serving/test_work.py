"""The order of work: turns by time, the connections of the worker, and its failures."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support.daemon import wait_until

from ordersigner.serving import work
from ordersigner.serving.channel import Backlog, Channel
from ordersigner.serving.stop import Stop
from ordersigner.serving.turns import LONG, Share
from ordersigner.serving.work import Work
from ordersigner.signing.conversation import Conversation

FAILS = b"fails\n"


class Slow(Conversation):
    """Takes `seconds` of processor time for each line, and has no response to send."""

    waits = False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def respond(self, line: bytes) -> bytes:
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        if line == FAILS.strip():
            raise MemoryError
        return b""


class Client(Channel):
    """A channel that answers one line per turn, however short the turn."""

    def __init__(self, seconds: float, turns: list[Client]) -> None:
        """seconds: processor time for each line. turns: the client of each turn so far, of all clients."""
        self.socket, self.other_end = socket.socketpair()
        self.conversation = Slow(seconds)
        self.stop = Stop()
        super().__init__(self.socket, self.conversation, self.stop, Backlog())
        self.readable = False
        self.turns = turns
        self.share = Share(self, 0.0)  # until a test has the worker admit it as a new one
        self.share.returned.acquire()
        self.share.line_seconds = 0.0

    def enter(self, work: Work) -> None:
        """As a new connection does."""
        self.share = work.admit(self)
        self.share.returned.acquire()

    def add(self, lines: int, line: bytes = b"x\n") -> None:
        """As if they had been read."""
        self.buffer.feed(line * lines)
        self.all_answered = False

    def answer_lines(self, until: float) -> int:
        self.turns.append(self)
        return super().answer_lines(0.0)

    def close(self) -> None:
        self.socket.close()
        self.other_end.close()
        self.stop.close()

    @property
    def returned(self) -> bool:
        return not self.share.returned.locked()


@contextlib.contextmanager
def working() -> Iterator[tuple[Work, list[Exception]]]:
    faults: list[Exception] = []
    worker = Work(faults.append)
    try:
        yield worker, faults
    finally:
        worker.return_all()
        worker.close(20)


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    """Three: one whose lines take as long as an order, two whose lines take twenty times as long."""
    turns: list[Client] = []
    made = [Client(seconds, turns) for seconds in (0.1e-3, 2e-3, 2e-3)]
    yield made
    for client in made:
        client.close()


def test_turns_are_shared_by_time_and_not_by_lines(clients: list[Client]) -> None:
    light, *heavy = clients
    with working() as (worker, _):
        with worker.work_lock:
            for client, lines in ((heavy[0], 40), (heavy[1], 40), (light, 400)):
                client.enter(worker)
                client.add(lines)
                worker.leave(client.share)
        wait_until(lambda: all(client.returned for client in clients))
    turns = light.turns
    first_half = turns[: turns.index(light) + 200]
    # 20 would be fair to the microsecond.
    assert first_half.count(light) > 5 * first_half.count(heavy[0])
    assert abs(first_half.count(heavy[0]) - first_half.count(heavy[1])) <= 3


def test_a_client_with_short_lines_waits_for_one_long_line_at_a_time(clients: list[Client]) -> None:
    """However many others have long lines: otherwise all of these could come before each of its lines."""
    light, *heavy = clients
    with working() as (worker, _):
        with worker.work_lock:
            for client, lines in ((heavy[0], 40), (heavy[1], 40), (light, 200)):
                client.enter(worker)
                client.add(lines)
                worker.leave(client.share)
        wait_until(lambda: all(client.returned for client in clients))
    turns = light.turns[light.turns.index(light) :]
    assert turns.count(light) == 200
    while light in turns:
        turn = turns.pop(0)
        assert light in (turn, turns[0])


def test_clients_with_short_lines_do_not_keep_those_with_long_lines_waiting(clients: list[Client]) -> None:
    light, *heavy = clients
    with working() as (worker, _):
        with worker.work_lock:
            for client, lines in ((light, 400), (heavy[0], 5), (heavy[1], 5)):
                client.enter(worker)
                client.add(lines)
                worker.leave(client.share)
        wait_until(lambda: all(client.returned for client in clients))
    assert light.turns.index(heavy[0]) < 50
    assert set(light.turns[-100:]) == {light}  # all time was shared in halves


def test_a_client_with_long_lines_gets_no_more_than_its_share_among_many() -> None:
    """Those with long lines can have half of the time only if they are many."""
    turns: list[Client] = []
    heavy, *light = (Client(seconds, turns) for seconds in (2e-3, *[0.1e-3] * 9))
    with contextlib.ExitStack() as cleanup, working() as (worker, _):
        for client in (heavy, *light):
            cleanup.callback(client.close)
        with worker.work_lock:
            for client, lines in ((heavy, 40), *((client, 200) for client in light)):
                client.enter(worker)
                client.add(lines)
                worker.leave(client.share)
        wait_until(lambda: all(client.returned for client in (heavy, *light)))
    # For each of its turns, each of the nine others has about as much time: 180 turns. With half of it, they had 20.
    fifth = [number for number, turn in enumerate(turns) if turn is heavy][4]
    assert fifth > 5 * 60


def test_clients_that_began_together_do_not_go_on_together(clients: list[Client]) -> None:
    """Otherwise hundreds of them would come between two orders, and then none for a while."""
    light, *heavy = clients
    for client in clients:
        client.conversation.seconds = 0.02e-3 if client is light else 0.5e-3
    with working() as (worker, _):
        with worker.work_lock:
            for client, lines in ((heavy[0], 60), (heavy[1], 60), (light, 600)):
                client.add(lines)
                worker.leave(client.share)
        wait_until(lambda: all(client.returned for client in clients))
    turns = light.turns[: light.turns.index(light) + 300]
    apart = sum(one is not light and other is light for one, other in zip(turns, turns[1:]))
    assert apart > (len(turns) - turns.count(light)) * 2 // 3


def test_only_a_turn_with_a_response_says_how_long_the_lines_take(clients: list[Client]) -> None:
    """Reading the beginning of a line takes little time, whatever the line is."""
    answered, unanswered, _ = clients
    with working() as (worker, _):
        for client, line in ((answered, b"x\n"), (unanswered, b"x")):
            client.enter(worker)
            client.add(1, line)
            worker.leave(client.share)
        wait_until(lambda: answered.returned and unanswered.returned)
    assert answered.share.line_seconds < LONG
    assert unanswered.share.line_seconds == LONG


def test_a_newcomer_does_not_come_before_those_who_wait(clients: list[Client]) -> None:
    """Otherwise clients that connect again for each request would keep the others waiting."""
    waiting, newcomer, _ = clients
    with working() as (worker, _):
        waiting.enter(worker)
        newcomer.enter(worker)
        with worker.work_lock:
            for client in (waiting, newcomer):
                client.add(1)
                worker.leave(client.share)
        wait_until(lambda: waiting.returned and newcomer.returned)
    assert waiting.turns == [waiting, newcomer]


def test_nobody_works_in_its_own_thread_while_others_wait(clients: list[Client]) -> None:
    first, second, _ = clients
    with working() as (worker, _):
        with worker.work_lock:
            assert not worker.do_now(first.share)
            worker.leave(second.share)
        wait_until(lambda: second.returned)
        assert worker.do_now(first.share)


def test_the_worker_waits_for_input_of_the_connections_that_it_has(clients: list[Client]) -> None:
    with working() as (worker, _):
        with worker.work_lock:
            for client in clients:
                client.add(1)
                worker.leave(client.share)
        wait_until(lambda: all(client.all_answered for client in clients))
        assert not any(client.returned for client in clients)
        clients[0].other_end.sendall(b"x\n")
        wait_until(lambda: clients[0].turns.count(clients[0]) == 2)
        # Nothing more comes: each thread gets its connection back.
        wait_until(lambda: all(client.returned for client in clients))


def test_a_failure_costs_its_own_connection_and_is_reported(clients: list[Client]) -> None:
    good, bad, _ = clients
    with working() as (worker, faults):
        for client, line in ((bad, FAILS), (good, b"x\n")):
            client.add(1, line)
            worker.leave(client.share)
        wait_until(lambda: good.returned and bad.returned)
        assert bad.state == "over"
        assert [type(fault) for fault in faults] == [MemoryError]


def test_a_failure_that_cannot_be_reported_costs_no_more(clients: list[Client]) -> None:
    """A report takes memory, and the failure may be that there is none."""

    def report(error: Exception) -> None:
        raise error

    good, bad, _ = clients
    worker = Work(report)
    for client, line in ((bad, FAILS), (good, b"x\n")):
        client.add(1, line)
        worker.leave(client.share)
    wait_until(lambda: good.returned and bad.returned)
    worker.close(20)


def test_work_that_comes_to_a_halt_is_noticed(clients: list[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "STALLED", 0.05)
    with working() as (worker, _):
        assert not worker.stalled()
        with worker.work_lock:  # like a thread that never returns
            clients[0].add(1)
            worker.leave(clients[0].share)
            wait_until(worker.stalled)
        wait_until(lambda: clients[0].returned)
        assert not worker.stalled()


def test_a_long_wait_is_no_halt_as_long_as_turns_end(clients: list[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of the worst lines take seconds, and more where other programs need the processor."""
    monkeypatch.setattr(work, "STALLED", 0.5)
    first, second, _ = clients
    first_goes_on, second_began, second_goes_on = threading.Event(), threading.Event(), threading.Event()

    def first_works(until: float) -> int:
        first_goes_on.wait()
        return Client.answer_lines(first, until)

    def second_works(until: float) -> int:
        second_began.set()
        second_goes_on.wait()
        return Client.answer_lines(second, until)

    monkeypatch.setattr(first, "answer_lines", first_works)
    monkeypatch.setattr(second, "answer_lines", second_works)
    with working() as (worker, _):
        for client in (first, second):
            client.add(1)
            worker.leave(client.share)
        try:
            wait_until(worker.stalled)
            first_goes_on.set()
            assert second_began.wait(20)
            assert not worker.stalled()  # though the second has waited for as long
        finally:
            first_goes_on.set()
            second_goes_on.set()
        wait_until(lambda: first.returned and second.returned)


def test_work_that_comes_to_a_halt_is_noticed_also_where_nobody_waits_for_it(
    clients: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a lone client, while the journal hangs."""
    monkeypatch.setattr(work, "STALLED", 0.05)
    journal_goes_on = threading.Event()
    monkeypatch.setattr(clients[0], "answer_lines", lambda until: journal_goes_on.wait())
    with working() as (worker, _):
        thread = threading.Thread(target=worker.do_now, args=(clients[0].share,))
        thread.start()
        try:
            wait_until(worker.stalled)
        finally:
            journal_goes_on.set()
            thread.join()
        assert not worker.stalled()
