"""Tests of the client that also run on Python 2.7 and 3.6, so they use the standard library only.

test_client.py starts this file. In the environment, ORDERSIGNER_SOCKET is the socket of a running daemon, which holds
keys, and VECTORS is the directory of the test vectors. The module ordersigner_client is a copy of the client's file.
"""

# mypy: ignore-errors

from __future__ import print_function

import collections
import contextlib
import copy
import decimal
import errno
import json
import os
import pickle
import random
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import unittest

import ordersigner_client
from ordersigner_client import Client, ProtocolError, SignerError, Unavailable
from servers import (
    REFUSAL,
    TIME_LIMIT,
    FullServer,
    Server,
    answering,
    large_both_ways,
    numbered,
    response,
    signature,
    well_behaved,
)

LIVE = os.environ["ORDERSIGNER_SOCKET"]
TEXT = type(b"".decode())


def vectors(name):
    with open(os.path.join(os.environ["VECTORS"], name + ".json")) as file:
        return json.load(file)


EXAMPLE = vectors("example")
REQUEST = EXAMPLE["request"]
SIGNATURE = EXAMPLE["expect"]["signature"]
KEY = REQUEST["signer"]
PUBLISHED = vectors("published-orders")
HELD = "0x202a093beaa3b1e52c393ea2c4e2c935b48c0b8e"  # the address of KEY, which the daemon holds too
ADDRESS = "0x" + 38 * "a" + "0B"  # of a key that the daemon should hold, and does not


def changed(**fields):
    """The example with these fields in its order."""
    return dict(REQUEST, order=dict(REQUEST["order"], **fields))


class TestCase(unittest.TestCase):
    """Assertions that all versions have."""

    def refused(self, call, *arguments):
        """The SignerError that `call` raises."""
        try:
            call(*arguments)
        except SignerError as error:
            return error
        raise AssertionError("not refused")

    def raises(self, kind, text, call, *arguments):
        try:
            call(*arguments)
        except kind as error:
            self.assertIn(text, str(error))
            return error
        raise AssertionError("no %s" % kind.__name__)


