import { addPoint } from "./charts.js";

/** Follows the gateway's events: texts of `[data-live=key]`, points of live charts. */
export function startLive() {
  const address = document.documentElement.dataset.events;
  const wanted = document.querySelector("[data-live],[data-chart-live]");
  if (!address || !wanted) return;
  const source = new EventSource(address);
  const offline = document.getElementById("offline");
  let failures = 0;
  source.addEventListener("message", (event) => {
    failures = 0;
    if (offline) offline.hidden = true;
    for (const [key, value] of Object.entries(JSON.parse(event.data))) {
      for (const element of document.querySelectorAll(`[data-live="${CSS.escape(key)}"]`)) {
        element.textContent = value.text ?? value;
        if (value.class) element.className = value.class;
      }
    }
  });
  source.addEventListener("error", () => {
    failures += 1;
    if (offline && failures >= 3) offline.hidden = false;
  });
  for (const chart of document.querySelectorAll("[data-chart-live]")) {
    source.addEventListener(chart.dataset.chartLive, (event) => addPoint(chart, JSON.parse(event.data)));
  }
  addEventListener("pagehide", () => source.close());
}
