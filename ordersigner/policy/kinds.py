"""Every kind of request that asks for a signature: a line for each, and nowhere else a list of them.

How a request asks for its payload is in a module of payloads/. What a rule says about it is in a module of limits.
"""

from __future__ import annotations

from typing import NamedTuple

from ordersigner.payloads import hyperliquid, messages, orders, typed_data
from ordersigner.payloads.payload import Form


class Kind(NamedTuple):
    """A kind of request."""

    form: Form


KINDS: dict[str, Kind] = {  # by the type of the request
    "spot": Kind(orders.FORM),
    "futures": Kind(orders.FORM),
    "typed_data": Kind(typed_data.FORM),
    "message": Kind(messages.FORM),
    "hyperliquid": Kind(hyperliquid.FORM),
}
