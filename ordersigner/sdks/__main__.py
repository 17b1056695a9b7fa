"""python -m ordersigner.sdks PROGRAM ARGUMENT... or -m MODULE ARGUMENT...: runs a program after install().

The program sees what it sees when python runs it: sys.argv, sys.path and __main__, and its exit status is that of this
process. Processes that it starts are ordinary ones.

Without arguments: lists the SDKs that are installed, and says of each whether the parts that would be replaced are
there. Each is imported in a process of its own, which is ended after 30 seconds: some SDKs wait for a server.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import subprocess
import sys
import types
from typing import Any

from ordersigner import sdks
from ordersigner.sdks.patching import Sdk, installed_version

USAGE = """\
usage: python -m ordersigner.sdks PROGRAM [ARGUMENT ...]
       python -m ordersigner.sdks -m MODULE [ARGUMENT ...]
       python -m ordersigner.sdks

Runs a Python program in which exchanges' SDKs take the address of a held key in place of a private key. Without
arguments, lists the SDKs that are installed.
"""
SECONDS = 30.0  # for the import of an SDK
_ANSWER = "ordersigner.sdks:"  # begins the line with the answer, whatever else an SDK prints
_IMPORT = f"""
import importlib, sys
from ordersigner import sdks
try:
    sdks.install()
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print("\\n{_ANSWER} all replaced parts are there")
except sdks.Moved as error:
    print("\\n{_ANSWER}", error)
except Exception as error:
    print(f"\\n{_ANSWER} cannot be imported: {{type(error).__name__}}: {{error}}")
"""


def main(arguments: list[str]) -> int:
    if not arguments:
        return _list()
    if arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    is_module = arguments[0] == "-m"
    program = arguments[1:] if is_module else arguments
    if not program or program[0].startswith("-"):
        print(USAGE, end="", file=sys.stderr)
        return 2
    sdks.install()
    sys.excepthook = _without_these_frames(sys.excepthook)
    if is_module:
        _run_module(program)
    else:
        _run_file(program)
    return 0


def _run_module(program: list[str]) -> None:
    sys.argv = program
    _as_main()
    runpy._run_module_as_main(program[0])  # type: ignore[attr-defined]  # what `python -m` runs


def _run_file(program: list[str]) -> None:
    sys.argv = program
    path = os.path.abspath(program[0]) if sys.version_info >= (3, 9) else program[0]  # as python does
    has_path = not sys.flags.isolated and not getattr(sys.flags, "safe_path", False)
    if pkgutil.get_importer(path) is not None:  # a folder or a zip file, whatever its name
        sys.path[: 1 if has_path else 0] = [path]
        _as_main()
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise SystemExit(f"{program[0]}: {error.strerror}. For a module or an installed program: -m MODULE") from None
    if has_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    names = _as_main()
    names.update(__file__=path, __cached__=None, __loader__=importlib.machinery.SourceFileLoader("__main__", path))
    exec(compile(source, path, "exec", dont_inherit=True), names)


def _as_main() -> dict[str, Any]:
    """The names of a new module in place of this one, whose functions go on with their own."""
    module: Any = types.ModuleType("__main__")
    module.__builtins__ = builtins
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    names: dict[str, Any] = vars(module)
    return names


def _without_these_frames(excepthook: Any) -> Any:
    def hook(kind: Any, error: Any, traceback: Any) -> None:
        own = traceback
        while own is not None and own.tb_frame.f_code.co_filename != __file__:
            own = own.tb_next
        while own is not None and own.tb_frame.f_code.co_filename == __file__:
            own = own.tb_next
        if own is None and not isinstance(error, SyntaxError):  # of the program, which has no frame yet
            own = traceback
        excepthook(kind, error.with_traceback(own), own)

    return hook


def _list() -> int:
    every = [sdk for name in sdks.FILES for sdk in importlib.import_module(f"ordersigner.sdks.{name}").SDKS]
    versions = [(sdk, installed_version(sdk.distribution)) for sdk in every]
    found = [(sdk, version) for sdk, version in versions if version is not None]
    if not found:
        print("No SDK is installed here. Held keys work with " + ", ".join(sdk.distribution for sdk in every))
    moved = False
    for sdk, version in found:
        answer = _answer(sdk)
        moved = moved or "takes no held keys" in answer
        print(f"{sdk.distribution} {version} (tried: {', '.join(sdk.tried)}): {answer}", flush=True)
    return 1 if moved else 0


def _answer(sdk: Sdk) -> str:
    try:
        process = subprocess.run(
            [sys.executable, "-c", _IMPORT, *sdk.patches],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its import has not ended after {SECONDS:.0f} seconds; perhaps it waits for a server"
    lines = process.stdout.decode("utf-8", "replace").splitlines()
    answers = [line[len(_ANSWER) + 1 :] for line in lines if line.startswith(_ANSWER)]
    return answers[-1] if answers else f"its import has ended Python, with status {process.returncode}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
