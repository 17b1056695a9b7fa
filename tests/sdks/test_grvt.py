"""grvt-pysdk: every request that it signs, in its own form and in that of ccxt, by a held key."""

from __future__ import annotations

import copy
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from pysdk import derisk_sign, grvt_ccxt_utils, grvt_raw_signing
from pysdk.grvt_ccxt_env import GrvtEnv as CcxtEnv
from pysdk.grvt_raw_base import GrvtApiConfig, GrvtEnv, GrvtRawSyncBase
from pysdk.grvt_raw_types import Order, OrderLeg, OrderMetadata, Signature, TimeInForce
from sides import Sides

from ordersigner import sdks

sdks.install()

pytest_plugins = ["sdk_fixtures"]
pytestmark = [pytest.mark.usefixtures("_still")]
PRODUCT = "BTC_USDT_Perp"


def config(key: str) -> Any:
    return GrvtApiConfig(env=GrvtEnv.PROD, trading_account_id="5", private_key=key, api_key="", logger=None)


def empty() -> Any:
    return Signature("", "", "", 0, str(1_800_003_600 * 10**9), 828700936)


def test_orders_transfers_and_withdrawals(sides: Sides) -> None:
    signed = []
    for key in sides[:2]:
        account: Any = GrvtRawSyncBase(config(key)).account
        order = Order(
            sub_account_id="8289849667772468",
            time_in_force=TimeInForce.GOOD_TILL_TIME,
            legs=[OrderLeg(PRODUCT, "0.1", True, "65038.5"), OrderLeg(PRODUCT, "0.2", False, "1")],
            signature=empty(),
            metadata=OrderMetadata(client_order_id="1"),
            post_only=True,
        )
        instruments = {PRODUCT: SimpleNamespace(base_decimals=9, instrument_hash="0x030501")}
        transfer = SimpleNamespace(
            from_account_id="0x" + 40 * "5",
            from_sub_account_id="1",
            to_account_id="0x" + 40 * "7",
            to_sub_account_id="2",
            num_tokens="1.5",
            signature=empty(),
        )
        withdrawal = SimpleNamespace(
            from_account_id="0x" + 40 * "5", to_eth_address="0x" + 40 * "7", num_tokens="1.5", signature=empty()
        )
        done: list[Any] = [
            grvt_raw_signing.sign_order(order, config(key), account, instruments),
            grvt_raw_signing.sign_transfer(transfer, config(key), account),
            grvt_raw_signing.sign_withdrawal(withdrawal, config(key), account),
        ]
        signed.append([vars(each.signature) for each in done])
    assert signed[0] == signed[1]
    assert all(each["signer"] == sides.address and each["r"] for each in signed[0])


def test_the_form_of_ccxt(sides: Sides) -> None:
    order = grvt_ccxt_utils.get_grvt_order(
        sub_account_id="8289849667772468",
        symbol=PRODUCT,
        order_type="limit",
        side="buy",
        amount=Decimal("0.1"),
        limit_price=Decimal("65038.5"),
        order_duration_secs=3600,
        params={"post_only": True, "client_order_id": 5},
    )
    instruments = {PRODUCT: {"base_decimals": 9, "instrument_hash": "0x030501"}}
    made = [
        [
            grvt_ccxt_utils.get_order_payload(copy.deepcopy(order), key, CcxtEnv.PROD, instruments),
            grvt_ccxt_utils.sign_derisk_mm_ratio_request(CcxtEnv.PROD, 5, "2.0", key),
            derisk_sign.generate_payload(5, "2.0", key),
        ]
        for key in sides[:2]
    ]
    assert made[0] == made[1]
    assert made[0][0]["order"]["signature"]["signer"] == sides.address
