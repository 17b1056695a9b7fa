"""Record what exchanges' SDKs sign, for the tests of the ready-made policies:  sdk_requests.py DIRECTORY [NAME...]

In: DIRECTORY, outside of the repository, where this program keeps an environment for each group of SDKs: some want
different versions of eth-account. NAME: of such an environment; without names, all. It needs Python 3.11, Node 20 with
npm, and a network for the first time. Out: tests/vectors/venues.json, a list of rows:

    policy, section    the file in docs/venues, and the section (for orders the market) that must allow the request
    source             the SDK, its version and what was called
    put_in             what an operator changes in the file, besides their address: the new text by the old one
    now                when it was made, in seconds since 1970
    request            what a client sends, with the address of KEY as its signer
    signature          what the SDK itself made with KEY

Each SDK signs with a published test key, and its own signature is kept. So a test can hold the daemon's against it. No
SDK reaches its exchange: what it would send is taken from it, and its clock stands still.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

SOURCE = Path(__file__).resolve().parents[2]
OUTPUT = SOURCE / "tests/vectors/venues.json"
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # Hardhat's account 0, known to everybody
ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
PARTNER = "0x" + 40 * "2"  # as in the policies
NOW = 1_800_000_000
CLOCK = "freezegun==1.5.5"

WETH, USDC = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
DOMAIN = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}

Rows = Iterator[dict[str, Any]]


def row(
    policy: str, section: str, source: str, signature: Any, put_in: dict[str, str] | None = None, **ask: Any
) -> Any:
    """ask: the request, without its signer."""
    signature = bytes(signature).hex() if isinstance(signature, (bytes, bytearray)) else str(signature)
    return {
        "policy": policy,
        "section": section,
        "source": source,
        "put_in": put_in or {},
        "now": NOW,
        "request": {**ask, "signer": ADDRESS},
        "signature": "0x" + signature.removeprefix("0x"),
    }


def typed(policy: str, section: str, source: str, data: Any, signature: Any, put_in: Any = None) -> Any:
    return row(policy, section, source, signature, put_in, type="typed_data", typed_data=plain(data))


def full(domain: Any, types: Any, message: Any, primary: str = "") -> dict[str, Any]:
    """Typed data as a whole, from the parts that SDKs pass to eth-account."""
    declared = [{"name": name, "type": DOMAIN[name]} for name in DOMAIN if name in domain]
    return {
        "types": {"EIP712Domain": declared, **types},
        "primaryType": primary or next(iter(types)),
        "domain": domain,
        "message": message,
    }


def plain(value: Any) -> Any:
    """As JSON has it. Integers that many languages cannot read become text."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (bytes, bytearray)):
        return "0x" + bytes(value).hex()
    return str(value) if type(value) is int and abs(value) >= 2**53 else value


def joined(signature: dict[str, Any]) -> str:
    """From r, s and v."""
    parts = [f"{int(str(signature[part]), 16):064x}" for part in "rs"]
    return "".join(parts) + f"{signature['v']:02x}"


def sdk(name: str) -> Any:
    return importlib.import_module(name)


# Each of these is run in the environment of its SDKs.
def cow() -> Rows:
    sys.modules["cowdao_cowpy.app_data.utils"] = MagicMock()  # which calls the exchange as soon as it is imported
    sign, order, domain = (sdk(f"cowdao_cowpy.contracts.{name}") for name in ("sign", "order", "domain"))
    account = sdk("eth_account").Account.from_key(KEY)
    signed: list[Any] = []
    real = sign.ecdsa_sign_typed_data

    def noting(owner: Any, separator: Any, types: Any, data: Any) -> Any:
        signed.append(full(separator.to_dict(), types, data))
        return real(owner, separator, types, data)

    sign.ecdsa_sign_typed_data = noting
    where = domain.domain(
        SimpleNamespace(chain_id=SimpleNamespace(value=1)), "0x9008D19f58AAbD9eD0D60971565AA8510560ab41"
    )
    sale = order.Order(
        sell_token=WETH,
        buy_token=USDC,
        receiver=ADDRESS,
        sell_amount=str(5 * 10**17),
        buy_amount="1500000000",
        valid_to=NOW + 1800,
        app_data="0xb48d38f93eaa084033fc5970bf96e559c33c4cdc07d889ab00b4d63f9590739d",
        fee_amount="0",
        kind="sell",
    )
    scheme = sign.SigningScheme.EIP712
    signature = sign.sign_order(where, sale, account, scheme).data
    yield typed("cow", "cow-sell", "cowdao-cowpy 1.0.1, sign_order", signed.pop(), signature)
    uid = "0x" + 56 * "ab"
    signature = sign.sign_order_cancellations(where, [uid], account, scheme).data
    yield typed("cow", "cow-cancel", "cowdao-cowpy 1.0.1, sign_order_cancellations", signed.pop(), signature)


