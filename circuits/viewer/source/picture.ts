// The graph as a picture: PNG of the canvas, or SVG with every edge and name as it is drawn.

import type cytoscape from "cytoscape";
import { palette } from "./colors";
import { s } from "./dom";

export async function png(cy: cytoscape.Core): Promise<Blob> {
  return (await cy.png({ output: "blob-promise", full: true, scale: 2, bg: palette().page })) as unknown as Blob;
}

export function svg(cy: cytoscape.Core, title: string): Blob {
  const box = cy.nodes().boundingBox({});
  const margin = 40;
  const [x, y] = [box.x1 - margin, box.y1 - margin - 20];
  const colors = palette();
  const picture = s(
    "svg",
    { viewBox: `${x} ${y} ${box.w + 2 * margin} ${box.h + 2 * margin + 20}` },
    s("title", {}, title),
    s("rect", { x, y, width: "100%", height: "100%", fill: colors.page }),
    s("text", { x: x + 10, y: y + 18, "font-family": "sans-serif", "font-size": 13, fill: colors.ink }, title),
  );
  cy.edges(":visible").forEach((edge) => {
    const [from, to] = [edge.sourceEndpoint(), edge.targetEndpoint()];
    const control = edge.controlPoints()?.[0];
    const way = control ? `Q${control.x} ${control.y} ${to.x} ${to.y}` : `L${to.x} ${to.y}`;
    const dashes = { dashed: "6 3", dotted: "1 2" }[edge.style("line-style") as string];
    const line = s("path", {
      d: `M${from.x} ${from.y}${way}`,
      fill: "none",
      stroke: edge.style("line-color"),
      "stroke-width": Number.parseFloat(edge.style("width")),
      "stroke-dasharray": dashes,
    });
    line.append(s("title", {}, edge.data("name")));
    picture.append(line);
  });
  cy.nodes().forEach((node) => {
    const at = node.position();
    const [w, height] = [node.width(), node.height()];
    const edge = { fill: colors.node, stroke: colors.muted, rx: 4 };
    picture.append(
      s("rect", { x: at.x - w / 2, y: at.y - height / 2, width: w, height, ...edge }),
      s(
        "text",
        { x: at.x, y: at.y + 4, "text-anchor": "middle", "font-family": "sans-serif", "font-size": 11, fill: colors.ink },
        node.data("name"),
      ),
    );
  });
  return new Blob([new XMLSerializer().serializeToString(picture)], { type: "image/svg+xml" });
}
