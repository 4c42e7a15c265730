// The viewer: holds what is shown, asks for it, and hands it to the parts of the page.

import { onSchemeChange } from "./colors";
import { difference } from "./difference";
import { button, h, labelled, save, swap } from "./dom";
import { count, number } from "./format";
import { GraphView } from "./graph";
import { Header } from "./header";
import { legend } from "./legend";
import { differenceTable, edgeTable, nodeTable } from "./lists";
import { MapTab } from "./memorization";
import type { ModelEntry, Run, Scores } from "./messages";
import { PartPanel, type Context } from "./parts";
import { png, svg } from "./picture";
import { PromptTab } from "./prompt";
import { largest, shapeOf, through, type Shape } from "./shape";
import { INITIAL, fromHash, toHash, toPython, type State, type Tab } from "./state";
import { Store } from "./store";
import { Timeline } from "./timeline";
import type { Transport } from "./transports";

const AHEAD = 4;

/** Where the state is kept: the page's address, or a notebook's widget. */
export interface Address {
  read(): string;
  write(hash: string): void;
  onChange(callback: () => void): void;
}

/** What tests and the curious may look at. */
export interface Inspected {
  state(): State;
  cy(): unknown;
  timings: number[];
}

interface Drawn {
  shape: Shape;
  scores: Scores;
  values: Float64Array;
  drawn: boolean[];
}

export class App implements Context {
  readonly store: Store;
  readonly inspected: Inspected;
  private now: State;
  private shapes = new Map<string, Shape>();
  private scales = new Map<string, number>();
  private pending = false;
  private failed = false;
  private timings: number[] = [];
  private drawnNow: Drawn | null = null;
  /** Counts what was asked to be shown: what comes too late is not. */
  private turn = 0;

  private header: Header;
  private timeline: Timeline;
  private graph: GraphView;
  private pinned: GraphView;
  private part: PartPanel;
  private prompt: PromptTab;
  private map: MapTab;
  private said = h("p", { class: "status", role: "status", "aria-live": "polite", "data-testid": "status" });
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
  private tabs: Record<Tab, HTMLButtonElement>;
  private panels: Record<Tab, HTMLElement>;

  constructor(
    private place: HTMLElement,
    transport: Transport,
    private address: Address,
    public run: Run,
  ) {
    this.store = new Store(transport);
    this.now = this.valid(fromHash(address.read()));
    const drawn = (ms: number) => this.timed(ms);
    const select = (name: string | null) => this.pick(name);
    const unit = () => this.run.metric ?? "";
    this.graph = new GraphView(unit, { select, drawn }, "Circuit graph; the lists below it say the same");
    this.pinned = new GraphView(unit, { select, drawn: () => undefined }, "Pinned circuit graph");
    this.graph.element.dataset.testid = "graph";
    this.side.append(this.pinned.element, this.pinnedTitle);
    this.graphs.append(this.graph.element, this.side);
    this.header = new Header(this);
    this.timeline = new Timeline((step) => this.change({ step }));
    this.part = new PartPanel(this);
    this.prompt = new PromptTab(this);
    this.map = new MapTab(this);
    this.panels = { part: this.part.element, prompt: this.prompt.element, map: this.map.element };
    const tab = (name: Tab, title: string) =>
      button(title, () => this.change({ tab: name }), { role: "tab", "data-testid": `tab-${name}` });
    this.tabs = { part: tab("part", "Part"), prompt: tab("prompt", "Prompt"), map: tab("map", "Memorization") };
    this.inspected = { state: () => this.now, cy: () => this.graph.cy, timings: this.timings };
    place.classList.add("grokscope");
    place.replaceChildren(
      this.header.element,
      ...this.run.notes.map((note) => h("p", { class: "note" }, note)),
      this.timeline.element,
      h(
        "main",
        {},
        h(
          "div",
          { class: "circuit" },
          this.controls(),
          this.graphs,
          this.below,
        ),
        h("aside", {}, h("div", { role: "tablist", class: "tabs" }, ...Object.values(this.tabs)), ...Object.values(this.panels)),
      ),
      h("footer", {}, this.said, this.exports()),
    );
    address.onChange(() => {
      this.now = this.valid(fromHash(address.read()));
      this.render();
    });
    transport.onChange?.(run, (next) => this.follow(next));
    onSchemeChange(() => {
      this.graph.restyle();
      this.pinned.restyle();
      this.render();
    });
    this.render();
  }

