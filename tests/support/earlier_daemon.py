"""A stand-in for the earlier daemon, which no package index has. Arguments: its socket, and a file of published orders.

It has the signatures from the file, by an order and its key, and refuses all other requests. Like the real one, it
makes a socket that every user can connect to, and a link next to it; takes lines that end with CR LF; writes JSON
without spaces; and may repeat in an error what it was sent.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
from pathlib import Path
from typing import Any


def main(path: str, orders: str) -> None:
    answers = {key(row["request"]): row["expect"]["signature"] for row in json.loads(Path(orders).read_text())}

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            unfinished = b""
            while data := self.connection.recv(65536):
                *lines, unfinished = (unfinished + data).split(b"\r\n")
                for line in lines:
                    answer = json.dumps(self.answer(line), separators=(",", ":"))
                    self.connection.sendall(answer.encode() + b"\r\n")

        def answer(self, line: bytes) -> object:
            try:
                return {"ok": True, "signature": answers[key(json.loads(line))]}
            except (ValueError, KeyError, TypeError):
                return {"ok": False, "error": {"type": "ValueError", "message": f"invalid: {line!r}", "context": {}}}

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    os.symlink(str(os.getpid()), path + ".lock")
    with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
        server.daemon_threads = True
        os.chmod(path, 0o666)
        try:
            server.serve_forever()
        finally:
            os.unlink(path)
            os.unlink(path + ".lock")


def key(request: Any) -> str:
    return json.dumps([request["type"], request["order"], request["signer"]], sort_keys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
