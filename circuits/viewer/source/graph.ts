// The circuit as a graph on a canvas: nodes stay where they are, edges change with the step.

import cytoscape from "cytoscape";
import { diverging, palette } from "./colors";
import { h } from "./dom";
import { signed } from "./format";
import type { Input, Shape } from "./shape";

/** Above so many edges they are straight and solid, which is drawn in a fraction of the time. */
const MANY = 600;
const WIDEST = 7;

const ENDS: Record<Input, { x: number; shape: string; style: string }> = {
  q: { x: -15, shape: "triangle", style: "solid" },
  k: { x: 0, shape: "tee", style: "dashed" },
  v: { x: 15, shape: "circle", style: "dotted" },
  "": { x: 0, shape: "triangle", style: "solid" },
};

export interface Drawing {
  scores: Float64Array;
  drawn: boolean[];
  /** The score at which an edge is widest. */
  scale: number;
}

export interface Events {
  select(name: string | null): void;
  /** How long a change took until it was on the screen, in ms. */
  drawn(ms: number): void;
}

export class GraphView {
  readonly element: HTMLElement;
  readonly cy: cytoscape.Core;
  private shape: Shape | null = null;
  private edges: cytoscape.EdgeSingular[] = [];
  private now: Drawing | null = null;
  private shown: boolean[] = [];
  private tip: HTMLElement;

