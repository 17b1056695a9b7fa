"""Replaces the build backend, so that `pip download` fetches source distributions without running their code.

pip asks the backend for the metadata of a download. coincurve's own backend would download another library and compile
it for that. The metadata is in the archive anyway: return it.
"""

from __future__ import annotations

import email
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    metadata = Path("PKG-INFO").read_text()
    fields = email.message_from_string(metadata)
    target = Path(metadata_directory, "{Name}-{Version}.dist-info".format_map(fields))
    target.mkdir()
    (target / "METADATA").write_text(metadata)
    return target.name
