// The client and servers that misbehave. The last tests ask a daemon, at ORDERSIGNER_SOCKET.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import net from "node:net";
import { test } from "node:test";

import { Client, ProtocolError, SignerError, Unavailable } from "./ordersigner.mjs";

const signature = (id) => "0x" + id.toString(16).padStart(130, "0");
const answer = (id) => JSON.stringify({ ok: true, signature: signature(id) }) + "\r\n";
const requests = (count) => Array.from({ length: count }, (_, id) => ({ type: "spot", id }));
const signatures = (count) => Array.from({ length: count }, (_, id) => signature(id));
let made = 0;

// A server whose connections behave like the functions given, one after the other, and all others like the last. They
// get the connection, and a function that returns the next request, or null at the end.
class Server {
    constructor(...behaviours) {
        this.path = `socket-${process.pid}-${++made}`;
        this.connections = 0;
        this.open = new Set();
        this.server = net.createServer({ allowHalfOpen: true }, async (connection) => {
            this.open.add(connection);
            connection.on("error", () => {});
            const behave = behaviours[Math.min(this.connections++, behaviours.length - 1)];
            const lines = [];
            let [rest, ended, wake] = ["", false, () => {}];
            connection.setEncoding("utf8").on("data", (text) => {
                lines.push(...(rest + text).split("\n"));
                rest = lines.pop();
                wake();
            });
            for (const end of ["end", "close"]) connection.on(end, () => wake((ended = true)));
            await behave(connection, async () => {
                while (!lines.length && !ended) await new Promise((resolve) => (wake = resolve));
                return lines.length ? JSON.parse(lines.shift()) : null;
            });
            connection.end();
        });
    }

    async [Symbol.asyncDispose]() {
        for (const connection of this.open) connection.destroy();
        await new Promise((resolve) => this.server.close(resolve));
        await rm(this.path, { force: true });
    }

    // Run `use` with a client of this server.
    static async with(behaviours, use, options) {
        const server = new Server(...behaviours);
        const client = new Client({ path: server.path, ...options });
        server.server.listen(server.path);
        await once(server.server, "listening");
        try {
            await use(client, server);
        } finally {
            client.close();
            await server[Symbol.asyncDispose]();
        }
    }
}

async function well(connection, next) {
    for (let request = await next(); request; request = await next()) connection.write(answer(request.id));
}

const silent = async (_, next) => {
    while (await next());
};
const hangingUp = async () => {};
const answering = (count) => async (connection, next) => {
    for (let left = count; left > 0; left -= 1) connection.write(answer((await next()).id));
};
const saying = (bytes) => async (connection, next) => {
    await next();
    connection.write(bytes);
    await silent(connection, next);
};
const all = (client, count) => Promise.all(requests(count).map((request) => client.sign(request)));
const outcomes = (client, count) => Promise.allSettled(requests(count).map((request) => client.sign(request)));
const reasons = (settled) => settled.map(({ reason, value }) => reason?.name ?? value);

test("calls share a connection, and each gets its own response", () =>
    Server.with([well], async (client, server) => {
        assert.deepEqual(await all(client, 10_000), signatures(10_000));
        assert.equal(server.connections, 1);
    }));

test("it sends no more than the kernel's buffers hold before there are responses", async () => {
    const holding = (most) => async (connection, next) => {
        const waiting = [];
        const written = new Set();
        connection.on("data", () => {});
        for (;;) {
            waiting.push((await next()).id);
            assert(waiting.length <= most);
            if (waiting.length === most || waiting.at(-1) === 999) {
                // Everything that it sends without a response is here.
                for (const id of waiting.splice(0)) written.add(id) && connection.write(answer(id));
                if (written.size === 1000) return silent(connection, next);
            }
        }
    };
    await Server.with([holding(256)], async (client) => assert.deepEqual(await all(client, 1000), signatures(1000)));
    const large = requests(1000).map((request) => ({ ...request, text: "x".repeat(16_380) })); // 5 are more than 64 KiB
    await Server.with([holding(4)], async (client) =>
        assert.deepEqual(await Promise.all(large.map((request) => client.sign(request))), signatures(1000)),
    );
});

