// Nodes and edges as tables: what the graph shows, for the keyboard, for screen readers, and for exact numbers.

import { button, h, table } from "./dom";
import { count, signed } from "./format";
import type { Difference } from "./difference";

const MOST = 200;

export interface Listed {
  name: string;
  score: number;
  inside: boolean | null;
}

type Select = (name: string) => void;

export function edgeTable(edges: Listed[], unit: string, select: Select): HTMLElement {
  const sorted = [...edges].sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
  const rows = sorted.slice(0, MOST).map((edge) => [
    button(edge.name, () => select(edge.name), { class: "link" }),
    signed(edge.score),
    edge.inside === null ? "" : edge.inside ? "in" : "",
  ]);
  const more = sorted.length > MOST ? `the ${MOST} largest of ${count(sorted.length)} edges` : `${count(sorted.length)} edges`;
  return h(
    "details",
    { "data-name": "edges" },
    h("summary", {}, `Edges drawn: ${more}`),
    table(["edge", `score (${unit})`, "circuit"], rows, { class: "numbers", "data-testid": "edge-table" }),
  );
}

export function nodeTable(names: string[], select: Select): HTMLElement {
  const buttons = names.map((name) => button(name, () => select(name), { class: "link" }));
  return h("details", { "data-name": "nodes" }, h("summary", {}, `Nodes: ${names.length}`), h("div", { class: "nodes", "data-testid": "node-table" }, ...buttons));
}

export function differenceTable(found: Difference, unit: string, select: Select): HTMLElement {
  const part = (title: string, changes: Difference["gained"]) => {
    if (!changes.length) return h("p", {}, `${title}: none`);
    const rows = changes.slice(0, MOST).map((one) => [
      button(one.name, () => select(one.name), { class: "link" }),
      signed(one.before),
      signed(one.now),
    ]);
    return h(
      "details",
      { open: title !== "changed", "data-name": title },
      h("summary", {}, `${title}: ${count(changes.length)}`),
      table(["edge", `pinned (${unit})`, "shown"], rows, { class: "numbers" }),
    );
  };
  return h(
    "div",
    { "data-testid": "difference" },
    part("gained", found.gained),
    part("lost", found.lost),
    part("changed", found.changed),
  );
}
