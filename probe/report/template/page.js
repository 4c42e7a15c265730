"use strict";
// Unpack plotly.js and the figures, draw them, and connect the choices and the step slider to them.
(async () => {
  const PRINT_WIDTH = 680; // CSS pixels that fit a portrait page with its margins
  const FULL_WIDTH = 1064; // of a figure on a wide screen
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const element = (id) => document.getElementById(id);

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(element(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function showStep(panel, figure, index) {
    const frame = figure.frames[index];
    element(`${panel}-plot`).dataset.step = frame.name;
    element(`${panel}-at`).textContent = Number(frame.name).toLocaleString("en");
    const names = new Set(frame.data.flatMap((trace) => Object.keys(trace).filter((name) => name !== "type")));
    const update = Object.fromEntries([...names].map((name) => [name, frame.data.map((trace) => trace[name])]));
    return Plotly.restyle(element(`${panel}-plot`), update, frame.data.map((_, trace) => trace));
  }

  // Panels of equal aspect shrink with the width: no empty space is kept under them.
  function heightAt(plot, width) {
    const shrink = plot.dataset.square === "true" ? Math.min(1, width / FULL_WIDTH) : 1;
    return Math.round(Number(plot.dataset.height) * shrink);
  }

  async function draw(panel, figure) {
    const plot = element(`${panel}-plot`);
    plot.dataset.height = figure.layout.height;
    plot.dataset.square = Boolean(figure.layout.meta?.square);
    const height = heightAt(plot, plot.clientWidth);
    plot.style.minHeight = `${height}px`;
    await Plotly.react(plot, figure.data, { ...figure.layout, height }, config);
    const slider = element(`${panel}-step`);
    if (!slider || !figure.frames) return;
    // another model is shown at the step that the reader had chosen, if it was stored there
    const same = figure.frames.findIndex((frame) => frame.name === plot.dataset.step);
    slider.max = figure.frames.length - 1;
    slider.value = same < 0 ? slider.max : same;
    slider.oninput = () => showStep(panel, figure, Number(slider.value));
    await showStep(panel, figure, Number(slider.value));
  }

  try {
    const panels = JSON.parse(await unpack("packed-figures"));
    if (Object.keys(panels).length) {
      const program = document.createElement("script");
      program.textContent = await unpack("packed-plotly");
      document.head.append(program);
    }
    for (const [panel, choices] of Object.entries(panels)) {
      const choice = element(`${panel}-choice`);
      const chosen = () => choices[choice ? choice.value : Object.keys(choices)[0]];
      if (choice) choice.onchange = () => draw(panel, chosen());
      await draw(panel, chosen());
    }
    const plots = [...document.querySelectorAll(".plot")];
    addEventListener("beforeprint", () => plots.forEach((plot) =>
      Plotly.relayout(plot, { width: PRINT_WIDTH, height: heightAt(plot, PRINT_WIDTH) })));
    addEventListener("afterprint", () => plots.forEach((plot) =>
      Plotly.relayout(plot, { width: null, height: heightAt(plot, plot.clientWidth), autosize: true })));
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    element("problem").hidden = false;
    element("problem").textContent =
      `The figures could not be drawn (${error.message}). They need a browser of 2023 or newer; the words and tables do not.`;
    console.error(error);
  }
})();
