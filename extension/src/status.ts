/** The status item: the GPU and the verdict of the active file; a click chooses the GPU. */

import * as vscode from "vscode";

import { gigabytes, verdict } from "./format";
import type { Report } from "./report";
import { worst } from "./runs";

export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("vramlint.status", vscode.StatusBarAlignment.Right, 90);
  private readonly language = vscode.languages.createLanguageStatusItem("vramlint", ["python", "yaml", "shellscript"]);

  constructor(version: string) {
    this.item.name = "vramlint: GPU memory";
    this.item.command = "vramlint.selectGpu";
    this.language.name = "vramlint";
    this.language.text = `vramlint ${version}`;
    this.language.command = { command: "vramlint.showLogs", title: "Open logs" };
  }

  /** Show what the worst run of a file needs; nothing for a file that trains nothing. */
  show(report: Report | undefined): void {
    const run = worst(report);
    if (run === undefined) {
      this.item.hide();
      return;
    }
    const peak = run.memory === null ? "?" : gigabytes(run.memory.device);
    const icon = run.gpu?.fits === "no" ? "$(error)" : run.gpu?.fits === "maybe" ? "$(warning)" : "$(chip)";
    this.item.text = `${icon} ${peak} · ${run.gpu?.name ?? "choose a GPU"}`;
    this.item.tooltip = `vramlint: ${verdict(run)}; ${peak} on the device. Click to choose the GPU.`;
    this.item.accessibilityInformation = { label: this.item.tooltip };
    this.item.show();
  }

  busy(isBusy: boolean, detail = ""): void {
    this.language.busy = isBusy;
    this.language.detail = detail;
  }

  fail(detail: string): void {
    this.language.severity = vscode.LanguageStatusSeverity.Error;
    this.language.detail = detail;
  }

  dispose(): void {
    this.item.dispose();
    this.language.dispose();
  }
}
