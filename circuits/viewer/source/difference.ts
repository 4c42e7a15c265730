// Two circuits side by side: which edges the one that is shown has gained, lost, or kept with another score.

import type { Shape } from "./shape";

export interface Change {
  name: string;
  before: number | null;
  now: number | null;
}

export interface Difference {
  gained: Change[];
  lost: Change[];
  changed: Change[];
}

export interface Side {
  shape: Shape;
  values: Float64Array;
  drawn: boolean[];
}

/** By name, so that models of other sizes can be compared; each list with the largest change first. */
export function difference(before: Side, now: Side): Difference {
  const [old, current] = [before, now].map((side) => {
    const drawn = new Map<string, number>();
    const all = new Map<string, number>();
    side.shape.edges.forEach((edge, i) => {
      all.set(edge.name, side.values[i]);
      if (side.drawn[i]) drawn.set(edge.name, side.values[i]);
    });
    return { drawn, all };
  });
  const change = (name: string): Change => ({
    name,
    before: old.all.get(name) ?? null,
    now: current.all.get(name) ?? null,
  });
  const sorted = (names: string[]) =>
    names.map(change).sort((a, b) => Math.abs((b.now ?? 0) - (b.before ?? 0)) - Math.abs((a.now ?? 0) - (a.before ?? 0)));
  const kept = [...current.drawn.keys()].filter((name) => old.drawn.has(name));
  return {
    gained: sorted([...current.drawn.keys()].filter((name) => !old.drawn.has(name))),
    lost: sorted([...old.drawn.keys()].filter((name) => !current.drawn.has(name))),
    changed: sorted(kept.filter((name) => current.drawn.get(name) !== old.drawn.get(name))),
  };
}
