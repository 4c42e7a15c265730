// The viewer: holds what is shown, asks for it, and hands it to the parts of the page.

import { CircuitPanel, type CircuitContext } from "./circuit";
import { onSchemeChange } from "./colors";
import { button, h, save } from "./dom";
import { count } from "./format";
import { Header } from "./header";
import { MapTab } from "./memorization";
import type { Run } from "./messages";
import { Models, stepsOf } from "./models";
import { PartPanel } from "./parts";
import { png, svg } from "./picture";
import { PromptTab } from "./prompt";
import { INITIAL, fromHash, toHash, toPython, type State, type Tab } from "./state";
import { Store } from "./store";
import { Timeline } from "./timeline";
import type { Transport } from "./transports";

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

export class App implements CircuitContext {
  readonly store: Store;
  readonly inspected: Inspected;
  private models: Models;
  private now: State;
  private pending = false;
  private failed = false;
  private timings: number[] = [];

  private header: Header;
  private timeline: Timeline;
  private circuit: CircuitPanel;
  private part: PartPanel;
  private prompt: PromptTab;
  private map: MapTab;
  private said = h("p", { class: "status", role: "status", "aria-live": "polite", "data-testid": "status" });
  private tabs: Record<Tab, HTMLButtonElement>;
  private panels: Record<Tab, HTMLElement>;

  constructor(
    private place: HTMLElement,
    transport: Transport,
    private address: Address,
    run: Run,
  ) {
    this.models = new Models(run);
    this.store = new Store(transport);
    this.now = this.valid(fromHash(address.read()));
    this.circuit = new CircuitPanel(this, this.models);
    this.header = new Header(this);
    this.timeline = new Timeline((step) => this.change({ step }));
    this.part = new PartPanel(this);
    this.prompt = new PromptTab(this);
    this.map = new MapTab(this);
    this.panels = { part: this.part.element, prompt: this.prompt.element, map: this.map.element };
    const tab = (name: Tab, title: string) =>
      button(title, () => this.change({ tab: name }), { role: "tab", "data-testid": `tab-${name}` });
    this.tabs = { part: tab("part", "Part"), prompt: tab("prompt", "Prompt"), map: tab("map", "Memorization") };
    this.inspected = { state: () => this.now, cy: () => this.circuit.graph.cy, timings: this.timings };
    place.classList.add("grokscope");
    place.replaceChildren(
      this.header.element,
      ...this.run.notes.map((note) => h("p", { class: "note" }, note)),
      this.timeline.element,
      h(
        "main",
        {},
        this.circuit.element,
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
      this.circuit.restyle();
      this.render();
    });
    this.render();
  }

  get run(): Run {
    return this.models.run;
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
  pick(name: string | null): void {
    const shape = this.models.shape(this.now.model);
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
    const steps = stepsOf(entry);
    const step = wanted.step !== undefined && steps.includes(wanted.step) ? wanted.step : (steps[steps.length - 1] ?? 0);
    const other = this.run.models.find((one) => one.name === wanted.compare?.model);
    const compare = wanted.compare && stepsOf(other).includes(wanted.compare.step) ? wanted.compare : null;
    return { ...INITIAL, ...wanted, model: entry?.name ?? "", step, compare };
  }

  private render(): void {
    const shape = this.models.shape(this.now.model);
    this.header.show(this.run);
    this.timeline.at(this.now.step);
    for (const [name, panel] of Object.entries(this.panels) as [Tab, HTMLElement][]) {
      panel.hidden = name !== this.now.tab;
      this.tabs[name].setAttribute("aria-selected", String(name === this.now.tab));
    }
    void this.showCurves();
    void this.circuit.show();
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
      this.timeline.use(found, this.models.stepsOf(model));
      this.timeline.at(this.now.step);
    } catch (error) {
      this.fail(error);
    }
  }

  drawn(ms: number | null): void {
    this.place.dataset.ready = "true";
    if (ms === null) return;
    if (!this.timings.length) performance.mark("grokscope:first-paint");
    this.timings.push(ms);
    if (this.timings.length > 1000) this.timings.shift();
  }

  /** There is more of the run. Whoever was at the last step stays at the last one. */
  private follow(next: Run): void {
    const steps = this.models.stepsOf(this.now.model);
    const atEnd = this.now.step === steps[steps.length - 1];
    this.models.grown(next);
    this.store.forget();
    const after = this.models.stepsOf(this.now.model);
    this.circuit.grown();
    this.status(`The run has grown: ${count(after.length)} steps of ${this.now.model}.`);
    this.change(atEnd ? { step: after[after.length - 1] ?? this.now.step } : {});
  }

  fail(error: unknown): void {
    this.status(error instanceof Error ? error.message : String(error));
    this.failed = true;
  }

  recovered(): void {
    if (this.failed) this.status("");
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
      button("PNG", () => void png(this.circuit.graph.cy).then((blob) => save(file("png"), blob)), { "data-testid": "export-png" }),
      button("SVG", () => save(file("svg"), svg(this.circuit.graph.cy, title())), { "data-testid": "export-svg" }),
      button("Copy Python", () => void copy(), { "data-testid": "copy-python" }),
    );
  }
}
