// Writes web/dist: what the panel's pages load. `node build.mjs`; the same sources give the same bytes.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const here = new URL("./", import.meta.url);
const dist = new URL("dist/", here);

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await build({
  absWorkingDir: here.pathname,
  entryPoints: { panel: "src/panel.js", theme: "src/theme.js", styles: "src/panel.css" },
  outdir: "dist",
  bundle: true,
  minify: true,
  legalComments: "none",
  target: ["es2022", "chrome109", "firefox115", "safari16"],
  loader: { ".svg": "dataurl" },
  logLevel: "warning",
});
await writeFile(new URL("panel.css", dist), await readFile(new URL("styles.css", dist)));
await rm(new URL("styles.css", dist));
await writeFile(new URL("icons.svg", dist), await sprite());
await writeFile(new URL("favicon.svg", dist), await readFile(new URL("src/favicon.svg", here)));
// Printed vouchers are drawn with these by the program itself; browsers never ask for them. Their licence goes with them.
const fonts = new URL("node_modules/dejavu-fonts-ttf/", here);
for (const [from, to] of [
  ["ttf/DejaVuSansCondensed.ttf", "text.ttf"],
  ["ttf/DejaVuSansMono-Bold.ttf", "code.ttf"],
  ["LICENSE", "fonts-licence.txt"],
]) {
  await writeFile(new URL(to, dist), await readFile(new URL(from, fonts)));
}
for (const name of await readdir(dist)) {
  if (!/\.(js|css|svg)$/.test(name)) continue;
  const bytes = await readFile(new URL(name, dist));
  if (bytes.length > 1024) {
    await writeFile(new URL(`${name}.gz`, dist), gzipSync(bytes, { level: 9 }));
  }
}

/** One file with a symbol for each icon that pages name. */
async function sprite() {
  const names = (await readFile(new URL("src/icons.txt", here), "utf8")).split(/\s+/).filter(Boolean);
  const symbols = names.map(async (name) => {
    const svg = await readFile(new URL(`node_modules/@tabler/icons/icons/outline/${name}.svg`, here), "utf8");
    const body = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
    return `<symbol id="${name}" viewBox="0 0 24 24">${body.replace(/\s+/g, " ").trim()}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">${(await Promise.all(symbols)).join("")}</svg>`;
}
