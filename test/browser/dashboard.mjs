// Looks at a running dashboard with a real browser. The service behind it must be busy (the demo is): something has to
// arrive while the test watches.
//
//	DASHBOARD_URL=http://localhost:3001 node test/browser/dashboard.mjs
//
// DASHBOARD_TOKEN signs in; SCREENSHOTS names a directory for pictures; CHROMIUM is the browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const base = (process.env.DASHBOARD_URL ?? "http://localhost:3001").replace(/\/$/, "");
const token = process.env.DASHBOARD_TOKEN ?? "";
const pictures = process.env.SCREENSHOTS ?? "";
const patience = Number(process.env.PATIENCE_MS ?? 30000);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let failed = 0;
function check(ok, what, detail = "") {
  console.log(`${ok ? "ok  " : "FAIL"} ${what}${detail === "" ? "" : ": " + detail}`);
  if (!ok) failed++;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

// visit opens a page that complains about everything a developer would see in the console.
async function visit(name, options, path = "/") {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (m) => { if (m.type() === "error" || m.type() === "warning") complaints.push(m.text()); });
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("requestfailed", (r) => {
    // Leaving a page ends what it was still loading; that is no complaint.
    if (r.failure()?.errorText !== "net::ERR_ABORTED") complaints.push(`${r.url()} ${r.failure()?.errorText}`);
  });
  const elsewhere = [];
  page.on("request", (r) => { if (!r.url().startsWith(base) && !r.url().startsWith("data:")) elsewhere.push(r.url()); });
  if (token) {
    await page.goto(base + "/sign-in");
    await page.fill("#token", token);
    await Promise.all([page.waitForURL(base + "/"), page.click("main button")]);
  }
  await page.goto(base + path);
  return { page, context, complaints, elsewhere, name };
}

async function violations(page) {
  // The page's own policy forbids scripts from elsewhere, as it should; the debugger may bring its own.
  const debug = await page.context().newCDPSession(page);
  await debug.send("Runtime.evaluate", { expression: axe });
  return page.evaluate(async () => {
    const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const result = await window.axe.run(document, { runOnly: rules });
    if (result.passes.length < 15) return [`axe tried ${result.passes.length} rules only`];
    return result.violations.map((v) => `${v.id} (${v.nodes.length}×): ${v.nodes[0].html.slice(0, 160)}`);
  });
}

async function looksRight(v) {
  const bad = await violations(v.page);
  check(bad.length === 0, `${v.name}: accessible`, bad.join("; "));
  const over = await v.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(over <= 0, `${v.name}: nothing sticks out sideways`, over > 0 ? `${over} px` : "");
  if (pictures) await v.page.screenshot({ path: `${pictures}/${v.name.replace(/\W+/g, "-")}.png`, fullPage: true });
}

async function done(v) {
  check(v.complaints.length === 0, `${v.name}: a quiet console`, v.complaints.join("; "));
  check(v.elsewhere.length === 0, `${v.name}: nothing is loaded from elsewhere`, v.elsewhere.join(" "));
  await v.context.close();
}

try {
  // Live, without a reload.
  {
    const v = await visit("live", { viewport: { width: 1280, height: 900 } });
    await v.page.waitForFunction(() => document.getElementById("live").dataset.state === "live", null, { timeout: patience });
    check(true, "live: the stream is connected");
    await v.page.waitForSelector(".feed .delivery", { timeout: patience });
    await v.page.evaluate(() => { window.mark = "the same document"; });
    const before = await v.page.evaluate(() => ({
      received: document.querySelector("#c-received dd").textContent, first: document.querySelector(".delivery").id,
    }));
    await v.page.waitForFunction((b) => document.querySelector("#c-received dd").textContent !== b.received &&
      document.querySelector(".delivery").id !== b.first, before, { timeout: patience });
    const after = await v.page.evaluate(() => ({ mark: window.mark, received: document.querySelector("#c-received dd").textContent }));
    check(after.mark === "the same document", "live: counters and webhooks move without a reload", `received ${before.received} → ${after.received}`);
    const first = v.page.locator(".pull h4 a").first();
    if (await first.count()) {
      await first.focus();
      const href = await first.getAttribute("href");
      const seen = await v.page.evaluate(() => document.querySelector("#c-received dd").textContent);
      await v.page.waitForFunction((s) => document.querySelector("#c-received dd").textContent !== s, seen, { timeout: patience });
      const still = await v.page.evaluate((h) => document.activeElement?.getAttribute("href") === h ||
        !document.querySelector(`.pull a[href="${h}"]`), href);
      check(still, "live: the focus stays where it was");
    }
    await done(v);
  }

  // Every page, in every size and light.
  const path = await (async () => {
    const v = await visit("find", {});
    const href = await v.page.locator("a[href^='/pulls/']").first().getAttribute("href", { timeout: patience });
    await v.context.close();
    return href;
  })();
  for (const width of [1280, 375]) {
    for (const colorScheme of ["light", "dark"]) {
      for (const [name, where] of [["front", "/"], ["pull", path]]) {
        const v = await visit(`${name} ${width} ${colorScheme}`, { viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" }, where);
        await v.page.waitForFunction(() => document.getElementById("live").dataset.state === "live", null, { timeout: patience });
        await looksRight(v);
        await done(v);
      }
    }
  }
  {
    const v = await visit("not found", { viewport: { width: 375, height: 700 } }, "/nowhere");
    check((await v.page.locator("h1").textContent()) === "Nothing here", "not found: a friendly page");
    await looksRight(v);
    await v.context.close(); // the console notes the 404 itself
  }

  // Without JavaScript.
  {
    const v = await visit("without script", { javaScriptEnabled: false });
    check((await v.page.locator("#c-received dd").count()) === 1, "without script: counters");
    check((await v.page.locator(".delivery").count()) > 0, "without script: webhooks");
    await v.page.locator("a[href^='/pulls/']").first().click();
    check((await v.page.locator("#h-why").textContent()) === "Why", "without script: a pull request's page");
    await done(v);
  }
} catch (e) {
  check(false, "the test itself", e.stack);
} finally {
  await browser.close();
}
console.log(failed === 0 ? "all fine" : `${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
