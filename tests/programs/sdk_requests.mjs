// The SDKs that are written in JavaScript: run by sdk_requests.py, in the folder that has them. Prints rows, as described
// there.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "/"));
const KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"; // Hardhat's account 0
const ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const PARTNER = "0x" + "2".repeat(40);
const NOW = 1_800_000_000;
const WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2";
const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const DOMAIN = { name: "string", version: "string", chainId: "uint256", verifyingContract: "address", salt: "bytes32" };
Date.now = () => NOW * 1000;

const plain = (value) => {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value === "bigint") return value.toString();
    if (value?._isBigNumber) return value.toString(); // of ethers, and of bignumber.js below
    if (value?.toFixed && typeof value === "object") return value.toFixed();
    if (value !== null && typeof value === "object")
        return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
    return value;
};

const typed = (policy, section, source, domain, types, primaryType, message, signature) => {
    const declared = Object.keys(DOMAIN).filter((name) => domain[name] !== undefined);
    const all = { EIP712Domain: declared.map((name) => ({ name, type: DOMAIN[name] })), ...types };
    const typed_data = plain({ types: all, primaryType, domain, message });
    const request = { type: "typed_data", typed_data, signer: ADDRESS };
    console.log("ROW " + JSON.stringify({ policy, section, source, put_in: {}, now: NOW, request, signature }));
};

