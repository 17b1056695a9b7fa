"""A client of the earlier daemon, as programs still use it, with this daemon; for Python 2.7 and 3.

It is written from the protocol. It cuts and sends lines with CRLF, as Twisted's LineOnlyReceiver does. Responses
settle a queue of pending requests in order, and an error object is passed on as keyword arguments. test_client.py
starts it in the same way as suite.py.
"""

# mypy: ignore-errors

import base64
import collections
import contextlib
import json
import os
import socket
import sys
import unittest

TIME_LIMIT = 20.0  # seconds


def vectors(name):
    with open(os.path.join(os.environ["VECTORS"], name + ".json")) as file:
        return json.load(file)


class RemoteError(Exception):
    """The earlier library's exception for an error: it takes exactly these three arguments."""

    def __init__(self, type, message, context):
        super(RemoteError, self).__init__(type, message)
        self.type = type
        self.message = message
        self.context = context


class LineOnlyReceiver(object):
    """Cuts received bytes into lines, as Twisted's class of the same name does."""

    delimiter = b"\r\n"
    MAX_LENGTH = 16384

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""

    def dataReceived(self, data):
        lines = (self.buffer + data).split(self.delimiter)
        self.buffer = lines.pop(-1)
        for line in lines:
            assert len(line) <= self.MAX_LENGTH, "Twisted would drop the connection"
            self.lineReceived(line)
        assert len(self.buffer) <= self.MAX_LENGTH, "Twisted would drop the connection"

    def sendLine(self, line):
        self.connection.sendall(line + self.delimiter)


class Signer(LineOnlyReceiver):
    """Requests signatures. Responses settle the pending requests in their order."""

    def __init__(self, connection):
        LineOnlyReceiver.__init__(self, connection)
        self.pending = collections.deque()

    def request(self, message, resolve, reject):
        self.raw_request(json.dumps(message).encode("utf-8"), resolve, reject)

    def raw_request(self, line, resolve, reject):
        self.pending.append((resolve, reject))
        self.sendLine(line)

    def lineReceived(self, line):
        resolve, reject = self.pending.popleft()
        response = json.loads(line.decode("utf-8"))
        if response["ok"]:
            resolve(response["signature"])
        else:
            reject(RemoteError(**response["error"]))

    def run(self):
        """Read until nothing is pending, as the reactor does."""
        while self.pending:
            data = self.connection.recv(4096)
            assert data, "the daemon ended the connection"
            self.dataReceived(data)


class TheEarlierClient(unittest.TestCase):
    def setUp(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIME_LIMIT)
        self.addCleanup(connection.close)
        connection.connect(os.environ["ORDERSIGNER_SOCKET"])
        self.signer = Signer(connection)
        self.outcomes = []

    def ask(self, messages):
        """The outcomes of all `messages`, sent 50 at a time."""
        for start in range(0, len(messages), 50):
            for message in messages[start : start + 50]:
                self.signer.request(message, self.outcomes.append, self.outcomes.append)
            self.signer.run()
        return self.outcomes

    def test_gets_the_published_signatures_in_order(self):
        rows = vectors("published-orders")
        signatures = self.ask([row["request"] for row in rows])
        self.assertEqual(signatures, [row["expect"]["signature"] for row in rows])
        self.assertEqual(self.signer.buffer, b"")

    def test_gets_recorded_errors_under_the_same_fields_and_codes(self):
        rows = vectors("peer-wire-errors")
        for row in rows:
            self.signer.raw_request(base64.b64decode(row["line_base64"]), self.outcomes.append, self.outcomes.append)
            self.signer.run()
        self.assertEqual(len(self.outcomes), len(rows))
        for row, error in zip(rows, self.outcomes):
            recorded = row["response"]["error"]
            self.assertIsInstance(error, RemoteError)
            self.assertEqual((error.type, error.message), ("ValueError", "Invalid input; see context for more info."))
            # For a spot order sent as futures, the earlier daemon gave an error of Python's and no field.
            expected = codes(recorded["context"]) or {"order.instrument": ["not_integer"]}
            self.assertEqual(codes(error.context), expected)

    def test_matches_errors_and_signatures_to_their_requests(self):
        example = vectors("example")
        broken = dict(example["request"], type="option")
        outcomes = self.ask([example["request"], broken, example["request"]])
        self.assertEqual(outcomes[::2], [example["expect"]["signature"]] * 2)
        self.assertEqual(codes(outcomes[1].context), {"type": ["not_valid_choice"]})

    def test_a_request_that_is_sent_in_two_parts_is_answered(self):
        example = vectors("example")
        line = json.dumps(example["request"]).encode("utf-8") + b"\r\n"
        for cut in (1, len(line) // 2, len(line) - 2, len(line) - 1):  # between CR and LF too
            self.signer.pending.append((self.outcomes.append, self.outcomes.append))
            self.signer.connection.sendall(line[:cut])
            self.signer.connection.sendall(line[cut:])
            self.signer.run()
        self.assertEqual(self.outcomes, [example["expect"]["signature"]] * 4)

    def test_a_client_that_hangs_up_with_requests_pending_does_not_disturb_others(self):
        example = vectors("example")
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.connect(os.environ["ORDERSIGNER_SOCKET"])
            hasty = Signer(connection)
            for _ in range(50):
                hasty.request(example["request"], None, None)
        self.assertEqual(self.ask([example["request"]]), [example["expect"]["signature"]])


def codes(context):
    return {field: [problem["code"] for problem in problems] for field, problems in context.items()}


if __name__ == "__main__":
    sys.stdout.write(sys.version + "\n")
    unittest.main()
