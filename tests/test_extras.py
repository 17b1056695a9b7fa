"""The extras of setup.py: programs need none, and the commands that need one say so."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from support.daemon import EXAMPLE, SOURCE, TIME_LIMIT, Daemon, standalone, vectors
from support.held import MARKET, MESSAGES, ORDERS, address, holding, rule

PACKAGE = SOURCE / "ordersigner"
KEY: str = EXAMPLE["request"]["signer"]
# The parts of the package that need each extra. The others need none.
PARTS = {"daemon": {"daemon", "serving", "signing", "policy", "payloads", "state", "systemd"}, "keys": {"keytool"}}
PROGRAMS = {"daemon": "ordersigner", "keys": "ordersigner.keytool"}
NAMES = {"daemon": "ordersignerd", "keys": "ordersigner-keys"}
# Modules by the name of the package that contains them.
INSTALLED_BY = {"Crypto": "pycryptodome", "eth_account": "eth-account", "systemd": "systemd-python"}
OPTIONAL = {"hexbytes", "ccxt"}  # whose type results have if the program has it, and whose errors its adapter raises
ALTERNATIVES = {"Cryptodome"}  # Debian's name of Crypto


def modules(extra: str | None) -> list[str]:
    """Those that are for an extra, or for no extra."""
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))]
    names = [name[: -len(".__init__")] if name.endswith(".__init__") else name for name in names]
    named = PARTS.get(extra or "", set().union(*PARTS.values()))
    return [name for name in names if (name.split(".")[1:2] in [[part] for part in named]) == (extra is not None)]


def foreign(names: list[str]) -> set[str]:
    """The modules of other packages that these modules import."""
    found = set()
    for name in names:
        path = SOURCE.joinpath(*name.split("."))
        tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).split(".")[0])
    standard = getattr(sys, "stdlib_module_names", None)  # from 3.10 on
    if standard is None:
        pytest.skip("only Python 3.10 and later tell what is in the standard library")
    return found - set(standard) - {"ordersigner", "__future__"}


def python(program: str, *arguments: str) -> list[str]:
    """A Python that finds nothing of what pip has installed, and runs a program with the package."""
    start = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); "
    return [sys.executable, "-I", "-S", "-c", start + program, *arguments]


def ended(command: list[str]) -> tuple[int, str, str]:
    run = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=3 * TIME_LIMIT)
    return run.returncode, run.stdout, run.stderr


def requirements(extra: str) -> set[str]:
    """The names of what setup.py requires for an extra."""
    (listed,) = re.findall(rf"^{extra.upper()} = \[((?:.|\n)*?)\]", (SOURCE / "setup.py").read_text(), re.MULTILINE)
    return set(re.findall('"([a-z-]+)>=', listed))


def used_by(extra: str) -> set[str]:
    """The modules of other packages that an extra is for. Programs can do without those of keccak.py."""
    return foreign([*modules(extra), *(["ordersigner.keccak"] if extra == "daemon" else [])])


def test_the_modules_of_other_packages_are_those_of_the_extras() -> None:
    for extra in PARTS:
        wanted = used_by(extra) - ALTERNATIVES
        assert {INSTALLED_BY.get(name, name) for name in wanted} == requirements(extra)
    assert foreign(modules(None)) == OPTIONAL | ALTERNATIVES | {"Crypto"}


def test_programs_can_import_all_that_is_for_them_without_any_other_package() -> None:
    names = [name for name in modules(None) if not name.endswith("__main__")]
    assert {"ordersigner.account", "ordersigner.aio", "ordersigner.client", "ordersigner.sdks"} <= set(names)
    program = f"import importlib; [importlib.import_module(name) for name in {names}]"
    assert ended(python(program)) == (0, "", "")


@pytest.fixture
def holder(directory: Path) -> Iterator[Daemon]:
    """A daemon that holds the key of the example."""
    allows = f"{ORDERS}typed = any\nmessages = any\n"
    policy = MARKET + MESSAGES + rule("example", address(KEY), allows=allows)
    with standalone(directory, *holding(directory, {"example": KEY[2:]}, policy)) as running:
        yield running


COMMAND = "import runpy; runpy.run_module('ordersigner.commands', run_name='__main__', alter_sys=True)"
SIGN = """
import json
from ordersigner.account import Account
from ordersigner.keccak import LIBRARY
account = Account(sys.argv[1], sys.argv[2])
signed = [account.sign_message("€ 5"), account.sign_typed_data(full_message=json.loads(sys.argv[3]))]
signatures = [[each.signature.to_0x_hex(), each.message_hash.to_0x_hex()] for each in signed]
print(json.dumps([account.address, LIBRARY, *signatures]))
"""


def test_an_account_signs_as_eth_account_does_without_any_other_package(holder: Daemon) -> None:
    (mail,) = (row for row in vectors("typed-data/reference") if row["name"] == "EIP-712 Mail")
    typed_data = {part: mail[part] for part in ("types", "primaryType", "domain", "message")}
    real = Account.from_key(KEY)
    signed = [
        real.sign_message(message)
        for message in (encode_defunct(text="€ 5"), encode_typed_data(full_message=typed_data))
    ]
    status, output, errors = ended(python(SIGN, real.address.lower(), holder.path, json.dumps(typed_data)))
    assert (status, errors) == (0, "")
    account, library, *signatures = json.loads(output)
    assert account == real.address
    assert library in (None, "OpenSSL")
    assert signatures == [
        ["0x" + bytes(each.signature).hex(), "0x" + bytes(each.message_hash).hex()] for each in signed
    ]


def test_the_command_does_the_same_without_any_other_package(holder: Daemon, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(json.dumps(EXAMPLE["request"]) + "\n")
    options = {
        "sign": [str(tmp_path / "order.json")],
        "ping": [],
        "signers": [],
        "status": [],
        "compare": ["--earlier", holder.path, str(tmp_path / "order.json")],
        "freeze": ["example"],
        "thaw": ["example"],
    }
    helped = ended(python(COMMAND, "--help"))[1]
    assert sorted(re.findall(r"^    ([a-z]+) ", helped, re.MULTILINE)) == sorted(options)
    for name, more in options.items():
        words = [name, "--socket", holder.path, *more]
        bare = ended(python(COMMAND, *words))
        full = ended([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {COMMAND}", *words])
        # The numbers of a status, and how long a ping took, differ.
        assert [re.sub(r"\d+", "0", str(part)) for part in bare] == [re.sub(r"\d+", "0", str(part)) for part in full]
        assert bare[0] == 0 or name == "thaw", name  # which only root may


# Each package of an extra is missing once.
HIDDEN = [
    ("daemon", "coincurve"),
    ("daemon", "msgpack"),
    ("daemon", "Crypto,Cryptodome"),
    ("daemon", "systemd"),
    ("keys", "eth_account"),
]
RUN = """
import hashlib, os, runpy, sys
hidden, program, *sys.argv[1:] = sys.argv[1:]
sys.modules.update(dict.fromkeys(hidden.split(",")))
new = hashlib.new

