// The answers of a saved file: those that were written into the page, and what follows from them.

import type { History, Maybe, Name, Questions, Run, Scores } from "./messages";
import { shapeOf } from "./shape";
import { query, type Transport } from "./transports";

/** Parameters that a recorded question leaves out, with the value that they then have. */
const DEFAULTS: Record<string, string> = { example: "0", ablated: "" };

/** Answers that were written into the page, by question. */
export function recordedTransport(id = "grokscope-data"): Transport {
  const recorded: Record<string, unknown> = JSON.parse(document.getElementById(id)?.textContent ?? "{}");
  const find = <N extends Name>(name: N, params: Questions[N][0]): Questions[N][1] | undefined => {
    const given = Object.entries(params).filter(([field, value]) => DEFAULTS[field] !== String(value));
    const asked = query(Object.fromEntries(given));
    const key = asked ? `${name}?${asked}` : name;
    return Object.hasOwn(recorded, key) ? (recorded[key] as Questions[N][1]) : undefined;
  };
  return {
    async ask(name, params) {
      const run = find("run", {});
      if (name === "history" && run) {
        return historyOf((params as { name: string }).name, run, (at) => find("scores", at)) as never;
      }
      const found = find(name, params);
      if (found === undefined) throw new Error("This is not in the saved file: open the run with `circuits view`.");
      return found;
    },
  };
}

/** An edge's scores over the steps of each model that has it; of a node, the sizes of those of its edges, summed. */
export function historyOf(
  name: string,
  run: Run,
  scoresAt: (at: { model: string; step: number }) => Scores | undefined,
): History {
  const lines = run.models.flatMap(({ name: model, graph, scored }) => {
    if (!graph) return [];
    const shape = shapeOf(graph);
    const [edge, node] = [shape.edgeOf.get(name), shape.nodeOf.get(name)];
    const places = shape.edges.flatMap((one, i) => (i === edge || one.source === node || one.target === node ? [i] : []));
    const found = scored.flatMap((step) => scoresAt({ model, step }) ?? []);
    if (!places.length || !found.length) return [];
    const score = (values: Maybe[]) =>
      edge !== undefined ? values[edge] : places.reduce((sum, place) => sum + Math.abs(values[place] ?? 0), 0);
    const inside = edge === undefined || found.some((one) => one.inside === null) ? null : found.map((one) => one.inside?.[edge] ?? false);
    return [{ model, step: found.map((one) => one.step), score: found.map((one) => score(one.values)), inside }];
  });
  return { name, lines };
}
