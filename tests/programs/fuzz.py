"""A coverage-guided fuzzer for the daemon: generates bytes, and checks the results.

    python tests/programs/fuzz.py respond --seconds 3600        requests, under a policy that uses every kind of limit
    python tests/programs/fuzz.py policy --seconds 3600         policies
    python tests/programs/fuzz.py call --seconds 3600           arguments of calls

fuzzed.py says what is checked. The fuzzer begins with tests/corpus and with what earlier runs found, which it keeps in
.cache/fuzz. If a check fails, it prints the traceback, writes the input to .cache/fuzz, and exits with a status that is
not 0. Such an input belongs in tests/corpus, together with the fix: test_fuzz.py replays it.

    python tests/programs/fuzz.py respond --same 12000          the same 12,000 inputs each time, for the tests

It needs atheris, which tests/programs/fuzz-requirements.txt lists.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

import atheris

TESTS = Path(__file__).resolve().parents[1]
KEPT = TESTS.parent / ".cache/fuzz"
MAX_INPUT = 16 * 1024  # bytes; longer input only takes longer
TOO_SLOW = 20  # seconds for one input
PROGRESS = re.compile(r"#[0-9]+\s+(NEW|REDUCE|RELOAD)")  # those of the fuzzer's lines that mean nothing to people

TARGETS = ("call", "policy", "respond")  # of fuzzed.TARGETS


def fuzz(target: str, seconds: int, same: int | None) -> None:
    """Does not return. same: how many inputs, which depend only on the code; otherwise new ones for that time."""
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]
    with atheris.instrument_imports(include=["ordersigner"]):
        from programs import fuzzed  # here, because a held key is wiped in a process that is forked off

    check, mutated = fuzzed.TARGETS[target]
    kept = Path(tempfile.mkdtemp()) if same else KEPT / target
    KEPT.mkdir(parents=True, exist_ok=True)
    kept.mkdir(parents=True, exist_ok=True)
    options = {
        "artifact_prefix": f"{KEPT}/{target}-",
        "max_len": MAX_INPUT,
        "print_final_stats": 1,
        "timeout": TOO_SLOW,
        **({"runs": same, "seed": 1} if same else {"max_total_time": seconds}),
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup(
        [sys.argv[0], *arguments, str(kept), str(TESTS / "corpus" / target)],
        check,
        custom_mutator=lambda data, most, seed: mutated(data, most, seed, atheris.Mutate),
    )
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="for how long (default: %(default)s)")
    parser.add_argument("--same", type=int, metavar="N", help="instead: N inputs, the same in each run")
    arguments = parser.parse_args()
    if arguments.same and os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"  # otherwise each process would take other paths through the code
        os.execv(sys.executable, [sys.executable, *sys.argv])
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        fuzz(arguments.target, arguments.seconds, arguments.same)
    os.close(writer)
    with open(reader, errors="replace") as lines:
        for line in lines:
            if not PROGRESS.match(line):
                print(line, end="", flush=True)
    return os.waitpid(child, 0)[1] and 1


if __name__ == "__main__":
    sys.exit(main())
