"""Every kind of request that asks for a signature: the only list of them, with a line for each.

A module of payloads/ knows how a request carries its payload, and a module of limits how a rule limits it.
"""

from __future__ import annotations

from typing import NamedTuple

from ordersigner.payloads import hyperliquid, messages, orders, transactions, typed_data
from ordersigner.payloads.payload import Form
from ordersigner.policy.hyperliquid_limits import HyperliquidLimits
from ordersigner.policy.limits import Limits
from ordersigner.policy.message_limits import MessageLimits
from ordersigner.policy.order_limits import OrderLimits
from ordersigner.policy.transaction_limits import TransactionLimits
from ordersigner.policy.typed_limits import TypedLimits


class Kind(NamedTuple):
    """A kind of request: how it carries its payload, and how a rule limits that."""

    form: Form
    limits: type[Limits]


KINDS: dict[str, Kind] = {  # by the type of the request
    "spot": Kind(orders.FORM, OrderLimits),
    "futures": Kind(orders.FORM, OrderLimits),
    "typed_data": Kind(typed_data.FORM, TypedLimits),
    "message": Kind(messages.FORM, MessageLimits),
    "hyperliquid": Kind(hyperliquid.FORM, HyperliquidLimits),
    "transaction": Kind(transactions.FORM, TransactionLimits),
}
