"""Debian 13 with its own Node, Go, Rust and shell, in a tree in which programs run without a network.

In: files, and a command. Out: its output. Raises Unavailable without root or without the tools that make the tree. The
tree, and what npm installs, are kept in .cache/examples.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.daemon import SOURCE

NODE = Path(__file__).parent / "node"
CACHE = SOURCE / ".cache/examples"
PACKAGES = ("golang-go", "jq", "netcat-openbsd", "nodejs", "rustc", "socat")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")  # files that no program needs to run
MAKE = [
    *("mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}"),
    *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
    *("--customize-hook=mkdir $1/project", "trixie"),
]
TOOLS = {"mmdebstrap": "mmdebstrap", "npm": "npm"}  # command: its Debian package
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/project",
    "LANG": "C.UTF-8",
    "GOROOT": "/usr/lib/go",
    "CGO_ENABLED": "0",
}
ENTER = """
mount --bind "$2" "$1/project"
mount --bind -o ro "$3" "$1/project/node_modules"
mount -t proc proc "$1/proc"
shift 3
exec "$@"
"""


class Unavailable(Exception):
    """This host cannot make the tree."""


class Toolchain:
    """The tree. `directory` on the host is /project inside, where node_modules is. What is put there can be run."""

    def __init__(self, directory: Path) -> None:
        check_host()
        CACHE.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        directory.chmod(0o755)
        self._tree = _made("tree", " ".join(MAKE), _make_tree)
        self._modules = modules()
        (directory / "node_modules").mkdir()

    def put(self, *files: Path) -> None:
        for file in files:
            shutil.copy(file, self.directory)

    def started(self, *command: str, socket: str = "", user: int = 0) -> subprocess.Popen[str]:
        """A process in the tree, with pipes. It ends with this one. socket: for ORDERSIGNER_SOCKET."""
        enter = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-euc", ENTER, "sh"]
        inside = ["chroot", f"--userspec={user}:{user}", str(self._tree), "sh", "-c", 'cd /project && exec "$@"', "sh"]
        return subprocess.Popen(
            [*enter, str(self._tree), str(self.directory), str(self._modules), *inside, *command],
            env={**ENVIRONMENT, "ORDERSIGNER_SOCKET": socket},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, socket: str = "", user: int = 0, input: str = "", status: int = 0) -> str:
        """The output of a command, with its standard error. Another exit status than `status` fails the test."""
        with self.started(*command, socket=socket, user=user) as process:
            output, _ = process.communicate(input, 300)
        assert process.returncode == status, f"{' '.join(command)}: status {process.returncode}\n{output}"
        return output


def modules() -> Path:
    """node_modules with what tests/examples/node has locked. This needs npm, and no root."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return _made("node", (NODE / "package-lock.json").read_text(), _install_modules) / "node_modules"


def check_host() -> None:
    """Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("needs root, to make an installation of Debian 13")
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"needs more tools: apt-get install {' '.join(missing)}")


def _made(name: str, recipe: str, make: Callable[[Path], list[str]]) -> Path:
    """The directory that the command of `make` makes. It is made again when its recipe changes."""
    directory = CACHE / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not directory.exists():
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE))
        command = make(unfinished)
        ended = subprocess.run(
            command, cwd=unfinished, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if ended.returncode:
            raise Unavailable(f"{command[0]} failed:\n{ended.stdout}")
        unfinished.chmod(0o755)
        unfinished.rename(directory)
    return directory


def _make_tree(directory: Path) -> list[str]:
    return [*MAKE, str(directory)]


def _install_modules(directory: Path) -> list[str]:
    """npm only unpacks: no script of a package runs. So it does not matter which npm it is."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, directory)
    return ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
