// Signs in to the service's page, types SNIPPET into its console, and prints what the console says until it has said two
// things about events.
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
let said = 0;
const enough = new Promise((done) => page.on("console", (m) => {
  console.log(m.text());
  if (m.text().startsWith("SSE: ") && ++said > 1) done(true);
}));
await page.goto("http://localhost:3001/sign-in");
await page.fill("#token", process.env.DASHBOARD_TOKEN);
await Promise.all([page.waitForURL("http://localhost:3001/"), page.click("main button")]);
await page.evaluate(process.env.SNIPPET);
const ok = await Promise.race([enough, new Promise((done) => setTimeout(done, 20000, false))]);
await browser.close();
process.exit(ok ? 0 : 1);
