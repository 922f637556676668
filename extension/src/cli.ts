/** Runs the command line of the server's own installation: for whole folders and other revisions. */

import { spawn } from "node:child_process";

import type * as vscode from "vscode";

import type { Launch } from "./launch";

export interface Answer {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The command with which the server was started, for another command of the same program. */
export function commandOf(launch: Launch, args: readonly string[]): Launch {
  const at = launch.args.lastIndexOf("lsp");
  return { ...launch, args: [...launch.args.slice(0, at), ...args] };
}

/** Run to the end, or until it is cancelled. */
export function run(launch: Launch, cwd: string, stdin: string, token?: vscode.CancellationToken): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = spawn(launch.command, launch.args, { cwd, env: { ...process.env, ...launch.env } });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    token?.onCancellationRequested(() => child.kill());
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (status) => {
      resolve({ status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
    child.stdin.end(stdin);
  });
}
