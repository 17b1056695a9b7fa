"""Servers that behave unlike the daemon, to test clients with; for Python 2.7 and 3."""

import collections
import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, TypeVar

    S = TypeVar("S", bound="Server")
    Behaviour = Callable[["Peer"], object]

TIME_LIMIT = 20.0  # seconds; a test that waits longer for something fails
REFUSAL = b'{"ok": false, "error": {"type": "ValueError", "message": "Invalid.", "context": {"": [%s]}}}\r\n'


def numbered(number):
    # type: (int) -> Dict[str, Any]
    """A request with a number, which a Server answers with signature(number)."""
    return {"type": "spot", "id": number}


def signature(number):
    # type: (int) -> str
    """The signature that a Server gives for numbered(number)."""
    return "0x%0130x" % number


def response(line):
    # type: (bytes) -> bytes
    if not line:  # the client ended the connection
        return b""
    number = json.loads(line.decode())["id"]
    return json.dumps({"ok": True, "signature": signature(number)}).encode() + b"\r\n"


class Peer(object):
    """The server's end of one connection."""

    def __init__(self, connection):
        # type: (socket.socket) -> None
        self.connection = connection
        self.received = b""

    def line(self):
        # type: () -> bytes
        """The next request, or b"" at the end."""
        while b"\n" not in self.received:
            chunk = self.connection.recv(65536)
            if not chunk:
                return b""
            self.received += chunk
        line, self.received = self.received.split(b"\n", 1)
        return line

    def send(self, data):
        # type: (bytes) -> None
        self.connection.sendall(data)

    def answer(self, count):
        # type: (int) -> None
        """Answer that many requests."""
        for _ in range(count):
            self.send(response(self.line()))

    def read(self):
        # type: () -> None
        """Read until the client ends the connection."""
        while self.line():
            pass

    def serve(self):
        # type: () -> None
        """Answer until the client ends the connection."""
        line = self.line()
        while line:
            self.send(response(line))
            line = self.line()


def well_behaved(peer):
    # type: (Peer) -> None
    peer.serve()


def answering(line):
    # type: (bytes) -> Behaviour
    """The behaviour of a server that answers this line to every request."""

    def behave(peer):
        # type: (Peer) -> None
        while peer.line():
            peer.send(line + b"\r\n")

    return behave


def large_both_ways(peer):
    # type: (Peer) -> None
    """Answers the first 20 requests with more bytes than the kernel's buffers hold, and only then reads the next."""
    error = {"type": "ValueError", "message": "x" * 60000, "context": {}}
    for _ in range(20):
        peer.line()
    peer.send((json.dumps({"ok": False, "error": error}).encode() + b"\r\n") * 20)
    peer.serve()


class Server(object):
    """A server that handles each connection with the next of `behaviours`, and all further ones with the last."""

    backlog = 64

    def __init__(self, *behaviours):
        # type: (*Behaviour) -> None
        self.behaviours = collections.deque(behaviours)
        self.directory = tempfile.mkdtemp()
        self.path = os.path.join(self.directory, "socket")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listen()
        self.stopping = False
        self.connections = 0  # so far
        self.open = []  # type: List[socket.socket]
        self.faults = []  # type: List[str]
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def listen(self):
        # type: () -> None
        self.listener.bind(self.path)
        self.listener.listen(self.backlog)

    def accept(self):
        # type: () -> None
        while True:
            connection = self.listener.accept()[0]
            if self.stopping:
                connection.close()
                return
            self.connections += 1
            behaviour = self.behaviours[0]
            if len(self.behaviours) > 1:
                self.behaviours.popleft()
            thread = threading.Thread(target=self.converse, args=(connection, behaviour))
            self.open.append(connection)
            self.threads.append(thread)
            thread.start()

    def converse(self, connection, behaviour):
        # type: (socket.socket, Behaviour) -> None
        try:
            behaviour(Peer(connection))
        except socket.error:
            pass  # the client hung up
        except Exception:  # noqa: BLE001 - raised when the server ends
            self.faults.append(traceback.format_exc())
        finally:
            connection.close()

    def __enter__(self):
        # type: (S) -> S
        return self

    def __exit__(self, *error):
        # type: (*object) -> None
        self.stopping = True
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as last:
            last.connect(self.path)
            self.threads[0].join(TIME_LIMIT)
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except socket.error:
                pass
        for thread in self.threads:
            thread.join(TIME_LIMIT)
        assert not any(thread.is_alive() for thread in self.threads)
        self.listener.close()
        shutil.rmtree(self.directory)
        assert not self.faults, self.faults[0]


class FullServer(Server):
    """A Server whose queue of clients to accept is full until make_room()."""

    backlog = 0  # which lets one client wait

    def __init__(self, *behaviours):
        # type: (*Behaviour) -> None
        self.room = threading.Event()
        super(FullServer, self).__init__(*behaviours)

    def listen(self):
        # type: () -> None
        super(FullServer, self).listen()
        self.first = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.first.connect(self.path)

    def accept(self):
        # type: () -> None
        self.room.wait()
        self.listener.accept()[0].close()
        self.first.close()
        super(FullServer, self).accept()

    def make_room(self):
        # type: () -> None
        self.room.set()

    def __exit__(self, *error):
        # type: (*object) -> None
        self.make_room()
        super(FullServer, self).__exit__(*error)
