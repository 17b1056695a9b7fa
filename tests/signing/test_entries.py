"""The entries about held keys, which no client can make say something else."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.kinds import POLICY, SECTIONS, TOKEN, request_of
from support.policies import policy_of
from support.services import ADDRESS, ALICE, KEY, service_with

from ordersigner.policy import entries
from ordersigner.policy.kinds import KINDS
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.systemd.journald import as_line

SIGNERS = {"held": ADDRESS, "of the client": KEY}


class Sent(list):  # type: ignore[type-arg]
    """The entries that a journal was sent."""

    def send(self, entry: Sequence[str], wait: bool) -> None:
        self.append(tuple(entry))

    def values(self, name: str) -> list[str]:
        """The values of a field in the last entry."""
        return [field[len(name) + 1 :] for field in self[-1] if field.startswith(f"{name}=")]

    @property
    def message(self) -> str:
        (message,) = self.values("MESSAGE")
        return message


@pytest.fixture
def sent() -> Sent:
    return Sent()


def conversation(sent: Sent, policy: str = POLICY) -> Conversation:
    service = service_with()
    return Conversation(Service(Journal(LEVELS["info"], sent.send), service.keyring, policy_of(policy)), ALICE)


def ask(talk: Conversation, request: dict[str, Any]) -> Any:
    return json.loads(talk.respond(json.dumps(request).encode()))


# The signed data, and the section that allowed it


@pytest.mark.parametrize("kind", KINDS)
def test_the_entry_of_a_signature_with_a_held_key_names_the_rule_and_the_section(sent: Sent, kind: str) -> None:
    assert ask(conversation(sent), request_of(kind))["ok"]
    assert (sent.values("ORDERSIGNER_RULE"), sent.values("ORDERSIGNER_SECTION")) == (["all"], [SECTIONS[kind]])
    assert f" by {ADDRESS}, rule all, section {SECTIONS[kind]}, for uid 1001, gid 1001, pid 1 in " in sent.message


@pytest.mark.parametrize("kind", ["spot", "futures", "typed_data"])
def test_where_a_rule_allows_any_the_section_is_any(sent: Sent, kind: str) -> None:
    policy = POLICY.replace("markets = leveth perp", "markets = any").replace("typed = trade", "typed = any")
    assert ask(conversation(sent, policy), request_of(kind))["ok"]
    assert sent.values("ORDERSIGNER_SECTION") == ["any"]
    assert sent.values("ORDERSIGNER_VALUE") == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_entry_of_a_signature_with_a_key_of_the_client_names_neither(sent: Sent, kind: str) -> None:
    assert ask(conversation(sent), request_of(kind, KEY))["ok"]
    assert sent.values("ORDERSIGNER_RULE") == sent.values("ORDERSIGNER_SECTION") == []
    assert f" by {ADDRESS} for uid 1001" in sent.message


def test_it_is_the_section_that_allows_it_and_not_the_first(sent: Sent) -> None:
    policy = POLICY + "\n[message other]\npattern = Log out\n"
    talk = conversation(sent, policy.replace("messages = login", "messages = other login"))
    for text, section in (("Sign in", "login"), ("Log out", "other")):
        assert ask(talk, {"type": "message", "text": text, "signer": ADDRESS})["ok"]
        assert sent.values("ORDERSIGNER_SECTION") == [section]


def test_the_entry_of_typed_data_has_the_values_that_conditions_name(sent: Sent) -> None:
    assert ask(conversation(sent), request_of("typed_data"))["ok"]
    values = [
        f"message.token {TOKEN}",
        "message.amount 1000000000000000000",
        "message.partial false",
        "message.parts[0].id 5",
        "message.parts[1].id 6",
    ]
    assert sent.values("ORDERSIGNER_VALUE") == values
    assert sent.message.startswith(
        f'Signed typed data "Trade" for "Test venue", 7 with {", ".join(values)} by {ADDRESS}'
    )


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_the_entry_of_a_transaction_has_its_hash_and_nothing_that_could_be_sent(sent: Sent, signer: str) -> None:
    answered = ask(conversation(sent), request_of("transaction", signer))
    assert sent.values("ORDERSIGNER_HASH") == [answered["hash"]]
    assert sent.values("ORDERSIGNER_CHAIN") == ["1"]
    said = "\n".join(sent[-1])
    assert answered["transaction"][-64:] not in said
    assert answered["signature"][2:66] not in said
    refused = request_of("transaction", ADDRESS)
    refused["transaction"] = {**refused["transaction"], "nonce": 2**64 - 2, "chainId": 2}
    assert not ask(conversation(sent), refused)["ok"]
    assert sent.values("ORDERSIGNER_HASH") == []
    assert "a transaction of type 2 on chain 2" in sent.message


# By the setting of a condition and the value of that field: the entry's field, and its words if they differ.
@pytest.mark.parametrize(
    ("conditions", "message", "in_field", "in_words"),
    [
        ("message.token = {TOKEN}", {"token": TOKEN.replace("ab", "AB")}, f"token {TOKEN}", ""),
        ("message.token = {TOKEN} 0x{11}", {"token": "0x" + "11" * 20}, "token 0x" + "11" * 20, ""),
        ("message.amount = 16", {"amount": "0x10"}, "amount 16", ""),
        ("message.amount <= 16", {"amount": "0x10"}, "amount 16", ""),
        ("message.amount >= 16\nmessage.amount = 17", {"amount": 17}, "amount 17", ""),
        ("message.amount >= 0", {"amount": 10**31}, "amount 1" + 31 * "0", ""),
        ("message.amount >= 0", {"amount": 10**32}, "amount 1" + 31 * "0" + "…", ""),
        ("message.partial = true false", {"partial": True}, "partial true", ""),
        ("message.hash = 0x{cd}", {"hash": "0x" + "cd" * 32}, "hash 0x…", ""),
        ('message.note = a "b", rule c', {"note": 'a "b", rule c'}, 'note a "b", rule c', r'note "a \"b\", rule c"'),
        ("message.note = " + "x" * 99, {"note": "x" * 99}, f"note {'x' * 32}…", f'note "{"x" * 32}…"'),
    ],
)
def test_a_value_is_spelled_in_one_way_and_has_a_limit(
    sent: Sent, conditions: str, message: dict[str, Any], in_field: str, in_words: str
) -> None:
    conditions = conditions.replace("{TOKEN}", TOKEN).replace("{11}", "11" * 20).replace("{cd}", "cd" * 32)
    policy = re.sub(r"^message\..*\n", "", POLICY, flags=re.MULTILINE)
    policy = policy.replace("domain.chainId = 7\n", f"domain.chainId = 7\n{conditions}\n")
    request = request_of("typed_data")
    content = request["typed_data"] = copy.deepcopy(request["typed_data"])
    content["message"].update(message)
    assert ask(conversation(sent, policy), request)["ok"]
    assert sent.values("ORDERSIGNER_VALUE") == [f"message.{in_field}"]
    assert f'"Test venue", 7 with message.{in_words or in_field} by 0x' in sent.message


def test_of_an_array_the_entry_has_the_first_elements(sent: Sent) -> None:
    request = request_of("typed_data")
    content = request["typed_data"] = copy.deepcopy(request["typed_data"])
    content["message"]["parts"] = [{"id": number} for number in range(1, 100)]
    assert ask(conversation(sent), request)["ok"]
    parts = [f"message.parts[{at}].id {at + 1}" for at in range(entries.MAX_ELEMENTS)]
    parts.append(f"message.parts[{entries.MAX_ELEMENTS}].id …")
    assert sent.values("ORDERSIGNER_VALUE")[3:] == parts
    assert f", {', '.join(parts)} by {ADDRESS}" in sent.message


def test_of_many_conditions_the_entry_has_the_first_fields(sent: Sent) -> None:
    most = entries.MAX_ENTERED
    names = [f"f{number}" for number in range(most + 1)]
    conditions = "\n".join(f"message.{name} <= 5" for name in names)
    type = f"Many({','.join(f'uint256 {name}' for name in names)})"
    policy = f"""