def x402() -> Rows:
    signers, client = sdk("x402.mechanisms.evm.signers"), sdk("x402.mechanisms.evm.exact.client")
    signed: list[Any] = []

    class Noting(signers.EthAccountSigner):  # type: ignore[misc, name-defined]
        def sign_typed_data(self, domain: Any, types: Any, primary_type: str, message: Any) -> Any:
            names = {name: getattr(domain, attribute) for name, attribute in DOMAIN_ATTRIBUTES.items()}
            fields = {name: [{"name": one.name, "type": one.type} for one in types[name]] for name in types}
            signed.append(full(names, fields, message, primary_type))
            return super().sign_typed_data(domain, types, primary_type, message)

    wanted = sdk("x402.schemas").PaymentRequirements(
        scheme="exact",
        network="eip155:8453",
        asset="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        amount="50000",
        pay_to=PARTNER,
        max_timeout_seconds=300,
        extra={"name": "USD Coin", "version": "2"},
    )
    signer = Noting(sdk("eth_account").Account.from_key(KEY))
    payload = client.ExactEvmScheme(signer).create_payment_payload(wanted)
    yield typed("x402", "x402", "x402 2.25.0, ExactEvmScheme", signed.pop(), payload["signature"])


DOMAIN_ATTRIBUTES = {
    "name": "name",
    "version": "version",
    "chainId": "chain_id",
    "verifyingContract": "verifying_contract",
}


def grvt() -> Rows:
    signing, types = sdk("pysdk.grvt_raw_signing"), sdk("pysdk.grvt_raw_types")
    base = sdk("pysdk.grvt_raw_base")
    signed: list[Any] = []
    real = signing.encode_typed_data

    def noting(domain: Any, fields: Any, message: Any) -> Any:
        signed.append(full(domain, fields, message))
        return real(domain, fields, message)

    signing.encode_typed_data = noting
    order = types.Order(
        sub_account_id="8289849667772468",
        time_in_force=types.TimeInForce.GOOD_TILL_TIME,
        legs=[types.OrderLeg("BTC_USDT_Perp", "0.1", True, "65038.5")],
        signature=types.Signature("", "", "", 0, str((NOW + 3600) * 10**9), 828700936),
        metadata=types.OrderMetadata(client_order_id="1"),
        post_only=True,
    )
    config = base.GrvtApiConfig(
        env=base.GrvtEnv.PROD, trading_account_id="8289849667772468", private_key=KEY, api_key="", logger=None
    )
    instruments = {"BTC_USDT_Perp": SimpleNamespace(base_decimals=9, instrument_hash="0x030501")}
    account = sdk("eth_account").Account.from_key(KEY)
    done = signing.sign_order(order, config, account, instruments)
    yield typed("grvt", "grvt-order", "grvt-pysdk 0.2.1, sign_order", signed.pop(), joined(vars(done.signature)))
    exchange = of_ccxt("grvt", {"privateKey": KEY})
    request = {"address": ADDRESS, "signature": exchange.default_signature()}
    done = exchange.create_signed_request(request, "EIP712_WALLETLOGIN_TYPE")
    yield typed("grvt", "grvt-login", f"ccxt {CCXT}, the login", exchange.signed.pop(), joined(done["signature"]))


CCXT = "4.5.90"


def of_ccxt(name: str, config: dict[str, Any]) -> Any:
    """An exchange of ccxt that notes the typed data that it encodes."""

    class Noting(getattr(sdk("ccxt"), name)):  # type: ignore[misc]
        def eth_encode_structured_data(self, domain: Any, types: Any, message: Any) -> Any:
            self.signed.append(full(domain, types, message))
            return super().eth_encode_structured_data(domain, types, message)

    exchange = Noting(config)
    exchange.signed = []
    return exchange


