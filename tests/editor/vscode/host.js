// Runs inside the extension host of a real VS Code and writes one line for each check into the file of $VRAMLINT_RESULT.
const vscode = require("vscode");
const assert = require("node:assert");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");

const PATIENCE = 20000;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function until(probe, what) {
  const began = Date.now();
  for (;;) {
    // The editor cancels what it asked of a text that has changed meanwhile; a person's next look asks again.
    const value = await Promise.resolve(probe()).catch((error) => {
      if (!/^Cancell?ed/.test(error.name) && !/^Cancell?ed/.test(error.message)) {
        throw error;
      }
    });
    if (value) {
      return value;
    }
    if (Date.now() - began > PATIENCE) {
      throw new Error(`not within ${PATIENCE} ms: ${what}`);
    }
    await sleep(50);
  }
}

const root = () => vscode.workspace.workspaceFolders[0].uri;
const rules = (uri) => vscode.languages.getDiagnostics(uri).map((one) => one.code?.value ?? one.code);
const settings = () => vscode.workspace.getConfiguration("vramlint");
const useGpu = (name) => settings().update("gpu", name, vscode.ConfigurationTarget.Workspace);

async function open(name) {
  const uri = vscode.Uri.joinPath(root(), name);
  await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri));
  return uri;
}

async function lens(uri) {
  const lenses = await vscode.commands.executeCommand("vscode.executeCodeLensProvider", uri, 20);
  return lenses.map((one) => one.command?.title ?? "").find((title) => title.includes("peak"));
}

