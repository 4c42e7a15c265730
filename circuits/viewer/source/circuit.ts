// The circuit at a model and a step: which edges are drawn, beside what is pinned, and what is said of them.

import { difference } from "./difference";
import { button, h, labelled, swap } from "./dom";
import { count, number } from "./format";
import { GraphView } from "./graph";
import { legend } from "./legend";
import { differenceTable, edgeTable, nodeTable } from "./lists";
import type { Scores } from "./messages";
import { stepsOf, type Models } from "./models";
import type { Context } from "./parts";
import { largest, through, type Shape } from "./shape";
import type { State } from "./state";

const AHEAD = 4;

interface Drawn {
  shape: Shape;
  scores: Scores;
  values: Float64Array;
  drawn: boolean[];
}

export interface CircuitContext extends Context {
  /** A node or an edge was clicked. */
  pick(name: string | null): void;
  /** Something is on the screen, so many ms after it was asked for; null where there is nothing to draw. */
  drawn(ms: number | null): void;
  fail(error: unknown): void;
  /** What failed before is well. */
  recovered(): void;
}

export class CircuitPanel {
  readonly element: HTMLElement;
  readonly graph: GraphView;
  private pinned: GraphView;
  private scales = new Map<string, number>();
  private drawnNow: Drawn | null = null;
  /** Counts what was asked to be shown: what comes too late is not. */
  private turn = 0;

  private below = h("div", { class: "below" });
  private facts = h("p", { class: "facts" });
  private changes = h("div", {});
  private pinnedTitle = h("p", { class: "facts" });
  private graphs = h("div", { class: "graphs" });
  private side = h("div", { class: "pinned", hidden: true });
  private top = h("input", { type: "range", min: 0, max: 100, step: 1, "data-testid": "top-slider" });
  private topSaid = h("output", {});
  private threshold = h("input", { type: "number", min: 0, step: "any", "data-testid": "threshold" });
  private focus = h("input", { type: "checkbox", "data-testid": "focus" });
  private circuit = h("input", { type: "checkbox", "data-testid": "circuit" });
  private compare = h("select", { "data-testid": "compare-select", "aria-label": "Pinned beside it" });
  private names = h("datalist", { id: `names-${Math.random().toString(36).slice(2)}` });

  constructor(
    private context: CircuitContext,
    private models: Models,
  ) {
    const unit = () => models.run.metric ?? "";
    const select = (name: string | null) => context.pick(name);
    this.graph = new GraphView(unit, { select, drawn: (ms) => context.drawn(ms) }, "Circuit graph; the lists below it say the same");
    this.pinned = new GraphView(unit, { select, drawn: () => undefined }, "Pinned circuit graph");
    this.graph.element.dataset.testid = "graph";
    this.side.append(this.pinned.element, this.pinnedTitle);
    this.graphs.append(this.graph.element, this.side);
    this.element = h("div", { class: "circuit" }, this.controls(), this.graphs, this.below);
  }

  /** There is more of the run. */
  grown(): void {
    this.scales.clear();
    this.pins();
  }

  /** The colours of the page have changed. */
  restyle(): void {
    this.graph.restyle();
    this.pinned.restyle();
  }

  private get state(): State {
    return this.context.state();
  }

  async show(): Promise<void> {
    const { model, step, compare } = this.state;
    const mine = ++this.turn;
    const shape = this.models.shape(model);
    this.graphs.hidden = shape === null;
    if (!shape) {
      this.drawnNow = null;
      swap(this.below, h("p", { class: "muted" }, `The edges of ${model} cannot be told apart, so there is no graph of it.`));
      this.context.drawn(null);
      return;
    }
    this.graph.use(shape);
    this.name(shape);
    if (!this.models.entry(model)?.scored.length) {
      this.drawNothing(shape);
      return;
    }
    try {
      const scores = await this.context.store.latest("scores", "scores", { model, step });
      const scale = scores && (await this.scale(model));
      if (scores === null || scale === null || mine !== this.turn) return;
      const found = this.chosen(shape, scores);
      this.drawnNow = found;
      this.graph.draw({ scores: found.values, drawn: found.drawn, scale });
      this.mark();
      this.context.recovered();
      this.tell(found, scale);
      await this.showPinned(compare, found, scale, mine);
      this.prefetch();
    } catch (error) {
      if (mine !== this.turn) return;
      this.drawNothing(shape); // rather no edges than those of another step
      this.context.fail(error);
    }
  }

