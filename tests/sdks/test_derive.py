"""derive-action-signing: what it signs is what it signs with the session key itself, byte by byte."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from derive_action_signing import module_data, utils
from derive_action_signing.module_data.create_subaccount import CreateSubAccountData, CreateSubAccountDetails
from derive_action_signing.signed_action import SignedAction
from eth_account.messages import encode_typed_data
from sides import Sides, both_sides
from web3 import Web3

from ordersigner import sdks
from ordersigner.sdks import BareHash, derive

sdks.install()

MAINNET = next(iter(derive.DOMAINS))
TYPE = "0x4d7a9f27c403ff9c0f19bce61d76d82f9aa29f8d6d4b0c5474607d9770d1af17"
OWNER, ASSET, OTHER = ("0x" + 40 * digit for digit in "257")
LEG = ("ETH-PERP", "buy", ASSET, 7, Decimal("3000.5"), Decimal("0.5"))
POSITION = (ASSET, 7, Decimal("3000.5"), Decimal("0.5"), 30769, Decimal("-2"))
# Each kind of data that an action has.
DATA: list[Any] = [
    module_data.TradeModuleData(ASSET, 7, Decimal("3000.5"), Decimal("0.5"), Decimal(10), 30769, True),
    module_data.DepositModuleData(Decimal("1.5"), ASSET, OTHER, "USDC", 6),
    module_data.WithdrawModuleData(ASSET, Decimal("1.5"), 6, "USDC"),
    module_data.SenderTransferERC20ModuleData(30770, [module_data.TransferERC20Details(ASSET, 0, Decimal("1.5"))]),
    module_data.RecipientTransferERC20ModuleData(),
    module_data.RFQQuoteModuleData("sell", Decimal(10), [module_data.RFQQuoteDetails(*LEG)]),
    module_data.RFQExecuteModuleData("buy", Decimal(10), [module_data.RFQQuoteDetails(*LEG)]),
    module_data.MakerTransferPositionModuleData(*POSITION),
    module_data.TakerTransferPositionModuleData(*POSITION),
    module_data.MakerTransferPositionsModuleData("buy", [module_data.TransferPositionsDetails(*LEG)]),
    module_data.TakerTransferPositionsModuleData("sell", [module_data.TransferPositionsDetails(*LEG)]),
    CreateSubAccountData(100, "USDC", "SM", CreateSubAccountDetails(Decimal(100), ASSET, OTHER)),
]


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    monkeypatch.setattr(utils, "utc_now_ms", lambda: 1_800_000_000_000)
    with both_sides(request.node.nodeid, tmp_path, monkeypatch) as sides:
        yield sides


def action(sides: Sides, data: Any, separator: str = MAINNET, kind: str = TYPE) -> SignedAction:
    return SignedAction(
        subaccount_id=30769,
        owner=OWNER,
        signer=sides.address,
        signature_expiry_sec=1_800_000_600,
        nonce=18_000_000_000_001,
        module_address=OTHER,
        module_data=data,
        DOMAIN_SEPARATOR=separator,
        ACTION_TYPEHASH=kind,
    )


@pytest.mark.parametrize("separator", [*derive.DOMAINS, MAINNET.upper().replace("X", "x")])
def test_actions_are_the_same(sides: Sides, separator: str) -> None:
    for data in DATA:
        ours, theirs = (action(sides, data, separator) for _ in range(2))
        assert ours.sign(sides.address) == theirs.sign(sides.key)
        assert ours == theirs
        assert ours.to_json() == theirs.to_json()
        ours.validate_signature()


def test_each_kind_of_data_was_signed() -> None:
    kinds = {value for value in vars(module_data).values() if isinstance(value, type)}
    concrete = {kind for kind in kinds if issubclass(kind, module_data.ModuleData) and not inspect.isabstract(kind)}
    assert concrete <= {type(data) for data in DATA}


@pytest.mark.parametrize("login", [utils.sign_rest_auth_header, utils.sign_ws_login])
def test_logins_are_the_same(sides: Sides, login: Any) -> None:
    assert login(Web3(), OWNER, sides.address) == login(Web3(), OWNER, sides.key)


def test_an_action_of_another_domain_is_refused_until_a_program_knows_it(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = {**derive.DOMAINS[MAINNET], "chainId": 2}
    typed_data = {"domain": domain, "types": {"A": []}, "primaryType": "A", "message": {}}
    separator = "0x" + bytes(encode_typed_data(full_message=typed_data).header).hex()
    ours, theirs = (action(sides, DATA[0], separator) for _ in range(2))
    with pytest.raises(BareHash, match=rf"{separator}.*DOMAINS"):
        ours.sign(sides.address)
    monkeypatch.setitem(derive.DOMAINS, separator, domain)
    assert ours.sign(sides.address) == theirs.sign(sides.key)


def test_an_action_of_another_type_is_refused(sides: Sides) -> None:
    with pytest.raises(BareHash, match="not that of its Action"):
        action(sides, DATA[0], kind="0x" + 64 * "1").sign(sides.address)
