"""The examples of the man pages: each command is run as it is shown, and prints what the page says.

An example is a literal block that begins with a prompt. Its commands run in the order of the page, with the files that
they name, at a terminal for output. Lines are wrapped on the pages, and an ellipsis stands for what is left out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import shown_on
from support.daemon import DEFAULT_SIGNALS, EXAMPLE, SOURCE, VECTORS, needs_root, standalone, vectors, wait_until
from support.held import MARKET, address, holding, rule

pytestmark = pytest.mark.once

MAN = SOURCE / "docs/man"
SOCKET = "/run/ordersigner/ordersigner.sock"
EARLIER = "/tmp/leverj-ordersigner-daemon.sock"
KEYS = "/etc/ordersigner/keys"
POLICY = "/etc/ordersigner/policy"
STICK = "/media/stick"
PROMPT = re.compile(r"[$#] (?=[a-z])")

KEY = f"{2:064x}"  # of the address that the pages use
PAYEE = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
PAY = (
    (SOURCE / "docs/venues/x402.policy")
    .read_text()
    .partition("[rule")[0]
    .replace("0x" + 40 * "1", address(KEY))
    .replace("0x" + 40 * "2", PAYEE)
    .replace("<= 0.1", "<= 20")
    .replace("<= 5/day", "<= 100/day")
)

# What differs from one run to the next, and from this machine to the page's.
VARIES = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "DATE",
    r"\b\d+\.\d ms": "0.1 ms",
    r"\b\d+\.\d s$": "0.1 s",
    r"owner \S+, group \S+, mode \d+\)": "OWNER)",
    r"process \d+ \(\S+\) of user \S+( in \S+)? listens": "WHO listens",
    r"process \d+": "process N",
    r"lsof \+E -aU -p \d+": "lsof",
}

# Programs that take the place of the installed commands, and of others that the examples name.
PROGRAMS = {
    "ordersigner": """
from ordersigner.commands import compare, main, status
status.SYSTEM_SOCKET = os.environ["ORDERSIGNER_SOCKET"]
compare.EARLIER_SOCKET = os.environ["EARLIER"]
""",
    "ordersigner-keys": """
from ordersigner.keytool import main
main.KEYS = os.environ["KEYS"]
main.forms.create = lambda: f"{2:064x}"
""",
    "ordersignerd": """
from ordersigner.daemon import main
from ordersigner.policy import accounts, reader
accounts.FILES = ("passwd", "group")
reader.DEFAULT_PATH = os.environ["POLICY"]
""",
    "systemctl": """
class main:
    def main():
        if "show" in sys.argv:
            print(f"Id=ordersigner.service\\nMainPID={os.environ['DAEMON']}")
""",
    "jq": """
import json
class main:
    def main():
        print(json.dumps(json.load(open(sys.argv[3]))))
""",
    "pass": """
class main:
    def main():
        print({"asks": "foobar", "bids": "correct horse battery staple"}[sys.argv[2]])
