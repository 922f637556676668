/** The panel's page: draws the report it is given, and asks for what is chosen in it. */

import "uplot/dist/uPlot.min.css";
import "./panel.css";

import { change, gigabytes, phaseName, verdict } from "../format";
import { markdown } from "../markdown";
import type { FromPanel, ToPanel } from "../messages";
import type { Figure, Fix, Gpu, Largest, Origin, Report, Run, Term } from "../report";
import { overrides, shown, UNCHANGED, type Choices } from "../whatif";
import { colorOf, draw } from "./chart";
import { button, choice, element, number, table } from "./dom";
import { stacked } from "../course";

const PATIENCE = 250; // milliseconds after the last keystroke in a control
const MANY = 5; // a term of a smaller share is not listed on its own
const FIGURES: readonly (readonly [Figure, string])[] = [
  ["allocated", "torch.cuda.max_memory_allocated"],
  ["reserved", "with rounding and fragmentation"],
  ["device", "what nvidia-smi shows"],
];
const OPTIMIZERS = ["adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit", "paged_adamw_8bit", "adafactor", "lion_32bit", "sgd"];

const host = acquireVsCodeApi();
const root = document.getElementById("root") ?? document.body;

let report: Report | null = null;
let selected = 0;
let gpus: Gpu[] = [];
let choices: Choices = { ...UNCHANGED };
let asked = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let assumed: Run | null = null;

function send(message: FromPanel): void {
  host.postMessage(message);
}

window.addEventListener("message", (event: MessageEvent<ToPanel>) => {
  const message = event.data;
  if (message.type === "largest") {
    if (message.asked === (hasChoices() ? asked : 0)) {
      largest(message.runs[selected]);
    }
    return;
  }
  if (message.type === "whatIf") {
    if (message.asked === asked) {
      assumed = runs(message.report)[selected] ?? null;
      outcome(message.report);
    }
    return;
  }
  const isOther = report?.uri !== message.report?.uri;
  if (isOther) {
    choices = { ...UNCHANGED };
    assumed = null;
  }
  report = message.report;
  gpus = message.gpus;
  selected = Math.min(message.run, Math.max(runs(report).length - 1, 0));
  render();
  if (!isOther && hasChoices()) {
    ask();
  }
});

function runs(one: Report | null): Run[] {
  return one?.files.flatMap((file) => file.runs) ?? [];
}

function hasChoices(): boolean {
  return Object.values(choices).some((value) => value !== "");
}

function render(): void {
  const run = runs(report)[selected];
  if (report === null) {
    root.replaceChildren(element("p", {}, "The server does not run; see the log of vramlint."));
    return;
  }
  if (run === undefined) {
    const said = report.errors.length > 0 ? report.errors.join("; ") : "Nothing in this file trains or generates.";
    root.replaceChildren(element("p", {}, said));
    return;
  }
  const parts: (HTMLElement | null)[] = [head(run)];
  if (run.memory === null) {
    parts.push(element("p", {}, `The memory cannot be said: ${run.reason ?? "no reason was given"}`));
  } else {
    parts.push(figures(run), element("h2", {}, "Memory over the first steps"), chart(run), whatIf(run), fixes(), terms(run), phases(run), assumptions(run));
  }
  parts.push(settings(run), exports_(run));
  root.replaceChildren(...parts.filter((part) => part !== null));
  const place = document.getElementById("chart");
  if (place !== null) {
    draw(place, run);
  }
}

function head(run: Run): HTMLElement {
  const all = runs(report);
  const fits = run.gpu?.fits ?? "unknown";
  const pick =
    all.length > 1
      ? choice("Run", all.map((one, index) => [String(index), `line ${one.line}: ${one.kind}`] as const), String(selected), (value) => {
          selected = Number(value);
          assumed = null;
          render();
        })
      : null;
  return element(
    "header",
    {},
    element("h1", {}, `${run.kind} at ${run.path.split("/").at(-1) ?? run.path}:${run.line}`),
    element("div", { class: "row" }, element("span", { class: `verdict verdict-${fits}` }, verdict(run)), pick),
  );
}

function figures(run: Run): HTMLElement {
  const { memory } = run;
  return element(
    "div",
    { class: "figures" },
    ...FIGURES.map(([name, meaning]) => {
      const [low, high] = memory?.range[name] ?? [0, 0];
      return element(
        "div",
        { class: "figure" },
        element("span", { class: "faint" }, name),
        element("strong", {}, gigabytes(memory?.[name] ?? 0)),
        element("span", { class: "faint" }, `${gigabytes(low)} to ${gigabytes(high)}; ${meaning}`),
      );
    }),
  );
}