def aster() -> Rows:
    # Without this option, it names its own builder.
    exchange = of_ccxt("aster", {"privateKey": KEY, "options": {"builderFee": False}})
    market = {
        "id": "ASTERUSDT",
        "symbol": "ASTER/USDT:USDT",
        "base": "ASTER",
        "quote": "USDT",
        "settle": "USDT",
        "type": "swap",
        "swap": True,
        "spot": False,
        "contract": True,
        "linear": True,
        "precision": {"amount": 0.1, "price": 0.01},
        "limits": {},
        "info": {"orderTypes": ["LIMIT", "MARKET"]},
    }
    exchange.set_markets([market])
    sent: list[str] = []

    def fetch(url: str, method: str = "GET", headers: Any = None, body: str = "") -> Any:
        sent.append(body)
        return {}

    exchange.fetch = fetch
    exchange.create_order("ASTER/USDT:USDT", "limit", "buy", 9.5, 1.25)
    signature = sent.pop().rpartition("signature=")[2].lower()
    put_in = {PARTNER: ADDRESS}  # the account is that of the key
    yield typed("aster", "aster-order", f"ccxt {CCXT}, create_order", exchange.signed.pop(), signature, put_in)


def hyperliquid() -> Rows:
    exchange, signing = sdk("hyperliquid.exchange"), sdk("hyperliquid.utils.signing")
    types, constants = sdk("hyperliquid.utils.types"), sdk("hyperliquid.utils.constants")
    source = "hyperliquid-python-sdk 0.24.0, "
    signed: list[Any] = []
    real_action, real_encode = signing.sign_l1_action, signing.encode_typed_data

    def noting_action(wallet: Any, action: Any, vault: Any, nonce: int, expires: Any, mainnet: bool) -> Any:
        request = {"action": action, "nonce": nonce, "network": "mainnet" if mainnet else "testnet"}
        options = {name: value for name, value in (("vaultAddress", vault), ("expiresAfter", expires)) if value}
        signature = real_action(wallet, action, vault, nonce, expires, mainnet)
        signed.append(({"type": "hyperliquid", **request, **options}, joined(signature)))
        return signature

    def noting_encode(domain: Any = None, types: Any = None, message: Any = None, full_message: Any = None) -> Any:
        encoded = real_encode(domain, types, message, full_message)
        signed.append(full_message)
        return encoded

    class Quiet(exchange.Exchange):  # type: ignore[misc, name-defined]
        def post(self, url_path: str, payload: Any = None) -> Any:
            signed.append(joined(payload["signature"]))
            return {"status": "ok"}

    exchange.sign_l1_action, signing.encode_typed_data = noting_action, noting_encode
    meta = {"universe": [{"name": "BTC", "szDecimals": 5}, {"name": "ETH", "szDecimals": 4}]}
    wallet = sdk("eth_account").Account.from_key(KEY)
    venue = Quiet(wallet, constants.MAINNET_API_URL, meta=meta, spot_meta={"universe": [], "tokens": []})

    limit: dict[str, Any] = {"limit": {"tif": "Gtc"}}
    stop = {"trigger": {"triggerPx": 85, "isMarket": True, "tpsl": "sl"}}
    coid = types.Cloid.from_int(1)
    one = {"coin": "ETH", "is_buy": True, "sz": 2.5, "limit_px": 99.5, "order_type": limit, "reduce_only": False}
    modify = {"oid": 5, "order": one}
    calls: list[tuple[str, str, Callable[[], Any]]] = [
        ("perps", "order", lambda: venue.order("ETH", True, 2.5, 99.5, limit, cloid=coid)),
        ("perps", "bulk_orders", lambda: venue.bulk_orders([one, {**one, "is_buy": False, "limit_px": 100.5}])),
        ("perps", "modify_order", lambda: venue.modify_order(5, "ETH", True, 2.5, 99.5, limit)),
        ("perps", "bulk_modify_orders_new", lambda: venue.bulk_modify_orders_new([modify])),
        ("perps", "cancel", lambda: venue.cancel("ETH", 5)),
        ("perps", "cancel_by_cloid", lambda: venue.cancel_by_cloid("ETH", coid)),
        ("stops", "order, a stop", lambda: venue.order("ETH", False, 2.5, 75, stop, reduce_only=True)),
        ("leverage", "update_leverage", lambda: venue.update_leverage(3, "ETH", is_cross=False)),
        ("leverage", "update_isolated_margin", lambda: venue.update_isolated_margin(500, "ETH")),
        ("switch", "schedule_cancel", lambda: venue.schedule_cancel((NOW + 60) * 1000)),
    ]
    for section, name, call in calls:
        call()
        signed.pop()
        request, signature = signed.pop()
        yield row("hyperliquid", section, source + name, signature, **request)
    venue.set_expires_after((NOW + 30) * 1000)
    venue.cancel("ETH", 5)
    signed.pop()
    request, signature = signed.pop()
    yield row("hyperliquid", "perps", source + "set_expires_after, cancel", signature, **request)

    venue.set_expires_after(None)
    token = "PURR:0xc4bf3f870c0e9465323c0b6ed28096c2"
    usdc = "USDC:0x6d1e7cde53ba9467b783cb7c530ce054"
    builder = "0x" + 40 * "4"
    transfers: list[tuple[str, str, Callable[[], Any]]] = [
        ("hl-usd-send", "usd_transfer", lambda: venue.usd_transfer(99.5, PARTNER)),
        ("hl-spot-send", "spot_transfer", lambda: venue.spot_transfer(99.5, PARTNER, token)),
        ("hl-withdraw", "withdraw_from_bridge", lambda: venue.withdraw_from_bridge(1000, ADDRESS)),
        ("hl-class-transfer", "usd_class_transfer", lambda: venue.usd_class_transfer(1000, True)),
        ("hl-send-asset", "send_asset", lambda: venue.send_asset(ADDRESS, "spot", "xyz", usdc, 1000)),
        ("hl-agent", "approve_agent", lambda: venue.approve_agent("bot")),
        ("hl-builder", "approve_builder_fee", lambda: venue.approve_builder_fee(builder, "0.01%")),
    ]
    for section, name, call in transfers:
        call()
        signature, data = signed.pop(), signed.pop()
        put_in = {"0x" + 40 * "3": data["message"]["agentAddress"]} if section == "hl-agent" else {}
        known = {field["name"] for field in data["types"][data["primaryType"]]}
        data["message"] = {name: value for name, value in data["message"].items() if name in known}
        yield typed("hyperliquid-transfers", section, source + name, data, signature, put_in)


