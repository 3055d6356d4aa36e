import { addPoint } from "./charts.js";
import { offline } from "./page.js";

/** Failures in a row before the page says so. */
const MOST_FAILURES = 3;
/** Longest wait before another try, in ms. */
const LONGEST_WAIT = 60_000;

/** Follows the gateway's events: texts of `[data-live=key]`, points of live charts. */
export function startLive() {
  const address = document.documentElement.dataset.events;
  const wanted = document.querySelector("[data-live],[data-chart-live]");
  if (!address || !wanted) return;
  let source;
  let failures = 0;
  let opened = false;
  let again;
  const connect = () => {
    source = new EventSource(address);
    source.addEventListener("open", () => {
      opened = true;
      failures = 0;
      offline(false);
    });
    source.addEventListener("message", (event) => showTexts(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      failures += 1;
      // Who never saw an event may not see them, or too many look: the page is fine without.
      if (!opened) return;
      if (failures >= MOST_FAILURES) offline(true);
      // A browser tries again after a broken connection, but never after an answer that is no stream (a proxy's 502).
      if (source.readyState === EventSource.CLOSED) {
        again = setTimeout(connect, Math.min(1000 * 2 ** failures, LONGEST_WAIT));
      }
    });
    for (const chart of document.querySelectorAll("[data-chart-live]")) {
      source.addEventListener(chart.dataset.chartLive, (event) => addPoint(chart, JSON.parse(event.data)));
    }
  };
  connect();
  addEventListener("pagehide", () => {
    clearTimeout(again);
    source.close();
  });
  // Back from the browser's memory: what was closed is opened again.
  addEventListener("pageshow", (event) => {
    if (event.persisted) connect();
  });
}

function showTexts(texts) {
  for (const [key, value] of Object.entries(texts)) {
    for (const element of document.querySelectorAll(`[data-live="${CSS.escape(key)}"]`)) {
      element.textContent = value.text ?? value;
      if (value.class) element.className = value.class;
    }
  }
}
