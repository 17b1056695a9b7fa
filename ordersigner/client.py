"""Get signatures from the daemon, on Python 2.7 and on 3.6 to 3.14, with nothing but the standard library.

In: orders, typed data, messages, Hyperliquid actions and transactions. Out: signatures, "0x" and 130 hexadecimal
digits; and signed transactions. Raises SignerError if the daemon refuses a request, Unavailable if no daemon answers,
ProtocolError if something else answers.

You can copy this one file into your project: it needs nothing else from this package. A first order::

    from ordersigner.client import Client
    with Client() as client:
        print(client.sign_spot(order, instrument, signer))

`signer` is the private key to sign with, 64 hexadecimal digits, or the address of a key that the daemon holds, 40 of
them; both with or without 0x. An address is no secret.

Numbers: a decimal.Decimal and a string of decimal digits are signed exactly. A float is signed as the shortest decimal
that reads back as the same float, which is its repr. The exchange does the same.

The same request always gets the same signature, so asking twice does no harm. If a connection ends before the answer,
for example because the daemon is upgraded, the client connects again and sends the request again.
"""

import binascii
import collections
import contextlib
import decimal
import errno
import json
import os
import re
import select
import socket
import sys
import time

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, which Python 2.7 does not have
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Deque, Dict, Generator, Iterable, Iterator, List, Literal, Mapping, NamedTuple
    from typing import Optional, Pattern, Type, TypedDict, TypeVar, Union, overload

    Context = Dict[str, List[Dict[str, str]]]
    Path = Union[str, bytes, "os.PathLike[str]"]
    Request = Mapping[str, Any]  # a JSON object; it may contain decimal.Decimal
    Signer = TypedDict("Signer", {"address": str, "rules": List[str], "frozen": List[str], "available": bool})
    Frozen = TypedDict("Frozen", {"frozen": List[str], "confirmed": bool, "kept": bool})
    SignedTransaction = NamedTuple("SignedTransaction", [("transaction", str), ("hash", str), ("signature", str)])
    T = TypeVar("T")
else:
    SignedTransaction = collections.namedtuple("SignedTransaction", "transaction hash signature")

# From top to bottom: errors, Client, Exchange (the conversation without its sockets), Connection, requests as lines of
# JSON, and what the lines of responses say.

SYSTEM_SOCKET = "/run/ordersigner/ordersigner.sock"  # where the package's ordersigner.socket listens
TIMEOUT = 10.0  # seconds, to connect and then for each response
MAX_TIMEOUT = 24 * 60 * 60  # seconds; None waits longer

_TEXT = type(b"".decode())  # the type of JSON's strings: str, or unicode on Python 2
_clock = getattr(time, "monotonic", time.time)


class Error(Exception):
    """The base class of all errors that this module defines."""


class SignerError(Error):
    """The daemon refuses a request. The text of the error names the field.

    type: "ValueError" if the request is wrong, "PermissionError" if the policy does not allow it, "InternalError" if
    the daemon failed.
    message: a sentence for the type.
    context: the problems by field, such as {"order.price": [{"code": "negative", "message": "This number is ..."}]}.
    Nested fields have dots, and "" stands for the request as a whole. Codes stay the same; texts may change.

    These are the members of the response's "error": SignerError(**response["error"]) makes an error from them.
    """

    def __init__(self, type, message, context):
        # type: (str, str, Context) -> None
        super(SignerError, self).__init__(type, message, context)
        self.type = type
        self.message = message
        self.context = context

    def __str__(self):
        # type: () -> str
        problems = [
            "%s: %s (%s)" % (field or "request", problem.get("message"), problem.get("code"))
            for field in sorted(self.context)
            for problem in self.context[field]
        ]
        text = "; ".join(problems) or self.message
        if sys.version_info[0] == 2:
            return text.encode("utf-8")
        return text


class Unavailable(Error):
    """No daemon answers: it does not run, you may not connect, it takes too long, or it closes each connection."""


class BacklogFull(Unavailable):
    """Too many clients wait for the daemon to accept them. Trying again may help."""


class ProtocolError(Error):
    """The answer is not one of the daemon. The text does not quote it, because it may repeat the request."""