def polymarket() -> Rows:
    builder, types = sdk("py_clob_client_v2.order_builder.builder"), sdk("py_clob_client_v2.clob_types")
    v2, login = sdk("py_clob_client_v2.order_utils.exchange_order_builder_v2"), sdk("py_clob_client_v2.signing.eip712")
    signature_types = sdk("py_clob_client_v2.order_utils").SignatureTypeV2
    signed: list[Any] = []
    real = v2.ExchangeOrderBuilderV2.build_order_typed_data

    def noting(self: Any, order: Any) -> Any:
        signed.append(real(self, order))
        return signed[-1]

    v2.ExchangeOrderBuilderV2.build_order_typed_data = noting
    signer = sdk("py_clob_client_v2.signer").Signer(KEY, 137)
    buy, sell = (types.OrderArgsV2(token_id="1234", price=0.5, size=50, side=side) for side in ("BUY", "SELL"))
    options = types.CreateOrderOptions(tick_size="0.01", neg_risk=False)
    multiple = types.CreateOrderOptions(tick_size="0.01", neg_risk=True)
    orders = [
        ("polymarket-buy", "EOA", None, buy, options),
        ("polymarket-buy", "EOA", None, buy, multiple),
        ("polymarket-sell", "EOA", None, sell, options),
        ("polymarket-wallet-buy", "POLY_PROXY", PARTNER, buy, options),
        ("polymarket-wallet-buy", "POLY_GNOSIS_SAFE", PARTNER, buy, options),
        ("polymarket-deposit-buy", "POLY_1271", PARTNER, buy, options),
    ]
    for section, account, funder, order, choice in orders:
        built = builder.OrderBuilder(signer, signature_types[account], funder).build_order(order, choice)
        data, signature = signed.pop(), built.signature
        if account == "POLY_1271":  # the SDK hashes this by hand, and appends to the signature what the wallet needs
            data, signature = wrapped(data), signature[: 2 + 2 * 65]
        yield typed("polymarket", section, f"py-clob-client-v2 1.2.1, an order of {account}", data, signature)
    login.ClobAuth.signable_bytes = noting_message(login.ClobAuth, signed)
    signature = login.sign_clob_auth_message(signer, NOW, 0)
    yield typed("polymarket", "polymarket-login", "py-clob-client-v2 1.2.1, the login", signed.pop(), signature)


def noting_message(struct: Any, signed: list[Any]) -> Any:
    """A method that notes what an EIP712Struct says."""
    real = struct.signable_bytes

    def signable_bytes(self: Any, domain: Any = None) -> Any:
        signed.append(self.to_message(domain))
        return real(self, domain)

    return signable_bytes


def wrapped(order: dict[str, Any]) -> dict[str, Any]:
    """What a deposit wallet checks: the order inside of a TypedDataSign (ERC-7739)."""
    inner = {
        "contents": "Order",
        "name": "string",
        "version": "string",
        "chainId": "uint256",
        "verifyingContract": "address",
        "salt": "bytes32",
    }
    return {
        "types": {**order["types"], "TypedDataSign": [{"name": name, "type": inner[name]} for name in inner]},
        "primaryType": "TypedDataSign",
        "domain": order["domain"],
        "message": {
            "contents": order["message"],
            "name": "DepositWallet",
            "version": "1",
            "chainId": order["domain"]["chainId"],
            "verifyingContract": order["message"]["signer"],
            "salt": bytes(32),
        },
    }


