"""What the daemon survives, a few times each; and that the clients of load.py find what they look for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import load
from support.daemon import needs_root, wait_until
from support.load import Habit, Load, Question, Tally
from support.servers import Peer, Server

from programs import faults

pytestmark = pytest.mark.once

TWO = Habit("two at once", window=2, batch=2)


@needs_root
@pytest.mark.parametrize("fault", faults.FAULTS)
def test_every_request_gets_its_right_signature_in_the_end(fault: str, tmp_path: Path) -> None:
    pytest.importorskip("systemd")
    try:
        figures = faults.FAULTS[fault](tmp_path, 5 if fault == "kill" else 2)
    except faults.Unavailable as error:
        pytest.skip(str(error))
    assert "\n0 wrong responses\n" in figures


# The clients


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return load.questions()


def test_no_two_questions_are_alike(questions: list[Question]) -> None:
    assert len({question.request for question in questions}) == len(questions) == 8 * load.VARIANTS
    assert len({question.signature for question in questions}) == len(questions)


class Answers:
    """The right response to a line."""

    def __init__(self, questions: list[Question]) -> None:
        self._questions = {question.request: question for question in questions}

    def __call__(self, line: bytes, number: int = -1, *, to: bytes = b"") -> bytes:
        """number: another id. to: the line of another request; the response has its signature."""
        request = (to or line).rpartition(b', "id": ')[0]
        own = int(line.rpartition(b', "id": ')[2][:-1])
        return self._questions[request].answer(own if number < 0 else number)


def seen(questions: list[Question], *behaviours: Callable[[Peer, Answers], None], enough: int = 1) -> Tally:
    """What a client sees that asks two questions at once, of a server that behaves so on its first connections."""
    answers = Answers(questions)

    def behaves(behaviour: Callable[[Peer, Answers], None]) -> Callable[[Peer], None]:
        return lambda peer: behaviour(peer, answers)

    with Server(*map(behaves, (*behaviours, rightly))) as server, Load(server.path, [TWO], questions) as clients:
        wait_until(lambda: clients.answered() >= enough or clients.faults())
    return clients.tally


def rightly(peer: Peer, answers: Answers) -> None:
    line = peer.line()
    while line:
        peer.send(answers(line))
        line = peer.line()


def swapped(peer: Peer, answers: Answers) -> None:
    first, second = peer.line(), peer.line()
    peer.send(answers(second) + answers(first))
    peer.read()


def left_out(peer: Peer, answers: Answers) -> None:
    peer.line()
    peer.send(answers(peer.line()))
    peer.read()


def with_the_signature_of_another(peer: Peer, answers: Answers) -> None:
    first, second = peer.line(), peer.line()
    peer.send(answers(first, to=second))
    peer.read()


def with_the_id_of_another(peer: Peer, answers: Answers) -> None:
    peer.send(answers(peer.line(), 1_000_000))
    peer.read()


def with_the_beginning_of_another_at_the_end(peer: Peer, answers: Answers) -> None:
    first, second = peer.line(), peer.line()
    peer.send(answers(first, to=second)[:60])


def without_json(peer: Peer, answers: Answers) -> None:
    peer.line()
    peer.send(b"ok\r\n")
    peer.read()


@pytest.mark.parametrize(
    "behaviour",
    [
        swapped,
        left_out,
        with_the_signature_of_another,
        with_the_id_of_another,
        with_the_beginning_of_another_at_the_end,
        without_json,
    ],
)
def test_a_wrong_response_is_found(behaviour: Callable[[Peer, Answers], None], questions: list[Question]) -> None:
    tally = seen(questions, behaviour)
    assert len(tally.wrong) == 1
    with pytest.raises(AssertionError):
        tally.check()


def one_and_a_half(peer: Peer, answers: Answers) -> None:
    peer.send(answers(peer.line()) + answers(peer.line())[:60])


def test_what_was_in_flight_is_counted_and_asked_again(questions: list[Question]) -> None:
    tally = seen(questions, one_and_a_half, enough=4).check()
    assert (tally.lost, tally.ended) == (1, 1)
    assert sum(tally.answered.values()) == tally.asked >= 4


def test_a_faithful_client_does_not_accept_the_end_of_its_connection(questions: list[Question]) -> None:
    answers = Answers(questions)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(lambda peer: one_and_a_half(peer, answers)))
        clients = stack.enter_context(Load(server.path, load.faithful(TWO), questions))
        wait_until(clients.faults)
    with pytest.raises(AssertionError):
        clients.tally.check()
