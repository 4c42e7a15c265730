// Elements, made in one call. All text goes in as text, so that what looks like a tag in a token is shown.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

const SVG = "http://www.w3.org/2000/svg";

function filled<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS(SVG, tag) as SVGElementTagNameMap[K], attributes, children);
}

/** A control with its label before it. */
export function labelled(text: string, control: HTMLElement, ...after: Child[]): HTMLLabelElement {
  return h("label", { class: "control" }, h("span", {}, text), control, ...after);
}

export function button(text: string, act: () => void, attributes: Attributes = {}): HTMLButtonElement {
  return h("button", { type: "button", click: act, ...attributes }, text);
}

/** A table with one row of names above it. */
export function table(names: string[], rows: Child[][], attributes: Attributes = {}): HTMLTableElement {
  return h(
    "table",
    attributes,
    h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, cell))))),
  );
}

/** Other children, with what was open left open, and the focus on the control that says the same as the one that had it. */
export function swap(place: HTMLElement, ...children: Child[]): void {
  const open = new Map([...place.querySelectorAll("details")].map((one) => [one.dataset.name, one.open]));
  const had = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
  for (const one of place.querySelectorAll("details")) one.open = open.get(one.dataset.name) ?? one.open;
  if (!had) return;
  const alike = [...place.querySelectorAll<HTMLElement>(had.tagName)].filter((one) => one.textContent === had.textContent);
  alike[0]?.focus({ preventScroll: true });
}

export function save(name: string, blob: Blob): void {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
