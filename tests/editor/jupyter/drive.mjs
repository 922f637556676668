// Drives JupyterLab in Chromium: `drive.mjs BASE MODE OUT`, with MODE cells or magic.
// What it saw is printed as JSON, screenshots go to OUT.
import { createRequire } from "node:module";
import path from "node:path";

const { chromium } = createRequire(`${process.env.VRAMLINT_DRIVER}/`)("playwright-core");
const [base, mode, name, out] = process.argv.slice(2);
const PATIENCE = 60_000;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1300, height: 1000 } });
const shot = (what) => page.screenshot({ path: path.join(out, `jupyterlab-${name}-${what}.png`) });

async function open(notebook) {
  await page.goto(`${base}/lab/tree/${notebook}?reset`);
  await page.waitForSelector(".jp-Notebook .jp-CodeCell .cm-content", { timeout: PATIENCE });
  await page.waitForTimeout(1500);
  const asked = page.locator(".jp-Dialog .jp-mod-accept");
  if (await asked.count()) await asked.first().click();
}

/** A diagnostic in a cell, what it says when it is pointed at, and the hover card of the training call. */
async function cells() {
  await open("train.ipynb");
  const marks = page.locator(".jp-CodeCell .cm-lsp-diagnostic, .jp-CodeCell .cm-lintRange");
  await marks.first().waitFor({ timeout: PATIENCE });
  const marked = page.locator(".cm-lintRange-error, .cm-lsp-diagnostic-Error").first();
  await marked.waitFor({ timeout: PATIENCE });
  await marked.scrollIntoViewIfNeeded();
  const text = await marked.innerText();
  await marked.hover();
  await page.waitForSelector(".cm-tooltip-lint, .cm-tooltip .cm-diagnostic", { timeout: PATIENCE });
  const diagnostic = (await page.locator(".cm-diagnostic").allInnerTexts()).join("\n");
  await shot("diagnostic");
  await page.mouse.move(5, 5);
  await page.waitForTimeout(800);
  const box = await marked.boundingBox();
  const boxes = page.locator(".lsp-hover, .jp-HoverBox");
  let hover = "";
  // The first answer may come after the pointer has moved on; then it is asked again.
  for (let round = 0; round < 8 && !hover.includes("allocated"); round += 1) {
    await page.mouse.move(box.x + 10, box.y + 60);
    await page.keyboard.down("Control");
    await page.mouse.move(box.x + 20 + 12 * round, box.y + box.height / 2, { steps: 4 });
    await boxes.first().waitFor({ timeout: 5000 }).catch(() => {});
    await page.waitForTimeout(300);
    hover = (await boxes.allInnerTexts()).join("\n");
    await page.keyboard.up("Control");
  }
  await shot("hover");
  return { text, diagnostic, hover };
}

/** `%%vramlint`: its output under the cell, and that nothing of the cell has run. */
async function magic() {
  await open("magic.ipynb");
  await page.locator(".jp-CodeCell .cm-content").first().click();
  await page.waitForFunction(() => !document.body.innerText.includes("Connecting"), null, { timeout: PATIENCE });
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.press("Shift+Enter");
  const output = page.locator(".jp-OutputArea-output .vramlint").first();
  await output.waitFor({ timeout: PATIENCE });
  await page.waitForFunction(() => document.body.innerText.includes("NameError"), null, { timeout: PATIENCE });
  await output.scrollIntoViewIfNeeded();
  await page.waitForTimeout(500);
  await shot("magic");
  await output.screenshot({ path: path.join(out, `jupyterlab-${name}-output.png`) });
  const colors = await output.evaluate((node) => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]);
  return {
    output: await output.innerText(),
    polygons: await output.locator("svg polygon").count(),
    colors,
    error: await page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText").allInnerTexts(),
  };
}

try {
  const seen = mode === "cells" ? await cells() : await magic();
  console.log(JSON.stringify(seen));
} catch (error) {
  await shot(`${mode}-failed`);
  console.error(String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
}
