"""Clients that keep a daemon busy and check every byte that it answers.

In: the path of a socket, and how the clients behave. Out: a Tally. All requests that are on their way at the same time
differ, and each has an id of its own, so the response to another request never looks like the right one. The right
signatures come from eth-account, before the load begins: the same request always gets the same signature.

A client that loses its connection counts the requests that had no response yet, connects again, and asks them again.
A client that is faithful never connects again, so the end of its connection is a fault.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from eth_account import Account
from eth_account.messages import encode_defunct
from oracles import oracle

from support import held
from support.daemon import EXAMPLE, TIME_LIMIT, connect, vectors

VARIANTS = 24  # of each kind of request
BACK_OFF = 0.01  # seconds before a client connects again
SENT = EXAMPLE["request"]["signer"]  # the key that clients send
HELD = "0x" + "5e" * 32  # the key that the daemon holds, and that clients name by its address


class Question(NamedTuple):
    """A request without an id, and its signature."""

    kind: str
    request: bytes  # up to its last brace
    signature: str

    def line(self, number: int) -> bytes:
        return b'%b, "id": %d}\n' % (self.request, number)

    def answer(self, number: int) -> bytes:
        return b'{"ok": true, "signature": "%b", "id": %d}\r\n' % (self.signature.encode(), number)


def questions() -> list[Question]:
    """Orders, typed data and messages, each with the key that clients send and with the one that the daemon holds."""
    futures = next(row["request"] for row in vectors("published-orders") if row["request"]["type"] == "futures")
    (cow,) = (row for row in vectors("typed-data/exchanges") if row["name"] == "CoW GPv2 order")
    content = {key: cow[key] for key in ("types", "primaryType", "domain")}
    found = []
    for number in range(VARIANTS):
        orders = [
            {**each, "order": {**each["order"], "timestamp": each["order"]["timestamp"] + number}}
            for each in (EXAMPLE["request"], futures)
        ]
        data = {**content, "message": {**cow["message"], "sellAmount": str(10**18 + number)}}
        text = str(1550791374642 + number)
        for whose, key, signer in (("key sent", SENT, SENT), ("held key", HELD, held.address(HELD))):
            kinds = [(order["type"], order, oracle.sign({**order, "signer": key})) for order in orders]
            typed = Account.sign_typed_data(key, full_message=data).signature
            kinds.append(("typed data", {"type": "typed_data", "typed_data": data}, "0x" + bytes(typed).hex()))
            message = Account.sign_message(encode_defunct(text=text), key).signature
            kinds.append(("message", {"type": "message", "text": text}, "0x" + bytes(message).hex()))
            for kind, request, signature in kinds:
                whole = json.dumps({**request, "signer": signer}).encode()
                found.append(Question(f"{kind}, {whose}", whole[:-1], signature))
    return found


def policy(*users: int) -> str:
    """A policy that allows these users all questions, with limits that all questions keep."""
    allows = "accounts = any\nmarkets = any\ntyped = any\nmessages = any\n"
    rules = (held.rule(f"load-{user}", held.address(HELD), user=user, allows=allows) for user in users)
    return held.MESSAGES + "\n".join(rules)


class Habit(NamedTuple):
    """What a client does. The default: it waits for each response, on one connection."""

    name: str
    window: int = 1  # requests that may be on their way
    batch: int = 1  # requests that are sent, and responses that are awaited, together
    splits: bool = False  # whether there is always half a request on its way
    stays: int = 0  # batches on one connection; 0: all
    idle: bool = False  # whether it asks only at the beginning and at the end
    faithful: bool = False


LOCK_STEP = Habit("lock-step")
PIPELINING = Habit("pipelining", window=40, batch=10, splits=True)
ONE_EACH = Habit("a connection for each request", stays=1)
IDLE = Habit("idle", idle=True)
HABITS = (LOCK_STEP, PIPELINING, ONE_EACH, IDLE)


def faithful(*habits: Habit) -> list[Habit]:
    """The same for clients that never connect again."""
    return [habit._replace(faithful=True) for habit in habits]


class Tally:
    """What one client saw, or several together."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered: Counter[str] = Counter()  # rightly, by kind of question
        self.lost = 0  # requests without a response at the end of a connection, each time that happened
        self.refused: Counter[str] = Counter()  # by code
        self.ended = 0  # connections that the daemon ended
        self.wrong: list[str] = []
        self.faults: list[str] = []  # anything else that must not happen

    def add(self, other: Tally) -> None:
        self.asked += other.asked
        self.answered += other.answered
        self.lost += other.lost
        self.refused += other.refused
        self.ended += other.ended
        self.wrong += other.wrong
        self.faults += other.faults

    def check(self) -> Tally:
        """Fails unless every request got its right signature in the end."""
        assert self.wrong == []
        assert self.faults == []
        answered = sum(self.answered.values()) + sum(self.refused.values())
        assert answered >= self.asked, f"{self.asked} requests, {answered} responses"
        return self

    def __str__(self) -> str:
        lines = [f"{sum(self.answered.values()):,} right signatures"]
        lines += [f"    {kind}: {number:,}" for kind, number in sorted(self.answered.items())]
        lines.append(f"{len(self.wrong)} wrong responses")
        lines.append(f"{self.ended:,} ended connections, with {self.lost:,} requests in flight, which were asked again")
        lines += [f"{number:,} requests refused: {code}" for code, number in sorted(self.refused.items())]
        return "\n".join(lines)


class Lost(Exception):
    """The daemon ended the connection."""