class ARunningDaemon(TestCase):
    def setUp(self):
        self.client = Client(LIVE)
        self.addCleanup(self.client.close)

    def test_the_example_gets_its_signature(self):
        self.assertEqual(self.client.sign(REQUEST), SIGNATURE)

    def test_a_signature_is_a_str(self):
        self.assertIs(type(self.client.sign(REQUEST)), str)

    def test_sign_spot_and_sign_futures_take_the_parts(self):
        for kind, sign in (("spot", self.client.sign_spot), ("futures", self.client.sign_futures)):
            row = next(row for row in PUBLISHED if row["request"]["type"] == kind)
            request = row["request"]
            self.assertEqual(
                sign(request["order"], request["instrument"], request["signer"]), row["expect"]["signature"]
            )

    def test_a_key_that_the_daemon_holds_is_named_by_its_address(self):
        for address in (HELD, HELD[2:], HELD.upper().replace("X", "x"), TEXT(HELD)):
            self.assertEqual(self.client.sign(dict(REQUEST, signer=address)), SIGNATURE)
        self.assertEqual(self.client.sign_spot(REQUEST["order"], REQUEST["instrument"], HELD), SIGNATURE)
        signatures = self.client.sign_many([dict(REQUEST, signer=HELD), REQUEST])
        self.assertEqual(list(signatures), [SIGNATURE] * 2)

    def test_the_keys_that_may_be_used_are_listed_by_address(self):
        keys = self.client.signers()
        self.assertEqual(
            sorted(keys, key=lambda key: key["address"]),
            [
                {"address": HELD, "rules": ["example"], "frozen": [], "available": True},
                {"address": ADDRESS.lower(), "rules": ["example"], "frozen": [], "available": False},
            ],
        )
        self.assertEqual({type(key["address"]) for key in keys}, {str})

    def test_an_address_that_may_not_be_used_is_refused_by_the_policy(self):
        for address, code in (("0x" + 40 * "1", "unknown_signer"), (ADDRESS, "key_unavailable")):
            error = self.refused(self.client.sign, dict(REQUEST, signer=address))
            self.assertEqual(error.type, "PermissionError")
            self.assertEqual(error.context["signer"][0]["code"], code)

    def test_a_ping_gets_the_version(self):
        self.assertRegex(self.client.ping(), r"^\d+\.\d+\.\d+$")

    def test_all_published_orders_get_their_signatures_in_order(self):
        signatures = self.client.sign_many(row["request"] for row in PUBLISHED)
        self.assertEqual(list(signatures), [row["expect"]["signature"] for row in PUBLISHED])

    def test_a_transaction_comes_back_signed(self):
        rows = [row for row in vectors("transactions/transactions") if "raw" in row]
        for row in rows[:20]:
            request = row["request"]
            signed = self.client.sign_transaction(request["signer"], request["transaction"])
            self.assertEqual(signed, (row["raw"], row["hash"], row["signature"]))
            self.assertEqual((signed.transaction, signed.hash, signed.signature), tuple(signed))
            self.assertEqual({type(part) for part in signed}, {str})
            self.assertEqual(self.client.sign(request), row["signature"])
        lacking = dict(rows[0]["request"]["transaction"])
        del lacking["nonce"]
        error = self.refused(self.client.sign_transaction, KEY, lacking)
        self.assertEqual(error.context["transaction.nonce"][0]["code"], "missing")

    def test_a_used_client_can_be_copied_and_pickled(self):
        self.client.ping()
        copies = [copy.copy(self.client), copy.deepcopy({"of a program": [self.client]})["of a program"][0]]
        copies += [pickle.loads(pickle.dumps(self.client, protocol)) for protocol in range(3)]
        for other in copies:
            self.assertEqual(repr(other), repr(self.client))
            with other:
                self.assertEqual(other.sign(REQUEST), SIGNATURE)
        self.assertEqual(self.client.sign(REQUEST), SIGNATURE)

    def test_it_needs_no_poll(self):
        # eventlet takes select.poll() away, perhaps after the import of this module.
        poll = select.poll
        del select.poll
        try:
            with Client(LIVE) as client:
                self.assertEqual(list(client.sign_many([REQUEST] * 600)), [SIGNATURE] * 600)
                self.assertEqual(client.sign(REQUEST), SIGNATURE)
            with Server(lambda peer: peer.read()) as server:
                self.raises(Unavailable, "no answer within 0.05 seconds", Client(server.path, 0.05).ping)
        finally:
            select.poll = poll

    def test_the_environment_names_the_socket(self):
        with Client() as client:
            self.assertEqual(client.path, LIVE)
            self.assertEqual(client.sign(REQUEST), SIGNATURE)

    def test_a_timeout_that_is_not_possible_is_refused(self):
        for timeout in (0, -1, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                Client(timeout=timeout)

    def test_a_closed_client_connects_again(self):
        self.client.sign(REQUEST)
        self.client.close()
        self.assertEqual(self.client.sign(REQUEST), SIGNATURE)

    def test_both_kinds_of_text_are_taken(self):
        for text in (str, TEXT):
            self.assertEqual(self.client.sign(with_text(text, REQUEST)), SIGNATURE)

    def test_a_decimal_is_signed_digit_by_digit(self):
        for number, digits in (
            ("23.443220000000000001", "23.443220000000000001"),
            ("1E+3", "1000"),
            ("12.5E-7", "0.00000125"),
            ("12345678901234567890123456789012345.123456789", "12345678901234567890123456789012345.123456789"),
        ):
            expected = self.client.sign(changed(price=digits))
            self.assertEqual(self.client.sign(changed(price=decimal.Decimal(number))), expected)

    def test_a_decimal_is_not_rounded_to_a_float(self):
        number = "0.123456789012345678"
        exact = self.client.sign(changed(price=decimal.Decimal(number)))
        self.assertNotEqual(exact, self.client.sign(changed(price=float(number))))

    def test_a_decimal_that_is_not_an_amount_is_refused_by_the_daemon(self):
        for number, code in (("-1", "negative"), ("NaN", "not_decimal"), ("Infinity", "not_decimal")):
            error = self.refused(self.client.sign, changed(price=decimal.Decimal(number)))
            self.assertEqual(error.context["order.price"][0]["code"], code)

    def test_a_decimal_with_a_huge_exponent_is_not_written_out(self):
        for number in ("1E+99999999", "1E-99999999"):
            error = self.refused(self.client.sign, changed(price=decimal.Decimal(number)))
            self.assertEqual(error.context["order.price"][0]["code"], "not_decimal")

    def test_a_refusal_names_the_field_and_carries_the_error(self):
        error = self.refused(self.client.sign, changed(price=-1))
        self.assertEqual(error.type, "ValueError")
        self.assertEqual(error.message, "Invalid input; see context for more info.")
        self.assertEqual([problem["code"] for problem in error.context["order.price"]], ["negative"])
        self.assertIn("order.price: ", str(error))
        self.assertIn("(negative)", str(error))
        self.assertEqual(str(SignerError(type="A", message="b", context={})), "b")

    def test_a_refusal_with_a_name_that_is_not_ascii_can_be_printed(self):
        error = self.refused(self.client.sign, dict(REQUEST, **{"pr\u00e4is" if str is TEXT else "pr\xc3\xa4is": 1}))
        self.assertIs(type(str(error)), str)
        self.assertIn("unexpected", str(error))

    def test_a_refusal_survives_pickling(self):
        error = self.refused(self.client.sign, changed(price=-1))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((again.type, again.message, again.context), (error.type, error.message, error.context))

    def test_every_error_is_an_error_of_the_client(self):
        for kind in (SignerError, Unavailable, ProtocolError):
            self.assertTrue(issubclass(kind, ordersigner_client.Error))

    def test_errors_come_in_their_places_or_are_raised(self):
        requests = [REQUEST, changed(price=-1), REQUEST, {"type": "spot"}, REQUEST]
        outcomes = list(self.client.sign_many(requests, return_errors=True))
        self.assertEqual([isinstance(outcome, SignerError) for outcome in outcomes], [False, True, False, True, False])
        self.assertEqual(outcomes[::2], [SIGNATURE] * 3)
        signatures = self.client.sign_many(requests)
        self.assertEqual(next(signatures), SIGNATURE)
        self.assertIn("order.price", str(self.refused(next, signatures)))

    def test_a_line_that_is_too_long_is_refused_in_its_place_and_the_lines_after_it_are_signed(self):
        long = dict(REQUEST, order=dict(REQUEST["order"], remark="x" * 70000))
        outcomes = list(self.client.sign_many([REQUEST, long, long, long, long, REQUEST], return_errors=True))
        self.assertEqual([outcomes[0], outcomes[-1]], [SIGNATURE] * 2)
        for error in outcomes[1:-1]:
            self.assertEqual(error.context[""][0]["code"], "too_long")
        self.assertEqual(self.refused(self.client.sign, long).context[""][0]["code"], "too_long")

    def test_lines_and_responses_larger_than_the_kernel_holds_do_not_block_each_other(self):
        unexpected = {"\\" * 1000 + str(number): number for number in range(10)}  # these names come back, escaped
        large = dict(changed(remark="x" * 40000), **unexpected)
        outcomes = list(self.client.sign_many([large] * 40, return_errors=True))
        codes = [{problem["code"] for problems in e.context.values() for problem in problems} for e in outcomes]
        self.assertEqual(codes, [{"unexpected"}] * 40)

    def test_many_requests_are_answered_in_order_however_late_the_results_are_taken(self):
        requests = [changed(timestamp=number) for number in range(1, 1001)]
        expected = [self.client.sign(request) for request in requests[::250]]
        results = self.client.sign_many(iter(requests))
        taken = [next(results)]
        with Client(LIVE) as other:
            other.ping()
        taken.extend(results)
        self.assertEqual(taken[::250], expected)
        self.assertEqual(len(set(taken)), 1000)

    def test_a_request_made_during_an_iteration_gets_its_own_answer(self):
        for outcome in self.client.sign_many([changed(timestamp=number) for number in range(1, 100)]):
            self.assertNotEqual(outcome, self.client.sign(REQUEST))
            self.assertEqual(self.client.sign(REQUEST), SIGNATURE)

    def test_an_iteration_that_is_not_finished_does_not_disturb_later_requests(self):
        for _ in self.client.sign_many([changed(timestamp=number) for number in range(1, 1000)]):
            break
        self.assertEqual(self.client.sign(REQUEST), SIGNATURE)

    def test_an_iterable_that_fails_does_not_disturb_later_requests(self):
        def requests():
            yield changed(timestamp=1)
            raise KeyError("mine")

        self.assertRaises(KeyError, list, self.client.sign_many(requests()))
        self.assertEqual(self.client.sign(REQUEST), SIGNATURE)

    def test_no_requests_need_no_daemon(self):
        self.assertEqual(list(Client("/nonexistent").sign_many([])), [])

    def test_threads_can_share_a_client(self):
        expected = {number: self.client.sign(changed(timestamp=number)) for number in range(1, 9)}
        wrong = []

        def work(number):
            for _ in range(50):
                if self.client.sign(changed(timestamp=number)) != expected[number]:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in expected]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_processes_can_share_a_client(self):
        self.client.sign(REQUEST)
        other = self.client.sign(changed(timestamp=1))
        child = os.fork()
        if not child:
            right = all(self.client.sign(changed(timestamp=1)) == other for _ in range(100))
            os._exit(0 if right else 1)
        for _ in range(100):
            self.assertEqual(self.client.sign(REQUEST), SIGNATURE)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_no_error_and_no_repr_contains_the_key(self):
        broken = [
            changed(price=-1),
            changed(price=object()),
            dict(REQUEST, signer=[KEY]),
            dict(REQUEST, signer=KEY + "00"),
            dict(REQUEST, signer=KEY.encode() + b"\xff"),
            dict(REQUEST, signer={KEY}),
        ]
        for request in broken:
            try:
                self.client.sign(request)
            except (SignerError, TypeError, ValueError) as error:
                self.assertNotIn(KEY[2:], str(error) + repr(error) + traceback.format_exc())
            else:
                self.fail("not refused")
        self.assertNotIn(KEY[2:], repr(self.client) + repr(self.client.sign_many([REQUEST])))


