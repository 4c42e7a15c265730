// What each token of a head attends to, over the actual tokens.

import { heat } from "./charts";
import { h } from "./dom";
import { share } from "./format";
import type { Pattern } from "./messages";

export function attention(pattern: Pattern, tokens: string[], on: string, width: number): HTMLElement {
  const told = h("p", { class: "muted hovered" }, "Point at a pair of tokens.");
  const cells = pattern.values.map((row, query) =>
    row.map((value, key) => ({
      // what comes later is not looked at, which is not to be told from 0 by its colour alone
      value: key > query && value === 0 ? null : value,
      title: `${tokens[query]} attends to ${tokens[key]}: ${share(value)}`,
    })),
  );
  const label = `Attention pattern of ${pattern.head} on ${on}`;
  const axes = { rows: tokens, columns: tokens, y: "query", x: "key", label, width };
  const map = heat(cells, axes, (text) => {
    told.textContent = text;
  });
  return h("div", { "data-testid": "pattern" }, map, told);
}
