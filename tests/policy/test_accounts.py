"""Names in the policy stand for the users who have them now, so reusing a number gives no access to a rule."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.policies import policy_of
from support.services import ADDRESS, ALICE, BOB, REQUEST, rule, service_with

from ordersigner.peer import Peer
from ordersigner.policy import accounts, reader
from ordersigner.signing import conversation
from ordersigner.signing.conversation import Conversation, Service

LINE = json.dumps({**REQUEST, "signer": ADDRESS}).encode()
PASSWD = "root:x:0:0:root:/root:/bin/bash\nbid-bot:x:1001:1001::/home/bid-bot:/bin/sh\n"
GROUP = "root:x:0:\ntraders:x:1002:\n"
UNKNOWN = ["unknown_signer"]


class Etc:
    """The two files, as useradd(8) and editors change them."""

    def __init__(self, directory: Path) -> None:
        self.passwd = directory / "passwd"
        self.group = directory / "group"
        self.passwd.write_text(PASSWD)
        self.group.write_text(GROUP)

    def replace(self, path: Path, old: str, new: str) -> None:
        changed = path.with_name(path.name + "+")
        changed.write_text(path.read_text().replace(old, new))
        changed.rename(path)


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Etc:
    files = Etc(tmp_path)
    monkeypatch.setattr(accounts, "FILES", (str(files.passwd), str(files.group)))
    return files


def ask(client: Conversation, line: bytes = LINE) -> bool | list[str]:
    """Whether it was signed, or the codes."""
    answer = json.loads(client.respond(line))
    if answer["ok"]:
        return True
    return [problem["code"] for problems in answer["error"]["context"].values() for problem in problems]


def test_a_new_user_with_the_number_of_a_deleted_one_is_refused_without_a_reload(etc: Etc) -> None:
    entries: list[dict[str, str]] = []
    service = service_with(rule("bids", users="bid-bot"), entries=entries)
    assert ask(Conversation(service, ALICE)) is True
    etc.replace(etc.passwd, "bid-bot", "mallory")
    assert ask(Conversation(service, ALICE)) == UNKNOWN
    assert json.loads(Conversation(service, ALICE).respond(b'{"type": "signers"}'))["signers"] == []
    (said,) = [entry["MESSAGE"] for entry in entries if "have changed" in entry["MESSAGE"]]
    assert said == "Users or groups of the policy have changed. They are now bid-bot (nobody)"


def test_the_members_of_a_new_group_with_the_number_of_a_deleted_one_are_refused(etc: Etc) -> None:
    text = rule("bids", groups="traders").replace("users = 1001\n", "")
    service = service_with(text)
    assert ask(Conversation(service, BOB)) is True
    etc.replace(etc.group, "traders", "gamers")
    assert ask(Conversation(service, BOB)) == UNKNOWN


def test_a_name_stands_for_the_user_who_has_it_now(etc: Etc) -> None:
    service = service_with(rule("bids", users="bid-bot"))
    etc.replace(etc.passwd, "bid-bot:x:1001", "bid-bot:x:1002")
    assert ask(Conversation(service, ALICE)) == UNKNOWN
    assert ask(Conversation(service, BOB)) is True
    etc.replace(etc.passwd, "bid-bot", "mallory")
    etc.replace(etc.passwd, "mallory:x:1002", "bid-bot:x:1001")
    assert ask(Conversation(service, ALICE)) is True


def test_a_user_who_is_made_after_the_policy_was_read_has_its_rules(etc: Etc) -> None:
    etc.replace(etc.passwd, "bid-bot", "trader")
    service = service_with()
    service.replace_policy(reader.read(rule("bids", users="1002 bid-bot"), "policy").policy)
    assert ask(Conversation(service, ALICE)) == UNKNOWN
    etc.replace(etc.passwd, "trader", "bid-bot")
    assert ask(Conversation(service, ALICE)) is True


def test_a_number_stays_that_of_whoever_has_it(etc: Etc) -> None:
    service = service_with(rule("bids", users="1001"))
    assert ask(Conversation(service, ALICE)) is True
    etc.replace(etc.passwd, "bid-bot", "mallory")
    assert ask(Conversation(service, ALICE)) is True


def test_a_name_of_digits_that_are_no_ascii_is_a_name(etc: Etc) -> None:
    etc.replace(etc.passwd, "bid-bot", "\u0661")
    service = service_with(rule("bids", users="\u0661"))
    assert ask(Conversation(service, ALICE)) is True
    etc.replace(etc.passwd, "\u0661", "mallory")
    assert ask(Conversation(service, ALICE)) == UNKNOWN


def test_an_open_connection_of_a_deleted_user_is_refused_when_it_looks_again(
    etc: Etc, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_with(rule("bids", users="bid-bot"))
    clock = [1000.0]
    monkeypatch.setattr(conversation, "monotonic", lambda: clock[0])
    client = Conversation(service, ALICE)
    assert ask(client) is True
    etc.replace(etc.passwd, "bid-bot:x:1001:1001::/home/bid-bot:/bin/sh\n", "")
    clock[0] += conversation.LOOK_AGAIN
    assert ask(client) == UNKNOWN


def test_an_open_connection_is_refused_as_soon_as_another_one_has_looked(etc: Etc) -> None:
    service = service_with(rule("bids", users="bid-bot"))
    client = Conversation(service, ALICE)
    assert ask(client) is True
    etc.replace(etc.passwd, "bid-bot", "mallory")
    assert ask(Conversation(service, BOB)) == UNKNOWN
    assert ask(client) == UNKNOWN


def test_looking_again_begins_no_new_count_of_a_rate(etc: Etc) -> None:
    service = service_with(rule("bids", users="bid-bot", rate="2/hour"))
    for expected in (True, True, ["rate_limited"]):
        etc.replace(etc.passwd, "root:x", "root:y" if expected is True else "root:z")
        assert ask(Conversation(service, ALICE)) == expected


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: os.replace(path.with_name("copy"), path), id="replaced by a copy of the same time"),
        pytest.param(lambda path: path.write_text(path.read_text()), id="written in place"),
        pytest.param(lambda path: os.utime(path, ns=(1, 1)), id="given another time"),
        pytest.param(lambda path: path.unlink(), id="deleted"),
    ],
)
def test_every_change_is_seen(etc: Etc, change: Callable[[Path], object]) -> None:
    for path in (etc.passwd, etc.group):
        copy = path.with_name("copy")
        copy.write_text(path.read_text())
        for file in (path, copy):
            os.utime(file, ns=(10**9, 10**9))
        before = accounts.state()
        assert before == accounts.read().state == accounts.state()
        change(path)
        assert accounts.state() != before
        assert accounts.read().state == accounts.state()


def test_only_these_files_give_numbers(etc: Etc) -> None:
    etc.passwd.write_text(
        "bid-bot:x:1001:1001::/:/bin/sh\nbid-bot:x:0:0::/:/bin/sh\n\n#\nbroken\nno-number:x::1\nbad:x:-1:1\n"
        "alice:x:1002:1002:her name\rmallory:x:0\x85mallory:x:0\u2028mallory:x:0:/:/bin/sh\nlast:x:5:5::/:"
    )
    etc.group.unlink()
    found = accounts.read()
    assert found.users == {"bid-bot": 1001, "alice": 1002, "last": 5}
    assert found.groups == {}


def test_a_file_that_is_only_partly_written_gives_no_other_numbers(etc: Etc) -> None:
    for path, name, number in ((etc.passwd, "bid-bot", 1001), (etc.group, "traders", 1002)):
        text = path.read_text()
        for size in range(len(text)):
            path.write_text(text[:size])
            found = accounts.read()
            numbers = found.users if path == etc.passwd else found.groups
            assert numbers.get(name) in (None, number), text[:size]


def test_while_the_files_cannot_be_read_nobody_uses_a_held_key(etc: Etc) -> None:
    service = service_with(rule("bids", users="bid-bot"))
    etc.passwd.unlink()
    etc.passwd.mkdir()
    client = Conversation(service, ALICE)
    for _ in range(2):
        assert json.loads(client.respond(LINE))["error"]["type"] == "InternalError"
    etc.passwd.rmdir()
    etc.passwd.write_text(PASSWD)
    assert ask(client) is True


def test_looking_again_never_undoes_a_reload(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_with(rule("bids", users="bid-bot"))
    newer = policy_of("")
    read = accounts.read
    reload = threading.Thread(target=service.replace_policy, args=(newer,))

    def read_during_a_reload() -> accounts.Accounts:
        reload.start()
        reload.join(0.1)  # it must wait; without that, it would be undone now
        return read()

    monkeypatch.setattr(accounts, "read", read_during_a_reload)
    etc.replace(etc.passwd, "root:x", "root:y")
    Conversation(service, ALICE).respond(LINE)
    reload.join()
    assert service.policy is newer


def test_a_request_with_a_key_of_the_client_does_not_look(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: Service) -> None:
        raise AssertionError("it looked")

    monkeypatch.setattr(Service, "look_users_up", look)
    assert ask(Conversation(service_with(), Peer(1, 1001, 1001)), json.dumps(REQUEST).encode()) is True
