import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Serious findings of axe on each page in both colours, pages that are wider than the screen, and pictures of all. */
export async function look(page, url, paths, pictures) {
  const findings = [];
  const wide = [];
  for (const [name, path] of Object.entries(paths)) {
    for (const width of [360, 1440]) {
      for (const colours of ["light", "dark"]) {
        await page.setViewportSize({ width, height: width === 360 ? 740 : 900 });
        await page.emulateMedia({ colorScheme: colours, reducedMotion: "reduce" });
        // Live parts never rest: wait for the page, not for the network.
        await page.goto(url + path, { waitUntil: "load" });
        await page.waitForTimeout(300);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
        for (const { id, impact, nodes } of violations) {
          if (impact === "serious" || impact === "critical") {
            findings.push(`${name} ${width} ${colours}: ${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
          }
        }
        const extent = await page.evaluate(() => document.documentElement.scrollWidth);
        if (extent > width) wide.push(`${name}: ${extent} at ${width}`);
        const light = colours === "light" ? "" : "-dark";
        await page.screenshot({ path: join(pictures, `${name}-${width}${light}.png`), fullPage: width === 1440 });
      }
    }
  }
  return { findings, wide };
}
