// Small charts as SVG: lines over steps, a strip of numbers with their mean, a heat map, points in a plane, bars.

import { DASHES, SERIES, sequential } from "./colors";
import { h, s } from "./dom";
import { count, number, ticks } from "./format";
import type { Estimate, Maybe } from "./messages";

export interface Line {
  name: string;
  x: number[];
  y: Maybe[];
  low?: Maybe[] | null;
  high?: Maybe[] | null;
}

export interface Axes {
  x: string;
  y: string;
  width: number;
  height: number;
  label: string;
}

const LEFT = 52;
const RIGHT = 8;
const TOP = 6;
const BOTTOM = 32;

export interface Frame {
  svg: SVGSVGElement;
  /** Where lines are drawn; what goes beyond the axes is cut off there. */
  inside: SVGElement;
  x(value: number): number;
  y(value: number): number;
  fromX(pixel: number): number;
}

function finite(values: Iterable<Maybe | undefined>): number[] {
  return [...values].filter((value): value is number => typeof value === "number" && Number.isFinite(value));
}

function range(values: number[]): [number, number] {
  if (!values.length) return [0, 1];
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low === high) return [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  return [low, high];
}

let n_frames = 0;

/** Axes with their ticks and titles, and nothing between them. */
export function frame(axes: Axes, xs: [number, number], ys: [number, number]): Frame {
  const { width, height } = axes;
  const svg = s("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    class: "chart",
    role: "img",
    "aria-label": axes.label,
  });
  const pad = (ys[1] - ys[0]) * 0.05;
  const [low, high] = [ys[0] - pad, ys[1] + pad];
  const x = (value: number) => LEFT + ((value - xs[0]) / (xs[1] - xs[0] || 1)) * (width - LEFT - RIGHT);
  const y = (value: number) => height - BOTTOM - ((value - low) / (high - low || 1)) * (height - TOP - BOTTOM);
  const fromX = (pixel: number) => xs[0] + ((pixel - LEFT) / (width - LEFT - RIGHT)) * (xs[1] - xs[0]);
  for (const tick of ticks(low, high, Math.max(2, Math.round(height / 40)))) {
    svg.append(
      s("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), class: tick === 0 ? "zero" : "grid" }),
      s("text", { x: LEFT - 5, y: y(tick) + 3.5, "text-anchor": "end" }, number(tick)),
    );
  }
  for (const tick of ticks(xs[0], xs[1], Math.max(2, Math.round(width / 90)))) {
    svg.append(s("text", { x: x(tick), y: height - BOTTOM + 13, "text-anchor": "middle" }, number(tick)));
  }
  const middle = TOP + (height - TOP - BOTTOM) / 2;
  svg.append(
    s("text", { x: (LEFT + width - RIGHT) / 2, y: height - 3, "text-anchor": "middle", class: "title" }, axes.x),
    s(
      "text",
      { x: 10, y: middle, "text-anchor": "middle", class: "title", transform: `rotate(-90 10 ${middle})` },
      axes.y,
    ),
  );
  const clip = `inside-${n_frames++}`;
  const [wide, tall] = [width - LEFT - RIGHT + 4, height - TOP - BOTTOM + 2];
  const inside = s("g", { "clip-path": `url(#${clip})` });
  svg.append(s("clipPath", { id: clip }, s("rect", { x: LEFT - 2, y: TOP - 1, width: wide, height: tall })), inside);
  return { svg, inside, x, y, fromX };
}

/** Where a line goes, broken where there is no number. */
function path(of: Frame, xs: number[], ys: Maybe[]): string {
  let begun = false;
  return xs
    .map((x, i) => {
      const y = ys[i];
      if (y === null || !Number.isFinite(y)) {
        begun = false;
        return "";
      }
      const command = begun ? "L" : "M";
      begun = true;
      return `${command}${of.x(x).toFixed(1)} ${of.y(y).toFixed(1)}`;
    })
    .join("");
}

/**
 * Lines over steps, each told apart by its colour and its dashes. `within`: how far the axis goes at most, so that a few
 * numbers far out do not press the others flat.
 */
