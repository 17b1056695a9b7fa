"""The package's metadata. docs/install.rst says how to install it, docs/contribute.rst why it needs each dependency.

packaging/locked/renew locks the dependencies; run it after a change here.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

KEYS = ["eth-account>=0.10"]  # ordersigner-keys: keystores and mnemonics
SYSTEMD = ["systemd-python>=234"]  # systemd's listening socket; pip compiles it

setup(
    name="ordersigner",
    version=re.search(r'__version__ = "(.+)"', (HERE / "ordersigner/__init__.py").read_text())[1],
    description="Signs exchange orders and typed data for clients on a Unix socket",
    long_description=(HERE / "README.rst").read_text(),
    long_description_content_type="text/x-rst",
    license="MIT",
    keywords=["daemon", "signing", "trading", "ethereum", "secp256k1", "eip-191", "eip-712", "leverj", "hyperliquid"],
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: Developers",
        "Intended Audience :: Financial and Insurance Industry",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(8, 14)),
        "Topic :: Office/Business :: Financial",
        "Topic :: Security :: Cryptography",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["ordersigner*"]),
    package_data={"ordersigner": ["py.typed"]},
    python_requires=">=3.8",
    install_requires=[
        "coincurve>=17",  # signatures: a binding of libsecp256k1, whose wheels contain the library
        "msgpack>=1.0",  # the form in which Hyperliquid hashes its actions
        "pycryptodome>=3.10",  # Keccak-256, where OpenSSL lacks it
    ],
    extras_require={
        "keys": KEYS,
        "systemd": SYSTEMD,
        "docs": ["sphinx>=5.3", "furo", "sphinx-copybutton"],
        "test": [
            *KEYS,
            *SYSTEMD,
            "codespell>=2.2; python_version >= '3.10'",  # with proselint: the language of texts and comments
            "eventlet>=0.33",  # with gevent: the client under libraries that patch the standard one
            "gevent>=22",
            "hypothesis>=6",
            "proselint>=0.16; python_version >= '3.10'",
            "pytest>=7",
        ],
    },
    entry_points={
        "console_scripts": [
            "ordersigner = ordersigner.commands.main:main",
            "ordersigner-keys = ordersigner.keytool.main:main",
            "ordersignerd = ordersigner.daemon.main:main",
        ]
    },
)