class Client(object):
    """Gets signatures from the daemon at a Unix socket.

    path: the daemon's socket, as text or as a pathlib.Path. The default is that of :func:`default_path`.
    timeout: seconds to wait for a connection, and then for each response; None to wait without limit.

    The client connects at the first request, and keeps the connection for the next one. If a connection ends, it makes
    a new one and resends the requests that got no response. It gives up after three connections in a row without any
    response.

    Threads can share a client, because each call has its own connection while it lasts, and so can processes made by
    fork. It can be copied, pickled and sent to a spawned process; the copy makes connections of its own. Use it in a
    with statement, or call close().
    """

    def __init__(self, path=None, timeout=TIMEOUT):
        # type: (Optional[Path], Optional[float]) -> None
        check_timeout(timeout)
        self.path = path_text(path)
        self.timeout = timeout
        self._idle = collections.deque()  # type: Deque[Connection]

    def sign_spot(self, order, instrument, signer):
        # type: (Mapping[str, Any], Mapping[str, Any], str) -> str
        """The signature of a spot order.

        order: accountId, timestamp, orderType, side, quantity, price; other keys are ignored.
        instrument: base and quote, each with address and decimals; other keys are ignored.
        signer: a private key, or the address of a key that the daemon holds: 64 or 40 hexadecimal digits.

        Raises the errors of :meth:`sign`.
        """
        return self.sign({"type": "spot", "order": order, "instrument": instrument, "signer": signer})

    def sign_futures(self, order, instrument, signer):
        # type: (Mapping[str, Any], Mapping[str, Any], str) -> str
        """The signature of a futures order.

        order: accountId, timestamp, orderType, side, instrument, price, marginPerFraction, quote, quantity; other keys
        are ignored.
        instrument: quote, with decimals; other keys are ignored.
        signer: a private key, or the address of a key that the daemon holds: 64 or 40 hexadecimal digits.

        Raises the errors of :meth:`sign`.
        """
        return self.sign({"type": "futures", "order": order, "instrument": instrument, "signer": signer})

    def sign_typed_data(self, signer, typed_data=None, types=None, primary_type=None, domain=None, message=None):
        # type: (str, Optional[Request], Optional[Request], Optional[str], Optional[Request], Optional[Request]) -> str
        """The signature of typed data, as EIP-712 defines it.

        typed_data: an object with types, primaryType, domain and message, as eth_signTypedData_v4 takes it. In its
        place you can pass the parts by name: types (with EIP712Domain), primary_type, domain, message.

        Integers are exact, however large. Bytes become 0x and hexadecimal digits: pass bytes or bytearray; on Python 2,
        where bytes is str, bytearray.

        Raises the errors of :meth:`sign`, and TypeError if it gets both typed_data and parts, or not all parts.
        """
        return self.sign(typed_data_request(signer, typed_data, types, primary_type, domain, message))

    def sign_message(self, signer, text=None, data=None):
        # type: (str, Optional[str], Optional[bytes]) -> str
        """The signature of a message, as EIP-191 defines it for personal messages (personal_sign).

        Pass exactly one of text, which is signed as UTF-8, and data, which is bytes or bytearray.

        Raises the errors of :meth:`sign`.
        """
        return self.sign(message_request(signer, text, data))

    def sign_hyperliquid(self, signer, action, nonce, vault_address=None, expires_after=None, network="mainnet"):
        # type: (str, Request, int, Optional[str], Optional[int], str) -> str
        """The signature of one of Hyperliquid's L1 actions: orders, cancels and others that trade.

        action: the action of the request to the exchange. The order of its keys is also signed. A dict keeps it from
        Python 3.7 on; before, use collections.OrderedDict. Numbers with a fraction are strings.
        nonce: as in the request to the exchange, and so are vault_address and expires_after.
        network: "mainnet" or "testnet".

        Raises the errors of :meth:`sign`.
        """
        return self.sign(hyperliquid_request(signer, action, nonce, vault_address, expires_after, network))

    def sign_transaction(self, signer, transaction):
        # type: (str, Request) -> SignedTransaction
        """The signed transaction.

        transaction: type (0, 1 or 2), chainId, nonce, gas, to, value, data; gasPrice for the types 0 and 1,
        maxPriorityFeePerGas and maxFeePerGas for 2; accessList for 1 and 2. All of them must be there, because the
        daemon fills in nothing, and only from may be added. bytes and bytearray are sent as for typed data.

        Returns an object with three attributes, each of them text that begins with 0x: `transaction`, which you send to
        a node with eth_sendRawTransaction; `hash`, by which a node finds it; and `signature`, which is r, s and v (27
        or 28). The daemon sends nothing.

        Raises the errors of :meth:`sign`.
        """
        return self._ask(transaction_request(signer, transaction), read_transaction)

    def sign(self, request):
        # type: (Request) -> str
        """The signature for a whole request, as ordersigner-protocol(7) describes it.

        Raises :exc:`SignerError` if the daemon refuses the request, :exc:`Unavailable` if no daemon answers, and
        :exc:`ProtocolError` if something else does. Raises TypeError or ValueError, before anything is sent, if the
        request cannot be written as JSON.
        """
        return self._ask(request, read_signature)

    if TYPE_CHECKING:

        @overload
        def sign_many(self, requests):
            # type: (Iterable[Request]) -> Iterator[str]
            pass

        @overload
        def sign_many(self, requests, return_errors):
            # type: (Iterable[Request], Literal[False]) -> Iterator[str]
            pass

        @overload
        def sign_many(self, requests, return_errors):
            # type: (Iterable[Request], bool) -> Iterator[Union[str, SignerError]]
            pass

    def sign_many(self, requests, return_errors=False):
        # type: (Iterable[Request], bool) -> Iterator[Union[str, SignerError]]
        """Yield the signatures of many requests, in the same order. Sends requests without waiting for each response.

        requests: an iterable of requests as for :meth:`sign`. Up to 256 are read ahead of the results. If a request
        depends on the signature of another one, use :meth:`sign`.
        return_errors: if the daemon refuses a request, yield its SignerError in place of the signature, and continue.
        The default is to raise the error, which ends the iteration.

        Raises the errors of :meth:`sign`, and those of reading `requests`.
        """
        lines = (encode(request) for request in requests)
        with contextlib.closing(self.exchange(lines, read_signature)) as outcomes:
            for outcome in outcomes:
                yield outcome if return_errors else result(outcome)

    def ping(self):
        # type: () -> str
        """The version of the daemon, to check that it answers. Raises the errors of :meth:`sign`."""
        return self._ask({"type": "ping"}, read_version)

    def signers(self):
        # type: () -> List[Signer]
        """The held keys that this program may use; an empty list if it may use none.

        Each is a dict: "address", the signer of a request; "rules", the names of the policy's rules that allow the key;
        "frozen", those of them that are frozen; "available", False if the daemon could not load the key.

        Raises the errors of :meth:`sign`. A daemon older than 1.2 does not know this request: SignerError.
        """
        return self._ask({"type": "signers"}, read_signers)

    def freeze(self, rules=None):
        # type: (Optional[Iterable[str]]) -> Frozen
        """Freeze rules of the daemon's policy: they allow nothing more, until root thaws them.

        rules: names of rules that are for this program's user; for root, of any. None: all of them.

        Returns a dict: "frozen", the names of the rules that are frozen now, as far as this user may know; "confirmed",
        False if a signature that was under way may still be given; "kept", False if the daemon has no directory for
        state, so that the rules are frozen in one process only, and until it ends.

        The daemon waits up to 6 seconds for signatures under way, and the client no longer than its timeout.

        Raises the errors of :meth:`sign`.
        """
        return self._ask(rules_request("freeze", rules), read_frozen)

    def thaw(self, rules=None):
        # type: (Optional[Iterable[str]]) -> Frozen
        """Thaw rules; None: all that are frozen. Only root may do that. Returns a dict like :meth:`freeze`.

        Raises the errors of :meth:`sign`.
        """
        return self._ask(rules_request("thaw", rules), read_frozen)

    def close(self):
        # type: () -> None
        """Close the connections. The client can still be used: it connects again at the next request."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self):
        # type: () -> Client
        return self

    def __exit__(self, kind, error, traceback):
        # type: (Optional[Type[BaseException]], Optional[BaseException], Optional[TracebackType]) -> None
        self.close()

    def __getstate__(self):
        # type: () -> Dict[str, Any]
        return dict(self.__dict__, _idle=collections.deque())

    def __repr__(self):
        # type: () -> str
        return "Client(path=%r, timeout=%r)" % (self.path, self.timeout)

    def _ask(self, request, read):
        # type: (Request, Callable[[bytes], Union[T, SignerError]]) -> T
        (outcome,) = self.exchange([encode(request)], read)
        return result(outcome)

    def exchange(self, lines, read):
        # type: (Iterable[Optional[bytes]], Callable[[bytes], T]) -> Generator[T, None, None]
        """Yield what `read` returns for the response to each of `lines`, in the same order. All methods use this.

        lines: requests with their LF, none of them blank. They are sent as they are, and read ahead of the responses.
        None means that the next line may take some time: all lines before it get their responses first.
        read: takes a response without its terminator; raises ProtocolError if it is not a response.
        """
        source = iter(lines)
        reading = exhausted = False
        exchange = Exchange(self.path)
        connection = None  # type: Optional[Connection]
        try:
            while True:
                if not exchange.unanswered:
                    if exhausted:
                        return
                    reading = True
                while reading and exchange.has_room():
                    line = next(source, b"")  # b"": no more; None: the next one may take time
                    if line:
                        exchange.ask(Call(line, read))
                    else:
                        reading = False
                        exhausted = line is not None
                if not exchange.unanswered:
                    continue
                if connection is None:
                    connection = self._connection()
                settled = self._converse(exchange, connection)
                if exchange.ended:
                    connection.close()
                    connection = None
                    exchange.restart()
                for call in settled:
                    if isinstance(call.outcome, (Unavailable, ProtocolError)):
                        raise call.outcome
                    yield call.outcome
        finally:
            if connection is not None:
                if exchange.unanswered or exchange.ended:
                    connection.close()  # responses may still come: the next request must not take them for its own
                else:
                    self._idle.append(connection)

    def _converse(self, exchange, connection):
        # type: (Exchange, Connection) -> List[Call]
        """Send and receive until calls have their outcomes, and return them: none if the connection ends first.

        Raises Unavailable if the timeout is over before a whole response has come.
        """
        deadline = None if self.timeout is None else _clock() + self.timeout
        settled = []  # type: List[Call]
        while not settled and not exchange.ended:
            connection.send(exchange.outgoing)
            if not connection.wait(deadline, sending=bool(exchange.outgoing)):
                raise Unavailable(NO_ANSWER % (self.path, self.timeout))
            data = connection.receive()
            if data is not None:
                settled = exchange.receive(data)
        return settled

    def _connection(self):
        # type: () -> Connection
        """An idle connection, or a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return connect(self.path, self.timeout)
            if connection.is_usable():
                return connection
            connection.close()


