"""Hyperliquid's actions of the vectors, and their digests by eth-account."""

from __future__ import annotations

import json
from typing import Any

import msgpack
from eth_utils.crypto import keccak
from hypothesis import strategies as st
from support.daemon import vectors

from oracles import typed_data_reference as reference

ROWS = [row for row in vectors("typed-data/exchanges") if "hyperliquid" in row]

NETWORKS = {"a": "mainnet", "b": "testnet"}

ADDRESS = "0x1719884eb866cb12b2287399b15f7db5e7d775ea"

NOTHING = object()


def request_of(row: dict[str, Any]) -> dict[str, Any]:
    published = row["hyperliquid"]
    request = {"action": published["action"], "nonce": published["nonce"], "vaultAddress": published["vault"]}
    return {**json.loads(json.dumps(request)), "network": NETWORKS[row["message"]["source"]]}


ORDER = request_of(next(row for row in ROWS if row["name"] == "Hyperliquid L1: limit order, mainnet"))

TYPES = ROWS[0]["types"]

DOMAIN = ROWS[0]["domain"]


def changed(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in {**ORDER, **values}.items() if value is not NOTHING}


def expected(request: dict[str, Any]) -> bytes:
    """The digest, through the independent implementation of EIP-712."""
    data: bytes = msgpack.packb(request["action"])
    data += request["nonce"].to_bytes(8, "big")
    vault = request.get("vaultAddress")
    data += b"\x00" if vault is None else b"\x01" + bytes.fromhex(vault[2:])
    if request.get("expiresAfter") is not None:
        data += b"\x00" + request["expiresAfter"].to_bytes(8, "big")
    (source,) = (source for source, network in NETWORKS.items() if network == request["network"])
    message = {"source": source, "connectionId": "0x" + keccak(data).hex()}
    return reference.digest({"types": TYPES, "primaryType": "Agent", "domain": DOMAIN, "message": message})


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)
