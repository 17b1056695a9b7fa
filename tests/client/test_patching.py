"""Replacing parts of SDKs: each test makes an SDK, which a process of its own imports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from support.daemon import SOURCE

from ordersigner.sdks.patching import account_of

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # from EIP-55
# An SDK whose functions return their own names, and a program that uses it.
SDK = {
    "shop/__init__.py": "",
    "shop/signing.py": """
        def sign(key, message):
            return "theirs", key, message

        class Wallet:
            def sign(self, message):
                return "theirs", message

            @staticmethod
            def make(key):
                return "theirs", key
        """,
    "shop/client.py": """
        from shop.signing import sign

        def order(key):
            return sign(key, "order")
        """,
}
ADAPTER = """
    from ordersigner.sdks import patching

    def signing(module):
        def make(original):
            return lambda key, message: ("ours", *original(key, message)[1:])
        patching.replace(module, "sign", make, ["key", "message"])
        patching.replace(module.Wallet, "sign", lambda original: lambda self, message: ("ours", message), ["self"])
        patching.replace(module.Wallet, "make", lambda original: staticmethod(lambda key: ("ours", key)), ["key"])

    SHOP = patching.Sdk("shop-sdk", ("1.0", "1.1"), {"shop.signing": signing})
    """
OURS = """
    import shop.client, shop.signing
    print(shop.client.order(1), shop.signing.sign(1, 2), shop.signing.Wallet().sign(3), shop.signing.Wallet.make(4))
    """
SEEN = "('ours', 1, 'order') ('ours', 1, 2) ('ours', 3) ('ours', 4)\n"


class Place:
    """A directory with the modules that programs import."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write(ADAPTER, "adapter.py")
        for name, text in SDK.items():
            self.write(text, name)
        self.distribute("1.1")

    def write(self, text: str, name: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def distribute(self, version: str) -> None:
        metadata = f"Metadata-Version: 2.1\nName: shop-sdk\nVersion: {version}\n"
        self.write(metadata, "shop_sdk.dist-info/METADATA")

    def process(self, *parts: str, path: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", "".join(map(textwrap.dedent, parts))],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": f"{path or self.directory}:{SOURCE}", "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=60,
        )

    def run(self, *parts: str, path: str = "") -> str:
        process = self.process(*parts, path=path)
        assert (process.returncode, process.stderr) == (0, ""), process.stderr
        return process.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


WATCH = "import adapter; adapter.patching.watch(adapter.SHOP)\n"


def test_parts_are_replaced_when_their_module_is_imported(place: Place) -> None:
    program = "import sys; assert not {'shop', 'shop.signing'} & sys.modules.keys()\n"
    assert place.run(WATCH, program, OURS) == SEEN


def test_parts_are_replaced_at_once_in_modules_that_have_been_imported(place: Place) -> None:
    assert place.run("import shop.client\n", WATCH, OURS) == SEEN


def test_whoever_imported_a_function_or_bound_a_method_before_gets_the_new_one(place: Place) -> None:
    place.write("from shop.signing import sign, Wallet\ntogether = [sign]\nbound = Wallet().sign", "earlier.py")
    program = "print(earlier.sign(1, 2), earlier.bound(3), sign(4, 5), earlier.together[0](6, 7))"
    program = f"import earlier\nfrom shop.signing import sign\n{WATCH}{program}"
    assert place.run(program) == "('ours', 1, 2) ('ours', 3) ('ours', 4, 5) ('theirs', 6, 7)\n"


def test_what_a_module_has_from_elsewhere_is_replaced_only_there(place: Place) -> None:
    place.write(
        """
        from ordersigner.sdks import patching

        def client(module):
            patching.replace(module, "sign", lambda original: lambda key, message: "ours")

        SHOP = patching.Sdk("shop-sdk", (), {"shop.client": client})
        """,
        "adapter.py",
    )
    program = "import shop.client, shop.signing; print(shop.client.order(1), shop.signing.sign(2, 3))"
    assert place.run(WATCH, program) == place.run("import shop.client\n", WATCH, program) == "ours ('theirs', 2, 3)\n"


def test_what_is_replaced_is_told_once(place: Place) -> None:
    program = """
        import logging, adapter
        from ordersigner import sdks
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s", level="INFO", stream=__import__("sys").stdout)
        adapter.patching.watch(adapter.SHOP)
        adapter.patching.watch(adapter.SHOP)
        import shop.signing
        adapter.patching.watch(adapter.SHOP)
        print(*sdks.replaced(), sep="\\n")
        """
    parts = "sign", "Wallet.sign", "Wallet.make"
    told = [f"ordersigner.sdks INFO shop-sdk 1.1: replaced shop.signing.{part}\n" for part in parts]
    kept = [f"Replaced(distribution='shop-sdk', version='1.1', part='shop.signing.{part}')\n" for part in parts]
    assert place.run(program) == "".join(told + kept)


@pytest.mark.parametrize(
    "again",
    [
        "import importlib, shop.signing; importlib.reload(shop.signing); importlib.reload(shop.signing)\n",
        "import sys, shop.signing; del sys.modules['shop.signing'], sys.modules['shop']\n",
    ],
)
def test_a_module_that_is_loaded_again_is_changed_again(place: Place, again: str) -> None:
    assert place.run(WATCH, again, OURS) == SEEN


def test_a_part_of_another_module_is_replaced_once_when_a_module_is_loaded_again(place: Place) -> None:
    place.write(
        ADAPTER.replace('{"shop.signing": signing', '{"shop.client": lambda _: signing(sys.modules["shop.signing"])')
        .replace("from", "import sys\n    from", 1)
        .replace('"ours", *', '"ours" + original(key, message)[0], *'),
        "adapter.py",
    )
    program = "import importlib, shop.client; importlib.reload(shop.client); print(shop.client.order(1))"
    assert place.run(WATCH, program) == "('ourstheirs', 1, 'order')\n"


def moved(place: Place, text: str, *, order: str = WATCH + "import shop.signing\n") -> None:
    process = place.process(order)
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert last == (
        f"ordersigner.sdks.patching.Moved: shop-sdk 2.0 takes no held keys: {text}. Tried with version 1.0, 1.1:"
        " install one of these, or a newer ordersigner"
    )


CHANGES = {
    "shop.signing has no sign of its own": ("def sign", "def sign_it"),
    "shop.signing.sign takes message, key, no longer key, message": ("sign(key, message)", "sign(message, key)"),
    "shop.signing.Wallet has no make of its own": ("def make", "def create"),
    "module 'shop.signing' has no attribute 'Wallet'": ("class Wallet", "class Purse"),
}


@pytest.mark.parametrize("text", CHANGES)
def test_a_version_that_has_moved_a_part_is_an_error(place: Place, text: str) -> None:
    place.distribute("2.0")
    place.write(SDK["shop/signing.py"].replace(*CHANGES[text]), "shop/signing.py")
    moved(place, text)
    moved(place, text, order="import shop.signing\n" + WATCH)


def test_a_version_that_has_moved_a_module_is_an_error_though_nothing_imports_it(place: Place) -> None:
    place.distribute("2.0")
    (place.directory / "shop/signing.py").rename(place.directory / "shop/signatures.py")
    moved(place, "there is no module shop.signing", order=WATCH + "import shop\n")
    moved(place, "there is no module shop.signing", order="import shop\n" + WATCH)
    place.write(ADAPTER.replace('"shop.signing"', '"shop.utils.signing"'), "adapter.py")
    moved(place, "there is no module shop.utils", order=WATCH + "import shop\n")
    place.write("raise SystemExit('was imported')", "shop/utils/__init__.py")
    moved(place, "there is no module shop.utils.signing", order=WATCH + "import shop\n")


@pytest.mark.parametrize("exception", ["ImportError", "Exception"])
def test_a_program_that_goes_on_without_an_sdk_learns_that_it_has_moved(place: Place, exception: str) -> None:
    place.distribute("2.0")
    place.write("", "shop/signing.py")
    process = place.process(WATCH, f"try:\n    import shop.signing\nexcept {exception}:\n    pass\n")
    assert "shop-sdk 2.0 takes no held keys: shop.signing has no sign of its own" in process.stderr
    assert process.returncode == (1 if exception == "ImportError" else 0)


def test_a_moved_sdk_is_an_error_at_each_import(place: Place) -> None:
    place.distribute("2.0")
    place.write("", "shop/signing.py")
    program = """
        for _ in range(2):
            try:
                import shop.signing
            except adapter.patching.Moved:
                print("Moved")
        """
    process = place.process(WATCH, program)
    assert process.stdout == "Moved\nMoved\n"


def test_a_moved_sdk_does_not_keep_others_from_being_changed(place: Place) -> None:
    place.write("", "gone/__init__.py")
    place.write("Name: gone\nVersion: 3\n", "gone.dist-info/METADATA")
    program = """
        import adapter, gone, types, sys
        from ordersigner import sdks
        missing = adapter.patching.Sdk("gone", ("1",), {"gone": lambda module: module.missing})
        sys.modules["ordersigner.sdks.made"] = types.SimpleNamespace(SDKS=(missing, adapter.SHOP))
        sdks.FILES = ("made",)
        try:
            sdks.install()
        except sdks.Moved as error:
            print(error)
        """
    process = place.process(program, OURS)
    assert process.stdout == (
        "gone 3 takes no held keys: module 'gone' has no attribute 'missing'. Tried with version 1: install one of"
        " these, or a newer ordersigner\n" + SEEN
    )


def test_a_programs_own_module_with_the_name_of_one_of_an_sdk_stays_as_it_is(place: Place) -> None:
    shutil.rmtree(place.directory / "shop_sdk.dist-info")
    place.write("def sign(order):\n    return order\n", "shop/signing.py")
    process = place.process(WATCH, "import shop.signing; print(shop.signing.sign(5))")
    assert (process.returncode, process.stdout) == (0, "5\n")
    assert process.stderr == (
        "shop.signing takes no held keys: shop.signing.sign takes order, no longer key, message, and shop-sdk is not"
        " installed\n"
    )


def test_an_sdk_from_a_checkout_is_changed(place: Place) -> None:
    shutil.rmtree(place.directory / "shop_sdk.dist-info")
    assert place.run(WATCH, OURS) == SEEN


def test_an_sdk_in_an_archive_is_changed(place: Place) -> None:
    with zipfile.ZipFile(place.directory / "sdk.zip", "w") as archive:
        for name in SDK:
            archive.write(place.directory / name, name)
            (place.directory / name).unlink()
    (place.directory / "shop").rmdir()
    assert place.run(WATCH, OURS, path=f"{place.directory}:{place.directory}/sdk.zip") == SEEN


def test_an_sdk_in_a_namespace_package_is_changed(place: Place) -> None:
    (place.directory / "shop/__init__.py").unlink()
    assert place.run(WATCH, OURS) == SEEN


def test_an_sdk_that_is_installed_as_editable_is_changed(place: Place) -> None:
    """setuptools has a finder for these, which the file of the environment appends."""
    (place.directory / "shop").rename(place.directory / "checkout")
    finder = f"""
        import importlib.util, sys

        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name == "shop":
                    return importlib.util.spec_from_file_location(
                        name, "{place.directory}/checkout/__init__.py",
                        submodule_search_locations=["{place.directory}/checkout"])

        sys.meta_path.append(Finder)
        """
    assert place.run(finder, WATCH, OURS) == SEEN
    assert place.run(WATCH, finder, OURS) == SEEN


def test_other_hooks_of_imports_still_work(place: Place) -> None:
    """A hook that asks for the spec and wraps the loader, as wrapt does."""
    hook = """
        import importlib.util, sys

        class Loader:
            def __init__(self, loader):
                self.loader = loader
            def create_module(self, spec):
                return self.loader.create_module(spec)
            def exec_module(self, module):
                self.loader.exec_module(module)
                print("seen", module.__name__, end=" ")

        class Hook:
            busy = False
            def find_spec(self, name, path=None, target=None):
                if name == "shop.signing" and not self.busy:
                    self.busy = True
                    spec = importlib.util.find_spec(name)
                    self.busy = False
                    spec.loader = Loader(spec.loader)
                    return spec

        sys.meta_path.insert(0, Hook())
        """
    assert place.run(hook, WATCH, OURS) == "seen shop.signing " + SEEN
    assert place.run(WATCH, hook, OURS) == "seen shop.signing " + SEEN


def test_a_changed_module_looks_like_any_other(place: Place) -> None:
    program = """
        import importlib.util, inspect, pickle, shop.client, shop.signing
        for module in (shop.signing, shop.client):
            assert type(module.__spec__.loader) is type(module.__loader__) is importlib.machinery.SourceFileLoader
            assert importlib.util.find_spec(module.__name__) is module.__spec__
            assert "def " in inspect.getsource(module)
        spec = importlib.util.find_spec("shop.signing")
        """
    early = """
        import importlib.util
        spec = importlib.util.find_spec("shop.signing")
        assert spec.loader.get_source("shop.signing").strip() and spec.loader.is_package("shop.signing") is False
        assert not hasattr(spec.loader, "missing")
        """
    place.run(WATCH, early, program)


def test_an_import_in_two_threads_is_changed_once(place: Place) -> None:
    place.write("import time; time.sleep(0.2)\n" + textwrap.dedent(SDK["shop/signing.py"]), "shop/signing.py")
    program = """
        import importlib, threading
        from ordersigner import sdks
        threads = [threading.Thread(target=importlib.import_module, args=["shop.client"]) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sdks.replaced()) == 3
        """
    assert place.run(WATCH, program, OURS) == SEEN


def test_a_module_that_another_thread_is_importing_is_changed_when_it_is_complete(place: Place) -> None:
    place.write(
        "import held; held.reached.set(); held.go_on.wait(20)\n" + textwrap.dedent(SDK["shop/signing.py"]),
        "shop/signing.py",
    )
    place.write("import threading; reached, go_on = threading.Event(), threading.Event()", "held.py")
    program = """
        import adapter, held, importlib, threading
        threading.Thread(target=importlib.import_module, args=["shop.client"]).start()
        held.reached.wait(20)
        threading.Timer(0.1, held.go_on.set).start()
        adapter.patching.watch(adapter.SHOP)
        """
    assert place.run(program, OURS) == SEEN


def test_watch_during_the_import_of_the_module_in_the_same_thread_is_an_error(place: Place) -> None:
    text = textwrap.dedent(SDK["shop/signing.py"])
    place.write(WATCH + text, "shop/signing.py")
    process = place.process("import shop.signing")
    assert process.stderr.splitlines()[-1] == (
        "RuntimeError: shop.signing is being imported: call ordersigner.sdks.install() before that, or after"
    )
    assert place.run(WATCH, OURS) == SEEN  # it has been called before
    place.write(text, "shop/signing.py")
    place.write(WATCH, "shop/__init__.py")  # the package is not complete, the module is not there yet
    assert place.run(OURS) == SEEN


SPELLINGS = [
    ADDRESS,
    ADDRESS.lower(),
    ADDRESS[2:],
    "0X" + ADDRESS[2:].upper(),
    ADDRESS.encode(),
    ADDRESS[2:].encode(),
    bytes.fromhex(ADDRESS[2:]),
    bytearray.fromhex(ADDRESS[2:]),
]


def test_an_address_in_any_form_gives_the_same_account() -> None:
    accounts = [account_of(spelling) for spelling in SPELLINGS]
    assert accounts[0] is not None
    assert accounts[0].address == ADDRESS
    assert all(account is accounts[0] for account in accounts)


def test_a_private_key_or_something_else_gives_none() -> None:
    keys = [64 * "1", "0x" + 64 * "1", bytes(32), 20, 2**159, None, "", b"", ADDRESS + "\n", ADDRESS[:-1], 40 * "g"]
    keys += [b"\xff" * 40, ["0x" + 40 * "1"], 5 * [1]]
    assert [account_of(key) for key in keys] == [None] * len(keys)


def test_an_address_with_a_typing_error_is_an_error_that_does_not_quote_it() -> None:
    wrong = ADDRESS[:-1] + "D"
    for key in (wrong, wrong[2:], wrong.encode()):
        with pytest.raises(ValueError, match=r"^address: upper and lower case are not those of EIP-55; check"):
            account_of(key)


def test_installing_imports_no_sdk() -> None:
    program = """
        import sys
        before = {*sys.modules}
        from ordersigner import sdks
        sdks.install()
        for name in {*sys.modules} - before:
            print(name, "site-packages" in str(getattr(sys.modules[name], "__file__", "")))
        """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    process = subprocess.run(command, check=True, cwd=SOURCE, stdout=subprocess.PIPE, text=True)
    new = dict(line.split() for line in process.stdout.splitlines())
    others = {name.partition(".")[0] for name, installed in new.items() if installed == "True"} - {"ordersigner"}
    assert others <= {"Cryptodome", "Crypto", "cffi", "_cffi_backend", "pycparser", "hexbytes"}  # if they are there


def test_no_module_is_loaded_that_a_program_wants_lazily(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text("print('loaded')")
    (tmp_path / "sdk.py").write_text("def sign(key): return key")
    program = """
import importlib.util, sys
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["lazy"] = lazy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lazy)
from ordersigner.sdks import patching
patching.watch(patching.Sdk("sdk", ("1",), {"sdk": lambda module: patching.replace(module, "sign", lambda sign: len)}))
import sdk
print(sdk.sign("12"))
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{SOURCE}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "2\n"