def check_timeout(timeout):
    # type: (Optional[float]) -> None
    """Raises ValueError if Client cannot have that timeout."""
    if timeout is not None and not 0 < timeout <= MAX_TIMEOUT:  # NaN too
        raise ValueError("timeout: must be None, or seconds: more than 0 and at most %d" % MAX_TIMEOUT)


def default_path():
    # type: () -> str
    """The socket that Client uses if it is given none: ORDERSIGNER_SOCKET in the environment, or the package's."""
    return os.environ.get("ORDERSIGNER_SOCKET") or SYSTEM_SOCKET


def path_text(path):
    # type: (Optional[Path]) -> str
    """The path of a socket as text, default_path() for none; raises TypeError for what is no path."""
    if not path:
        return default_path()
    if isinstance(path, (str, _TEXT)):
        return path
    return os.fsdecode(path) if hasattr(os, "fsdecode") else str(path)  # Python 2 has no protocol for paths


ATTEMPTS = 3  # the client gives up when this many connections in a row end without any response
# Requests sent and not yet answered. They and their responses fit into the kernel's buffers, so a program that stops
# taking results for a while does not leave a line half sent, or the daemon waiting to send a response.
MAX_UNANSWERED = 256
MAX_UNANSWERED_BYTES = 64 * 1024
# Bytes, without the terminator; the daemon writes less than that. The time to read an integer grows with the
# square of its length: Python 2.7 takes about 50 ms for one of 64 KiB, 10 seconds for one of a megabyte.
MAX_RESPONSE = 64 * 1024
NO_ANSWER = "%s: no answer within %s seconds"


