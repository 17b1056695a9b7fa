// Get signatures from ordersigner, a signing daemon. This needs only Node 18 or later: copy this file.
//
//     import { Client } from "./ordersigner.mjs";
//     const client = new Client();
//     console.log(await client.sign({ type: "message", text: "Hello", signer: "0x..." }));
//
// signer: the address of a key that the daemon holds. Amounts: strings of digits, or BigInt. Other numbers are sent as
// they are, except integers that JavaScript may have rounded. Bytes in typed data and transactions: Uint8Array or hex.
import net from "node:net";

export const SYSTEM_SOCKET = "/run/ordersigner/ordersigner.sock";
const MAX_REQUEST = 64 * 1024; // bytes of a line
const MAX_RESPONSE = 64 * 1024; // bytes of a line; the daemon writes less
const MAX_UNANSWERED = 256; // requests sent at once: they and their responses fit into the kernel's buffers
const MAX_UNANSWERED_BYTES = 64 * 1024;
const ATTEMPTS = 3; // a call fails after so many connections in a row without any response
const RETRY = 20; // milliseconds, to connect again while too many clients wait

// The daemon refuses a request. type: "ValueError" (the request is wrong), "PermissionError" (policy) or
// "InternalError". context: what is wrong, by field: {"order.price": [{code, message}]}. field, code: its first.
export class SignerError extends Error {
    constructor({ type, message, context }) {
        const problems = Object.entries(context).flatMap(([field, all]) => all.map((one) => ({ ...one, field })));
        super(problems.map((one) => `${one.field || "request"}: ${one.message} (${one.code})`).join("; ") || message);
        Object.assign(this, { type, context, field: problems[0]?.field, code: problems[0]?.code });
    }
}

// No daemon answers: it does not run, this user may not connect, it takes too long, or it hangs up again and again.
export class Unavailable extends Error {}

// Something that is not the daemon answers. The text never quotes it.
export class ProtocolError extends Error {}

for (const kind of [SignerError, Unavailable, ProtocolError]) kind.prototype.name = kind.name;

// All calls share one connection, and are sent without waiting for the responses before. If the connection ends, for
// example because the daemon is upgraded, the client makes another and sends the requests without a response again.
// It does not keep the program from ending, except while a call waits.
// path: of the socket. timeout: milliseconds for each call, from the call to its result; null to wait without limit.
export class Client {
    #queued = []; // calls that are not sent
    #sent = []; // calls without a response, in the order of their requests
    #size = 0; // of the requests in #sent, in bytes
    #socket = null;
    #incoming = Buffer.alloc(0); // the beginning of a response
    #responded = false; // whether the connection has given any response
    #silentSince = 0; // when the connection was made or last gave a response
    #crowded = false; // whether too many clients wait to connect
    #retry = null; // the timer of the next attempt, then

    constructor({ path, timeout = 10_000 } = {}) {
        this.path = path || process.env.ORDERSIGNER_SOCKET || SYSTEM_SOCKET;
        this.timeout = timeout;
        if (typeof this.path !== "string") throw new TypeError("path: text");
        if (timeout !== null && !(timeout > 0 && timeout <= 86_400_000))
            throw new RangeError("timeout: null, or milliseconds, more than 0 and at most a day");
    }

    // The signature for a request, as ordersigner-protocol(7) describes it: 0x, r, s and v (27 or 28).
    async sign(request) {
        const { signature } = await this.ask(request);
        if (!/^0x[0-9a-f]{130}$/.test(signature)) throw new ProtocolError("the response has no valid signature");
        return signature;
    }

