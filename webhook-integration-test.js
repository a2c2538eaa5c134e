#!/usr/bin/env node
// The weekly integration test of the operators' runbook: a running service as GitHub, Prometheus and a browser meet it.
//
//   ./webhook-integration-test.js
//
// Plain Node, 18 or newer, nothing to install. It is told by the environment, or by .env in the working directory:
//
//   BASE_URL          the service (default http://localhost:$PORT, or 3001)
//   WEBHOOK_SECRET    what signs deliveries, or WEBHOOK_SECRET_FILE; of several, separated by commas, the first
//   DASHBOARD_TOKEN   signs in to the event stream, or DASHBOARD_TOKEN_FILE
//   SSL_CERT_FILE     authorities to believe beside the usual ones
//
// Secrets that nothing names are looked for in secrets/ beside this file, where the production stack keeps them. The exit
// code is 0 when everything is as it should be, 1 when something is not, 2 when the test can't be made as it is configured.
//
// It is safe against production at any time: it sends deliveries that have to be refused, and a few `ping`s, about which
// the service does nothing but keep them, for as long as it keeps every delivery. There is nothing to clean up.
//
// It shares no code with the service, and none with its own smoke test.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");
const tls = require("node:tls");

const PATIENCE = 10_000; // milliseconds, of one request and of what has to happen soon
const HEARTBEAT = 20_000; // the stream has one every 15 seconds

class Unusable extends Error {}

