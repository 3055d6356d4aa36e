import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * Serious findings of axe on each page in both colours, pages that are wider than the screen, and pictures of all: narrow ones in
 * light colours and wide ones in dark ones, or all four if `whole`, the dark ones in a folder of their own.
 */
export async function look(page, url, paths, pictures, whole) {
  const findings = [];
  const wide = [];
  for (const [name, path] of Object.entries(paths)) {
    for (const width of [360, 1440]) {
      for (const colours of whole ? ["light", "dark"] : [width === 360 ? "light" : "dark"]) {
        await page.setViewportSize({ width, height: width === 360 ? 740 : 900 });
        await page.emulateMedia({ colorScheme: colours, reducedMotion: "reduce" });
        // Live parts never rest: wait for the page, not for the network.
        await page.goto(url + path, { waitUntil: "load" });
        await page.waitForTimeout(150);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
        for (const { id, impact, nodes } of violations) {
          if (impact === "serious" || impact === "critical") {
            findings.push(`${name} ${width} ${colours}: ${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
          }
        }
        const extent = await page.evaluate(() => document.documentElement.scrollWidth);
        if (extent > width) wide.push(`${name}: ${extent} at ${width}`);
        const folder = whole && colours === "dark" ? join(pictures, "dark") : pictures;
        await page.screenshot({ path: join(folder, `${name}-${width}.png`), fullPage: width === 1440 });
      }
    }
  }
  return { findings, wide };
}