@contextlib.contextmanager
def signals(count, action):
    """Interrupts this thread every 5 ms, and calls `action` in the signal handler at that many interrupts."""
    ticks = []

    def tick(number, frame):
        ticks.append(number)
        if len(ticks) == count:
            action()

    previous = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def with_text(kind, value):
    """`value` with all its strings as that type: Python 2 has two."""
    if isinstance(value, dict):
        return {kind(key): with_text(kind, member) for key, member in value.items()}
    return kind(value) if isinstance(value, TEXT) else value


class ARequest(TestCase):
    def test_what_json_cannot_represent_is_refused_by_name_before_it_is_sent(self):
        client = Client("/nonexistent")
        self.raises(TypeError, "order.price: ", client.sign, changed(price=object()))
        self.raises(
            TypeError, "instrument.base.decimals: ", client.sign, dict(REQUEST, instrument={"base": {"decimals": {1}}})
        )
        if str is TEXT:
            self.raises(TypeError, "signer: ", client.sign, dict(REQUEST, signer=KEY.encode()))
        else:
            self.raises(ValueError, "signer: ", client.sign, dict(REQUEST, signer=b"\xff"))

    def test_a_request_that_is_nested_too_deeply_is_refused_by_name_before_it_is_sent(self):
        deep = []
        for _ in range(100000):
            deep = [deep]
        objects = {}
        for _ in range(100000):
            objects = {"order": objects}
        client = Client("/nonexistent")
        for request, field in (
            (dict(REQUEST, signer=deep), "signer: "),
            (changed(price=deep), "order.price: "),
            (changed(remark=deep), "a value in order: "),
            (objects, "order.order.order: "),
            (deep, "request: "),
        ):
            self.raises(ValueError, field + "nested too deeply", client.sign, request)

    def test_a_request_that_contains_itself_is_refused_by_name_before_it_is_sent(self):
        order = dict(REQUEST["order"])
        order["price"] = [order]
        self.raises(ValueError, "order.price: ", Client("/nonexistent").sign, dict(REQUEST, order=order))

    def test_a_key_that_the_protocol_does_not_name_is_not_quoted(self):
        # It may be a private key in the wrong place.
        for request, field in (
            ({KEY: object()}, "a value in the request: object "),
            (changed(**{KEY: object()}), "a value in order: object "),
            (changed(price={KEY: object()}), "a value in order.price: object "),
            (dict(REQUEST, instrument={"base": {KEY: {1}}}), "a value in instrument.base: set "),
            (changed(price={(KEY,): 1}), "order.price: keys must be str"),
            (changed(price={(KEY,): object()}), "a value in order.price: "),
            ({(KEY,): 1}, "request: keys must be str"),
        ):
            try:
                ordersigner_client.encode(request)
            except TypeError as error:
                self.assertIn(field, str(error))
                self.assertNotIn(KEY[2:], str(error) + repr(error) + traceback.format_exc())
            else:
                self.fail("encoded")

    def test_a_float_is_sent_as_its_shortest_decimal(self):
        for text in ("0.1", "12.3343", "1e-07", "1575332212506984.0", "5e-324"):
            self.assertEqual(ordersigner_client.encode({"": float(text)}), ('{"": %s}\n' % text).encode())

    def test_a_long_integer_is_sent_with_all_its_digits(self):
        self.assertEqual(ordersigner_client.encode({"": 2**200}), ('{"": %d}\n' % 2**200).encode())