test("responses come in pieces of any size", async () => {
    const text = "Grüße €\u{1f600}";
    const line = Buffer.from(JSON.stringify({ ok: true, version: text }) + "\r\n");
    const inPieces = (size) => async (connection, next) => {
        connection.setNoDelay(true);
        while (await next())
            for (let start = 0; start < line.length; start += size) {
                connection.write(line.subarray(start, start + size));
                await new Promise(setImmediate);
            }
    };
    for (const size of [1, 2, 3, 7, line.length - 1])
        await Server.with([inPieces(size)], async (client) => {
            const responses = await Promise.all([1, 2, 3].map((id) => client.ask({ type: "ping", id })));
            assert.deepEqual(responses, Array(3).fill({ ok: true, version: text }));
        });
});

test("what has no response when a connection ends is sent again, and nothing else", async () => {
    const seen = [];
    const noting = (behave) => (connection, next) => {
        const received = [];
        seen.push(received);
        return behave(connection, async () => {
            const request = await next();
            if (request) received.push(request.id);
            return request;
        });
    };
    await Server.with([noting(answering(3)), noting(answering(4)), noting(well)], async (client, server) => {
        assert.deepEqual(await all(client, 10), signatures(10));
        assert.deepEqual(
            [seen[0], seen[1], seen[2]],
            [
                [0, 1, 2],
                [3, 4, 5, 6],
                [7, 8, 9],
            ],
        );
        assert.equal(server.connections, 3);
    });
});

test("a connection that ended between calls is replaced", () =>
    Server.with([answering(1)], async (client, server) => {
        for (const id of [1, 2, 3]) assert.equal(await client.sign({ type: "spot", id }), signature(id));
        assert.equal(server.connections, 3);
    }));

test("a call fails after three connections in a row without any response", async () => {
    await Server.with([hangingUp], async (client, server) => {
        assert.deepEqual(reasons(await outcomes(client, 5)), Array(5).fill("Unavailable"));
        assert.equal(server.connections, 3);
        await assert.rejects(client.sign({}), /3 connections ended without an answer/);
    });
    const behaviours = [hangingUp, hangingUp, answering(1), hangingUp, hangingUp, well];
    await Server.with(behaviours, async (client) => assert.deepEqual(await all(client, 5), signatures(5)));
});

test("a call without a response fails in time, and later calls do not wait for it", () =>
    Server.with(
        [silent, well],
        async (client, server) => {
            const settled = await outcomes(client, 3);
            assert.deepEqual(reasons(settled), Array(3).fill("Unavailable"));
            assert.match(settled[0].reason.message, /no answer within 2000 milliseconds/);
            assert.deepEqual(await all(client, 3), signatures(3));
            assert.equal(server.connections, 2);
        },
        { timeout: 2000 },
    ));

test("a program ends when no call waits, whatever the daemon still owes", () =>
    Server.with([silent, silent], async (client, server) => {
        const program = `
            import { Client } from "./ordersigner.mjs";
            const client = new Client({ path: "${server.path}", timeout: 500 });
            const calls = [1, 2, 3].map((id) => client.sign({ id }));
            const settled = await Promise.allSettled(calls);
            console.log(settled.map(({ reason }) => reason.name).join());`;
        const child = spawn(process.execPath, ["--input-type=module", "--eval", program]);
        let said = "";
        child.stdout.on("data", (text) => (said += text));
        const [status] = await once(child, "close", { signal: AbortSignal.timeout(60_000) });
        assert.equal(said, "Unavailable,Unavailable,Unavailable\n");
        assert.equal(status, 0);
    }));