  private drawNothing(shape: Shape): void {
    this.graph.draw({ scores: new Float64Array(shape.edges.length), drawn: shape.edges.map(() => false), scale: 0 });
    this.mark();
    swap(this.below, nodeTable(shape.nodes.map((node) => node.name), (name) => this.context.pick(name)));
  }

  private mark(): void {
    this.graph.select(this.state.selected);
    this.graph.ablate(this.state.tab === "prompt" ? this.state.ablated : []);
  }

  /** What can be searched for. */
  private name(shape: Shape): void {
    const names = shape.nodes.map((node) => node.name);
    if (this.names.children.length !== names.length || this.names.firstElementChild?.getAttribute("value") !== names[0]) {
      this.names.replaceChildren(...names.map((name) => h("option", { value: name })));
    }
  }

  private async showPinned(compare: State["compare"], found: Drawn, scale: number, turn: number): Promise<void> {
    this.side.hidden = compare === null;
    if (!compare) {
      this.changes.replaceChildren();
      return;
    }
    const shape = this.models.shape(compare.model);
    const scores = shape && (await this.context.store.latest("pinned", "scores", compare));
    if (!shape || !scores || turn !== this.turn) return;
    const before = this.chosen(shape, scores);
    this.pinned.use(shape);
    this.pinned.draw({ scores: before.values, drawn: before.drawn, scale });
    this.pinned.select(this.state.selected);
    this.pinnedTitle.textContent = `Pinned: ${compare.model} at step ${count(compare.step)}. ${facts(scores)}`;
    const unit = this.models.run.metric ?? "";
    swap(
      this.changes,
      h("h3", {}, `Against ${compare.model} at step ${count(compare.step)}`),
      differenceTable(difference(before, found), unit, (name) => this.context.pick(name)),
    );
  }

  /** Which edges of some scores are drawn, as the controls say. */
  private chosen(shape: Shape, scores: Scores): Drawn {
    const values = Float64Array.from(scores.values, (value) => value ?? Number.NaN);
    let drawn = largest(values, this.state.top, this.state.threshold);
    if (this.state.circuit && scores.inside) drawn = drawn.map((there, i) => there && (scores.inside?.[i] ?? false));
    const node = this.state.selected === null ? undefined : shape.nodeOf.get(this.state.selected);
    if (this.state.focus && node !== undefined) drawn = through(shape, node, drawn);
    return { shape, scores, values, drawn };
  }

  /** The largest score at a model's last step: as wide as an edge gets, so that edges grow over training. */
  private async scale(model: string): Promise<number> {
    const known = this.scales.get(model);
    if (known !== undefined) return known;
    const steps = this.models.entry(model)?.scored ?? [];
    const last = steps.length ? await this.context.store.get("scores", { model, step: steps[steps.length - 1] }) : null;
    const found = Math.max(0, ...(last?.values ?? []).map((value) => Math.abs(value ?? 0)));
    this.scales.set(model, found);
    return found;
  }

  private tell(found: Drawn, scale: number): void {
    const { top, threshold, selected, focus, circuit, compare } = this.state;
    const n = found.values.length;
    const shown = threshold > 0 ? found.drawn.filter(Boolean).length : Math.min(top, n);
    this.topSaid.textContent = `${count(shown)} of ${count(n)}`;
    this.top.setAttribute("aria-valuetext", `${shown} edges`);
    if (document.activeElement !== this.threshold) this.threshold.value = threshold ? String(threshold) : "";
    const isNode = selected !== null && found.shape.nodeOf.has(selected);
    if (document.activeElement !== this.top) this.top.value = String(sliderOf(shown, n));
    this.focus.checked = focus && isNode;
    this.focus.disabled = !isNode;
    this.circuit.checked = circuit && found.scores.inside !== null;
    this.circuit.disabled = found.scores.inside === null;
    this.compare.value = compare ? `${compare.model}@${compare.step}` : "";
    if (compare && this.compare.value === "") {
      const value = `${compare.model}@${compare.step}`;
      this.compare.append(h("option", { value }, `${compare.model}, step ${count(compare.step)}`));
      this.compare.value = value;
    }
    const unit = this.models.run.metric ?? "";
    this.facts.textContent = `${found.drawn.filter(Boolean).length} edges drawn. ${facts(found.scores)}`;
    const listed = found.shape.edges.flatMap((edge, i) =>
      found.drawn[i] ? [{ name: edge.name, score: found.values[i], inside: found.scores.inside?.[i] ?? null }] : [],
    );
    const select = (name: string) => this.context.pick(name);
    swap(
      this.below,
      legend(scale, unit, this.models.run.ablation ?? ""),
      this.facts,
      this.changes,
      edgeTable(listed, unit, select),
      nodeTable(found.shape.nodes.map((node) => node.name), select),
    );
  }

