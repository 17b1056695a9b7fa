"""Replaces parts of an SDK's modules: of each as soon as it is imported, or at once if it has been.

In: an Sdk, which has a function for each of its modules. That function calls replace() for each part.
Raises Moved if the part is not there, or takes other parameters, or if one of the modules is gone. Reads the version of
the SDK's distribution. If that is not installed, a module may be a program's own that has the same name: then this only
warns.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import re
import sys
from contextvars import ContextVar
from importlib import metadata
from types import MethodType, ModuleType
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from ordersigner.account import Account

_log = logging.getLogger("ordersigner.sdks")
_ADDRESS = re.compile("(?:0[xX])?([0-9A-Fa-f]{40})").fullmatch
_UNCHANGED = frozenset((str, int, bool, bytes))  # isinstance(…, Mapping) takes long for these

# For Python, a module is partially initialized until its import has ended.
_PARTIAL = re.compile(r"(?s)(?:partially initialized )?module ('[\w.]+').* has no attribute ('\w+').*")


class Moved(RuntimeError):
    """A version of an SDK does not have a part that must be replaced. The text names the versions that were tried.

    It is no ImportError: programs that can do without an SDK catch that, and would go on without held keys.
    """


class BareHash(TypeError):
    """An SDK needs a signature of a hash. The daemon signs none, because it cannot tell what a hash stands for."""


class Replaced(NamedTuple):
    """A part that was replaced.

    distribution, version: of the SDK, as pip knows them.
    part: the module and the name in it.
    """

    distribution: str
    version: str
    part: str


class Sdk(NamedTuple):
    """distribution: its name on PyPI. tried: its versions that the tests run. patches: functions by module.

    Each of these modules must be there in every version that is tried.
    """

    distribution: str
    tried: tuple[str, ...]
    patches: Mapping[str, Callable[[Any], None]]


class _Change(NamedTuple):
    """sdk: the one whose module is being changed; new: pairs of what modules may have and what they get instead."""

    sdk: Sdk
    new: list[tuple[Any, Any]]


done: list[Replaced] = []
_accounts: dict[str, Account] = {}  # by all spellings that were asked for
_waiting: dict[str, list[Sdk]] = {}  # by module, and by the package that it is in
_loading: set[str] = set()  # modules that will be changed when their import ends
_patched: dict[tuple[str, str], Any] = {}  # modules by distribution and name
_made: dict[str, tuple[Any, Any]] = {}  # the owner and what it has now, by part
_current: ContextVar[_Change] = ContextVar("ordersigner.sdks")


def account_of(key: object) -> Account | None:
    """The account for the address of a held key, always the same one; None if it is a private key or something else.

    key: 40 hexadecimal digits, with or without 0x, as text or bytes, or the 20 bytes. Raises ValueError if it has upper
    and lower case other than those of EIP-55.
    """
    if isinstance(key, (bytes, bytearray)):
        key = key.hex() if len(key) == 20 else key.decode("latin-1") if len(key) in (40, 42) else None
    digits = _ADDRESS(key) if isinstance(key, str) else None
    if digits is None:
        return None
    if digits[1] not in _accounts:
        account = Account(digits[1])
        _accounts[digits[1]] = _accounts.setdefault(account.address, account)
    return _accounts[digits[1]]


def copied(value: Any) -> Any:
    """A copy of typed data, which the program may change afterwards."""
    kind = type(value)
    if kind in _UNCHANGED:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {name: copied(part) for name, part in value.items()}
    return [copied(part) for part in value] if isinstance(value, (list, tuple)) else value


def watch(sdk: Sdk) -> None:
    """Changes the SDK's modules, now or when they are imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name in dict.fromkeys([*map(_package, sdk.patches), *sdk.patches]):
        waiting = _waiting.setdefault(name, [])
        if sdk not in waiting:
            waiting.append(sdk)
        if name in sdk.patches and name not in _loading and _is_incomplete(name):
            importlib.import_module(name)  # another thread imports it: wait until it is there
            if _is_incomplete(name):
                raise RuntimeError(f"{name} is being imported: call ordersigner.sdks.install() before that, or after")
        if sys.modules.get(name) is not None and name not in _loading:
            _patch(name)


def _is_incomplete(name: str) -> bool:
    return bool(getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False))


def replace(owner: Any, name: str, make: Callable[[Any], Any], parameters: Sequence[str] | None = None) -> None:
    """Puts make(original) where a module or a class has the original.

    make: gets the attribute as it is stored: of a class perhaps a staticmethod or a descriptor.
    parameters: the names with which the original's parameters must begin; None: any.

    What the module itself defines is also replaced in the modules that have imported it, and methods of a class in
    modules that have bound them to an object. An object that keeps the original goes on with it.
    """
    within = f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
    part = f"{within}.{name}"
    change = _current.get()
    original = vars(owner).get(name)
    if original is None:
        raise AttributeError(f"{within} has no {name} of its own")
    if part in _made and _made[part][0] is owner and _made[part][1] is original:
        return  # another module of the SDK has been loaded again
    if parameters is not None:
        found = _parameters(original)
        if found[: len(parameters)] != list(parameters):
            raise TypeError(f"{part} takes {', '.join(found)}, no longer {', '.join(parameters)}")
    new = make(original)
    setattr(owner, name, new)
    _made[part] = owner, new
    if isinstance(owner, type) or getattr(original, "__module__", None) == owner.__name__:
        change.new.append((original, new))
    done.append(Replaced(change.sdk.distribution, installed_version(change.sdk.distribution) or "", part))
    _log.info("%s %s: replaced %s", *done[-1])


