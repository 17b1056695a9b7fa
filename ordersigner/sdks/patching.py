"""Replaces parts of an SDK's modules: of each as soon as it is imported, or at once if it has been.

In: an Sdk, which has a function for each of its modules. That function calls replace() for each part.
Raises Moved if the part is not there, or takes other parameters. Reads the version of the SDK's distribution.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import logging
import re
import sys
from types import ModuleType
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from ordersigner.account import Account

_log = logging.getLogger("ordersigner.sdks")
_ADDRESS = re.compile("(?:0[xX])?[0-9A-Fa-f]{40}").fullmatch


class Moved(ImportError):
    """A version of an SDK does not have what is replaced in it."""


class BareHash(TypeError):
    """An SDK wants a signature of a hash, and the daemon signs none."""


class Replaced(NamedTuple):
    """distribution, version: of the SDK, as pip knows them; part: module and name."""

    distribution: str
    version: str
    part: str


class Sdk(NamedTuple):
    """distribution: its name on PyPI. tried: its versions that the tests run. patches: functions by module."""

    distribution: str
    tried: tuple[str, ...]
    patches: Mapping[str, Callable[[Any], None]]


done: list[Replaced] = []
_waiting: dict[str, list[Sdk]] = {}  # by module
_patched: set[tuple[str, str]] = set()  # distribution and module
_current: list[Sdk] = []  # whose module is being changed


@functools.lru_cache(maxsize=None)
def _account(address: str) -> Account:
    return Account(address)


def account_of(key: object) -> Account | None:
    """The account for the address of a held key, always the same one; None if it is a private key or something else."""
    if isinstance(key, (bytes, bytearray)) and len(key) == 20:
        key = key.hex()
    return _account(key) if isinstance(key, str) and _ADDRESS(key) else None


def watch(sdk: Sdk) -> None:
    """Changes the SDK's modules, now or when they are imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name in sdk.patches:
        waiting = _waiting.setdefault(name, [])
        if sdk not in waiting:
            waiting.append(sdk)
        if name in sys.modules:
            _patch(name)


def replace(owner: Any, name: str, make: Callable[[Any], Any], parameters: Sequence[str] | None = None) -> None:
    """Puts make(original) where a module or a class has the original.

    make: gets the attribute as it is stored: of a class perhaps a staticmethod or a descriptor.
    parameters: the names with which the original's parameters must begin; None: any.

    If the owner is a module, the new one also takes the place of the original in modules that have imported it.
    """
    part = f"{getattr(owner, '__module__', '')}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
    original = vars(owner).get(name)
    if original is None:
        raise _moved(f"{part} has no {name} of its own")
    if parameters is not None:
        found = list(inspect.signature(getattr(original, "__func__", original)).parameters)
        if found[: len(parameters)] != list(parameters):
            raise _moved(f"{part}.{name} takes {', '.join(found)}, and took {', '.join(parameters)}")
    new = make(original)
    setattr(owner, name, new)
    if isinstance(owner, ModuleType):
        for module in list(sys.modules.values()):
            for key, value in list(getattr(module, "__dict__", {}).items()):
                if value is original and module is not sys.modules[__name__]:
                    setattr(module, key, new)
    sdk = _current[-1]
    done.append(Replaced(sdk.distribution, _version(sdk), f"{part}.{name}"))
    _log.info("%s %s: replaced %s", *done[-1])


def _patch(name: str) -> None:
    module = sys.modules[name]
    for sdk in _waiting[name]:
        if (sdk.distribution, name) in _patched:
            continue
        _current.append(sdk)
        try:
            sdk.patches[name](module)
        except AttributeError as error:
            raise _moved(str(error)) from error
        finally:
            _current.pop()
        _patched.add((sdk.distribution, name))


def _moved(what: str) -> Moved:
    sdk = _current[-1]
    return Moved(
        f"{sdk.distribution} {_version(sdk)} cannot use held keys: {what}. Versions that can: {', '.join(sdk.tried)}"
    )


def _version(sdk: Sdk) -> str:
    try:
        return importlib.metadata.version(sdk.distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


class _Finder:
    """Finds the modules that are waited for as the other finders do, and changes them after their import."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader  # whoever asks now sees no difference
        self._loader.exec_module(module)
        _patch(module.__name__)