def without_keccak(name, *arguments, **options):
    if name == "keccak-256":
        raise ValueError(name)
    return new(name, *arguments, **options)

if "Crypto" in hidden:
    hashlib.new = without_keccak
os.environ["LISTEN_PID"] = str(os.getpid())
runpy.run_module(program, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(("extra", "hidden"), HIDDEN)
def test_a_command_without_its_extra_says_what_to_install(
    extra: str, hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.chdir(SOURCE)
    name = hidden.split(",")[0]
    command = f"{shlex.quote(sys.executable)} -m pip install 'ordersigner[{extra}]'"
    cause = "systemd handed a socket over, but " if name == "systemd" else ""
    run = subprocess.run(
        [sys.executable, "-c", RUN, hidden, PROGRAMS[extra], *(["list"] if extra == "keys" else [])],
        capture_output=True, text=True, check=False, timeout=3 * TIME_LIMIT
    )  # fmt: skip
    said = f"{NAMES[extra]}: {cause}the Python module {name} is missing. To install it: {command}\n"
    assert (run.returncode, run.stdout, run.stderr) == (1, "", said)


def test_each_module_that_an_extra_installs_is_missing_above() -> None:
    hidden = {(extra, name) for extra, names in HIDDEN for name in names.split(",")}
    assert {(extra, name) for extra in PARTS for name in used_by(extra)} == hidden


@pytest.mark.parametrize("module", ["daemon/main", "keytool/main"])
def test_a_fault_of_our_own_is_not_taken_for_a_missing_package(module: str) -> None:
    """Such as a file of the package that is not there."""
    extra = "keys" if module.startswith("keytool") else "daemon"
    hidden = "ordersigner." + module.replace("/", ".")
    command = [sys.executable, "-c", RUN, hidden, PROGRAMS[extra]]
    run = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False, timeout=3 * TIME_LIMIT)
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "pip install" not in run.stderr


def test_a_module_of_another_version_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "msgpack.py").write_text("from json import packb")
    environment = {"PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    command = [sys.executable, "-m", "ordersigner", "--version"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=3 * TIME_LIMIT)
    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch("ordersignerd: the Python module json cannot be imported (.+)\n", run.stderr)
