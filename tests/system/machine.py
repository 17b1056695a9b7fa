"""A Debian machine with a booted systemd, in a container of systemd-nspawn.

In: the name of a suite, and packages. Out: the results of commands. Raises Unavailable without root, mmdebstrap or
systemd-nspawn. The container has no network and no connection to the host's systemd. It ends with this process, however
this process ends.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.daemon import wait_until

TIMEOUT = 60.0  # seconds to wait for a condition before the test fails
TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container"}  # command: its Debian package
DOWNLOADED = ("prometheus", "prometheus-node-exporter")  # in apt's cache, without what they recommend
INCLUDED = (
    "dbus",
    "libpam-systemd",
    "lsof",
    "man-db",
    "mount",
    "netcat-openbsd",
    "openssh-client",
    "openssh-server",
    "passwd",
    "systemd",
    "systemd-sysv",
    "wget",
)
APT_CONFIG = Path(__file__).with_name("apt.conf")  # while a tree is made
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


class Unavailable(Exception):
    """This host cannot make or boot a machine."""


def check_host() -> None:
    """Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("needs root, to boot a systemd in a container")
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"needs more tools: apt-get install {' '.join(missing)}")


def make_tree(suite: str, tree: Path, packages: Sequence[Path], newer: Sequence[Path]) -> None:
    """Make a minimal installation of `suite` in `tree`, with `packages`, and `newer` versions of them, in its /root.

    Their dependencies are in apt's cache, so they can be installed without a network.
    """
    download = "apt-get install -qq --yes --download-only -o APT::Install-Recommends=true"
    hooks = [f"copy-in '{package}' /root" for package in [*packages, *newer]]
    hooks.append(f'chroot "$1" {download} {" ".join(f"/root/{package.name}" for package in packages)}')
    hooks.append(f'chroot "$1" {download} --no-install-recommends {" ".join(DOWNLOADED)}')
    command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(INCLUDED)}", "--skip=cleanup/apt"]
    command.append("--dpkgopt=force-unsafe-io")
    command.append(f"--aptopt={APT_CONFIG}")
    hooks.append('rm "$1/etc/apt/apt.conf.d/99mmdebstrap"')
    command += [f"--customize-hook={hook}" for hook in hooks]
    result = subprocess.run(
        [*command, suite, str(tree)], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if result.returncode:
        raise Unavailable(f"mmdebstrap failed:\n{result.stdout}")


def hierarchies(kind: str) -> list[Path]:
    """Where the control group hierarchies of `kind` are mounted: "cgroup2" for the unified one, "cgroup" for others."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(mount.split()[4]) for mount, source in mounts if source.split()[0] == kind]


def control_group() -> str:
    """The path of this process's control group in the unified hierarchy, relative to the root."""
    groups = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not hierarchies("cgroup2") or not groups:
        raise Unavailable("needs control groups of version 2")
    return groups[0].strip("/")


class Machine:
    """The machine whose files are in `tree`."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._console = tree.with_name(tree.name + ".console")
        # Two systemds in one control group would take each other's services for their own.
        self._group = os.path.join(control_group(), f"ordersigner-{os.getpid()}-{tree.parent.name}")
        self._container: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Returns when the boot is complete; raises Unavailable."""
        group = hierarchies("cgroup2")[0] / self._group
        group.mkdir()
        enter = f'echo $$ >{group}/cgroup.procs && exec "$@"'
        command = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            "sh",
            "-c",
            enter,
            "sh",
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
        ]
        command += ["--private-network", f"--directory={self.tree}", "--boot"]
        command += ["--timezone=off", "--resolv-conf=off"]  # keep the host's settings out
        # The container's systemd enforces IPAddressDeny= and DevicePolicy= only if it may load BPF programs.
        command += ["--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON", "--system-call-filter=bpf"]
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with open(self._console, "wb") as console:
            self._container = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
            )
        try:
            wait_until(self._is_up, TIMEOUT)
            state = self.run("systemctl", "is-system-running", "--wait", check=False)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"no boot: {error}\n{self._console.read_text(errors='replace')}") from error
        if state not in ("running", "degraded"):
            raise Unavailable(f"the booted systemd is {state!r}\n{self._console.read_text(errors='replace')}")

    def _is_up(self) -> bool:
        assert self._container is not None
        if self._container.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with {self._container.returncode}")
        pid = self._container.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return False
        self._init = int(children[0])
        return self.succeeds("test", "-S", "/run/dbus/system_bus_socket")

    def power_off(self) -> None:
        """Shut the container down. Kill it if that takes too long."""
        container, self._container = self._container, None
        if container is not None:
            container.terminate()
            try:
                container.wait(30)
            except subprocess.TimeoutExpired:
                container.kill()
                container.wait()
        for group in self.control_groups():
            for directory, _, _ in os.walk(group, topdown=False):
                wait_until(functools.partial(removed, directory), TIMEOUT)

    def control_groups(self) -> list[Path]:
        """The machine's control groups on the host that exist.

        Where the host has several hierarchies, systemd-nspawn copies the group that it finds to another one, and leaves
        it there.
        """
        groups = [root / self._group for root in [*hierarchies("cgroup2"), *hierarchies("cgroup")]]
        return [group for group in groups if group.exists()]

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    @property
    def files(self) -> Path:
        """The machine's files as its own processes see them, with /run and /proc. Only while it is booted."""
        return Path(f"/proc/{self._init}/root")

    @contextlib.contextmanager
    def started(self, *command: str, user: str = "root", merge: bool = False) -> Iterator[subprocess.Popen[str]]:
        """Run a process in the machine, with pipes. Kill it at the end if it still runs."""
        as_user = [] if user == "root" else ["runuser", "-u", user, "--"]
        with subprocess.Popen(
            ["nsenter", f"--target={self._init}", "--all", "--", *as_user, *command],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def served(self, directory: Path) -> Iterator[str]:
        """Serve a directory of the host to the machine, whatever it has installed, and return the address."""
        server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(directory), "80"]
        with subprocess.Popen(
            ["nsenter", f"--target={self._init}", "--net", "--", *server],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                address = "http://127.0.0.1"
                wait_until(lambda: self.succeeds("wget", "--quiet", "--spider", address), TIMEOUT)
                yield address
            finally:
                process.kill()

    def run(self, *command: str, user: str = "root", input: str = "", check: bool = True, timeout: float = 300) -> str:
        """The output of `command`, with its standard error. With `check`, a status other than 0 fails the test."""
        with self.started(*command, user=user, merge=True) as process:
            output, _ = process.communicate(input, timeout)
        if check:
            assert process.returncode == 0, f"{' '.join(command)}: status {process.returncode}\n{output}"
        return output.rstrip("\n")

    def succeeds(self, *command: str, user: str = "root") -> bool:
        with self.started(*command, user=user, merge=True) as process:
            process.communicate()
        return process.returncode == 0

    def write(self, path: str, text: str) -> None:
        target = self.tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def root(self) -> str:
        """Where this host sees the machine's files as the machine sees them, sockets included."""
        return f"/proc/{self._init}/root"

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl shows it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def now(self) -> int:
        """Microseconds since 1970, by the machine's clock."""
        return int(self.run("date", "+%s%6N"))

    def sync_journals(self) -> None:
        """Returns when both journals have all entries that were sent."""
        self.run("journalctl", "--sync")
        self.run("journalctl", "--sync", "--namespace=ordersigner", check=False)  # before its first entry there is none

    def entries(self, *matches: str, since: int = 0) -> list[dict[str, str]]:
        """The journal entries of this boot that match, in both journals. since: see now()."""
        self.sync_journals()
        return self.stored("--namespace=+ordersigner", "--boot", *matches, since=since)

    def stored(self, *arguments: str, since: int = 0) -> list[dict[str, str]]:
        """The entries that journalctl finds with `arguments`."""
        shown = ["journalctl", "--quiet", "--no-pager", "--output=json", "--all", since_argument(since)]
        return [json.loads(line) for line in self.run(*shown, *arguments).splitlines()]


def since_argument(since: int) -> str:
    """Has journalctl leave out older entries, since a test may have left a million. since: see now()."""
    # Not --after-cursor=: systemd 252 loses the first entry that matches.
    return f"--since=@{since // 1_000_000}.{since % 1_000_000:06}"


def removed(group: str) -> bool:
    """Try to remove a control group. It stays busy for a moment after its last process has ended."""
    try:
        os.rmdir(group)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