test("a response that comes too late is not that of another call", () => {
    let release;
    const released = new Promise((resolve) => (release = resolve));
    const late = async (connection, next) => {
        const [first, second] = [await next(), await next()];
        // In the second half of the timeout, so the client keeps the connection when the second call fails.
        setTimeout(() => connection.write(answer(first.id)), 1800);
        await released;
        connection.write(answer(second.id));
        await well(connection, next);
    };
    return Server.with(
        [late],
        async (client, server) => {
            assert.deepEqual(reasons(await outcomes(client, 2)), [signature(0), "Unavailable"]);
            release();
            assert.equal(await client.sign({ id: 3 }), signature(3));
            assert.equal(server.connections, 1);
        },
        { timeout: 3000 },
    );
});

test("what is no response is a ProtocolError that does not quote it, and costs no other call", async () => {
    const error = { type: "ValueError", message: "secret", context: {} };
    const wrong = [
        "secret",
        "",
        "null",
        "5",
        '["secret"]',
        "{}",
        '{"ok": "secret"}',
        '{"ok": false}',
        '{"ok": false, "error": "secret"}',
        ...[
            { context: null },
            { context: { a: 5 } },
            { context: { a: [5] } },
            { context: { a: [null] } },
            { type: 5 },
            { message: 5 },
        ].map((one) => JSON.stringify({ ok: false, error: { ...error, ...one } })),
        Buffer.from([0x22, 0xff, 0x22]),
        `{"ok": true, "more": "${"x".repeat(65_536)}"}`,
        "[".repeat(60_000),
    ].map((line) => Buffer.concat([Buffer.from(line), Buffer.from("\r\n")]));
    for (const line of [...wrong, Buffer.alloc(70_000, "x")])
        await Server.with([saying(line), well], async (client, server) => {
            const [first, ...others] = await outcomes(client, 3);
            assert(first.reason instanceof ProtocolError, String(line.subarray(0, 80)));
            assert.doesNotMatch(first.reason.stack, /secret/);
            assert.deepEqual(reasons(others), signatures(3).slice(1));
            assert.equal(server.connections, 2);
        });
    await Server.with([saying('{"ok": true, "signature": "secret"}\r\n')], async (client) =>
        assert.rejects(client.sign({ id: 1 }), /no valid signature/),
    );
});

test("a connection that says more than was asked is not used again", async () => {
    for (const more of [answer(7), "half a line"])
        await Server.with([saying(answer(1) + more), well], async (client, server) => {
            assert.equal(await client.sign({ id: 1 }), signature(1));
            assert.equal(await client.sign({ id: 2 }), signature(2));
            assert.equal(server.connections, 2);
        });
});

test("a refusal has the daemon's type, field, code and text", () => {
    const problems = [{ code: "negative", message: "Too small." }];
    const error = {
        type: "ValueError",
        message: "Invalid.",
        context: { "order.price": problems, "": [{ code: "missing", message: "No." }] },
    };
    const empty = { type: "InternalError", message: "Failed.", context: {} };
    const refusing = async (connection, next) => {
        for (const one of [error, empty])
            (await next()) && connection.write(JSON.stringify({ ok: false, error: one }) + "\r\n");
        await well(connection, next);
    };
    return Server.with([refusing], async (client, server) => {
        const [first, second, third] = await outcomes(client, 3);
        const { name, type, field, code, message, context } = first.reason;
        assert.deepEqual([name, type, field, code], ["SignerError", "ValueError", "order.price", "negative"]);
        assert.equal(message, "order.price: Too small. (negative); request: No. (missing)");
        assert.deepEqual(context, error.context);
        const none = second.reason;
        assert.deepEqual(
            [none.type, none.field, none.code, none.message],
            ["InternalError", undefined, undefined, "Failed."],
        );
        assert.equal(third.value, signature(2));
        assert.equal(server.connections, 1);
    });
});

