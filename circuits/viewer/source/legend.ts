// What widths, colours and ends of edges say.

import { diverging, palette } from "./colors";
import { h, s } from "./dom";
import { number } from "./format";

export function legend(scale: number, unit: string, ablation: string): HTMLElement {
  const colors = palette();
  const ramp = s("svg", { width: 150, height: 14, "aria-hidden": "true" });
  for (let i = 0; i < 15; i++) {
    const share = i / 7 - 1;
    const height = Math.max(1, 12 * Math.abs(share));
    ramp.append(s("rect", { x: i * 10, width: 10, y: 7 - height / 2, height, fill: diverging(share, colors) }));
  }
  const sample = (dashes: string, end: SVGElement, name: string) => {
    const picture = s("svg", { width: 34, height: 12, "aria-hidden": "true" });
    picture.append(
      s("path", { d: "M1 6L26 6", stroke: colors.muted, "stroke-width": 2, "stroke-dasharray": dashes }),
      end,
    );
    return h("span", {}, picture, name);
  };
  const arrow = () => s("path", { d: "M24 2L32 6L24 10Z", fill: colors.muted });
  return h(
    "div",
    { class: "legend", "data-testid": "legend" },
    h(
      "span",
      {},
      number(-scale),
      ramp,
      `${number(scale)} ${unit}`,
    ),
    sample("", arrow(), "q, MLP, logits"),
    sample("5 3", s("path", { d: "M28 1L28 11", stroke: colors.muted, "stroke-width": 3 }), "k"),
    sample("1 2", s("circle", { cx: 29, cy: 6, r: 3.5, fill: colors.muted }), "v"),
    h("span", { class: "muted" }, `score: about how much ${unit} changes when the edge is ablated (${ablation})`),
  );
}
