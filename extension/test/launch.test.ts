import { expect, test } from "vitest";

import { fromPath, fromPython, isNewEnough, parseVersion, trusted, type Options } from "../src/launch";

const OPTIONS: Options = { interpreter: [], path: [], args: ["--log-file", "x"], importStrategy: "useBundled" };

test("the bundled launcher runs under the interpreter, with its own arguments first", () => {
  const launch = fromPython({ command: ["py", "-3"], version: [3, 12] }, OPTIONS, "/ext");
  expect(launch.command).toBe("py");
  expect(launch.args).toEqual(["-3", "/ext/bundled/run.py", "lsp", "--log-file", "x"]);
  expect(launch.env.VRAMLINT_IMPORT_STRATEGY).toBe("useBundled");
});

test("a path of one's own needs no interpreter", () => {
  expect(fromPath(OPTIONS)).toBeUndefined();
  expect(fromPath({ ...OPTIONS, path: ["/bin/vramlint", "-v"] })?.args).toEqual(["-v", "lsp", "--log-file", "x"]);
});

test("a folder that is not trusted chooses nothing that runs", () => {
  const chosen: Options = { interpreter: ["evil"], path: ["evil"], args: ["evil"], importStrategy: "fromEnvironment" };
  expect(trusted(chosen, false)).toEqual({ interpreter: [], path: [], args: [], importStrategy: "useBundled" });
  expect(trusted(chosen, true)).toBe(chosen);
});

test.each([
  ["3.11\n", true],
  ["3.14", true],
  ["4.0", true],
  ["3.10", false],
  ["2.7", false],
])("Python %s runs the server: %s", (text, answer) => {
  const version = parseVersion(text);
  expect(version !== undefined && isNewEnough(version)).toBe(answer);
});

test("what is no version is none", () => {
  expect(parseVersion("command not found")).toBeUndefined();
});
