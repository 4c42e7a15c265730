// Builds bundle/viewer.js and bundle/viewer.css from source/, and the licences of what is in them.
// The first line of viewer.js has a digest of the sources, by which the tests see that the bundle is theirs.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url);
const at = (path) => new URL(path, here);
const sources = ["package-lock.json", "build.mjs", ...readdirSync(at("source")).sort().map((name) => `source/${name}`)];
const digest = createHash("sha256");
for (const name of sources) digest.update(`${name}\n`).update(readFileSync(at(name)));

mkdirSync(at("bundle"), { recursive: true });
await build({
  entryPoints: [at("source/main.ts").pathname],
  outfile: at("bundle/viewer.js").pathname,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "ascii", // so that it is the same in a page of any encoding
  legalComments: "none",
  banner: { js: `// grokscope viewer, sources ${digest.digest("hex")}` },
});
copyFileSync(at("source/viewer.css"), at("bundle/viewer.css"));
const licence = readFileSync(at("node_modules/cytoscape/LICENSE"), "utf8");
writeFileSync(at("bundle/LICENSES.txt"), `viewer.js contains cytoscape:\n\n${licence}`);
