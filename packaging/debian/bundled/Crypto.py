"""pycryptodome under the name that it has on PyPI. Debian's is named Cryptodome.

The modules are the same objects under both names: they cannot be loaded twice where cffi is installed.
"""

import importlib
import sys

import Cryptodome

sys.modules["Crypto"] = Cryptodome
for name in ("Cipher", "Hash", "Protocol", "Protocol.KDF", "Random", "Util"):  # what the bundled modules import
    sys.modules[f"Crypto.{name}"] = importlib.import_module(f"Cryptodome.{name}")
