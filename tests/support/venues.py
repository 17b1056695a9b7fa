"""Requests that venues' SDKs have signed, for the ready-made policies: tests/vectors/venues.json."""

from __future__ import annotations

import copy
import re
from typing import Any, NamedTuple

import eth_account
from eth_account.messages import encode_defunct, encode_typed_data
from oracles import hyperliquid_reference, oracle

from support.daemon import vectors

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = oracle.signer_address(KEY)
STRANGER = "0x" + 40 * "9"

_KEY_SETTING = re.compile("^key = (0x[0-9a-f]{40})$", re.MULTILINE)
# A condition on a time: the field, the first of its bits that count, and the decimals of its seconds.
_TIME = re.compile(
    r"^(?:bits\((?P<packed>\S+), (?P<first>\d+), \d+\)|(?P<path>[\w.]+))"
    r"(?:\((?P<decimals>\d+)\))? (?:within|about|until) ",
    re.MULTILINE,
)


class Row(NamedTuple):
    """A request that an SDK made, as sdk_requests.py describes it."""

    policy: str
    section: str
    source: str
    put_in: dict[str, str]
    now: int
    request: dict[str, Any]
    signature: str

    def __str__(self) -> str:
        return f"{self.policy} {self.section}, {self.source}"


ROWS = [Row(**row) for row in vectors("venues")]


def row_of(section: str, source: str = "") -> Row:
    """The first for this section, whose source contains this text."""
    return next(row for row in ROWS if row.section == section and source in row.source)


def changed(content: Any, path: str, value: Any) -> Any:
    """A copy with another value at a path, such as message.offer[0].token."""
    content = copy.deepcopy(content)
    *steps, last = [int(step) if step.isdecimal() else step for step in re.findall(r"[^.\[\]]+", path)]
    inner = content
    for step in steps:
        inner = inner[step]
    assert last in inner if isinstance(inner, dict) else last < len(inner)
    inner[last] = value
    return content


def adapted(text: str, user: str, rows: list[Row]) -> str:
    """A policy for a venue with an operator's changes: the key's address, the user, and these requests' values."""
    for given, put_in in {given: put_in for row in rows for given, put_in in row.put_in.items()}.items():
        assert given in text
        text = text.replace(given, put_in)
    for key in set(_KEY_SETTING.findall(text)):
        text = text.replace(key, ADDRESS)
    return re.sub("^users = .+$", f"users = {user}", text, flags=re.MULTILINE)


def moved(row: Row, policy: str, seconds: int) -> dict[str, Any]:
    """The request as the SDK would make it later: every time in it is moved by the same amount. policy: its text."""
    request = copy.deepcopy(row.request)
    if request["type"] == "hyperliquid":
        places = [(request, "nonce"), (request, "expiresAfter"), (request["action"], "time")]
        for place, name in places:
            if name in place:
                place[name] += seconds * 1000
        return request
    if "order" in request:
        request["order"]["timestamp"] += seconds * 10**6
        return request
    if request["type"] == "transaction":
        data = request["transaction"]["data"]
        words = [data[at : at + 64] for at in range(10, len(data), 64)]
        moved = [f"{int(word, 16) + seconds:064x}" if 0 <= int(word, 16) - row.now <= 86400 else word for word in words]
        request["transaction"]["data"] = data[:10] + "".join(moved)
        return request
    sections = (part for part in re.split(r"^\[", policy, flags=re.MULTILINE) if not part.startswith("rule "))
    (section,) = (part for part in sections if part.partition("]")[0].endswith(f" {row.section}"))
    for match in _TIME.finditer(section):
        *steps, last = (match["packed"] or match["path"]).split(".")
        inner = request["typed_data"] if steps else request
        for step in steps:
            inner = inner[step]
        later = int(inner[last]) + (seconds * 10 ** int(match["decimals"] or 0) << int(match["first"] or 0))
        if int(inner[last]) != 0:  # which is no time
            inner[last] = later if isinstance(inner[last], int) else str(later)
    return request


def response_of(request: dict[str, Any]) -> dict[str, Any]:
    """To a request that is signed with KEY, by eth-account."""
    if request["type"] != "transaction":
        return {"ok": True, "signature": signature_of(request)}
    transaction = request["transaction"]
    signed = eth_account.Account.sign_transaction({**transaction, "value": int(transaction["value"])}, KEY)
    parity = signed.v if signed.v < 2 else (signed.v + 1) % 2
    return {
        "ok": True,
        "signature": f"0x{signed.r:064x}{signed.s:064x}{27 + parity:02x}",
        "transaction": signed.raw_transaction.to_0x_hex(),
        "hash": signed.hash.to_0x_hex(),
    }


def signature_of(request: dict[str, Any]) -> str:
    """The one with KEY, by eth-account."""
    if request["type"] == "transaction":
        return str(response_of(request)["signature"])
    if request["type"] == "typed_data":
        signed = eth_account.Account.sign_message(encode_typed_data(full_message=request["typed_data"]), KEY)
    elif request["type"] == "message":
        signed = eth_account.Account.sign_message(encode_defunct(text=request["text"]), KEY)
    elif request["type"] == "hyperliquid":
        signed = eth_account.Account.unsafe_sign_hash(hyperliquid_reference.expected(request), KEY)
    else:
        return oracle.sign({**request, "signer": KEY})
    return "0x" + bytes(signed.signature).hex()
