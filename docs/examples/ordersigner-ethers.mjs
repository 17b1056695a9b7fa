// A signer for ethers 6 whose key the daemon of ordersigner holds. Copy this file and ordersigner.mjs.
//
//     const signer = new OrdersignerSigner("0x...", provider);
//
// It signs messages, typed data and transactions of the types 0, 1 and 2, and gives what Wallet gives. It signs no
// authorizations of EIP-7702.
import { AbstractSigner, Transaction, TypedDataEncoder, getAddress, hexlify, resolveAddress } from "ethers";
import { Client } from "./ordersigner.mjs";

export class OrdersignerSigner extends AbstractSigner {
    constructor(address, provider = null, client = new Client()) {
        super(provider);
        this.address = getAddress(address);
        this.client = client;
    }

    async getAddress() {
        return this.address;
    }

    connect(provider) {
        return new OrdersignerSigner(this.address, provider, this.client);
    }

    signMessage(message) {
        const content = typeof message === "string" ? { text: message } : { hex: hexlify(message) };
        return this.client.sign({ type: "message", ...content, signer: this.address });
    }

    async signTypedData(domain, types, value) {
        const named = await TypedDataEncoder.resolveNames(domain, types, value, (name) => resolveAddress(name, this));
        const typed_data = TypedDataEncoder.getPayload(named.domain, types, named.value);
        return this.client.sign({ type: "typed_data", typed_data, signer: this.address });
    }

    async signTransaction(given) {
        const to = given.to && (await resolveAddress(given.to, this));
        const from = given.from && (await resolveAddress(given.from, this));
        if (from && from !== this.address) throw new TypeError("from: must be the address of this signer");
        const signed = Transaction.from({ ...given, to, from: undefined });
        const type = signed.inferType();
        if (type > 2) throw new TypeError(`type: ordersigner signs no transactions of the type ${type}`);
        const { chainId, nonce, gasPrice, maxPriorityFeePerGas, maxFeePerGas, gasLimit, value, data, accessList } =
            signed;
        const fees = type === 2 ? { maxPriorityFeePerGas, maxFeePerGas } : { gasPrice };
        const transaction = { type, chainId, nonce, ...fees, gas: gasLimit, to: signed.to, value, data };
        if (type > 0) transaction.accessList = accessList ?? [];
        const answer = await this.client.ask({ type: "transaction", transaction, signer: this.address });
        // The same bytes as ethers makes of this transaction: nothing got lost on the way.
        signed.signature = answer.signature;
        if (answer.transaction !== signed.serialized || answer.hash !== signed.hash)
            throw new Error("the daemon has signed another transaction than this one");
        return answer.transaction;
    }

    close() {
        this.client.close();
    }
}
