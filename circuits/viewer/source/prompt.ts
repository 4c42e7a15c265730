// A prompt, what the model makes of it layer by layer, and what becomes of its answer without some nodes.

import { attention } from "./attention";
import { button, h, labelled, table } from "./dom";
import { number, share } from "./format";
import type { ForwardAnswer, Prediction, Questions } from "./messages";
import { filled, type Context } from "./parts";

export class PromptTab {
  readonly element = h("section", { class: "prompt", "aria-label": "A prompt" });
  private input = h("textarea", { rows: 2, "data-testid": "prompt-input", spellcheck: false });
  private other = h("textarea", { rows: 1, spellcheck: false, "data-testid": "prompt-other" });
  private ablated = h("div", { class: "ablated" });
  private answer = h("div", { "aria-live": "polite" });
  private head = h("select", { "aria-label": "Head whose pattern is shown" });

  constructor(private context: Context) {
    const run = () => this.context.change({ prompt: this.input.value, other: this.other.value });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        run();
      }
    });
    const tokens = this.context.run.task !== null;
    this.head.addEventListener("change", () => this.show());
    this.element.append(
      labelled(tokens ? "prompt, tokens with spaces between" : "prompt", this.input),
      labelled("patch from another prompt of the same length (else nodes write zero)", this.other),
      h(
        "div",
        { class: "row" },
        button("Run", run, { "data-testid": "prompt-run", class: "primary" }),
        h("span", { class: "muted" }, "Click nodes in the graph to ablate them."),
      ),
      this.ablated,
      this.answer,
    );
  }

  show(): void {
    const { model, step, prompt, other, ablated } = this.context.state();
    const task = this.context.run.task;
    const example = task ? task.example.map((token) => task.tokens[token] ?? String(token)).join(" ") : "";
    const shown = prompt || example;
    if (document.activeElement !== this.input) this.input.value = shown;
    if (document.activeElement !== this.other) this.other.value = other;
    this.ablated.replaceChildren(
      ...ablated.map((name) =>
        button(`${name} \u00d7`, () => this.context.change({ ablated: ablated.filter((one) => one !== name) }), {
          "aria-label": `Ablate ${name} no more`,
        }),
      ),
    );
    void filled(this.answer, this.asked({ model, step, ...this.tokens(shown, "tokens"), ...this.patched(other), ablated }));
  }

  private patched(text: string): { other?: number[] } | { error: string } {
    if (!text.trim()) return {};
    const found = this.tokens(text, "other");
    return "text" in found ? { error: "Patching from another prompt takes a model of a task." } : found;
  }

  /** What was typed, as tokens of the task, or as a text where there is no task. */
  private tokens(text: string, field: "tokens" | "other"): Record<string, unknown> {
    const task = this.context.run.task;
    if (!task) return { text };
    const numbers = new Map(task.tokens.map((token, i) => [token, i]));
    const words = text.trim().split(/\s+/);
    const unknown = words.find((word) => !numbers.has(word));
    if (unknown !== undefined) {
      const some = task.tokens.slice(0, 12).join(" ");
      return { error: `${field}: got ${unknown}; expected tokens of the task: ${some}${task.tokens.length > 12 ? " \u2026" : ""}` };
    }
    return { [field]: words.map((word) => numbers.get(word) as number) };
  }

  private async asked(params: Record<string, unknown>): Promise<HTMLElement[] | null> {
    if (typeof params.error === "string") throw new Error(params.error);
    const found = await this.context.store.latest("forward", "forward", params as Questions["forward"][0]);
    return found && this.parts(found);
  }

  private parts(found: ForwardAnswer): HTMLElement[] {
    const before = new Map(found.without.map((one) => [one.token, one]));
    const changed = this.context.state().ablated.length > 0;
    const rows = found.predictions.map((one) => {
      const was = before.get(one.token);
      const cells = [one.token, share(one.probability), number(one.logit)];
      return changed ? [...cells, share(was?.probability ?? null), number(was?.logit ?? null)] : cells;
    });
    const names = ["token", "probability", "logit"];
    const heads = found.patterns.map((pattern) => pattern.head);
    const wanted = heads.includes(this.head.value) ? this.head.value : (heads[0] ?? "");
    this.head.replaceChildren(...heads.map((name) => h("option", { value: name, selected: name === wanted }, name)));
    const parts: HTMLElement[] = [
      h("h3", {}, "What it says next"),
      table(changed ? [...names, "without ablating", "logit"] : names, rows, {
        class: "numbers",
        "data-testid": "predictions",
      }),
      h("h3", {}, "After each layer (logit lens)"),
      table(
        ["after", "says", "then", `P(${found.without[0]?.token ?? "first"})`],
        found.lens.map((layer) => [layer.name, told(layer.top[0]), told(layer.top[1]), share(layer.right)]),
        { class: "numbers" },
      ),
    ];
    const pattern = found.patterns.find((one) => one.head === wanted);
    if (pattern) {
      const width = Math.max(240, Math.min(440, this.element.clientWidth - 24));
      parts.push(h("h3", {}, "Attention ", this.head), attention(pattern, found.tokens, "the prompt", width));
    }
    return parts;
  }
}

function told(one: Prediction | undefined): string {
  return one ? `${one.token} (${share(one.probability)})` : "";
}