class ADaemonThatHoldsKeys(TestCase):
    def signers(self, line):
        with Server(answering(line)) as server, Client(server.path, TIME_LIMIT) as client:
            return client.signers()

    def test_the_request_has_a_type_and_nothing_else(self):
        asked = []
        answer = lambda peer: (asked.append(peer.line()), peer.send(b'{"ok": true, "signers": []}\r\n'))  # noqa: E731
        with Server(answer) as server, Client(server.path, TIME_LIMIT) as client:
            self.assertEqual(client.signers(), [])
        self.assertEqual(asked, [b'{"type": "signers"}'])

    def test_its_keys_come_in_its_order_with_their_rules(self):
        keys = [
            {"address": ADDRESS, "rules": ["bids", "a/B.c_d-9"], "frozen": ["bids"], "available": True},
            {"address": "0x" + 40 * "1", "rules": [], "frozen": [], "available": False},
        ]
        self.assertEqual(self.signers(json.dumps({"ok": True, "signers": keys}).encode()), keys)

    def test_addresses_and_rules_are_str(self):
        line = b'{"ok": true, "signers": [{"address": "%s", "rules": ["bids"], "available": true}]}' % ADDRESS.encode()
        (key,) = self.signers(line)
        self.assertEqual([type(text) for text in list(key) + [key["address"]] + key["rules"]], [str] * 6)

    def test_what_a_later_daemon_adds_to_a_key_is_left_out(self):
        line = b'{"ok": true, "signers": [{"address": "%s", "rules": ["bids"], "available": true, "more": 1}]}'
        (key,) = self.signers(line % ADDRESS.encode())
        self.assertEqual(key, {"address": ADDRESS, "rules": ["bids"], "frozen": [], "available": True})

    def test_an_answer_that_lists_no_keys_properly_is_an_error_that_quotes_nothing(self):
        good = {"address": ADDRESS, "rules": ["bids"], "available": True}
        for signers in (
            None,
            {},
            KEY,
            [KEY],
            [good, None],
            [{}],
            [dict(good, address=KEY)],
            [dict(good, address=ADDRESS[2:])],
            [dict(good, address=ADDRESS + "\n")],
            [dict(good, address=None)],
            [dict(good, rules=None)],
            [dict(good, rules="bids")],
            [dict(good, rules=[1])],
            [dict(good, rules=["\x1b[2J"])],
            [dict(good, rules=["bids", ""])],
            [dict(good, frozen="bids")],
            [dict(good, frozen=None)],
            [dict(good, frozen=["\x1b[2J"])],
            [dict(good, available=1)],
            [dict(good, available="true")],
            [{"address": ADDRESS, "rules": ["bids"]}],
        ):
            line = json.dumps({"ok": True, "signers": signers}).encode()
            error = self.raises(ProtocolError, "the response has no valid signers", self.signers, line)
            self.assertNotIn(KEY[2:], str(error) + repr(error))
        self.raises(ProtocolError, "no valid signers", self.signers, b'{"ok": true, "signature": "0x00"}')
        self.raises(ProtocolError, "not a response", self.signers, b"[]")

    def frozen(self, call, **members):
        """The client's result for this answer, and its request."""
        asked = []
        line = json.dumps(dict({"ok": True, "frozen": ["bids"], "confirmed": True}, **members)).encode()
        answer = lambda peer: (asked.append(json.loads(peer.line())), peer.send(line + b"\r\n"))  # noqa: E731
        with Server(answer) as server, Client(server.path, TIME_LIMIT) as client:
            return call(client), asked[0]

    def test_rules_are_frozen_and_thawed(self):
        done = {"frozen": ["bids"], "confirmed": True, "kept": True}
        self.assertEqual(self.frozen(lambda client: client.freeze()), (done, {"type": "freeze"}))
        self.assertEqual(self.frozen(lambda client: client.thaw()), (done, {"type": "thaw"}))
        for kind in ("freeze", "thaw"):
            for rules in (["bids", "asks"], ("bids", "asks"), iter([TEXT("bids"), "asks"])):
                got, asked = self.frozen(lambda client: getattr(client, kind)(rules), more=1)  # noqa: B023
                self.assertEqual((got, asked), (done, {"type": kind, "rules": ["bids", "asks"]}))
        self.assertEqual([type(rule) for rule in got["frozen"]], [str])
        got, _ = self.frozen(lambda client: client.freeze(), confirmed=False, kept=False, frozen=[])
        self.assertEqual(got, {"frozen": [], "confirmed": False, "kept": False})

    def test_a_name_alone_is_no_list_of_rules(self):
        with Client("/nonexistent") as client:
            for call in (client.freeze, client.thaw):
                for name in ("bids", TEXT("bids")):
                    self.raises(TypeError, "rules: must be a list of names", call, name)

    def test_an_answer_that_lists_no_frozen_rules_properly_is_an_error(self):
        for members in ({"frozen": None}, {"frozen": [1]}, {"frozen": [KEY]}, {"confirmed": 1}, {"kept": None}):
            for call in (lambda client: client.freeze(), lambda client: client.thaw()):
                answered = lambda: self.frozen(call, **members)  # noqa: B023, E731
                error = self.raises(ProtocolError, "no valid frozen rules", answered)
                self.assertNotIn(KEY[2:], str(error) + repr(error))

    def test_an_address_is_sent_as_the_signer_as_it_is(self):
        asked = []
        answer = lambda peer: (asked.append(peer.line()), peer.send(response(b'{"id": 1}')))  # noqa: E731
        with Server(answer) as server, Client(server.path, TIME_LIMIT) as client:
            for sign in (client.sign_spot, client.sign_futures):
                self.assertEqual(sign(REQUEST["order"], REQUEST["instrument"], ADDRESS), signature(1))
        self.assertEqual([json.loads(line.decode())["signer"] for line in asked], [ADDRESS] * 2)


TYPED_DATA = {
    "types": {"EIP712Domain": [{"name": "chainId", "type": "uint256"}], "A": [{"name": "b", "type": "bytes"}]},
    "primaryType": "A",
    "domain": {"chainId": 1},
    "message": {"b": "0x00ff"},
}


