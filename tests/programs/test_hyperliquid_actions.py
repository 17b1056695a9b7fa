"""Every field of Hyperliquid's actions that SDKs sign has a setting, or words in --check, or is refused."""

from __future__ import annotations

import ast
import json

import pytest

from ordersigner.policy import hyperliquid_checks as checks
from ordersigner.policy.hyperliquid_actions import ACTIONS, FORMS, Field
from programs import hyperliquid_actions as program

FOUND: dict[str, program.Fields] = json.loads(program.FILE.read_text())


def test_the_file_has_the_pinned_versions() -> None:
    versions = {name: version for name, (version, _) in program.PYTHON_SDKS.items()}
    versions[program.JAVASCRIPT_SDK] = program.JAVASCRIPT_VERSION
    assert FOUND.keys() == {f"{name} {version}" for name, version in versions.items()}


@pytest.mark.parametrize("sdk", FOUND)
def test_every_field_is_limited_or_named_or_refused(sdk: str) -> None:
    assert program.unaccounted(FOUND[sdk]) == []


def test_every_action_and_field_of_the_table_is_in_an_sdk() -> None:
    fields = {kind: paths for found in FOUND.values() for kind, paths in found.items()}
    for kind, action in ACTIONS.items():
        keys = {path.partition(".")[0].partition("[")[0] for found in FOUND.values() for path in found.get(kind, [])}
        assert {field.key for field in action.fields} <= keys
        assert kind in fields


def test_an_action_or_a_field_that_is_forgotten_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = Field("free", checks.scalar_form, (), checks.nothing, lambda limits: [])
    noop = ACTIONS["noop"]._replace(fields=(forgotten,))
    monkeypatch.setitem(ACTIONS, "noop", noop)
    monkeypatch.setitem(FORMS, "noop", noop.form)
    assert program.unaccounted({"noop": ["free", "refused"], "newAction": ["a"]}) == [
        "noop: free",
        "newAction is in no list",
    ]


def test_what_python_code_sends_is_followed_through_names_and_calls() -> None:
    source = """
def wire(order):
    found = {"a": 1, "t": kind(order)}
    if order:
        found["c"] = order
    return found

def kind(order):
    return {"limit": {"tif": order}} if False else order

def place(self, orders, wanted):
    wires = [wire(order) for order in orders]
    action = {"type": "order", "orders": wires}
    if wanted:
        action["builder"] = {"b": wanted, "f": 1}
    self._post_action(action, 1)

def cancel(self):
    request = {"nonce": 1}
    action = {"type": "", "cancels": []}
    action["type"] = "cancel"
    request["action"] = action
    self.info({"type": "meta"})
"""
    assert program.Source([ast.parse(source)]).actions() == {
        "order": ["orders[].a", "orders[].t", "orders[].c", "builder.b", "builder.f"],
        "cancel": ["cancels"],
    }
