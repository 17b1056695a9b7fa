"""Clients that keep asking until standard input ends: loop.py SOCKET REQUEST RESPONSE

They open a new connection for each request, and go on until they have ENOUGH good responses, or a bad one, however slow
the machine is. Prints the number of good responses, and a list of everything else.
"""

from __future__ import annotations

import socket
import sys
import threading

path, request, response = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
ENOUGH = 101
stop = threading.Event()
good: list[bytes | str] = []
bad: list[bytes | str] = []


def ask() -> bytes | str:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(path)
            client.sendall(request + b"\n")
            client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()
    except OSError as error:
        return repr(error)


def loop() -> None:
    while not stop.is_set() or (len(good) < ENOUGH and not bad):
        answer = ask()
        (good if answer == response + b"\r\n" else bad).append(answer)


clients = [threading.Thread(target=loop) for _ in range(4)]
for client in clients:
    client.start()
print("started", flush=True)
sys.stdin.read()
stop.set()
for client in clients:
    client.join()
print(len(good), bad)
