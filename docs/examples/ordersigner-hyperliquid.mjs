// A wallet for @nktkas/hyperliquid whose key the daemon of ordersigner holds. Copy this file and ordersigner.mjs.
//
//     const venue = new ExchangeClient(ordersignerHyperliquid("0x...", new HttpTransport()));
//
// The library gives a wallet only the hash of an order, cancel or other L1 action. Here the wallet leaves a mark in
// place of the signature. The transport, which sees the whole action, has the daemon sign it, so that its policy can
// judge what the action says. Transfers and other typed data go to the daemon at once. Multi-sig users: no L1 actions.
import { Client } from "./ordersigner.mjs";

const MARK = `0x${"ff".repeat(64)}1b`; // r and s of a signature are never that large

export function ordersignerHyperliquid(address, transport, client = new Client()) {
    const wallet = {
        address,
        async signTypedData({ domain, types, primaryType, message }) {
            if (primaryType === "Agent" && domain.name === "Exchange") return MARK;
            const typed_data = { types, primaryType, domain, message };
            return client.sign({ type: "typed_data", typed_data, signer: address });
        },
    };

    async function signed(payload) {
        const { action, nonce, vaultAddress, expiresAfter } = payload;
        const network = transport.isTestnet ? "testnet" : "mainnet";
        const request = { type: "hyperliquid", action, nonce, vaultAddress, expiresAfter, network, signer: address };
        const signature = await client.sign(request);
        const [r, s, v] = [signature.slice(0, 66), "0x" + signature.slice(66, 130), parseInt(signature.slice(130), 16)];
        return { ...payload, signature: { r, s, v } };
    }

    const signing = {
        get isTestnet() {
            return transport.isTestnet;
        },
        async request(endpoint, payload, signal) {
            if (payload?.action?.signatures?.some(isMark))
                throw new TypeError("ordersigner does not sign this action of a multi-sig user with this library");
            return transport.request(endpoint, isMark(payload?.signature) ? await signed(payload) : payload, signal);
        },
    };
    return { wallet, transport: signing };
}

const isMark = (signature) => signature?.r === MARK.slice(0, 66);
