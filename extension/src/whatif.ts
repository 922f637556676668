/** The panel's controls, and what they ask the server to assume. */

import type { Run } from "./report";

/** Overrides by the names of `--set`. */
export type Overrides = Record<string, unknown>;

export interface Choices {
  gpu: string;
  microBatch: string;
  length: string;
  optimizer: string;
  precision: string;
  checkpointing: string;
  lora: string;
  attention: string;
  worldSize: string;
  sharding: string;
}

export const UNCHANGED: Choices = {
  gpu: "",
  microBatch: "",
  length: "",
  optimizer: "",
  precision: "",
  checkpointing: "",
  lora: "",
  attention: "",
  worldSize: "",
  sharding: "",
};

/** An empty choice leaves the script's own value. */
export function overrides(choices: Choices): Overrides {
  const asked: Overrides = {};
  const count = (name: string, text: string): void => {
    const value = Number(text);
    if (text !== "" && Number.isInteger(value) && value > 0) {
      asked[name] = value;
    }
  };
  const word = (name: string, text: string): void => {
    if (text !== "") {
      asked[name] = text;
    }
  };
  count("micro_batch_size", choices.microBatch);
  count("sequence_length", choices.length);
  word("optimizer", choices.optimizer);
  word("mixed_precision", choices.precision);
  word("attention", choices.attention);
  if (choices.checkpointing !== "") {
    asked.gradient_checkpointing = choices.checkpointing === "on";
  }
  if (choices.lora !== "") {
    asked.lora = choices.lora === "none" ? null : { r: Number(choices.lora), target_modules: "all-linear" };
  }
  word("sharding.kind", choices.sharding);
  count("sharding.world_size", choices.worldSize);
  return asked;
}

/** What the script itself says, as the placeholder of a control. */
export function shown(run: Run, setting: string): string {
  const value = run.settings[setting]?.value;
  if (value === null || value === undefined) {
    return run.settings[setting]?.status === "unknown" ? "unknown" : "none";
  }
  if (typeof value === "object") {
    const table = value as Record<string, unknown>;
    const name = table.name ?? table.kind ?? table.id ?? table.class ?? table.r;
    return typeof name === "string" || typeof name === "number" ? String(name) : "on";
  }
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}
