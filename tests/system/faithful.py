"""Clients that never connect again, as programs use the earlier daemon: faithful.py SOCKET REQUEST RESPONSE COUNT

COUNT clients of each kind keep one connection each. Busy ones ask and wait for the response. Pipelining ones have up to
two hundred requests on their way, and always the first half of another. Idle ones ask once at the beginning, and again
after standard input has ended. A line says when all have begun. Prints the number of good responses of each kind, and a
list of everything else. However slow the machine is, busy and pipelining ones go on until they have ENOUGH responses.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from typing import Callable

path, request, response, count = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode(), int(sys.argv[4])
LINE = request + b"\r\n"
ANSWER = response + b"\r\n"
HALF = len(LINE) // 2
BATCH, WINDOW, ENOUGH = 20, 200, 101  # requests
stop = threading.Event()
begun = threading.Barrier(3 * count + 1)
good = {"busy": 0, "pipelining": 0, "idle": 0}
bad: list[str] = []
lock = threading.Lock()


def receive(client: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        chunk = client.recv(size - len(received))
        if not chunk:
            raise EOFError(f"the daemon ended the connection after {received[-200:]!r}")
        received += chunk
    return received


def take(client: socket.socket, kind: str, number: int = 1) -> None:
    answers = receive(client, number * len(ANSWER))
    if answers != ANSWER * number:
        raise ValueError(answers)
    with lock:
        good[kind] += number


def ask(client: socket.socket, kind: str) -> None:
    client.sendall(LINE)
    take(client, kind)


def busy(client: socket.socket) -> None:
    ask(client, "busy")
    begun.wait()
    while not stop.is_set() or good["busy"] < ENOUGH:
        ask(client, "busy")


def pipelining(client: socket.socket) -> None:
    client.sendall(LINE + LINE[:HALF])
    take(client, "pipelining")
    begun.wait()
    waiting = 0
    while not stop.is_set() or good["pipelining"] < ENOUGH:
        client.sendall(LINE[HALF:] + LINE * (BATCH - 1) + LINE[:HALF])
        waiting += BATCH
        if waiting == WINDOW:
            take(client, "pipelining", BATCH)
            waiting -= BATCH
    client.sendall(LINE[HALF:])
    take(client, "pipelining", waiting + 1)


def idle(client: socket.socket) -> None:
    ask(client, "idle")
    begun.wait()
    stop.wait()
    ask(client, "idle")


def run(kind: Callable[[socket.socket], None]) -> None:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(path)
            kind(client)
    except (OSError, EOFError, ValueError, threading.BrokenBarrierError) as error:
        bad.append(f"{kind.__name__}: {error!r}")
        begun.abort()


clients = [threading.Thread(target=run, args=(kind,)) for kind in (busy, pipelining, idle) for _ in range(count)]
for each in clients:
    each.start()
with contextlib.suppress(threading.BrokenBarrierError):
    begun.wait()
print("started", flush=True)
sys.stdin.read()
stop.set()
for each in clients:
    each.join()
print(json.dumps([good, bad]))
