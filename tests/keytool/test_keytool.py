"""The command `ordersigner-keys`, most of it as a process: with files, pipes, terminals, and systemd's own sealing.

Tests that need no process call it directly, because the import of eth-account takes a second.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES
from eth_account import Account
from support.daemon import (
    DEFAULT_SIGNALS,
    EXAMPLE,
    EXAMPLE_LINE,
    EXAMPLE_RESPONSE,
    SOURCE,
    TIME_LIMIT,
    listens,
    running,
    vectors,
    wait_until,
)

from ordersigner import __version__
from ordersigner.keccak import keccak_256
from ordersigner.keytool import directory, forms
from ordersigner.keytool import main as keytool
from ordersigner.keytool.problem import Problem
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.signing import keyring
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import Journal

KEYSTORES = [row for name in ("geth", "eth-account", "ethers") for row in vectors(f"keystores/{name}")]
LIGHT = next(row for row in KEYSTORES if row["name"] == "aaa")  # the passphrase of this one takes no time
KEY = EXAMPLE["request"]["signer"][2:]
ADDRESS = Account.from_key(KEY).address
MNEMONIC = "test test test test test test test test test test test junk"  # of the development tools Hardhat and Anvil
MNEMONIC_ADDRESSES = {  # as these tools print them
    "m/44'/60'/0'/0/0": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "m/44'/60'/0'/0/1": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
}
COMMANDS = ["new", "import", "list", "remove"]

sealing = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("systemd-creds") is None, reason="needs root and systemd-creds"
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ordersigner.keytool", *map(str, arguments)]


def run(*arguments: object, stdin: str | bytes = "", script: str = "", **options: Any) -> tuple[int, str, str]:
    """Exit status, stdout and stderr without a terminal. The shell that becomes the command runs `script` first."""
    ended = subprocess.run(
        ["bash", "-c", f'{script}\nexec "$@"', "bash", *command(*arguments)],
        cwd=SOURCE,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=TIME_LIMIT * 3,
        check=False,
        start_new_session=True,
        **options,
    )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@contextlib.contextmanager
def descriptor(text: str) -> Iterator[int]:
    """An open descriptor to read `text` from."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    yield reading
    os.close(reading)


def with_passphrase(passphrase: str, *arguments: object, **options: Any) -> tuple[int, str, str]:
    """run(), with the passphrase in a descriptor."""
    with descriptor(passphrase) as number:
        return run(*arguments, "--passphrase-fd", str(number), pass_fds=[number], **options)


class Terminal:
    """The command at a terminal that is its standard input, output and error. seen: what the terminal showed."""

    def __init__(self, *arguments: object, **variables: str) -> None:
        self.seen = ""
        self._ours, theirs = os.openpty()
        os.set_blocking(self._ours, False)
        self.process = subprocess.Popen(
            [*DEFAULT_SIGNALS, "setsid", "--ctty", *command(*arguments)],
            cwd=SOURCE,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **variables},
        )
        self._theirs = theirs

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def expect(self, text: str) -> None:
        wait_until(lambda: text in self._read())

    def type(self, text: str, *, at: str) -> None:
        """Type a line when the prompt is there."""
        self.expect(at)
        os.write(self._ours, f"{text}\n".encode())

    def shows_what_is_typed(self) -> bool:
        return bool(termios.tcgetattr(self._theirs)[3] & termios.ECHO)

    def interrupt(self) -> None:
        os.write(self._ours, b"\x03")

    def end_input(self, text: str) -> None:
        """Type text without an end of the line, and end the input: the first Ctrl-D only hands over the text."""
        os.write(self._ours, text.encode() + b"\x04\x04")

    def unread(self) -> int:
        """How many of the typed bytes have not been read."""
        count = bytearray(4)
        fcntl.ioctl(self._theirs, termios.FIONREAD, count)
        return int.from_bytes(count, sys.byteorder)

    def end(self) -> int:
        """The exit status. All output is in `seen` then."""
        status = self.process.wait(TIME_LIMIT * 3)
        self._read()
        return status

    def _read(self) -> str:
        """All that was shown until now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.seen += os.read(self._ours, 4096).decode()
        return self.seen


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A directory for keys that does not exist yet."""
    return tmp_path / "etc" / "keys"


def content(keys: Path, name: str = "bids") -> str:
    return (keys / name).read_text()


def put(keys: Path, name: str = "bids", text: str = KEY) -> None:
    """Put a key in place, as the tool does."""
    keys.mkdir(parents=True, exist_ok=True)
    (keys / name).write_text(text)
    (keys / name).chmod(0o600)


# Plain files: the content of a key's file, and the input


def test_a_new_key_is_64_hex_digits_in_a_file_of_its_own_and_its_address_is_printed(keys: Path) -> None:
    status, output, errors = run("new", "bids", "--plain", "--keys", keys)
    assert (status, errors) == (0, "")
    assert re.fullmatch("[0-9a-f]{64}", content(keys))
    assert Account.from_key(content(keys)).address in output
    assert (keys / "bids").stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    assert keys.parent.stat().st_mode & 0o777 == 0o755
    assert os.listdir(keys) == ["bids"]
    assert content(keys) not in output


def test_two_new_keys_are_different(keys: Path) -> None:
    for name in ("one", "two"):
        run("new", name, "--plain", "--keys", keys)
    assert content(keys, "one") != content(keys, "two")


def printed_rule(output: str) -> str:
    return output[output.index("    [rule") :].split("\n\n")[0]


def test_the_rule_to_paste_names_the_key_and_what_to_fill_in(keys: Path) -> None:
    _, output, _ = run("import", "bids.v2-x", "--plain", "--keys", keys, stdin=KEY)
    assert [line.split() for line in printed_rule(output).splitlines() if "#" not in line] == [
        ["[rule", "bids.v2-x]"],
        ["key", "=", ADDRESS],
        ["users", "=", "root" if os.getuid() == 0 else str(os.getuid())],
        ["accounts", "=", ADDRESS],
        ["markets", "=", "any"],
    ]


