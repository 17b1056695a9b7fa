"""How long a signature of typed data takes: by eth-account with a private key, and by the daemon with its address.

    .cache/tests/bin/python tests/programs/account_speed.py [ROUNDS]

They alternate on the same data, in one process, with one connection. eth-account signs in Python, unless coincurve is
installed in the program's environment. Prints the median and the best of each: on a busy machine look at the best.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import eth_account
from support.daemon import standalone
from support.held import address, holding, rule

from ordersigner import sdks

KEY = 64 * "1"
ORDER: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Order": [
            {"name": "maker", "type": "address"},
            {"name": "token", "type": "address"},
            {"name": "amount", "type": "uint256"},
            {"name": "price", "type": "uint256"},
            {"name": "expiration", "type": "uint64"},
            {"name": "nonce", "type": "uint64"},
        ],
    },
    "primaryType": "Order",
    "domain": {"name": "Venue", "chainId": 1, "verifyingContract": "0x" + 40 * "5"},
    "message": {
        "maker": "0x" + 40 * "6",
        "token": "0x" + 40 * "7",
        "amount": "1000000000000000000",
        "price": 1500000000,
        "expiration": 1800000000,
        "nonce": 7,
    },
}


def signers() -> dict[str, Any]:
    """Functions from typed data to a signature."""
    account: Any = eth_account.Account

    def with_backend(name: str) -> Any:
        def sign(full_message: Any) -> Any:
            os.environ["ECC_BACKEND_CLASS"] = f"eth_keys.backends.{name}"  # eth-keys reads it for each key
            return real.sign_typed_data(full_message=full_message)

        real = account.from_key(KEY)
        return sign

    return {
        "eth-account in Python": with_backend("NativeECCBackend"),
        "eth-account with coincurve": with_backend("CoinCurveECCBackend"),
        "the daemon": account.from_key(address(KEY)).sign_typed_data,
    }


def main(rounds: int) -> None:
    sdks.install()
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        options = holding(where, {"one": KEY}, rule("speed", address(KEY), allows="typed = any\n"))
        with standalone(where, *options) as daemon:
            os.environ["ORDERSIGNER_SOCKET"] = daemon.path
            signs = signers()
            times: dict[str, list[float]] = {name: [] for name in signs}
            for number in range(rounds):
                order: dict[str, Any] = {**ORDER["message"], "amount": number}
                results = set()
                for name, sign in signs.items():
                    start = time.perf_counter()
                    signed = sign(full_message={**ORDER, "message": order})
                    times[name].append(1000 * (time.perf_counter() - start))
                    results.add(bytes(signed.signature))
                assert len(results) == 1
    for name, each in times.items():
        print(f"{name}: median {statistics.median(each):.2f} ms, best {min(each):.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200)
