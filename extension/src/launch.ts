/** Which command starts the server: pure decisions, so that they can be tested without an editor. */

import * as path from "node:path";

/** The oldest Python that runs the server. */
export const OLDEST: readonly [number, number] = [3, 11];

export interface Options {
  interpreter: readonly string[];
  path: readonly string[];
  args: readonly string[];
  importStrategy: "useBundled" | "fromEnvironment";
}

export interface Python {
  command: readonly string[];
  version: readonly [number, number];
}

export interface Launch {
  command: string;
  args: string[];
  env: Record<string, string>;
}

/** What a folder that is not trusted may not choose falls back to what is bundled. */
export function trusted(options: Options, isTrusted: boolean): Options {
  return isTrusted ? options : { interpreter: [], path: [], args: [], importStrategy: "useBundled" };
}

/** The command of an own `path`, which needs no interpreter of ours. */
export function fromPath(options: Options): Launch | undefined {
  const [command, ...rest] = options.path;
  return command === undefined ? undefined : { command, args: [...rest, "lsp", ...options.args], env: {} };
}

/** The bundled launcher under an interpreter; it puts the bundled packages before or behind those of the environment. */
export function fromPython(python: Python, options: Options, extension: string): Launch {
  const [command = "python3", ...rest] = python.command;
  return {
    command,
    args: [...rest, path.join(extension, "bundled", "run.py"), "lsp", ...options.args],
    env: {
      VRAMLINT_IMPORT_STRATEGY: options.importStrategy,
      PYTHONDONTWRITEBYTECODE: "",
      PYTHONUTF8: "1",
    },
  };
}

/** Whether a version runs the server. */
export function isNewEnough(version: readonly [number, number]): boolean {
  return version[0] > OLDEST[0] || (version[0] === OLDEST[0] && version[1] >= OLDEST[1]);
}

/** `3.12` as numbers; undefined for anything else that an interpreter may print. */
export function parseVersion(text: string): [number, number] | undefined {
  const found = /^(\d+)\.(\d+)/.exec(text.trim());
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}