""",
}


def examples(page: str) -> list[list[str]]:
    """The examples of a page; each has its commands with what they print."""
    blocks = re.findall(r"::\n\n((?: +.*\n|\n)+)", (MAN / page).read_text())
    texts = [textwrap.dedent(block).strip() for block in blocks]
    return [re.split(r"\n(?=[$#] [a-z])", text) for text in texts if PROMPT.match(text)]


def words(text: str) -> str:
    """Without the ends of the lines, and without what varies."""
    text = " ".join(text.split())
    for pattern, replacement in VARIES.items():
        text = re.sub(pattern, replacement, text)
    return text


class Machine:
    """A directory with the commands and the files that the examples name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "bin").mkdir()
        (directory / "stick").mkdir()
        for name, text in PROGRAMS.items():
            program = directory / "bin" / name
            program.write_text(
                f"#!{sys.executable}\nimport os, sys\nsys.path.insert(0, {str(SOURCE)!r})\nsys.argv[0] = {name!r}\n"
                f"{text}\nsys.exit(main.main())\n"
            )
            program.chmod(0o755)
        self.paths = {  # those of the pages, and the ones here
            SOCKET: str(directory / "socket"),
            EARLIER: str(directory / "earlier"),
            KEYS: str(directory / "sealed"),
            POLICY: str(directory / "rules"),
            STICK: str(directory / "stick"),
        }
        self.environment = {
            **os.environ,
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "ORDERSIGNER_SOCKET": self.paths[SOCKET],
            "EARLIER": self.paths[EARLIER],
            "KEYS": self.paths[KEYS],
            "POLICY": self.paths[POLICY],
        }

    def run(self, command: str) -> str:
        """What a terminal shows of a command, with the paths of the page."""
        for path, here in self.paths.items():
            command = command.replace(path, here)
        ours, theirs = os.openpty()
        shell = subprocess.Popen(
            [*DEFAULT_SIGNALS, "timeout", "--foreground", "60", "bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = re.sub("\r[^\n]*\x1b\\[K", "", shown_on(ours))  # a progress bar
        shell.wait()
        for path, here in self.paths.items():
            seen = seen.replace(here, path)
        return seen

    def check(self, page: str) -> None:
        """Run the examples of a page."""
        found = examples(page)
        assert found
        for example in found:
            for shown in example:
                parts = re.fullmatch(r"[$#] ((?:.*[\\|]\n)*.*)\n?((?:.|\n)*)", shown)
                assert parts
                expected, seen = words(parts[2]), words(self.run(parts[1]))
                if not re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), seen):
                    assert seen == expected, parts[1]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def payment() -> dict[str, Any]:
    """A request that the policy allows: 17.5 USDC."""
    settings = dict(line.split(" = ", 1) for line in PAY.splitlines() if " = " in line and line[0] != "#")
    name, fields = settings["type"].rstrip(")").split("(")
    domain = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    types = {
        "EIP712Domain": [{"name": field, "type": kind} for field, kind in domain.items()],
        name: [dict(zip(("type", "name"), field.split(" "))) for field in fields.split(",")],
    }
    message = {"from": address(KEY), "to": PAYEE, "value": 17_500_000, "validAfter": 0, "validBefore": 0}
    return {
        "type": "typed_data",
        "typed_data": {
            "types": types,
            "primaryType": name,
            "domain": {field: settings[f"domain.{field}"] for field in domain},
            "message": {**message, "nonce": "0x" + 64 * "5"},
        },
        "signer": address(KEY),
    }


@pytest.fixture
def busy(machine: Machine) -> Iterator[Machine]:
    """With a daemon, and the earlier daemon."""
    directory = machine.directory
    order = {**EXAMPLE["request"], "signer": address(KEY)}
    orders = [order] * 1000
    orders[16] = {**order, "order": {**order["order"], "price": -1}}
    (directory / "orders.jsonl").write_text("".join(json.dumps(one) + "\n" for one in orders))
    (directory / "order.json").write_text(json.dumps(EXAMPLE["request"], indent=4))
    policy = (
        MARKET
        + PAY.replace("message.validBefore within 600\n", "")
        + rule("bids", address(KEY))
        + rule("pay", address(KEY), allows="typed = x402\n")
    )
    (directory / "payment.json").write_text(json.dumps(payment()) + "\n")
    program = [sys.executable, str(SOURCE / "tests/support/earlier_daemon.py"), machine.paths[EARLIER]]
    with standalone(directory, *holding(directory, {"bids": KEY}, policy), "--state", str(directory)) as daemon:
        machine.environment["DAEMON"] = str(daemon.pid)
        with subprocess.Popen([*program, str(VECTORS / "published-orders.json")]) as earlier:
            wait_until(Path(machine.paths[EARLIER]).exists)
            try:
                yield machine
            finally:
                earlier.terminate()


@needs_root
@pytest.mark.parametrize("page", ["ordersigner.rst", "ordersigner-protocol.rst"])
def test_the_examples_of_clients_print_what_is_shown(page: str, busy: Machine) -> None:
    busy.check(page)


@needs_root
@pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="needs systemd-creds")
def test_the_examples_with_keys_print_what_is_shown(machine: Machine) -> None:
    (keystore,) = (row["keystore"] for row in vectors("keystores/geth") if row["name"] == "aaa")
    (machine.directory / "keystore.json").write_text(json.dumps(keystore))
    machine.check("ordersigner-keys.rst")


def test_the_examples_with_a_policy_print_what_is_shown(machine: Machine) -> None:
    """With the policy that ordersigner-policy(5) shows, and its user."""
    manual = (MAN / "ordersigner-policy.rst").read_text()
    shown = re.search(r"\nExample\n-+\n\n.+::\n\n((?:    .*\n|\n)+)", manual)
    assert shown
    Path(machine.paths[POLICY]).write_text(textwrap.dedent(shown[1]).strip("\n"))
    (machine.directory / "passwd").write_text("bid-bot:x:1000:1000::/:/bin/sh\n")
    (machine.directory / "group").touch()
    order = {
        **EXAMPLE["request"]["order"],
        "accountId": "0x3b0194e96c57dd9cFb839720080b5626718C0E48",
        "quantity": 1000,
        "price": "0.0002",
        "timestamp": 1_800_000_000_000_000,
    }
    tried = {"request": {**EXAMPLE["request"], "order": order, "signer": address(KEY)}, "now": 1_800_000_000}
    lines = [json.dumps(one) for one in (tried, {**tried, "frozen": ["bids"]})]
    (machine.directory / "requests.jsonl").write_text("\n".join(lines))
    machine.check("ordersignerd.rst")