def derive() -> Rows:
    signed, trade = sdk("derive_action_signing.signed_action"), sdk("derive_action_signing.module_data.trade")
    utils, web3, decimal = sdk("derive_action_signing.utils"), sdk("web3"), sdk("decimal").Decimal
    fields = {
        "subaccountId": "uint256",
        "nonce": "uint256",
        "module": "address",
        "data": "bytes",
        "expiry": "uint256",
        "owner": "address",
        "signer": "address",
    }
    asset = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
    action = signed.SignedAction(
        subaccount_id=30769,
        owner=PARTNER,
        signer=ADDRESS,
        signature_expiry_sec=NOW + 600,
        nonce=utils.get_action_nonce(),
        module_address="0xB8D20c2B7a1Ad2EE33Bc50eF10876eD3035b5e7b",
        module_data=trade.TradeModuleData(asset, 0, decimal("3000"), decimal("0.5"), decimal("3"), 30769, True),
        DOMAIN_SEPARATOR="0xd96e5f90797da7ec8dc4e276260c7f3f87fedf68775fbe1ef116e996fc60441b",
        ACTION_TYPEHASH="0x4d7a9f27c403ff9c0f19bce61d76d82f9aa29f8d6d4b0c5474607d9770d1af17",
    )
    signature = action.sign(KEY)
    values = [action.subaccount_id, action.nonce, action.module_address, action.module_data.to_abi_encoded()]
    values += [action.signature_expiry_sec, action.owner, action.signer]
    domain = {
        "name": "Matching",
        "version": "1.0",
        "chainId": 957,
        "verifyingContract": "0xeB8d770ec18DB98Db922E9D83260A585b9F0DeAD",
    }
    types = {"Action": [{"name": name, "type": fields[name]} for name in fields]}
    data = full(domain, types, dict(zip(fields, values)))
    source = "derive-action-signing 0.0.13, "
    yield typed("derive", "derive-order", source + "SignedAction of TradeModuleData", data, signature)
    header = utils.sign_rest_auth_header(web3.Web3(), PARTNER, KEY)
    text = header["X-LYRATIMESTAMP"]
    signature = header["X-LYRASIGNATURE"]
    yield row("derive", "derive-login", source + "sign_rest_auth_header", signature, type="message", text=text)


def orderly() -> Rows:
    rest = sdk("orderly_evm_connector.rest").Rest
    source = "orderly-evm-connector 0.2.9, "
    key = "ed25519:8tm7dnKYkSc3FzgPuJaw1wztr79eeZpN35nHW5pL5XhX"
    client = rest(orderly_key=key, orderly_secret=key, wallet_secret=KEY[2:], orderly_testnet=False)
    signed: list[Any] = []
    real = client.get_wallet_signature

    def noting(message: Any = None) -> Any:
        signed.append((message, real(message=message)))
        return signed[-1][1]

    client.get_wallet_signature = noting
    client._request = client._sign_request = lambda *arguments, **named: {}
    now = NOW * 1000
    client.register_account("woofi_pro", 42161, 1, ADDRESS)
    yield typed("orderly", "orderly-registration", source + "register_account", *signed.pop())
    year = now + 31_536_000_000
    client.add_orderly_key("woofi_pro", 42161, key, "read,trading", now, year, ADDRESS)
    yield typed("orderly", "orderly-key", source + "add_orderly_key", *signed.pop())
    client.withdraw_request("woofi_pro", 42161, ADDRESS, "USDC", 1_000_000_000, 1, ADDRESS)
    yield typed("orderly", "orderly-withdraw", source + "withdraw_request", *signed.pop())