test("without a daemon the error says what to do", async () => {
    await assert.rejects(new Client({ path: "nothing" }).ask({}), (error) => {
        assert(error instanceof Unavailable);
        assert.match(
            error.message,
            /^cannot connect to nothing \(ENOENT\): start the daemon there, or set ORDERSIGNER_SOCKET/,
        );
        return true;
    });
    await assert.rejects(
        new Client({ path: "/run/ordersigner/ordersigner.sock" }).ask({}),
        /systemctl restart ordersigner.socket/,
    );
});

test("a closed client fails what waits, and can be used again", () =>
    Server.with([silent, well], async (client, server) => {
        const waiting = outcomes(client, 600);
        await once(server.server, "connection");
        client.close();
        for (const { reason } of await waiting) assert.match(reason.message, /the client was closed/);
        assert.equal(await client.sign({ id: 5 }), signature(5));
    }));

test("JSON gets what was meant, or nothing is sent", async () => {
    let line;
    const echo = async (connection, next) => {
        for (let request = await next(); request; request = await next()) {
            line = request;
            connection.write(answer(1));
        }
    };
    await Server.with([echo], async (client, server) => {
        const bytes = Buffer.from("00ff", "hex");
        const typed_data = { amount: 2n ** 255n, small: 5, part: 0.1, none: undefined, bytes, more: new Uint8Array(0) };
        await client.sign({ type: "typed_data", typed_data });
        const sent = { amount: String(2n ** 255n), small: 5, part: 0.1, bytes: "0x00ff", more: "0x" };
        assert.deepEqual(line, { type: "typed_data", typed_data: sent });
        BigInt.prototype.toJSON = () => 5; // as some programs do
        await client.sign({ type: "typed_data", typed_data: { amount: 7n } });
        assert.equal(line.typed_data.amount, "7");
        delete BigInt.prototype.toJSON;
        const key = "ab".repeat(32);
        for (const [value, kind] of [
            [NaN, RangeError],
            [Infinity, RangeError],
            [2 ** 53, RangeError],
            [new Number(2 ** 53), RangeError],
            [{ toJSON: () => 2 ** 53 }, RangeError],
            [-1e21, RangeError],
            [bytes, TypeError],
            [[1, undefined], TypeError],
            [[() => 5], TypeError],
            [new Float64Array(1), TypeError],
        ])
            for (const name of ["amount", key])
                await assert.rejects(client.ask({ type: "spot", [name]: value }), (error) => {
                    assert(error instanceof kind);
                    assert.doesNotMatch(error.stack, new RegExp(key));
                    return true;
                });
        const circular = {};
        circular.circular = circular;
        await assert.rejects(client.ask(circular), TypeError);
        await assert.rejects(client.ask(undefined), TypeError);
        for (const timeout of [0, -1, NaN, 1e12, "soon"]) assert.throws(() => new Client({ timeout }), RangeError);
        assert.throws(() => new Client({ path: 5 }), TypeError);
        assert.equal(server.connections, 1);
    });
});

test("a daemon answers requests as long as they may be, and refuses longer ones in their place", async () => {
    const client = new Client();
    const asked = (bytes) => ({
        type: "ping",
        id: "x",
        text: "x".repeat(bytes - JSON.stringify({ type: "ping", id: "x", text: "" }).length),
    });
    const questions = [{ type: "ping" }, asked(65_536), { type: "ping" }, asked(65_537), { type: "ping" }];
    const settled = await Promise.allSettled(questions.map((question) => client.ask(question)));
    assert.deepEqual(
        settled.map(({ reason, value }) => reason?.code ?? value.ok),
        [true, "unexpected", true, "too_long", true],
    );
    client.close();
});

test("a daemon gives 10,000 responses in their order, refusals among them", async () => {
    const client = new Client();
    const questions = Array.from({ length: 10_000 }, (_, id) => ({ type: id % 7 ? "ping" : "nothing", id }));
    const settled = await Promise.allSettled(questions.map((question) => client.ask(question)));
    const wrong = settled.filter(({ reason, value }, id) =>
        id % 7 ? value?.id !== id : !(reason instanceof SignerError),
    );
    assert.deepEqual(wrong, []);
    client.close();
});