class ARequestForTodaysExchanges(TestCase):
    def sent(self, method, *arguments, **named):
        """The line that a client sends, as an object whose members keep their order."""
        lines = []
        answer = lambda peer: (lines.append(peer.line()), peer.send(response(b'{"id": 7}')))  # noqa: E731
        with Server(answer) as server, Client(server.path, TIME_LIMIT) as client:
            self.assertEqual(getattr(client, method)(*arguments, **named), signature(7))
        (line,) = lines
        return json.loads(line.decode(), object_pairs_hook=collections.OrderedDict)

    def test_typed_data_is_sent_whole_or_put_together_from_its_parts(self):
        expected = {"type": "typed_data", "typed_data": TYPED_DATA, "signer": ADDRESS}
        self.assertEqual(self.sent("sign_typed_data", ADDRESS, TYPED_DATA), expected)
        parts = {
            "types": TYPED_DATA["types"],
            "primary_type": TYPED_DATA["primaryType"],
            "domain": TYPED_DATA["domain"],
            "message": TYPED_DATA["message"],
        }
        self.assertEqual(self.sent("sign_typed_data", ADDRESS, **parts), expected)

    def test_typed_data_with_a_part_too_few_or_too_many_is_refused_before_it_is_sent(self):
        client = Client("/nonexistent")
        parts = {"types": {}, "primary_type": "A", "domain": {}, "message": {}}
        for name in parts:
            few = {other: part for other, part in parts.items() if other != name}
            self.raises(TypeError, "%s: missing" % name, lambda few=few: client.sign_typed_data(ADDRESS, **few))
            one = {name: parts[name]}
            both = lambda one=one: client.sign_typed_data(ADDRESS, TYPED_DATA, **one)  # noqa: E731
            self.raises(TypeError, "typed_data: pass this or its parts", both)

    def test_numbers_in_typed_data_are_sent_exactly(self):
        message = {"a": 2**256 - 1, "b": -(2**255), "c": str(2**64), "d": decimal.Decimal("1E+30"), "e": 2**53 + 1}
        sent = self.sent("sign_typed_data", ADDRESS, dict(TYPED_DATA, message=message))
        self.assertEqual(sent["typed_data"]["message"], dict(message, d="1" + 30 * "0"))

    def test_bytes_in_typed_data_are_sent_as_hexadecimal_digits(self):
        data = b"\x00\xffab"
        message = {"a": bytearray(data), "b": [bytearray(data), bytearray()], "c": {"d": bytearray(data)}}
        if bytes is not str:
            message["b"].append(data)
        sent = self.sent("sign_typed_data", ADDRESS, dict(TYPED_DATA, message=message))["typed_data"]["message"]
        digits = "0x00ff6162"
        self.assertEqual(sent, {"a": digits, "b": [digits, "0x", digits][: len(message["b"])], "c": {"d": digits}})

    def test_bytes_in_a_transaction_are_sent_as_hexadecimal_digits(self):
        sent = []

        def behave(peer):
            sent.append(json.loads(peer.line().decode()))
            answer = {"ok": True, "signature": signature(1), "transaction": "0x02", "hash": "0x" + 64 * "0"}
            peer.send(json.dumps(answer).encode() + b"\r\n")

        with Server(behave) as server, Client(server.path, TIME_LIMIT) as client:
            signed = client.sign_transaction(ADDRESS, {"data": bytearray(b"\x00\xff"), "value": 2**256 - 1})
        self.assertEqual(sent[0]["transaction"], {"data": "0x00ff", "value": 2**256 - 1})
        self.assertEqual(signed.transaction, "0x02")

    def test_what_is_no_signed_transaction_is_refused(self):
        whole = {"ok": True, "signature": signature(1), "transaction": "0x02", "hash": "0x" + 64 * "0"}
        for name, value in (("transaction", None), ("transaction", "0x0"), ("hash", "0x00"), ("signature", "0x")):
            answer = dict(whole, **{name: value})
            with Server(answering(json.dumps(answer).encode())) as server, Client(server.path, TIME_LIMIT) as client:
                self.raises(ProtocolError, "no valid " + name, client.sign_transaction, ADDRESS, {})

    def test_bytes_in_a_request_of_another_type_are_refused_by_name_before_it_is_sent(self):
        client = Client("/nonexistent")
        self.raises(TypeError, "signer: ", client.sign_message, bytearray(b"key"), "text")
        self.raises(TypeError, "action: bytearray", client.sign_hyperliquid, ADDRESS, bytearray(b"a"), 1)
        self.raises(TypeError, "order.price: ", client.sign, changed(price=bytearray(b"1")))

    def test_a_message_is_text_or_bytes(self):
        text = b"1 \xe2\x82\xac\n".decode("utf-8")
        request = {"type": "message", "signer": ADDRESS}
        self.assertEqual(self.sent("sign_message", ADDRESS, text), dict(request, text=text))
        self.assertEqual(self.sent("sign_message", ADDRESS, text="0x00"), dict(request, text="0x00"))
        self.assertEqual(self.sent("sign_message", ADDRESS, ""), dict(request, text=""))
        for data in (b"\x00\xff", bytearray(b"\x00\xff")):
            self.assertEqual(self.sent("sign_message", ADDRESS, data=data), dict(request, hex="0x00ff"))
        self.assertEqual(self.sent("sign_message", ADDRESS, data=b""), dict(request, hex="0x"))

    def test_a_message_that_is_not_clearly_text_or_bytes_is_refused_before_it_is_sent(self):
        sign = Client("/nonexistent").sign_message
        self.raises(TypeError, "pass either text or data", sign, ADDRESS)
        self.raises(TypeError, "pass either text or data", sign, ADDRESS, "a", b"a")
        self.raises(TypeError, "data: must be bytes", sign, ADDRESS, None, b"a".decode())
        self.raises(TypeError, "data: must be bytes", sign, ADDRESS, None, [97])
        self.raises(TypeError, "text: must be text", sign, ADDRESS, bytearray(b"a"))
        self.raises(TypeError, "text: must be text", sign, ADDRESS, 7)
        if bytes is not str:
            self.raises(TypeError, "text: must be text", sign, ADDRESS, b"a")

    def test_an_action_keeps_the_order_of_its_keys(self):
        orders = [collections.OrderedDict([("b", True), ("a", 1), ("p", "2.5")])]
        action = collections.OrderedDict([("type", "order"), ("orders", orders), ("grouping", "na"), ("builder", None)])
        sent = self.sent("sign_hyperliquid", ADDRESS, action, 2**63)
        self.assertEqual(list(sent["action"].items()), list(action.items()))
        self.assertEqual(list(sent["action"]["orders"][0].items()), list(orders[0].items()))
        del sent["action"]
        self.assertEqual(sent, {"type": "hyperliquid", "nonce": 2**63, "network": "mainnet", "signer": ADDRESS})

    def test_what_is_optional_for_an_action_is_sent_if_it_is_given(self):
        sent = self.sent("sign_hyperliquid", ADDRESS, {"type": "noop"}, 1, ADDRESS, 0, "testnet")
        self.assertEqual(
            sent,
            {
                "type": "hyperliquid",
                "action": {"type": "noop"},
                "nonce": 1,
                "vaultAddress": ADDRESS,
                "expiresAfter": 0,
                "network": "testnet",
                "signer": ADDRESS,
            },
        )

    def test_what_json_cannot_represent_is_refused_without_quoting_keys_that_the_protocol_does_not_name(self):
        client = Client("/nonexistent")
        message = dict(TYPED_DATA, message={KEY: object()})
        domain = dict(TYPED_DATA, domain={"chainId": object()})
        for field, call in (
            ("a value in typed_data.message: object ", lambda: client.sign_typed_data(KEY, message)),
            ("typed_data.domain.chainId: object ", lambda: client.sign_typed_data(KEY, domain)),
            ("a value in typed_data: object ", lambda: client.sign_typed_data(KEY, {KEY: object()})),
            ("a value in action: object ", lambda: client.sign_hyperliquid(KEY, {KEY: object()}, 1)),
            ("nonce: object ", lambda: client.sign_hyperliquid(KEY, {}, object())),
            ("transaction.maxFeePerGas: object ", lambda: client.sign_transaction(KEY, {"maxFeePerGas": object()})),
        ):
            error = self.raises(TypeError, field, call)
            self.assertNotIn(KEY[2:], str(error) + repr(error))


