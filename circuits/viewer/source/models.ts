// The models of the run: their steps, and their graphs as the viewer needs them.

import type { ModelEntry, Run } from "./messages";
import { shapeOf, type Shape } from "./shape";

/** Steps of a model of which there is something to see: those with scores, or where there are none, all. */
export function stepsOf(entry: ModelEntry | undefined): number[] {
  return entry ? (entry.scored.length ? entry.scored : entry.steps) : [];
}

export class Models {
  private shapes = new Map<string, Shape>();

  constructor(public run: Run) {}

  entry(name: string): ModelEntry | undefined {
    return this.run.models.find((one) => one.name === name);
  }

  stepsOf(name: string): number[] {
    return stepsOf(this.entry(name));
  }

  /** The graph of a model; null where its edges cannot be told apart. */
  shape(name: string): Shape | null {
    const graph = this.entry(name)?.graph;
    if (!graph) return null;
    const known = this.shapes.get(name) ?? shapeOf(graph);
    this.shapes.set(name, known);
    return known;
  }

  /** There is more of the run; a graph that is as it was is the same one. */
  grown(next: Run): void {
    for (const one of next.models) {
      const known = this.entry(one.name)?.graph ?? null;
      if (JSON.stringify(known) !== JSON.stringify(one.graph)) this.shapes.delete(one.name);
    }
    this.run = next;
  }
}
