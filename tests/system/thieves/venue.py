"""A venue in the shape of a ccxt exchange: it has the key in an attribute, and sign() makes each request."""

from __future__ import annotations

from typing import Any, NamedTuple


class SignableMessage(NamedTuple):
    """eth-account's."""

    version: bytes
    header: bytes
    body: bytes


def message(text: str) -> SignableMessage:
    """As eth-account's encode_defunct() makes it."""
    return SignableMessage(b"E", b"thereum Signed Message:\n%d" % len(text), text.encode())


class Venue:
    def __init__(self, account: Any, key: str) -> None:
        self.account = account
        self.privateKey = key  # "" if the bot has none
        self.walletAddress = account.address

    def sign(self, path: str, api: str = "private", method: str = "POST", params: Any = None) -> dict[str, Any]:
        signed = self.account.sign_message(message(f"{path} {params}"))
        return {"url": f"https://venue.example/{path}", "method": method, "body": bytes(signed.signature).hex()}