// readEnv returns the variables of .env and the environment, which wins. An empty value is no value.
function readEnv() {
  const values = {};
  let text = "";
  try {
    text = fs.readFileSync(".env", "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw new Unusable(`.env can't be read: ${error.code}`);
  }
  for (const line of text.split("\n")) {
    const found = /^\s*(?:export\s+)?([A-Z_]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (!found) continue;
    const quoted = /^(["'])(.*)\1/.exec(found[2]);
    values[found[1]] = quoted ? quoted[2] : found[2].replace(/\s+#.*$/, "");
  }
  for (const [name, value] of Object.entries(process.env)) {
    if (!value) continue;
    values[name] = value;
    if (name === "WEBHOOK_SECRET" || name === "DASHBOARD_TOKEN") delete values[`${name}_FILE`];
  }
  return values;
}

// secretOf returns a secret by its name: the value, or what its file says.
function secretOf(env, name, fallback) {
  if (env[name]) return name === "WEBHOOK_SECRET" ? env[name].split(",")[0].trim() : env[name];
  const named = env[`${name}_FILE`];
  const file = named || path.join(env.SECRETS_DIR || path.join(__dirname, "secrets"), fallback);
  try {
    return fs.readFileSync(file, "utf8").split("\n")[0].trim();
  } catch (error) {
    if (named) throw new Unusable(`${name}_FILE can't be read: ${error.code}`);
    return "";
  }
}

function configuration() {
  const env = readEnv();
  let url;
  try {
    url = new URL(env.BASE_URL || `http://localhost:${env.PORT || 3001}`);
  } catch {
    throw new Unusable("BASE_URL is not the address of a service: want http://HOST:PORT");
  }
  if (!/^https?:$/.test(url.protocol)) throw new Unusable("BASE_URL is not the address of a service: want http://HOST:PORT");
  const secret = secretOf(env, "WEBHOOK_SECRET", "webhook-secret");
  if (!secret) throw new Unusable("there is no secret to sign with: set WEBHOOK_SECRET, or WEBHOOK_SECRET_FILE");
  let ca;
  if (env.SSL_CERT_FILE) {
    try {
      ca = [...tls.rootCertificates, fs.readFileSync(env.SSL_CERT_FILE, "utf8")];
    } catch (error) {
      throw new Unusable(`SSL_CERT_FILE can't be read: ${error.code}`);
    }
  }
  return { url, secret, token: secretOf(env, "DASHBOARD_TOKEN", "dashboard-token"), ca };
}

let service; // what configuration returned

// because says in plain words why a request got no answer.
function because(error) {
  const at = service.url.origin;
  switch (error.code) {
    case "ECONNREFUSED":
      return `nothing listens at ${at}: is the service running, and on that port?`;
    case "CERT_HAS_EXPIRED":
      return `the certificate of ${service.url.host} has expired: renew it, GitHub delivers nothing to an expired one`;
    case "CERT_NOT_YET_VALID":
      return `the certificate of ${service.url.host} is not valid yet: is a clock wrong?`;
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return `the certificate of ${service.url.host} is signed by an authority that is not known here: name its file in SSL_CERT_FILE`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `the certificate of ${service.url.host} is for another name`;
    case "ENOTFOUND":
      return `the name ${service.url.hostname} is not known here`;
    default:
      return `${at} can't be asked: ${error.code || error.message}`;
  }
}

// open sends a request and returns the answer, its body still to come.
function open(method, route, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const { protocol, hostname, port } = service.url;
    const request = (protocol === "https:" ? https : http).request({
      protocol,
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port,
      method,
      path: route, // as it is: a URL would be tidied up on the way
      headers: { "User-Agent": "webhook-integration-test", ...headers },
      agent: false,
      autoSelectFamily: true, // localhost is ::1 first, where many services don't listen
      ca: service.ca,
    });
    const late = setTimeout(() => request.destroy(new Error(`no answer within ${PATIENCE / 1000} s`)), PATIENCE);
    request.on("response", (response) => {
      clearTimeout(late);
      resolve(response);
    });
    request.on("error", (error) => {
      clearTimeout(late);
      reject(new Error(because(error)));
    });
    request.end(body);
  });
}

// ask sends a request and returns status, headers and body.
async function ask(method, route, options) {
  const response = await open(method, route, options);
  const late = setTimeout(() => response.destroy(new Error("the answer did not end")), PATIENCE);
  try {
    let body = "";
    for await (const part of response.setEncoding("utf8")) body += part;
    return { status: response.statusCode, headers: response.headers, body };
  } finally {
    clearTimeout(late);
  }
}

function parsed(answer, what) {
  try {
    return JSON.parse(answer.body);
  } catch {
    throw new Error(`${what} is not this service's: ${words(answer)}`);
  }
}

// words is an answer in one line.
function words({ status, body }) {
  let text = body;
  try {
    text = JSON.parse(body).error || body;
  } catch {
    // as it is
  }
  return `${status} ${text.replace(/\s+/g, " ").trim().slice(0, 200)}`;
}

const sign = (body, secret = service.secret) => `sha256=${crypto.createHmac("sha256", secret).update(body).digest("hex")}`;

// deliver sends a ping as GitHub does. A signature of null sends none.
function deliver({ id = crypto.randomUUID(), form = false, signature } = {}) {
  const payload = JSON.stringify({ zen: "Mind your words, they are important.", hook_id: 0 });
  const body = form ? new URLSearchParams({ payload }).toString() : payload;
  const headers = {
    "Content-Type": form ? "application/x-www-form-urlencoded" : "application/json",
    "X-GitHub-Event": "ping",
    "X-GitHub-Delivery": id,
    "X-Hub-Signature-256": signature === undefined ? sign(body) : signature,
  };
  if (signature === null) delete headers["X-Hub-Signature-256"];
  return ask("POST", "/webhook", { headers, body });
}

function expect(answer, status, what) {
  if (answer.status !== status) throw new Error(`${what} is answered ${words(answer)}, want ${status}`);
}

// expectTaken says why a signed delivery was not taken.
async function expectTaken(answer, want, what) {
  if (answer.status === 503) {
    // What the service has just met, /ready tells now and may not have known before.
    const { checks = {} } = parsed(await ask("GET", "/ready"), "/ready");
    const why = Object.entries(checks).filter(([, check]) => check.status === "failing");
    throw new Error([`${what} is answered ${words(answer)}`, ...why.map(([name, check]) => `${name}: ${check.detail}`)].join("; "));
  }
  if (answer.status === 401) throw new Error(`the secret here is not the one of the service: ${what} is answered ${words(answer)}`);
  expect(answer, 202, what);
  const { status } = parsed(answer, "the answer to a webhook");
  if (status !== want) throw new Error(`${what} is answered ${status}, want ${want}`);
}

// until waits for something that has to happen soon.
async function until(what, holds) {
  for (const end = Date.now() + PATIENCE; ; ) {
    if (await holds()) return;
    if (Date.now() > end) throw new Error(`${what} did not happen within ${PATIENCE / 1000} s`);
    await new Promise((resume) => setTimeout(resume, 200));
  }
}

// A Stream is the event stream as a browser's EventSource has it: onmessage gets what has no event: field.
class Stream {
  messages = [];
  waiting = new Set();

  static async open() {
    const headers = { Accept: "text/event-stream" };
    if (service.token) headers.Authorization = `Bearer ${service.token}`;
    const response = await open("GET", "/webhook/events", { headers });
    const stream = new Stream();
    stream.response = response;
    if (response.statusCode !== 200) {
      let body = "";
      for await (const part of response.setEncoding("utf8")) body += part;
      throw new Error(`/webhook/events answers ${words({ status: response.statusCode, body })}${service.token ? "" : " (there is no DASHBOARD_TOKEN here)"}`);
    }
    if (!/^text\/event-stream/.test(response.headers["content-type"] || "")) throw new Error("/webhook/events is no event stream");
    let rest = "";
    response.setEncoding("utf8").on("data", (part) => {
      const blocks = (rest + part).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) stream.take(block.split(/\r?\n/));
    });
    response.on("error", () => {}); // ended by close, or seen by whoever waits for a message
    return stream;
  }

  take(lines) {
    if (lines.some((line) => line.startsWith("event:"))) return; // onmessage would not get it
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
    if (data.length === 0) return;
    this.messages.push(JSON.parse(data.join("\n")));
    for (const look of this.waiting) look();
  }

  // find waits for a message and returns it.
  find(what, fits, patience = PATIENCE) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.messages.find(fits);
        if (!found) return false;
        clearTimeout(late);
        this.waiting.delete(look);
        resolve(found);
        return true;
      };
      const late = setTimeout(() => {
        this.waiting.delete(look);
        reject(new Error(`no ${what} came within ${patience / 1000} s: does a proxy keep the stream back?`));
      }, patience);
      if (!look()) this.waiting.add(look);
    });
  }

  close() {
    this.response.destroy();
  }
}

