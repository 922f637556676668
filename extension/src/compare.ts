/** "Compare with the last commit": the memory of each run before and after what was changed since. */

import { execFile } from "node:child_process";
import * as path from "node:path";
import { promisify } from "node:util";

import * as vscode from "vscode";

import { commandOf, run } from "./cli";
import { change, gigabytes } from "./format";
import type { Launch } from "./launch";
import type { FileReport, Report, Run } from "./report";
import { commandLine } from "./settings";

const execute = promisify(execFile);
const CHECK = ["check", "-", "--format", "json", "--fail-on", "never"];

/** Show a page with the difference; the committed text is read from git, nothing is checked out. */
export async function compareWithCommit(launch: Launch, uri: vscode.Uri, now: Report): Promise<void> {
  const folder = path.dirname(uri.fsPath);
  let committed: string;
  try {
    const name = `HEAD:./${path.basename(uri.fsPath)}`;
    ({ stdout: committed } = await execute("git", ["show", name], { cwd: folder, maxBuffer: 2 ** 26 }));
  } catch {
    void vscode.window.showInformationMessage("vramlint: this file is not in the last commit of a git repository.");
    return;
  }
  const answer = await run(commandOf(launch, [...CHECK, ...commandLine(uri)]), folder, committed);
  const before = (JSON.parse(answer.stdout) as { files: FileReport[] }).files.flatMap((file) => file.runs);
  const after = now.files.flatMap((file) => file.runs);
  const document = await vscode.workspace.openTextDocument({ language: "markdown", content: page(before, after) });
  await vscode.window.showTextDocument(document, { preview: true, viewColumn: vscode.ViewColumn.Beside });
}

/** The difference of runs, matched by their order, as Markdown. */
export function page(before: readonly Run[], after: readonly Run[]): string {
  const count = Math.max(before.length, after.length);
  const parts = Array.from({ length: count }, (_, index) => section(before[index], after[index]));
  return ["# GPU memory since the last commit", ...parts, ""].join("\n\n");
}

function section(before: Run | undefined, after: Run | undefined): string {
  if (after === undefined) {
    return `## ${before?.kind ?? "run"} that was at line ${before?.line ?? 0}\n\nIt is gone.`;
  }
  const title = `## ${after.kind} at line ${after.line}`;
  if (before?.memory == null || after.memory === null) {
    return `${title}\n\n${after.memory === null ? "The memory cannot be said." : `New: ${gigabytes(after.memory.device)} on the device.`}`;
  }
  const [old, now] = [before.memory, after.memory];
  const names = [...new Set([...old.terms, ...now.terms].map((term) => term.name))];
  const bytes = (run: typeof old, name: string): number =>
    run.terms.filter((term) => term.at_peak && term.name === name).reduce((sum, term) => sum + term.bytes, 0);
  const moved = names
    .map((name) => ({ name, before: bytes(old, name), after: bytes(now, name) }))
    .filter((term) => term.before !== term.after)
    .sort((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before));
  const rows = moved.map(
    (term) => `| ${term.name} | ${gigabytes(term.before)} | ${gigabytes(term.after)} | ${change(term.after - term.before)} |`,
  );
  const line = `Device memory ${gigabytes(old.device)} → ${gigabytes(now.device)} (${change(now.device - old.device)}).`;
  return rows.length === 0
    ? `${title}\n\n${line}`
    : [title, line, ["| at the worst moment | before | now | change |", "|---|---|---|---|", ...rows].join("\n")].join("\n\n");
}
