"""If a version of an SDK lacks a part that is replaced, the program learns that at once, with the name of the part."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest
from support.daemon import SOURCE

from ordersigner import sdks
from ordersigner.sdks import patching

# Parts of eth-account are not in each of its versions: test_eth_account.py runs those. hummingbot is not installed.
FILES = [name for name in sdks.FILES if name not in ("eth_account", "hummingbot")]
ADAPTERS: list[patching.Sdk] = [
    sdk for name in FILES for sdk in importlib.import_module(f"ordersigner.sdks.{name}").SDKS
]
# Imports an SDK. Then, in a process for each part that is replaced in it, the part is hidden, and install() is called.
PROGRAM = """
import importlib, json, os, sys
import httpx

async def send(self, request, **options):
    return httpx.Response(200, json={}, request=request)

httpx.AsyncClient.send = send  # one SDK asks its API when it is imported
from ordersigner import sdks

modules = {name: importlib.import_module(name) for name in sys.argv[1:]}

def attempt(hidden):
    reader, writer = os.pipe()
    if not os.fork():
        if hidden:
            path, _, name = hidden.rpartition(".")
            module = next(name for name in sorted(modules, key=len)[::-1] if (path + ".").startswith(name + "."))
            owner = modules[module]
            for part in path[len(module) + 1:].split(".") if path != module else ():
                owner = getattr(owner, part)
            delattr(owner, name)
        try:
            sdks.install()
            said = [part.part for part in sdks.replaced() if any(part.part.startswith(name + ".") for name in modules)]
        except sdks.Moved as error:
            said = str(error)
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        said = json.load(file)
    os.wait()
    return said

parts = attempt(None)
print(json.dumps({part: attempt(part) for part in parts}))
"""


@pytest.mark.parametrize("sdk", ADAPTERS, ids=lambda sdk: sdk.distribution)
def test_what_is_hidden_is_told_of_with_the_versions_that_were_tried(sdk: patching.Sdk) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *sdk.patches]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert len(said) >= len(sdk.patches)
    for part, text in said.items():
        assert isinstance(text, str), part
        assert part.rpartition(".")[2] in text
        assert text.startswith(f"{sdk.distribution} ")
        assert all(version in text for version in sdk.tried)
