"""python -m ordersigner.sdks: a program sees the same as when python runs it; and the list of SDKs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from support.daemon import SOURCE

PROGRAM = """
    import __main__, sys
    from ordersigner import sdks
    from support import held  # in the directory of the program
    names = sorted(set(vars(__main__)) - {"__annotations__", "__cached__", "__loader__"})
    print(__name__, sys.argv, sys.path[0], __file__, names)
    print(__spec__ and __spec__.name, __package__, __builtins__, __main__.held is held)
    print("MARK" in globals(), type(__loader__).__name__, __doc__)
    MARK = 1
    """
FAILING = """
    def fail():
        raise {error}

    fail()
    """


def run(
    directory: Path, *arguments: str, ours: bool, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(["-m", "ordersigner.sdks"] if ours else []), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **(env or {})},
        timeout=60,
    )


def same(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The result of python alone and of python with ours before the program, which must be the same."""
    theirs, result = (run(directory, *arguments, ours=ours) for ours in (False, True))
    assert result.stderr == theirs.stderr
    assert result.stdout == theirs.stdout
    assert result.returncode == theirs.returncode
    return result


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path / "deep/program.py", PROGRAM)
    write(tmp_path / "deep/support/__init__.py", "")
    write(tmp_path / "deep/support/held.py", "")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def test_a_program_sees_what_it_sees_without(place: Path) -> None:
    (place / "link.py").symlink_to("deep/program.py")
    for program in ("deep/program.py", str(place / "deep/program.py"), "link.py"):
        result = same(place, program, "one", "-m", "--two")
        assert result.returncode == 0
        assert f"__main__ ['{program}', 'one', '-m', '--two'] {place}/deep " in result.stdout


def test_a_module_and_a_package_see_what_they_see_without(place: Path) -> None:
    deep = place / "deep"
    write(deep / "package/__init__.py", "")
    write(deep / "package/__main__.py", PROGRAM)
    write(deep / "package/inner.py", PROGRAM)
    for module in ("program", "package", "package.inner"):
        assert same(deep, "-m", module, "one").stdout.startswith("__main__ ['")
    missing = run(deep, "-m", "missing", ours=True)
    assert missing.returncode == 1
    assert missing.stderr.strip().endswith("No module named missing")


def test_a_directory_and_an_archive_are_programs(place: Path) -> None:
    (place / "deep/program.py").rename(place / "deep/__main__.py")
    same(place, "deep", "one")
    with zipfile.ZipFile(place / "program.pyz", "w") as archive:
        for name in ("__main__.py", "support/__init__.py", "support/held.py"):
            archive.write(place / "deep" / name, name)
    same(place, "program.pyz", "one")


@pytest.mark.parametrize(
    "error", ["ValueError('5')", "SystemExit(3)", "SystemExit('text')", "SystemExit", "OSError(2, 'No')"]
)
def test_the_exit_status_and_the_traceback_are_the_programs(error: str, place: Path) -> None:
    write(place / "deep/program.py", FAILING.format(error=error))
    same(place, "deep/program.py")
    same(place / "deep", "-m", "program")


def test_a_program_with_wrong_syntax_is_reported_as_by_python(place: Path) -> None:
    write(place / "deep/program.py", "x = = 1\n")
    result = same(place, "deep/program.py")
    assert "Traceback" not in result.stderr


def test_a_program_that_is_interrupted_ends_by_the_signal(place: Path) -> None:
    program = """
        import os, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass
        """
    write(place / "deep/program.py", program)
    assert same(place, "deep/program.py").returncode == -signal.SIGINT


def test_functions_of_the_program_can_be_pickled_and_threads_outlive_it(place: Path) -> None:
    program = """
        import pickle, threading, time

        class Order:
            pass

        def later():
            assert not threading.main_thread().is_alive()
            print(type(pickle.loads(pickle.dumps(Order()))) is Order, __name__)

        def wait():
            threading.main_thread().join()
            later()

        threading.Thread(target=wait).start()
        """
    write(place / "deep/program.py", program)
    assert same(place, "deep/program.py").stdout == "True __main__\n"


def test_without_the_programs_directory_in_the_path_it_stays_out(place: Path) -> None:
    write(place / "deep/program.py", "import sys\nprint(sys.path)\n")
    theirs = subprocess.run([sys.executable, "-I", "deep/program.py"], check=True, capture_output=True, cwd=place)
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
        "from ordersigner.sdks.__main__ import main; main(sys.argv[1:])"
    )
    ours = subprocess.run(
        [sys.executable, "-I", "-c", program, "deep/program.py"], check=True, capture_output=True, cwd=place
    )
    assert eval(ours.stdout) == [str(SOURCE), *eval(theirs.stdout)]


