"""The package's metadata. docs/start/install.rst says how to install it, docs/develop/decisions.rst why it needs what.

Without an extra it is what programs import, and the command ordersigner: pure Python, which needs nothing else.
packaging/locked/renew locks the dependencies; run it after a change here.
"""

import re
from pathlib import Path

import setuptools

HERE = Path(__file__).parent

# It does not exist yet. packaging/release/build makes no release with an address under "invalid".
HOST = "ordersigner.invalid"
PAGE = f"https://{HOST}"

DAEMON = [  # ordersignerd
    "coincurve>=17",  # signatures: a binding of libsecp256k1, whose wheels contain the library
    "msgpack>=1.0",  # the form in which Hyperliquid hashes its actions
    "pycryptodome>=3.10",  # Keccak-256, where OpenSSL lacks it
    "systemd-python>=234",  # systemd's listening socket; pip compiles it
]
KEYS = ["eth-account>=0.10"]  # ordersigner-keys: keystores and mnemonics

# Before version 77, the newest one for Python 3.8 among them, setuptools does not know license_expression.
LICENSE = {"license_expression" if int(setuptools.__version__.split(".")[0]) >= 77 else "license": "MIT"}

setuptools.setup(
    name="ordersigner",
    version=re.search(r'__version__ = "(.+)"', (HERE / "ordersigner/__init__.py").read_text())[1],
    description="Sign orders, typed data and transactions with keys that a daemon holds, not your program",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="The ordersigner authors",
    maintainer="Ordersigner maintainers",
    maintainer_email=f"maintainers@{HOST}",
    project_urls={
        "Homepage": PAGE,
        "Documentation": f"{PAGE}/docs",
        "Changelog": f"{PAGE}/docs/develop/changelog.html",
        "Source": f"{PAGE}/source",
        "Issues": f"{PAGE}/issues",
    },
    **LICENSE,
    license_files=["LICENSE"],
    keywords=[
        "signing",
        "remote signer",
        "trading",
        "ethereum",
        "secp256k1",
        "eip-191",
        "eip-712",
        "eth-account",
        "ccxt",
        "hyperliquid",
        "polymarket",
        "leverj",
        "daemon",
    ],
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Console",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: AsyncIO",
        "Intended Audience :: Developers",
        "Intended Audience :: Financial and Insurance Industry",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(8, 15)),
        "Topic :: Office/Business :: Financial",
        "Topic :: Security :: Cryptography",
        "Typing :: Typed",
    ],
    packages=setuptools.find_packages(include=["ordersigner", "ordersigner.*"]),
    package_data={"ordersigner": ["py.typed"]},
    python_requires=">=3.8",
    extras_require={
        "daemon": DAEMON,
        "keys": KEYS,
        "docs": ["sphinx>=5.3", "furo", "sphinx-copybutton"],
        "test": [
            *DAEMON,
            *KEYS,
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
            "ordersigner-keys = ordersigner.keytool.__main__:main",
            "ordersignerd = ordersigner.__main__:main",
        ]
    },
)
