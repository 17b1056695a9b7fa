"""The keys of a daemon as files in a directory, sealed with systemd's secret of this host, or plain.

In: a key and its name. Out: a file of mode 0600 that is complete or does not exist, and the key back from it. Raises
Problem, and OSError with the file's name. A key goes to systemd-creds on its standard input, never in an argument.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

from ordersigner.keytool.forms import checked
from ordersigner.keytool.problem import Problem
from ordersigner.text import UTF_16, is_utf_16, similar

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")  # the policy's limit, and no hidden file


class Directory:
    """The keys of a daemon, each in a file that has its name.

    plain: the files are 64 hex digits, for `ordersignerd --keys`. Otherwise they are sealed as systemd's credentials.
    """

    def __init__(self, path: str, *, plain: bool) -> None:
        self.path = Path(path)
        self.plain = plain

    def names(self) -> list[str]:
        """All files but hidden ones, including those that cannot be used."""
        try:
            return sorted(entry for entry in os.listdir(self.path) if not entry.startswith("."))
        except FileNotFoundError:
            return []

    def check_free(self, name: str) -> None:
        if os.path.lexists(self.path / name):
            raise Problem(f"there is a key {name} already: choose another name, or remove that key first")

    def check_present(self, name: str) -> None:
        if not os.path.lexists(self.path / name):
            near = similar(name, self.names())
            hint = f": did you mean {near}?" if near else ": see ordersigner-keys list"
            raise Problem(f"there is no key {name} in {self.path}{hint}")

    def add(self, name: str, key: str) -> None:
        """Never replaces a file, and never leaves part of one."""
        content = key.encode() if self.plain else _systemd_creds("encrypt", name, "-", key.encode())
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            write(self.path / name, content)
        except FileExistsError:
            self.check_free(name)
            raise

    def read(self, name: str) -> str:
        """The key. All that keeps the daemon from using it is a Problem."""
        if not NAME.fullmatch(name):
            raise Problem("its name has other characters than letters, digits, . and -")
        file = self.path / name
        if not file.is_file():
            raise Problem("it is not a file")
        if self.plain:
            try:
                content = file.read_bytes()
                open_to_others = file.stat().st_mode & 0o077
            except OSError as error:
                raise Problem(str(error.strerror)) from None
            if open_to_others:
                raise Problem(f"others may read it: chmod 600 {file}")
        else:
            content = _systemd_creds("decrypt", name, str(file))
        # Exactly what the daemon takes.
        digits = re.fullmatch(rb"(?:\xef\xbb\xbf)?(?:0[xX])?([0-9A-Fa-f]{64})[ \t\r\n]{0,64}", content)
        if is_utf_16(content):
            raise Problem(UTF_16)
        if not digits:
            raise Problem("it does not hold a private key")
        return checked(digits[1].decode())

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


def write(file: Path, content: bytes) -> None:
    """Write a new file of mode 0600 that is complete or does not exist. Raises OSError, including when it exists."""
    part = file.with_name(f".{file.name}.{os.getpid()}")  # hidden, so that readers of the directory skip it
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(descriptor)
            try:
                os.link(part, file)  # unlike a rename, this never replaces a file
            except PermissionError:  # a file system without links, as on many memory sticks
                if os.path.lexists(file):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
                part.rename(file)
        finally:
            part.unlink(missing_ok=True)
        parent = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(parent)  # only then is the name on the disk too
        finally:
            os.close(parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None


def _systemd_creds(verb: str, name: str, source: str, content: bytes = b"") -> bytes:
    """What systemd-creds makes of a file, or for "-" of `content`. Raises Problem with its reason."""
    # The key of the host: the default on a machine with a TPM depends on its state, and is lost when that changes.
    with_key = ["--with-key=host"] if verb == "encrypt" else []
    command = ["systemd-creds", verb, *with_key, f"--name=key_{name}", source, "-"]
    try:
        ended = subprocess.run(command, input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise Problem("systemd-creds is missing: it comes with systemd 250 and later") from None
    if ended.returncode != 0:
        sealed_as = re.search(rb"name 'key_([^']+)' does not match", ended.stderr)
        if sealed_as:
            sealed_name = sealed_as[1].decode(errors="replace")
            raise Problem(f"it was sealed under the name {sealed_name}: rename the file to that")
        reasons = ended.stderr.decode(errors="replace").strip().splitlines() or [f"status {ended.returncode}"]
        raise Problem(f"systemd-creds: {reasons[-1]}")
    return ended.stdout
