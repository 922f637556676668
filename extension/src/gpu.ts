/** Choosing the GPU: the catalogue, "detect", or a size of one's own. */

import * as vscode from "vscode";

import { gigabytes } from "./format";
import type { Gpu } from "./report";

const DETECT = "Detect on this machine";
const CUSTOM = "Another size…";

/** Ask for a GPU; an empty text means to detect it, undefined that nothing was chosen. */
export async function askForGpu(gpus: readonly Gpu[]): Promise<string | undefined> {
  const separator = { kind: vscode.QuickPickItemKind.Separator };
  const item = (gpu: Gpu): vscode.QuickPickItem => ({ label: gpu.name, description: gigabytes(gpu.bytes) });
  const chosen = await vscode.window.showQuickPick<vscode.QuickPickItem>(
    [
      { label: DETECT, description: "with nvidia-smi" },
      { label: CUSTOM, description: "such as 24GB" },
      { ...separator, label: "common" },
      ...gpus.filter((gpu) => gpu.common).map(item),
      { ...separator, label: "all" },
      ...gpus.filter((gpu) => !gpu.common).map(item),
    ],
    { title: "The GPU that the training must fit", matchOnDescription: true },
  );
  if (chosen?.label === CUSTOM) {
    return vscode.window.showInputBox({
      title: "Memory of the GPU",
      value: "24GB",
      validateInput: (text) => (/^\d+(\.\d+)?\s*G(i?)B$/i.test(text.trim()) ? undefined : "Write a size such as 24GB."),
    });
  }
  return chosen?.label === DETECT ? "" : chosen?.label;
}

/** Keep the choice for the workspace where there is one, else for the person. */
export async function keepGpu(name: string): Promise<void> {
  const target =
    vscode.workspace.workspaceFolders === undefined
      ? vscode.ConfigurationTarget.Global
      : vscode.ConfigurationTarget.Workspace;
  await vscode.workspace.getConfiguration("vramlint").update("gpu", name === "" ? undefined : name, target);
}
