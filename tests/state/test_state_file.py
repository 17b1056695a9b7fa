"""The file of state: shared by all processes, kept over restarts and boots, and damaged or full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.daemon import SOURCE, wait_until
from support.states import Host, memory_directory

from ordersigner.policy.rules import Ledger
from ordersigner.state import state_file, storage
from ordersigner.state.state_file import State, read_frozen

MINUTE, HOUR, DAY = 60, 3600, 86400
YEAR = 365 * DAY


def spend(state: Ledger, amount: int = 1, limit: int = 100, key: str = "a") -> bool:
    return state.reserve([(key, DAY, limit, amount)], None) is None


def signatures(state: Ledger, number: int = 5, seconds: int = HOUR) -> int:
    """How many signatures a rate has room for now."""
    count = 0
    while state.reserve([], ("rate", number, seconds)) is None:
        count += 1
    return count


def changed(file: Path, change: Callable[[], object]) -> list[int]:
    """The bytes of a file that differ after `change`."""
    before = file.read_bytes()
    change()
    after = file.read_bytes()
    pages = [page for page in range(0, len(before), 4096) if before[page : page + 4096] != after[page : page + 4096]]
    return [at for page in pages for at in range(page, min(page + 4096, len(after))) if before[at] != after[at]]


def damage(file: Path, places: list[int]) -> None:
    with file.open("r+b") as written:
        for place in places:
            written.seek(place)
            byte = written.read(1)[0]
            written.seek(place)
            written.write(bytes([byte ^ 0xFF]))


# Several processes


def test_processes_share_totals_rates_freezes_counts_and_the_generation(host: Host) -> None:
    one, two = host.open(), host.open()
    assert spend(one, 60)
    assert not spend(two, 41)
    assert two.used("a", DAY) == 60
    assert signatures(one) == 5
    assert signatures(two) == 0
    assert two.freeze(["a"], 1000)
    assert not one.enter("a")
    assert one.frozen.keys() == {"a"}
    assert one.thaw(["a"]) == ["a"]
    assert two.enter("a")
    assert not one.is_idle(["a"])
    two.leave("a")
    one.add_counts({"a": (1, 2)})
    two.add_counts({"a": (3, 4)})
    assert one.counts() == two.counts() == {"a": (4, 6)}
    assert one.generation == two.generation == 0
    assert one.raise_generation() == 1
    assert two.generation == 1
    assert two.raise_generation() == one.generation == 2


def test_it_lasts_over_restarts(host: Host) -> None:
    state = host.open()
    assert spend(state, 60)
    assert signatures(state) == 5
    assert state.freeze(["a"], 1000)
    frozen = dict(state.frozen)
    state.add_counts({"a": (1, 2)})
    state.close()
    state = host.open()
    assert state.used("a", DAY) == 60
    assert signatures(state) == 0
    assert not state.enter("a")
    assert state.frozen == frozen
    assert state.counts() == {"a": (1, 2)}


def test_what_a_killed_process_had_handed_out_counts_and_no_more(host: Host) -> None:
    state = State(str(host.directory), "real")
    process = host.process("state.enter('a'); state.reserve([('a', 86400, 1000, 7)], None); os.kill(os.getpid(), 9)")
    assert process.wait() == -signal.SIGKILL
    assert state.used("a", DAY) == 7
    assert state.is_idle(["a"])
    state.close()


def test_a_freeze_says_whether_another_process_has_a_signature_under_way(host: Host) -> None:
    state = State(str(host.directory), "real")
    process = host.process("state.enter('a'); print(flush=True); input(); state.leave('a'); print(flush=True); input()")
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    assert not state.freeze(["a"], 0)
    os.kill(process.pid, signal.SIGCONT)
    assert not state.is_idle(["a"])
    print(file=process.stdin, flush=True)
    process.stdout.readline()
    assert state.is_idle(["a"])
    assert state.freeze(["a"], 0)
    process.kill()
    state.close()


def test_a_process_that_is_stopped_with_a_lock_stops_one_total_and_not_for_ever(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0.1)
    state = State(str(host.directory), "real")
    assert spend(state)
    process = host.process(
        f"other = State({str(host.directory)!r}, 'real', uptime=lambda: next(looks))\n"
        "def uptimes():\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"  # it looks at the clock under the lock
        "    yield 0\n"
        "looks = uptimes()\n"
        "other.reserve([('a', 86400, 100, 1)], None)\nprint(flush=True)\ninput()"
    )
    wait_until(lambda: "T (stopped)" in Path(f"/proc/{process.pid}/status").read_text())
    with pytest.raises(OSError, match="stopped process"):
        spend(state)
    with pytest.raises(OSError, match="stopped process"):
        state.used("a", DAY)
    assert spend(state, key="b")
    assert signatures(state) == 5
    assert state.enter("a")
    state.leave("a")
    os.kill(process.pid, signal.SIGCONT)
    assert process.stdout
    process.stdout.readline()
    assert spend(state)
    state.close()


# Slots


def test_256_totals_have_room_and_one_more_gets_the_slot_of_one_that_is_empty(host: Host) -> None:
    state, other = host.open(), host.open()
    for number in range(256):
        assert spend(state, 100, key=f"key {number}")
    assert not spend(other, 1, key="key 7")
    with pytest.raises(OSError, match="256"):
        spend(state, 1, key="another")
    host.wait(12 * HOUR)
    for number in range(256):
        if number != 7:
            assert not spend(state, 1, key=f"key {number}")
    host.wait(DAY)
    assert spend(state, 100, key="another")
    assert not spend(other, 1, key="another")
    for number in range(255):  # whichever has lost its slot gets another one, while there are empty ones
        assert spend(other, 100, key=f"key {number}")
        assert not spend(state, 1, key=f"key {number}")
    assert not spend(other, 1, key="another")


def test_256_rates_have_room_and_one_more_gets_the_slot_of_one_that_is_empty(host: Host) -> None:
    state = host.open()
    for number in range(256):
        assert state.reserve([], (f"key {number}", 1, MINUTE)) is None
    with pytest.raises(OSError, match="256"):
        state.reserve([], ("another", 1, MINUTE))
    host.wait(MINUTE)
    assert state.reserve([], ("another", 1, MINUTE)) is None
    assert state.reserve([], ("another", 1, MINUTE)) == (0, 0)


def test_two_totals_of_one_signature_never_get_the_same_slot(host: Host) -> None:
    state, other = host.open(), host.open()
    for number in range(255):
        assert spend(state, 100, key=f"key {number}")
    two = [("one", DAY, 100, 0), ("two", DAY, 100, 0)]
    for _ in range(2):
        with pytest.raises(OSError, match="256"):
            state.reserve(two, None)
    assert state.reserve(two[:1], None) is None
    assert other.reserve(two[1:], None) is None  # both have nothing in them, so each may take the other's
    assert state.reserve(two[1:], None) is None
    with pytest.raises(OSError, match="256"):
        state.reserve(two, None)
    host.wait(2 * DAY)
    assert state.reserve([(key, DAY, 100, 60) for key in ("one", "two")], None) is None
    assert other.used("one", DAY) == other.used("two", DAY) == 60


@pytest.mark.parametrize("number", [240, 241, 1000, 10_000])
def test_a_high_rate_is_never_passed_and_uses_nearly_all_of_it(host: Host, number: int) -> None:
    state = host.open()
    taken = 0
    for _ in range(4):
        host.wait(15)
        for _ in range(number // 3):
            taken += state.reserve([], ("rate", number, MINUTE)) is None
    assert number * 239 // 240 - 1 <= taken <= number or (number == 241 and taken == 240)
    host.wait(14)
    assert state.reserve([], ("rate", number, MINUTE)) is not None


# Boots and clocks


def test_a_clean_end_counts_nothing_too_much_after_a_boot(host: Host) -> None:
    state = host.open()
    assert spend(state, 150, limit=1000)
    assert signatures(state, number=3) == 3
    state.close()
    host.reboot()
    state = host.open()
    assert state.used("a", DAY) == 150
    assert signatures(state, number=5) == 2


def test_after_another_end_a_boot_counts_at_most_a_hundredth_of_the_limit_too_much(host: Host) -> None:
    state = host.open()
    for _ in range(15):
        assert spend(state, 10, limit=1000)
    host.reboot()
    again = host.open()
    assert 150 <= again.used("a", DAY) <= 160
    assert host.open().used("a", DAY) == again.used("a", DAY)


def test_the_rate_of_a_minute_may_be_full_after_a_boot_for_a_minute(host: Host) -> None:
    state = host.open()
    assert state.reserve([], ("rate", 5, MINUTE)) is None
    host.wait(HOUR)
    host.reboot()
    assert signatures(host.open(), 5, MINUTE) == 0
    host.wait(MINUTE - host.uptime)
    assert signatures(host.open(), 5, MINUTE) == 5


def test_without_an_id_the_boot_is_that_of_the_kernel(tmp_path: Path) -> None:
    state = State(str(tmp_path), "")
    assert spend(state, 10, limit=100_000)
    again = State(str(tmp_path), "")
    assert again.used("a", DAY) == 10
    state.close()
    again.close()


@pytest.mark.parametrize("years", [5, -5])
def test_the_wall_clock_changes_nothing_while_the_system_runs(host: Host, years: int) -> None:
    state = host.open()
    assert spend(state, 100)
    host.wall_clock += years * YEAR
    assert not spend(state)
    assert not spend(host.open())
    host.wait(DAY - 600)
    assert not spend(state)
    host.wait(1200)
    assert spend(state, 100)


def test_a_boot_without_a_clock_goes_on_where_the_last_one_was(host: Host) -> None:
    host.wait(600 - host.wall_clock % 600)
    state = host.open()
    assert spend(state, 100)
    assert signatures(state) == 5
    state.close()
    host.reboot()
    host.wall_clock = 0
    state = host.open()
    assert not spend(state)
    host.wait(DAY - 600)
    assert not spend(state)
    host.wait(1200)
    assert spend(state, 100)
    assert signatures(state) == 5


def test_time_that_the_system_was_off_counts(host: Host) -> None:
    state = host.open()
    assert spend(state, 100)
    state.close()
    host.reboot(seconds=2 * DAY)
    assert spend(host.open(), 100)


def test_a_boot_in_the_future_leaves_nothing_stuck(host: Host) -> None:
    host.wall_clock += 10 * YEAR
    state = host.open()
    assert spend(state, 100)
    assert signatures(state) == 5
    state.close()
    host.reboot()
    host.wall_clock -= 10 * YEAR
    state = host.open()
    assert not spend(state)
    assert signatures(state) == 0
    host.wait(DAY + 1200)
    assert spend(state, 100)
    assert signatures(state) == 5


def test_many_boots_without_a_clock_gain_no_time(host: Host) -> None:
    host.wall_clock = 0
    for _ in range(30):
        state = host.open()
        spend(state, 10)
        state.close()
        host.reboot()
        host.wall_clock = 0
    assert host.open().used("a", DAY) == 100


# The disk


def test_the_file_is_for_its_owner_only_and_has_all_its_room_from_the_start(host: Host) -> None:
    host.open()
    status = host.file.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_blocks * 512 >= status.st_size
    assert os.listdir(host.directory) == ["state"]
    state = host.open()
    for number in range(100):
        spend(state, key=f"key {number}")
        host.wait(HOUR)
    assert host.file.stat().st_size == status.st_size


def test_a_first_start_on_a_full_disk_says_so_and_leaves_nothing(host: Host) -> None:
    program = (
        "import resource; from ordersigner.state.state_file import State\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"  # which is an OSError, as a full disk is
        f"State({str(host.directory)!r}, '')"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=False)
    assert run.stderr.rstrip().endswith(f": '{host.file}'")
    assert "OSError" in run.stderr
    assert os.listdir(host.directory) == []
    assert spend(host.open())


def test_what_a_killed_first_start_has_left_is_in_nobodys_way(host: Host) -> None:
    (host.directory / "state.new").write_bytes(b"half")
    assert spend(host.open())
    assert os.listdir(host.directory) == ["state"]


def test_a_total_waits_for_the_disk_once_for_a_hundredth_of_its_limit(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = host.open()
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    for _ in range(10_000):
        assert spend(state, 1, limit=10_000)
    assert len(syncs) <= 100


def test_nothing_is_handed_out_that_the_disk_could_not_keep(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    state, other = host.open(), host.open()

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        for each in (state, other, state):
            with pytest.raises(OSError, match="Input/output"):
                spend(each)
            with pytest.raises(OSError, match="Input/output"):
                signatures(each)
        with pytest.raises(OSError, match="Input/output"):
            state.freeze(["a"], 0)
    assert spend(other)
    assert spend(state)


# Damage


def test_if_the_newest_copy_is_damaged_what_was_handed_out_still_counts(host: Host) -> None:
    state = host.open()
    for _ in range(15):
        assert spend(state, 10, limit=1000)
    newest = changed(host.file, lambda: spend(state, 10, limit=1000))
    damage(host.file, newest)
    assert 160 <= state.used("a", DAY) <= 170
    assert 160 <= host.open().used("a", DAY) <= 170
    assert spend(state, 10, limit=1000)


def test_a_damaged_total_refuses_and_the_others_go_on(host: Host) -> None:
    state = host.open()
    assert spend(state)
    assert spend(state, key="b")
    damage(host.file, changed(host.file, lambda: (spend(state), spend(state))))
    for each in (state, host.open()):
        with pytest.raises(OSError, match="damaged"):
            spend(each)
        assert spend(each, key="b")
        assert signatures(each) in (0, 5)
        assert each.enter("a")
        each.leave("a")


def test_a_damaged_rate_refuses_and_the_others_go_on(host: Host) -> None:
    state = host.open()
    assert state.reserve([("a", DAY, 100, 1)], ("rate", 5, HOUR)) is None
    assert state.reserve([], ("rate 2", 9, HOUR)) is None
    damage(host.file, changed(host.file, lambda: signatures(state)))
    for each in (state, host.open()):
        with pytest.raises(OSError, match="damaged"):
            signatures(each)
        assert spend(each)
        assert each.reserve([], ("rate 2", 9, HOUR)) is None


def test_while_a_slot_is_damaged_no_other_key_gets_a_new_one(host: Host) -> None:
    state = host.open()
    assert spend(state)
    damage(host.file, changed(host.file, lambda: (spend(state), spend(state))))
    for each in (state, host.open()):
        with pytest.raises(OSError, match="may be that of"):
            spend(each, key="new")


def test_zeros_are_damage_and_not_an_empty_slot(host: Host) -> None:
    state = host.open()
    places = changed(host.file, lambda: (spend(state), spend(state)))
    pages = {place // 4096 for place in places}
    with host.file.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(bytes(4096))
    for each in (state, host.open()):
        with pytest.raises(OSError, match="damaged"):
            spend(each)


def test_if_the_earlier_buckets_are_damaged_their_sum_still_counts(host: Host) -> None:
    state = host.open()
    for _ in range(5):
        assert spend(state, 10)
        host.wait(HOUR)
    with_them = changed(host.file, lambda: spend(state, 10))
    newest = {place // 4096 for place in changed(host.file, lambda: (spend(state, 10), spend(state, 10)))}
    earlier = [place for place in with_them if place // 4096 not in newest]
    assert earlier
    damage(host.file, earlier)
    host.wait(12 * HOUR)
    assert state.used("a", DAY) >= 80
    host.wait(2 * DAY)
    assert spend(state, 100)


def test_a_damaged_copy_thaws_no_rule(host: Host) -> None:
    state = host.open()
    places = changed(host.file, lambda: state.freeze(["a"], 0))
    for place in places:
        if place >= 8192:  # before there is the number of changes, which has no copies
            damage(host.file, [place])
            assert not host.open().enter("a")
            damage(host.file, [place])


def test_if_it_is_not_known_which_rules_are_frozen_no_rule_is_entered(host: Host) -> None:
    state = host.open()
    assert spend(state)
    damage(host.file, changed(host.file, lambda: state.freeze(["a"], 0)))
    for each in (state, host.open()):
        for rule in ("a", "b"):
            with pytest.raises(OSError, match="frozen"):
                each.enter(rule)
        with pytest.raises(OSError, match="frozen"):
            each.freeze(["b"], 0)
        assert each.is_idle(["a", "b"])
        assert spend(each)


def test_a_freeze_that_finds_damage_has_all_processes_find_it(host: Host) -> None:
    state, other = host.open(), host.open()
    places = changed(host.file, lambda: state.freeze(["a"], 0))
    assert other.enter("b")
    other.leave("b")
    damage(host.file, [place for place in places if place >= 8192])
    with pytest.raises(OSError, match="frozen"):
        state.freeze(["b"], 0)
    with pytest.raises(OSError, match="frozen"):
        other.enter("b")


def test_a_freeze_of_what_is_frozen_is_done_if_both_copies_have_it(host: Host) -> None:
    state, other = host.open(), host.open()
    assert not state.has_frozen(["a"])
    places = changed(host.file, lambda: state.freeze(["a"], 0))
    assert other.has_frozen(["a"])
    assert not other.has_frozen(["a", "b"])
    damage(host.file, places[-1:])
    assert not state.has_frozen(["a"])
    assert state.freeze(["a"], 0)
    assert other.has_frozen(["a"])
    state.thaw(["a"])
    assert not other.has_frozen(["a"])


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_removed_or_replaced_is_not_used_any_more(host: Host, replaced: bool) -> None:
    state = host.open()
    assert state.freeze(["a"], 0)
    host.file.unlink()
    if replaced:
        assert host.open().enter("a")
    for use in (lambda: state.enter("b"), lambda: state.freeze(["b"], 0), lambda: state.frozen):
        with pytest.raises(OSError, match="removed or replaced"):
            use()


def test_a_freeze_that_was_cut_off_is_known_to_all_after_the_next_one(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    write = os.pwrite
    for steps in range(3):
        state, other = host.open(), host.open()
        state.thaw(["a"])
        assert state.enter("a")
        state.leave("a")
        left = [steps]

        def pwrite(descriptor: int, data: bytes, offset: int, left: list[int] = left) -> int:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            return write(descriptor, data, offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", pwrite)
            with pytest.raises(KilledError):
                other.freeze(["a"], 0)
        assert other.freeze(["a"], 0)
        assert not state.enter("a")


@pytest.mark.parametrize("size", [0, 100, 5000, 1_000_000, 8_500_000])
def test_a_truncated_file_refuses_and_crashes_nothing(host: Host, size: int) -> None:
    state = host.open()
    assert spend(state)
    assert signatures(state) == 5
    os.truncate(host.file, size)
    if size < 100_000:
        with pytest.raises(OSError, match="too short"):
            spend(state)
        with pytest.raises(OSError, match="too short"):
            state.counts()
    if size < 5000:
        with pytest.raises(OSError, match="too short"):
            state.enter("a")
    with pytest.raises(OSError, match="too short"):
        state.reserve([], ("another rate", 1, HOUR))
    with pytest.raises(OSError, match="damaged"):
        host.open()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "damaged"),
        (b"\0" * 100, "damaged"),
        (b"ordersigner state, format 2\n", "another version"),
        (b"ordersigner state, format 9\n" + bytes(9_000_000), "another version"),
    ],
    ids=["nothing", "zeros", "format 2", "format 9"],
)
def test_another_content_is_refused_and_kept(host: Host, content: bytes, text: str) -> None:
    host.file.write_bytes(content)
    with pytest.raises(OSError, match=text) as error:
        host.open()
    assert str(host.file) in str(error.value)
    assert host.file.read_bytes() == content


def test_what_is_not_a_file_is_refused(host: Host) -> None:
    host.file.symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        host.open()
    host.file.unlink()
    host.file.mkdir()
    with pytest.raises(IsADirectoryError):
        host.open()
    host.file.rmdir()
    os.mkfifo(host.file)
    with pytest.raises(OSError, match="not a file"):
        host.open()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        State(str(host.directory / "nowhere"), "1")
    assert not (host.directory / "elsewhere").exists()


def test_another_process_that_makes_or_opens_it_for_too_long_is_an_error(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "PATIENCE", 0.1)
    monkeypatch.setattr(storage, "PATIENCE", 0.1)
    with contextlib.ExitStack() as stack:
        descriptor = os.open(host.directory, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="locked"):
            host.open()
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        assert spend(host.open())
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # any user may do that if the directory is open to all
        assert spend(host.open())
    file = storage.File(os.open(host.file, os.O_RDWR), str(host.file))
    with storage.Lock(file, state_file._CLOCK), pytest.raises(OSError, match="locked"):
        host.open()
    file.close()
    assert spend(host.open())


@pytest.mark.once
@settings(max_examples=30)
@given(picks=st.lists(st.integers(0, 10**6), min_size=1, max_size=6), is_rebooted=st.booleans())
def test_with_any_damage_nothing_counts_too_little_and_all_that_is_raised_is_an_oserror(
    picks: list[int], is_rebooted: bool
) -> None:
    with memory_directory() as directory, contextlib.ExitStack() as stack:
        host = Host(directory, stack)
        host.open().close()

        def use() -> None:
            state = host.open()
            for _ in range(3):
                assert spend(state, 10)
                assert spend(state, 10, key="b")
                assert state.reserve([], ("rate", 5, HOUR)) is None
                host.wait(600)
            assert signatures(state) == 2
            assert state.freeze(["a"], 0)
            state.add_counts({"a": (1, 1)})

        places = changed(host.file, use)
        damage(host.file, [places[number % len(places)] for number in set(picks)])
        if is_rebooted:
            host.reboot()
        with contextlib.suppress(OSError):
            state = host.open()
            for key in ("a", "b"):
                with contextlib.suppress(OSError):
                    assert state.used(key, DAY) >= 30
                with contextlib.suppress(OSError):
                    assert not spend(state, 71, key=key)
            with contextlib.suppress(OSError):
                assert signatures(state) == 0
            with contextlib.suppress(OSError):
                assert not state.enter("a")
            with contextlib.suppress(OSError):
                state.counts()


# The rest


def test_counts_of_too_many_rules_are_forgotten_from_the_oldest(host: Host) -> None:
    state = host.open()
    for number in range(10):
        state.add_counts({f"{number} {each} {'x' * 60}": (1, 1) for each in range(100)})
    counts = state.counts()
    assert 300 < len(counts) < 1000
    assert all(name in counts for name in (f"9 {each} {'x' * 60}" for each in range(100)))


def test_too_many_frozen_names_are_refused_and_change_nothing(host: Host) -> None:
    state = host.open()
    assert state.freeze(["a"], 0)
    with pytest.raises(OSError, match="no room"):
        state.freeze([f"{number} {'x' * 60}" for number in range(2000)], 0)
    assert host.open().frozen.keys() == {"a"}


def test_who_only_looks_sees_what_is_frozen_and_changes_nothing(host: Host) -> None:
    assert read_frozen(str(host.directory)) == {}
    assert os.listdir(host.directory) == []
    state = host.open()
    state.freeze(["a", "b"], 1000)
    state.thaw(["b"])
    assert changed(host.file, lambda: read_frozen(str(host.directory))) == []
    assert read_frozen(str(host.directory)) == state.frozen
    with open(host.file, "r+b") as file:
        file.write(b"damaged")
    assert read_frozen(str(host.directory)) == state.frozen
    os.truncate(host.file, 100)
    with pytest.raises(OSError, match="too short"):
        read_frozen(str(host.directory))


def test_after_the_end_everything_is_an_oserror_and_touches_no_other_file(host: Host, tmp_path: Path) -> None:
    state = host.open()
    assert spend(state)
    assert signatures(state) == 5
    state.close()
    state.close()
    others = [(tmp_path / str(number)).open("w+b") for number in range(8)]
    uses: list[Callable[[], Any]] = [
        lambda: spend(state),
        lambda: signatures(state),
        lambda: state.enter("a"),
        lambda: state.frozen,
        lambda: state.generation,
        state.raise_generation,
        lambda: state.freeze(["a"], 0),
        lambda: state.thaw(["a"]),
        lambda: state.is_idle(["a"]),
        lambda: state.add_counts({"a": (1, 1)}),
        state.counts,
        lambda: state.used("a", DAY),
    ]
    for use in uses:
        with pytest.raises(OSError, match=r"descriptor|closed"):
            use()
    for other in others:
        assert other.read() == b""
        other.close()