@pytest.mark.parametrize("arguments", [["new", "any"], ["import", "bids"]], ids=" ".join)
def test_the_printed_rule_passes_the_check_as_it_stands(keys: Path, tmp_path: Path, arguments: list[str]) -> None:
    _, output, _ = run(*arguments, "--plain", "--keys", keys, stdin=KEY)
    (tmp_path / "policy").write_text(printed_rule(output))
    check = [sys.executable, "-m", "ordersigner", "--check", "--policy", str(tmp_path / "policy"), "--keys", str(keys)]
    checked = subprocess.run(check, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"Rule {arguments[1]}, line 1:" in checked.stdout


def test_by_the_printed_rule_the_daemon_signs_for_the_account_in_it(keys: Path) -> None:
    _, output, _ = run("import", "bids", "--plain", "--keys", keys, stdin=KEY)
    assert list(answer(printed_rule(output), keys)["error"]["context"]) == ["order.accountId"]
    rule = printed_rule(output).replace(
        f"accounts = {ADDRESS}", f"accounts = {EXAMPLE['request']['order']['accountId']}"
    )
    assert answer(rule, keys)["ok"] is True


def answer(rule: str, keys: Path) -> dict[str, Any]:
    """What the daemon answers to this user's order with the only key."""
    reading = reader.read(rule, "policy")
    assert (list(reading.errors), list(reading.warnings)) == ([], [])
    held = keyring.from_directory(str(keys))
    assert held.refused == {}
    (address,) = held.keys
    conversation = Conversation(Service(Journal(3, lambda *_: None), held, reading.policy), Peer(1, os.getuid(), 0))
    request = {**EXAMPLE["request"], "signer": address}
    response: dict[str, Any] = json.loads(conversation.respond(json.dumps(request).encode()))
    return response


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "sealed"])
def test_it_says_where_the_policies_of_venues_are(keys: Path, capsys: pytest.CaptureFixture[str], plain: bool) -> None:
    keytool.explain(directory.Directory(str(keys), plain=plain), "bids", ADDRESS)
    where = "docs/venues" if plain else keytool.VENUES
    assert f"copy a policy from {where}" in capsys.readouterr().out
    if plain:
        assert list((SOURCE / where).glob("*.policy"))
    else:  # packaging/debian/rules copies docs/venues to build/policies
        assert Path(where).name == "policies"
        assert "build/policies" in (SOURCE / "packaging/debian/ordersigner.examples").read_text().split()


@pytest.mark.parametrize(
    "text", [KEY, f"0x{KEY}\n", KEY.upper(), f" {KEY} \r\n"], ids=["plain", "0x", "upper", "blank"]
)
def test_hex_digits_are_imported_from_standard_input(keys: Path, text: str) -> None:
    status, output, errors = run("import", "bids", "--plain", "--keys", keys, stdin=text)
    assert (status, errors) == (0, "")
    assert content(keys) == KEY
    assert ADDRESS in output
    assert KEY not in output