  constructor(
    private unit: () => string,
    private events: Events,
    label: string,
  ) {
    const canvas = h("div", { class: "canvas" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.element = h("div", { class: "graph", "aria-label": label, role: "img" }, canvas, this.tip);
    this.cy = cytoscape({
      container: canvas,
      style: style(),
      layout: { name: "preset" },
      minZoom: 0.05,
      maxZoom: 4,
      autoungrabify: true,
      boxSelectionEnabled: false,
      selectionType: "single",
      textureOnViewport: false,
      hideEdgesOnViewport: false,
    });
    this.cy.on("tap", (event) => {
      if (event.target === this.cy) events.select(null);
    });
    this.cy.on("tap", "node, edge", (event) => events.select(event.target.data("name")));
    this.cy.on("mouseover", "edge, node", (event) => this.tell(event));
    this.cy.on("mouseout", "edge, node", () => {
      this.tip.hidden = true;
    });
    // the container is measured when it is in the page, and again when its size changes
    new ResizeObserver(() => {
      this.cy.resize();
      this.fit();
    }).observe(canvas);
  }

  /** Another model's graph. What is drawn follows. */
  use(shape: Shape): void {
    if (shape === this.shape) return;
    this.shape = shape;
    this.now = null;
    const level = (i: number) => shape.nodes[i].y;
    const nodes: cytoscape.ElementDefinition[] = shape.nodes.map((node, i) => ({
      group: "nodes",
      data: { id: `n${i}`, name: node.name },
      classes: node.kind,
      position: { x: node.x, y: node.y },
    }));
    const edges: cytoscape.ElementDefinition[] = shape.edges.map((edge, i) => {
      const rise = Math.abs(level(edge.source) - level(edge.target));
      const across = shape.nodes[edge.target].x - shape.nodes[edge.source].x;
      // what passes other rows goes around them
      const bend = rise > 130 && Math.abs(across) < 30 ? -Math.min(120, rise / 4) : 0;
      const into = edge.input || "whole";
      return {
        group: "edges",
        data: { id: `e${i}`, name: edge.name, source: `n${edge.source}`, target: `n${edge.target}`, w: 1, c: "#888888", bend },
        classes: `hidden ${into}`,
      };
    });
    const served: cytoscape.ElementDefinition[] = shape.serves.map(([source, target], i) => ({
      group: "edges",
      data: { id: `s${i}`, name: "", source: `n${source}`, target: `n${target}` },
      classes: "serves",
    }));
    this.cy.batch(() => {
      this.cy.elements().remove();
      this.cy.add([...nodes, ...served, ...edges]);
    });
    this.edges = shape.edges.map((_, i) => this.cy.getElementById(`e${i}`) as unknown as cytoscape.EdgeSingular);
    this.shown = shape.edges.map(() => false);
    this.fit();
  }

  /** Other scores, or others of them. Only what differs is touched. */
  draw(next: Drawing): void {
    const began = performance.now();
    const colors = palette();
    const many = next.drawn.reduce((n, drawn) => n + Number(drawn), 0) > MANY;
    this.cy.batch(() => {
      this.edges.forEach((edge, i) => {
        const drawn = next.drawn[i];
        if (drawn) {
          const share = next.scale > 0 ? Math.max(-1, Math.min(1, next.scores[i] / next.scale)) : 0;
          const w = Math.round(Math.max(0.6, WIDEST * Math.abs(share)) * 10) / 10;
          const c = diverging(share, colors);
          if (edge.data("w") !== w || edge.data("c") !== c) edge.data({ w, c });
        }
        if (drawn !== this.shown[i]) {
          edge.toggleClass("hidden", !drawn);
          this.shown[i] = drawn;
        }
      });
      const core = this.cy as unknown as { many?: boolean };
      if (core.many !== many) {
        core.many = many;
        this.cy.edges().toggleClass("many", many);
      }
    });
    this.now = next;
    this.cy.one("render", () => this.events.drawn(performance.now() - began));
    this.cy.forceRender();
  }

  /** Marks a node or an edge, and what it touches. */
  select(name: string | null): void {
    if (!this.shape) return;
    this.cy.batch(() => {
      this.cy.elements(".selected").removeClass("selected");
      if (name === null || !this.shape) return;
      const edge = this.shape.edgeOf.get(name);
      const node = this.shape.nodeOf.get(name);
      if (edge !== undefined) this.edges[edge].addClass("selected");
      else if (node !== undefined) this.cy.getElementById(`n${node}`).addClass("selected");
    });
  }

  /** Marks nodes that are ablated. */
  ablate(names: string[]): void {
    this.cy.batch(() => {
      this.cy.nodes().forEach((node) => {
        node.toggleClass("ablated", names.includes(node.data("name")));
      });
    });
  }

  /** The colours of the page have changed. */
  restyle(): void {
    this.cy.style(style());
    if (this.now) this.draw(this.now);
  }

  fit(): void {
    if (this.cy.nodes().nonempty()) this.cy.fit(this.cy.nodes(), 28);
  }

  private tell(event: cytoscape.EventObject): void {
    const name: string = event.target.data("name");
    if (!name) return;
    const edge = this.shape?.edgeOf.get(name);
    const score = edge === undefined ? null : (this.now?.scores[edge] ?? null);
    this.tip.textContent = score === null ? name : `${name}  ${signed(score, 5)} ${this.unit()}`;
    this.tip.hidden = false;
    const { x, y } = event.renderedPosition;
    const width = this.element.clientWidth;
    this.tip.style.left = `${Math.max(0, Math.min(x + 12, width - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${y + 14}px`;
  }
}

function style(): cytoscape.StylesheetJson {
  const colors = palette();
  const ends = Object.entries(ENDS).map(([input, end]) => ({
    selector: `edge.${input || "whole"}`,
    style: {
      "target-arrow-shape": end.shape,
      "target-endpoint": `${end.x}px 50%`,
      "line-style": end.style,
    },
  }));
  return [
    {
      selector: "node",
      style: {
        shape: "round-rectangle",
        width: 46,
        height: 24,
        "background-color": colors.node,
        "border-width": 1,
        "border-color": colors.muted,
        label: "data(name)",
        color: colors.ink,
        "font-size": 11,
        "font-family": "system-ui, sans-serif",
        "text-valign": "center",
        "text-halign": "center",
      },
    },
    { selector: "node.mlp", style: { shape: "rectangle" } },
    { selector: "node.kv", style: { height: 18, "border-style": "dashed" } },
    { selector: "node.embed, node.logits", style: { width: 72, "font-weight": "bold" } },
    {
      selector: "edge",
      style: {
        width: "data(w)",
        "line-color": "data(c)",
        "target-arrow-color": "data(c)",
        "curve-style": "unbundled-bezier",
        "control-point-distances": "data(bend)",
        "control-point-weights": 0.5,
        "source-endpoint": "0 -50%",
        "arrow-scale": 0.8,
      },
    },
    ...ends,
    { selector: "edge.many", style: { "curve-style": "straight", "line-style": "solid", "target-arrow-shape": "none" } },
    {
      selector: "edge.serves",
      style: { width: 1, "line-color": colors.line, "line-style": "dotted", "curve-style": "straight", events: "no" },
    },
    { selector: "edge.hidden", style: { display: "none" } },
    { selector: "node.selected", style: { "border-width": 3, "border-color": colors.accent } },
    {
      selector: "node.ablated",
      style: { "border-width": 3, "border-style": "dashed", "border-color": colors.positive, color: colors.muted },
    },
    {
      selector: "edge.selected",
      style: { display: "element", "underlay-color": colors.accent, "underlay-opacity": 0.35, "underlay-padding": 4 },
    },
  ] as unknown as cytoscape.StylesheetJson;
}
