// Drives the workbench in Chromium: `drive.mjs BASE FOLDER MODE OUT`, with MODE host, look or untrusted.
// What it saw is printed as JSON, screenshots go to OUT.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const { chromium } = createRequire(`${process.env.VRAMLINT_DRIVER}/`)("playwright-core");
const [base, folder, mode, out] = process.argv.slice(2);
const PATIENCE = 60_000;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1500, height: 950 } });
const shot = (name) => page.screenshot({ path: path.join(out, `${name}.png`) });

async function workbench(query = "") {
  await page.goto(`${base}/?folder=${folder}${query}`);
  await page.waitForSelector(".explorer-folders-view .monaco-list-row", { timeout: PATIENCE });
}

async function openFile(name) {
  await page.locator(`.explorer-folders-view .monaco-list-row:has-text("${name}")`).first().dblclick();
  await page.waitForSelector(`.tabs-container .tab[data-resource-name="${name}"]`, { timeout: PATIENCE });
}

async function command(title) {
  await page.keyboard.press("F1");
  await page.waitForSelector(".quick-input-widget input");
  await page.keyboard.type(title);
  await page.locator(`.quick-input-list .monaco-list-row:has-text("${title}")`).first().waitFor({ timeout: PATIENCE });
  await page.keyboard.press("Enter");
}

async function goTo(line) {
  await page.locator(".monaco-editor .view-lines").first().click();
  await page.keyboard.press("Control+G");
  await page.keyboard.type(String(line));
  await page.keyboard.press("Enter");
}

/** The document inside the panel's two nested frames. */
async function panel() {
  for (let left = PATIENCE; left > 0; left -= 200) {
    for (const frame of page.frames()) {
      if ((await frame.$("#root h1").catch(() => null)) !== null) {
        return frame;
      }
    }
    await page.waitForTimeout(200);
  }
  throw new Error("the panel was never drawn");
}

async function host() {
  const remote = (file) => `vscode-remote://${new URL(base).host}${file}`;
  const payload = [
    ["extensionDevelopmentPath", remote(process.env.VRAMLINT_EXTENSION)],
    ["extensionTestsPath", remote(path.join(import.meta.dirname, "host.js"))],
  ];
  await page.goto(`${base}/?folder=${folder}&payload=${encodeURIComponent(JSON.stringify(payload))}`);
  for (let left = 4 * PATIENCE; left > 0 && !existsSync(process.env.VRAMLINT_RESULT); left -= 200) {
    await page.waitForTimeout(200);
  }
  await shot("host");
  const lines = existsSync(process.env.VRAMLINT_RESULT) ? readFileSync(process.env.VRAMLINT_RESULT, "utf8").trim().split("\n") : [];
  return { lines };
}

async function look() {
  const seen = {};
  await workbench();
  await openFile("train.py");
  await goTo(48);
  await page.waitForSelector(".codelens-decoration a", { timeout: PATIENCE });
  await page.waitForSelector(".squiggly-error", { timeout: PATIENCE });
  seen.lens = await page.locator(".codelens-decoration a").first().innerText();
  await page.waitForFunction(() => document.querySelector("#vramlint\\.vramlint\\.status, [id*='vramlint.status']")?.textContent?.includes("GB"), null, { timeout: PATIENCE });
  seen.status = await page.locator("[id*='vramlint.status']").first().innerText();
  await shot("script");
  await command("vramlint: Show GPU Memory");
  const inside = await panel();
  await inside.waitForSelector("#chart canvas", { timeout: PATIENCE });
  seen.title = await inside.locator("h1").innerText();
  seen.verdict = await inside.locator(".verdict").first().innerText();
  seen.terms = await inside.locator("section:has(h2:has-text('at the worst moment')) table").innerText();
  seen.unlabelled = await inside.evaluate(
    () => [...document.querySelectorAll("button, select, input")].filter((one) => !(one.textContent || one.getAttribute("aria-label") || one.closest("label")?.textContent)).length,
  );
  await shot("panel");
  await inside.locator("label:has-text('Micro batch') input").fill("1");
  await inside.locator("label:has-text('Checkpointing') select").selectOption("on");
  await inside.waitForSelector("#outcome .outcome strong", { timeout: PATIENCE });
  await page.waitForTimeout(600);
  seen.outcome = await inside.locator("#outcome").innerText();
  await inside.waitForFunction(() => document.getElementById("largest")?.textContent !== "", null, { timeout: PATIENCE });
  seen.largest = await inside.locator("#largest").innerText();
  await shot("what-if");
  seen.applicable = await inside.locator("button:has-text('Apply')").count();
  await inside.locator("button.link:has-text('line')").first().click();
  await page.waitForTimeout(700);
  seen.position = await page.locator("[id='status.editor.selection']").innerText();
  await page.keyboard.press("F1");
  await page.keyboard.type("vramlint: Choose the GPU");
  await page.waitForTimeout(500);
  await page.keyboard.press("Enter");
  await page.locator(".quick-input-list .monaco-list-row:has-text('A100')").first().waitFor({ timeout: PATIENCE });
  await shot("choose-gpu");
  await page.keyboard.press("Escape");
  return seen;
}

async function untrusted() {
  await workbench();
  await page.waitForTimeout(1500);
  await page.keyboard.press("Escape");
  const began = Date.now();
  await openFile("train.py");
  await page.waitForSelector(".explorer-folders-view .monaco-list-row:has-text('train.py') .monaco-decoration-badge, .tab.active[data-resource-name='train.py'] [class*='monaco-decoration-itemBadge'], .squiggly-error, .codelens-decoration a", { timeout: PATIENCE, state: "attached" });
  const first = Date.now() - began;
  await goTo(48);
  await page.waitForSelector(".codelens-decoration a", { timeout: PATIENCE });
  await shot("untrusted");
  return { first, lens: await page.locator(".codelens-decoration a").first().innerText() };
}

try {
  console.log(JSON.stringify(await { host, look, untrusted }[mode]()));
} catch (error) {
  await shot(`${mode}-failed`);
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
