"""Held keys: which files are keys, their signatures, and the single copy in memory, which others cannot see."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from coincurve._libsecp256k1 import ffi, lib
from hypothesis import given
from hypothesis import strategies as st
from oracles import oracle
from support.daemon import EXAMPLE_LINE, EXAMPLE_RESPONSE, running, standalone, wait_until
from support.keys import ADDRESS, KEY, OTHER_KEY, held, put, with_held_key
from test_keys import ORDER_OF_THE_CURVE, digests, keys

from ordersigner.signing import keyring
from ordersigner.signing.keys import HeldKey, Signer

POLICY = f"[rule all]\nkey = {ADDRESS}\nusers = {os.getuid()}\naccounts = any\nmarkets = any\n"


@given(keys, digests)
def test_a_held_key_signs_as_the_same_key_on_the_wire_does(key: str, digest: bytes) -> None:
    one, other = held(key), Signer(key)
    assert (one.address, one.sign(digest)) == (other.address, other.sign(digest))


@pytest.mark.parametrize("text", [KEY, "0x" + KEY, "0X" + KEY, KEY.upper()])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", " \r\n", "\t", "\n" * 64])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_key_may_be_written_as_any_editor_writes_it(mark: str, text: str, end: str) -> None:
    assert held(mark + text + end).address == ADDRESS


def test_a_key_in_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "windows").write_text(KEY, encoding="utf-16")
    (tmp_path / "windows").chmod(0o600)
    assert keyring.from_directory(str(tmp_path)).refused == {"windows": "it is UTF-16 text: save it as UTF-8"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        KEY[:-1],
        KEY + "0",
        " " + KEY,
        "0x\ufeff" + KEY,
        "\ufeff",
        KEY + "\n0",
        KEY + " " * 65,
        KEY + "\n" * 4032,  # a whole page
        KEY + "\n" * 9000 + "0",
        KEY + "\0",
        "0x" + "\n" * 64,
        KEY[:-1] + "g",
        KEY[:30] + "  " + KEY[32:],
        KEY * 200,
        "0" * 64,
        f"{ORDER_OF_THE_CURVE:064x}",
    ],
)
def test_text_that_is_not_a_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        held(text)
    said = "".join(traceback.format_exception(type(caught.value), caught.value, caught.value.__traceback__))
    assert len(text) < 10 or text.strip() not in said


def test_a_held_key_shows_its_address_alone() -> None:
    assert repr(held(KEY)) == str(held(KEY)) == f"HeldKey({ADDRESS})"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_digest_of_another_size_is_not_signed(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        held(KEY).sign(bytes(size))


def mappings(pid: int) -> Iterator[tuple[str, bytes]]:
    """The parts of a process's memory: where each is, and its content."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match is None or "[v" in line:  # [vvar] and [vsyscall] are the kernel's
                continue
            start, end = (int(number, 16) for number in match.groups())
            memory.seek(start)
            with contextlib.suppress(OSError):  # it was unmapped meanwhile
                yield line.split()[0], memory.read(end - start)


def copies(pid: int, secret: bytes) -> int:
    """How often `secret` is in the memory of a process."""
    return sum(content.count(secret) for _, content in mappings(pid))


def flags(pid: int, place: str) -> set[str]:
    """The kernel's flags of a part of a process's memory."""
    smaps = Path(f"/proc/{pid}/smaps").read_text()
    found = re.search(rf"^{place} .*?^VmFlags: (.+?)$", smaps, re.MULTILINE | re.DOTALL)
    assert found
    return set(found[1].split())


def in_secret_pages(secret: bytes) -> bool:
    """Whether `secret` is in memory of this process that children do not get, like that of a held key."""
    pid = os.getpid()
    return any(secret in content and "wf" in flags(pid, place) for place, content in mappings(pid))


