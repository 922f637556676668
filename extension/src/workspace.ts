/** "Check workspace": every script and notebook of the folders, as entries of the Problems view. */

import * as vscode from "vscode";

import { commandOf, run } from "./cli";
import { unitsBefore } from "./documents";
import type { Launch } from "./launch";
import type { FileReport, Finding } from "./report";
import { commandLine } from "./settings";

const SEVERITIES = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  info: vscode.DiagnosticSeverity.Information,
  hint: vscode.DiagnosticSeverity.Hint,
};

/** Check all folders; what is open is left to the server, which knows its unsaved text. */
export async function checkWorkspace(launch: Launch, problems: vscode.DiagnosticCollection): Promise<void> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: "vramlint: checking the workspace", cancellable: true },
    async (progress, token) => {
      problems.clear();
      let count = 0;
      for (const folder of folders) {
        progress.report({ message: folder.name });
        const files = await check(launch, folder, token);
        if (token.isCancellationRequested) {
          return;
        }
        for (const file of files) {
          count += await publish(folder, file, problems);
        }
      }
      void vscode.window.setStatusBarMessage(`vramlint: ${count} findings in the workspace`, 5000);
      if (count > 0) {
        await vscode.commands.executeCommand("workbench.actions.view.problems");
      }
    },
  );
}

async function check(
  launch: Launch,
  folder: vscode.WorkspaceFolder,
  token: vscode.CancellationToken,
): Promise<FileReport[]> {
  const command = commandOf(launch, [
    ...["check", ".", "--format", "json", "--fail-on", "never"],
    ...commandLine(folder.uri),
  ]);
  const answer = await run(command, folder.uri.fsPath, "", token);
  try {
    return (JSON.parse(answer.stdout) as { files: FileReport[] }).files;
  } catch {
    if (!token.isCancellationRequested) {
      void vscode.window.showErrorMessage(`vramlint could not check ${folder.name}: ${answer.stderr.trim()}`);
    }
    return [];
  }
}

async function publish(
  folder: vscode.WorkspaceFolder,
  file: FileReport,
  problems: vscode.DiagnosticCollection,
): Promise<number> {
  const uri = vscode.Uri.joinPath(folder.uri, file.path);
  const isOpen = vscode.workspace.textDocuments.some((one) => one.uri.path === uri.path);
  if (file.findings.length === 0 || isOpen) {
    return file.findings.length;
  }
  const own = file.findings.filter((finding) => finding.path === file.path && finding.cell === null);
  const lines = own.length === 0 ? [] : (await vscode.workspace.fs.readFile(uri)).toString().split(/\r\n|\r|\n/);
  problems.set(uri, file.findings.map((finding) => diagnostic(finding, lines)));
  return file.findings.length;
}

function diagnostic(finding: Finding, lines: readonly string[]): vscode.Diagnostic {
  const position = (place: { line: number; column: number }): vscode.Position =>
    new vscode.Position(Math.max(place.line - 1, 0), unitsBefore(lines[place.line - 1] ?? "", place.column));
  const where = finding.cell === null ? "" : `cell ${finding.cell + 1}: `;
  const made = new vscode.Diagnostic(
    new vscode.Range(position(finding.start), position(finding.end)),
    where + finding.message,
    SEVERITIES[finding.severity],
  );
  made.source = "vramlint";
  made.code = finding.rule;
  return made;
}