class Client:
    """One client. run() returns when `stop` is set and all that it asked is answered."""

    def __init__(
        self, path: str, habit: Habit, asked: Sequence[Question], numbers: Iterator[int], stop: threading.Event
    ) -> None:
        """asked: the questions that it asks again and again. numbers: the ids, each for one request of all clients."""
        self.habit = habit
        self.tally = Tally()
        self.pause = 0.0  # seconds between two batches
        self.begun = threading.Event()  # it has had its first response
        self._path = path
        self._asked = itertools.cycle(asked)
        self._numbers = numbers
        self._stop = stop
        self._open: deque[tuple[int, Question]] = deque()  # asked, and not answered yet
        self._received = b""
        self._rest = b""  # of a request whose first half is sent

    def run(self) -> None:
        try:
            while not (self._stop.is_set() and not self._open and self.begun.is_set()):
                with connect(self._path) as connection:
                    try:
                        self._converse(connection)
                    except (Lost, ConnectionError):
                        self._lose()
                        if self.habit.faithful:
                            raise
                        self._stop.wait(BACK_OFF)
        except (Lost, OSError, AssertionError) as error:
            self.tally.faults.append(f"{self.habit.name}: {error!r}, with {len(self._open)} requests on their way")
        self.begun.set()

    def _converse(self, connection: socket.socket) -> None:
        """Until the client has asked enough on this connection."""
        if self._open:  # what the last connection left
            self._send(connection, b"".join(question.line(number) for number, question in self._open))
            self._take(connection, len(self._open))
        batches = 0
        while not self._stop.is_set():
            while len(self._open) + self.habit.batch <= self.habit.window and not self._stop.is_set():
                self._ask(connection)
            self._take(connection, min(self.habit.batch, len(self._open) - bool(self._rest)))
            if self.habit.idle:
                self._stop.wait()
                self._ask(connection)
            elif self.pause:
                self._stop.wait(self.pause)
            batches += 1
            if batches == self.habit.stays:
                break
        self._send(connection, self._rest)
        self._rest = b""
        self._take(connection, len(self._open))

    def _ask(self, connection: socket.socket) -> None:
        lines = []
        for _ in range(self.habit.batch):
            number, question = next(self._numbers), next(self._asked)
            self._open.append((number, question))
            lines.append(question.line(number))
        self.tally.asked += len(lines)
        sent, self._rest = self._rest + b"".join(lines), b""
        if self.habit.splits:
            half = len(lines[-1]) // 2
            sent, self._rest = sent[:-half], sent[-half:]
        self._send(connection, sent)

    def _send(self, connection: socket.socket, sent: bytes) -> None:
        try:
            connection.sendall(sent)
        except ConnectionError:
            while True:  # what was answered before the end can still be read
                self._take(connection, 1)

    def _take(self, connection: socket.socket, count: int) -> None:
        """That many responses, each of which must be the one to the oldest request."""
        while count > 0:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                self._judge(line + newline)
                count -= 1
                continue
            chunk = connection.recv(65536)
            if not chunk:
                raise Lost("the daemon ended the connection")
            self._received += chunk

    def _judge(self, response: bytes) -> None:
        number, question = self._open[0]
        if response == question.answer(number):
            self._open.popleft()
            self.tally.answered[question.kind] += 1
            self.begun.set()
            return
        try:
            content = json.loads(response)
            error = content["error"]
            right = content["ok"] is False and content.get("id", number) == number
        except (ValueError, KeyError):
            right = False
        if not right:
            self.tally.wrong.append(f"{question.answer(number)!r} expected, {response!r} received")
            raise AssertionError("a wrong response")
        problems = next(iter(error["context"].values()), [{"code": error["type"]}])
        self.tally.refused[problems[0]["code"]] += 1
        if "id" in content:
            self._open.popleft()
        else:  # of the connection, which ends now
            self.tally.asked += 1

    def _lose(self) -> None:
        """Go through the end of a connection."""
        if self._received:
            number, question = self._open[0]
            if not question.answer(number).startswith(self._received):
                self.tally.wrong.append(f"{question.answer(number)!r} expected, {self._received!r} at the end")
        self.tally.ended += 1
        self.tally.lost += len(self._open)
        self._received = self._rest = b""


class Load:
    """Clients at work, one thread for each. As a context: until its end; then `tally` has what all of them saw."""

    def __init__(
        self, path: str, habits: Sequence[Habit], asked: Sequence[Question], *, pause: float = 0.0, seed: int = 1
    ) -> None:
        """pause: seconds of each client between two batches."""
        self.tally = Tally()
        self._stop = threading.Event()
        numbers = itertools.count()
        order = random.Random(seed)
        self.clients = [
            Client(path, habit, order.sample(list(asked), len(asked)), numbers, self._stop) for habit in habits
        ]
        for client in self.clients:
            client.pause = pause
        self._threads = [threading.Thread(target=client.run) for client in self.clients]

    def answered(self) -> int:
        """The number of right responses so far."""
        return sum(sum(client.tally.answered.values()) for client in self.clients)

    def faults(self) -> list[str]:
        """The faults so far."""
        return [fault for client in self.clients for fault in (*client.tally.wrong, *client.tally.faults)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        for client in self.clients:
            client.begun.wait(TIME_LIMIT)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * TIME_LIMIT)
        for client in self.clients:
            self.tally.add(client.tally)


def holding(directory: Path) -> list[str]:
    """Options of a daemon of this user that signs all questions."""
    return held.holding(directory, {"load": HELD}, policy(os.geteuid()))
