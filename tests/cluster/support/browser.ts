import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";
import { ensureBrowser } from "../../../local/toolchain/browser.ts";
import { ROOT } from "../../support/program";

/** Where the pictures go; `docs/images` has those that docs/ shows. */
export const SCREENSHOTS = join(ROOT, ".local", "screenshots");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long a page may take for one step; each wait is for something that it shows. */
const STEP_SECONDS = 120;

/** Starts Chromium, which finds no host but one. */
export async function startBrowser(onlyHost: string): Promise<Browser> {
  const { executable, env } = await ensureBrowser(join(ROOT, ".local", "log"));
  mkdirSync(SCREENSHOTS, { recursive: true });
  return chromium.launch({
    executablePath: executable,
    env: { ...process.env, ...env },
    args: [...FLAGS, `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${onlyHost}`],
  });
}

/** Opens an address as somebody who has never been there: no cookie, nothing remembered. */
export async function open(browser: Browser, url: string, height: number): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height } });
  context.setDefaultTimeout(STEP_SECONDS * 1000);
  const page = await context.newPage();
  await page.goto(url);
  return page;
}
