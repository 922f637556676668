/** The memory over the first training steps as a stacked area, with the GPU's size as a line. */

import uPlot from "uplot";

import { bands, stacked, type Band } from "../course";
import { gigabytes } from "../format";
import type { Group, Run } from "../report";

const COLORS: Record<Group, string> = {
  runtime: "#8a8a8a",
  weights: "#3a7ca5",
  "extra-models": "#6a5acd",
  optimizer: "#c8553d",
  gradients: "#d9a441",
  inputs: "#7f8c8d",
  activations: "#4f9d69",
  loss: "#9b59b6",
  temporaries: "#b0bec5",
};
const HEIGHT = 260;
const AXIS = 80; // pixels that the scale at the left takes
const LETTER = 6;

/** The colour of a part, in the chart and in the bars. */
export function colorOf(group: Group): string {
  return COLORS[group];
}

/** Draw into a host; the figures are in tables beside it for those who do not see it. */
export function draw(host: HTMLElement, run: Run): uPlot | undefined {
  const points = run.memory?.course ?? [];
  if (points.length === 0) {
    return undefined;
  }
  const series = stacked(points).reverse(); // the highest edge first: each lower area is painted over it
  const limit = run.gpu?.bytes;
  const style = getComputedStyle(document.body);
  const ink = style.getPropertyValue("--vscode-foreground") || "#888";
  const grid = style.getPropertyValue("--vscode-widget-border") || "rgba(128,128,128,0.3)";
  const danger = style.getPropertyValue("--vscode-errorForeground") || "#c00";
  const highest = Math.max(...(series[0]?.tops ?? [0]), limit ?? 0);
  const stretches = bands(points);
  const shown = readable(stretches, host.clientWidth);
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
  const options: uPlot.Options = {
    width: Math.max(host.clientWidth, 320),
    height: HEIGHT,
    cursor: { points: { show: false }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: { x: { time: false }, y: { range: [0, highest * 1.05] } },
    axes: [
      { ...axis, grid: { show: false }, splits: () => shown.map((band) => (band.from + band.to) / 2), values: () => shown.map((band) => band.label) },
      { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => gigabytes(tick)) },
    ],
    series: [
      {},
      ...series.map((one) => ({ label: one.group, stroke: COLORS[one.group], fill: COLORS[one.group], width: 0 })),
      ...(limit === undefined ? [] : [{ label: "GPU", stroke: danger, width: 2, dash: [6, 4] }]),
    ],
    hooks: {
      drawAxes: [
        (plot) => {
          separate(plot, stretches, grid);
        },
      ],
    },
  };
  const data: uPlot.AlignedData = [
    points.map((_, index) => index),
    ...series.map((one) => one.tops),
    ...(limit === undefined ? [] : [points.map(() => limit)]),
  ];
  return new uPlot(options, data, host);
}

/** Labels that would overlap are left out; the stretches themselves stay. */
function readable(stretches: readonly Band[], width: number): Band[] {
  const total = stretches.at(-1)?.to ?? 1;
  return stretches.filter((band) => ((band.to - band.from) / total) * (width - AXIS) > band.label.length * LETTER);
}

function separate(plot: uPlot, stretches: readonly Band[], color: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.beginPath();
  for (const band of stretches) {
    const x = Math.round(plot.valToPos(band.from, "x", true));
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
  }
  ctx.stroke();
  ctx.restore();
}