def test_a_key_that_was_wiped_signs_nothing() -> None:
    secret = secrets.token_hex(32)
    key = held(secret)
    assert in_secret_pages(bytes.fromhex(secret))
    keyring.Keyring({key.address: key}).wipe()
    with pytest.raises(ValueError, match="wiped"):
        key.sign(bytes(32))
    assert not in_secret_pages(bytes.fromhex(secret))


class WipedInBetween:
    """libsecp256k1, but another thread wipes the key in the middle of a signature."""

    def __init__(self, wipe: Callable[[], None]) -> None:
        arguments = "unsigned char *, " + "const unsigned char *, " * 3 + "void *, unsigned int"

        def nonce(*arguments: Any) -> int:
            wipe()
            return int(lib.secp256k1_nonce_function_rfc6979(*arguments))

        self._nonce = ffi.callback(f"int({arguments})", nonce)

    def __getattr__(self, name: str) -> Any:
        return getattr(lib, name)

    def secp256k1_ecdsa_sign_recoverable(self, *arguments: Any) -> int:
        return int(lib.secp256k1_ecdsa_sign_recoverable(*arguments[:4], self._nonce, ffi.NULL))


def test_a_key_that_is_wiped_while_it_signs_gives_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    # The nonce would be that of a key of zeros, which everyone knows, and so the signature would give the key away.
    key = held(KEY)
    monkeypatch.setattr("ordersigner.signing.keys.lib", WipedInBetween(key.wipe))
    with pytest.raises(ValueError, match="wiped"):
        key.sign(b"\7" * 32)


