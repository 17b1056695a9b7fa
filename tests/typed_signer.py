"""A server that signs typed data, messages and Hyperliquid actions with eth-account, on the daemon's protocol.

KEYS: the keys that it holds.
"""

from __future__ import annotations

import json
from typing import Any

import eth_account
from eth_account.messages import SignableMessage, encode_typed_data
from servers import Peer, Server

KEYS = {eth_account.Account.from_key(key).address.lower(): key for key in ("0x" + 64 * "1", "0x" + 64 * "2")}
HELD = [eth_account.Account.from_key(key) for key in KEYS.values()]


def typed_signer(requests: list[dict[str, Any]] | None = None) -> Server:
    """requests: where each request is added."""

    def behave(peer: Peer) -> None:
        while True:
            line = peer.line()
            if not line:
                return
            request = json.loads(line)
            if requests is not None:
                requests.append(request)
            peer.send(json.dumps(answer(request)).encode() + b"\r\n")

    return Server(behave)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    key = KEYS.get(request["signer"].lower())
    if key is None:
        return refused("signer", "unknown_signer")
    if request["type"] == "typed_data":
        typed_data = request["typed_data"]
        if (
            set(typed_data) != {"types", "primaryType", "domain", "message"}
            or "EIP712Domain" not in typed_data["types"]
        ):
            return refused("typed_data", "missing")
        try:
            message = encode_typed_data(full_message=typed_data)
        except Exception:  # noqa: BLE001 - whatever eth-account does not like
            return refused("typed_data.message", "wrong_type")
    elif request["type"] == "message":
        body = request["text"].encode() if "text" in request else bytes.fromhex(request["hex"][2:])
        message = SignableMessage(b"E", b"thereum Signed Message:\n%d" % len(body), body)
    else:
        return hyperliquid(request, key)
    return {"ok": True, "signature": "0x" + bytes(eth_account.Account.sign_message(message, key).signature).hex()}


def hyperliquid(request: dict[str, Any], key: str) -> dict[str, Any]:
    from hyperliquid.utils.signing import sign_l1_action

    account = eth_account.Account.from_key(key)
    optional = (request.get("vaultAddress"), request["nonce"], request.get("expiresAfter"))
    parts = sign_l1_action(account, request["action"], *optional, request["network"] == "mainnet")
    return {"ok": True, "signature": f"0x{int(parts['r'], 16):064x}{int(parts['s'], 16):064x}{parts['v']:02x}"}


def refused(field: str, code: str) -> dict[str, Any]:
    context = {field: [{"code": code, "message": "No."}]}
    return {"ok": False, "error": {"type": "PermissionError", "message": "Refused.", "context": context}}