const RECORDED = {
    async "js-main"() {
        const { Address, LimitOrder, MakerTraits } = require("@1inch/limit-order-sdk");
        const { AllowanceTransfer, SignatureTransfer, PERMIT2_ADDRESS } = require("@uniswap/permit2-sdk");
        const wallet = new (require("ethers").Wallet)(KEY);

        const traits = MakerTraits.default().withExpiration(BigInt(NOW + 1800)).allowPartialFills().allowMultipleFills();
        traits.withEpoch(0n, 0n);
        const sale = {
            makerAsset: new Address("0xdac17f958d2ee523a2206206994597c13d831ec7"),
            takerAsset: new Address("0x6b175474e89094c44da98b954eedeac495271d0f"),
            makingAmount: 100_000000n,
            takingAmount: 99_500000000000000000n,
            maker: new Address(ADDRESS),
        };
        const order = new LimitOrder(sale, traits).getTypedData(1);
        const types = { Order: order.types.Order };
        let signature = await wallet.signTypedData(order.domain, types, order.message);
        const sdk = "@1inch/limit-order-sdk 5.4.3, LimitOrder.getTypedData";
        typed("1inch", "1inch-sell", sdk, order.domain, types, "Order", order.message, signature);

        const permit2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
        if (PERMIT2_ADDRESS.toLowerCase() !== permit2.toLowerCase()) throw new Error(PERMIT2_ADDRESS);
        const details = { token: USDC, amount: "1000000000", expiration: NOW + 3600, nonce: 3 };
        const allowance = { details, spender: PARTNER, sigDeadline: NOW + 600 };
        const permitted = { token: USDC, amount: "1000000000" };
        const transfer = { permitted, spender: PARTNER, nonce: "7", deadline: NOW + 600 };
        for (const [section, name, primary, data] of [
            ["permit2-allowance", "AllowanceTransfer", "PermitSingle", AllowanceTransfer.getPermitData(allowance, permit2, 1)],
            ["permit2-transfer", "SignatureTransfer", "PermitTransferFrom", SignatureTransfer.getPermitData(transfer, permit2, 1)],
        ]) {
            signature = await wallet.signTypedData(data.domain, data.types, data.values);
            const source = `@uniswap/permit2-sdk 1.4.0, ${name}.getPermitData`;
            typed("permit2", section, source, data.domain, data.types, primary, data.values, signature);
        }
    },

    async "js-uniswapx"() {
        const { BigNumber, Wallet } = require("ethers");
        const { V2DutchOrderBuilder } = require("@uniswap/uniswapx-sdk");
        const reactor = "0x00000011F84B9aa48e5f8aA8B9897600006289Be"; // the SDK's own for this chain
        const order = new V2DutchOrderBuilder(1)
            .deadline(NOW + 600)
            .swapper(ADDRESS)
            .nonce(BigNumber.from(9))
            .cosigner("0x" + "5".repeat(40))
            .input({ token: USDC, startAmount: BigNumber.from("3000000000"), endAmount: BigNumber.from("3000000000") })
            .output({
                token: WETH,
                startAmount: BigNumber.from("1010000000000000000"),
                endAmount: BigNumber.from("1000000000000000000"),
                recipient: ADDRESS,
            })
            .buildPartial();
        if (order.info.reactor.toLowerCase() !== reactor.toLowerCase()) throw new Error(order.info.reactor);
        const { domain, types, values } = order.permitData();
        const signature = await new Wallet(KEY)._signTypedData(domain, types, values);
        const source = "@uniswap/uniswapx-sdk 3.1.0, V2DutchOrderBuilder";
        typed("permit2", "uniswapx", source, domain, types, "PermitWitnessTransferFrom", values, signature);
    },

    async "js-seaport"() {
        const { JsonRpcProvider, Network, Wallet, parseEther } = require("ethers");
        const { Seaport } = require("@opensea/seaport-js");
        const { ItemType } = require("@opensea/seaport-js/lib/constants");
        let seen;
        class Noting extends Wallet {
            signTypedData(...data) {
                seen = data;
                return super.signTypedData(...data);
            }
        }
        const provider = new JsonRpcProvider("http://127.0.0.1:1", Network.from(1), { staticNetwork: true });
        const seaport = new Seaport(new Noting(KEY, provider), { balanceAndApprovalChecksOnOrderCreation: false });
        const token = "0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D";
        const { executeAllActions } = await seaport.createOrder({
            offer: [{ itemType: ItemType.ERC721, token, identifier: "12" }],
            consideration: [{ amount: parseEther("0.4").toString(), recipient: ADDRESS }],
            fees: [{ recipient: "0x0000a26b00c1F0DF003000390027140000fAa719", basisPoints: 250 }],
            conduitKey: seaport.OPENSEA_CONDUIT_KEY,
            endTime: String(NOW + 3600),
            counter: 0,
        }, ADDRESS);
        const { signature: compact } = await executeAllActions();
        const [domain, types, message] = seen;
        const signature = await new Wallet(KEY).signTypedData(domain, types, message);
        if (compact.length === 132 && compact !== signature) throw new Error(compact);
        const source = "@opensea/seaport-js 4.3.0, createOrder";
        const fields = types.OrderComponents.map(({ name }) => name);
        const signed = Object.fromEntries(Object.entries(message).filter(([name]) => fields.includes(name)));
        typed("seaport", "seaport-sell", source, domain, types, "OrderComponents", signed, signature);
        provider.destroy();
    },

    async "js-zerox"() {
        const { LimitOrder, OtcOrder, RfqOrder, SignatureType } = require("@0x/protocol-utils");
        const { BigNumber } = require("@0x/utils");
        const [salt, expiry] = [new BigNumber(NOW * 1000), new BigNumber(NOW + 90)];
        const sale = {
            chainId: 1,
            verifyingContract: "0xDef1C0ded9bec7F1a1670819833240f027b25EfF",
            maker: ADDRESS,
            makerToken: WETH,
            takerToken: USDC,
            makerAmount: new BigNumber("500000000000000000"),
            takerAmount: new BigNumber("1500000000"),
        };
        const packed = OtcOrder.encodeExpiryAndNonce(expiry, new BigNumber(0), salt);
        for (const [section, name, order] of [
            ["0x-limit", "LimitOrder", new LimitOrder({ ...sale, salt, expiry })],
            ["0x-rfq", "RfqOrder", new RfqOrder({ ...sale, salt, expiry, txOrigin: PARTNER })],
            ["0x-otc", "OtcOrder", new OtcOrder({ ...sale, txOrigin: PARTNER, expiryAndNonce: packed })],
        ]) {
            const { r, s, v } = order.getSignatureWithKey(KEY, SignatureType.EIP712);
            const { types, domain, primaryType, message } = order.getEIP712TypedData();
            const { EIP712Domain: _, ...own } = types;
            const signature = r + s.slice(2) + v.toString(16);
            typed("0x", section, `@0x/protocol-utils 11.24.2, ${name}`, domain, own, primaryType, message, signature);
        }
    },
};

await RECORDED[process.argv[2]]();
process.exit(0);
