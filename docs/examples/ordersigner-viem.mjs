// An account of viem whose key the daemon of ordersigner holds. Copy this file and ordersigner.mjs.
//
//     const account = ordersignerAccount("0x...");
//     const wallet = createWalletClient({ account, chain, transport });
//
// It signs messages, typed data and transactions of the types legacy, eip2930 and eip1559, and gives what
// privateKeyToAccount gives. It signs no hashes, and no authorizations of EIP-7702.
import {
    getTransactionType,
    getTypesForEIP712Domain,
    keccak256,
    parseSignature,
    serializeTransaction,
    toHex,
} from "viem";
import { toAccount } from "viem/accounts";
import { Client } from "./ordersigner.mjs";

const TYPES = { legacy: 0, eip2930: 1, eip1559: 2 };

export function ordersignerAccount(address, client = new Client()) {
    const account = toAccount({
        address,

        signMessage({ message }) {
            if (typeof message === "string") return client.sign({ type: "message", text: message, signer: address });
            const hex = typeof message.raw === "string" ? message.raw : toHex(message.raw);
            return client.sign({ type: "message", hex, signer: address });
        },

        signTypedData({ domain = {}, types, primaryType, message }) {
            types = { EIP712Domain: getTypesForEIP712Domain({ domain }), ...types };
            const typed_data = { types, primaryType, domain, message };
            return client.sign({ type: "typed_data", typed_data, signer: address });
        },

        async signTransaction(given, { serializer = serializeTransaction } = {}) {
            const name = getTransactionType(given);
            const type = TYPES[name];
            if (type === undefined) throw new TypeError(`type: ordersigner signs no transactions of the type ${name}`);
            const { chainId, nonce, gas, to = null, value = 0n, data = "0x", from } = given;
            const { gasPrice, maxPriorityFeePerGas, maxFeePerGas, accessList = [] } = given;
            const fees = type === 2 ? { maxPriorityFeePerGas, maxFeePerGas } : { gasPrice };
            const transaction = { type, chainId, nonce, ...fees, gas, to, value, data, from };
            if (type > 0) transaction.accessList = accessList;
            const signed = await client.ask({ type: "transaction", transaction, signer: address });
            // The same bytes as viem makes of this transaction: nothing got lost on the way.
            const expected = await serializer(given, parseSignature(signed.signature));
            if (signed.transaction !== expected || signed.hash !== keccak256(expected))
                throw new Error("the daemon has signed another transaction than this one");
            return signed.transaction;
        },
    });
    return { ...account, close: () => client.close() };
}