def nado() -> Rows:
    execute, sign = sdk("nado_protocol.utils.execute"), sdk("nado_protocol.utils.execute")
    engine, types = sdk("nado_protocol.engine_client.execute"), sdk("nado_protocol.engine_client.types.execute")
    order, expiration = sdk("nado_protocol.utils.order"), sdk("nado_protocol.utils.expiration")
    signed: list[Any] = []
    real = sign.sign_eip712_typed_data

    def noting(typed_data: Any, signer: Any) -> Any:
        signed.append(typed_data.model_dump())
        return real(typed_data=typed_data, signer=signer)

    execute.sign_eip712_typed_data = noting
    options = {"url": "http://127.0.0.1:1", "signer": KEY, "linked_signer": KEY, "chain_id": 57073}
    client = engine.EngineExecuteClient(
        opts=sdk("nado_protocol.engine_client.types").EngineClientOpts(**options), querier=object()
    )
    client.endpoint_addr, client.chain_id = "0x" + 40 * "3", 57073
    client.execute = lambda params: params
    sender = sdk("nado_protocol.utils.subaccount").SubaccountParams(subaccount_owner=ADDRESS, subaccount_name="default")
    common = {"sender": sender, "priceX18": 70_000 * 10**18, "amount": -(10**17), "expiration": NOW + 3600}
    appendix = order.build_appendix(expiration.OrderType.POST_ONLY)
    done = client.place_order(
        types.PlaceOrderParams(product_id=2, order=types.OrderParams(**common, appendix=appendix))
    )
    yield typed("nado", "nado-order", "nado-protocol 2.0.0, place_order", signed.pop(), done.signature)
    done = client.cancel_orders(types.CancelOrdersParams(sender=sender, productIds=[2], digests=["0x" + 64 * "a"]))
    yield typed("nado", "nado-cancel", "nado-protocol 2.0.0, cancel_orders", signed.pop(), done.signature)


def aevo() -> Rows:
    client, models = sdk("aevopy.aevo"), sdk("aevopy.models")
    signed: list[Any] = []

    client.Order.signable_bytes = noting_message(client.Order, signed)
    account = models.AevoAccount(
        signing_key=KEY, wallet_address="0x" + 40 * "1", api_key="a", api_secret="a", env="mainnet"
    )
    venue = client.AevoClient(account)
    sent: list[Any] = []

    def post(url: str, json: Any = None) -> Any:
        sent.append(json)
        return SimpleNamespace(json=lambda: {"error": "recorded"})

    venue.session = SimpleNamespace(post=post)
    try:
        venue.create_order(1, 0.5, True, 3000)
    except client.AevoException:
        pass
    data = signed.pop()
    data["domain"]["chainId"] = int(data["domain"]["chainId"])
    yield typed("aevo", "aevo-order", "aevopy 0.1.1, create_order", data, sent.pop()["signature"])


