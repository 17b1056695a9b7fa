"""Takes the types of Hyperliquid's actions, and the fields that are signed, from the newest version of each SDK.

    python tests/programs/hyperliquid_actions.py            does the daemon account for each field?
    python tests/programs/hyperliquid_actions.py --write    the same for the pinned versions, whose fields go into FILE

It needs pip, npm and node, and a network. It prints each field for which the policy has neither a setting nor words in
`--check`, and that it signs all the same. Then its exit status is 1.

@nktkas/hyperliquid has a schema for each action. The other SDKs build actions as Python objects. Their source is
followed through names and calls, as far as it says which keys an object has.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Dict, List

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from support.policies import section_of

from ordersigner.policy.hyperliquid_actions import ACTIONS, BLIND, FORMS, POWERS, USER_SIGNED
from ordersigner.policy.hyperliquid_checks import Facts
from ordersigner.policy.hyperliquid_limits import HyperliquidLimits

FILE = TESTS / "vectors/limits/hyperliquid-actions.json"
PYTHON_SDKS = {"hyperliquid-python-sdk": ("0.24.0", "hyperliquid/*.py"), "ccxt": ("4.5.90", "ccxt/hyperliquid.py")}
JAVASCRIPT_SDK, JAVASCRIPT_VERSION = "@nktkas/hyperliquid", "0.33.3"
MAX_DEPTH = 8  # of names and calls that are followed

Fields = Dict[str, List[str]]  # by type: paths such as orders[].p

# Walks the schemas of valibot, and prints Fields.
WALK = """
import * as exchange from "@nktkas/hyperliquid/api/exchange";
const walk = (schema, path, found) => {
  const inner = (key) => (path ? `${path}.${key}` : key);
  if (schema.entries) return Object.entries(schema.entries).map(([key, value]) => walk(value, inner(key), found));
  if (schema.item) return walk(schema.item, `${path}[]`, found);
  if (schema.items) return schema.items.map((item, at) => walk(item, `${path}[${at}]`, found));
  if (schema.options?.[0]?.type) return schema.options.map((option) => walk(option, path, found));
  return schema.wrapped ? walk(schema.wrapped, path, found) : found.add(path);
};
const fields = {};
for (const [name, schema] of Object.entries(exchange)) {
  const action = name.endsWith("Request") && schema.entries?.action;
  for (const one of action ? (action.options ?? [action]) : []) {
    const found = new Set(fields[one.entries.type.literal]);
    walk(one, "", found);
    found.delete("type");
    fields[one.entries.type.literal] = [...found];
  }
}
console.log(JSON.stringify(fields));
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put those of the pinned versions into the file")
    is_pinned = parser.parse_args().write
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, (version, files) in PYTHON_SDKS.items():
            label, fields = python_sdk(name, version if is_pinned else "", files, Path(directory) / name)
            found[label] = fields
        label, fields = javascript_sdk(JAVASCRIPT_VERSION if is_pinned else "latest", Path(directory) / "js")
        found[label] = fields
    for label, fields in found.items():
        print(f"{label}: {len(fields)} actions, {sum(map(len, fields.values()))} fields")
    if is_pinned:
        FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    missing = [f"{label}: {words}" for label, fields in found.items() for words in unaccounted(fields)]
    print("\n".join(missing))
    return 1 if missing else 0


# What the policy says about a field
def unaccounted(fields: Fields) -> list[str]:
    """The types that are in no list of the policy, and the fields that a section without settings signs unnamed."""
    missing = []
    for kind, paths in fields.items():
        if kind in USER_SIGNED or kind in BLIND:
            continue  # the first are no actions for a policy; the others are signed whatever they say, and it says so
        if kind not in ACTIONS and kind not in POWERS:
            missing.append(f"{kind} is in no list")
            continue
        setting = "actions" if kind in ACTIONS else "powers"
        section = HyperliquidLimits.compile(section_of("hyperliquid", f"{setting} = {kind}"))
        words = section.leaves_open()
        missing += [f"{kind}: {path}" for path in paths if not is_named(path, words) and not is_refused(kind, path)]
    return missing


def is_named(path: str, words: list[str]) -> bool:
    """Whether words have the path, or one below it, or the one that it is in."""
    own = f"action.{path.replace('[]', '.*')}"
    named = {word.strip(",:") for line in words for word in line.split()}
    return any(f"{own}.".startswith(f"{each}.") or f"{each}.".startswith(f"{own}.") for each in named)


def is_refused(kind: str, path: str) -> bool:
    """Whether a section without settings refuses an action for having this field, whatever its value is."""
    first, *rest = re.findall(r"\w+|\[\]", path)
    fault = FORMS[kind]({"type": kind, first: None}, {})
    if fault is not None and fault.path == f".{first}":
        return True  # nobody knows the key
    field = next((field for field in ACTIONS[kind].fields if field.key == first), None) if kind in ACTIONS else None
    check = None if field is None else field.make({})
    if field is None or check is None:
        return False
    for value in (True, 1, "1", "Gtc", "0x" + 40 * "1"):
        inner: Any = value
        for key in reversed(rest):
            inner = [inner] if key == "[]" else {key: inner}
        if field.form(inner, {}) is None and check(inner, Facts(0, {})) is None:
            return False
    return True


