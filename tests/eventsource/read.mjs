// An EventSource as browsers have it reads the feed while servers write, and the service is killed under both: every event
// once, in order. Told by the service that it stops, it does not come again.
//
//   node read.mjs PROGRAM [SEED]
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { EventSource } from "eventsource";

const [program, seed = "1"] = process.argv.slice(2);
const DOCUMENTS = ["a", "b", "c"];
const EDITS = 300;
const KILLS = 3;
const PATIENCE = 120_000;
// Servers do not write farther ahead of the reader than this, so that there is something to kill it for.
const AHEAD = 20;

const home = mkdtempSync(join(tmpdir(), "eventsource-"));
const messages = new Set();
let service;
let base;

// Starts the service, again where it was; done when it listens.
async function start() {
  const environment = {
    ...process.env,
    DATABASE_URL: `sqlite://${join(home, "log.db")}`,
    SCRIPTORIUM__SERVER__LISTEN: base ? base.slice("http://".length) : "127.0.0.1:0",
    SCRIPTORIUM__LOG__FORMAT: "json",
  };
  service = spawn(program, ["serve"], { cwd: home, env: environment, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => service.once("exit", (code, signal) => resolve(code ?? signal)));
  service.ended = ended;
  const lines = createInterface({ input: service.stderr });
  const address = await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const { message, address } = { ...JSON.parse(line), ...JSON.parse(line).fields };
      if (message === "listening") resolve(address);
    });
    ended.then((how) => reject(new Error(`the service ended with ${how} instead of listening`)));
  });
  base = `http://${address}`;
}

// mulberry32: chance that can be had again.
function chance(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Asks until there is an answer: the same message as often as need be.
async function post(path, body) {
  for (;;) {
    try {
      // The same message by somebody else would be another one.
      const answer = await fetch(`${base}${path}?user_id=writer`, { method: "POST", body: JSON.stringify(body) });
      if (answer.ok) return answer.json();
      if (answer.status !== 503) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    } catch (error) {
      // Nobody there, or gone in the middle of it.
      if (error.name !== "TypeError") throw error;
    }
    await pause(5);
  }
}

async function write() {
  const random = chance(Number(seed));
  for (const id of DOCUMENTS) await post("/v1/documents", { id, message_id: `create-${id}` });
  for (let n = 0; n < EDITS; n++) {
    while (n > messages.size + AHEAD) await pause(5);
    const id = DOCUMENTS[Math.floor(random() * DOCUMENTS.length)];
    const operation = { type: "insert", position: 0, content: "x" };
    await post(`/v1/documents/${id}/operations`, { operation, version: 0, message_id: `m${n}` });
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function check(holds, what) {
  if (!holds) throw new Error(what);
}

// Reads until every event has come; kills the service on the way.
async function read() {
  const all = EDITS + DOCUMENTS.length;
  const source = new EventSource(`${base}/v1/events`);
  const seqs = {};
  let [position, opened, kills] = [0, 0, 0];
  await new Promise((resolve, reject) => {
    source.onopen = () => opened++;
    source.onerror = (event) => event.code && reject(new Error(`HTTP ${event.code}`));
    source.onmessage = async ({ lastEventId, data }) => {
      try {
        const event = JSON.parse(data);
        check(Number(lastEventId) > position, `${lastEventId} came after ${position}`);
        position = Number(lastEventId);
        check(event.position === position, `the id is ${lastEventId}: ${data}`);
        if (event.document === undefined || event.message_id === undefined) return;
        check(!messages.has(event.message_id), `twice: ${data}`);
        messages.add(event.message_id);
        check(event.seq === (seqs[event.document] ?? 0) + 1, `after ${seqs[event.document]}: ${data}`);
        seqs[event.document] = event.seq;
        if (messages.size === all) return resolve();
        if (kills < KILLS && messages.size >= ((kills + 1) * all) / (KILLS + 1)) {
          kills++;
          service.kill("SIGKILL");
          await service.ended;
          await start();
        }
      } catch (error) {
        reject(error);
      }
    };
  });
  check(kills === KILLS && opened > KILLS, `killed ${kills} times, connected ${opened} times`);
  console.log(`an EventSource got ${messages.size} events once and in order, over ${opened} connections`);
  // It is told to go, and goes.
  const told = new Promise((resolve) => source.addEventListener("disconnect", ({ data }) => resolve(JSON.parse(data))));
  service.kill("SIGTERM");
  check((await told).reason === "server_restarting", "it was told something else");
  source.close();
  check((await service.ended) === 0, "a stop that was asked for exits 0");
}

const late = setTimeout(() => fail(new Error(`not done after ${PATIENCE / 1000} s`)), PATIENCE);
function fail(error) {
  console.error(error);
  service?.kill("SIGKILL");
  process.exit(1);
}
try {
  await start();
  await Promise.all([write(), read()]);
} catch (error) {
  fail(error);
} finally {
  clearTimeout(late);
  rmSync(home, { recursive: true, force: true });
}