def leverj() -> Rows:
    inspect = sdk("inspect")
    inspect.getargspec = inspect.getfullargspec  # its parsimonious is of a time when Python had both
    spot, futures = sdk("leverj_ordersigner.spot"), sdk("leverj_ordersigner.futures")
    common = {"accountId": PARTNER, "side": "buy", "orderType": "LMT", "timestamp": NOW * 10**6}
    quote = {"address": "0x0000000000000000000000000000000000000000", "decimals": 18}
    instrument = {
        "symbol": "LEVETH",
        "quote": quote,
        "base": {"address": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282", "decimals": 9},
    }
    order = {**common, "quantity": 20000, "price": 0.00025, "instrument": "LEVETH"}
    request: dict[str, Any] = {"type": "spot", "order": order, "instrument": instrument}
    signature = spot.sign_order(order, instrument, KEY)
    yield row("leverj", "LEV/ETH", "leverj-ordersigner 0.9.2, spot.sign_order", signature, **request)
    dai = "0x4F96Fe3b7A6Cf9725f59d353F723c1bDb64CA6Aa"
    # As Leverj's clients compute it for 5 times, with 4 digits.
    margin = str(round(9380 * 10 ** (18 - 4) / 5) * 10**4)
    order = {**common, "quantity": 0.5, "price": 9380, "instrument": "1", "quote": dai, "marginPerFraction": margin}
    instrument = {"id": "1", "quote": {"address": dai, "decimals": 18}}
    request = {"type": "futures", "order": order, "instrument": instrument}
    signature = futures.sign_order(order, instrument, KEY)
    yield row("leverj", "BTC/DAI", "leverj-ordersigner 0.9.2, futures.sign_order", signature, **request)
    # Leverj's client, leverj-pyclient, is no package. It makes this with eth-account.
    account, text = sdk("eth_account").Account.from_key(KEY), str(NOW * 1000)
    signature = account.sign_message(sdk("eth_account.messages").encode_defunct(text=text)).signature
    yield row("leverj", "leverj-login", "leverj-pyclient's login, by hand", signature, type="message", text=text)


def lighter() -> Rows:
    client = sdk("lighter.signer_client")
    signed: list[str] = []
    real = client.encode_defunct

    def noting(text: str) -> Any:
        signed.append(text)
        return real(text=text)

    client.encode_defunct = noting
    private, public, error = client.create_api_key()
    assert error is None, error

    async def change() -> Any:
        numbers = client.nonce_manager.NonceManagerType.API
        venue = client.SignerClient("http://127.0.0.1:1", 0x41, {3: private}, numbers)
        try:
            return venue.sign_change_api_key(KEY, public, nonce=5, api_key_index=3)
        finally:
            await venue.close()

    done = asyncio.run(change())
    assert done[3] is None, done
    text = signed.pop()
    put_in = {"0x" + "0123456789" * 7 + "012345678a": "0x" + public.removeprefix("0x")}
    signature = json.loads(done[1])["L1Sig"]
    source = "lighter-sdk 1.1.8, sign_change_api_key"
    yield row("lighter", "lighter-key", source, signature, put_in, type="message", text=text)


def transactions() -> Rows:
    """Calls that eth-abi encodes, one for each section, in transactions that eth-account signs."""
    encode, keccak = sdk("eth_abi").encode, sdk("eth_utils").keccak
    account = sdk("eth_account").Account.from_key(KEY)

    def call(section: str, contract: str, name: str, types: list[str], *arguments: Any, chain: int = 1) -> Any:
        value = 10**18 if section == "weth-wrap" else 0
        transaction = {
            "type": 2,
            "chainId": chain,
            "nonce": 7,
            "maxPriorityFeePerGas": 10**8,
            "maxFeePerGas": 2 * 10**9,
            "gas": 300_000,
            "to": contract,
            "value": value,
            "data": "0x" + (keccak(text=f"{name}({','.join(types)})")[:4] + encode(types, arguments)).hex(),
            "accessList": [],
        }
        signed = account.sign_transaction(transaction)
        signature = f"{signed.r:064x}{signed.s:064x}{27 + signed.v:02x}"
        source = f"eth-abi {sdk('eth_abi').__version__}, {name}"
        return row("transactions", section, source, signature, type="transaction", transaction=plain(transaction))

    approval = ["address", "uint256"]
    cow_relayer, cow = "0xC92E8bdf79f0507f65a392b0ab4667716BFE0110", "0x9008D19f58AAbD9eD0D60971565AA8510560ab41"
    yield call("usdc-approve", USDC, "approve", approval, cow_relayer, 1000 * 10**6)
    yield call("usdc-transfer", USDC, "transfer", approval, PARTNER, 250 * 10**6)
    yield call("weth-wrap", WETH, "deposit", [])
    yield call("weth-unwrap", WETH, "withdraw", ["uint256"], 2 * 10**18)
    uniswap, universal = "0xE592427A0AEce92De3Edee1F18E0157C05861564", "0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af"
    types = ["(address,address,uint24,address,uint256,uint256,uint256,uint160)"]
    swap = (USDC, WETH, 500, ADDRESS, NOW + 300, 1000 * 10**6, 3 * 10**17, 0)
    yield call("uniswap-buy", uniswap, "exactInputSingle", types, swap)
    types = ["address", "address", "uint160", "uint48"]
    permit2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
    yield call("permit2-approve", permit2, "approve", types, USDC, universal, 1000 * 10**6, NOW + 3600)
    yield call("cow-cancel", cow, "setPreSignature", ["bytes", "bool"], 56 * b"\x07", False)
    seaport = "0x0000000000000068F116a894984e2DB1123eB395"
    item, zero = "uint8,address,uint256,uint256,uint256", bytes(32)
    listed = (2, WETH, 5, 1, 1)
    sale = (ADDRESS, PARTNER, [listed], [(*listed, ADDRESS)], 0, 0, NOW, zero, 1, zero, 0)
    types = [f"(address,address,({item})[],({item},address)[],uint8,uint256,uint256,bytes32,uint256,bytes32,uint256)[]"]
    yield call("seaport-cancel", seaport, "cancel", types, [sale, sale])
    yield call("seaport-cancel-all", seaport, "incrementCounter", [])
    yield call("1inch-cancel", "0x111111125421cA6dc452d289314280a0f8842A65", "increaseEpoch", ["uint96"], 0)
    usdc_e, shares = "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174", "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
    exchange = "0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E"
    yield call("polymarket-approve", usdc_e, "approve", approval, exchange, 1000 * 10**6, chain=137)
    types = ["address", "bool"]
    yield call("polymarket-approve-shares", shares, "setApprovalForAll", types, exchange, True, chain=137)
    types = ["address", "bytes32", "bytes32", "uint256[]"]
    market = (usdc_e, zero, 32 * b"1", [1, 2])
    yield call("polymarket-split", shares, "splitPosition", [*types, "uint256"], *market, 100 * 10**6, chain=137)
    yield call("polymarket-merge", shares, "mergePositions", [*types, "uint256"], *market, 100 * 10**6, chain=137)
    yield call("polymarket-redeem", shares, "redeemPositions", types, *market, chain=137)
    usdc, bridge = "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "0x2Df1c51E09aECF9cacB7bc98cB1742757f163dF7"
    yield call("hyperliquid-deposit", usdc, "transfer", approval, bridge, 5 * 10**6, chain=42161)
    aave = "0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2"
    types = ["address", "uint256", "address", "uint16"]
    yield call("aave-supply", aave, "supply", types, USDC, 1000 * 10**6, ADDRESS, 0)
    yield call("aave-withdraw", aave, "withdraw", ["address", "uint256", "address"], USDC, 2**256 - 1, ADDRESS)


ENVIRONMENTS: dict[str, tuple[list[str], list[Callable[[], Rows]]]] = {
    "sdks": (
        [
            f"ccxt=={CCXT}",
            "cowdao-cowpy==1.0.1",
            "grvt-pysdk==0.2.1",
            "hyperliquid-python-sdk==0.24.0",
            "x402[evm]==2.25.0",
        ],
        [cow, x402, grvt, aster, hyperliquid],
    ),
    "clob": (["derive-action-signing==0.0.13", "py-clob-client-v2==1.2.1"], [polymarket, derive]),
    "orderly": (["orderly-evm-connector==0.2.9"], [orderly]),
    "nado": (["nado-protocol==2.0.0"], [nado]),
    "aevo": (["aevopy==0.1.1"], [aevo]),
    "leverj": (["leverj-ordersigner==0.9.2", "web3==5.31.4", "setuptools==80.9.0"], [leverj]),
    "lighter": (["lighter-sdk==1.1.8"], [lighter]),
    "calls": (["eth-abi==6.0.0", "eth-account==0.14.0"], [transactions]),
}
# npm's packages, each group in a folder of its own. 0x names a package by its repository, and npm has it too.
NODE = {
    "js-main": ({"@1inch/limit-order-sdk": "5.4.3", "@uniswap/permit2-sdk": "1.4.0", "ethers": "6.17.0"}, {}),
    "js-seaport": ({"@opensea/seaport-js": "4.3.0", "ethers": "6.17.0"}, {}),
    "js-uniswapx": ({"@uniswap/uniswapx-sdk": "3.1.0"}, {}),
    "js-zerox": ({"@0x/protocol-utils": "11.24.2"}, {"ethereumjs-abi": "0.6.8"}),
}


def record(environment: str) -> None:
    """Print the rows of the environment in which this runs. Each is marked, because SDKs also print."""
    freezegun = sdk("freezegun")
    freezegun.configure(extend_ignore_list=["pydantic"])
    with freezegun.freeze_time(sdk("datetime").datetime.fromtimestamp(NOW, sdk("datetime").timezone.utc)):
        for recorded in ENVIRONMENTS[environment][1]:
            for one in recorded():
                print("ROW " + json.dumps(one))


def run(*command: str, **options: Any) -> list[dict[str, Any]]:
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **options)
    return [json.loads(line[4:]) for line in ended.stdout.splitlines() if line.startswith("ROW ")]


