"""vertex-protocol, which signs with eth-account 0.8: every request that it signs, by a held key."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from sides import Sides
from vertex_protocol.contracts.eip712.sign import build_eip712_typed_data, sign_eip712_typed_data
from vertex_protocol.contracts.eip712.types import get_vertex_eip712_type
from vertex_protocol.contracts.types import VertexTxType
from vertex_protocol.engine_client import EngineClient
from vertex_protocol.engine_client.types import EngineClientOpts

from ordersigner import sdks

sdks.install()

pytest_plugins = ["sdk_fixtures"]

CONTRACT = "0x" + 40 * "5"
VALUES = {
    "bytes32": 32 * b"\7",
    "bytes32[]": [32 * b"\7", 32 * b"\0"],
    "bool": True,
    "uint32": 5,
    "uint32[]": [1, 2**32 - 1],
    "uint64": 2**64 - 1,
    "uint128": 2**128 - 1,
    "int128": -(2**127),
    "address": CONTRACT,
    "string": "a €",
}


def test_every_type_of_request(sides: Sides) -> None:
    signed = 0
    for kind in set(VertexTxType) - {VertexTxType.CANCEL_AND_PLACE}:  # that has the signatures of two others
        types: dict[str, Any] = get_vertex_eip712_type(kind)
        message = {field["name"]: VALUES[field["type"]] for field in next(iter(types.values()))}
        data = build_eip712_typed_data(kind, message, CONTRACT, 42161)
        expected = sign_eip712_typed_data(data, Account.from_key(sides.key))
        assert sign_eip712_typed_data(data, Account.from_key(sides.address)) == expected
        assert expected.startswith("0x")
        signed += 1
    assert signed >= 10


def test_the_client_takes_the_address_as_text(sides: Sides) -> None:
    order = {"sender": 32 * b"\7", "priceX18": 10**18, "amount": -1, "expiration": 2**62, "nonce": 1}
    signatures = set()
    for key in (sides.key, sides.address):
        client = EngineClient(EngineClientOpts(url="http://127.0.0.1:1", signer=key))
        client.endpoint_addr, client.chain_id, client.book_addrs = CONTRACT, 42161, 5 * [CONTRACT]
        signatures.add(client.sign(VertexTxType.PLACE_ORDER, order, CONTRACT, 42161, client.signer))
    assert len(signatures) == 1
