"""The state of the installed service: totals, rates and freezes outlast the processes that keep them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from decimal import Decimal

import pytest
from programs.hammer_in_sandbox import hammer
from support.daemon import SOURCE
from support.held import MARKET, address

from system.conftest import (
    MEMBER,
    REQUEST,
    RESPONSE,
    SERVICE,
    SOCKET,
    STATE,
    STRANGER,
    Packages,
    ask,
    drop_in,
    one_suite,
)
from system.machine import Machine
from system.test_held_keys import (
    BY_ADDRESS,
    BY_OTHER_ADDRESS,
    INSTANCE,
    KEY,
    OTHER_KEY,
    holder,
    refusal,
    rule,
    seal,
    set_policy,
    stopped,
)

__all__ = ["holder"]  # a fixture

PROCESSES = (SERVICE, INSTANCE)
THIRD_KEY = secrets.token_hex(32)
BY_THIRD_ADDRESS = {**REQUEST, "signer": address(THIRD_KEY)}
ORDER = REQUEST["order"]
NOTIONAL = Decimal(str(ORDER["quantity"])) * Decimal(str(ORDER["price"]))
OVER_TOTAL, OVER_RATE, FROZEN = ("order.quantity", "over_total"), ("signer", "rate_limited"), ("signer", "frozen")
DONE = "done"
UNUSABLE = FROZEN


def policy(orders: int) -> str:
    """A rule with a total, and one with a rate, each for so many orders, and a rule without either."""
    total = rule("total", KEY, MEMBER, "types = LMT", f"max-total-notional = {orders * NOTIONAL}/day")
    return "\n".join(
        [
            MARKET,
            total.replace("markets = any", "markets = LEV/ETH"),
            rule("rate", OTHER_KEY, MEMBER, f"rate = {orders}/hour"),
            rule("free", THIRD_KEY),
        ]
    )


@pytest.fixture
def keeper(holder: Machine) -> Iterator[Machine]:
    """The machine with two processes that hold a key for each rule, and a second user of the socket."""
    for name, key in (("total", KEY), ("rate", OTHER_KEY), ("free", THIRD_KEY)):
        seal(holder, name, key)
    holder.run("usermod", "--append", "--groups", "ordersigner", STRANGER)
    holder.run("systemctl", "enable", INSTANCE)
    yield holder
    holder.run("systemctl", "disable", "--now", INSTANCE)
    holder.run("gpasswd", "--delete", STRANGER, "ordersigner")


def outcome(response: object) -> object:
    """DONE, or the field and the code of the refusal."""
    return DONE if isinstance(response, dict) and response["ok"] else refusal(response)


def outcomes_of_one(machine: Machine) -> list[object]:
    """Of a request under each rule, in the process that takes the connection."""
    lines = "".join(json.dumps(by) + "\n" for by in (BY_ADDRESS, BY_OTHER_ADDRESS, BY_THIRD_ADDRESS))
    output = machine.run("nc", "-N", "-U", SOCKET, user=MEMBER, input=lines, timeout=60)
    return [outcome(json.loads(line)) for line in output.splitlines()]


def outcomes(machine: Machine) -> list[list[object]]:
    """The same in both processes."""
    found = []
    for other in PROCESSES[::-1]:
        with stopped(machine, other):
            found.append(outcomes_of_one(machine))
    return found


def thaw(machine: Machine, user: str) -> object:
    return outcome(ask(machine, {"type": "thaw", "rules": ["free"]}, user=user))


def freeze(machine: Machine, user: str) -> object:
    return outcome(ask(machine, {"type": "freeze", "rules": ["free"]}, user=user))


def test_totals_rates_and_freezes_outlast_all_that_can_happen_to_the_processes(
    keeper: Machine, packages: Packages
) -> None:
    """Each process signs one order under each rule after each event, and then there is room for no more."""
    events = {
        "a start": ["systemctl", "start", *PROCESSES],
        "a restart": ["systemctl", "restart", *PROCESSES],
        "kill -9": ["systemctl", "kill", "--signal=KILL", *PROCESSES],
        "a reload": ["systemctl", "reload", SERVICE],
        "a reinstallation": ["dpkg", "--install", f"/root/{packages.built.name}"],
        "a reboot": [],
    }
    set_policy(keeper, policy(2 * len(events)))
    keeper.run("systemctl", "start", *PROCESSES)
    assert [freeze(keeper, user) for user in (STRANGER, MEMBER)] == [("rules", "not_allowed"), DONE]
    for event, command in events.items():
        if command:
            keeper.run(*command)
        else:
            keeper.reboot()
        keeper.run("systemctl", "start", *PROCESSES)
        assert (event, outcomes(keeper)) == (event, [[DONE, DONE, FROZEN]] * 2)
    assert outcomes(keeper) == [[OVER_TOTAL, OVER_RATE, FROZEN]] * 2

    assert [thaw(keeper, user) for user in (MEMBER, STRANGER)] == [("type", "not_allowed")] * 2
    assert outcomes(keeper) == [[OVER_TOTAL, OVER_RATE, FROZEN]] * 2
    assert thaw(keeper, "root") == DONE
    assert outcomes(keeper) == [[OVER_TOTAL, OVER_RATE, DONE]] * 2

    # A unit without a place for state, such as an earlier version's, leaves it alone.
    keeper.run("systemctl", "disable", "--now", INSTANCE)
    drop_in(keeper, SERVICE, "[Service]\nStateDirectory=\n")
    keeper.run("systemctl", "restart", SERVICE)
    assert outcome(ask(keeper, BY_ADDRESS)) == ("signer", "unknown_signer")  # a total needs such a place
    assert ask(keeper, REQUEST) == RESPONSE
    keeper.run("rm", "-r", f"/run/systemd/system/{SERVICE}.d")
    keeper.run("systemctl", "daemon-reload")
    keeper.run("systemctl", "enable", INSTANCE)
    keeper.run("systemctl", "restart", *PROCESSES)
    assert outcomes(keeper) == [[OVER_TOTAL, OVER_RATE, DONE]] * 2

    # The manual's lines for a state that begins at zero.
    section = (SOURCE / "docs/run/operate.rst").read_text().split(".. _state:\n", 1)[1].split("\n.. _own-unit:\n", 1)[0]
    for line in section.splitlines():
        if line.startswith("    systemctl "):
            keeper.run("sh", "-c", line)
    keeper.run("systemctl", "start", *PROCESSES)
    assert outcomes(keeper) == [[DONE] * 3] * 2


def test_only_the_daemon_and_root_can_see_the_state(keeper: Machine) -> None:
    set_policy(keeper, policy(1))
    assert outcome(ask(keeper, BY_ADDRESS)) == DONE
    assert keeper.run("readlink", "-f", "/var/lib/ordersigner") == STATE
    modes = keeper.run("find", STATE, "-printf", "%M %y\\n").splitlines()
    assert modes == ["drwx------ d", "-rw------- f"]
    assert not keeper.succeeds("ls", "/var/lib/ordersigner/", user=MEMBER)


def test_a_full_disk_stops_no_rule_whose_state_was_made_before(keeper: Machine) -> None:
    set_policy(keeper, policy(3))
    keeper.run("systemctl", "disable", INSTANCE)
    keeper.run("rm", "-rf", STATE)
    keeper.run("mkdir", "--mode=0700", STATE)
    keeper.run("mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", STATE)
    try:
        assert outcomes_of_one(keeper) == [DONE] * 3
        keeper.run("sh", "-c", f"! head -c 32M /dev/zero >{STATE}/filling")
        assert outcomes_of_one(keeper) == [DONE] * 3
        keeper.run("systemctl", "restart", SERVICE)
        assert outcomes_of_one(keeper) == [DONE] * 3
        assert outcomes_of_one(keeper) == [OVER_TOTAL, OVER_RATE, DONE]

        keeper.run("systemctl", "stop", SERVICE)
        keeper.run(
            "sh", "-c", f"find {STATE} -type f ! -name filling -delete; ! head -c 32M /dev/zero >{STATE}/filling"
        )
        before = keeper.now()
        assert outcomes_of_one(keeper) == [UNUSABLE, UNUSABLE, DONE]
        assert ask(keeper, REQUEST) == RESPONSE
        assert "No space left on device" in messages(keeper, before)
        keeper.run("rm", f"{STATE}/filling")
        keeper.run("systemctl", "restart", SERVICE)
        assert outcomes_of_one(keeper) == [DONE] * 3
    finally:
        keeper.run("systemctl", "stop", SERVICE)
        keeper.run("umount", STATE)


def messages(machine: Machine, since: int) -> str:
    """What the daemon said in the journal."""
    return "\n".join(entry["MESSAGE"] for entry in machine.entries(f"_SYSTEMD_UNIT={SERVICE}", since=since))


def test_with_a_damaged_state_the_rules_that_need_it_allow_nothing_and_the_others_go_on(keeper: Machine) -> None:
    """Only if nobody can say which rules are frozen, no rule allows anything. Keys of clients do not need the state."""
    set_policy(keeper, policy(3))
    keeper.run("systemctl", "disable", INSTANCE)
    assert outcomes_of_one(keeper) == [DONE] * 3
    file = keeper.run("find", STATE, "-type", "f")
    keeper.run("cp", file, "/root/state")
    noise = f"head -c $(stat -c %s {file}) /dev/urandom | dd conv=notrunc of={file}"
    damages = {
        "all but what is frozen": (f"{noise} bs=264K seek=1", DONE),
        "a part is gone": (f"truncate -s 1M {file}", DONE),
        "all of it": (noise, UNUSABLE),
    }
    for what, (damage, expected) in damages.items():
        keeper.run("systemctl", "stop", SERVICE)
        keeper.run("sh", "-c", f"cat /root/state >{file}; {damage}")
        before = keeper.now()
        for _ in range(2):
            assert (what, outcomes_of_one(keeper)) == (what, [UNUSABLE, UNUSABLE, expected])
        assert ask(keeper, REQUEST) == RESPONSE
        assert (what, "/ordersigner/state" in messages(keeper, before)) == (what, True)

    keeper.run("systemctl", "stop", SERVICE)
    keeper.run("rm", file)
    assert outcomes_of_one(keeper) == [DONE] * 3


@one_suite
def test_the_hammer_breaks_no_promise_in_the_sandbox(installed: Machine) -> None:
    """The short form of programs/hammer_in_sandbox.py."""
    print(hammer(installed, 120, "totals", "freeze", "--rounds=10"))
