"""Input for commands that publish: packages that are as small as possible, and homes of gpg with keys."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

TOOLS = ("apt-ftparchive", "dpkg-deb", "gpg", "gpg-agent", "gpgv")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]


@contextlib.contextmanager
def gpg_home(*users: str) -> Iterator[Path]:
    """A home of gpg with a key for each user. Its path is short: gpg-agent has sockets in it."""
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        for user in users:
            gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
            subprocess.run([*gpg, "--quick-generate-key", user, "ed25519", "sign", "1d"], check=True)
        yield Path(home)
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def package(
    directory: Path, suite: str, architecture: str, version: str = "1.0", about: str = "test", name: str = "a"
) -> None:
    """Put a package into a directory like those of packaging/debian/build."""
    content = directory / "content"
    (content / "DEBIAN").mkdir(parents=True)
    fields = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: a <a@example.org>\n"
    (content / "DEBIAN/control").write_text(f"{fields}Description: {about}\n")
    (directory / suite).mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--build", str(content), str(directory / suite)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(content)
