"""The pages on operating and on troubleshooting: their commands work, and print what the pages show.

Each session of the page on troubleshooting is run in the situation that it is for.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from support.daemon import SOURCE, wait_until
from support.held import MARKET
from support.pages import SESSION, is_printed, sessions

from system.conftest import MEMBER, RESPONSE, SERVICE, SOCKET, Packages, ask, drop_in, install, one_suite
from system.machine import TIMEOUT, Machine
from system.test_held_keys import (
    BY_ADDRESS,
    BY_OTHER_ADDRESS,
    KEY,
    KEYS,
    POLICY,
    holder,
    refusal,
    restart,
    rule,
    seal,
    set_policy,
    wait_for_status,
)
from system.test_trail import JOURNALD, NAMESPACE_SOCKETS

__all__ = ["holder"]  # a fixture

OPERATE = (SOURCE / "docs/run/operate.rst").read_text()
TROUBLESHOOT = (SOURCE / "docs/run/troubleshoot.rst").read_text()
SELL = {**BY_ADDRESS, "order": {**BY_ADDRESS["order"], "side": "sell"}}
RULE = rule("bids", KEY, MEMBER, "sides = buy", "types = LMT", "max-price = 25").replace(
    "markets = any", "markets = LEV/ETH"
)


@pytest.fixture(scope="module")
def key_tool(machine: Machine) -> Iterator[None]:
    """The module may have installed the administrator's key tool. Other modules expect that it is not there."""
    yield
    machine.run("apt-get", "purge", "--yes", "ordersigner-keys")


@pytest.fixture
def operated(holder: Machine, packages: Packages, key_tool: None) -> Machine:
    """The machine with the key and the rule of the pages, and with the administrator's key tool."""
    if not holder.succeeds("test", "-e", "/usr/sbin/ordersigner-keys"):
        install(holder, packages.tool)
    seal(holder, "bids", KEY)
    set_policy(holder, MARKET, RULE)
    restart(holder)
    return holder


def run(machine: Machine, *, by_root: bool, words: str) -> str:
    home = "/root" if by_root else f"/home/{MEMBER}"
    return machine.run("sh", "-c", f"cd {home}; {words}", user="root" if by_root else MEMBER, check=False)


def follow(machine: Machine, source: str) -> None:
    """Run the commands of the sessions in a part of a page, and compare what they print.

    Of the journal, only as many entries as the page shows.
    """
    for by_root, words, output in sessions(source):
        machine.sync_journals()
        entries = sum(re.match(r"[A-Z][a-z]{2} [ \d]\d ", line) is not None for line in output.split("\n"))
        ends = words.replace(" --follow", f" --lines {entries}").replace("apt ", "apt-get --yes ")
        printed = run(machine, by_root=by_root, words=ends)
        assert is_printed(output, printed), f"{words}\n{output}\n--- but it prints:\n{printed}"


def part(heading: str) -> str:
    """A section of the page on operating."""
    return re.split(r"\n\n(?:\.\. _.+:\n\n)?.+\n-+\n", OPERATE.split(f"\n{heading}\n---", 1)[1])[0]


@one_suite
def test_the_commands_for_units_rules_and_processes_print_what_the_page_shows(operated: Machine) -> None:
    assert refusal(ask(operated, SELL)) == ("order.side", "not_allowed")
    for _ in range(2):
        ask(operated, BY_ADDRESS)
    wait_for_status(operated, SERVICE, "2 signed, 1 refused, 0 failed; 1 of 1 keys")
    for heading in ("Units", "Freeze rules", "More cores"):
        assert sessions(part(heading))
        follow(operated, part(heading))


@one_suite
def test_the_journal_has_the_entries_that_the_page_shows_and_each_search_finds_some(operated: Machine) -> None:
    assert ask(operated, BY_ADDRESS) == RESPONSE
    assert refusal(ask(operated, SELL)) == ("order.side", "not_allowed")
    follow(operated, part("The journal"))
    searches = re.findall(r"^    (journalctl .+)$", part("The journal").replace("\\\n", ""), re.MULTILINE)
    assert len(searches) == 5
    number = operated.run("id", "-u", MEMBER)
    for search in searches:
        found = operated.run("sh", "-c", search.replace("_UID=1000", f"_UID={number}"))
        assert f"uid {number}," in found, search


@one_suite
def test_a_purge_says_how_to_delete_the_rest(operated: Machine, packages: Packages) -> None:
    ask(operated, BY_ADDRESS)  # there is a journal for held keys
    operated.sync_journals()
    try:
        follow(operated, part("Uninstall"))
    finally:
        install(operated, packages.built)


@contextlib.contextmanager
def nothing(machine: Machine) -> Iterator[None]:
    yield


@contextlib.contextmanager
def refused(machine: Machine) -> Iterator[None]:
    machine.sync_journals()  # the other journal has those of the start, and gives later ones a later time
    assert refusal(ask(machine, BY_OTHER_ADDRESS)) == ("signer", "unknown_signer")
    yield


