"""Which entries journald drops after it has accepted them, as far as its settings tell.

In: the name of a unit whose process writes entries, and a journal namespace. Out: sentences that say what is dropped
and which line keeps it; none if nothing is. The sender of an entry cannot notice: sending it succeeds.

A unit's settings apply as systemd links them in /run/systemd/units, where journald reads them. With
LogRateLimitIntervalSec=0 there is no link, so journald's own limit applies. journald reads its own settings only when
it starts, so a file that was changed later may not apply yet. Settings on the kernel's command line are not found.
Source: journald.conf(5), and what systemd 252 and 257 do.
"""

from __future__ import annotations

import os
import re
from typing import Collection, NamedTuple, Sequence, Union

Directory = Union[str, "os.PathLike[str]"]

ROOT = "/"
UNITS = "run/systemd/units"
DIRECTORIES = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd", "lib/systemd")  # first wins
LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
SIGNED = LEVELS.index("info")  # the level of an entry about a signature
DEFAULT_LIMIT = {"RateLimitIntervalSec": "30s", "RateLimitBurst": "10000"}
ENOUGH = 100_000  # entries a second: more than a process can write


class Setting(NamedTuple):
    """A setting of journald, and the file that has it."""

    value: str
    file: str


def own_unit(root: Directory = ROOT) -> str:
    """The unit of this process as journald sees it, by its control group; empty if it is in none.

    For a unit of a user's service manager that is the service of this manager, whose settings count for all of them.
    """
    groups = _lines(os.path.join(root, "proc/self/cgroup"))
    # The unified hierarchy comes last. In a container, the others may be the host's.
    path = groups[-1].split(":", 2)[2].split("/") if groups else []
    return next((part for part in path if part.endswith((".service", ".scope"))), "")


def of_this_process(namespace: str, root: Directory = ROOT) -> list[str]:
    """Of the entries that this process sends to journald. namespace: empty if it sends none to another."""
    return _all([own_unit(root)], {"", namespace}, root)


def of_package(namespace: str, root: Directory = ROOT) -> list[str]:
    """Of the entries of the package's services that run, with the namespace of their unit."""
    try:
        names = [
            link.partition(":")[2] for link in os.listdir(os.path.join(root, UNITS)) if link.startswith("invocation:")
        ]
    except OSError:
        names = []
    units = sorted(name for name in names if name.startswith(("ordersigner.service", "ordersigner@")))
    has_namespace = os.path.exists(os.path.join(root, f"run/systemd/journal.{namespace}"))
    return _all(units, {"", namespace} if has_namespace else {""}, root)


def of_unit(unit: str, namespace: str = "", root: Directory = ROOT) -> list[str]:
    """What the unit's own settings have journald drop. Empty if systemd runs no such unit."""
    if not os.path.islink(os.path.join(root, UNITS, f"invocation:{unit}")):
        return []
    found = []
    most = _link("log-level-max", unit, root)
    if most is not None and most < SIGNED:
        found.append(
            f"journald drops the entries of {unit} about signatures: LogLevelMax={LEVELS[most]} is set there."
            " Remove it, or make it info"
        )
    ours = settings(namespace, root)
    interval = _link("log-rate-limit-interval", unit, root)
    burst = _link("log-rate-limit-burst", unit, root)
    configured = {name: ours[name].value if name in ours else value for name, value in DEFAULT_LIMIT.items()}
    every = f"{interval} microseconds" if interval else configured["RateLimitIntervalSec"]
    number = str(burst) if burst else configured["RateLimitBurst"]
    if _is_zero(every) or _is_zero(number):  # in journald's settings, unlike those of a unit, 0 means no limit
        return found
    if not interval or (number.isdecimal() and int(number) * 1_000_000 < ENOUGH * interval):
        found.append(
            f"journald drops entries of {unit} beyond {number} in {every}, or a few times as many while the disk has"
            f" room. Add LogRateLimitIntervalSec=1us to [Service] of {unit}, and restart it"
        )
    return found


def of_journald(namespace: str = "", root: Directory = ROOT) -> list[str]:
    """What the settings of journald itself have it drop, for all units."""
    found = []
    ours = settings(namespace, root)
    service = f"systemd-journald@{namespace}.service" if namespace else "systemd-journald.service"
    storage, most = ours.get("Storage"), ours.get("MaxLevelStore")
    if storage is not None and storage.value == "none":
        found.append(
            f"journald drops all entries: {storage.file} has Storage=none. Make it persistent, and restart {service}"
        )
    if most is not None and _level(most.value) < SIGNED:
        found.append(
            f"journald drops the entries about signatures: {most.file} has MaxLevelStore={most.value}."
            f" Make it info or debug, and restart {service}"
        )
    return found


def settings(namespace: str = "", root: Directory = ROOT) -> dict[str, Setting]:
    """The settings of journald in its files. A drop-in wins over the main file, a later name over an earlier one."""
    name = f"journald@{namespace}.conf" if namespace else "journald.conf"
    places = [os.path.join(root, each, name) for each in DIRECTORIES]
    main = next(filter(os.path.exists, places), None)
    drop_ins: dict[str, str] = {}  # by their names
    for directory in (f"{place}.d" for place in places):
        try:
            files = [file for file in os.listdir(directory) if file.endswith(".conf")]
        except OSError:
            continue
        for file in files:
            drop_ins.setdefault(file, os.path.join(directory, file))
    found: dict[str, Setting] = {}
    for path in [*([main] if main is not None else []), *(drop_ins[name] for name in sorted(drop_ins))]:
        section = ""
        for line in map(str.strip, _lines(path)):
            if line.startswith("["):
                section = line
            elif section == "[Journal]" and "=" in line and line[0] not in "#;":
                setting, value = (part.strip() for part in line.split("=", 1))
                found[setting] = Setting(value, path)
    return {setting: each for setting, each in found.items() if each.value}  # an empty value is the default


def _all(units: Sequence[str], namespaces: Collection[str], root: Directory) -> list[str]:
    found = []
    for namespace in sorted(namespaces):
        found += of_journald(namespace, root)
        for unit in units:
            found += of_unit(unit, namespace, root)
    return list(dict.fromkeys(found))


def _lines(path: str) -> list[str]:
    """Of a file; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _link(kind: str, unit: str, root: Directory) -> int | None:
    """The number that systemd links for a unit, or None if it is not set there."""
    try:
        number = os.readlink(os.path.join(root, UNITS, f"{kind}:{unit}"))
    except OSError:
        return None
    return int(number) if number.isdecimal() else None


def _level(name: str) -> int:
    """The number of a level; that of debug if it is none, as for journald, which ignores it."""
    if name.isdecimal():
        return int(name)
    return LEVELS.index(name) if name in LEVELS else LEVELS.index("debug")


def _is_zero(value: str) -> bool:
    """Whether a number or a time span is zero."""
    return re.fullmatch("0+ ?[a-z]*", value) is not None
