/** Which run of a file is spoken of where there is room for one. */

import type { Report, Run } from "./report";

const ORDER = ["no", "maybe", "unknown", "yes"];

/** The run that is furthest from fitting; where none has a verdict, the one that needs most. */
export function worst(report: Report | undefined): Run | undefined {
  const runs = report?.files.flatMap((file) => file.runs) ?? [];
  const rank = (run: Run): number => ORDER.indexOf(run.gpu?.fits ?? "unknown");
  return [...runs].sort((a, b) => rank(a) - rank(b) || (b.memory?.device ?? 0) - (a.memory?.device ?? 0))[0];
}
