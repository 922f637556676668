/** The settings of the extension, as the server and the launch read them. */

import * as vscode from "vscode";

import type { Options } from "./launch";

/** Settings that change how the server is started. */
export const STARTING = ["interpreter", "path", "args", "importStrategy"].map((name) => `vramlint.${name}`);

/** What starts the server, for a folder. */
export function launchOptions(folder: vscode.Uri | undefined): Options {
  const settings = vscode.workspace.getConfiguration("vramlint", folder);
  return {
    interpreter: settings.get<string[]>("interpreter", []),
    path: settings.get<string[]>("path", []),
    args: settings.get<string[]>("args", []),
    importStrategy: settings.get<Options["importStrategy"]>("importStrategy", "useBundled"),
  };
}

/** Everything under `vramlint`, for the first request; afterwards the server asks for each folder. */
export function serverOptions(): Record<string, unknown> {
  return { ...vscode.workspace.getConfiguration("vramlint") };
}
