// Everything that these libraries sign with the daemon's key is what they sign with the key itself, byte by byte.
// ORDERSIGNER_SOCKET is the socket of a daemon that holds KEY; test_node.py has its policy.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { ExactEvmScheme } from "@x402/evm/exact/client";
import { ExchangeClient } from "@nktkas/hyperliquid";
import { ClobClient } from "@polymarket/clob-client";
import { Seaport } from "@opensea/seaport-js";
import { JsonRpcProvider, Network, Wallet } from "ethers";
import { createWalletClient, custom, keccak256, recoverMessageAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { base, celo, mainnet, zksync } from "viem/chains";

import { Client, SignerError } from "./ordersigner.mjs";
import { OrdersignerSigner } from "./ordersigner-ethers.mjs";
import { ordersignerHyperliquid } from "./ordersigner-hyperliquid.mjs";
import { ordersignerAccount } from "./ordersigner-viem.mjs";

const KEY = "0x" + "11".repeat(32);
const TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const OTHER = "0x" + "55".repeat(20);
const NOW = 1_800_000_000_000;
Date.now = () => NOW;

const client = new Client();
const real = privateKeyToAccount(KEY);
const held = ordersignerAccount(real.address, client);
const wallet = new Wallet(KEY);
const signer = new OrdersignerSigner(real.address, null, client);
after(() => held.close());

// The result of `make` with each of the signers, which must be the same. Random values are fixed while it runs.
async function same(signers, make) {
    const made = [];
    for (const one of signers) {
        let count = 0;
        Math.random = () => (++count % 1000) / 1000;
        globalThis.crypto.getRandomValues = (bytes) => bytes.fill(++count);
        made.push(await make(one));
    }
    assert.deepEqual(made[1], made[0]);
    return made[0];
}

const isRefused = (field, code) => (error) =>
    error instanceof SignerError && error.field === field && error.code === code;

const MESSAGES = ["", "Hello", "Grüße € \u{1f600}", "0xabcd", '"\\ \n\t', "x".repeat(4000)];
const BYTES = ["", "Grüße €", "x".repeat(32)].map((text) => new TextEncoder().encode(text)); // the policy wants text
const ANY_BYTES = Uint8Array.from({ length: 300 }, (_, index) => index % 256);

const MAIL = {
    domain: { name: "Mail", version: "1", chainId: 1, verifyingContract: TOKEN },
    types: {
        Mail: [
            { name: "from", type: "Person" },
            { name: "to", type: "Person[]" },
            { name: "amount", type: "uint256" },
            { name: "change", type: "int64" },
            { name: "data", type: "bytes" },
            { name: "tag", type: "bytes4" },
            { name: "urgent", type: "bool" },
            { name: "matrix", type: "uint8[2][]" },
        ],
        Person: [
            { name: "name", type: "string" },
            { name: "wallet", type: "address" },
        ],
    },
    primaryType: "Mail",
    message: {
        from: { name: "Käthe", wallet: TOKEN },
        to: [{ name: "", wallet: OTHER }],
        amount: 2n ** 256n - 1n,
        change: -5n,
        data: "0x0012ff",
        tag: "0xdeadbeef",
        urgent: true,
        matrix: [
            [1, 2],
            [3, 255],
        ],
    },
};
const SMALL = {
    types: { Small: [{ name: "number", type: "uint64" }] },
    primaryType: "Small",
    message: { number: 7 },
};
const TYPED_DATA = [
    MAIL,
    { ...MAIL, domain: { chainId: 2n ** 60n, salt: "0x" + "ab".repeat(32) } },
    { ...MAIL, domain: { name: "" } },
    { ...SMALL, domain: { name: "Small", version: undefined } },
    { ...SMALL, domain: {} },
    { ...MAIL, message: { ...MAIL.message, to: [], matrix: [], data: "0x", amount: "12345678901234567890123" } },
];

test("viem signs messages", async () => {
    for (const message of [...MESSAGES, ...[...BYTES, "0x61c3BC"].map((raw) => ({ raw }))])
        await same([real, held], (account) => account.signMessage({ message }));
});

test("viem signs typed data", async () => {
    const own = {
        ...SMALL,
        domain: { name: "x" },
        types: { ...SMALL.types, EIP712Domain: [{ name: "name", type: "string" }] },
    };
    const bytes = { ...MAIL, message: { ...MAIL.message, data: ANY_BYTES } };
    const [, second] = TYPED_DATA;
    for (const data of [
        ...TYPED_DATA,
        own,
        bytes,
        { ...SMALL },
        { ...second, message: { ...second.message, more: 1 } },
    ])
        await same([real, held], (account) => account.signTypedData(data));
});

const CALL = "0x095ea7b3" + "00".repeat(12) + "55".repeat(20) + "00".repeat(31) + "07";
const ACCESS = [
    { address: TOKEN, storageKeys: ["0x" + "00".repeat(32), "0x" + "ab".repeat(32)] },
    { address: OTHER, storageKeys: [] },
];
const SENT = { chainId: 1, nonce: 0, gas: 60_000n, to: OTHER, value: 5n * 10n ** 18n };
const LEGACY = { gasPrice: 20n * 10n ** 9n };
const FEES = { maxPriorityFeePerGas: 1n, maxFeePerGas: 30n * 10n ** 9n };
const TRANSACTIONS = [
    { ...SENT, ...LEGACY, type: "legacy" },
    { ...SENT, ...LEGACY, type: "legacy", to: TOKEN, value: 0n, data: CALL, nonce: 2 ** 40 },
    { ...SENT, ...LEGACY, type: "eip2930", accessList: ACCESS },
    { ...SENT, ...FEES, type: "eip1559" },
    { ...SENT, ...FEES, type: "eip1559", to: TOKEN, value: 0n, data: CALL, accessList: ACCESS, nonce: 300 },
    { ...SENT, ...FEES, type: "eip1559", to: null, value: 0n, data: "0x6001", gas: 2n ** 40n },
];

test("viem signs transactions", async () => {
    for (const transaction of TRANSACTIONS) {
        await same([real, held], (account) => account.signTransaction(transaction));
        // Without the type, which viem finds by the fees, and with what a wallet adds.
        const { type, ...untyped } = transaction;
        if (type !== "legacy") await same([real, held], (account) => account.signTransaction(untyped));
        await same([real, held], (account) =>
            account.signTransaction({ ...transaction, account, chain: mainnet, from: real.address }),
        );
    }
    // Some of these r and s begin with a byte of zeros, which RLP leaves out.
    for (let nonce = 0; nonce < 400; nonce += 1)
        await same([real, held], (account) => account.signTransaction({ ...TRANSACTIONS[3], nonce }));
});

test("a wallet of viem signs, and sends what the daemon signed", async () => {
    for (const chain of [mainnet, base]) {
        await same([real, held], async (account) => {
            const sent = [];
            const request = async ({ method, params }) => {
                sent.push([method, params]);
                return method === "eth_chainId" ? `0x${chain.id.toString(16)}` : keccak256(params[0]);
            };
            const sender = createWalletClient({ account, chain, transport: custom({ request }) });
            const { chainId, ...transaction } = TRANSACTIONS[4];
            await sender.sendTransaction({ ...transaction, maxPriorityFeePerGas: 1n });
            const raw = await sender.signTransaction(transaction);
            assert(sent.some(([method, [given]]) => method === "eth_sendRawTransaction" && given === raw));
            return [sent, await sender.signMessage({ message: "Hello" }), await sender.signTypedData(MAIL)];
        });
    }
});

test("with viem, what the daemon cannot sign is not signed", async () => {
    const [legacy, , , transfer] = TRANSACTIONS;
    const { chainId, ...everywhere } = legacy;
    await assert.rejects(held.signTransaction(everywhere), isRefused("transaction.chainId", "missing"));
    await assert.rejects(held.signTransaction({ ...transfer, from: OTHER }), isRefused("transaction.from", "mismatch"));
    for (const more of [
        { authorizationList: [] },
        { blobVersionedHashes: ["0x01" + "00".repeat(31)], maxFeePerBlobGas: 1n, type: "eip4844" },
    ]) {
        const { type, ...untyped } = transfer;
        await assert.rejects(held.signTransaction({ ...untyped, ...more }), /signs no transactions of the type/);
    }
    for (const [chain, more] of [
        [celo, { feeCurrency: TOKEN, type: "cip64" }],
        [zksync, { gasPerPubdata: 1n, type: "eip712" }],
    ]) {
        const { serializers } = chain;
        const given = { ...transfer, chainId: 1, ...more };
        await assert.rejects(held.signTransaction(given, { serializer: serializers.transaction }), TypeError);
        const named = held.signTransaction({ ...given, type: "eip1559" }, { serializer: serializers.transaction });
        await assert.rejects(named, /another transaction/);
    }
    assert.equal(held.sign, undefined);
    assert.equal(held.signAuthorization, undefined);
});

test("ethers signs messages and typed data", async () => {
    for (const message of [...MESSAGES, ...BYTES]) await same([wallet, signer], (one) => one.signMessage(message));
    for (const { domain = {}, types, message } of TYPED_DATA) {
        await same([wallet, signer], (one) => one.signTypedData(domain, types, message));
        await same([real, signer], (one) =>
            one === real
                ? real.signTypedData({ domain, types, primaryType: Object.keys(types)[0], message })
                : one.signTypedData(domain, types, message),
        );
    }
    const bytes = { ...MAIL.message, data: ANY_BYTES };
    await same([wallet, signer], (one) => one.signTypedData(MAIL.domain, MAIL.types, bytes));
});

const NUMBERS = { legacy: 0, eip2930: 1, eip1559: 2 };

test("ethers signs transactions", async () => {
    for (const { type, gas, ...transaction } of TRANSACTIONS) {
        const given = { ...transaction, gasLimit: gas };
        for (const more of [{ type: NUMBERS[type] }, {}, { from: real.address }])
            await same([wallet, signer], (one) => one.signTransaction({ ...given, ...more }));
    }
    const provider = new JsonRpcProvider("http://127.0.0.1:1", Network.from(1), { staticNetwork: true });
    assert.equal(signer.connect(provider).provider, provider);
    await same([wallet, signer], (one) => one.connect(provider).signTransaction({ ...SENT, ...FEES }));
    provider.destroy();
});

test("with ethers, what the daemon cannot sign is not signed", async () => {
    const { gas, ...transfer } = { ...SENT, ...FEES };
    const everywhere = { to: OTHER, gasPrice: 1, type: 0 };
    await assert.rejects(signer.signTransaction(everywhere), isRefused("transaction.chainId", "out_of_range"));
    await assert.rejects(signer.signTransaction({ ...transfer, from: OTHER }), /from/);
    await assert.rejects(
        signer.signTransaction({ ...transfer, type: 3, blobVersionedHashes: [] }),
        /signs no transactions of the type 3/,
    );
    await assert.rejects(async () => signer.authorize({ address: OTHER }), /authorization/);
    await assert.rejects(
        signer.signTypedData({}, { A: [{ name: "a", type: "address" }] }, { a: "somebody.eth" }),
        /ENS|resolve/,
    );
});

test("a daemon that signs another transaction is noticed", async () => {
    const [, , , transfer] = TRANSACTIONS;
    const other = await client.ask({
        type: "transaction",
        transaction: {
            type: 2,
            chainId: 1,
            nonce: 0,
            ...FEES,
            gas: 60_000,
            to: OTHER,
            value: 1,
            data: "0x",
            accessList: [],
        },
        signer: real.address,
    });
    const { signature } = await client.ask({ type: "message", text: "Hello", signer: real.address });
    const mine = await held.signTransaction(transfer);
    for (const answer of [
        other,
        { ...other, transaction: mine },
        { ...other, hash: keccak256(mine) },
        { ...other, transaction: mine, hash: keccak256(mine), signature },
    ]) {
        const wrong = { ask: async () => answer };
        await assert.rejects(ordersignerAccount(real.address, wrong).signTransaction(transfer), /another transaction/);
        const { gas, type, ...given } = transfer;
        const one = new OrdersignerSigner(real.address, null, wrong);
        await assert.rejects(one.signTransaction({ ...given, gasLimit: gas }), /another transaction/);
    }
});

test("1,000 signatures at once are each for their own message", async () => {
    const messages = Array.from({ length: 1000 }, (_, number) => `Message ${number}`);
    const signatures = await Promise.all(messages.map((message) => held.signMessage({ message })));
    for (let index = 0; index < messages.length; index += 37) {
        const found = await recoverMessageAddress({ message: messages[index], signature: signatures[index] });
        assert.equal(found, real.address);
    }
});

class Node extends JsonRpcProvider {
    // Every call of a contract returns 0, and nothing else is asked.
    async _send(payload) {
        return [payload].flat().map(({ id, method }) => {
            assert.equal(method, "eth_call");
            return { id, result: "0x" + "00".repeat(32) };
        });
    }
}

test("seaport-js sells and buys", async () => {
    const provider = new Node("http://127.0.0.1:1", Network.from(1), { staticNetwork: true });
    const nft = { itemType: 2, token: "0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D", identifier: "12" };
    const offers = [
        { offer: [nft], consideration: [{ amount: (4n * 10n ** 17n).toString(), recipient: real.address }] },
        { offer: [{ amount: "1000000", token: TOKEN }], consideration: [{ ...nft, recipient: real.address }] },
    ];
    const order = {
        endTime: "1800003600",
        startTime: "1800000000",
        salt: "5",
        counter: 0,
        fees: [{ recipient: OTHER, basisPoints: 250 }],
    };
    for (const offer of offers) {
        await same([wallet, signer], async (one) => {
            const seaport = new Seaport(one.connect(provider), { balanceAndApprovalChecksOnOrderCreation: false });
            const { executeAllActions } = await seaport.createOrder({ ...order, ...offer }, real.address);
            return executeAllActions();
        });
        await same([wallet, signer], async (one) => {
            const seaport = new Seaport(one.connect(provider), { balanceAndApprovalChecksOnOrderCreation: false });
            const { executeAllActions } = await seaport.createBulkOrders(
                [
                    { ...order, ...offer },
                    { ...order, ...offer, salt: "6" },
                ],
                real.address,
            );
            return executeAllActions();
        });
    }
    provider.destroy();
});

test("x402 pays", async () => {
    const wanted = {
        scheme: "exact",
        network: "eip155:8453",
        amount: "10000",
        asset: TOKEN,
        payTo: OTHER,
        maxTimeoutSeconds: 60,
    };
    for (const extra of [
        { name: "USD Coin", version: "2" },
        { name: "USD Coin", version: "2", assetTransferMethod: "permit2" },
    ])
        for (const signers of [
            [real, held],
            [wallet, signer].map((one) => ({
                address: one.address,
                signTypedData: (data) => one.signTypedData(data.domain, data.types, data.message),
            })),
        ])
            await same(signers, (one) => new ExactEvmScheme(one).createPaymentPayload(2, { ...wanted, extra }));
});

test("Polymarket's client signs orders and logs in", async () => {
    const tokenID = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
    for (const type of [0, 1, 2])
        for (const negRisk of [false, true])
            for (const [kind, order] of [
                ["createOrder", { price: 0.5, size: 10 }],
                ["createMarketOrder", { price: 0.4, amount: 20 }],
            ])
                for (const side of ["BUY", "SELL"])
                    await same([real, held], async (account) => {
                        const sender = createWalletClient({
                            account,
                            chain: mainnet,
                            transport: custom({ request: assert.fail }),
                        });
                        const clob = new ClobClient(
                            "http://127.0.0.1:1",
                            137,
                            sender,
                            undefined,
                            type,
                            type ? OTHER : undefined,
                        );
                        clob._resolveFeeRateBps = async () => 0;
                        clob._resolveTickSize = async () => "0.01";
                        return clob[kind]({ tokenID, side, ...order }, { tickSize: "0.01", negRisk });
                    });
    await same([real, held], async (account) => {
        const sender = createWalletClient({ account, chain: mainnet, transport: custom({ request: assert.fail }) });
        const clob = new ClobClient("http://127.0.0.1:1", 137, sender);
        const sent = [];
        clob.post = async (...request) => sent.push(request);
        clob.get = async (...request) => sent.push(request);
        await clob.createApiKey(3);
        await clob.deriveApiKey();
        assert.equal(sent.length, 2);
        return sent;
    });
});

const ORDER = { a: 0, b: true, p: "1100", s: "0.2", r: false, t: { limit: { tif: "Gtc" } } };
const CLOID = "0x" + "0c".repeat(16);
const ACTIONS = {
    order: [
        {
            orders: [ORDER, { ...ORDER, c: CLOID, t: { trigger: { isMarket: true, triggerPx: "1000", tpsl: "sl" } } }],
            grouping: "na",
            builder: { b: OTHER, f: 10 },
        },
    ],
    cancel: [{ cancels: [{ a: 0, o: 2 ** 40 }] }],
    cancelByCloid: [{ cancels: [{ asset: 0, cloid: CLOID }] }],
    modify: [{ oid: 5, order: ORDER }],
    batchModify: [{ modifies: [{ oid: 5, order: ORDER }] }],
    updateLeverage: [{ asset: 0, isCross: true, leverage: 5 }],
    updateIsolatedMargin: [{ asset: 0, isBuy: true, ntli: 1000000 }],
    scheduleCancel: [{ time: NOW + 10_000 }],
    twapOrder: [{ twap: { a: 0, b: true, s: "1", r: false, m: 10, t: false } }],
    twapCancel: [{ a: 0, t: 1 }],
    vaultTransfer: [{ vaultAddress: OTHER, isDeposit: true, usd: 5 }],
    usdSend: [{ destination: OTHER, amount: "1" }],
    spotSend: [{ destination: OTHER, amount: "1", token: "PURR:0xeb62eee3685fc4c43992febcd9e75443" }],
    withdraw3: [{ destination: OTHER, amount: "1" }],
    usdClassTransfer: [{ amount: "1", toPerp: true }],
    approveAgent: [{ agentAddress: OTHER, agentName: null }],
    approveBuilderFee: [{ maxFeeRate: "0.01%", builder: OTHER }],
};

for (const isTestnet of [false, true])
    test(`a client of Hyperliquid's ${isTestnet ? "testnet" : "mainnet"} sends actions signed`, async () => {
        const sent = [];
        const transport = {
            isTestnet,
            async request(...request) {
                sent.push(request);
                return {
                    status: "ok",
                    response: { type: "default", data: { statuses: ["success"], status: "success" } },
                };
            },
        };
        const vault = { vaultAddress: OTHER, expiresAfter: NOW + 60_000 };
        const takesVault = ["order", "cancel", "cancelByCloid", "modify", "batchModify", "updateLeverage"];
        for (const [name, parameters] of Object.entries(ACTIONS))
            for (const options of takesVault.includes(name) ? [[], [vault]] : [[]]) {
                const made = await same(
                    [{ wallet: real, transport }, ordersignerHyperliquid(real.address, transport, client)],
                    async (config) => {
                        let nonce = NOW;
                        const venue = new ExchangeClient({ ...config, nonceManager: () => nonce++ });
                        sent.length = 0;
                        for (let number = 0; number < 8; number += 1) await venue[name](...parameters, ...options);
                        return [...sent];
                    },
                );
                assert.equal(made.length, 8);
            }
    });

test("an action that the policy does not allow never gets to the venue", async () => {
    const transport = { isTestnet: false, request: assert.fail };
    const config = ordersignerHyperliquid(real.address, transport, client);
    const venue = new ExchangeClient(config);
    const order = venue.order({ orders: [{ ...ORDER, a: 77 }], grouping: "na" });
    await assert.rejects(order, isRefused("action.orders[0].a", "not_allowed"));
    const multi = new ExchangeClient({ transport: config.transport, signers: [config.wallet], multiSigUser: OTHER });
    await assert.rejects(multi.order({ orders: [ORDER], grouping: "na" }), /multi-sig/);
});