    // The whole response to a request, also of the types transaction, signers, freeze and others. Throws SignerError,
    // Unavailable or ProtocolError, and TypeError or RangeError for what JSON cannot hold.
    async ask(request) {
        const line = encode(request);
        const outcome = await new Promise((resolve) => {
            const call = { line, resolve, fruitless: 0, isOver: false, timer: null };
            if (this.timeout !== null) call.timer = setTimeout(() => this.#timeOut(call), this.timeout);
            this.#queued.push(call);
            this.#send();
        });
        if (!(outcome instanceof Error)) return outcome;
        Error.captureStackTrace(outcome); // who called, not who read the response
        throw outcome;
    }

    // Ends the connection. Calls that wait throw Unavailable. A later call connects again.
    close() {
        clearTimeout(this.#retry);
        this.#retry = null;
        this.#giveUp(new Unavailable(`${this.path}: the client was closed`));
    }

    #send() {
        if (this.#retry !== null || this.#socket?.destroyed) return; // it goes on with the timer, or with "close"
        const lines = [];
        while (this.#queued.length && this.#sent.length < MAX_UNANSWERED && this.#size < MAX_UNANSWERED_BYTES) {
            const call = this.#queued.shift();
            if (call.isOver) continue;
            this.#sent.push(call);
            this.#size += call.line.length;
            lines.push(call.line);
        }
        if (lines.length) {
            this.#socket ??= this.#connect();
            this.#socket.write(Buffer.concat(lines));
        }
        if (this.#sent.some((call) => !call.isOver)) this.#socket.ref();
        else this.#socket?.unref();
    }

    #connect() {
        const socket = net.connect(this.path);
        let error = null;
        this.#silentSince = performance.now();
        socket.on("connect", () => (this.#crowded = false));
        socket.on("data", (chunk) => socket === this.#socket && this.#receive(chunk));
        socket.on("error", (one) => (error = one)); // "close" follows
        socket.on("close", () => {
            if (socket !== this.#socket) return;
            if (error?.syscall !== "connect") {
                this.#end();
            } else if (error.code === "EAGAIN") {
                this.#disconnect();
                this.#crowded = true;
                this.#retry = setTimeout(() => {
                    this.#retry = null;
                    this.#send();
                }, RETRY);
            } else {
                const hint = whatToDo(error.code, this.path);
                this.#giveUp(new Unavailable(`cannot connect to ${this.path} (${error.code}): ${hint}`));
            }
        });
        return socket;
    }

    #receive(chunk) {
        this.#incoming = Buffer.concat([this.#incoming, chunk]);
        let end;
        while ((end = this.#incoming.indexOf("\n")) >= 0 || this.#incoming.length > MAX_RESPONSE + 1) {
            const outcome = read(this.#incoming.subarray(0, end < 0 ? undefined : end));
            this.#incoming = this.#incoming.subarray(end + 1);
            this.#responded = true;
            const call = this.#sent.shift();
            if (call) settle(call, outcome);
            // What comes next on this connection may answer any call, or none.
            if (!call || outcome instanceof ProtocolError) return this.#restart();
            this.#size -= call.line.length;
            this.#silentSince = performance.now();
        }
        if (this.#incoming.length && !this.#sent.length) this.#restart();
        else this.#send();
    }

    #timeOut(call) {
        const reason = this.#crowded ? "too many clients are waiting" : `no answer within ${this.timeout} milliseconds`;
        settle(call, new Unavailable(`${this.path}: ${reason}`));
        if (this.#socket && performance.now() - this.#silentSince >= this.timeout / 2) this.#restart();
        else this.#send(); // it may have been the last call that waits
    }

    // The daemon ended the connection.
    #end() {
        for (const call of this.#sent) {
            call.fruitless = this.#responded ? 0 : call.fruitless + 1;
            if (call.fruitless === ATTEMPTS)
                settle(call, new Unavailable(`${this.path}: ${ATTEMPTS} connections ended without an answer`));
        }
        this.#restart();
    }

    #restart() {
        this.#disconnect();
        this.#send();
    }

    #disconnect() {
        this.#socket?.destroy();
        this.#socket = null;
        this.#queued.unshift(...this.#sent);
        this.#sent = [];
        this.#size = 0;
        this.#incoming = Buffer.alloc(0);
        this.#responded = false;
    }

    #giveUp(error) {
        this.#disconnect();
        for (const call of this.#queued.splice(0)) settle(call, error);
    }
}

function settle(call, outcome) {
    call.isOver = true; // if its response comes later, it is dropped
    clearTimeout(call.timer);
    call.resolve(outcome);
}

function encode(request) {
    const mayHaveBytes = ["typed_data", "transaction"].includes(request?.type);
    const text = JSON.stringify(request, function (key, json) {
        const value = this[key]; // json is what toJSON() of the value, if it has one, made of it
        const name = key.length <= 32 ? key : "a value"; // errors repeat nothing as long as a private key
        if (typeof value === "bigint") return value.toString();
        for (const one of [value, json instanceof Number ? Number(json) : json]) {
            if (typeof one === "number" && !Number.isFinite(one)) throw new RangeError(`${name}: must be finite`);
            if (Number.isInteger(one) && !Number.isSafeInteger(one))
                throw new RangeError(`${name}: JavaScript may have rounded this; pass a BigInt or a string of digits`);
        }
        if (mayHaveBytes && value instanceof Uint8Array) return "0x" + Buffer.from(value).toString("hex");
        const isNothing = ["undefined", "function", "symbol"].includes(typeof json); // null, in an array
        if (ArrayBuffer.isView(value) || (isNothing && Array.isArray(this)))
            throw new TypeError(`${name}: JSON has nothing for this`);
        return json;
    });
    if (text === undefined) throw new TypeError("the request: JSON has nothing for this");
    const line = Buffer.from(text + "\n");
    if (line.length <= MAX_REQUEST + 1) return line;
    const message = `The request has ${line.length - 1} bytes, and may have ${MAX_REQUEST}.`;
    throw new SignerError({ type: "ValueError", message, context: { "": [{ code: "too_long", message }] } });
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// A response, or the error of a refusal, or that it is neither.
function read(line) {
    try {
        const response = line.length <= MAX_RESPONSE + 1 && JSON.parse(UTF8.decode(line));
        if (response.ok === true) return response;
        const { type, message, context } = response.error;
        const texts = [type, message, ...Object.values(context).flatMap((all) => all.map((one) => one.code))];
        if (response.ok === false && texts.every((text) => typeof text === "string"))
            return new SignerError(response.error);
    } catch {
        // It is not JSON, or its error is not as the protocol has it.
    }
    return new ProtocolError("not a response of the signing daemon");
}

function whatToDo(code, path) {
    const isSystem = path === SYSTEM_SOCKET;
    if (code === "EACCES" && isSystem) return "to let a user in: usermod --append --groups ordersigner USER";
    if (code === "EACCES") return "this user may not connect there";
    if (isSystem) return "start the daemon: systemctl restart ordersigner.socket";
    return "start the daemon there, or set ORDERSIGNER_SOCKET to the path of its socket";
}
