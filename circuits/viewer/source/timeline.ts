// Measures over steps, a small chart for each kind, with the step that is shown as a line that can be dragged.

import { key, lines, type Frame, type Line } from "./charts";
import { h, s } from "./dom";
import { count } from "./format";
import type { Curve, Curves } from "./messages";

/** Shares are between 0 and 1; where there is little to have a share of, early in training, they can be far out. */
const SHARES: [number, number] = [-0.5, 1.5];

export class Timeline {
  readonly element: HTMLElement;
  private frames: { frame: Frame; now: SVGLineElement }[] = [];
  private curves: Curves | null = null;
  private steps: number[] = [];
  private step = 0;

  constructor(private choose: (step: number) => void) {
    this.element = h("section", { class: "timeline", "aria-label": "Measures over training", "data-testid": "timeline" });
    new ResizeObserver(() => this.render()).observe(this.element);
  }

  use(curves: Curves, steps: number[]): void {
    this.curves = curves;
    this.steps = steps;
    this.render();
  }

  at(step: number): void {
    this.step = step;
    for (const { frame, now } of this.frames) {
      now.setAttribute("x1", String(frame.x(step)));
      now.setAttribute("x2", String(frame.x(step)));
    }
  }

  private render(): void {
    this.element.hidden = this.curves?.curves.length === 0;
    const width = this.element.clientWidth;
    if (!this.curves || !width) return;
    const groups = new Map<string, Curve[]>();
    for (const curve of this.curves.curves) groups.set(curve.group, [...(groups.get(curve.group) ?? []), curve]);
    const per_row = Math.max(1, Math.min(groups.size, Math.floor(width / 236)));
    const all = [...this.steps, ...this.curves.curves.flatMap((curve) => curve.step)];
    const range: [number, number] = [Math.min(...all), Math.max(...all)];
    this.frames = [];
    this.element.replaceChildren(
      ...[...groups].map(([group, curves], i) =>
        this.chart(group, curves, Math.floor(width / per_row) - 12, range, i === 0),
      ),
    );
    this.at(this.step);
  }

  private chart(group: string, curves: Curve[], width: number, range: [number, number], named: boolean): HTMLElement {
    const unit = curves[0].unit;
    const given: Line[] = curves.map((curve) => ({ ...curve, x: curve.step, y: curve.value }));
    const axes = { x: "training step", y: unit, width, height: 128, label: `${group} over training steps` };
    const frame = lines(axes, given, range, unit.startsWith("share") ? SHARES : undefined);
    const dates = Object.entries(this.curves?.dates ?? {}).filter((date): date is [string, number] => date[1] !== null);
    dates.forEach(([name, at], i) => {
      const x = frame.x(at);
      const late = x > width * 0.75;
      frame.svg.append(
        s("line", { x1: x, x2: x, y1: 6, y2: 96, class: "date" }, s("title", {}, `${name} at step ${count(at)}`)),
      );
      if (named) {
        const end = late ? "end" : "start";
        frame.svg.append(s("text", { x: x + (late ? -3 : 3), y: 34 + 12 * i, class: "date", "text-anchor": end }, name));
      }
    });
    const now = s("line", { y1: 4, y2: 98, class: "now" });
    frame.svg.append(now);
    this.frames.push({ frame, now });
    const follow = (event: PointerEvent) => {
      const box = frame.svg.getBoundingClientRect();
      const wanted = frame.fromX(((event.clientX - box.left) / box.width) * width);
      let nearest = this.steps[0];
      for (const step of this.steps) if (Math.abs(step - wanted) < Math.abs(nearest - wanted)) nearest = step;
      if (nearest !== undefined && nearest !== this.step) this.choose(nearest);
    };
    frame.svg.addEventListener("pointerdown", (event) => {
      frame.svg.setPointerCapture(event.pointerId);
      follow(event);
    });
    frame.svg.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) follow(event);
    });
    const figure = h("figure", {}, h("figcaption", {}, group), frame.svg, key(curves.map((curve) => curve.name)));
    figure.style.width = `${width}px`;
    return figure;
  }
}
