/** The server's JSON report, as far as the extension reads it (docs/json.md, docs/language-server.md). */

export type Group =
  | "weights"
  | "gradients"
  | "optimizer"
  | "activations"
  | "loss"
  | "temporaries"
  | "inputs"
  | "extra-models"
  | "runtime";

/** Lines count from 1, columns from 0 in code points; `cell` counts all cells of a notebook from 0. */
export interface Place {
  path: string | null;
  cell: number | null;
  line: number | null;
  column: number | null;
}

export interface Origin extends Place {
  kind: string;
  detail: string;
}

export interface Setting {
  status: "known" | "one-of" | "unknown";
  value: unknown;
  values: unknown[];
  reason: string | null;
  origin: Origin | null;
}

export interface Term {
  name: string;
  group: Group;
  bytes: number;
  formula: string;
  at_peak: boolean;
  citation: string;
  origin: Origin[];
}

/** What is allocated at one moment, part by part, in bytes. */
export interface Point {
  phase: string;
  step: number;
  bytes: Partial<Record<Group, number>>;
}

export type Figure = "allocated" | "reserved" | "device";

export interface Memory {
  phase: string;
  allocated: number;
  reserved: number;
  device: number;
  range: Record<Figure, [number, number]>;
  phases: Record<string, { peak: number; end: number }>;
  terms: Term[];
  course?: Point[];
  assumptions: string[];
  parameters: number;
  trainable_parameters: number;
}

export type Fits = "yes" | "no" | "maybe" | "unknown";

export interface Run {
  kind: string;
  frameworks: string[];
  path: string;
  cell: number | null;
  line: number;
  settings: Record<string, Setting>;
  memory: Memory | null;
  reason: string | null;
  gpu: { name: string; bytes: number; fits: Fits } | null;
}

export interface Position {
  line: number;
  column: number;
}

export interface Fix {
  title: string;
  saving: number;
  safety: "safe" | "unsafe" | "display";
  edits: unknown[];
}

export interface Finding {
  rule: string;
  severity: "error" | "warning" | "info" | "hint";
  message: string;
  path: string;
  cell: number | null;
  start: Position;
  end: Position;
  fixes: Fix[];
  run: number | null;
}

export interface FileReport {
  path: string;
  runs: Run[];
  findings: Finding[];
}

export interface Report {
  uri: string;
  documentVersion: number | null;
  cells: string[] | null;
  errors: string[];
  files: FileReport[];
}

/** The largest amounts that fit a run's GPU; 0 where not even one does, null where nothing bounds it. */
export interface Largest {
  micro_batch_size?: number | null;
  sequence_length?: number | null;
}

export interface Gpu {
  name: string;
  bytes: number;
  common: boolean;
}