let failed = 0;

// step makes one step of the test and says how it came out.
async function step(name, make) {
  try {
    const said = await make();
    console.log(`pass  ${name}${said ? `: ${said}` : ""}`);
    return true;
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}: ${error.message}`);
    return false;
  }
}

const SERIES = [
  "github_webhooks_total",
  "github_webhook_queue_length",
  "github_webhook_processed_total",
  "github_webhook_errors_total",
  "github_webhook_processing_duration_seconds_bucket",
  "github_errors_total",
];

async function main() {
  service = configuration();
  console.log(`Integration test of ${service.url.origin}\n`);

  const up = await step("health", async () => {
    const answer = await ask("GET", "/health");
    const { status, checks = {} } = parsed(answer, "/health");
    const why = Object.entries(checks).filter(([, check]) => check.status === "failing");
    if (answer.status !== 200) throw new Error(`${status}: ${why.map(([name, check]) => `${name}: ${check.detail}`).join("; ") || words(answer)}`);
    return status;
  });
  if (!up) return;

  await step("ready", async () => {
    const answer = await ask("GET", "/ready");
    const { status, checks } = parsed(answer, "/ready");
    if (!checks) throw new Error(`/ready is not this service's: ${words(answer)}`);
    // What a token may not see is a decision of its owner; everything else is somebody's to mend.
    const wrong = Object.entries(checks).filter(([, check]) => check.status !== "ok");
    const notes = wrong.filter(([name, check]) => name === "recovery" && check.code === "webhooks-not-visible");
    const say = (list) => list.map(([name, check]) => `${name}: ${check.detail}`).join("; ");
    if (wrong.length > notes.length) throw new Error(say(wrong));
    expect(answer, 200, "/ready");
    return [status, say(notes)].filter(Boolean).join(", and a note: ");
  });

  await step("metrics", async () => {
    const answer = await ask("GET", "/metrics");
    if (answer.status === 403 && service.url.protocol === "https:") return "kept from the public address, as they may be";
    expect(answer, 200, "/metrics");
    const missing = SERIES.filter((name) => !new RegExp(`^${name}[{ ]`, "m").test(answer.body));
    if (missing.length > 0) throw new Error(`without ${missing.join(", ")}: alerts about these can't fire`);
    return `${SERIES.length} series that alerts read`;
  });

  const stats = async () => {
    const answer = await ask("GET", "/webhook/stats");
    expect(answer, 200, "/webhook/stats");
    const counted = parsed(answer, "/webhook/stats");
    if (counted.stale) throw new Error("the counters are old: the database does not answer");
    if (!counted.total) throw new Error(`/webhook/stats is not this service's: ${words(answer)}`);
    return counted;
  };
  let before;
  await step("statistics", async () => {
    before = await stats();
    return `${before.total.received} received, ${before.total.processed} processed, ${before.queue_length} waiting`;
  });

  await step("CORS", async () => {
    const { status, headers } = await ask("OPTIONS", "/webhook/events");
    if (status >= 300) throw new Error(`OPTIONS /webhook/events is answered ${status}`);
    const missing = ["origin", "headers", "methods"].map((name) => `access-control-allow-${name}`).filter((name) => !headers[name]);
    if (missing.length > 0) throw new Error(`without ${missing.join(", ")}`);
    return `pages of ${headers["access-control-allow-origin"]}`;
  });

  let stream;
  await step("event stream, snapshot", async () => {
    stream = await Stream.open();
    const first = await stream.find("message", () => true);
    if (first.type !== "snapshot") throw new Error(`the first message is of the type ${first.type}, want snapshot`);
  });

  await step("unsigned webhook", async () => expect(await deliver({ signature: null }), 401, "it"));
  await step("wrongly signed webhook", async () => expect(await deliver({ signature: sign("another body") }), 401, "it"));
  await step("webhook signed with another secret", async () => {
    expect(await deliver({ form: true, signature: sign("", crypto.randomUUID()) }), 401, "it");
  });
  await step("GET /webhook", async () => expect(await ask("GET", "/webhook"), 405, "it"));

  const id = crypto.randomUUID();
  let taken = 0;
  const take = (name, want, options) =>
    step(name, async () => {
      await expectTaken(await deliver(options), want, "it");
      if (want === "accepted") taken++;
      return want;
    });
  await take("signed webhook, JSON", "accepted", { id });
  await take("signed webhook, form", "accepted", { form: true });
  if (taken === 2) await take("the same delivery again", "duplicate", { id });

  if (before && taken > 0) {
    await step("statistics move", async () => {
      let now;
      await until("that every delivery was processed", async () => {
        now = await stats();
        if (now.paused) throw new Error("the queue is paused: github-pr-manager queue resume ends that");
        return now.total.received >= before.total.received + taken && now.total.processed >= before.total.processed + taken;
      });
      return `${now.total.received} received, ${now.total.processed} processed`;
    });
  }
  if (stream) {
    if (taken > 0) {
      await step("event stream, updates", async () => {
        await stream.find("update", (message) => message.type === "update");
      });
    }
    // It takes a quarter of a minute, and is worth it only when everything else is well.
    if (failed === 0) {
      await step("event stream, heartbeat", async () => {
        await stream.find("heartbeat", (message) => message.type === "heartbeat", HEARTBEAT);
      });
    }
    stream.close();
  }
}

main()
  .then(() => {
    console.log(failed === 0 ? "\nEverything is as it should be." : `\n${failed} failed.`);
    process.exitCode = failed === 0 ? 0 : 1;
  })
  .catch((error) => {
    console.error(`webhook-integration-test: ${error instanceof Unusable ? error.message : error.stack}`);
    process.exitCode = 2;
  });