const CHECKS = {
  "the extension starts by itself with a Python file": async () => {
    await open("train.py");
    await until(() => vscode.extensions.getExtension("vramlint.vramlint")?.isActive, "activation");
  },
  "what does not fit is underlined": async () => {
    const uri = await open("train.py");
    await until(() => rules(uri).includes("out-of-memory"), "a diagnostic");
    const found = vscode.languages.getDiagnostics(uri).find((one) => (one.code?.value ?? one.code) === "out-of-memory");
    assert.equal(found.severity, vscode.DiagnosticSeverity.Error);
    assert.ok(found.relatedInformation.length >= 2, "the lines to blame");
    assert.match(found.code.target.toString(), /out-of-memory/);
  },
  "a hover tells what the optimizer keeps": async () => {
    const uri = await open("train.py");
    const text = (await vscode.workspace.openTextDocument(uri)).getText();
    const line = text.split("\n").findIndex((one) => one.includes("optim="));
    const column = text.split("\n")[line].indexOf("adamw");
    const hovers = await vscode.commands.executeCommand("vscode.executeHoverProvider", uri, new vscode.Position(line, column + 1));
    assert.match(hovers.map((one) => one.contents.map((part) => part.value ?? part).join("\n")).join("\n"), /exp_avg/);
  },
  "bytes stand behind the lines": async () => {
    const uri = await open("train.py");
    const range = new vscode.Range(0, 0, 200, 0);
    const hints = await vscode.commands.executeCommand("vscode.executeInlayHintProvider", uri, range);
    assert.ok(hints.length >= 3, `${hints.length} hints`);
    assert.match(JSON.stringify(hints[0].label), /GB/);
  },
  "a lens over the training call tells the peak": async () => {
    const uri = await open("train.py");
    assert.match(await until(() => lens(uri), "a lens"), /peak [\d.]+ GB/);
  },
  "another GPU changes the verdict at once": async () => {
    const uri = await open("train.py");
    await useGpu("B200");
    await until(() => !rules(uri).includes("out-of-memory"), "the finding to go");
    await useGpu("RTX 4090");
    await until(() => rules(uri).includes("out-of-memory"), "the finding to come back");
  },
  "a fix is applied, and the figure is another": async () => {
    const uri = await open("train.py");
    const before = await until(() => lens(uri), "a lens");
    const found = await until(() => vscode.languages.getDiagnostics(uri).find((one) => (one.code?.value ?? one.code) === "out-of-memory"), "a finding");
    const actions = await until(async () => {
      const all = await vscode.commands.executeCommand("vscode.executeCodeActionProvider", uri, found.range, vscode.CodeActionKind.QuickFix.value);
      const editing = all.filter((one) => one.edit !== undefined && /−|GB/.test(one.title));
      return editing.length > 0 && editing;
    }, "a fix with an edit");
    assert.ok(await vscode.workspace.applyEdit(actions[0].edit), actions[0].title);
    await until(async () => (await lens(uri)) !== before, "another figure");
    await vscode.commands.executeCommand("workbench.action.files.revert");
    await until(async () => (await lens(uri)) === before, "the old figure");
  },
  "the cells of a notebook are one program": async () => {
    const notebook = await vscode.workspace.openNotebookDocument(vscode.Uri.joinPath(root(), "notebook.ipynb"));
    await vscode.window.showNotebookDocument(notebook);
    const cells = notebook.getCells().filter((cell) => cell.kind === vscode.NotebookCellKind.Code);
    const training = cells.findIndex((cell) => cell.document.getText().includes(".train("));
    const editor = vscode.window.activeNotebookEditor;
    editor.revealRange(new vscode.NotebookRange(cells[training].index, cells[training].index + 1));
    // A cell that was never on the screen has no text model, and the command throws.
    const told = () => lens(cells[training].document.uri).catch(() => undefined);
    assert.match(await until(told, "a lens in a cell"), /peak [\d.]+ [GM]B/);
  },
  "the panel opens on the run": async () => {
    await open("train.py");
    await vscode.commands.executeCommand("vramlint.showPanel");
    await until(() => vscode.window.tabGroups.all.flatMap((group) => group.tabs).some((tab) => tab.label === "GPU memory"), "the panel's tab");
  },
  "the server comes back after a restart": async () => {
    const uri = await open("train.py");
    await vscode.commands.executeCommand("vramlint.restart");
    await until(() => rules(uri).includes("out-of-memory"), "a diagnostic of the new server");
  },
  "a server that was killed comes back": async () => {
    const uri = await open("train.py");
    execFileSync("pkill", ["-KILL", "-P", String(process.pid), "-f", "bundled/run.py lsp"]);
    await sleep(1000);
    await useGpu("B200");
    await until(() => !rules(uri).includes("out-of-memory"), "an answer of the new server");
    await useGpu("RTX 4090");
    await until(() => rules(uri).includes("out-of-memory"), "a finding of the new server");
  },
  "checking the workspace finds what is not open": async () => {
    const uri = vscode.Uri.joinPath(root(), "other", "finetune.py");
    await vscode.commands.executeCommand("vramlint.checkWorkspace");
    await until(() => rules(uri).includes("out-of-memory"), "a problem in a file that is not open");
  },
  "the report for an issue is in the clipboard": async () => {
    await open("train.py");
    await vscode.commands.executeCommand("vramlint.copyReport");
    assert.match(await vscode.env.clipboard.readText(), /\| exp_avg \|/);
  },
  "a file that trains nothing gets nothing": async () => {
    const uri = await open("plain.py");
    await sleep(1500);
    assert.deepEqual(rules(uri), []);
    assert.equal(await lens(uri), undefined);
  },
  "debug information names the server": async () => {
    await vscode.commands.executeCommand("vramlint.collectDebugInformation");
    assert.match(vscode.window.activeTextEditor.document.getText(), /server \d+\.\d+.*started as/);
  },
};

exports.run = async () => {
  const lines = [];
  for (const [name, check] of Object.entries(CHECKS)) {
    try {
      await check();
      lines.push(`ok ${name}`);
    } catch (error) {
      lines.push(`FAIL ${name}: ${String(error.stack).replaceAll("\n", " | ")}`);
    }
  }
  fs.writeFileSync(process.env.VRAMLINT_RESULT, `${lines.join("\n")}\n`);
};