# From an SDK to its fields
def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def javascript_sdk(version: str, directory: Path) -> tuple[str, Fields]:
    directory.mkdir()
    (directory / "package.json").write_text('{"type": "module"}')
    run("npm", "install", "--silent", "--ignore-scripts", f"{JAVASCRIPT_SDK}@{version}", cwd=directory)
    (directory / "walk.js").write_text(WALK)
    package = json.loads((directory / "node_modules" / JAVASCRIPT_SDK / "package.json").read_text())
    return f"{JAVASCRIPT_SDK} {package['version']}", json.loads(run("node", "walk.js", cwd=directory))


def python_sdk(name: str, version: str, files: str, directory: Path) -> tuple[str, Fields]:
    directory.mkdir()
    wanted = f"{name}=={version}" if version else name
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", wanted, cwd=directory)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [
            each for each in archive.namelist() if Path(each).match(files) or Path(each).match("hyperliquid/utils/*.py")
        ]
        trees = [ast.parse(archive.read(each)) for each in names if "/async" not in each]
    return f"{name} {wheel.name.split('-')[1]}", Source(trees).actions()


class Source:
    """Functions of Python, and the objects that they make."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self.functions = {
            node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }

    def actions(self) -> Fields:
        """What is sent as an action: an argument of _post_action(), or the member `action` of a request."""
        found: dict[str, dict[str, None]] = {}
        for function in self.functions.values():
            for value in sent(function):
                for kind, paths in self.objects(value, function, 0):
                    found.setdefault(kind, {}).update(dict.fromkeys(paths))
        return {kind: list(paths) for kind, paths in found.items()}

    def objects(self, value: ast.expr, function: ast.FunctionDef, depth: int) -> Iterator[tuple[str, list[str]]]:
        """The type and the fields of each action that a value may be."""
        for names, members in self.forms(value, function, depth):
            types = [each.value for key, each in members if key == "type" and isinstance(each, ast.Constant)]
            paths = [path for key, each in members if key != "type" for path in self.paths(key, each, names, depth)]
            for kind in types:
                if isinstance(kind, str) and kind:
                    yield kind, paths

    def forms(
        self, value: ast.expr, function: ast.FunctionDef, depth: int
    ) -> Iterator[tuple[ast.FunctionDef, list[tuple[str, ast.expr]]]]:
        """The keys and values of each object that a value may be, and the function that they are in."""
        if depth > MAX_DEPTH:
            return
        if isinstance(value, ast.Dict):
            pairs = zip(value.keys, value.values)
            yield function, [(str(key.value), each) for key, each in pairs if isinstance(key, ast.Constant)]
        elif isinstance(value, ast.Name):
            added = [
                (key_of(target), each)
                for target, each in assignments(function)
                if key_of(target) and getattr(getattr(target, "value", None), "id", "") == value.id
            ]
            for target, each in assignments(function):
                if isinstance(target, ast.Name) and target.id == value.id and each is not value:
                    for names, members in self.forms(each, function, depth + 1):
                        yield names, [*members, *added]
        elif isinstance(value, ast.Call):
            called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
            inner = self.functions.get(called)
            for node in ast.walk(inner) if inner is not None else ():
                if isinstance(node, ast.Return) and node.value is not None and inner is not None:
                    yield from self.forms(node.value, inner, depth + 1)

    def paths(self, key: str, value: ast.expr, function: ast.FunctionDef, depth: int) -> list[str]:
        """The path of a member, or those of its own members, as far as the source says which it has."""
        if depth > MAX_DEPTH:
            return [key]
        elements = [
            element
            for each in self.values(value, function)
            for element in (
                each.elts if isinstance(each, ast.List) else [each.elt] if isinstance(each, ast.ListComp) else []
            )
        ]
        if elements:
            inner = [path for each in elements for path in self.paths(f"{key}[]", each, function, depth + 1)]
            return list(dict.fromkeys(inner))
        inner = [
            path
            for names, members in self.forms(value, function, depth + 1)
            for own, each in members
            for path in self.paths(f"{key}.{own}", each, names, depth + 1)
        ]
        return list(dict.fromkeys(inner)) or [key]

    @staticmethod
    def values(value: ast.expr, function: ast.FunctionDef) -> list[ast.expr]:
        """A value, or what its name stands for."""
        if not isinstance(value, ast.Name):
            return [value]
        named = assignments(function)
        return [each for target, each in named if isinstance(target, ast.Name) and target.id == value.id]


def assignments(function: ast.FunctionDef) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each target with the value that it gets."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value


def key_of(target: ast.expr) -> str:
    """The constant between the brackets; "" without one. Before Python 3.9 it is in an ast.Index."""
    inner: object = target.slice if isinstance(target, ast.Subscript) else None
    while isinstance(inner, ast.AST):
        inner = getattr(inner, "value", None)
    return inner if isinstance(inner, str) else ""


def sent(function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_post_action":
            yield node.args[0]
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and key.value == "action":
                    yield value
    for target, value in assignments(function):
        if key_of(target) == "action":
            yield value


if __name__ == "__main__":
    sys.exit(main())