def test_adapters_are_installed_before_the_program(place: Path) -> None:
    program = """
        from eth_account import Account
        print(type(Account.from_key("0x" + 40 * "1")).__module__)
        """
    write(place / "deep/program.py", program)
    assert run(place, "deep/program.py", ours=True).stdout == "ordersigner.account\n"
    assert run(place, "deep/program.py", ours=False).returncode == 1


@pytest.mark.parametrize("arguments", [["-x"], ["-m"], ["-m", "-x"], ["--version"]])
def test_wrong_arguments_show_the_usage(arguments: list[str], tmp_path: Path) -> None:
    result = run(tmp_path, *arguments, ours=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: python -m ordersigner.sdks PROGRAM [ARGUMENT ...]\n")
    assert run(tmp_path, "--help", ours=True).stdout == result.stderr


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path, "freqtrade", "trade", ours=True)
    assert result.returncode == 1
    assert result.stderr == "freqtrade: No such file or directory. For a module or an installed program: -m MODULE\n"


def listed(directory: Path, adapter: str) -> subprocess.CompletedProcess[str]:
    """The list with one adapter, and an SDK in this directory. Its children have the same adapter."""
    write(
        directory / "sitecustomize.py", f"import sys, types\nfrom ordersigner import sdks\n{textwrap.dedent(adapter)}"
    )
    return run(directory, ours=True, env={"PYTHONPATH": f"{directory}:{SOURCE}"})


ADAPTER = """
    from ordersigner.sdks import patching
    def shop(module):
        patching.replace(module, "sign", lambda original: original)
    sdk = patching.Sdk("shop-sdk", ("1.0", "1.1"), {"shop": shop})
    sys.modules["ordersigner.sdks.made"] = types.SimpleNamespace(SDKS=(sdk,))
    sdks.FILES = ("made",)
    """


@pytest.mark.parametrize(
    ("text", "answer", "status"),
    [
        ("print('hello')\ndef sign():\n    pass\n", "all replaced parts are there", 0),
        (
            "",
            "shop-sdk 1.2 takes no held keys: shop has no sign of its own. Tried with version 1.0, 1.1: install one of",
            1,
        ),
        ("import missing", "cannot be imported: ModuleNotFoundError: No module named 'missing'", 0),
        ("import os; os._exit(5)", "its import has ended Python, with status 5", 0),
    ],
)
def test_the_list_says_how_each_installed_sdk_is(text: str, answer: str, status: int, tmp_path: Path) -> None:
    write(tmp_path / "shop.py", text)
    write(tmp_path / "shop_sdk.dist-info/METADATA", "Name: shop-sdk\nVersion: 1.2\n")
    result = listed(tmp_path, ADAPTER)
    assert result.stdout.startswith(f"shop-sdk 1.2 (tried: 1.0, 1.1): {answer}")
    assert (result.stderr, result.returncode, result.stdout.count("\n")) == ("", status, 1)


def test_an_sdk_whose_import_hangs_does_not_hang_the_list(tmp_path: Path) -> None:
    write(tmp_path / "shop.py", "import socket\nsocket.create_server(('127.0.0.1', 0)).accept()\n")
    write(tmp_path / "shop_sdk.dist-info/METADATA", "Name: shop-sdk\nVersion: 1.2\n")
    program = "from ordersigner.sdks import __main__ as us\nus.SECONDS = 2.0\nraise SystemExit(us.main([]))"
    write(tmp_path / "sitecustomize.py", f"import sys, types\nfrom ordersigner import sdks\n{textwrap.dedent(ADAPTER)}")
    result = run(tmp_path, "-c", program, ours=False, env={"PYTHONPATH": f"{tmp_path}:{SOURCE}"})
    assert result.stdout == (
        "shop-sdk 1.2 (tried: 1.0, 1.1): its import has not ended after 2 seconds; perhaps it waits for a server\n"
    )
    assert result.returncode == 0


def test_without_sdks_the_list_says_which_there_are(tmp_path: Path) -> None:
    result = listed(tmp_path, ADAPTER)
    assert result.stdout == "No SDK is installed here. Held keys work with shop-sdk\n"
    assert result.returncode == 0
