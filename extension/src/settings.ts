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

/** The options of a folder as the command line takes them. */
export function commandLine(folder: vscode.Uri): string[] {
  const settings = vscode.workspace.getConfiguration("vramlint", folder);
  const named = ["gpu", "worldSize", "reserve"].flatMap((name) => {
    const value = settings.get<string | number | null>(name, null);
    const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return value === null || value === "" ? [] : [option, String(value)];
  });
  const assumed = Object.entries(settings.get<Record<string, unknown>>("set", {}));
  return [...named, ...assumed.flatMap(([name, value]) => ["--set", `${name}=${JSON.stringify(value)}`])];
}

/** Everything under `vramlint`, for the first request; afterwards the server asks for each folder. */
export function serverOptions(): Record<string, unknown> {
  return { ...vscode.workspace.getConfiguration("vramlint") };
}
