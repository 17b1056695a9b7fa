"""The table of settings in ordersigner-policy(5): each setting has a row, and each row's example is right."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from support.daemon import SOURCE

from ordersigner.policy import reader

MANUAL = SOURCE / "docs/man/ordersigner-policy.rst"


class Row(NamedTuple):
    section: str
    form: str
    example: str
    since: str

    @property
    def name(self) -> str:
        """As SETTINGS has it: the word, and an operator that is not "="."""
        word, operator = self.form.split()[:2]
        return word if operator == "=" else f"{word} {operator}"

    @property
    def is_condition(self) -> bool:
        """Whether it is about a field of what is signed: its form then names it in capitals, or is a text's number."""
        return self.name not in reader.SETTINGS[self.section]


def rows() -> list[Row]:
    """Those of the directive "settings", which docs/conf.py describes."""
    directive = re.search(r"^\.\. settings:: ([\d.]+)\n\n((?:   .+\n|\n)+)", MANUAL.read_text(), re.MULTILINE)
    assert directive
    found = []
    section = ""
    for paragraph in directive[2].strip().split("\n\n"):
        form, *lines = (line.strip() for line in paragraph.split("\n"))
        if lines:
            assert len(lines) > 1, f"{form} has no meaning"
            later = re.fullmatch(r"Since ([\d.]+)", lines[-1])
            found.append(Row(section, form.strip("`"), lines[0].strip("`"), later[1] if later else directive[1]))
        else:
            section = form.strip("[]")
    return found


ROWS = rows()

ADDRESS = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"
# For each kind of section, one that is right. An example is added to it, in place of the lines that it replaces.
BASES = {
    "market": f"base = {ADDRESS} 9\nquote = {ADDRESS} 18\n",
    "rule": f"key = {ADDRESS}\nusers = 0\nmarkets = LEV/ETH\naccounts = any\ntypes = LMT\n",
    "typed": (
        "type = Bid(address maker,uint256 price,uint256 size,uint8 side,uint64 deadline,uint64 begins,uint64 made,"
        "string note,bytes data,Item[] items)Item(address token,uint256 amount)\n"
        "domain.name = Example\ndomain.chainId = 1\n"
    ),
    "message": "",
    "hyperliquid": (
        "actions = order modify cancel cancelByCloid scheduleCancel updateLeverage updateIsolatedMargin\n"
        "network = mainnet\n"
    ),
    "transaction": (
        f"chain = 1\nto = {ADDRESS}\nfunction = approve(address spender, uint256 amount)\nfee(18) <= 0.01\n"
    ),
}
# What an example needs in addition, in place of lines of the base where both set the same.
NEEDS = {
    "instrument": "!base",
    "rate": "",
    "domain": "!type\n!domain.name\ntype = Bid(address maker)\ndomain.name = Example\ndomain.chainId = 1",
    "type": "",
    "typed": "!markets\n!accounts\n!types",
    "messages": "!markets\n!accounts\n!types",
    "hyperliquid": "!markets\n!accounts\n!types",
    "transactions": "!markets\n!accounts\n!types",
    "code": "!function\nto = none",
    "max-leverage": "markets = BTC/DAI",
    "min-leverage": "markets = BTC/DAI",
    "hashes": "pattern = x",
    "powers": "!actions",
    "blind": "!actions",
    "action.FIELD": "!actions\npowers = vaultTransfer",
    "twap-minutes": "actions = twapOrder",
    "twap-randomize": "actions = twapOrder",
}
# What the examples of rules name.
OTHERS = f"""
[market LEV/ETH]
base = {ADDRESS} 9
quote = {ADDRESS} 18
[market BTC/DAI]
instrument = 1
quote = {ADDRESS} 18
[typed bids]
type = Other(address maker)
domain.name = Example
[message leverj-login]
pattern = x
[hyperliquid perps]
actions = order
[transaction usdc-approve]
chain = 1
to = {ADDRESS}
function = none
fee <= 1
"""


def policy_with(row: Row) -> str:
    """A policy whose last section has the example, and the lines that it needs."""
    lines = BASES[row.section].splitlines()
    word = row.form.split()[0]
    needed = NEEDS.get(word, "") if (row.section, word) != ("hyperliquid", "max-leverage") else ""
    for line in [*filter(None, needed.split("\n")), row.example]:
        gone = line.lstrip("!").split(" = ")[0]
        lines = [kept for kept in lines if kept.split(" = ")[0] != gone]
        lines += [line] if not line.startswith("!") else []
    return OTHERS + f"[{row.section} example]\n" + "\n".join(lines) + "\n"


def test_every_setting_has_one_row() -> None:
    wanted = sorted((section, name) for section, names in reader.SETTINGS.items() for name in names)
    assert sorted((row.section, row.name) for row in ROWS if not row.is_condition) == wanted


def test_every_row_names_a_version_that_the_changelog_has() -> None:
    headings = re.findall(r"^([\d.]+)(?: .*)?\n---", (SOURCE / "docs/develop/changelog.rst").read_text(), re.MULTILINE)
    assert {row.since for row in ROWS} <= set(headings)


def test_every_row_that_is_no_setting_is_a_condition_of_a_section_that_has_them() -> None:
    conditions = [row for row in ROWS if row.is_condition]
    assert {row.section for row in conditions} == {"typed", "message", "hyperliquid", "transaction"}
    assert [row for row in conditions if not re.search("[A-Z]{4}", row.form)] == []


def test_every_operator_and_function_of_conditions_has_a_row() -> None:
    words = {
        word
        for row in ROWS
        if row.section == "typed"
        for word in re.findall(r"[a-z]+(?=\()|<=|>=|=|/|\w+", row.example)
    }
    assert {
        "=",
        "<=",
        ">=",
        "within",
        "about",
        "until",
        "matches",
        "/",
        "total",
        "sum",
        "count",
        "bits",
        "word",
    } <= words


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section} {row.form}")
def test_an_example_has_the_form_of_its_row_and_is_read_without_an_error(row: Row) -> None:
    reading = reader.read(policy_with(row), "policy")
    assert list(reading.errors) == []
    if not row.is_condition:
        assert row.example.startswith(f"{row.name} ")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section} {row.form}")
def test_the_reader_looks_at_an_example(row: Row) -> None:
    """With a wrong value in it there is one more complaint: so it is read, and the test above can fail."""

    def complaints(row: Row) -> int:
        reading = reader.read(policy_with(row), "policy")
        return len(reading.errors) + len(reading.warnings)

    wrong = row._replace(example=row.example.rpartition(" ")[0] + " \N{LATIN SMALL LETTER E WITH ACUTE}{")
    assert complaints(wrong) > complaints(row)


def test_the_policies_that_the_manual_shows_in_full_are_right() -> None:
    shown = re.findall(r"::\n\n((?:    .*\n|\n)+)", MANUAL.read_text())
    policies = [text for text in shown if text.lstrip().startswith("[")]
    assert len(policies) == 5
    for policy in policies:
        assert list(reader.read(policy, "policy").errors) == []
