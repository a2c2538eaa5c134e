// node screenshot.mjs URL FILE: takes a picture of a page as a person with a laptop sees it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [url, file] = process.argv.slice(2)
const profile = mkdtempSync(join(tmpdir(), 'screenshot-'))
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  viewport: { width: 1280, height: 860 },
  deviceScaleFactor: 2,
  // Without these, Chromium talks to its maker's servers by itself; --no-sandbox, because root may not have one.
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
})
try {
  const page = await browser.newPage()
  await page.goto(url, { waitUntil: 'load' }) // not networkidle: the event stream never ends
  await page.waitForTimeout(1500)
  await page.screenshot({ path: file })
} finally {
  await browser.close()
  rmSync(profile, { recursive: true, force: true })
}
