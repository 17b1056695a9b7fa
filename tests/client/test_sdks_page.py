"""docs/use/sdks.rst names the SDKs and the versions that were tried: those of the adapters and of the tests' pins."""

from __future__ import annotations

import importlib
import re

from support.daemon import SOURCE

from ordersigner import sdks

PAGE = (SOURCE / "docs/use/sdks.rst").read_text()
# The first cell of each row of a table. It may name several packages, each with its versions.
ROWS = [re.sub(r"\n {5}(?=\S)", " ", row) for row in re.findall(r"\n   \* - (.+?)(?=\n     -)", PAGE, re.DOTALL)]
NAMED = {
    name: set(re.findall(r"\d+(?:\.\d+)*", versions))
    for row in ROWS
    for name, versions in re.findall(r"``([A-Za-z0-9_-]+)``([^`]*)", row)
}
SDKS = [sdk for name in sdks.FILES for sdk in importlib.import_module(f"ordersigner.sdks.{name}").SDKS]


def pins() -> dict[str, set[str]]:
    """The versions of each package that the tests' environments pin."""
    found: dict[str, set[str]] = {}
    for path in sorted((SOURCE / "tests/sdks").glob("requirements*.txt")):
        for name, version in re.findall(r"^([A-Za-z0-9_-]+)(?:\[.*\])?==([0-9.]+)", path.read_text(), re.MULTILINE):
            found.setdefault(name, set()).add(version)
    return found


def test_the_page_names_the_versions_of_each_adapter_that_were_tried() -> None:
    assert len(SDKS) >= len(sdks.FILES) >= 1
    for sdk in SDKS:
        assert NAMED.get(sdk.distribution) == set(sdk.tried), sdk.distribution


def test_the_page_names_the_versions_that_the_tests_run() -> None:
    assert len(pins()) >= 7
    for name, versions in pins().items():
        assert NAMED.get(name, set()) >= versions, name


def test_the_tests_run_a_version_of_each_adapter_that_was_tried() -> None:
    for sdk in SDKS:
        if sdk.distribution in pins():
            assert pins()[sdk.distribution] <= set(sdk.tried)