  state(): State {
    return this.now;
  }

  change(update: Partial<State>): void {
    this.now = { ...this.now, ...update };
    this.address.write(toHash(this.now));
    // a slider may say more than can be drawn: what counts is where it is when there is time
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.render();
    });
  }

  /** A node or an edge was clicked: it is told of; beside a prompt, a node is ablated, or is so no more. */
  private pick(name: string | null): void {
    const shape = this.shape(this.now.model);
    if (this.now.tab !== "prompt") this.change({ selected: name, tab: "part" });
    else if (name !== null && shape?.writers.has(name)) {
      const others = this.now.ablated.filter((one) => one !== name);
      this.change({ ablated: others.length < this.now.ablated.length ? others : [...others, name] });
    } else if (name !== null) this.status(`${name} cannot be ablated here: click embed, a head or an MLP.`);
  }

  status(text: string): void {
    this.failed = false;
    this.said.textContent = text;
  }

  /** A state that can be shown: what is not there is replaced by what is. */
  private valid(wanted: Partial<State>): State {
    const scored = this.run.models.filter((one) => one.scored.length);
    const entry =
      this.run.models.find((one) => one.name === wanted.model) ?? scored[scored.length - 1] ?? this.run.models[0];
    const steps = this.stepsOf(entry);
    const step = wanted.step !== undefined && steps.includes(wanted.step) ? wanted.step : (steps[steps.length - 1] ?? 0);
    const other = this.run.models.find((one) => one.name === wanted.compare?.model);
    const compare = wanted.compare && this.stepsOf(other).includes(wanted.compare.step) ? wanted.compare : null;
    return { ...INITIAL, ...wanted, model: entry?.name ?? "", step, compare };
  }

  private stepsOf(entry: ModelEntry | undefined): number[] {
    return entry ? (entry.scored.length ? entry.scored : entry.steps) : [];
  }

  private entry(model: string): ModelEntry | undefined {
    return this.run.models.find((one) => one.name === model);
  }

  private shape(model: string): Shape | null {
    const graph = this.entry(model)?.graph;
    if (!graph) return null;
    const known = this.shapes.get(model) ?? shapeOf(graph);
    this.shapes.set(model, known);
    return known;
  }

  private render(): void {
    const shape = this.shape(this.now.model);
    this.header.show(this.run);
    this.timeline.at(this.now.step);
    for (const [name, panel] of Object.entries(this.panels) as [Tab, HTMLElement][]) {
      panel.hidden = name !== this.now.tab;
      this.tabs[name].setAttribute("aria-selected", String(name === this.now.tab));
    }
    void this.showCurves();
    void this.showCircuit();
    const { selected } = this.now;
    const isNode = selected === null || !shape ? null : shape.nodeOf.has(selected);
    if (this.now.tab === "part") this.part.show(isNode || (selected !== null && shape?.edgeOf.has(selected)) ? isNode : null);
    if (this.now.tab === "prompt") this.prompt.show();
    if (this.now.tab === "map") this.map.show();
  }

  private curvesOf = "";

  private async showCurves(): Promise<void> {
    const { model } = this.now;
    const wanted = `${model} ${this.run.revision}`;
    if (wanted === this.curvesOf) return;
    try {
      const found = await this.store.latest("curves", "curves", { model });
      if (!found || model !== this.now.model) return;
      this.curvesOf = wanted;
      this.timeline.use(found, this.stepsOf(this.entry(model)));
      this.timeline.at(this.now.step);
    } catch (error) {
      this.fail(error);
    }
  }

  private async showCircuit(): Promise<void> {
    const { model, step, compare } = this.now;
    const mine = ++this.turn;
    const shape = this.shape(model);
    this.graphs.hidden = shape === null;
    if (!shape) {
      this.drawnNow = null;
      swap(this.below, h("p", { class: "muted" }, `The edges of ${model} cannot be told apart, so there is no graph of it.`));
      this.place.dataset.ready = "true";
      return;
    }
    this.graph.use(shape);
    try {
      const scores = await this.store.latest("scores", "scores", { model, step });
      const scale = scores && (await this.scale(model));
      if (scores === null || scale === null || mine !== this.turn) return;
      const found = this.chosen(shape, scores);
      this.drawnNow = found;
      this.graph.draw({ scores: found.values, drawn: found.drawn, scale });
      this.graph.select(this.now.selected);
      this.graph.ablate(this.now.tab === "prompt" ? this.now.ablated : []);
      if (this.failed) this.status("");
      this.tell(found, scale);
      await this.showPinned(compare, found, scale, mine);
      this.prefetch();
    } catch (error) {
      if (mine !== this.turn) return;
      // rather no edges than those of another step
      this.graph.draw({ scores: new Float64Array(shape.edges.length), drawn: shape.edges.map(() => false), scale: 0 });
      this.below.replaceChildren();
      this.fail(error);
    }
  }

  private async showPinned(compare: State["compare"], found: Drawn, scale: number, turn: number): Promise<void> {
    this.side.hidden = compare === null;
    if (!compare) {
      this.changes.replaceChildren();
      return;
    }
    const shape = this.shape(compare.model);
    const scores = shape && (await this.store.latest("pinned", "scores", compare));
    if (!shape || !scores || turn !== this.turn) return;
    const before = this.chosen(shape, scores);
    this.pinned.use(shape);
    this.pinned.draw({ scores: before.values, drawn: before.drawn, scale });
    this.pinned.select(this.now.selected);
    this.pinnedTitle.textContent = `Pinned: ${compare.model} at step ${count(compare.step)}. ${facts(scores)}`;
    const unit = this.run.metric ?? "";
    swap(
      this.changes,
      h("h3", {}, `Against ${compare.model} at step ${count(compare.step)}`),
      differenceTable(difference(before, found), unit, (name) => this.pick(name)),
    );
  }

  /** Which edges of some scores are drawn, as the controls say. */
  private chosen(shape: Shape, scores: Scores): Drawn {
    const values = Float64Array.from(scores.values, (value) => value ?? Number.NaN);
    let drawn = largest(values, this.now.top, this.now.threshold);
    if (this.now.circuit && scores.inside) drawn = drawn.map((there, i) => there && (scores.inside?.[i] ?? false));
    const node = this.now.selected === null ? undefined : shape.nodeOf.get(this.now.selected);
    if (this.now.focus && node !== undefined) drawn = through(shape, node, drawn);
    return { shape, scores, values, drawn };
  }

  /** The largest score at a model's last step: as wide as an edge gets, so that edges grow over training. */
  private async scale(model: string): Promise<number> {
    const known = this.scales.get(model);
    if (known !== undefined) return known;
    const steps = this.entry(model)?.scored ?? [];
    const last = steps.length ? await this.store.get("scores", { model, step: steps[steps.length - 1] }) : null;
    const found = Math.max(0, ...(last?.values ?? []).map((value) => Math.abs(value ?? 0)));
    this.scales.set(model, found);
    return found;
  }

  private tell(found: Drawn, scale: number): void {
    const { top, threshold, selected, focus, circuit, compare } = this.now;
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
    const names = found.shape.nodes.map((node) => node.name);
    if (this.names.children.length !== names.length || this.names.firstElementChild?.getAttribute("value") !== names[0]) {
      this.names.replaceChildren(...names.map((name) => h("option", { value: name })));
    }
    const unit = this.run.metric ?? "";
    this.facts.textContent = `${found.drawn.filter(Boolean).length} edges drawn. ${facts(found.scores)}`;
    const listed = found.shape.edges.flatMap((edge, i) =>
      found.drawn[i] ? [{ name: edge.name, score: found.values[i], inside: found.scores.inside?.[i] ?? null }] : [],
    );
    const select = (name: string) => this.pick(name);
    swap(
      this.below,
      legend(scale, unit, this.run.ablation ?? ""),
      this.facts,
      this.changes,
      edgeTable(listed, unit, select),
      nodeTable(names, select),
    );
  }

  private prefetch(): void {
    if (!this.run.stored) return; // each would be computed
    const { model, step } = this.now;
    const steps = this.entry(model)?.scored ?? [];
    const at = steps.indexOf(step);
    for (const near of steps.slice(Math.max(0, at - AHEAD), at + AHEAD + 1)) {
      this.store.get("scores", { model, step: near }).catch(() => undefined);
    }
  }

  private timed(ms: number): void {
    if (!this.timings.length) performance.mark("grokscope:first-paint");
    this.timings.push(ms);
    if (this.timings.length > 1000) this.timings.shift();
    this.place.dataset.ready = "true";
  }

  /** There is more of the run. Whoever was at the last step stays at the last one. */
  private follow(next: Run): void {
    const steps = this.stepsOf(this.entry(this.now.model));
    const atEnd = this.now.step === steps[steps.length - 1];
    for (const one of next.models) {
      const known = this.entry(one.name)?.graph ?? null;
      if (JSON.stringify(known) !== JSON.stringify(one.graph)) this.shapes.delete(one.name);
    }
    this.run = next;
    this.store.forget();
    this.scales.clear();
    const after = this.stepsOf(this.entry(this.now.model));
    this.pins();
    this.status(`The run has grown: ${count(after.length)} steps of ${this.now.model}.`);
    this.change(atEnd ? { step: after[after.length - 1] ?? this.now.step } : {});
  }

  private fail(error: unknown): void {
    this.status(error instanceof Error ? error.message : String(error));
    this.failed = true;
  }

  private controls(): HTMLElement {
    const n = () => this.drawnNow?.values.length ?? 1;
    this.top.addEventListener("input", () => this.change({ top: topOf(Number(this.top.value), n()), threshold: 0 }));
    this.threshold.addEventListener("change", () => this.change({ threshold: Math.max(0, Number(this.threshold.value) || 0) }));
    this.focus.addEventListener("change", () => this.change({ focus: this.focus.checked }));
    this.circuit.addEventListener("change", () => this.change({ circuit: this.circuit.checked }));
    this.compare.addEventListener("change", () => {
      const [, model, step] = /^(.*)@(\d+)$/.exec(this.compare.value) ?? [];
      this.change({ compare: model ? { model, step: Number(step) } : null });
    });
    const search = h("input", { type: "search", list: this.names.id, placeholder: "L0.H1", "data-testid": "search" });
    search.addEventListener("change", () => this.find(search.value.trim()));
    this.pins();
    return h(
      "div",
      { class: "controls" },
      labelled("edges", this.top, this.topSaid),
      labelled("at least", this.threshold, ` ${this.run.metric ?? ""}`),
      labelled("find", search, this.names),
      labelled("only what leads to and from it", this.focus),
      labelled("only the circuit", this.circuit),
      h(
        "div",
        { class: "control" },
        labelled("beside", this.compare),
        button("Pin this", () => this.change({ compare: { model: this.now.model, step: this.now.step } }), {
          "data-testid": "pin",
        }),
      ),
    );
  }

  /** What can be pinned: the first and the last step of each model, and what is shown. */
  private pins(): void {
    const options = this.run.models.flatMap((one) => {
      const steps = this.stepsOf(one);
      return [...new Set([steps[0], steps[steps.length - 1]])]
        .filter((step) => step !== undefined)
        .map((step) => h("option", { value: `${one.name}@${step}` }, `${one.name}, step ${count(step)}`));
    });
    this.compare.replaceChildren(h("option", { value: "" }, "nothing"), ...options);
  }

  private find(wanted: string): void {
    if (!wanted) return;
    const names = this.shape(this.now.model)?.nodes.map((node) => node.name) ?? [];
    const found =
      names.find((name) => name === wanted) ?? names.find((name) => name.toLowerCase().includes(wanted.toLowerCase()));
    if (found) this.pick(found);
    else this.status(`find: got ${wanted}; expected the name of a node, such as ${names[1] ?? "embed"}`);
  }

  private exports(): HTMLElement {
    const title = () => `${this.run.name}: ${this.now.model}, step ${this.now.step}`;
    const file = (end: string) => `${this.run.name}-${this.now.model}-step${this.now.step}.${end}`.replace(/[^\w.-]+/g, "_");
    const copy = async () => {
      const text = toPython(this.run.address, this.now);
      try {
        await navigator.clipboard.writeText(text);
        this.status("Copied the Python call.");
      } catch {
        this.status(text);
      }
    };
    return h(
      "div",
      { class: "row" },
      button("PNG", () => void png(this.graph.cy).then((blob) => save(file("png"), blob)), { "data-testid": "export-png" }),
      button("SVG", () => save(file("svg"), svg(this.graph.cy, title())), { "data-testid": "export-svg" }),
      button("Copy Python", () => void copy(), { "data-testid": "copy-python" }),
    );
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