class Exchange(object):
    """The calls on a connection, without its socket: bytes in, bytes out. Both clients use it.

    ask() takes calls, and `outgoing` has the bytes to send for them. receive() takes what comes back, settles calls in
    the order in which they were asked, and returns them. When `ended` is true, the connection is of no more use. Then
    restart() begins with another one, on which all calls without an outcome are sent again.

    An outcome is what the call's `read` returns, ProtocolError, or Unavailable after three fruitless connections.
    """

    def __init__(self, path):
        # type: (str) -> None
        self.outgoing = bytearray()  # who sends it removes it
        self.unanswered = collections.deque()  # type: Deque[Call]
        self.ended = False
        self._path = path  # for the texts of errors
        self._size = 0  # of the lines of `unanswered`, in bytes
        self._incoming = b""  # the beginning of a response
        self._responded = False  # whether the connection has given any response

    def has_room(self):
        # type: () -> bool
        """Whether one more call can be asked before a response comes."""
        return len(self.unanswered) < MAX_UNANSWERED and self._size < MAX_UNANSWERED_BYTES

    def ask(self, call):
        # type: (Call) -> None
        self.unanswered.append(call)
        self._size += len(call.line)
        self.outgoing += call.line

    def receive(self, data):
        # type: (bytes) -> List[Call]
        """Take what came on the connection, b"" at its end, and return the calls that this settles."""
        if not data:
            return self._end()
        lines = data.split(b"\n")
        lines[0] = self._incoming + lines[0]
        self._incoming = lines.pop()
        if len(self._incoming) > MAX_RESPONSE + 1:  # too long, even with a CR: do not wait for its end
            lines.append(self._incoming)
            self._incoming = b""
        self._responded = self._responded or bool(lines)
        settled = []
        try:
            if len(lines) > len(self.unanswered):
                raise ProtocolError("%s: more responses than requests" % self._path)
            for line in lines:
                settled.append(self._settle(self.unanswered[0].read(line.rstrip(b"\r"))))
        except ProtocolError as error:
            # What comes next on this connection may answer any call, or none.
            self.ended = True
            if self.unanswered:
                settled.append(self._settle(error))
        if not self.unanswered and (self._incoming or self.outgoing):  # half a line, with no call that it belongs to
            self.ended = True
        return settled

    def restart(self):
        # type: () -> None
        """Begin again on another connection."""
        calls = [call for call in self.unanswered if not call.is_over()]
        self.outgoing = bytearray()
        self.unanswered.clear()
        self.ended = self._responded = False
        self._size = 0
        self._incoming = b""
        for call in calls:
            self.ask(call)

    def _end(self):
        # type: () -> List[Call]
        """The daemon ended the connection. Count that for each call that it left without a response."""
        self.ended = True
        for call in self.unanswered:
            call.fruitless = 0 if self._responded else call.fruitless + 1
        given_up = [call for call in self.unanswered if call.fruitless == ATTEMPTS]
        for call in given_up:
            call.settle(Unavailable("%s: %d connections ended without an answer" % (self._path, ATTEMPTS)))
        return given_up

    def _settle(self, outcome):
        # type: (object) -> Call
        """Settle the call that was asked first."""
        call = self.unanswered.popleft()
        self._size -= len(call.line)
        call.settle(outcome)
        return call


