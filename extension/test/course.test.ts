import { expect, test } from "vitest";

import { bands, stacked } from "../src/course";
import type { Point } from "../src/report";

const POINTS: Point[] = [
  { phase: "load", step: 0, bytes: { weights: 10 } },
  { phase: "forward", step: 1, bytes: { weights: 10, activations: 5 } },
  { phase: "forward", step: 1, bytes: { weights: 10, activations: 9 } },
  { phase: "optimizer_step", step: 1, bytes: { weights: 10, optimizer: 20 } },
];

test("each area stands on the one below, and the highest edge is the sum", () => {
  const series = stacked(POINTS);
  expect(series.map((one) => one.group)).toEqual(["weights", "optimizer", "activations"]);
  expect(series.at(-1)?.tops).toEqual([10, 15, 19, 30]);
});

test("parts that are never there have no area", () => {
  expect(stacked(POINTS).some((one) => one.group === "loss")).toBe(false);
  expect(stacked([])).toEqual([]);
});

test("equal phases of one step are one stretch", () => {
  expect(bands(POINTS)).toEqual([
    { label: "load", from: 0, to: 1 },
    { label: "fwd 1", from: 1, to: 3 },
    { label: "step 1", from: 3, to: 4 },
  ]);
});
