// What is shown, and how the part of an address after the # says it.

export type Tab = "part" | "prompt" | "map";

export interface State {
  model: string;
  step: number;
  /** How many edges are drawn, those of the largest scores. */
  top: number;
  /** The least size of a score that is drawn, instead of `top`; 0 for none. */
  threshold: number;
  /** A node or an edge, by name. */
  selected: string | null;
  /** Whether only what leads to the selected node, or from it, is drawn. */
  focus: boolean;
  /** Whether only the edges of the circuit found at the step are drawn. */
  circuit: boolean;
  /** What is pinned beside it. */
  compare: { model: string; step: number } | null;
  tab: Tab;
  example: number;
  prompt: string;
  other: string;
  ablated: string[];
}

export const TOP = 100;

export const INITIAL: Omit<State, "model" | "step"> = {
  top: TOP,
  threshold: 0,
  selected: null,
  focus: false,
  circuit: false,
  compare: null,
  tab: "part",
  example: 0,
  prompt: "",
  other: "",
  ablated: [],
};

export function toHash(state: State): string {
  const said = new URLSearchParams({ model: state.model, step: String(state.step) });
  if (state.threshold > 0) said.set("threshold", String(state.threshold));
  else if (state.top !== INITIAL.top) said.set("top", String(state.top));
  if (state.selected) said.set("selected", state.selected);
  if (state.focus) said.set("focus", "1");
  if (state.circuit) said.set("circuit", "1");
  if (state.compare) said.set("compare", `${state.compare.model}@${state.compare.step}`);
  if (state.tab !== "part") said.set("tab", state.tab);
  if (state.example) said.set("example", String(state.example));
  if (state.prompt) said.set("prompt", state.prompt);
  if (state.other) said.set("other", state.other);
  if (state.ablated.length) said.set("ablated", state.ablated.join(","));
  return said.toString();
}

/** What a hash says; what it leaves out, or says wrongly, is not in it. */
export function fromHash(hash: string): Partial<State> {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const found: Partial<State> = {};
  const number = (name: string, least: number) => {
    const value = Number(said.get(name));
    return said.has(name) && Number.isFinite(value) && value >= least ? value : undefined;
  };
  const set = <K extends keyof State>(name: K, value: State[K] | undefined) => {
    if (value !== undefined) found[name] = value;
  };
  set("model", said.get("model") ?? undefined);
  set("step", number("step", 0));
  set("top", number("top", 1));
  set("threshold", number("threshold", 0));
  set("selected", said.get("selected") ?? undefined);
  set("focus", said.has("focus") || undefined);
  set("circuit", said.has("circuit") || undefined);
  const compare = /^(.*)@(\d+)$/.exec(said.get("compare") ?? "");
  if (compare) found.compare = { model: compare[1], step: Number(compare[2]) };
  const tab = said.get("tab");
  if (tab === "prompt" || tab === "map") found.tab = tab;
  set("example", number("example", 0));
  set("prompt", said.get("prompt") ?? undefined);
  set("other", said.get("other") ?? undefined);
  set("ablated", said.get("ablated")?.split(","));
  return found;
}

/** The Python call that shows the same in a notebook. */
export function toPython(address: string, state: State): string {
  const given = [literal(address), `model=${literal(state.model)}`, `step=${state.step}`];
  if (state.threshold > 0) given.push(`threshold=${state.threshold}`);
  else if (state.top !== INITIAL.top) given.push(`top=${state.top}`);
  if (state.selected) given.push(`selected=${literal(state.selected)}`);
  if (state.compare) given.push(`compare=(${literal(state.compare.model)}, ${state.compare.step})`);
  const { focus, circuit, tab, example, prompt, other, ablated } = state;
  if (!focus && !circuit && tab === "part" && !example && !prompt && !other && !ablated.length) {
    return `import circuits\n\ncircuits.view(${given.join(", ")})`;
  }
  // what the call has no names for
  return `import circuits\n\nviewer = circuits.view(${literal(address)})\nviewer.state = ${literal(toHash(state))}\nviewer`;
}

/** A Python string: what JSON escapes, Python reads alike. */
function literal(text: string): string {
  return JSON.stringify(text);
}