class Call(object):
    """A request on its way to its outcome: what `read` makes of the response, or why there is none."""

    def __init__(self, line, read):
        # type: (bytes, Callable[[bytes], Any]) -> None
        self.line = line
        self.read = read
        self.outcome = None  # type: Any
        self.fruitless = 0  # connections in a row that ended without any response, with this call sent on them

    def settle(self, outcome):
        # type: (object) -> None
        self.outcome = outcome

    def is_over(self):
        # type: () -> bool
        """Whether nobody waits for an outcome any more. Such a call is not sent."""
        return self.outcome is not None


BACKLOG_FULL = "cannot connect to %s: too many clients are waiting"

_CHUNK = 64 * 1024  # bytes read at once
# If the daemon hangs up, the program must get an error, not SIGPIPE. Python 2.7 does not have the name.
_NOSIGNAL = getattr(socket, "MSG_NOSIGNAL", 0x4000 if sys.platform.startswith("linux") else 0)
_TRY_AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class Connection(object):
    """A connection to the daemon that never waits, except in wait(). Both clients use it.

    Raises Unavailable if it cannot be made, of the kind BacklogFull if trying again may help.
    """

    def __init__(self, path):
        # type: (str) -> None
        self._process = os.getpid()
        self._poll = select.poll() if hasattr(select, "poll") else None
        self._socket = _connected_socket(path)

    def close(self):
        # type: () -> None
        self._socket.close()

    def fileno(self):
        # type: () -> int
        return self._socket.fileno()

    def is_usable(self):
        # type: () -> bool
        """Whether it can take a request: nothing came in unasked, it has not ended, and this process made it."""
        return self._process == os.getpid() and not self.wait(_clock())

    def send(self, data):
        # type: (bytearray) -> None
        """Send as much of `data` as the socket takes now, and remove it from `data`."""
        if not data:
            return
        try:
            sent = self._socket.send(data, _NOSIGNAL)
        except socket.error as error:
            # If the daemon hung up, it may have said why. That can still be read, and after it the end.
            sent = 0 if error.errno in _TRY_AGAIN else len(data)
        del data[:sent]

    def receive(self):
        # type: () -> Optional[bytes]
        """What can be read now: b"" at the end of the connection, None if nothing has come."""
        try:
            return self._socket.recv(_CHUNK)
        except socket.error as error:
            # Any other error is a reset: the daemon closed it with requests unread.
            return None if error.errno in _TRY_AGAIN else b""

    def wait(self, deadline, sending=False):
        # type: (Optional[float], bool) -> bool
        """Whether there is something to receive, or room if `sending`, or the end, before `deadline`."""
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN | (select.POLLOUT if sending else 0))
        while True:
            seconds = None if deadline is None else max(0, deadline - _clock())
            try:
                if self._poll is not None:
                    return bool(self._poll.poll(None if seconds is None else seconds * 1000))
                # eventlet takes poll() away; its select() takes descriptors of any number.
                return any(select.select([self._socket], [self._socket] if sending else [], [], seconds))
            except select.error as error:  # a signal, on Python 2
                if error.args[0] != errno.EINTR:
                    raise


