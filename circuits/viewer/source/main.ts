// The three doors: a page (`mount` with the HTTP or the recorded transport) and a notebook (`render`, for anywidget).

import { App, type Address, type Inspected } from "./app";
import { h } from "./dom";
import { recordedTransport } from "./recorded";
import { httpTransport, widgetTransport, type Transport, type WidgetModel } from "./transports";

declare global {
  interface Window {
    grokscope?: Inspected;
  }
}

/** Browsers refuse to have the address changed more often than a few times a second, for long. */
const WRITE_MS = 300;

/** The page's own address: the latest state is in it a moment after it changed, and when the page is left. */
function inAddress(): Address {
  let waiting: string | null = null;
  const write = () => {
    if (waiting !== null) history.replaceState(null, "", `#${waiting}`);
    waiting = null;
  };
  window.addEventListener("pagehide", write);
  return {
    read: () => location.hash,
    write(hash) {
      if (waiting === null) setTimeout(write, WRITE_MS);
      waiting = hash;
    },
    onChange: (callback) =>
      window.addEventListener("hashchange", () => {
        waiting = null; // whoever typed an address wants that
        callback();
      }),
  };
}

/** Shows the viewer in an element. */
async function mount(element: HTMLElement, transport: Transport, options: { address?: Address } = {}): Promise<void> {
  try {
    const run = await transport.ask("run", {});
    if (!run.models.length) throw new Error(`${run.name} has no models yet`);
    const app = new App(element, transport, options.address ?? inAddress(), run);
    window.grokscope = app.inspected;
    if (!options.address) document.title = `${run.name} \u2013 grokscope`;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    element.replaceChildren(h("p", { class: "failure", role: "alert" }, `The viewer could not begin: ${said}`));
  }
}

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): void {
  let own = "";
  const address: Address = {
    read: () => String(model.get("state") ?? ""),
    write: (hash) => {
      own = hash;
      model.set("state", hash);
      model.save_changes();
    },
    onChange: (callback) =>
      model.on("change:state", () => {
        if (model.get("state") !== own) callback();
      }),
  };
  const place = h("div", { class: "in-notebook", "data-lm-suppress-shortcuts": "true" });
  // a notebook has a use for keys of its own, such as arrows, and would take them from the sliders
  place.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(place);
  void mount(place, widgetTransport(model), { address });
}

export default { render };
export { httpTransport, mount, recordedTransport };
