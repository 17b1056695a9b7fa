// Has messages signed, 500 at a time, and compares the signatures with those of the key. Says "working" after each
// 1,000, as long as a line comes in for each. Ends with its input, and prints how many were right, and the errors.
import { createInterface } from "node:readline";

import { Wallet } from "ethers";

import { Client } from "./ordersigner.mjs";

const wallet = new Wallet("0x" + "11".repeat(32));
const texts = Array.from({ length: 50 }, (_, number) => `Message ${number}`);
const expected = texts.map((text) => wallet.signMessageSync(text));
const client = new Client();
const input = createInterface({ input: process.stdin });
const wrong = [];
let [right, ended, owed] = [0, false, 0];
input.on("line", () => (owed -= 1));
input.on("close", () => (ended = true));

async function work() {
    for (let number = 0; !ended; number = (number + 1) % texts.length) {
        try {
            const signature = await client.sign({ type: "message", text: texts[number], signer: wallet.address });
            if (signature === expected[number]) right += 1;
            else wrong.push(signature);
        } catch (error) {
            wrong.push(String(error));
        }
        if (right % 1000 === 0 && owed === 0) {
            owed += 1;
            console.log("working");
        }
    }
}

await Promise.all(Array.from({ length: 500 }, work));
console.log(JSON.stringify({ right, wrong: wrong.slice(0, 5) }));