def _connected_socket(path):
    # type: (str) -> socket.socket
    """A non-blocking socket connected to `path`.

    It never waits. A connect() that waits would need a time limit, and the kernel's own, SO_SNDTIMEO, takes a struct
    that differs between machines. It would also have to survive signals: Python 3 takes a socket whose connect() was
    interrupted for connected.
    """
    try:
        unix_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            unix_socket.setblocking(False)
            unix_socket.connect(path)
        except BaseException:
            unix_socket.close()
            raise
        return unix_socket
    except socket.error as error:
        if error.errno in _TRY_AGAIN:
            raise BacklogFull(BACKLOG_FULL % path)
        raise Unavailable("cannot connect to %s: %s" % (path, error.strerror or error))


def connect(path, timeout):
    # type: (str, Optional[float]) -> Connection
    """A connection to the daemon at `path`. If too many clients wait to be accepted, tries again for `timeout` seconds.

    Raises Unavailable.
    """
    deadline = None if timeout is None else _clock() + timeout
    pauses = retry_pauses()
    while True:
        pause = next(pauses)
        try:
            return Connection(path)
        except BacklogFull:
            if deadline is not None:
                pause = min(pause, deadline - _clock())
                if pause <= 0:
                    raise
        time.sleep(pause)


def retry_pauses():
    # type: () -> Iterator[float]
    """Seconds to wait after each attempt to connect that raised BacklogFull: 1 ms at first, at most 50 ms."""
    pause = 0.001
    while True:
        yield pause
        pause = min(2 * pause, 0.05)


def typed_data_request(signer, typed_data, types, primary_type, domain, message):
    # type: (str, Optional[Request], Optional[Request], Optional[str], Optional[Request], Optional[Request]) -> Request
    """The request that Client.sign_typed_data() sends; raises TypeError."""
    parts = (("types", types), ("primary_type", primary_type), ("domain", domain), ("message", message))
    if typed_data is None:
        absent = [name for name, part in parts if part is None]
        if absent:
            raise TypeError("%s: missing; pass typed_data or all of its parts" % absent[0])
        typed_data = {"types": types, "primaryType": primary_type, "domain": domain, "message": message}
    elif any(part is not None for _, part in parts):
        raise TypeError("typed_data: pass this or its parts, not both")
    return {"type": "typed_data", "typed_data": typed_data, "signer": signer}


def message_request(signer, text, data):
    # type: (str, Optional[str], Optional[bytes]) -> Request
    """The request that Client.sign_message() sends; raises TypeError."""
    if (text is None) == (data is None):
        raise TypeError("pass either text or data")
    if data is None:
        if not isinstance(text, (str, _TEXT)):
            raise TypeError("text: must be text; pass bytes as data")
        return {"type": "message", "text": text, "signer": signer}
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError("data: must be bytes; pass text as text")
    return {"type": "message", "hex": _hex(data), "signer": signer}


def hyperliquid_request(signer, action, nonce, vault_address, expires_after, network):
    # type: (str, Request, int, Optional[str], Optional[int], str) -> Request
    """The request that Client.sign_hyperliquid() sends."""
    request = {"type": "hyperliquid", "action": action, "nonce": nonce, "network": network, "signer": signer}
    if vault_address is not None:
        request["vaultAddress"] = vault_address
    if expires_after is not None:
        request["expiresAfter"] = expires_after
    return request


def transaction_request(signer, transaction):
    # type: (str, Request) -> Request
    """The request that Client.sign_transaction() sends."""
    return {"type": "transaction", "transaction": transaction, "signer": signer}


def rules_request(kind, rules):
    # type: (str, Optional[Iterable[str]]) -> Request
    """The request that Client.freeze() and Client.thaw() send; raises TypeError."""
    if isinstance(rules, (str, _TEXT)):
        raise TypeError("rules: must be a list of names")
    return {"type": kind} if rules is None else {"type": kind, "rules": list(rules)}


