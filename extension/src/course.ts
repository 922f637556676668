/** From the course of the memory to the stacked series that the chart draws. */

import type { Group, Point } from "./report";

/** From the bottom up: what stays longest lies lowest. */
export const GROUPS: readonly Group[] = [
  "runtime",
  "weights",
  "extra-models",
  "optimizer",
  "gradients",
  "inputs",
  "activations",
  "loss",
  "temporaries",
];

export interface Series {
  group: Group;
  /** The upper edge of the area at each point, in bytes. */
  tops: number[];
}

export interface Band {
  label: string;
  /** Indices of points, the end exclusive. */
  from: number;
  to: number;
}

/** The upper edges of the parts that are ever there, the lowest first. */
export function stacked(points: readonly Point[]): Series[] {
  const below = points.map(() => 0);
  const present = GROUPS.filter((group) => points.some((point) => (point.bytes[group] ?? 0) > 0));
  return present.map((group) => ({
    group,
    tops: points.map((point, index) => (below[index] = (below[index] ?? 0) + (point.bytes[group] ?? 0))),
  }));
}

const SHORT: Record<string, string> = { forward: "fwd", backward: "bwd", optimizer_step: "step" };

/** Stretches of equal phase and step, for the labels under the chart. */
export function bands(points: readonly Point[]): Band[] {
  const found: Band[] = [];
  points.forEach((point, index) => {
    const name = SHORT[point.phase] ?? point.phase;
    const label = point.step === 0 ? name : `${name} ${point.step}`;
    const last = found.at(-1);
    if (last?.label === label) {
      last.to = index + 1;
    } else {
      found.push({ label, from: index, to: index + 1 });
    }
  });
  return found;
}
