/** Finds a Python for the server: the setting, the Python Environments extension, the Python extension, the PATH. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import * as vscode from "vscode";

import { isNewEnough, parseVersion, type Options, type Python } from "./launch";

const run = promisify(execFile);
const PATIENCE = 5000;

/** The first interpreter of the right age, and each that was looked at and was too old or did not start. */
export interface Search {
  python: Python | undefined;
  refused: string[];
}

interface EnvironmentsApi {
  getEnvironment(scope: vscode.Uri | undefined): Promise<{ execInfo?: { run?: { executable?: string } } } | undefined>;
}

interface PythonApi {
  environments: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath: vscode.Event<{ path: string }>;
  };
}

/** Look in the order that people expect; a setting that does not work is not silently passed over. */
export async function findPython(options: Options, folder: vscode.Uri | undefined): Promise<Search> {
  const refused: string[] = [];
  for await (const command of candidates(options, folder)) {
    const version = await versionOf(command);
    if (version !== undefined && isNewEnough(version)) {
      return { python: { command, version }, refused };
    }
    refused.push(`${command.join(" ")}: ${version === undefined ? "does not start" : `Python ${version.join(".")}`}`);
    if (options.interpreter.length > 0) {
      break;
    }
  }
  return { python: undefined, refused };
}

async function* candidates(options: Options, folder: vscode.Uri | undefined): AsyncGenerator<readonly string[]> {
  if (options.interpreter.length > 0) {
    yield options.interpreter;
    return;
  }
  if (vscode.workspace.isTrusted) {
    for (const find of [fromEnvironments, fromPythonExtension]) {
      const found = await find(folder);
      if (found !== undefined) {
        yield [found];
      }
    }
  }
  yield* process.platform === "win32" ? [["py", "-3"], ["python"]] : [["python3"], ["python"]];
}

async function fromEnvironments(folder: vscode.Uri | undefined): Promise<string | undefined> {
  const api = await activated<EnvironmentsApi>("ms-python.vscode-python-envs");
  return (await api?.getEnvironment(folder))?.execInfo?.run?.executable;
}

async function fromPythonExtension(folder: vscode.Uri | undefined): Promise<string | undefined> {
  const api = await activated<PythonApi>("ms-python.python");
  if (api === undefined) {
    return undefined;
  }
  const found = await api.environments.resolveEnvironment(api.environments.getActiveEnvironmentPath(folder));
  return found?.executable.uri?.fsPath;
}

/** The public part of another extension; undefined where it is not installed or fails. */
async function activated<Api>(id: string): Promise<Api | undefined> {
  const extension = vscode.extensions.getExtension<Api>(id);
  try {
    return await extension?.activate();
  } catch {
    return undefined;
  }
}

/** Call back when another environment is chosen in the Python extension. */
export async function onEnvironmentChange(listener: () => void): Promise<vscode.Disposable | undefined> {
  const api = await activated<PythonApi>("ms-python.python");
  let last = api?.environments.getActiveEnvironmentPath().path;
  return api?.environments.onDidChangeActiveEnvironmentPath((event) => {
    if (event.path !== last) {
      last = event.path;
      listener();
    }
  });
}

async function versionOf(command: readonly string[]): Promise<[number, number] | undefined> {
  const [executable, ...rest] = command;
  if (executable === undefined) {
    return undefined;
  }
  const program = "import sys; print('%d.%d' % sys.version_info[:2])";
  try {
    const { stdout } = await run(executable, [...rest, "-c", program], { timeout: PATIENCE });
    return parseVersion(stdout);
  } catch {
    return undefined;
  }
}