function chart(run: Run): HTMLElement {
  const parts = stacked(run.memory?.course ?? []).reverse();
  const legend = parts.map((part) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = colorOf(part.group);
    return element("span", {}, swatch, part.group);
  });
  const limit = run.gpu === null ? "" : `, against the ${run.gpu.name}'s ${gigabytes(run.gpu.bytes)}`;
  return element(
    "figure",
    { style: undefined },
    element("div", { id: "chart", role: "img", "aria-label": `Allocated memory over loading and two training steps, peak ${gigabytes(run.memory?.allocated ?? 0)} in the phase ${phaseName(run.memory?.phase ?? "")}${limit}. The tables below have the figures.` }),
    element("figcaption", { class: "legend" }, ...legend),
  );
}

function where(origin: Origin | undefined): HTMLElement | string {
  if (origin?.line === null || origin === undefined) {
    return origin?.detail ?? "";
  }
  const { path, cell, line, column } = origin;
  const file = path === null || path === report?.files[0]?.path ? "" : `${path.split("/").at(-1) ?? path} `;
  return button(
    cell === null ? `${file}line ${line}` : `cell ${cell + 1}, line ${line}`,
    () => {
      send({ type: "jump", place: { path, cell, line, column: column ?? 0 } });
    },
    { class: "link", title: origin.detail },
  );
}

function bar(term: Term, largest: number): HTMLElement {
  const filled = element("span");
  filled.style.width = `${Math.max((100 * term.bytes) / largest, 0.5)}%`;
  filled.style.background = colorOf(term.group);
  return element("div", { class: "bar", "aria-hidden": "true" }, filled);
}

function terms(run: Run): HTMLElement {
  const atPeak = run.memory?.terms.filter((term) => term.at_peak) ?? [];
  const largest = Math.max(...atPeak.map((term) => term.bytes), 1);
  const listed = atPeak.filter((term) => term.bytes * 1000 >= largest * MANY);
  const rest = atPeak.filter((term) => !listed.includes(term)).reduce((sum, term) => sum + term.bytes, 0);
  const rows = listed.map((term) => [
    element("span", { title: term.citation }, term.name),
    gigabytes(term.bytes),
    bar(term, largest),
    element("code", {}, term.formula),
    where(term.origin[0]),
  ]);
  if (rest > 0) {
    rows.push([element("span", {}, "smaller ones"), gigabytes(rest), element("span"), element("code"), ""]);
  }
  return element(
    "section",
    {},
    element("h2", {}, `What is allocated at the worst moment, in the ${phaseName(run.memory?.phase ?? "")}`),
    table("Terms of the peak", ["what", "bytes", "share", "formula", "because of"], rows),
  );
}

function phases(run: Run): HTMLElement {
  const rows = Object.entries(run.memory?.phases ?? {}).map(([name, one]) => [phaseName(name), gigabytes(one.peak), gigabytes(one.end)]);
  return element("section", {}, element("h2", {}, "Phases"), table("Allocated by phase", ["phase", "peak", "left after"], rows));
}

function assumptions(run: Run): HTMLElement | null {
  const said = run.memory?.assumptions ?? [];
  return said.length === 0
    ? null
    : element("section", {}, element("h2", {}, "Taken for granted"), element("ul", {}, ...said.map((one) => element("li", {}, one))));
}

function settings(run: Run): HTMLElement {
  const rows = Object.entries(run.settings).map(([name, one]) => [
    element("code", {}, name),
    one.status === "unknown" ? element("em", {}, one.reason ?? "unknown") : shown(run, name),
    where(one.origin ?? undefined),
  ]);
  return element("section", {}, element("h2", {}, "Settings"), table("Settings that were read", ["setting", "value", "from"], rows));
}

function fixes(): HTMLElement | null {
  const findings = report?.files.flatMap((file) => file.findings) ?? [];
  const rows = findings
    .filter((finding) => finding.run === null || finding.run === selected)
    .flatMap((finding) => finding.fixes.map((fix) => ({ fix, at: { line: finding.start.line, cell: finding.cell } })))
    .sort((a, b) => b.fix.saving - a.fix.saving)
    .map(({ fix, at }) => [fix.title, gigabytes(fix.saving), fix.safety === "unsafe" ? "changes numerics" : "", applying(fix, at)]);
  return rows.length === 0
    ? null
    : element("section", {}, element("h2", {}, "What saves memory"), table("Fixes", ["change", "saves", "", ""], rows));
}

function applying(fix: Fix, at: { line: number; cell: number | null }): HTMLElement | string {
  return fix.safety === "display"
    ? "by hand"
    : button("Apply", () => {
        send({ type: "apply", fix, at });
      }, { "aria-label": `Apply: ${fix.title}` });
}

function set(name: keyof Choices): (value: string) => void {
  return (value) => {
    choices = { ...choices, [name]: value };
    clearTimeout(timer);
    timer = setTimeout(ask, PATIENCE);
  };
}

function ask(): void {
  asked += 1;
  if (!hasChoices()) {
    assumed = null;
    outcome(null);
    return;
  }
  send({ type: "whatIf", gpu: choices.gpu, overrides: overrides(choices), asked });
}