def test_the_input_is_a_file_or_a_dash_for_standard_input(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    assert run("import", "file", tmp_path / "key", "--plain", "--keys", keys, stdin="other")[0] == 0
    assert run("import", "last", "--plain", "--keys", keys, tmp_path / "key", stdin="other")[0] == 0
    assert run("import", "dash", "-", "--plain", "--keys", keys, stdin=KEY)[0] == 0
    assert content(keys, "file") == content(keys, "last") == content(keys, "dash") == KEY


@pytest.mark.parametrize("row", KEYSTORES, ids=lambda row: row["name"])
def test_a_published_keystore_is_imported(keys: Path, row: dict[str, Any]) -> None:
    status, output, errors = with_passphrase(
        row["passphrase"], "import", "bids", "--plain", "--keys", keys, stdin=json.dumps(row["keystore"])
    )
    assert (status, errors) == (0, "")
    assert content(keys) == row["key"]
    assert row["address"] in output
    assert row["key"] not in output


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_a_keystore_of_eth_account_is_imported(keys: Path, tmp_path: Path, kdf: Any) -> None:
    keystore = Account.encrypt(bytes.fromhex(KEY), "pässword", kdf=kdf, iterations=1024)
    (tmp_path / "keystore").write_text(json.dumps(keystore, indent=1))
    status, _, errors = with_passphrase(
        "pässword\n", "import", "bids", tmp_path / "keystore", "--plain", "--keys", keys
    )
    assert (status, errors) == (0, "")
    assert content(keys) == KEY


def test_a_keystore_with_capitals_as_old_programs_wrote_them_is_imported(keys: Path) -> None:
    text = json.dumps(LIGHT["keystore"]).replace('"crypto"', '"Crypto"').replace('"kdfparams"', '"KDFParams"')
    status, _, errors = with_passphrase(LIGHT["passphrase"], "import", "bids", "--plain", "--keys", keys, stdin=text)
    assert (status, errors, content(keys)) == (0, "", LIGHT["key"])


def test_a_backup_opens_with_eth_account_and_with_import(keys: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.json"
    status, output, errors = with_passphrase(
        "correct horse\nnext line", "new", "bids", "--plain", "--keys", keys, "--backup", backup
    )
    assert (status, errors) == (0, "")
    assert f"The backup is {backup}." in output
    assert backup.stat().st_mode & 0o777 == 0o600
    keystore = json.loads(backup.read_text())
    assert keystore["version"] == 3
    assert keystore["crypto"]["kdfparams"].items() >= {"n": 2**18, "r": 8, "p": 1}.items()
    assert bytes(Account.decrypt(keystore, "correct horse")).hex() == content(keys)
    assert with_passphrase("correct horse", "import", "asks", backup, "--plain", "--keys", keys)[0] == 0
    assert content(keys, "asks") == content(keys)
    assert content(keys) not in output + backup.read_text()


@pytest.mark.parametrize("path", MNEMONIC_ADDRESSES)
@pytest.mark.parametrize("spelling", [MNEMONIC, f"\n  {MNEMONIC.replace(' ', '  ')} \n"], ids=["", "with blanks"])
def test_a_mnemonic_is_imported(keys: Path, path: str, spelling: str) -> None:
    arguments = ["import", "bids", "--plain", "--keys", keys, "--derivation-path", path]
    status, output, errors = with_passphrase("", *arguments, stdin=spelling)
    assert (status, errors) == (0, "")
    assert Account.from_key(content(keys)).address == MNEMONIC_ADDRESSES[path]
    assert MNEMONIC_ADDRESSES[path] in output


def test_the_passphrase_of_a_mnemonic_changes_its_key(keys: Path) -> None:
    Account.enable_unaudited_hdwallet_features()
    made, mnemonic = Account.create_with_mnemonic("päss", num_words=24)
    arguments = ["import", "bids", "--plain", "--keys", keys, "--derivation-path", "m/44H/60H/0H/0/0"]
    assert with_passphrase("päss", *arguments, stdin=mnemonic)[0] == 0
    assert content(keys) == bytes(made.key).hex()


# Sealed files


@sealing
def test_a_sealed_key_opens_with_systemd_creds_under_its_own_name_only(keys: Path) -> None:
    status, output, errors = run("import", "bids", "--keys", keys, stdin=KEY)
    assert (status, errors) == (0, "")
    sealed = keys / "bids"
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    assert KEY.encode() not in sealed.read_bytes()
    assert unsealed("bids", sealed).stdout.decode() == KEY
    assert unsealed("asks", sealed).returncode != 0
    for words in (ADDRESS, "systemctl restart ordersigner.service", "'ordersigner@*.service'", "credential.secret"):
        assert words in output


def unsealed(name: str, file: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["systemd-creds", "decrypt", f"--name=key_{name}", str(file), "-"], capture_output=True, check=False
    )


def seal(name: str, text: str, file: Path) -> None:
    subprocess.run(
        ["systemd-creds", "encrypt", "--with-key=host", f"--name=key_{name}", "-", str(file)],
        input=text.encode(),
        check=True,
        stderr=subprocess.DEVNULL,
    )


@sealing
def test_systemd_creds_gets_the_key_on_its_standard_input_only(keys: Path, tmp_path: Path) -> None:
    """A program of that name, earlier on PATH, notes its arguments and environment before it becomes the real one."""
    real = shutil.which("systemd-creds")
    spy = tmp_path / "bin" / "systemd-creds"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$@"; env; }} >>{tmp_path}/seen\nexec {real} "$@"\n')
    spy.chmod(0o755)
    status, _, errors = run("import", "bids", "--keys", keys, stdin=KEY, script=f"PATH={spy.parent}:$PATH")
    assert (status, errors) == (0, "")
    seen = (tmp_path / "seen").read_text()
    assert seen.splitlines()[:5] == ["encrypt", "--with-key=host", "--name=key_bids", "-", "-"]
    assert KEY not in seen.lower()


@sealing
def test_the_list_names_what_cannot_be_used_with_the_reason(keys: Path) -> None:
    keys.mkdir(parents=True)
    seal("good", KEY, keys / "good")
    seal("newline", f"0x{'3' * 64}\n", keys / "newline")
    seal("second", KEY, keys / "second")
    seal("old-name", KEY, keys / "renamed")
    seal("other", "something else", keys / "other")
    seal("zero", "0" * 64, keys / "zero")
    (keys / "empty").touch()
    (keys / "corrupt").write_text((keys / "good").read_text().replace("A", "B"))
    (keys / "folder").mkdir()
    (keys / "a_b\x1b[2J").touch()
    (keys / ".hidden").touch()
    status, output, errors = run("list", "--keys", keys)
    assert (status, errors) == (1, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in output.splitlines()}
    assert set(rows) == {*os.listdir(keys), "a_b?[2J"} - {".hidden", "a_b\x1b[2J"}
    assert rows["good"] == [ADDRESS, "sealed"]
    assert rows["newline"] == [forms.address("3" * 64), "sealed"]
    expected = {
        "a_b?[2J": "its name has other characters than letters, digits, . and -",
        "folder": "it is not a file",
        "other": "it does not hold a private key",
        "renamed": "it was sealed under the name old-name: rename the file to that",
        "second": "it holds the same key as good",
        "zero": "the number is not a private key of secp256k1",
    }
    for name, reason in expected.items():
        assert rows[name] == ["-", f"cannot be used: {reason}"]
    for name in ("empty", "corrupt"):
        assert rows[name][0] == "-"
        assert rows[name][1].startswith("cannot be used: systemd-creds: ")
    assert KEY not in output


@sealing
def test_a_list_of_good_keys_is_status_0(keys: Path) -> None:
    other = "3" * 64
    for name, key in (("bids", KEY), ("b", other)):
        assert run("import", name, "--keys", keys, stdin=key)[0] == 0
    listed = f"b     {forms.address(other)}  sealed\nbids  {ADDRESS}  sealed\n"
    assert run("list", "--keys", keys) == (0, listed, "")


@sealing
def test_a_new_sealed_key_without_a_backup_says_so(keys: Path) -> None:
    status, output, errors = run("new", "bids", "--keys", keys)
    assert (status, errors) == (0, "")
    key = unsealed("bids", keys / "bids").stdout.decode()
    assert Account.from_key(key).address in output
    assert "There is no backup." in output
    assert "If that file is lost, so are all sealed keys" in output


@sealing
def test_where_sealing_fails_there_is_neither_a_key_nor_a_backup(keys: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with descriptor("a passphrase") as number:
        status, output, errors = run(
            *("new", "bids", "--keys", keys, "--backup", backup, "--passphrase-fd", str(number)),
            script="PATH=/nonexistent",
            pass_fds=[number],
        )
    assert (status, output) == (1, "")
    assert errors == "ordersigner-keys: systemd-creds is missing: it comes with systemd 250 and later\n"
    assert not keys.exists()
    assert not backup.exists()


def test_sealed_keys_are_for_root(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("this is root")
    status, output, errors = run("list", "--keys", tmp_path)
    assert (status, output) == (1, "")
    assert errors == "ordersigner-keys: sealed keys are for root: run it with sudo, or use --plain\n"


# At a terminal


def test_at_a_terminal_a_key_is_asked_for_and_not_shown(keys: Path) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.type(KEY, at="in one line: ")
        assert terminal.end() == 0
        assert KEY not in terminal.seen
        assert ADDRESS in terminal.seen
        assert terminal.shows_what_is_typed()
    assert content(keys) == KEY


def test_at_a_terminal_a_mnemonic_its_path_and_its_passphrase_are_asked_for(keys: Path) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.type(MNEMONIC, at="in one line: ")
        terminal.type("", at="Derivation path [m/44'/60'/0'/0/0]: ")
        terminal.type("", at="Passphrase of the mnemonic (empty if it has none): ")
        assert terminal.end() == 0
        assert "junk" not in terminal.seen
    assert Account.from_key(content(keys)).address == MNEMONIC_ADDRESSES["m/44'/60'/0'/0/0"]


def test_at_a_terminal_the_passphrase_of_a_keystore_is_asked_for_and_not_shown(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "keystore").write_text(json.dumps(LIGHT["keystore"]))
    with Terminal("import", "bids", tmp_path / "keystore", "--plain", "--keys", keys) as terminal:
        terminal.type(LIGHT["passphrase"], at="Passphrase of the keystore: ")
        assert terminal.end() == 0
        assert LIGHT["passphrase"] not in terminal.seen
    assert content(keys) == LIGHT["key"]


def test_at_a_terminal_the_passphrase_of_a_backup_is_asked_for_twice(keys: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    for again, expected in (("another", 1), ("secret words", 0)):
        with Terminal("new", "bids", "--plain", "--keys", keys, "--backup", backup) as terminal:
            terminal.type("secret words", at="Passphrase for the backup: ")
            terminal.type(again, at="The same again: ")
            assert terminal.end() == expected
            assert "secret words" not in terminal.seen
            assert ("the two passphrases differ" in terminal.seen) == bool(expected)
        assert backup.exists() == keys.exists() == (not expected)
    assert bytes(Account.decrypt(json.loads(backup.read_text()), "secret words")).hex() == content(keys)


def test_at_a_terminal_a_passphrase_is_utf_8_in_every_locale(keys: Path, tmp_path: Path) -> None:
    keystore = Account.encrypt(bytes.fromhex(KEY), "pässword", kdf="pbkdf2", iterations=1)
    (tmp_path / "keystore").write_text(json.dumps(keystore))
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with Terminal("import", "bids", tmp_path / "keystore", "--plain", "--keys", keys, **ascii_only) as terminal:
        terminal.type("pässword", at="Passphrase of the keystore: ")
        assert terminal.end() == 0
    assert content(keys) == KEY


@pytest.mark.parametrize("text", ["", KEY])
def test_input_that_ends_before_its_line_does_is_not_taken(keys: Path, text: str) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.expect("in one line: ")
        terminal.end_input(text)
        assert terminal.end() == 1
        assert "ordersigner-keys: nothing was typed" in terminal.seen
        assert KEY not in terminal.seen
        assert terminal.shows_what_is_typed()
    assert not keys.exists()


def test_what_is_pasted_after_the_line_is_not_left_for_the_shell(keys: Path) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.type(f"{KEY}\nrm nothing", at="in one line: ")
        assert terminal.end() == 0
        assert terminal.shows_what_is_typed()
        assert terminal.unread() == 0


def test_an_interrupt_at_a_prompt_leaves_no_key_and_the_terminal_as_it_was(keys: Path) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.expect("in one line: ")
        assert not terminal.shows_what_is_typed()
        terminal.interrupt()
        assert terminal.end() == -signal.SIGINT
        assert terminal.shows_what_is_typed()
        assert "Traceback" not in terminal.seen
    assert not keys.exists()


def test_while_it_waits_its_memory_is_closed(keys: Path) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.expect("in one line: ")
        limits = Path(f"/proc/{terminal.process.pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


@pytest.mark.parametrize(("answer", "kept"), [("", True), ("n", True), ("y", False), ("YES", False)])
def test_remove_asks(keys: Path, answer: str, kept: bool) -> None:
    put(keys)
    with Terminal("remove", "bids", "--plain", "--keys", keys) as terminal:
        terminal.type(answer, at=f"The key bids ({ADDRESS})")
        assert terminal.end() == int(kept)
        assert ("the key bids is kept" in terminal.seen) == kept
        assert ("Remove it from the rules" in terminal.seen) != kept
    assert (keys / "bids").exists() == kept


def test_remove_with_yes_asks_nothing(keys: Path) -> None:
    put(keys)
    (keys / "broken").touch()
    for name, account in (("bids", ADDRESS), ("broken", "an unknown address: ")):
        status, output, errors = run("remove", name, "--yes", "--plain", "--keys", keys)
        assert (status, errors) == (0, "")
        assert output.startswith(f"Removed the key {name} ({account}")
    assert os.listdir(keys) == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "instead"),
    [
        (["remove", "here"], "", "--yes"),
        (["new", "bids", "--backup", "backup"], "", "--passphrase-fd"),
        (["import", "bids"], json.dumps(LIGHT["keystore"]), "--passphrase-fd"),
        (["import", "bids"], MNEMONIC, "--derivation-path"),
        (["import", "bids", "--derivation-path", "m/0"], MNEMONIC, "--passphrase-fd"),
    ],
    ids=["remove", "backup", "keystore", "path", "mnemonic"],
)
def test_without_a_terminal_the_option_to_use_is_named(
    keys: Path, arguments: list[str], stdin: str, instead: str
) -> None:
    put(keys, "here")
    status, output, errors = run(*arguments, "--plain", "--keys", keys, stdin=stdin)
    assert (status, output) == (1, "")
    assert errors == f"ordersigner-keys: there is no terminal to ask at: use {instead}\n"
    assert os.listdir(keys) == ["here"]


# Refusals


def wrong(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The last line that is written about wrong arguments."""
    with pytest.raises(SystemExit) as ended:
        keytool.main([*map(str, arguments)])
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    assert KEY not in errors
    assert MNEMONIC.split()[-1] not in errors
    return errors.splitlines()[-1]


def keystore(**changes: Any) -> str:
    return json.dumps({**LIGHT["keystore"], **changes})


def crypto(**changes: Any) -> str:
    return keystore(crypto={**LIGHT["keystore"]["crypto"], **changes})


def kdfparams(kdf: str = "scrypt", **changes: Any) -> str:
    return crypto(kdf=kdf, kdfparams={**LIGHT["keystore"]["crypto"]["kdfparams"], **changes})


NEITHER = "this is neither 64 hex digits nor a version 3 keystore nor a mnemonic of 12 to 24 words with blanks between"
NO_KEY = "the number is not a private key of secp256k1"
NO_VERSION = "this is not a keystore of version 3: import takes no other version"
NO_JSON = "this begins like JSON, and is not: see line 1, column "
TOO_MUCH = "the passphrase of this keystore takes too much memory or time to check: see its crypto.kdfparams "
ANOTHER_PASSPHRASE = "the passphrase does not open this keystore: it is another one, or the file was changed"
CHECK = "each of these words is in the list, but together they do not pass the check of BIP-39: "
REFUSED: dict[str, tuple[str, str]] = {
    "no key at all": ("hello world", NEITHER),
    "63 digits": (KEY[1:], "a private key has 64 hex digits, and this has 63"),
    "zero": ("0" * 64, NO_KEY),
    "the order": (f"{forms.ORDER:064x}", NO_KEY),
    "an unfinished object": (keystore()[:-1], "this JSON ends too early"),
    "a key after the object": (keystore() + KEY, NO_JSON),
    "nested too deep": ('{"a":' * 9000, "this "),
    "too long a number": ('{"version": ' + "3" * 9000 + "}", "this "),
    "a list in the end": ('{"version": 3} []', NO_JSON),
    "an empty object": ("{}", "this is JSON, and no keystore: a keystore has the fields version and crypto"),
    "no version": (
        json.dumps({"crypto": LIGHT["keystore"]["crypto"]}),
        "this keystore is not complete: it has no version",
    ),
    "version 1": (
        keystore(version="1"),
        "this is a keystore of version 1: `geth account update` turns it into one of version 3",
    ),
    "version 4": (keystore(version=4), "this is a keystore of version 4, which holds the key of a validator"),
    "version true": (keystore(version=True), NO_VERSION),
    "version 3.5": (keystore(version=3.5), NO_VERSION),
    "no crypto": ('{"version": 3}', "this is JSON, and no keystore: a keystore has the fields version and crypto"),
    "crypto is a text": (keystore(crypto="text"), "this keystore is not complete: it has no crypto.kdf"),
    "address is a number": (
        keystore(address=1),
        "this keystore cannot be opened: its address must be hex digits for 20 bytes",
    ),
    "no iv": (crypto(cipherparams={}), "this keystore is not complete: it has no crypto.cipherparams.iv"),
    "another cipher": (
        crypto(cipher="aes-128-cbc"),
        "this keystore cannot be opened: its crypto.cipher is aes-128-cbc, and must be aes-128-ctr",
    ),
    "a key as cipher": (crypto(cipher=KEY), "this keystore cannot be opened: its crypto.cipher is something else"),
    "a text of no hex": (
        crypto(ciphertext="zz"),
        "this keystore cannot be opened: its crypto.ciphertext must be hex digits",
    ),
    "another kdf": (
        kdfparams("argon2"),
        "this keystore cannot be opened: its crypto.kdf is argon2, and must be scrypt or pbkdf2",
    ),
    "n is a word": (kdfparams(n="x"), "this keystore cannot be opened: its crypto.kdfparams.n must be a whole number"),
    "n is true": (kdfparams(n=True), "this keystore cannot be opened: its crypto.kdfparams.n must be a whole number"),
    "n is negative": (kdfparams(n=-8), "this keystore cannot be opened: its crypto.kdfparams.n must be 1 to"),
    "n is odd": (kdfparams(n=9), "this keystore cannot be opened: its crypto.kdfparams.n must be a power of 2"),
    "too much memory": (kdfparams(n=2**40), TOO_MUCH + "n, r and p"),
    "too much time": (kdfparams(p=2**30), TOO_MUCH + "n, r and p"),
    "too many iterations": (kdfparams("pbkdf2", c=2**40, prf="hmac-sha256"), TOO_MUCH + "c"),
    "another prf": (
        kdfparams("pbkdf2", c=1, prf="hmac-sha1"),
        "this keystore cannot be opened: its crypto.kdfparams.prf is hmac-sha1, and must be hmac-sha256 or hmac-sha512",
    ),
    "too short a derived key": (
        kdfparams(dklen=16),
        "this keystore cannot be opened: its crypto.kdfparams.dklen must be 32 to 64",
    ),
    "another mac": (crypto(mac="00" * 32), ANOTHER_PASSPHRASE),
    "another address": (
        keystore(address=ADDRESS[2:]),
        "the keystore holds the key of another address than it says",
    ),
    "a field twice": (
        json.dumps({**LIGHT["keystore"], "Crypto": LIGHT["keystore"]["crypto"]}),
        "this JSON has two fields of the same name in one object: remove the one that is wrong",
    ),
    "a mnemonic with a wrong check": (MNEMONIC.replace("junk", "test"), CHECK),
    "a mnemonic with a wrong word": (
        MNEMONIC.replace("junk", "secretword"),
        "word 12 is not in the list of the language, English: check the spelling",
    ),
    "a mnemonic of 13 words": (MNEMONIC + " test", "a mnemonic has 12, 15, 18, 21 or 24 words, and these are 13"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_input_without_a_key_is_refused_with_a_reason_that_does_not_repeat_it(case: str) -> None:
    text, reason = REFUSED[case]
    assert refusal_of(text, LIGHT["passphrase"]).startswith(reason)


def refusal_of(text: str, passphrase: str) -> str:
    """The reason for which `import` refuses the text."""
    with descriptor(passphrase) as number:
        arguments = keytool.parser().parse_args(["import", "bids", "--passphrase-fd", str(number)])
        with pytest.raises(Problem) as refused:
            keytool.read_key(text, arguments)
    return str(refused.value)


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [
        (KEY[1:], "a private key has 64 hex digits, and this has 63"),
        (b"\xff" + KEY.encode(), "this is not UTF-8 text"),
        ("0" * 65537, "the input is longer than 65,536 bytes"),
    ],
)
def test_a_refusal_is_one_line_with_status_1(keys: Path, stdin: str | bytes, reason: str) -> None:
    status, output, errors = run("import", "bids", "--plain", "--keys", keys, stdin=stdin)
    assert (status, output, errors) == (1, "", f"ordersigner-keys: {reason}\n")
    assert not keys.exists()


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (b"\0" * 32, NO_KEY),
        (b"\xff" * 32, NO_KEY),
        (b"\1" * 33, "this keystore holds 33 bytes, and a private key has 32"),
        (b"", "this keystore cannot be opened: its crypto.ciphertext must be hex digits"),
    ],
    ids=["zero", "too much", "too long", "empty"],
)
def test_a_keystore_whose_content_is_no_key_is_refused(secret: bytes, reason: str) -> None:
    """The passphrase and the encryption are right."""
    derived = hashlib.pbkdf2_hmac("sha256", b"words", b"salt", 1, 32)
    cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=1)
    ciphertext = cipher.encrypt(secret)
    text = keystore(
        address="",
        crypto={
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": f"{1:032x}"},
            "ciphertext": ciphertext.hex(),
            "kdf": "pbkdf2",
            "kdfparams": {"c": 1, "dklen": 32, "prf": "hmac-sha256", "salt": b"salt".hex()},
            "mac": keccak_256(derived[16:] + ciphertext).hex(),
        },
    )
    assert refusal_of(text, "words").startswith(reason)


@pytest.mark.parametrize("text", [KEY, keystore()])
def test_a_derivation_path_for_anything_but_a_mnemonic_is_refused(keys: Path, text: str) -> None:
    arguments = ["import", "bids", "--plain", "--keys", keys, "--derivation-path", "m/0"]
    status, _, errors = run(*arguments, stdin=text)
    assert (status, errors) == (1, "ordersigner-keys: --derivation-path is for a mnemonic, and this is not one\n")
    assert not keys.exists()


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a b", "a_b", "ä", "x" * 65, "a\n"])
@pytest.mark.parametrize("command", ["new", "import", "remove"])
def test_a_name_with_other_characters_is_refused(capsys: pytest.CaptureFixture[str], command: str, name: str) -> None:
    reason = "argument NAME: expected up to 64 letters, digits, . and -, with a letter or a digit first"
    assert wrong(capsys, command, name) == f"ordersigner-keys {command}: error: {reason}"


def test_the_longest_name_is_taken(keys: Path) -> None:
    name = "0" + "a.-Z" * 15 + "xyz"
    assert len(name) == 64
    assert run("import", name, "--plain", "--keys", keys, stdin=KEY)[0] == 0
    assert content(keys, name) == KEY


@pytest.mark.parametrize(
    "arguments",
    [
        [KEY],
        ["new", KEY],
        ["new", "0x" + KEY],
        ["remove", KEY],
        ["import", KEY],
        ["import", "bids", KEY],
        ["import", "bids", "--plain", KEY],
        ["import", "bids", "--plain", "--keys", "keys", "file", KEY],
        ["import", "bids", "file", KEY],
        ["import", "bids", "file", *MNEMONIC.split()],
        ["import", "bids", "--derivation-path", KEY],
        ["import", "bids", "--passphrase-fd", KEY],
        ["import", "bids", f"--key={KEY}"],
        ["import", "bids", f"--plain={KEY}"],
        ["import", "bids", f"--p={KEY}"],
        ["list", KEY],
        ["list", "--keys", KEY],
        ["new", "bids", "--backup", KEY],
    ],
)
def test_a_secret_in_an_argument_is_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert wrong(capsys, *arguments).startswith("ordersigner-keys")


@pytest.mark.parametrize(
    "secret",
    [
        "0X" + KEY,
        KEY[1:],
        KEY + "0",
        KEY * 2,
        f"KEY=0x{KEY}",
        f"export PRIVATE_KEY='{KEY}'",
        MNEMONIC,
        MNEMONIC.replace(" ", "\n"),
        "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
        "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    ],
)
@pytest.mark.parametrize("before", [["import", "bids"], ["import", "bids", "--plain"], ["new", "bids", "--backup"]])
def test_any_form_of_a_secret_in_place_of_a_file_is_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], before: list[str], secret: str
) -> None:
    with pytest.raises(SystemExit):
        keytool.main([*before, secret])
    output, errors = capsys.readouterr()
    assert output == ""
    assert keytool.A_KEY in errors
    assert not any(part in errors for part in (KEY[1:], "junk", secret))


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("lst", "did you mean list?"),
        ("imprt", "did you mean import?"),
        ("delete", "choose from new, import, list, remove"),
        (MNEMONIC, "choose from new, import, list, remove"),
    ],
)
def test_a_command_that_is_none_names_the_nearest_and_is_not_repeated(
    capsys: pytest.CaptureFixture[str], typed: str, hint: str
) -> None:
    line = wrong(capsys, typed)
    assert line == f"ordersigner-keys: error: argument COMMAND: invalid choice: {hint}"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["list", "--plan"], "--plain"),
        (["new", "bids", "--bakcup=x"], "--backup"),
        (["import", "bids", "x", "--derivation", "m/0"], "--derivation-path"),
        (["remove", "bids", "--yess"], "--yes"),
    ],
)
def test_an_option_that_is_none_names_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: list[str], meant: str
) -> None:
    assert wrong(capsys, *arguments) == f"ordersigner-keys: error: there is no such option: did you mean {meant}?"


def test_the_options_for_hints_are_those_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in keytool.COMMANDS:
        with pytest.raises(SystemExit):
            keytool.main([command, "--help"])
    assert {*re.findall(r"--[a-z-]+", capsys.readouterr().out)} - {"--help"} == {*keytool.OPTIONS}


@pytest.mark.parametrize("path", ["", "m", "m/", "0/0", "m/x", "m/0''", "m/2147483648", "m/-1", "m/0/", "M/0"])
def test_a_derivation_path_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], path: str) -> None:
    reason = "argument --derivation-path: expected a path such as m/44'/60'/0'/0/0"
    assert wrong(capsys, "import", "bids", f"--derivation-path={path}").endswith(reason)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["list", "--plain"], "--plain needs --keys DIR: the default directory is for sealed keys"),
        (["new", "bids", "--passphrase-fd", "0"], "--passphrase-fd is for --backup FILE"),
        (
            ["import", "bids", "--passphrase-fd", "0"],
            "standard input cannot hold both the key and the passphrase: name a FILE",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert wrong(capsys, *arguments) == f"ordersigner-keys: error: {reason}"


@pytest.mark.parametrize("arguments", [["new", "bids"], ["import", "bids"]], ids=" ".join)
@pytest.mark.parametrize("existing", ["file", "link", "directory"])
def test_an_existing_key_is_never_replaced(keys: Path, arguments: list[str], existing: str) -> None:
    keys.mkdir(parents=True)
    if existing == "file":
        (keys / "bids").write_text("before")
    elif existing == "link":
        (keys / "bids").symlink_to(keys / "nothing")
    else:
        (keys / "bids").mkdir()
    status, output, errors = run(*arguments, "--plain", "--keys", keys, stdin=KEY)
    assert (status, output) == (1, "")
    assert errors == ("ordersigner-keys: there is a key bids already: choose another name, or remove that key first\n")
    assert os.listdir(keys) == ["bids"]
    assert existing != "file" or content(keys) == "before"


def test_a_key_that_appears_meanwhile_is_not_replaced(keys: Path) -> None:
    with Terminal("import", "bids", "--plain", "--keys", keys) as terminal:
        terminal.expect("in one line: ")
        keys.mkdir(parents=True)
        (keys / "bids").write_text("before")
        terminal.type(KEY, at="in one line: ")
        assert terminal.end() == 1
        assert "there is a key bids already" in terminal.seen
    assert os.listdir(keys) == ["bids"]
    assert content(keys) == "before"


def test_an_existing_file_is_never_replaced_by_a_backup(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("before")
    status, _, errors = with_passphrase(
        "several words", "new", "bids", "--plain", "--keys", keys, "--backup", tmp_path / "backup"
    )
    assert (status, errors) == (1, f"ordersigner-keys: {tmp_path}/backup: File exists\n")
    assert (tmp_path / "backup").read_text() == "before"
    assert not keys.exists()


SHORT = "the passphrase of a backup needs at least 12 characters"


def test_where_no_backup_can_be_written_no_key_is_made(keys: Path, tmp_path: Path) -> None:
    for passphrase, reason in (
        ("several words", f"{tmp_path}/none/backup: No such file or directory"),
        ("", f"{SHORT}: anyone who finds the file can try passphrases until one fits"),
        ("11 letters.", f"{SHORT}: anyone who finds the file can try passphrases until one fits"),
        ("\xff" * 33000, "the passphrase is longer than 65,536 bytes"),
    ):
        arguments = ["new", "bids", "--plain", "--keys", keys, "--backup", tmp_path / "none/backup"]
        (tmp_path / "passphrase").write_text(passphrase)
        status, output, errors = run(*arguments, "--passphrase-fd", "9", script=f"exec 9<{tmp_path}/passphrase")
        assert (status, output, errors) == (1, "", f"ordersigner-keys: {reason}\n")
        assert not keys.exists()


def test_a_write_that_fails_leaves_nothing(keys: Path) -> None:
    status, output, errors = run("import", "bids", "--plain", "--keys", keys, stdin=KEY, preexec_fn=no_large_files)
    assert (status, output) == (1, "")
    assert errors == f"ordersigner-keys: {keys}/bids: File too large\n"
    assert os.listdir(keys) == []


def test_a_file_system_without_links_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a memory stick, where link() fails with this error."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    directory.write(tmp_path / "backup", b"first")
    with pytest.raises(FileExistsError):
        directory.write(tmp_path / "backup", b"second")
    assert (tmp_path / "backup").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["backup"]


def no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


def test_a_write_error_of_the_output_is_reported(keys: Path) -> None:
    status, _, errors = run("import", "bids", "--plain", "--keys", keys, stdin=KEY, script="exec >/dev/full")
    assert (status, errors) == (1, "ordersigner-keys: standard output: No space left on device\n")
    assert content(keys) == KEY


def test_files_that_cannot_be_read_are_named(keys: Path, tmp_path: Path) -> None:
    for file, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        status, output, errors = run("import", "bids", file, "--plain", "--keys", keys)
        assert (status, output, errors) == (1, "", f"ordersigner-keys: {file}: {reason}\n")
    arguments = ["import", "bids", "--plain", "--keys", keys]
    assert run(*arguments, script="exec <&-") == (
        1,
        "",
        "ordersigner-keys: standard input: Bad file descriptor\n",
    )
    status, _, errors = run(*arguments, "--passphrase-fd", "77", stdin=keystore())
    assert (status, errors) == (1, "ordersigner-keys: --passphrase-fd 77: Bad file descriptor\n")
    (tmp_path / "file").touch()
    status, _, errors = run("list", "--plain", "--keys", tmp_path / "file")
    assert (status, errors) == (1, f"ordersigner-keys: {tmp_path}/file: Not a directory\n")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("before", ["", "0x", "0X", " "])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \t\r\n\n", "\n" * 64, "\n" * 65, "\n" * 4032, "\n0"])
def test_the_tool_reads_exactly_the_files_that_the_daemon_takes(keys: Path, mark: str, before: str, end: str) -> None:
    put(keys, "bids", f"{mark}{before}{KEY}{end}")
    taken = keyring.from_directory(str(keys)).keys.keys()
    try:
        read = {forms.address(directory.Directory(str(keys), plain=True).read("bids")).lower()}
    except Problem:
        read = set()
    assert read == taken
    assert bool(read) == (before != " " and len(end) <= 64 and "0" not in end)


def test_a_plain_list_names_what_the_daemon_does_not_take(keys: Path) -> None:
    put(keys, "good")
    put(keys, "open")
    (keys / "open").chmod(0o640)
    put(keys, "other", KEY[1:])
    put(keys, "twice")
    assert run("list", "--plain", "--keys", keys) == (
        1,
        (
            f"good   {ADDRESS}  plain\n"
            f"open   {'-':42}  cannot be used: others may read it: chmod 600 {keys}/open\n"
            f"other  {'-':42}  cannot be used: it does not hold a private key\n"
            f"twice  {'-':42}  cannot be used: it holds the same key as good\n"
        ),
        "",
    )


@pytest.mark.parametrize("kind", [["--plain"], pytest.param([], marks=sealing)], ids=["plain", "sealed"])
def test_a_list_of_nothing_says_so(keys: Path, kind: list[str]) -> None:
    status, output, errors = run("list", *kind, "--keys", keys)
    assert (status, output, errors) == (1, "", f"ordersigner-keys: there is no directory {keys}\n")
    keys.mkdir(parents=True)
    reason = f"there are no keys in {keys}: ordersigner-keys new NAME makes one"
    assert run("list", *kind, "--keys", keys) == (0, "", f"ordersigner-keys: {reason}\n")


def test_before_the_first_key_there_is_no_default_directory_and_that_is_no_error(
    keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keytool, "KEYS", str(keys))
    arguments = keytool.parser().parse_args(["list", "--keys", str(keys)])
    assert keytool.list_keys(directory.Directory(str(keys), plain=False), arguments) == 0
    assert capsys.readouterr() == (
        "",
        f"ordersigner-keys: there are no keys in {keys}: ordersigner-keys new NAME makes one\n",
    )


def test_a_key_that_is_not_there_cannot_be_removed(keys: Path) -> None:
    status, output, errors = run("remove", "bids", "--yes", "--plain", "--keys", keys)
    assert (status, output, errors) == (
        1,
        "",
        f"ordersigner-keys: there is no key bids in {keys}: see ordersigner-keys list\n",
    )
    put(keys, "bid")
    _, _, errors = run("remove", "bids", "--yes", "--plain", "--keys", keys)
    assert errors == f"ordersigner-keys: there is no key bids in {keys}: did you mean bid?\n"
    assert os.listdir(keys) == ["bid"]


def test_an_unexpected_error_is_reported_without_its_text(keys: Path) -> None:
    program = """
import sys
from ordersigner.keytool import forms
from ordersigner.keytool.main import main

def broken(key):
    raise ValueError(f"The value {key} is wrong")

forms.address = broken
sys.exit(main())
"""
    arguments = ["import", "bids", "--plain", "--keys", str(keys)]
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=SOURCE, input=KEY, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.fullmatch(r"ordersigner-keys: internal error: ValueError; run:\d+, .*broken:\d+\n", ended.stderr)


@pytest.mark.parametrize("arguments", [["import"], ["import", "bids"], ["new"], ["import", "--plain", "--keys", "."]])
def test_the_words_of_a_mnemonic_as_arguments_are_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit):
        keytool.main([*arguments, *MNEMONIC.split()])
    output, errors = capsys.readouterr()
    assert output == ""
    assert keytool.A_KEY in errors
    assert "junk" not in errors


def test_no_command_at_all_names_the_commands() -> None:
    status, _, errors = run()
    assert status == 2
    assert errors.endswith("required: COMMAND: choose from new, import, list, remove\n")


def test_an_interrupt_while_the_tool_starts_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "eth_account.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    ended = subprocess.run(
        [sys.executable, "-m", "ordersigner.keytool", "list"], env=environment, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (forms.INTERRUPTED, b"", b"")


# The daemon, the documentation and the packages


def test_the_daemon_imports_neither_the_tool_nor_eth_account(tmp_path: Path) -> None:
    """From its start to its end, with a signature in between."""
    path = str(tmp_path / "socket")
    start = [sys.executable, "-X", "importtime", "-m", "ordersigner", "--socket", path]
    with running(start, tmp_path, path) as daemon:
        wait_until(lambda: listens(path))
        assert daemon.ask(EXAMPLE_LINE) == EXAMPLE_RESPONSE
        assert daemon.stop() == 0
        imported = set(re.findall(r"^import time:.*\| +(\S+)$", daemon.log, re.MULTILINE))
    assert {"ordersigner.signing.conversation", "coincurve"} <= imported
    assert [name for name in imported if name.startswith(("eth_", "ordersigner.keytool"))] == []


def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    declared = re.search(r'"ordersigner-keys = (\S+):(\S+)"', (SOURCE / "setup.py").read_text())
    assert declared
    program = f"import sys, {declared[1]}; sys.exit({declared[1]}.{declared[2]}())"
    command = [sys.executable, "-c", program, "list", "--plain", "--keys", str(tmp_path)]
    ended = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == run("list", "--plain", "--keys", tmp_path)


def test_it_tells_its_version() -> None:
    assert run("--version") == (0, f"ordersigner-keys {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help_goes_to_standard_output_with_status_0(arguments: list[str]) -> None:
    status, output, errors = run(*arguments, "--help")
    assert (status, errors) == (0, "")
    assert output.startswith(" ".join(["usage: ordersigner-keys", *arguments]))