def main(directory: Path, only: list[str]) -> None:
    rows: list[dict[str, Any]] = []
    for name, (requirements, _) in ENVIRONMENTS.items():
        if only and name not in only:
            continue
        folder = directory / name
        python, complete = folder / "bin/python", folder / "complete"
        if not complete.exists():
            run(sys.executable, "-m", "venv", str(folder))
            run(str(python), "-m", "pip", "install", "--quiet", CLOCK, *requirements)
            complete.touch()
        rows += run(str(python), __file__, "--record", name)
    for name, (packages, overrides) in NODE.items():
        if only and name not in only:
            continue
        folder = directory / name
        complete = folder / "complete"
        if not complete.exists():
            folder.mkdir(parents=True, exist_ok=True)
            wanted = {"private": True, "dependencies": packages, "overrides": overrides}
            (folder / "package.json").write_text(json.dumps(wanted))
            run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
            complete.touch()
        rows += run("node", str(Path(__file__).with_suffix(".mjs")), name, cwd=folder)
    if only:
        kept = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else []
        policies = {one["policy"] for one in rows}
        rows += [one for one in kept if one["policy"] not in policies]
    rows.sort(key=lambda one: one["policy"])  # the others stay in their order
    OUTPUT.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{OUTPUT}: {len(rows)} requests for {len({one['policy'] for one in rows})} policies")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        record(sys.argv[2])
    elif len(sys.argv) > 1:
        main(Path(os.path.abspath(sys.argv[1])), sys.argv[2:])
    else:
        sys.exit(__doc__)
