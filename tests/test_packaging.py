"""The files in packaging/ agree with each other and with the daemon."""

from __future__ import annotations

import difflib
import re

from daemon import SOURCE

from ordersigner import __version__, journal, policy_reader

UNITS = SOURCE / "packaging/systemd"
CHECK_KEYS = (UNITS / "check-keys").read_text()


def test_the_template_is_the_service_with_what_makes_it_an_instance() -> None:
    """Everything but these lines is equal, comments included."""
    service, template = ((UNITS / name).read_text() for name in ("ordersigner.service", "ordersigner@.service"))
    changes = difflib.ndiff(service.splitlines(), template[template.index("[Unit]") :].splitlines())
    assert [line for line in changes if line[0] in "+-"] == [
        "- Description=Order Signing Daemon",
        "+ Description=Order Signing Daemon, instance %i",
        "+ # While an instance runs, clients do not make systemd start ordersigner.service. So the instance starts it.",
        "+ Wants=ordersigner.service",
        "+ # One reload is enough for all processes.",
        "+ ReloadPropagatedFrom=ordersigner.service",
        "+ Sockets=ordersigner.socket",
        "+ ",
        "+ [Install]",
        "+ # An enabled instance starts whenever ordersigner.service does: with the first client.",
        "+ WantedBy=ordersigner.service",
    ]


def test_the_policy_that_is_installed_has_no_rule_and_shows_a_good_one() -> None:
    text = (SOURCE / "packaging/policy").read_text()
    installed = policy_reader.read(text, "policy")
    assert (installed.errors, installed.policy.rules) == ([], ())
    example = re.sub("^#   ", "", text, flags=re.MULTILINE)
    assert example != text
    reading = policy_reader.read(example, "policy")
    assert reading.errors == []
    assert [rule.name for rule in reading.policy.rules] == ["bids"]


def test_the_debian_changelog_begins_with_the_version_of_the_package() -> None:
    changelog = (SOURCE / "packaging/debian/changelog").read_text()
    assert changelog.startswith(f"ordersigner ({__version__}) ")


def test_the_journal_catalog_explains_every_message_id() -> None:
    catalog = (UNITS / "ordersigner.catalog").read_text()
    explained = re.findall(
        "^-- ([0-9a-f]{32})\nSubject: .+\nDefined-By: ordersigner\nDocumentation: man:", catalog, re.M
    )
    defined = [value for value in vars(journal).values() if re.fullmatch("[0-9a-f]{32}", str(value))]
    defined += re.findall("^MESSAGE_ID=(.+)$", CHECK_KEYS, re.M)
    assert len(defined) >= 4
    assert sorted(explained) == sorted(defined)


def test_the_journal_catalog_shows_only_fields_that_the_entries_have() -> None:
    shown = set(re.findall("@(.+?)@", (UNITS / "ordersigner.catalog").read_text()))
    assert shown
    sources = [path.read_text() for path in (SOURCE / "ordersigner").glob("*.py")]
    assert shown <= set(re.findall(r"ORDERSIGNER_\w+", "".join([*sources, CHECK_KEYS])))
