"""x402: every payment and login that its client signs, by a held key, whether the program wraps the account or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from sides import Sides
from x402.extensions.eip2612_gas_sponsoring.client import sign_eip2612_permit
from x402.extensions.sign_in_with_x.sign import sign_evm_message
from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
from x402.mechanisms.evm.exact.client import ExactEvmScheme
from x402.mechanisms.evm.signers import EthAccountSigner, EthAccountSignerWithRPC
from x402.mechanisms.evm.upto.client import UptoEvmScheme
from x402.schemas import PaymentRequirements

from ordersigner import sdks

sdks.install()

pytest_plugins = ["sdk_fixtures"]
pytestmark = [pytest.mark.usefixtures("_still")]
USDC, PARTNER = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x" + 40 * "5"


def wanted(scheme: str, **extra: Any) -> Any:
    return PaymentRequirements(
        scheme=scheme,
        network="eip155:8453",
        asset=USDC,
        amount="50000",
        pay_to=PARTNER,
        max_timeout_seconds=300,
        extra={"name": "USD Coin", "version": "2", **extra},
    )


PERMIT2 = {"assetTransferMethod": "permit2"}
PAYMENTS: dict[str, Callable[[Any], Any]] = {
    "EIP-3009": lambda signer: ExactEvmScheme(signer).create_payment_payload(wanted("exact")),
    "Permit2": lambda signer: ExactEvmScheme(signer).create_payment_payload(wanted("exact", **PERMIT2)),
    "up to": lambda signer: UptoEvmScheme(signer).create_payment_payload(
        wanted("upto", facilitatorAddress=PARTNER, **PERMIT2)
    ),
}


@pytest.mark.parametrize("payment", PAYMENTS)
def test_payments(payment: str, sides: Sides) -> None:
    accounts: list[Any] = [Account.from_key(key) for key in sides[:2]]
    made = [PAYMENTS[payment](signer) for account in accounts for signer in (account, EthAccountSigner(account))]
    assert len(made[0]["signature"]) == 132
    assert made == 4 * [made[0]]


def test_vouchers_permits_and_logins(sides: Sides) -> None:
    signers = [EthAccountSigner(Account.from_key(key)) for key in sides[:2]]
    vouchers = [sign_voucher(signer, "0x" + 64 * "1", "50000", "eip155:8453") for signer in signers]
    assert vouchers[0] == vouchers[1]
    logins = [asyncio.run(sign_evm_message("Sign in\nNonce: 5", signer)) for signer in signers]
    assert logins[0] == logins[1]
    assert len(logins[0]) == 132


def test_sponsored_permits(sides: Sides) -> None:
    permits = []
    for key in sides[:2]:
        signer: Any = EthAccountSigner(Account.from_key(key))
        signer.read_contract = lambda *_: 5
        permits.append(sign_eip2612_permit(signer, USDC, "USD Coin", "2", 8453, str(2**60), "50000"))
    assert permits[0] == permits[1]


def test_sponsored_transactions_need_the_key_itself(sides: Sides) -> None:
    signer = EthAccountSignerWithRPC(Account.from_key(sides.address), rpc_url="http://127.0.0.1:1")
    with pytest.raises(AttributeError, match="the daemon gives no key away"):
        signer.sign_transaction({})