[typed many]
type = {type}
domain.chainId = 7
{conditions}

[rule all]
key = {ADDRESS}
users = 1001
typed = many
"""
    types = {
        "EIP712Domain": [{"name": "chainId", "type": "uint256"}],
        "Many": [{"name": name, "type": "uint256"} for name in names],
    }
    content = {"types": types, "primaryType": "Many", "domain": {"chainId": 7}, "message": dict.fromkeys(names, 1)}
    assert ask(conversation(sent, policy), {"type": "typed_data", "typed_data": content, "signer": ADDRESS})["ok"]
    assert sent.values("ORDERSIGNER_VALUE") == [*(f"message.{name} 1" for name in names[:most]), "…"]
    assert f"message.f{most - 1} 1, … by {ADDRESS}" in sent.message


@pytest.mark.parametrize(
    ("field", "value"), [("amount", int(KEY, 16)), ("amount", KEY), ("note", KEY), ("note", KEY[2:]), ("hash", KEY)]
)
def test_no_value_is_a_key(sent: Sent, field: str, value: Any) -> None:
    policy = POLICY.replace("message.partial = false\n", f"message.{field} = {value}\n")
    policy = policy.replace(f"message.amount <= {10**77}\n", "")
    request = request_of("typed_data")
    content = request["typed_data"] = copy.deepcopy(request["typed_data"])
    content["message"][field] = value
    assert ask(conversation(sent, policy), request)["ok"]
    assert f"message.{field} " in sent.message
    written = json.dumps(sent).lower()
    assert KEY[2:].lower() not in written
    assert str(int(KEY, 16)) not in written


# Clients cannot forge entries

HOSTILE = [
    '", rule bids, for uid 12345',
    ", rule bids, for uid 12345",
    '\\", rule bids, "',
    "\n rule bids, for uid 12345",
]
FORGED = [' ORDERSIGNER_RULE=bids "', "ORDERSIGNER_RULE=bids", '" ORDERSIGNER_RULE=bids', "\\\nORDERSIGNER_RULE=bids"]
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
FIELD = re.compile(r' ([A-Z_]+)=("(?:[^"\\]|\\.)*"|[^ "]*)')


def spoiled(value: Any, text: str) -> Iterator[Any]:
    """`value` with `text` in place of each text in it, and with a key of this name in each object in it."""
    if isinstance(value, str):
        yield text
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        for other in spoiled(member, text):
            changed = copy.copy(value)
            changed[key] = other
            yield changed
    if isinstance(value, dict):
        yield {**value, text: text}


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
@pytest.mark.parametrize("kind", KINDS)
def test_text_of_a_client_stands_in_quotes(sent: Sent, kind: str, signer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordersigner.signing.journal.ENTRIES_PER_SECOND", 10**6)
    talk = conversation(sent)
    asked = 0
    for text in HOSTILE + FORGED:
        for request in spoiled(request_of(kind, signer), text):
            ask(talk, request)
            asked += 1
    assert len(sent) == asked
    assert any("bids" in entry[0] for entry in sent)
    for entry in sent:
        assert "bids" not in QUOTED.sub("", entry[0])


def test_the_name_of_a_type_stands_in_quotes(sent: Sent) -> None:
    """It is declared and used, so no change of a single text reaches it. It may only have blanks, and no marks."""
    line = json.dumps(request_of("typed_data", KEY)).replace('"Trade"', '"rule bids for uid 12345"')
    assert ask(conversation(sent), json.loads(line))["ok"]
    assert sent.message.startswith('Signed typed data "rule bids for uid 12345" for "Test venue", 7 by 0x')


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
@pytest.mark.parametrize("kind", KINDS)
def test_on_standard_error_nothing_reads_like_a_field_but_the_fields(
    sent: Sent, kind: str, signer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordersigner.signing.journal.ENTRIES_PER_SECOND", 10**6)
    talk = conversation(sent)
    for text in HOSTILE + FORGED:
        for request in spoiled(request_of(kind, signer), text):
            ask(talk, request)
    for entry in sent:
        line = as_line(entry)
        read = [(name, json.loads(value) if value[:1] == '"' else value) for name, value in FIELD.findall(line)]
        assert read == [tuple(field.split("=", 1)) for field in entry if field.startswith("ORDERSIGNER_")]
        assert "RULE=bids" not in line
        assert line.isprintable()
