"""The process at the other end, and the user that a connection counts for."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from ordersigner.peer import Peer, peer_of, user_behind


def test_a_peer_is_known_from_the_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(os.getpid(), os.getuid(), os.getgid(), tuple(os.getgroups()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose its groups")
@pytest.mark.parametrize("count", [0, 1, 256, 257])
def test_a_peers_groups_are_those_it_had_when_it_connected(count: int) -> None:
    """Of a client in more groups than Python can read, only the primary group is known."""
    groups = tuple(range(70_000, 70_000 + count))
    before = os.getgroups()
    try:
        os.setgroups(groups)
        ours, theirs = socket.socketpair()
    finally:
        os.setgroups(before)
    with ours, theirs:
        assert peer_of(ours).groups == (groups if count <= 256 else ())


@pytest.fixture
def subordinate_uids(tmp_path: Path) -> str:
    path = tmp_path / "subuid"
    path.write_text(
        "# name:first:count\n\n4711:100000:65536\nroot:165536:10\nnobody-of-that-name:200000:65536\nbad:x:y\n"
    )
    return str(path)


@pytest.mark.parametrize(
    ("uid", "counts_for"),
    [
        pytest.param(0, 0, id="root"),
        pytest.param(1000, 1000, id="a user"),
        pytest.param(65534, 65534, id="nobody"),
        pytest.param(99_999, 99_999, id="one before a block"),
        pytest.param(100_000, 4711, id="the first of a block"),
        pytest.param(165_535, 4711, id="the last of a block"),
        pytest.param(165_536, 0, id="of a block whose owner has a name"),
        pytest.param(165_546, 165_546, id="one behind a block"),
        pytest.param(200_001, 200_001, id="of a block whose owner is gone"),
    ],
)
def test_a_subordinate_uid_counts_for_its_owner(uid: int, counts_for: int, subordinate_uids: str) -> None:
    assert user_behind(uid, subordinate_uids) == counts_for


def test_a_block_that_is_assigned_later_counts_too(subordinate_uids: str) -> None:
    assert user_behind(300_000, subordinate_uids) == 300_000
    Path(subordinate_uids).write_text("4711:300000:65536\n")
    os.utime(subordinate_uids, ns=(1, 1))
    assert user_behind(300_000, subordinate_uids) == 4711


def test_without_the_file_each_uid_counts_for_itself(tmp_path: Path) -> None:
    assert user_behind(100_000, str(tmp_path / "subuid")) == 100_000


def test_only_the_owner_of_the_block_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """useradd(8) assigns a block to every user, and to look up a name takes longer with more users."""
    path = tmp_path / "subuid"
    path.write_text("".join(f"user{number}:{100_000 + number * 65_536}:65536\n" for number in range(10_000)))
    looked_up = []

    def getpwnam(name: str) -> pwd.struct_passwd:
        looked_up.append(name)
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    for _ in range(2):
        assert user_behind(100_000 + 4711 * 65_536, str(path)) == 100_000 + 4711 * 65_536
    assert looked_up == ["user4711"]