@contextlib.contextmanager
def without_the_socket(machine: Machine) -> Iterator[None]:
    machine.run("systemctl", "stop", "ordersigner.socket")
    assert "No such file or directory" in machine.run("ordersigner", "ping", user=MEMBER, check=False)
    yield
    machine.run("ordersigner", "ping", user=MEMBER)


@contextlib.contextmanager
def without_the_group(machine: Machine) -> Iterator[None]:
    machine.run("gpasswd", "--delete", MEMBER, "ordersigner")
    assert "Permission denied" in machine.run("ordersigner", "ping", user=MEMBER, check=False)
    yield
    machine.run("ordersigner", "ping", user=MEMBER)


@contextlib.contextmanager
def with_a_wrong_option(machine: Machine) -> Iterator[None]:
    drop_in(machine, SERVICE, "[Service]\nExecStart=\nExecStart=/usr/sbin/ordersignerd --timeuot 60\n")
    machine.run("systemctl", "stop", SERVICE)
    said = machine.run("ordersigner", "ping", "--timeout", "1", user=MEMBER, check=False)
    assert "no answer within 1.0 seconds" in said
    with machine.started("nc", "-U", SOCKET, user=MEMBER) as client:
        yield
        machine.run("rm", "-r", f"/run/systemd/system/{SERVICE}.d")
        machine.run("systemctl", "daemon-reload")
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write('{"type": "ping"}\n')
        client.stdin.flush()
        assert json.loads(client.stdout.readline())["ok"]


@contextlib.contextmanager
def with_a_renamed_key(machine: Machine) -> Iterator[None]:
    machine.run("mv", f"{KEYS}/bids", f"{KEYS}/asks")
    restart(machine)
    assert refusal(ask(machine, BY_ADDRESS)) == ("signer", "key_unavailable")
    yield


@contextlib.contextmanager
def with_a_request(machine: Machine) -> Iterator[None]:
    machine.write("/root/sell.json", json.dumps(SELL) + "\n")
    yield
    machine.run("rm", "/root/sell.json")


@contextlib.contextmanager
def frozen(machine: Machine) -> Iterator[None]:
    machine.run("journalctl", "--rotate", "--vacuum-time=1s", "--namespace=ordersigner", check=False)
    machine.run("ordersigner", "freeze", "bids")
    assert refusal(ask(machine, BY_ADDRESS)) == ("signer", "frozen")
    yield
    assert ask(machine, BY_ADDRESS) == RESPONSE


@contextlib.contextmanager
def with_an_error_in_the_policy(machine: Machine) -> Iterator[None]:
    lines = (MARKET + "\n" + RULE).strip().replace("max-price", "max-prize").split("\n")
    above = ["#"] * (12 - next(number for number, line in enumerate(lines) if "max-prize" in line))
    machine.run("tee", POLICY, input="\n".join([*above, *lines]))
    assert "Job for ordersigner.service failed." in machine.run("systemctl", "reload", SERVICE, check=False)
    assert ask(machine, BY_ADDRESS) == RESPONSE
    yield
    before = machine.now()
    restart(machine)
    assert refusal(ask(machine, BY_ADDRESS)) == ("signer", "unknown_signer")
    assert any("The policy is not used: " in entry["MESSAGE"] for entry in machine.entries(since=before))


@contextlib.contextmanager
def without_its_journald(machine: Machine) -> Iterator[None]:
    machine.run("systemctl", "stop", *NAMESPACE_SOCKETS, JOURNALD)
    assert "not_recorded" in json.dumps(ask(machine, BY_ADDRESS))
    yield
    wait_until(lambda: "signature" in json.dumps(ask(machine, BY_ADDRESS)), TIMEOUT)


SITUATIONS: dict[str, Callable[[Machine], AbstractContextManager[None]]] = {
    "": refused,
    "``No such file or directory``": without_the_socket,
    "``Permission denied``": without_the_group,
    "``no answer within … seconds``": with_a_wrong_option,
    "``unknown_signer``": nothing,
    "``key_unavailable``, ``Cannot use the key in …``": with_a_renamed_key,
    "``not_allowed``, ``over_limit``": with_a_request,
    "``frozen``": frozen,
    "``Job for ordersigner.service failed.``, ``The policy is not used: …``": with_an_error_in_the_policy,
    "``not_recorded``, and ``the journal takes no entries`` in the status line": without_its_journald,
}


def entries() -> dict[str, str]:
    """The parts of the page on troubleshooting that have a session, by what the user sees."""
    first, *rest = re.split(r"\n\n(?=\S.*\n    \S)", TROUBLESHOOT)
    named = dict(entry.split("\n", 1) for entry in rest)
    return {name: text for name, text in {"": first, **named}.items() if SESSION.search(text)}


def test_each_session_has_its_situation() -> None:
    assert list(entries()) == list(SITUATIONS)


@one_suite
@pytest.mark.parametrize("seen", SITUATIONS)
def test_the_commands_print_what_the_page_shows_to_one_who_sees(operated: Machine, seen: str) -> None:
    with SITUATIONS[seen](operated):
        follow(operated, entries()[seen])
