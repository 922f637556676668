/** The panel "GPU memory": a webview that draws reports; everything it asks for goes through here. */

import * as vscode from "vscode";

import { reveal } from "./documents";
import type { FromPanel, ToPanel } from "./messages";
import type { Fix, Gpu, Report } from "./report";
import type { Server } from "./server";

const KINDS: Record<string, string> = { png: "PNG", json: "JSON", markdown: "Markdown" };
const ENDINGS: Record<string, string> = { png: "png", json: "json", markdown: "md" };

export class Panel implements vscode.Disposable {
  private view: vscode.WebviewPanel | undefined;
  private uri: vscode.Uri | undefined;
  private run = 0;
  private report: Report | undefined;
  private gpus: Gpu[] = [];

  constructor(
    private readonly extension: vscode.Uri,
    private readonly server: Server,
  ) {}

  /** Open the panel beside the editor, on a run of a document. */
  async show(uri: vscode.Uri, run = 0): Promise<void> {
    [this.uri, this.run] = [uri, run];
    if (this.view === undefined) {
      this.view = this.created();
    } else {
      this.view.reveal(undefined, true);
    }
    await this.refresh();
  }

  /** Ask for the report again, if the panel shows this document. */
  async follow(uri: vscode.Uri): Promise<void> {
    if (this.view !== undefined && this.uri?.toString() === uri.toString()) {
      await this.refresh();
    }
  }

  get shows(): vscode.Uri | undefined {
    return this.view === undefined ? undefined : this.uri;
  }

  dispose(): void {
    this.view?.dispose();
  }

  private async refresh(): Promise<void> {
    if (this.uri === undefined) {
      return;
    }
    const report = await this.server.report(this.uri);
    this.report = report === undefined ? undefined : await this.withEdits(report);
    if (this.gpus.length === 0) {
      this.gpus = await this.server.gpus();
    }
    this.post({ type: "report", report: this.report ?? null, run: this.run, gpus: this.gpus });
    this.post({ type: "largest", runs: await this.server.largest(this.uri), asked: 0 });
  }

  private post(message: ToPanel): void {
    void this.view?.webview.postMessage(message);
  }

  private created(): vscode.WebviewPanel {
    const media = vscode.Uri.joinPath(this.extension, "dist");
    const view = vscode.window.createWebviewPanel(
      "vramlint.panel",
      "GPU memory",
      { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
      { enableScripts: true, localResourceRoots: [media], retainContextWhenHidden: true },
    );
    view.iconPath = vscode.Uri.joinPath(this.extension, "media", "icon.png");
    view.webview.html = page(view.webview, media);
    view.webview.onDidReceiveMessage((message: FromPanel) => this.receive(message));
    view.onDidDispose(() => {
      this.view = undefined;
    });
    return view;
  }

  private async receive(message: FromPanel): Promise<void> {
    switch (message.type) {
      case "ready":
        await this.refresh();
        break;
      case "whatIf":
        await this.whatIf(message);
        break;
      case "jump":
        if (this.report !== undefined) {
          await reveal(this.report, message.place);
        }
        break;
      case "apply":
        await this.apply(message.fix, message.at);
        break;
      case "export":
        await save(message.kind, message.content, message.name);
        break;
    }
  }

  private async whatIf(message: Extract<FromPanel, { type: "whatIf" }>): Promise<void> {
    if (this.uri === undefined) {
      return;
    }
    const { uri } = this;
    const gpu = message.gpu === "" ? undefined : message.gpu;
    const report = await this.server.report(uri, gpu, message.overrides);
    this.post({ type: "whatIf", report: report ?? null, asked: message.asked });
    this.post({ type: "largest", runs: await this.server.largest(uri, gpu, message.overrides), asked: message.asked });
  }

  /** Say of each fix whether the server has an edit for it. */
  private async withEdits(report: Report): Promise<Report> {
    const files = report.files.map(async (file) => ({
      ...file,
      findings: await Promise.all(
        file.findings.map(async (finding) => {
          const place = { line: finding.start.line, cell: finding.cell };
          const actions = finding.fixes.length === 0 ? [] : await this.actions(report, place);
          return { ...finding, fixes: finding.fixes.map((fix) => judged(fix, actions)) };
        }),
      ),
    }));
    return { ...report, files: await Promise.all(files) };
  }

  /** Apply the code action of that title; the report follows when the document has changed. */
  private async apply(fix: Fix, at: { line: number; cell: number | null }): Promise<void> {
    const actions = this.report === undefined ? [] : await this.actions(this.report, at);
    const edit = actions.find((one) => isOf(one, fix))?.edit;
    if (edit === undefined) {
      void vscode.window.showInformationMessage(`"${fix.title}" has no edit for this script; change it by hand.`);
      return;
    }
    await vscode.workspace.applyEdit(edit);
  }

  private async actions(report: Report, at: { line: number; cell: number | null }): Promise<vscode.CodeAction[]> {
    const text = at.cell === null ? this.uri?.toString() : report.cells?.[at.cell];
    if (text === undefined) {
      return [];
    }
    const uri = vscode.Uri.parse(text);
    const document = await vscode.workspace.openTextDocument(uri);
    const range = document.lineAt(Math.min(Math.max(at.line - 1, 0), document.lineCount - 1)).range;
    const kind = vscode.CodeActionKind.QuickFix.value;
    return (
      (await vscode.commands.executeCommand<vscode.CodeAction[] | undefined>(
        "vscode.executeCodeActionProvider",
        uri,
        range,
        kind,
      )) ?? []
    );
  }
}

/** Whether an action makes the change that a fix names; its title says the saving besides. */
function isOf(action: vscode.CodeAction, fix: Fix): boolean {
  return action.title.startsWith(fix.title.replace(/, then it fits$/, ""));
}

function judged(fix: Fix, actions: readonly vscode.CodeAction[]): Fix {
  const action = actions.find((one) => one.edit !== undefined && isOf(one, fix));
  return action === undefined ? fix : { ...fix, safety: action.title.endsWith("(unsafe)") ? "unsafe" : "safe" };
}

async function save(kind: string, content: string, name: string): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const file = `${name}.${ENDINGS[kind] ?? "txt"}`;
  const target = await vscode.window.showSaveDialog({
    ...(folder === undefined ? {} : { defaultUri: vscode.Uri.joinPath(folder, file) }),
    filters: { [KINDS[kind] ?? "Text"]: [ENDINGS[kind] ?? "txt"] },
  });
  if (target === undefined) {
    return;
  }
  const bytes = kind === "png" ? Buffer.from(content.replace(/^data:image\/png;base64,/, ""), "base64") : Buffer.from(content);
  await vscode.workspace.fs.writeFile(target, bytes);
}

function page(webview: vscode.Webview, media: vscode.Uri): string {
  const nonce = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("");
  const source = (name: string): string => webview.asWebviewUri(vscode.Uri.joinPath(media, name)).toString();
  const policy = `default-src 'none'; img-src data:; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GPU memory</title>
<link rel="stylesheet" href="${source("panel.css")}">
</head>
<body>
<main id="root" aria-live="polite"></main>
<script nonce="${nonce}" src="${source("panel.js")}"></script>
</body>
</html>`;
}
