"""Replaces the build backends, so that `pip download` fetches source distributions without running their code.

pip asks the backend for the metadata of a download. coincurve's own backend would download another library and compile
it for that. The metadata is in the archive anyway: return it.
"""

from __future__ import annotations

import email
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    metadata = Path("PKG-INFO").read_text(encoding="utf-8")
    fields = email.message_from_string(metadata)
    name = fields["Name"].replace("-", "_")
    target = Path(metadata_directory, f"{name}-{fields['Version']}.dist-info")
    target.mkdir()
    (target / "METADATA").write_text(metadata, encoding="utf-8")
    return target.name
