/** What the panel and the extension host say to each other. */

import type { Fix, Gpu, Largest, Report } from "./report";
import type { Overrides } from "./whatif";

export type ToPanel =
  | { type: "report"; report: Report | null; run: number; gpus: Gpu[] }
  | { type: "whatIf"; report: Report | null; asked: number }
  | { type: "largest"; runs: Largest[]; asked: number };

export type FromPanel =
  | { type: "ready" }
  | { type: "whatIf"; gpu: string; overrides: Overrides; asked: number }
  | { type: "jump"; place: { path: string | null; cell: number | null; line: number; column: number } }
  | { type: "apply"; fix: Fix; at: { line: number; cell: number | null } }
  | { type: "export"; kind: "png" | "json" | "markdown"; content: string; name: string };
