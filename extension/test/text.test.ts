import { expect, test } from "vitest";

import { change, gigabytes, verdict } from "../src/format";
import { markdown } from "../src/markdown";
import type { Report, Run } from "../src/report";
import { worst } from "../src/runs";

const RUN: Run = {
  kind: "train",
  frameworks: ["transformers"],
  path: "train.py",
  cell: null,
  line: 7,
  settings: { model: { status: "known", value: { id: "a|b" }, values: [], reason: null, origin: null } },
  memory: {
    phase: "backward",
    allocated: 2e9,
    reserved: 3e9,
    device: 4e9,
    range: { allocated: [1e9, 3e9], reserved: [2e9, 4e9], device: [3e9, 5e9] },
    phases: { optimizer_step: { peak: 2e9, end: 1e9 } },
    terms: [
      { name: "weights", group: "weights", bytes: 1e9, formula: "P × 2 B", at_peak: true, citation: "", origin: [] },
      { name: "gone", group: "loss", bytes: 1e9, formula: "", at_peak: false, citation: "", origin: [] },
    ],
    assumptions: [],
    parameters: 1,
    trainable_parameters: 1,
  },
  reason: null,
  gpu: { name: "RTX 4090", bytes: 25e9, fits: "yes" },
};

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1500, "1.5 kB"],
  [106.2e9, "106.2 GB"],
  [2e12, "2.0 TB"],
])("%d bytes are %s", (bytes, text) => {
  expect(gigabytes(bytes)).toBe(text);
});

test("a change has a sign", () => {
  expect(change(-1e9)).toBe("−1.0 GB");
  expect(change(2e6)).toBe("+2.0 MB");
});

test("the page has every figure, the terms of the peak alone, and no broken cells", () => {
  const page = markdown(RUN);
  expect(page).toContain("fits RTX 4090");
  expect(page).toContain("| device | 4.0 GB | 3.0 GB to 5.0 GB |");
  expect(page).toContain("| optimizer step | 2.0 GB | 1.0 GB |");
  expect(page).not.toContain("gone");
  expect(page).toContain('a\\|b');
});

test("a run without a figure says why", () => {
  expect(markdown({ ...RUN, memory: null, reason: "no model was found" })).toContain("memory unknown: no model was found");
  expect(verdict({ ...RUN, gpu: null })).toBe("no GPU chosen");
});

test("the status speaks of the run that is furthest from fitting", () => {
  const other: Run = { ...RUN, line: 9, gpu: { name: "x", bytes: 1, fits: "no" } };
  const report: Report = { uri: "", documentVersion: 1, cells: null, errors: [], files: [{ path: "", runs: [RUN, other], findings: [] }] };
  expect(worst(report)?.line).toBe(9);
  expect(worst(undefined)).toBeUndefined();
});