class AMisbehavingServer(TestCase):
    def sign(self, server, number=1, timeout=TIME_LIMIT):
        with Client(server.path, timeout) as client:
            return client.sign(numbered(number))

    def test_one_that_closes_after_each_answer_is_connected_to_again(self):
        with Server(lambda peer: peer.answer(1)) as server, Client(server.path) as client:
            self.assertEqual([client.sign(numbered(number)) for number in range(5)], [signature(n) for n in range(5)])
            self.assertEqual(server.connections, 5)

    def test_one_that_closes_before_its_answer_is_asked_again(self):
        with Server(lambda peer: (peer.answer(1), peer.line()), well_behaved) as server, Client(server.path) as client:
            self.assertEqual([client.sign(numbered(number)) for number in (1, 2)], [signature(1), signature(2)])
            self.assertEqual(server.connections, 2)

    def test_one_that_closes_in_the_middle_of_an_answer_is_asked_again(self):
        def half(peer):
            peer.send(response(peer.line())[:20])

        with Server(half, half, well_behaved) as server:
            self.assertEqual(self.sign(server), signature(1))
            self.assertEqual(server.connections, 3)

    def test_one_that_always_closes_is_given_up(self):
        with Server(lambda peer: peer.line()) as server:
            self.raises(Unavailable, server.path, self.sign, server)
            self.assertEqual(server.connections, ordersigner_client.ATTEMPTS)

    def test_one_that_answered_before_it_closed_is_not_counted_as_fruitless(self):
        hang_up = lambda peer: peer.line()  # noqa: E731
        with Server(lambda peer: peer.answer(1), hang_up, hang_up, well_behaved) as server, Client(
            server.path
        ) as client:
            results = list(client.sign_many(map(numbered, range(3))))
            self.assertEqual(results, [signature(number) for number in range(3)])

    def test_one_that_closes_at_once_is_given_up(self):
        with Server(lambda peer: None) as server:
            self.raises(Unavailable, "ended without an answer", self.sign, server)

    def test_one_that_closes_in_the_middle_of_many_loses_none(self):
        def some(peer):
            peer.answer(7)
            peer.send(response(peer.line())[:-1])  # without its LF

        with Server(some) as server, Client(server.path) as client:
            results = list(client.sign_many(map(numbered, range(700))))
            self.assertEqual(results, [signature(number) for number in range(700)])
            self.assertEqual(server.connections, 100)

    def test_one_that_stops_answering_in_the_middle_of_many_is_given_up(self):
        with Server(lambda peer: peer.answer(2), lambda peer: peer.line()) as server, Client(server.path) as client:
            results = client.sign_many(map(numbered, range(10)))
            self.assertEqual([next(results), next(results)], [signature(0), signature(1)])
            self.raises(Unavailable, server.path, next, results)

    def test_one_that_never_answers_is_given_up_at_the_timeout(self):
        with Server(lambda peer: peer.read()) as server:
            self.raises(Unavailable, "no answer within 0.05 seconds", self.sign, server, 1, 0.05)

    def test_half_an_answer_is_given_up_at_the_timeout(self):
        def half(peer):
            peer.send(response(peer.line())[:20])
            peer.read()

        with Server(half) as server:
            self.raises(Unavailable, "no answer within 0.05 seconds", self.sign, server, 1, 0.05)

    def test_an_answer_in_pieces_is_put_together(self):
        def piecewise(peer):
            for byte in bytearray(response(peer.line())):
                peer.send(bytes(bytearray([byte])))

        with Server(piecewise) as server:
            self.assertEqual(self.sign(server), signature(1))

    def test_one_that_reads_on_only_when_its_answer_is_taken_does_not_block_forever(self):
        with Server(large_both_ways) as server, Client(server.path) as client:
            requests = [numbered(1)] * 20 + [dict(numbered(2), remark="x" * 1000000)]
            outcomes = list(client.sign_many(requests, return_errors=True))
            self.assertEqual([len(refusal.message) for refusal in outcomes[:20]], [60000] * 20)
            self.assertEqual(outcomes[20:], [signature(2)])

    def test_an_answer_after_the_timeout_is_not_taken_for_that_of_the_next_request(self):
        late = threading.Event()

        def slow(peer):
            line = peer.line()
            late.wait(TIME_LIMIT)
            peer.send(response(line))
            peer.serve()

        with Server(slow, well_behaved) as server, Client(server.path, 0.05) as client:
            self.raises(Unavailable, "no answer", client.sign, numbered(1))
            late.set()
            client.timeout = TIME_LIMIT
            self.assertEqual(client.sign(numbered(2)), signature(2))

    def test_an_answer_without_a_request_is_not_taken_for_that_of_the_next_request(self):
        sent = threading.Event()
        first_read = threading.Event()

        def talkative(peer):
            peer.answer(1)
            first_read.wait(TIME_LIMIT)
            peer.send(b'{"ok": true, "signature": "%s"}\r\n' % signature(9).encode())
            sent.set()
            peer.serve()

        with Server(talkative, well_behaved) as server, Client(server.path) as client:
            self.assertEqual(client.sign(numbered(1)), signature(1))
            first_read.set()
            sent.wait(TIME_LIMIT)
            self.assertEqual(client.sign(numbered(2)), signature(2))

    def test_two_answers_to_one_request_are_an_error(self):
        with Server(lambda peer: peer.send(response(peer.line()) * 2)) as server:
            self.raises(ProtocolError, "more responses than requests", self.sign, server)

    def test_what_is_not_a_response_is_an_error_that_quotes_nothing(self):
        for line in (
            b"",
            b"garbage " + KEY.encode(),
            b"\xff\xfe",
            b"[]",
            b"[" * 100000,
            b"{}",
            b'{"ok": true}',
            b'{"ok": 1, "signature": "%s"}' % signature(1).encode(),
            b'{"ok": true, "signature": "0x00"}',
            b'{"ok": true, "signature": "' + KEY.encode() + b'"}',
            b'{"ok": true, "signature": ["%s"]}' % signature(1).encode(),
            b'{"ok": true, "version": "1.0.0"}',
            b'{"ok": false}',
            b'{"ok": false, "error": "%s"}' % KEY.encode(),
            b'{"ok": false, "error": {"type": "A", "message": "b"}}',
            b'{"ok": false, "error": {"type": "A", "message": "b", "context": {"": "c"}}}',
            b'{"ok": false, "error": {"type": "A", "message": "b", "context": {"": ["c"]}}}',
        ):
            bad = lambda peer, line=line: (peer.line(), peer.send(line + b"\r\n"), peer.serve())  # noqa: E731
            with Server(bad, well_behaved) as server, Client(server.path) as client:
                try:
                    client.sign(numbered(1))
                except ProtocolError as error:
                    self.assertNotIn(KEY[2:], str(error) + repr(error) + traceback.format_exc())
                else:
                    self.fail("%r was taken for a response" % line)
                self.assertEqual(client.sign(numbered(2)), signature(2))

    def test_a_response_of_64_kib_is_taken_and_a_longer_one_is_not(self):
        def padded(length):
            answer = response(b'{"id": 1}').rstrip(b"\r\n")
            return lambda peer: (peer.line(), peer.send(answer + b" " * (length - len(answer)) + b"\r\n"), peer.serve())

        with Server(padded(64 * 1024)) as server:
            self.assertEqual(self.sign(server), signature(1))
        with Server(padded(64 * 1024 + 1), well_behaved) as server, Client(server.path) as client:
            self.raises(ProtocolError, "not a response", client.sign, numbered(1))
            self.assertEqual(client.sign(numbered(2)), signature(2))

    def test_a_line_without_end_is_not_read_to_its_end(self):
        def endless(peer):
            while True:
                peer.send(b"x" * 65536)

        with Server(endless) as server:
            self.raises(ProtocolError, "not a response", self.sign, server)

    def test_a_reason_given_before_closing_is_raised(self):
        reason = REFUSAL % b'{"code": "too_many_connections", "message": "No connection left."}'
        with Server(lambda peer: peer.send(reason)) as server, Client(server.path) as client:
            error = self.refused(client.sign, numbered(1))
            self.assertEqual(error.context[""][0]["code"], "too_many_connections")
            self.assertIn("request: No connection left. (too_many_connections)", str(error))

    def test_signals_do_not_interrupt_waiting_for_an_answer(self):
        enough = threading.Event()

        def slow(peer):
            line = peer.line()
            enough.wait(TIME_LIMIT)
            peer.send(response(line))

        with Server(slow) as server, Client(server.path) as client, signals(5, enough.set):
            self.assertEqual(client.sign(numbered(1)), signature(1))
        self.assertTrue(enough.is_set())

    def test_signals_do_not_interrupt_connecting(self):
        for timeout in (TIME_LIMIT, None):
            with FullServer(well_behaved) as server, Client(server.path, timeout) as client:
                with signals(5, server.make_room):
                    self.assertEqual(client.sign(numbered(1)), signature(1))
                self.assertEqual(server.connections, 1)

    def test_signals_do_not_prolong_the_timeout_of_connecting(self):
        def fail():
            raise AssertionError("it waits for as long as signals come")

        with FullServer(well_behaved) as server, Client(server.path, 0.05) as client, signals(2000, fail):
            self.raises(Unavailable, "too many clients are waiting", client.sign, numbered(1))

    def test_an_exception_of_a_signal_handler_ends_the_wait_for_a_connection(self):
        def stop():
            raise IOError("stop")

        with FullServer(well_behaved) as server, Client(server.path) as client, signals(5, stop):
            self.raises(IOError, "stop", client.sign, numbered(1))

    def test_no_sigpipe_comes_from_a_connection_that_was_closed(self):
        previous = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            with Server(lambda peer: None) as server:
                self.raises(Unavailable, server.path, self.sign, server)
        finally:
            signal.signal(signal.SIGPIPE, previous)


