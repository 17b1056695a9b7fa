"""In place of a build backend, so that `pip download` can fetch source distributions and run nothing of theirs.

pip asks the backend for the metadata of what it has downloaded, which for coincurve means to compile it, after a
download of another library. The metadata is in the archive all the same: answer with that.
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