def encode(request):
    # type: (Request) -> bytes
    """A request as a line of JSON, LF included.

    Raises TypeError or ValueError if JSON cannot hold it. The text names the field, but repeats no value, and no key
    that the protocol does not name: any of them may be a private key.
    """
    may_have_bytes = isinstance(request, dict) and request.get("type") in ("typed_data", "transaction")
    as_text = _decimal_or_bytes_text if may_have_bytes else _decimal_text
    try:
        return json.dumps(request, default=as_text).encode("ascii") + b"\n"
    except _NotJson as error:
        kind, reason = TypeError, str(error)  # type: Type[Exception], str
    except TypeError:
        kind, reason = TypeError, "keys must be str"
    except UnicodeDecodeError:
        kind, reason = ValueError, "a str that is not UTF-8"  # on Python 2
    except ValueError:
        kind, reason = ValueError, "an object that contains itself, or an integer of too many digits"
    except RuntimeError:  # RecursionError, where there is one
        kind, reason = ValueError, "nested too deeply"
    # Raised out here, it has no __context__: json's own error may quote keys.
    raise kind("%s: %s" % (_faulty_field(request, as_text), reason))


class _NotJson(TypeError):
    """A value of a type that JSON cannot hold. Its text quotes nothing but the type's name."""


def _decimal_text(value):
    # type: (object) -> str
    """All digits of a Decimal, to be sent as a string. For json.dumps, which asks for types that it does not know."""
    if not isinstance(value, decimal.Decimal):
        raise _NotJson("%s cannot be written as JSON" % type(value).__name__)
    # Without an exponent, which the daemon refuses in a string. It refuses numbers of a thousand digits anyway, and
    # 1E+999999999 written out would fill the memory.
    return format(value, "f") if abs(value.adjusted()) < 1000 else str(value)


def _decimal_or_bytes_text(value):
    # type: (object) -> str
    """The same, and 0x and hexadecimal digits for bytes. In other requests than these, bytes may be a mistake."""
    return _hex(value) if isinstance(value, (bytes, bytearray)) else _decimal_text(value)


def _hex(data):
    # type: (Union[bytes, bytearray]) -> str
    return "0x" + str(binascii.hexlify(data).decode("ascii"))


# Keys that an error may quote: those that the protocol names, and more that the exchange's own orders have.
_KNOWN_KEY = re.compile(
    r"(type|order|instrument|signer|id"
    r"|accountId|timestamp|orderType|side|quantity|price|marginPerFraction|quote|base|address|decimals"
    r"|clientOrderId|expiryTime|isPostOnly|originator|reduceOnly|symbol|triggerPrice"
    r"|typed_data|types|primaryType|domain|message|name|version|chainId|verifyingContract|salt"
    r"|text|hex|action|nonce|vaultAddress|expiresAfter|network|rules"
    r"|transaction|gasPrice|maxFeePerGas|maxPriorityFeePerGas|gas|to|value|data|accessList|from|storageKeys)\Z"
)


def _faulty_field(request, as_text):
    # type: (object, Callable[[object], str]) -> str
    """Which field of `request` cannot be encoded, as far as it can be said with keys that are known."""
    field = ""
    value = request
    for _ in range(3):  # no field is deeper: instrument.base.decimals
        members = value.items() if isinstance(value, dict) else ()
        faulty = [key for key, member in members if not _is_json(member, as_text)]
        if not faulty:
            break
        if not isinstance(faulty[0], (str, _TEXT)) or not _KNOWN_KEY.match(faulty[0]):
            return "a value in %s" % (field or "the request")
        field = "%s.%s" % (field, faulty[0]) if field else str(faulty[0])
        value = value[faulty[0]]  # type: ignore[index]
    return field or "request"


def _is_json(value, as_text):
    # type: (object, Callable[[object], str]) -> bool
    try:
        json.dumps(value, default=as_text)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


_SIGNATURE = re.compile(r"0x[0-9a-f]{130}\Z")
_TRANSACTION = re.compile(r"0x([0-9a-f]{2})+\Z")
_HASH = re.compile(r"0x[0-9a-f]{64}\Z")
_VERSION = re.compile(r"[0-9A-Za-z.+~-]{1,64}\Z")
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{40}\Z")
_RULE = re.compile(r"[0-9A-Za-z._/-]{1,64}\Z")


def read_response(line):
    # type: (bytes) -> Dict[str, Any]
    """The object in a response; raises ProtocolError if the line is not a response."""
    try:
        response = json.loads(line.decode("utf-8")) if len(line) <= MAX_RESPONSE else None
    except (ValueError, RuntimeError):  # RuntimeError: nested too deeply
        response = None
    if isinstance(response, dict) and (response.get("ok") is True or _is_refusal(response)):
        return response
    raise ProtocolError("not a response of the signing daemon")


