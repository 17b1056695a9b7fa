"""Fills the system's journal: flooding.py sign SOCKET REQUEST RESPONSE, or flooding.py log SOCKET

"sign" has the daemon sign the same request with the client's own key, as fast as it can. "log" sends entries to
journald as any user may. Prints a line when it has begun, and after standard input has ended, how many there were.
"""

from __future__ import annotations

import socket
import sys
import threading

BATCH = 200  # requests on their way
ENTRY = b"MESSAGE=" + b"x" * 300 + b" %d\nPRIORITY=6\nSYSLOG_IDENTIFIER=ordersigner\n"
what, path = sys.argv[1:3]
stop = threading.Event()


def wait_for_end() -> None:
    sys.stdin.read()
    stop.set()


threading.Thread(target=wait_for_end, daemon=True).start()
print("started", flush=True)
number = 0
if what == "sign":
    line, answer = (text.encode() + end for text, end in zip(sys.argv[3:5], (b"\n", b"\r\n")))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        responses = client.makefile("rb")
        while not stop.is_set():
            client.sendall(line * BATCH)
            received = responses.read(len(answer) * BATCH)
            assert received == answer * BATCH, received[:1000]
            number += BATCH
else:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(path)
        while not stop.is_set():
            sender.send(ENTRY % number)
            number += 1
print(number)
