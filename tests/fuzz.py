"""Feeds the daemon with bytes that a fuzzer makes, guided by which of its code they reach, and checks what comes out.

    python tests/fuzz.py respond --seconds 3600        requests, under a policy that uses every kind of limit
    python tests/fuzz.py policy --seconds 3600         policies

tests/fuzzed.py says what is checked. The fuzzer starts from tests/corpus, and from what earlier runs found, which it keeps
in .cache/fuzz. If a check fails, it prints the traceback, writes the input to .cache/fuzz, and exits with a status that
is not 0. Put such an input into tests/corpus, with the fix: tests/test_fuzz.py replays the corpus on every Python.

It needs atheris, which tests/fuzz-requirements.txt lists.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
MAX_INPUT = 16 * 1024  # bytes; longer lines only take longer

sys.path[:0] = [str(HERE.parent), str(HERE)]
with atheris.instrument_imports(include=["ordersigner"]):
    import fuzzed

TARGETS = {
    "respond": (fuzzed.respond, fuzzed.mutated_requests),
    "policy": (fuzzed.read_policy, fuzzed.mutated_policy),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="for how long (default: %(default)s)")
    arguments = parser.parse_args()
    check, mutated = TARGETS[arguments.target]
    kept = HERE.parent / ".cache/fuzz" / arguments.target
    kept.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={arguments.seconds}",
            f"-max_len={MAX_INPUT}",
            "-timeout=20",
            "-print_final_stats=1",
            f"-artifact_prefix={kept.parent}/{arguments.target}-",
            str(kept),
            str(HERE / "corpus" / arguments.target),
        ],
        check,
        custom_mutator=lambda data, most, seed: mutated(data, most, seed, atheris.Mutate),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
