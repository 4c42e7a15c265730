// The graph of a model as the viewer needs it: edges by number, nodes with their places, what leads to what.

import type { GraphShape } from "./messages";

export type Input = "q" | "k" | "v" | "";

export interface GraphEdge {
  name: string;
  /** The node that writes, and the one that reads, as numbers among the nodes. */
  source: number;
  target: number;
  input: Input;
}

export interface GraphNode {
  name: string;
  x: number;
  y: number;
  kind: "embed" | "head" | "kv" | "mlp" | "logits";
}

export interface Shape {
  nodes: GraphNode[];
  edges: GraphEdge[];
  nodeOf: Map<string, number>;
  edgeOf: Map<string, number>;
  /** Nodes that write to the residual stream. */
  writers: Set<string>;
  /** Heads of keys and values, with the heads that they serve. */
  serves: [number, number][];
}

const ROW = 86;

/** Node and input of a destination's name. */
export function parted(destination: string): [string, Input] {
  const found = /^(.*)\.([qkv])$/.exec(destination);
  return found ? [found[1], found[2] as Input] : [destination, ""];
}

export function shapeOf(graph: GraphShape): Shape {
  const names = [...new Set([...graph.sources, ...graph.destinations.map((name) => parted(name)[0])])];
  const nodeOf = new Map(names.map((name, i) => [name, i]));
  const n_kv = names.filter((name) => name.startsWith("L0.KV")).length;
  const withMlp = names.includes("L0.MLP");
  const apart = graph.n_heads > 8 ? 58 : 84;
  const right = ((graph.n_heads - 1) / 2 + 1) * apart;
  const levels = 1 + Number(withMlp) + Number(n_kv > 0);
  const nodes = names.map((name): GraphNode => {
    if (name === "embed") return { name, x: 0, y: 0, kind: "embed" };
    if (name === "logits") return { name, x: 0, y: -(graph.n_layers * levels + 1) * ROW, kind: "logits" };
    const [, layer, kind, number] = /^L(\d+)\.(H|KV|MLP)(\d*)$/.exec(name) ?? ["", "0", "MLP", ""];
    const base = Number(layer) * levels;
    if (kind === "MLP") return { name, x: right, y: -(base + levels) * ROW + ROW * 0.3, kind: "mlp" };
    const middle = (count: number, width: number) => (Number(number) - (count - 1) / 2) * width;
    if (kind === "KV") {
      return { name, x: middle(n_kv, (apart * graph.n_heads) / n_kv), y: -(base + 1) * ROW, kind: "kv" };
    }
    return { name, x: middle(graph.n_heads, apart), y: -(base + 1 + Number(n_kv > 0)) * ROW, kind: "head" };
  });
  const edges = graph.destinations.flatMap((destination, column) => {
    const [reader, input] = parted(destination);
    const target = nodeOf.get(reader) ?? 0;
    return graph.sources.slice(0, graph.n_before[column]).map((source) => ({
      name: `${source} -> ${destination}`,
      source: nodeOf.get(source) ?? 0,
      target,
      input,
    }));
  });
  const serves: [number, number][] = [];
  const group = n_kv ? graph.n_heads / n_kv : 0;
  names.forEach((name, i) => {
    const found = /^L(\d+)\.KV(\d+)$/.exec(name);
    if (!found) return;
    for (let head = Number(found[2]) * group; head < (Number(found[2]) + 1) * group; head++) {
      const served = nodeOf.get(`L${found[1]}.H${head}`);
      if (served !== undefined) serves.push([i, served]);
    }
  });
  const edgeOf = new Map(edges.map((edge, i) => [edge.name, i]));
  return { nodes, edges, nodeOf, edgeOf, writers: new Set(graph.sources), serves };
}

/** Whether each edge lies on a way through a node, of those that are drawn. */
export function through(shape: Shape, node: number, drawn: boolean[]): boolean[] {
  const reach = (forward: boolean) => {
    const seen = new Set([node]);
    const begin = (e: { source: number; target: number }) => (forward ? e.source : e.target);
    const end = (e: { source: number; target: number }) => (forward ? e.target : e.source);
    const ways: { source: number; target: number }[] = shape.edges.filter((_, i) => drawn[i]);
    ways.push(...shape.serves.map(([source, target]) => ({ source, target })));
    const after = new Map<number, number[]>();
    for (const way of ways) after.set(begin(way), [...(after.get(begin(way)) ?? []), end(way)]);
    const open = [node];
    while (open.length) {
      for (const next of after.get(open.pop() as number) ?? []) {
        if (!seen.has(next)) {
          seen.add(next);
          open.push(next);
        }
      }
    }
    return seen;
  };
  const [below, above] = [reach(false), reach(true)];
  return shape.edges.map(
    (edge, i) =>
      drawn[i] && ((below.has(edge.source) && below.has(edge.target)) || (above.has(edge.source) && above.has(edge.target))),
  );
}

/** Which edges are drawn: those that reach the threshold; without one, those of the largest scores. */
export function largest(scores: Float64Array, top: number, threshold: number): boolean[] {
  const n = scores.length;
  const sizes = Float64Array.from(scores, (score) => (Number.isFinite(score) ? Math.abs(score) : -1));
  if (threshold > 0) return Array.from(sizes, (size) => size >= threshold);
  const least = top < n ? Float64Array.from(sizes).sort()[n - top] : 0;
  const drawn = Array.from(sizes, (size) => size >= least && size > 0);
  // of equal ones the first, so that there are no more than were asked for
  let over = drawn.filter(Boolean).length - top;
  for (let i = n - 1; i >= 0 && over > 0; i--) {
    if (drawn[i] && sizes[i] === least) {
      drawn[i] = false;
      over--;
    }
  }
  return drawn;
}
