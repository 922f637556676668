import { expect, test } from "vitest";

import type { Run, Setting } from "../src/report";
import { overrides, shown, UNCHANGED } from "../src/whatif";

function run(settings: Record<string, Partial<Setting>>): Run {
  const full = Object.fromEntries(
    Object.entries(settings).map(([name, one]) => [
      name,
      { status: "known", value: null, values: [], reason: null, origin: null, ...one } satisfies Setting,
    ]),
  );
  return { kind: "train", frameworks: [], path: "a.py", cell: null, line: 1, settings: full, memory: null, reason: null, gpu: null };
}

test("nothing chosen asks for nothing", () => {
  expect(overrides(UNCHANGED)).toEqual({});
});

test("choices have the names and shapes of --set", () => {
  const asked = overrides({ ...UNCHANGED, microBatch: "2", optimizer: "sgd", checkpointing: "off", lora: "16", sharding: "zero3", worldSize: "8" });
  expect(asked).toEqual({
    micro_batch_size: 2,
    optimizer: "sgd",
    gradient_checkpointing: false,
    lora: { r: 16, target_modules: "all-linear" },
    "sharding.kind": "zero3",
    "sharding.world_size": 8,
  });
  expect(overrides({ ...UNCHANGED, lora: "none" })).toEqual({ lora: null });
});

test.each(["0", "-1", "1.5", "many"])("%s is no batch", (text) => {
  expect(overrides({ ...UNCHANGED, microBatch: text })).toEqual({});
});

test("the script's own values are shown by their names", () => {
  const one = run({ optimizer: { value: { name: "adamw_torch" } }, lora: { value: null }, batch: { status: "unknown" }, length: { value: 8 } });
  expect(shown(one, "optimizer")).toBe("adamw_torch");
  expect(shown(one, "lora")).toBe("none");
  expect(shown(one, "batch")).toBe("unknown");
  expect(shown(one, "length")).toBe("8");
});
