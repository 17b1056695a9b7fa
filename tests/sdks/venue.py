"""An exchange's HTTP server, as far as its SDK must reach one: it answers fixed objects and keeps what it was sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Sent(NamedTuple):
    path: str
    headers: Mapping[str, str]
    body: Any


class Venue:
    """url: where it is; sent: the requests so far."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        """answers: objects by the beginning of the path, or functions from what was sent to an object."""
        self.sent: list[Sent] = []
        venue = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sent = Sent(self.path, dict(self.headers), json.loads(body) if body else None)
                venue.sent.append(sent)
                found = [answer for beginning, answer in answers.items() if self.path.startswith(beginning)]
                answer = found[0] if found else {"error": "not found"}
                text = json.dumps(answer(sent.body) if callable(answer) else answer).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = respond

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Venue]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
