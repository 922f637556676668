/** The document that the panel and the status speak of, and places in it. */

import * as vscode from "vscode";

import type { Report } from "./report";

const LANGUAGES = new Set(["python", "yaml", "shellscript"]);

/** The notebook or script that is being edited; undefined for anything that the server does not read. */
export function activeUri(): vscode.Uri | undefined {
  const notebook = vscode.window.activeNotebookEditor?.notebook;
  if (notebook !== undefined) {
    return notebook.uri;
  }
  const document = vscode.window.activeTextEditor?.document;
  return document !== undefined && LANGUAGES.has(document.languageId) ? document.uri : undefined;
}

/** Columns of the report are code points, those of the editor UTF-16 units. */
export function unitsBefore(line: string, codePoints: number): number {
  return Array.from(line).slice(0, codePoints).join("").length;
}

/** Show a place of a report: a line of the document itself, of one of its cells, or of a file beside it. */
export async function reveal(
  report: Report,
  place: { path: string | null; cell: number | null; line: number; column: number },
): Promise<void> {
  const document = await opened(report, place.path, place.cell);
  const line = Math.min(Math.max(place.line - 1, 0), document.lineCount - 1);
  const at = new vscode.Position(line, unitsBefore(document.lineAt(line).text, place.column));
  const selection = new vscode.Range(at, at);
  const cell = place.cell === null ? undefined : report.cells?.[place.cell];
  if (cell === undefined) {
    await vscode.window.showTextDocument(document, { selection, viewColumn: vscode.ViewColumn.One });
    return;
  }
  const notebook = vscode.workspace.notebookDocuments.find((one) =>
    one.getCells().some((each) => each.document.uri.toString() === cell),
  );
  if (notebook === undefined || place.cell === null) {
    return;
  }
  const editor = await vscode.window.showNotebookDocument(notebook, { viewColumn: vscode.ViewColumn.One });
  const range = new vscode.NotebookRange(place.cell, place.cell + 1);
  editor.revealRange(range, vscode.NotebookEditorRevealType.InCenterIfOutsideViewport);
  editor.selection = range;
}

async function opened(report: Report, path: string | null, cell: number | null): Promise<vscode.TextDocument> {
  const uri = cell === null ? undefined : report.cells?.[cell];
  if (uri !== undefined) {
    return vscode.workspace.openTextDocument(vscode.Uri.parse(uri));
  }
  const own = vscode.Uri.parse(report.uri);
  const isOwn = path === null || path === report.files[0]?.path;
  return vscode.workspace.openTextDocument(isOwn ? own : besides(own, path));
}

function besides(own: vscode.Uri, path: string): vscode.Uri {
  if (/^(\/|[A-Za-z]:)/.test(path)) {
    return own.with({ path: vscode.Uri.file(path).path });
  }
  const folder = vscode.workspace.getWorkspaceFolder(own)?.uri ?? vscode.Uri.joinPath(own, "..");
  return vscode.Uri.joinPath(folder, path);
}
