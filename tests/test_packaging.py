"""The files in packaging/ agree with each other."""

from __future__ import annotations

import difflib

from daemon import SOURCE

UNITS = SOURCE / "packaging/systemd"


def test_the_template_is_the_service_with_what_makes_it_an_instance() -> None:
    """Everything but these lines is equal, comments included."""
    service, template = ((UNITS / name).read_text() for name in ("ordersigner.service", "ordersigner@.service"))
    changes = difflib.ndiff(service.splitlines(), template[template.index("[Unit]") :].splitlines())
    assert [line for line in changes if line[0] in "+-"] == [
        "- Description=Order Signing Daemon",
        "+ Description=Order Signing Daemon, instance %i",
        "+ # While an instance runs, clients do not make systemd start ordersigner.service. So the instance starts it.",
        "+ Wants=ordersigner.service",
        "+ Sockets=ordersigner.socket",
        "+ ",
        "+ [Install]",
        "+ # An enabled instance starts whenever ordersigner.service does: with the first client.",
        "+ WantedBy=ordersigner.service",
    ]