export function lines(axes: Axes, given: Line[], xs?: [number, number], within?: [number, number]): Frame {
  const [low, high] = range(finite(given.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])])));
  const ys: [number, number] = within ? [Math.max(low, within[0]), Math.min(high, within[1])] : [low, high];
  const of = frame(axes, xs ?? range(given.flatMap((line) => line.x)), ys[0] < ys[1] ? ys : [low, high]);
  given.forEach((line, i) => {
    const color = SERIES[i % SERIES.length];
    if (line.low && line.high) {
      const there = line.x.map((_, j) => j).filter((j) => line.low?.[j] != null && line.high?.[j] != null);
      const upper = there.map((j) => `${of.x(line.x[j])},${of.y(line.high?.[j] ?? 0)}`);
      const lower = there.map((j) => `${of.x(line.x[j])},${of.y(line.low?.[j] ?? 0)}`).reverse();
      of.inside.append(s("polygon", { points: [...upper, ...lower].join(" "), fill: color, class: "band" }));
    }
    of.inside.append(
      s("path", {
        d: path(of, line.x, line.y),
        stroke: color,
        "stroke-dasharray": DASHES[i % DASHES.length],
        class: "line",
      }),
    );
    if (line.x.length === 1 && line.y[0] !== null) {
      of.svg.append(s("circle", { cx: of.x(line.x[0]), cy: of.y(line.y[0]), r: 3, fill: color }));
    }
  });
  return of;
}

/** Names of lines with a piece of each. */
export function key(names: string[]): HTMLElement {
  return h(
    "div",
    { class: "key" },
    ...names.map((name, i) => {
      const piece = s("svg", { width: 26, height: 8, "aria-hidden": "true" });
      piece.append(
        s("path", {
          d: "M1 4L25 4",
          class: "line",
          stroke: SERIES[i % SERIES.length],
          "stroke-dasharray": DASHES[i % DASHES.length],
        }),
      );
      return h("span", {}, piece, name);
    }),
  );
}

/** Every number as a tick, the mean with its interval above. */
export function strip(values: Maybe[], estimate: Estimate, title: string, width: number): SVGSVGElement {
  const shown = finite(values);
  const of = frame(
    { x: title, y: "", width, height: 74, label: `${title}: ${count(shown.length)} pairs` },
    range([...shown, 0, ...finite([estimate.low, estimate.high])]),
    [0, 1],
  );
  of.svg.querySelectorAll("text[text-anchor=end], .grid").forEach((one) => one.remove());
  for (const value of shown) {
    of.svg.append(s("line", { x1: of.x(value), x2: of.x(value), y1: of.y(0.05), y2: of.y(0.5), class: "tick" }));
  }
  of.svg.append(s("line", { x1: of.x(0), x2: of.x(0), y1: of.y(0), y2: of.y(1), class: "zero" }));
  if (estimate.mean !== null && estimate.low !== null && estimate.high !== null) {
    of.svg.append(
      s("line", { x1: of.x(estimate.low), x2: of.x(estimate.high), y1: of.y(0.75), y2: of.y(0.75), class: "interval" }),
      s("circle", { cx: of.x(estimate.mean), cy: of.y(0.75), r: 3.5, class: "mean" }),
    );
  }
  return of.svg;
}

export interface Cell {
  value: Maybe;
  title: string;
  marked?: boolean;
}

