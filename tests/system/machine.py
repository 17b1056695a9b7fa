"""A Debian machine with a systemd that really booted, in a container of systemd-nspawn's.

In: a suite's name and packages. Out: commands' results. Needs root, mmdebstrap and systemd-nspawn, else Unavailable.
The container has no network and no link to the host's systemd; it ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon import wait_until

PATIENCE = 60.0  # seconds until a condition that does not come true fails a test
TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container"}  # to the package that has it
INCLUDED = ("dbus", "man-db", "netcat-openbsd", "passwd", "systemd", "systemd-sysv")
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


def make_tree(suite: str, tree: Path, packages: Sequence[Path]) -> None:
    """A minimal installation of `suite` in `tree`, with `packages` in its /root.

    What these depend on lies in apt's cache, so that they can be installed without a network.
    """
    download = "apt-get install -qq --yes --download-only -o APT::Install-Recommends=true"
    hooks = [f"copy-in '{package}' /root" for package in packages]
    hooks.append(f'chroot "$1" {download} /root/{packages[0].name}')
    command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(INCLUDED)}", "--skip=cleanup/apt"]
    command.append("--dpkgopt=force-unsafe-io")
    command += [f"--customize-hook={hook}" for hook in hooks]
    result = subprocess.run(
        [*command, suite, str(tree)], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if result.returncode:
        raise Unavailable(f"mmdebstrap failed:\n{result.stdout}")


def control_group() -> Path:
    """The directory of this process's control group, in the unified hierarchy."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    roots = [mount.split()[4] for mount, source in mounts if source.startswith("cgroup2 ")]
    groups = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not roots or not groups:
        raise Unavailable("needs control groups of version 2")
    return Path(roots[0] + groups[0])


class Machine:
    """The machine whose files are in `tree`."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._console = tree.with_name(tree.name + ".console")
        # Two systemds that shared a control group would take each other's services for their own.
        self._group = control_group() / f"ordersigner-{os.getpid()}-{tree.parent.name}"
        self._container: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Returns when the boot is complete; raises Unavailable."""
        self._group.mkdir()
        enter = f'echo $$ >{self._group}/cgroup.procs && exec "$@"'
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
        command += ["--timezone=off", "--resolv-conf=off"]  # nothing of the host's
        # IPAddressDeny= and DevicePolicy= are enforced only where the container's systemd may load programs.
        command += ["--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON", "--system-call-filter=bpf"]
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with open(self._console, "wb") as console:
            self._container = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
            )
        try:
            wait_until(self._is_up, PATIENCE)
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
        """Ends the container: politely, and if that takes too long, not."""
        container, self._container = self._container, None
        if container is None:
            return
        container.terminate()
        try:
            container.wait(30)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()
        for directory, _, _ in os.walk(self._group, topdown=False):
            wait_until(functools.partial(removed, directory), PATIENCE)

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    @contextlib.contextmanager
    def started(self, *command: str, user: str = "root", merge: bool = False) -> Iterator[subprocess.Popen[str]]:
        """A process in the machine, with pipes; killed at the end if it still runs."""
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

    def run(self, *command: str, user: str = "root", input: str = "", check: bool = True, timeout: float = 300) -> str:
        """What `command` prints, standard error included; fails the test if `check` and its status is not 0."""
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

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl shows it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def now(self) -> int:
        """Microseconds since 1970, by the machine's clock."""
        return int(self.run("date", "+%s%6N"))

    def entries(self, *matches: str, since: int = 0) -> list[dict[str, str]]:
        """The journal's entries of this boot that match. since: see now()."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--quiet", "--no-pager", "--output=json", "--all", "--boot", *matches)
        entries: list[dict[str, str]] = [json.loads(line) for line in lines.splitlines()]
        # --after-cursor= of systemd 252 loses the first entry that matches.
        return [entry for entry in entries if int(entry["__REALTIME_TIMESTAMP"]) >= since]


def removed(group: str) -> bool:
    """Whether a control group could be removed, which takes a moment after its last process."""
    try:
        os.rmdir(group)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
