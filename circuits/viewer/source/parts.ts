// What is told of the node or edge that is selected.

import { attention } from "./attention";
import { bars, plane, strip } from "./charts";
import { button, h, labelled, table } from "./dom";
import { count, interval, number } from "./format";
import { historyChart } from "./history";
import type { EdgeAnswer, NodeAnswer, Run } from "./messages";
import type { State } from "./state";
import type { Store } from "./store";

export interface Context {
  store: Store;
  run: Run;
  state(): State;
  change(update: Partial<State>): void;
  status(text: string): void;
}

/** A part of the page that fills when its answer comes, and says so if there is none. */
export async function filled(place: HTMLElement, answer: Promise<HTMLElement[] | null>): Promise<void> {
  place.setAttribute("aria-busy", "true");
  try {
    const found = await answer;
    if (found) place.replaceChildren(...found);
    else return;
  } catch (error) {
    place.replaceChildren(h("p", { class: "failure" }, error instanceof Error ? error.message : String(error)));
  }
  place.removeAttribute("aria-busy");
}

export class PartPanel {
  readonly element = h("section", { class: "part", "data-testid": "panel", "aria-label": "The selected part" });
  private over = h("div", {});
  private now = h("div", {});
  private name: string | null = null;

  constructor(private context: Context) {}

  show(isNode: boolean | null): void {
    const { selected } = this.context.state();
    if (selected === null || isNode === null) {
      this.name = null;
      this.element.replaceChildren(
        h("p", { class: "muted" }, "Select a node or an edge, in the graph or in the lists below it."),
      );
      return;
    }
    if (this.name !== selected) {
      this.name = selected;
      this.now.replaceChildren();
      const clear = button("clear", () => this.context.change({ selected: null, focus: false }), {
        "aria-label": "Select nothing",
      });
      this.element.replaceChildren(h("h2", {}, selected, " ", clear), this.now, this.over);
    }
    void filled(this.now, isNode ? this.node(selected) : this.edge(selected));
    void filled(this.over, this.history(selected, isNode));
  }

  private get width(): number {
    return Math.max(240, Math.min(440, this.element.clientWidth - 24));
  }

  private async history(name: string, isNode: boolean): Promise<HTMLElement[] | null> {
    const found = await this.context.store.latest("history", "history", { name });
    if (!found) return null;
    const title = isNode ? "Over steps and sizes: sizes of its edges' scores, summed" : "Score over steps and sizes";
    return [h("h3", {}, title), historyChart(found, this.context.state().step, this.context.run.metric ?? "", this.width)];
  }

  private async edge(edge: string): Promise<HTMLElement[] | null> {
    const { model, step } = this.context.state();
    const found = await this.context.store.latest("part", "edge", { model, step, edge });
    return found && this.edgeParts(found);
  }

  private edgeParts(found: EdgeAnswer): HTMLElement[] {
    const rows = [
      ["score (attribution)", found.score],
      ["metric, whole model", found.whole],
      ["metric, edge ablated", found.ablated],
      ["change by ablating it", found.change],
    ] as const;
    return [
      h("h3", {}, "What ablating it does"),
      table(
        ["", `mean [95 % over ${count(found.change.n)} pairs]`],
        rows.map(([name, estimate]) => [name, interval(estimate)]),
        { class: "numbers", "data-testid": "edge-change" },
      ),
      h("p", { class: "muted" }, `${found.metric}; ablated: ${found.ablation}, at step ${count(found.step)}.`),
      h("h3", {}, "Score on each pair"),
      h("div", {}, strip(found.values, found.score, `score (${found.metric})`, this.width)),
    ];
  }

  private async node(node: string): Promise<HTMLElement[] | null> {
    const { model, step, example } = this.context.state();
    const found = await this.context.store.latest("part", "node", { model, step, node, example });
    return found && this.nodeParts(found);
  }

  private nodeParts(found: NodeAnswer): HTMLElement[] {
    const parts: HTMLElement[] = [];
    const most = (this.context.run.task?.n_examples ?? 1) - 1;
    const chooser = h("input", { type: "number", min: 0, max: most, value: found.example });
    chooser.addEventListener("change", () => {
      const wanted = Math.max(0, Math.min(most, Math.round(Number(chooser.value) || 0)));
      this.context.change({ example: wanted });
    });
    if (found.pattern) {
      parts.push(
        h("h3", {}, "Attention"),
        labelled("example", chooser, h("span", { class: "muted" }, found.tokens.join(" "))),
        attention(found.pattern, found.tokens, `example ${found.example}`, this.width),
      );
    }
    if (found.attribution) {
      const said = `${interval(found.attribution)} ${this.context.run.metric ?? ""}`;
      parts.push(h("h3", {}, "Written to the answer directly"), h("p", {}, said));
    }
    if (found.roles.length) {
      const rows = found.roles.map((role) => [role.name, interval(role.value), role.control ? interval(role.control) : ""]);
      parts.push(h("h3", {}, "Roles"), table(["share of attention", "mean [95 %]", "control"], rows, { class: "numbers" }));
    }
    if (found.spectrum) {
      const { what, frequency, share: shares, key, circle_x, circle_y } = found.spectrum;
      parts.push(
        h("h3", {}, `Fourier spectrum of ${what}`),
        h("div", {}, bars(shares, frequency, key, {
          x: "frequency", y: "share of variance", width: this.width, height: 120, label: `Spectrum, largest at ${key}`,
        })),
        h("div", {}, plane(circle_x, circle_y, {
          x: `cos, frequency ${key}`, y: "sin", width: 220, height: 200, label: `Circle of frequency ${key}`,
        })),
      );
    }
    if (found.top.length) {
      const rows = found.top.map((one) => [
        button(String(one.example), () => this.context.change({ example: one.example }), { class: "link" }),
        one.tokens.join(" "),
        number(one.size),
        one.correct ? "right" : "wrong",
      ]);
      parts.push(
        h("h3", {}, "Examples on which it writes most"),
        table(["example", "tokens", "norm", "model is"], rows, { class: "numbers" }),
      );
    }
    return parts.length ? parts : [h("p", { class: "muted" }, "There is nothing more to tell of it here.")];
  }
}