/** A heat map of shares; the title of a cell is told on hover, and marked cells have a dot. */
export function heat(
  cells: Cell[][],
  axes: { rows: string[]; columns: string[]; y: string; x: string; label: string; width: number },
  hover: (text: string) => void,
): HTMLElement {
  const n_rows = cells.length;
  const n_columns = axes.columns.length;
  const longest = Math.min(14, Math.max(1, ...axes.rows.map((name) => name.length)));
  const left = 22 + longest * 6.5;
  const pixel = Math.max(1, Math.min(28, (axes.width - left - 10) / Math.max(1, n_columns), 420 / Math.max(1, n_rows)));
  const [width, height] = [n_columns * pixel, n_rows * pixel];
  const ratio = window.devicePixelRatio || 1;
  const canvas = h("canvas", { width: Math.ceil(width * ratio), height: Math.ceil(height * ratio), role: "img" });
  canvas.setAttribute("aria-label", axes.label);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const on = canvas.getContext("2d");
  if (on) {
    on.scale(ratio, ratio);
    cells.forEach((row, i) =>
      row.forEach((cell, j) => {
        if (cell.value === null) return;
        on.fillStyle = sequential(cell.value);
        on.fillRect(j * pixel, i * pixel, pixel + 0.3, pixel + 0.3);
        if (cell.marked && pixel >= 3) {
          on.fillStyle = cell.value > 0.6 ? "#000000" : "#ffffff";
          const dot = Math.max(1, pixel / 5);
          on.fillRect((j + 0.5) * pixel - dot / 2, (i + 0.5) * pixel - dot / 2, dot, dot);
        }
      }),
    );
  }
  canvas.addEventListener("mousemove", (event) => {
    const cell = cells[Math.floor(event.offsetY / pixel)]?.[Math.floor(event.offsetX / pixel)];
    if (cell) hover(cell.title);
  });
  // names of rows and columns, as many as there is room for
  const widest = 6.5 * Math.min(14, Math.max(1, ...axes.columns.map((name) => name.length)));
  const down = widest > 26 && widest > pixel;
  const every = Math.max(1, Math.ceil(12 / pixel));
  const every_column = Math.max(1, Math.ceil((down ? 12 : widest + 4) / pixel));
  const below = down ? 18 + widest : 28;
  const svg = s("svg", { width: left + width + 8, height: height + below + 16, class: "chart names", "aria-hidden": true });
  axes.rows.forEach((name, i) => {
    if (i % every === 0)
      svg.append(s("text", { x: left - 4, y: (i + 0.5) * pixel + 4, "text-anchor": "end" }, cut(name)));
  });
  axes.columns.forEach((name, j) => {
    const [x, y] = [left + (j + 0.5) * pixel, height + 12];
    if (j % every_column !== 0) return;
    const turned = down ? { transform: `rotate(-90 ${x} ${y})`, "text-anchor": "end" } : { "text-anchor": "middle" };
    svg.append(s("text", { x: down ? x + 4 : x, y: down ? y - 2 : y, ...turned }, cut(name)));
  });
  const middle = height / 2;
  svg.append(
    s("text", { x: 10, y: middle, class: "title", "text-anchor": "middle", transform: `rotate(-90 10 ${middle})` }, axes.y),
    s("text", { x: left + width / 2, y: height + below + 10, class: "title", "text-anchor": "middle" }, axes.x),
  );
  const figure = h("div", { class: "heat" }, svg, canvas);
  canvas.style.left = `${left}px`;
  return figure;
}

function cut(name: string): string {
  return name.length > 14 ? `${name.slice(0, 13)}\u2026` : name;
}

/** Bars, one of them marked. */
export function bars(values: Maybe[], names: number[], marked: number, axes: Axes): SVGSVGElement {
  const of = frame(axes, [names[0] - 0.5, names[names.length - 1] + 0.5], [0, Math.max(0.01, ...finite(values))]);
  names.forEach((name, i) => {
    const value = values[i] ?? 0;
    const [left, right] = [of.x(name - 0.4), of.x(name + 0.4)];
    of.svg.append(
      s("rect", {
        x: left,
        width: Math.max(1, right - left),
        y: of.y(value),
        height: Math.max(0, of.y(0) - of.y(value)),
        class: name === marked ? "bar marked" : "bar",
      }),
    );
  });
  return of.svg;
}

/** Points in a plane, joined in their order, the numbers of a few beside them. */
export function plane(xs: Maybe[], ys: Maybe[], axes: Axes): SVGSVGElement {
  const furthest = Math.max(1e-9, ...finite([...xs, ...ys]).map(Math.abs));
  const of = frame(axes, [-furthest, furthest], [-furthest, furthest]);
  const every = Math.max(1, Math.ceil(xs.length / 12));
  xs.forEach((x, i) => {
    const y = ys[i];
    if (x === null || y === null) return;
    of.svg.append(s("circle", { cx: of.x(x), cy: of.y(y), r: 2.5, class: "mean" }));
    if (i % every === 0) of.svg.append(s("text", { x: of.x(x) + 4, y: of.y(y) - 3 }, String(i)));
  });
  return of.svg;
}