def test_a_child_process_has_no_copy() -> None:
    secret = secrets.token_hex(32)
    key = held(secret)
    assert in_secret_pages(bytes.fromhex(secret))
    child = os.fork()
    if child == 0:
        os._exit(1 if in_secret_pages(bytes.fromhex(secret)) else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert key.sign(bytes(32)) == Signer(secret).sign(bytes(32))


def test_a_directory_gives_its_keys_by_address(tmp_path: Path) -> None:
    put(tmp_path, "bids.eth")
    put(tmp_path, "asks-2", OTHER_KEY, 0o400)
    put(tmp_path, ".hidden", "no key")
    found = keyring.from_directory(str(tmp_path))
    assert found.keys.keys() == {ADDRESS, oracle.signer_address(OTHER_KEY)}
    assert found.refused == {}
    assert found.get(ADDRESS) is found.keys[ADDRESS]
    assert found.get(ADDRESS.upper()) is None


def test_a_bad_file_is_named_with_the_reason_and_keeps_no_other_from_working(tmp_path: Path) -> None:
    put(tmp_path, "good")
    put(tmp_path, "group", OTHER_KEY, 0o640)
    put(tmp_path, "others", OTHER_KEY, 0o604)
    put(tmp_path, "again", KEY)
    put(tmp_path, "text", "hello")
    put(tmp_path, "zero", "0" * 64)
    put(tmp_path, "a name", OTHER_KEY)
    (tmp_path / "directory").mkdir(0o700)
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo", 0o600)
    found = keyring.from_directory(str(tmp_path))
    assert list(found.keys) == [ADDRESS]
    assert found.refused == {
        "a name": "its name must consist of letters, digits, dots and hyphens",
        "dangling": "it cannot be read: No such file or directory",
        "directory": "it is not a regular file",
        "fifo": "it is not a regular file",
        "good": "it holds the same key as again",
        "group": f"other users may read it: chmod 600 {tmp_path}/group",
        "others": f"other users may read it: chmod 600 {tmp_path}/others",
        "text": "it does not hold a private key of 64 hexadecimal digits",
        "zero": "the number in it is not a private key: it must be in 1..n-1",
    }


def test_credentials_are_keys_whatever_their_mode_and_say_which_were_refused(tmp_path: Path) -> None:
    """systemd 257 gives them mode 0440 and an owner that is not the service."""
    put(tmp_path, "key_bids", KEY, 0o444)
    put(tmp_path, "key_text", "hello")
    put(tmp_path, "refused_asks", "It was sealed\non another machine.\n")
    put(tmp_path, "refused_old", "")
    put(tmp_path, "something-else", OTHER_KEY)
    found = keyring.from_credentials(str(tmp_path))
    assert list(found.keys) == [ADDRESS]
    assert found.refused == {
        "text": "it does not hold a private key of 64 hexadecimal digits",
        "asks": "It was sealed\non another machine.",
        "old": "it could not be opened",
    }


@pytest.mark.parametrize(
    ("refused", "named", "count"),
    [
        ([], [], (1, 1)),
        (["a"], [], (1, 2)),
        ([], [ADDRESS], (1, 1)),
        ([], [ADDRESS, "0x02"], (1, 2)),
        (["a"], [ADDRESS, "0x02"], (1, 2)),  # the file may be that key
        (["a", "b"], ["0x02"], (1, 3)),
    ],
)
def test_keys_that_should_be_there_are_counted_once(refused: list[str], named: list[str], count: object) -> None:
    ring = keyring.Keyring({ADDRESS: held(KEY)}, dict.fromkeys(refused, "reason"))
    assert ring.count(set(named)) == count


@pytest.fixture
def holder(directory: Path) -> Path:
    """A directory with keys/ and policy, for a daemon that holds the example's key."""
    (directory / "keys").mkdir(0o700)
    put(directory / "keys", "example")
    (directory / "policy").write_text(POLICY)
    return directory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the daemon's memory")
def test_the_daemon_has_one_copy_of_a_held_key_in_a_page_apart(holder: Path) -> None:
    with standalone(holder, "--keys", str(holder / "keys"), "--policy", str(holder / "policy")) as daemon:
        for _ in range(100):
            assert daemon.ask(with_held_key(EXAMPLE_LINE) + b"\n") == EXAMPLE_RESPONSE
        assert copies(daemon.pid, bytes.fromhex(KEY)) == 1
        assert copies(daemon.pid, KEY.encode()) == copies(daemon.pid, KEY.upper().encode()) == 0
        (place,) = (place for place, content in mappings(daemon.pid) if bytes.fromhex(KEY) in content)
        assert {"dd", "wf"} <= flags(daemon.pid, place)  # left out of core dumps, and of child processes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the daemon's memory")
def test_the_scan_would_find_a_key_that_a_client_sends(holder: Path) -> None:
    with standalone(holder) as daemon, daemon.connect() as connection:
        connection.sendall(EXAMPLE_LINE + b"\n")
        assert connection.recv(1000) == EXAMPLE_RESPONSE
        assert copies(daemon.pid, bytes.fromhex(KEY)) >= 1
        assert copies(daemon.pid, KEY.encode()) >= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the daemon's memory")
def test_no_copy_is_left_after_the_end(holder: Path) -> None:
    """The daemon stops itself behind the wipe, so that its memory can still be looked at."""
    program = (
        "import os, signal, sys; from ordersigner.daemon.main import main; "
        "status = main(sys.argv[1:]); os.kill(os.getpid(), signal.SIGSTOP); sys.exit(status)"
    )
    path = str(holder / "socket")
    command = [sys.executable, "-c", program, "--socket", path]
    command += ["--keys", str(holder / "keys"), "--policy", str(holder / "policy")]
    with running(command, holder, path) as daemon:
        wait_until(lambda: "Listening" in daemon.log)
        assert daemon.ask(with_held_key(EXAMPLE_LINE) + b"\n") == EXAMPLE_RESPONSE
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        assert copies(daemon.pid, bytes.fromhex(KEY)) == 0
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(20) == 0


@given(st.binary(max_size=200))
def test_no_file_makes_the_daemon_fail(content: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    try:
        HeldKey(reader)
    except ValueError:
        pass
    finally:
        os.close(reader)