def _parameters(attribute: Any) -> list[str]:
    for name in ("__func__", "method"):  # of a staticmethod or classmethod; of eth_utils' combomethod
        attribute = getattr(attribute, name, attribute)
    return list(inspect.signature(attribute).parameters)


def _patch(name: str) -> None:
    module = sys.modules[name]
    for sdk in list(_waiting[name]):
        if _patched.get((sdk.distribution, name)) is module:
            continue
        change = _Change(sdk, [])
        token = _current.set(change)
        try:
            if name in sdk.patches:
                sdk.patches[name](module)
            _check_modules(sdk, module)
        except (AttributeError, ImportError, LookupError, TypeError, ValueError) as error:
            _moved(sdk, name, error)
        finally:
            _current.reset(token)
        _pass_on(change.new)
        _patched[sdk.distribution, name] = module


def _check_modules(sdk: Sdk, package: Any) -> None:
    """Whether each module that has a patch is there, in the package or below. Imports none."""
    for name in sdk.patches:
        path = getattr(package, "__path__", None)
        at = package.__name__
        while path is not None and name.startswith(at + ".") and name not in sys.modules:
            at = ".".join(name.split(".")[: at.count(".") + 2])
            spec = _found(at, path)
            if spec is None:
                raise ImportError(f"there is no module {at}")
            path = spec.submodule_search_locations


def _moved(sdk: Sdk, name: str, error: Exception) -> None:
    version = installed_version(sdk.distribution)
    what = _PARTIAL.sub(r"module \1 has no attribute \2", str(error))
    if version is None:
        _log.warning("%s takes no held keys: %s, and %s is not installed", name, what, sdk.distribution)
        return
    text = (
        f"{sdk.distribution} {version} takes no held keys: {what}. Tried with version {', '.join(sdk.tried)}: install"
        " one of these, or a newer ordersigner"
    )
    _log.error("%s", text)  # for programs that catch whatever an import raises
    raise Moved(text) from error


def _pass_on(new: list[tuple[Any, Any]]) -> None:
    """Gives modules the new functions where they have the old ones."""
    if not new:
        return
    by_id = {id(old): replacement for old, replacement in new if replacement is not old}
    for module_name, module in list(sys.modules.items()):
        if not issubclass(type(module), ModuleType) or module_name.partition(".")[0] == "ordersigner":
            continue
        names = _names(module)
        for key, value in list(names.items()):
            if id(value) in by_id:
                names[key] = by_id[id(value)]
            elif type(value) is MethodType and id(value.__func__) in by_id:
                names[key] = MethodType(by_id[id(value.__func__)], value.__self__)


def _names(module: ModuleType) -> dict[str, Any]:
    """The module's own names. vars() would load a module that is loaded when it is needed."""
    names: dict[str, Any] = vars(ModuleType)["__dict__"].__get__(module)
    return names


@functools.lru_cache(maxsize=None)
def installed_version(distribution: str) -> str | None:
    """None if it is not installed."""
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, KeyError):  # KeyError: what an interrupted pip has left
        return None


def _package(module: str) -> str:
    """The package at the top."""
    return module.partition(".")[0]


def _found(name: str, path: Any, target: Any = None) -> Any:
    """The spec of a module, from the finders of the program."""
    for finder in list(sys.meta_path):
        find = None if isinstance(finder, _Finder) else getattr(finder, "find_spec", None)
        spec = find and find(name, path, target)
        if spec is not None:
            return spec
    return None


class _Finder:
    """Finds the modules that are waited for as the other finders do, and changes them after their import."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        spec = _found(name, path, target) if name in _waiting else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader:
    """A module's loader, but _patch() follows the load."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":
            raise AttributeError(name)  # in a copy that has none yet
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        create = getattr(self._loader, "create_module", None)
        return create and create(spec)

    def exec_module(self, module: Any) -> None:
        name = module.__spec__.name
        module.__spec__.loader = module.__loader__ = self._loader  # from now on there is no difference to see
        for sdk in _waiting[name]:
            _patched.pop((sdk.distribution, name), None)  # if it is loaded again
        _loading.add(name)
        try:
            if hasattr(self._loader, "exec_module"):
                self._loader.exec_module(module)
            else:  # zipimporter before Python 3.10
                self._loader.load_module(name)
        finally:
            _loading.discard(name)
        _patch(name)