  private prefetch(): void {
    if (!this.models.run.stored) return; // each would be computed
    const { model, step } = this.state;
    const steps = this.models.entry(model)?.scored ?? [];
    const at = steps.indexOf(step);
    for (const near of steps.slice(Math.max(0, at - AHEAD), at + AHEAD + 1)) {
      this.context.store.get("scores", { model, step: near }).catch(() => undefined);
    }
  }

  private controls(): HTMLElement {
    const n = () => this.drawnNow?.values.length ?? 1;
    this.top.addEventListener("input", () => this.context.change({ top: topOf(Number(this.top.value), n()), threshold: 0 }));
    this.threshold.addEventListener("change", () => this.context.change({ threshold: Math.max(0, Number(this.threshold.value) || 0) }));
    this.focus.addEventListener("change", () => this.context.change({ focus: this.focus.checked }));
    this.circuit.addEventListener("change", () => this.context.change({ circuit: this.circuit.checked }));
    this.compare.addEventListener("change", () => {
      const [, model, step] = /^(.*)@(\d+)$/.exec(this.compare.value) ?? [];
      this.context.change({ compare: model ? { model, step: Number(step) } : null });
    });
    const search = h("input", { type: "search", list: this.names.id, placeholder: "L0.H1", "data-testid": "search" });
    search.addEventListener("change", () => this.find(search.value.trim()));
    this.pins();
    return h(
      "div",
      { class: "controls" },
      labelled("edges", this.top, this.topSaid),
      labelled("at least", this.threshold, ` ${this.models.run.metric ?? ""}`),
      labelled("find", search, this.names),
      labelled("only what leads to and from it", this.focus),
      labelled("only the circuit", this.circuit),
      h(
        "div",
        { class: "control" },
        labelled("beside", this.compare),
        button("Pin this", () => this.context.change({ compare: { model: this.state.model, step: this.state.step } }), {
          "data-testid": "pin",
        }),
      ),
    );
  }

  /** What can be pinned: the first and the last step of each model, and what is shown. */
  pins(): void {
    const options = this.models.run.models.flatMap((one) => {
      const steps = stepsOf(one);
      return [...new Set([steps[0], steps[steps.length - 1]])]
        .filter((step) => step !== undefined)
        .map((step) => h("option", { value: `${one.name}@${step}` }, `${one.name}, step ${count(step)}`));
    });
    this.compare.replaceChildren(h("option", { value: "" }, "nothing"), ...options);
  }

  private find(wanted: string): void {
    if (!wanted) return;
    const names = this.models.shape(this.state.model)?.nodes.map((node) => node.name) ?? [];
    const found =
      names.find((name) => name === wanted) ?? names.find((name) => name.toLowerCase().includes(wanted.toLowerCase()));
    if (found) this.context.pick(found);
    else this.context.status(`find: got ${wanted}; expected the name of a node, such as ${names[1] ?? "embed"}`);
  }
}

function facts(scores: Scores): string {
  if (scores.faithfulness === null) return "";
  const ends = scores.low === null ? "" : ` [${number(scores.low)}, ${number(scores.high)}]`;
  return (
    `Faithfulness of the final circuit ${number(scores.faithfulness)}${ends}, of random ones ${number(scores.random)};` +
    ` metric ${number(scores.metric_whole)} whole, ${number(scores.metric_none)} with all edges ablated.`
  );
}

/** The slider goes by factors: each hundredth of it is as many times more. */
function topOf(slider: number, n: number): number {
  return Math.max(1, Math.round(n ** (slider / 100)));
}

function sliderOf(top: number, n: number): number {
  return n <= 1 ? 100 : Math.round((100 * Math.log(Math.min(top, n))) / Math.log(n));
}
