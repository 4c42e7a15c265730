// Scores of a part over the steps of all models that have it.

import { key, lines } from "./charts";
import { h, s } from "./dom";
import type { History } from "./messages";

export function historyChart(history: History, step: number, unit: string, width: number): HTMLElement {
  const shown = history.lines.filter((line) => line.step.length);
  if (!shown.length) return h("p", { class: "muted" }, "No scores over steps.");
  const frame = lines(
    { x: "training step", y: unit, width, height: 150, label: `Score of ${history.name} over training steps` },
    shown.map((line) => ({ name: line.model, x: line.step, y: line.score })),
  );
  frame.svg.append(s("line", { x1: frame.x(step), x2: frame.x(step), y1: 4, y2: 110, class: "now" }));
  return h("div", {}, frame.svg, key(shown.map((line) => line.model)));
}
