"""A socket to which a bot may be directed instead of the daemon's: ~/daemon.sock. Takes the requests, and refuses them.

Prints "listening" when it does, and ends with its standard input.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from system.thieves.loot import take

REFUSAL = b'{"ok": false, "error": {"type": "ValueError", "message": "no", "context": {}}}\r\n'


def serve(listener: socket.socket) -> None:
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            for line in lines:
                take("listener", line)
                client.sendall(REFUSAL)


def main() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.expanduser("~/daemon.sock"))
        listener.listen()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        print("listening", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
