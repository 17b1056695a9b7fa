"""Mixed clients through restarts, reloads and instances that come and go: soak.py runs this for any time."""

from __future__ import annotations

from programs.soak import EVENTS, GAP, soak

from system.machine import Machine


def test_clients_of_all_kinds_get_right_signatures_whatever_happens_to_the_service(installed: Machine) -> None:
    print(soak(installed, GAP * len(EVENTS)))