def read_signature(line):
    # type: (bytes) -> Union[str, SignerError]
    """The signature in a response, or the error of a refusal; raises ProtocolError."""
    return _read_member(line, "signature", _SIGNATURE)


def read_transaction(line):
    # type: (bytes) -> Union[SignedTransaction, SignerError]
    """The signed transaction in a response, or the error of a refusal; raises ProtocolError."""
    response = read_response(line)
    if not response["ok"]:
        return refusal(response)
    patterns = (("transaction", _TRANSACTION), ("hash", _HASH), ("signature", _SIGNATURE))
    return SignedTransaction(*[_member(response, key, pattern) for key, pattern in patterns])


def read_version(line):
    # type: (bytes) -> Union[str, SignerError]
    """The version in the response to a ping, or the error of a refusal; raises ProtocolError."""
    return _read_member(line, "version", _VERSION)


def read_signers(line):
    # type: (bytes) -> Union[List[Signer], SignerError]
    """The keys in the response to a request of type "signers", or the error of a refusal; raises ProtocolError."""
    response = read_response(line)
    return listed_signers(response) if response["ok"] else refusal(response)


def listed_signers(response):
    # type: (Mapping[str, Any]) -> List[Signer]
    """The keys in a response that read_response() returned, and whose "ok" is true; raises ProtocolError."""
    listed = response.get("signers")
    if not isinstance(listed, list) or not all(map(_is_signer, listed)):
        raise ProtocolError("the response has no valid signers")
    return [
        {
            "address": str(signer["address"]),
            "rules": [str(rule) for rule in signer["rules"]],
            "frozen": [str(rule) for rule in signer.get("frozen", ())],
            "available": signer["available"],
        }
        for signer in listed
    ]


def read_frozen(line):
    # type: (bytes) -> Union[Frozen, SignerError]
    """What the response to a request of type "freeze" or "thaw" says, or a refusal's error; raises ProtocolError."""
    response = read_response(line)
    return frozen_rules(response) if response["ok"] else refusal(response)


def frozen_rules(response):
    # type: (Mapping[str, Any]) -> Frozen
    """The same of a response that read_response() returned, and whose "ok" is true; raises ProtocolError."""
    confirmed, kept = response.get("confirmed"), response.get("kept", True)
    if not _are_rules(response.get("frozen")) or not isinstance(confirmed, bool) or not isinstance(kept, bool):
        raise ProtocolError("the response has no valid frozen rules")
    return {"frozen": [str(rule) for rule in response["frozen"]], "confirmed": confirmed, "kept": kept}


def refusal(response):
    # type: (Mapping[str, Any]) -> SignerError
    """The error in a response that read_response() returned, and whose "ok" is false."""
    error = response["error"]
    return SignerError(error["type"], error["message"], error["context"])


def result(outcome):
    # type: (Union[T, Error]) -> T
    """The outcome, if it is not an error, which is raised."""
    if isinstance(outcome, Error):
        raise outcome
    return outcome


def _read_member(line, key, pattern):
    # type: (bytes, str, Pattern[str]) -> Union[str, SignerError]
    response = read_response(line)
    return _member(response, key, pattern) if response["ok"] else refusal(response)


def _member(response, key, pattern):
    # type: (Dict[str, Any], str, Pattern[str]) -> str
    value = response.get(key)
    if not _is_text(value, pattern):
        raise ProtocolError("the response has no valid %s" % key)
    return str(value)


def _is_refusal(response):
    # type: (Dict[str, Any]) -> bool
    error = response.get("error")
    return (
        response.get("ok") is False
        and isinstance(error, dict)
        and isinstance(error.get("type"), _TEXT)
        and isinstance(error.get("message"), _TEXT)
        and isinstance(error.get("context"), dict)
        and all(isinstance(problems, list) for problems in error["context"].values())
        and all(isinstance(problem, dict) for problems in error["context"].values() for problem in problems)
    )


def _is_signer(value):
    # type: (object) -> bool
    return (
        isinstance(value, dict)
        and _is_text(value.get("address"), _ADDRESS)
        and _are_rules(value.get("rules"))
        and _are_rules(value.get("frozen", []))
        and isinstance(value.get("available"), bool)
    )


def _are_rules(value):
    # type: (object) -> bool
    return isinstance(value, list) and all(_is_text(rule, _RULE) for rule in value)


def _is_text(value, pattern):
    # type: (object, Pattern[str]) -> bool
    return isinstance(value, _TEXT) and bool(pattern.match(value))
