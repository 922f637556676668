/** Bytes and verdicts as a person reads them: GB is 10⁹ bytes, as in the server's own text. */

import type { Fits, Run } from "./report";

const UNITS: readonly [number, string][] = [
  [1e12, "TB"],
  [1e9, "GB"],
  [1e6, "MB"],
  [1e3, "kB"],
];

/** Bytes with one decimal in the largest unit that they fill. */
export function gigabytes(bytes: number): string {
  const unit = UNITS.find(([size]) => Math.abs(bytes) >= size);
  return unit === undefined ? `${bytes} B` : `${(bytes / unit[0]).toFixed(1)} ${unit[1]}`;
}

/** A change in bytes, with its sign. */
export function change(bytes: number): string {
  return `${bytes < 0 ? "−" : "+"}${gigabytes(Math.abs(bytes))}`;
}

const VERDICTS: Record<Fits, string> = {
  yes: "fits",
  no: "does not fit",
  maybe: "may not fit",
  unknown: "verdict unknown",
};

/** One line for a run: its GPU and whether it fits. */
export function verdict(run: Run): string {
  if (run.memory === null) {
    return "memory unknown";
  }
  return run.gpu === null ? "no GPU chosen" : `${VERDICTS[run.gpu.fits]} ${run.gpu.name}`;
}

/** The name of a phase as the server's text has it. */
export function phaseName(phase: string): string {
  return phase.replace("_", " ");
}