class AnExchange(TestCase):
    """The Exchange without a socket: bytes in, bytes out."""

    def setUp(self):
        self.exchange = ordersigner_client.Exchange("/socket")
        self.asked = 0

    def ask(self, count=1, size=0):
        """Ask that many more calls, with lines of that many bytes and a few more."""
        calls = []
        for _ in range(count):
            line = json.dumps(dict(numbered(self.asked), remark="x" * size)).encode() + b"\n"
            calls.append(ordersigner_client.Call(line, ordersigner_client.read_signature))
            self.exchange.ask(calls[-1])
            self.asked += 1
        return calls

    def sent(self):
        """The lines that the exchange has to send, which then count as sent."""
        lines = bytes(self.exchange.outgoing).splitlines()
        del self.exchange.outgoing[:]
        return lines

    def receive(self, data):
        """The outcomes of the calls that `data` settles."""
        return [call.outcome for call in self.exchange.receive(data)]

    def test_responses_settle_the_calls_in_their_order_wherever_they_are_cut(self):
        expected = [signature(number) for number in range(3)]
        responses = b"".join(map(response, (call.line for call in self.ask(3))))
        for cut in range(1, len(responses)):
            self.setUp()
            self.ask(3)
            self.assertEqual(len(self.sent()), 3)
            self.assertEqual(self.receive(responses[:cut]) + self.receive(responses[cut:]), expected)
            self.assertFalse(self.exchange.ended)
            self.assertFalse(self.exchange.unanswered)

    def test_there_is_room_for_256_calls_or_64_kib_of_them(self):
        for size, room in ((0, 256), (1024, 62), (70000, 1)):
            self.setUp()
            count = 0
            while self.exchange.has_room():
                self.ask(1, size)
                count += 1
            self.assertEqual(count, room)
            self.receive(response(self.sent()[0]))
            self.assertTrue(self.exchange.has_room())

    def test_after_a_lost_connection_everything_without_an_outcome_is_sent_again(self):
        self.ask(3)
        lines = self.sent()
        self.assertEqual(self.receive(response(lines[0]) + response(lines[1])[:-1]), [signature(0)])
        self.assertEqual(self.receive(b""), [])
        self.assertTrue(self.exchange.ended)
        self.exchange.restart()
        self.assertFalse(self.exchange.ended)
        self.assertEqual(self.sent(), lines[1:])
        self.assertEqual(self.receive(response(lines[1]) + response(lines[2])), [signature(1), signature(2)])

    def test_a_line_that_was_sent_in_part_is_sent_again_as_a_whole(self):
        (call,) = self.ask()
        del self.exchange.outgoing[:10]
        self.receive(b"")
        self.exchange.restart()
        self.assertEqual(bytes(self.exchange.outgoing), call.line)

    def test_three_fruitless_connections_end_the_calls_that_were_on_all_of_them(self):
        first = self.ask(2)
        for outcomes in (0, 0, 2):
            self.assertEqual(len(self.receive(b"")), outcomes)
            self.assertTrue(all(isinstance(call.outcome, Unavailable) == bool(outcomes) for call in first))
            self.exchange.restart()
            (later,) = self.ask()
        self.assertEqual(str(first[0].outcome), "/socket: 3 connections ended without an answer")
        self.assertEqual([json.loads(line.decode())["id"] for line in self.sent()], [2, 3, 4])
        self.assertIs(later.outcome, None)

    def test_any_response_makes_a_connection_fruitful(self):
        self.ask(9)
        for number in range(5):
            self.assertEqual(self.receive(b""), [])
            self.exchange.restart()
            self.assertEqual(self.receive(b""), [])
            self.exchange.restart()
            self.assertEqual(self.receive(response(self.sent()[0])), [signature(number)])

    def test_what_no_call_waits_for_ends_the_connection(self):
        for data in (b"x", b"x\n", b"\r\n", response(b'{"id": 7}')):
            self.setUp()
            self.assertEqual(self.receive(data), [])
            self.assertTrue(self.exchange.ended)

    def test_half_a_line_after_the_last_response_ends_the_connection_and_no_call(self):
        self.ask()
        self.assertEqual(self.receive(response(self.sent()[0]) + b"{"), [signature(0)])
        self.assertTrue(self.exchange.ended)

    def test_a_request_that_is_answered_before_it_is_sent_whole_ends_the_connection(self):
        (call,) = self.ask()
        del self.exchange.outgoing[:10]
        self.assertEqual(self.receive(response(call.line)), [signature(0)])
        self.assertTrue(self.exchange.ended)
        self.exchange.restart()
        self.assertEqual(self.sent(), [])

    def test_more_responses_than_calls_fail_the_first_and_leave_the_others_to_another_connection(self):
        self.ask(2)
        lines = self.sent()
        (error,) = self.receive(response(lines[0]) * 3)
        self.assertEqual((type(error), str(error)), (ProtocolError, "/socket: more responses than requests"))
        self.assertTrue(self.exchange.ended)
        self.exchange.restart()
        self.assertEqual(self.sent(), lines[1:])

    def test_a_line_that_is_no_response_fails_its_call_and_what_follows_is_not_read(self):
        self.ask(3)
        lines = self.sent()
        outcomes = self.receive(response(lines[0]) + b"garbage\r\n" + response(lines[0]))
        self.assertEqual([type(outcome) for outcome in outcomes], [str, ProtocolError])
        self.assertTrue(self.exchange.ended)
        self.exchange.restart()
        self.assertEqual(self.sent(), lines[2:])

    def test_a_line_that_is_too_long_is_refused_before_its_end_has_come(self):
        self.ask()
        self.assertEqual(self.receive(b"x" * (64 * 1024 + 1)), [])
        (error,) = self.receive(b"x")
        self.assertIsInstance(error, ProtocolError)
        self.assertTrue(self.exchange.ended)

    def test_every_call_gets_its_own_outcome_whatever_the_other_side_does(self):
        for seed in range(300):
            self.setUp()
            chance = random.Random(seed)
            calls = []
            owed = []  # the lines on this connection that the other side has not answered
            while len(calls) < 60 or self.exchange.unanswered:
                if len(calls) < 60 and self.exchange.has_room():
                    calls += self.ask(1, chance.choice((0, 0, 3000, 40000)))
                act = chance.random()
                if act < 0.5:
                    owed += self.sent()
                elif act < 0.9 and owed:
                    count = chance.randrange(1, len(owed) + 1)
                    data = b"".join(map(response, owed[:count]))
                    cut = chance.randrange(1, len(data) + 1)
                    del owed[:count]
                    self.receive(data[:cut])
                    if cut < len(data) and not self.exchange.ended:
                        self.receive(data[cut:])
                elif act > 0.98:
                    self.receive(chance.choice((b"", b"garbage\n", response(b'{"id": 999}') * 300, b"x" * 70000)))
                if self.exchange.ended:
                    self.exchange.restart()
                    owed = []
                self.assertLessEqual(len(self.exchange.unanswered), 256)
            self.assertFalse(self.sent())
            outcomes = [call.outcome for call in calls]
            for number, outcome in enumerate(outcomes):
                self.assertIn(type(outcome), (str, ProtocolError, Unavailable))
                if type(outcome) is str:
                    self.assertEqual(outcome, signature(number))
            self.assertGreater([type(outcome) for outcome in outcomes].count(str), 20)


