// Which model and which step: size and time as sliders.

import { button, h, labelled } from "./dom";
import { count, size } from "./format";
import type { Run } from "./messages";
import { stepsOf } from "./models";
import type { Context } from "./parts";

const FRAME_MS = 220;

export class Header {
  readonly element: HTMLElement;
  private models = h("input", { type: "range", min: 0, step: 1, "data-testid": "size-slider" });
  private model = h("select", { "aria-label": "Model" });
  private steps = h("input", { type: "range", min: 0, step: 1, "data-testid": "step-slider", class: "wide" });
  private step = h("output", {});
  private title = h("h1", {});
  private play: HTMLButtonElement;
  private playing: ReturnType<typeof setInterval> | null = null;

  constructor(private context: Context) {
    this.models.addEventListener("input", () => this.chooseModel(context.run.models[Number(this.models.value)].name));
    this.model.addEventListener("change", () => this.chooseModel(this.model.value));
    this.steps.addEventListener("input", () => context.change({ step: this.all()[Number(this.steps.value)] }));
    this.play = button("Play", () => this.toggle(), { "data-testid": "play" });
    this.element = h(
      "header",
      {},
      this.title,
      labelled("size", this.models, this.model),
      h(
        "div",
        { class: "control grow" },
        labelled("step", this.steps),
        button("\u2039", () => this.move(-1), { "aria-label": "Previous step" }),
        button("\u203a", () => this.move(1), { "aria-label": "Next step" }),
        this.play,
        this.step,
      ),
    );
  }

  /** Steps of the model that is shown, of which there is something to see. */
  all(): number[] {
    return stepsOf(this.context.run.models.find((one) => one.name === this.context.state().model));
  }

  show(run: Run): void {
    const { model, step } = this.context.state();
    this.title.textContent = run.name;
    const at = run.models.findIndex((one) => one.name === model);
    this.models.max = String(run.models.length - 1);
    this.models.value = String(at);
    const names = run.models.map((one) => `${one.name} (${size(one.n_params)})`);
    this.models.setAttribute("aria-valuetext", names[at] ?? "");
    if (this.model.options.length !== run.models.length) {
      this.model.replaceChildren(...run.models.map((one, i) => h("option", { value: one.name }, names[i])));
    }
    this.model.value = model;
    const steps = this.all();
    this.steps.max = String(Math.max(0, steps.length - 1));
    this.steps.value = String(steps.indexOf(step));
    this.steps.setAttribute("aria-valuetext", `step ${step}`);
    this.step.textContent = count(step);
  }

  private chooseModel(model: string): void {
    const before = this.context.state().step;
    const steps = stepsOf(this.context.run.models.find((one) => one.name === model));
    let step = steps[0] ?? 0;
    for (const one of steps) if (Math.abs(one - before) < Math.abs(step - before)) step = one;
    this.context.change({ model, step });
  }

  private move(by: number): boolean {
    const steps = this.all();
    const next = steps[steps.indexOf(this.context.state().step) + by];
    if (next === undefined) return false;
    this.context.change({ step: next });
    return true;
  }

  private toggle(): void {
    if (this.playing === null) {
      if (!this.move(1)) this.context.change({ step: this.all()[0] });
      this.playing = setInterval(() => {
        if (!this.move(1)) this.toggle();
      }, FRAME_MS);
    } else {
      clearInterval(this.playing);
      this.playing = null;
    }
    this.play.textContent = this.playing === null ? "Play" : "Stop";
  }
}