function whatIf(run: Run): HTMLElement {
  const own = (text: string): readonly [string, string] => ["", `as is (${text})`];
  const words = (...names: string[]): (readonly [string, string])[] => names.map((name) => [name, name] as const);
  const gpuNames = gpus.filter((gpu) => gpu.common).map((gpu) => [gpu.name, `${gpu.name} (${gigabytes(gpu.bytes)})`] as const);
  return element(
    "section",
    { "aria-label": "What if" },
    element("h2", {}, "What if"),
    element(
      "div",
      { class: "row" },
      choice("GPU", [own(run.gpu?.name ?? "none"), ...gpuNames], choices.gpu, set("gpu")),
      number("Micro batch", shown(run, "micro_batch_size"), choices.microBatch, set("microBatch")),
      number("Sequence length", shown(run, "sequence_length"), choices.length, set("length")),
      choice("Optimizer", [own(shown(run, "optimizer")), ...words(...OPTIMIZERS)], choices.optimizer, set("optimizer")),
      choice("Mixed precision", [own(shown(run, "mixed_precision")), ...words("bf16", "fp16", "no")], choices.precision, set("precision")),
      choice("Checkpointing", [own(shown(run, "gradient_checkpointing")), ...words("on", "off")], choices.checkpointing, set("checkpointing")),
      choice("LoRA rank", [own(shown(run, "lora")), ...words("none", "8", "16", "64")], choices.lora, set("lora")),
      choice("Attention", [own(shown(run, "attention")), ...words("sdpa", "eager", "flash_attention_2")], choices.attention, set("attention")),
      number("GPUs", "1", choices.worldSize, set("worldSize")),
      choice("Sharding", [own(shown(run, "sharding")), ...words("ddp", "zero1", "zero2", "zero3", "fsdp")], choices.sharding, set("sharding")),
      button("Reset", () => {
        choices = { ...UNCHANGED };
        assumed = null;
        render();
      }),
    ),
    element("div", { id: "outcome", role: "status", "aria-live": "polite" }),
    element("p", { id: "largest", class: "faint", role: "status" }),
  );
}

/** Say beneath the controls what would still fit; the search takes a moment longer than the figure. */
function largest(found: Largest | undefined): void {
  const place = document.getElementById("largest");
  const told = (value: number | null | undefined, name: string, none: string): string =>
    value === undefined || value === null ? "" : value === 0 ? none : `${name} ${value.toLocaleString("en")}`;
  const parts = [
    told(found?.micro_batch_size, "micro batch", "not even a micro batch of 1"),
    told(found?.sequence_length, "sequence length", "no sequence length"),
  ].filter((part) => part !== "");
  place?.replaceChildren(parts.length === 0 ? "" : `Largest that fits: ${parts.join("; ")}`);
}

function outcome(answer: Report | null): void {
  const place = document.getElementById("outcome");
  const run = runs(report)[selected];
  if (place === null || run === undefined) {
    return;
  }
  if (assumed === null && answer === null) {
    place.replaceChildren();
    return;
  }
  const told = assumed?.memory;
  if (assumed === null || told === null || told === undefined) {
    const why = answer?.errors[0] ?? assumed?.reason ?? "the server gave no figure";
    place.replaceChildren(element("p", { class: "outcome" }, why));
    return;
  }
  const before = run.memory?.device ?? 0;
  place.replaceChildren(
    element(
      "p",
      { class: "outcome" },
      `${gigabytes(before)} → `,
      element("strong", {}, gigabytes(told.device)),
      ` on the device (${change(told.device - before)}), peak in the ${phaseName(told.phase)}: `,
      element("span", { class: `verdict verdict-${assumed.gpu?.fits ?? "unknown"}` }, verdict(assumed)),
    ),
  );
}

function exports_(run: Run): HTMLElement {
  const name = `memory-${run.path.split("/").at(-1)?.replace(/\W+/g, "-") ?? "run"}`;
  return element(
    "section",
    { "aria-label": "Export" },
    element("h2", {}, "Export"),
    element(
      "div",
      { class: "row" },
      button("Chart as PNG", () => {
        const canvas = document.querySelector("canvas");
        if (canvas !== null) {
          send({ type: "export", kind: "png", content: canvas.toDataURL("image/png"), name });
        }
      }),
      button("JSON", () => {
        send({ type: "export", kind: "json", content: JSON.stringify(report, null, 2), name });
      }),
      button("Markdown", () => {
        send({ type: "export", kind: "markdown", content: markdown(run), name });
      }),
    ),
  );
}

new ResizeObserver(() => {
  const place = document.getElementById("chart");
  const run = runs(report)[selected];
  if (place !== null && run !== undefined && place.firstElementChild !== null && Math.abs(place.firstElementChild.clientWidth - place.clientWidth) > 8) {
    place.replaceChildren();
    draw(place, run);
  }
}).observe(document.body);

send({ type: "ready" });