class NoServer(TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = os.path.join(self.directory, "socket")

    def test_no_socket_is_unavailable(self):
        self.raises(Unavailable, "cannot connect to %s: No such file" % self.path, Client(self.path).ping)

    def test_a_file_is_unavailable(self):
        open(self.path, "w").close()
        self.raises(Unavailable, self.path, Client(self.path).ping)

    def test_a_socket_that_nobody_listens_on_is_unavailable(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as left:
            left.bind(self.path)
        self.raises(Unavailable, "Connection refused", Client(self.path).ping)

    def test_a_path_that_is_too_long_is_unavailable(self):
        self.raises(Unavailable, "too long", Client("/" + "x" * 200).ping)

    def test_a_server_that_accepts_nobody_is_waited_for_until_the_timeout(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
            listener.bind(self.path)
            listener.listen(0)
            with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as first:
                first.connect(self.path)  # the only client that can wait
                start = time.time()
                self.raises(Unavailable, "too many clients are waiting", Client(self.path, 0.05).ping)
                self.assertGreaterEqual(time.time() - start, 0.04)

    def test_a_server_that_accepts_late_is_waited_for(self):
        with FullServer(well_behaved) as server, Client(server.path) as client:
            timer = threading.Timer(0.05, server.make_room)
            timer.start()
            self.assertEqual(client.sign(numbered(1)), signature(1))
            timer.join()

    def test_a_kernel_that_refuses_time_limits_for_sockets_does_not_matter(self):
        # 32-bit ARM with a time_t of 64 bits refuses the struct timeval of all other machines.
        class Socket(socket.socket):
            def setsockopt(self, *arguments):
                raise socket.error(errno.EDOM, os.strerror(errno.EDOM))

        real, socket.socket = socket.socket, Socket
        try:
            with Client(LIVE) as client:
                self.assertRegex(client.ping(), r"^\d+\.\d+\.\d+$")
        finally:
            socket.socket = real

    def test_no_descriptor_left_is_unavailable(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            self.raises(Unavailable, "cannot connect to %s: Too many open files" % self.path, Client(self.path).ping)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_a_path_need_not_be_text(self):
        class Path(object):  # as pathlib's on Python 3, and that of the package of the same name on Python 2
            def __str__(self):
                return LIVE

            __fspath__ = __str__

        for path in (Path(), LIVE.encode(), TEXT(LIVE)):
            with Client(path) as client:
                self.assertEqual(client.path, LIVE)
                self.assertEqual(client.sign(REQUEST), SIGNATURE)
                self.assertIn(LIVE, repr(client))

    @unittest.skipIf(sys.version_info[0] == 2, "on Python 2 a path is whatever has a text")
    def test_what_is_no_path_is_refused(self):
        self.raises(TypeError, "int", Client, 5)

    def test_the_default_path_is_that_of_the_package(self):
        named = os.environ.pop("ORDERSIGNER_SOCKET")
        try:
            self.assertEqual(Client().path, "/run/ordersigner/ordersigner.sock")
        finally:
            os.environ["ORDERSIGNER_SOCKET"] = named


if not hasattr(unittest.TestCase, "assertRegex"):  # Python 2
    TestCase.assertRegex = unittest.TestCase.assertRegexpMatches

if __name__ == "__main__":
    print(sys.version)
    unittest.main()
