/** A run as Markdown: what the panel exports, and what a report for an issue holds. */

import { gigabytes, phaseName, verdict } from "./format";
import type { Figure, Run } from "./report";

const FIGURES: readonly Figure[] = ["allocated", "reserved", "device"];

/** The figures, phases, terms and settings of a run as tables. */
export function markdown(run: Run): string {
  const head = `## ${run.kind} at ${run.path}:${run.line}\n\n${verdict(run)}`;
  if (run.memory === null) {
    return `${head}: ${run.reason ?? ""}\n`;
  }
  const { memory } = run;
  const figures = FIGURES.map((figure) => {
    const [low, high] = memory.range[figure];
    return [figure, gigabytes(memory[figure]), `${gigabytes(low)} to ${gigabytes(high)}`];
  });
  const phases = Object.entries(memory.phases).map(([name, one]) => [
    phaseName(name),
    gigabytes(one.peak),
    gigabytes(one.end),
  ]);
  const terms = memory.terms
    .filter((term) => term.at_peak)
    .map((term) => [term.name, gigabytes(term.bytes), `\`${term.formula}\``]);
  const settings = Object.entries(run.settings).map(([name, one]) => [
    name,
    one.status === "unknown" ? "unknown" : `\`${JSON.stringify(one.value)}\``,
    one.origin?.detail ?? one.reason ?? "",
  ]);
  return [
    head,
    table(["figure", "expected", "range"], figures),
    table(["phase", "peak", "left after"], phases),
    table(["at the worst moment", "bytes", "formula"], terms),
    table(["setting", "value", "from"], settings),
    "",
  ].join("\n\n");
}

function table(names: readonly string[], rows: readonly string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(" | ")} |`;
  return [line(names), line(names.map(() => "---")), ...rows.map(line)].join("\n");
}

function escaped(cell: string): string {
  return cell.replaceAll("|", "\\|").replaceAll("\n", " ");
}
