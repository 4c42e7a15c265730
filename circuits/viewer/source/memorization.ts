// Which questions are answered rightly: operand by operand, or example by step.

import { heat } from "./charts";
import { SEQUENTIAL } from "./colors";
import { h } from "./dom";
import { count, number, share } from "./format";
import type { OperandMap } from "./messages";
import { filled, type Context } from "./parts";

export class MapTab {
  readonly element = h("section", { class: "map", "data-testid": "map", "aria-label": "Memorization map" });

  constructor(private context: Context) {}

  show(): void {
    if (!this.context.run.task?.mapped) {
      this.element.replaceChildren(h("p", { class: "muted" }, "The task's questions are no table of two operands. Of a run with the probe recall, questions are shown over steps."));
      return;
    }
    void filled(this.element, this.asked());
  }

  private async asked(): Promise<HTMLElement[] | null> {
    const { model, step } = this.context.state();
    const found = await this.context.store.latest("map", "map", { model, step });
    return found && this.parts(found);
  }

  private parts(found: OperandMap): HTMLElement[] {
    const told = h("p", { class: "hovered", "aria-live": "off" }, "Point at a question.");
    const cells = found.right.map((row, i) =>
      row.map((value, j) => ({ value, title: this.title(found, i, j), marked: found.held_out?.[i]?.[j] ?? false })),
    );
    const known = found.correct.flat().filter((one) => one !== null);
    const correct = known.filter(Boolean).length;
    const told_width = Math.max(240, Math.min(560, this.element.clientWidth - 24));
    const label = `Probability of the right answer, ${found.row_title} by ${found.column_title}, step ${found.step}`;
    const axes = { rows: found.rows, columns: found.columns, y: found.row_title, x: found.column_title, label };
    const map = heat(cells, { ...axes, width: told_width }, (text) => {
      told.textContent = text;
    });
    const ramp = h("span", { class: "ramp", "aria-hidden": "true" });
    ramp.style.background = `linear-gradient(to right, ${SEQUENTIAL.join(",")})`;
    return [
      h("p", {}, `${count(correct)} of ${count(known.length)} right at step ${count(found.step)}.`),
      map,
      told,
      h(
        "p",
        { class: "muted legend" },
        "probability of the right answer 0 ",
        ramp,
        " 1",
        found.held_out ? "; a dot: not trained on" : "",
      ),
    ];
  }

  private title(found: OperandMap, i: number, j: number): string {
    const parts = [`${found.rows[i]}, ${found.columns[j]}`];
    if (found.answer) parts.push(`says ${found.answer[i][j]}${found.correct[i][j] ? ", right" : ", wrong"}`);
    else if (found.correct[i][j] !== null) parts.push(found.correct[i][j] ? "right" : "wrong");
    parts.push(`P(right) ${share(found.right[i][j])}`);
    if (found.exposures) parts.push(`shown ${number(found.exposures[i][j])} times`);
    if (found.held_out?.[i][j]) parts.push("not trained on");
    return parts.join(" \u00b7 ");
  }
}
