import uPlot from "uplot";

const MOST_POINTS = 300;
/** Height of the drawing in px; what it means stands below it. */
const HEIGHT = 240;
const DAY = 86_400;
const UNITS = {
  bytes: [1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]],
  bps: [1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]],
  count: [1000, ["", "k", "M"]],
  percent: [Infinity, ["%"]],
};
/** @type {Map<Element, {data: number[][], plot: uPlot | null, width: number}>} */
const charts = new Map();

/** Draws `.chart` elements: from JSON (`data-chart-url`) or from events (`data-chart-live`). */
export function startCharts() {
  const sizes = new ResizeObserver((entries) => {
    // Drawing changes the height; only another width is a reason to draw.
    for (const { target } of entries) if (charts.get(target).width !== target.clientWidth) draw(target);
  });
  for (const chart of document.querySelectorAll(".chart")) {
    charts.set(chart, { data: labels(chart).reduce((all) => [...all, []], [[]]), plot: null, width: 0 });
    sizes.observe(chart);
    if (chart.dataset.chartUrl) load(chart);
  }
  const redraw = () => charts.forEach((_, chart) => draw(chart));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
}

/** Adds `[x, a, b]` to a live chart. */
export function addPoint(chart, point) {
  const { data, plot } = charts.get(chart);
  point.forEach((value, at) => {
    data[at].push(value);
    if (data[at].length > MOST_POINTS) data[at].shift();
  });
  if (plot) plot.setData(data);
  else draw(chart);
}

async function load(chart) {
  const { chartUrl } = chart.dataset;
  const answer = await fetch(chartUrl, { headers: { accept: "application/json" } }).catch(() => null);
  if (!answer?.ok) return;
  const { x, series } = await answer.json();
  charts.get(chart).data = [x, ...series];
  draw(chart);
  table(chart);
}

function draw(chart) {
  const state = charts.get(chart);
  state.plot?.destroy();
  state.plot = null;
  state.width = chart.clientWidth;
  if (state.data[0].length === 0 || chart.clientWidth === 0) return;
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const colours = ["--chart-1", "--chart-2", "--chart-3", "--chart-4"].map(colour);
  const axis = { stroke: colour("--chart-text"), grid: { stroke: colour("--chart-grid"), width: 1 } };
  const bars = chart.dataset.chartKind === "bars";
  const names = labels(chart);
  const { lang, dataset } = document.documentElement;
  const series = names.map((label, at) => ({
    label,
    stroke: colours[at],
    fill: bars ? colours[at] : undefined,
    width: bars ? 0 : 2,
    paths: bars ? beside(at, names.length) : undefined,
    points: { show: false },
    value: (_, value) => amount(chart, value),
  }));
  const moment = new Intl.DateTimeFormat(lang, {
    timeZone: dataset.zone, dateStyle: "short", timeStyle: bars ? undefined : "medium",
  });
  const [first, second] = state.data[0];
  const half = bars ? (second === undefined ? DAY : second - first) / 2 : 0;
  state.plot = new uPlot({
    width: state.width,
    height: HEIGHT,
    // The last moment's text ends inside.
    padding: [null, 32, null, null],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), dataset.zone || "UTC"),
    cursor: { drag: { x: false, y: false } },
    scales: {
      // The first and the last bar are whole.
      x: { range: (_, low, high) => [low - half, high + half] },
      y: { range: (_, low, high) => [Math.min(low, 0), Math.max(high, 1) * 1.05] },
    },
    series: [{ value: (_, seconds) => (seconds ? moment.format(seconds * 1000) : "–") }, ...series],
    axes: [
      { ...axis, space: 70, values: (_, ticks, __, ___, step) => ticks.map(tickFormat(step)) },
      { ...axis, size: 80, values: (_, ticks) => ticks.map((value) => amount(chart, value)) },
    ],
  }, state.data, chart);
}

/** Two series stand side by side, so that neither hides the other. */
function beside(at, of) {
  return uPlot.paths.bars(of === 2 ? { size: [0.35, 40], align: at === 0 ? -1 : 1 } : { size: [0.7, 60] });
}

/** How moments below the chart are written, `step` seconds apart, in the page's language and time zone. */
function tickFormat(step) {
  const { lang, dataset } = document.documentElement;
  const parts = step >= DAY ? { day: "numeric", month: "numeric" } : { hour: "numeric", minute: "2-digit" };
  if (step < 60) parts.second = "2-digit";
  const format = new Intl.DateTimeFormat(lang, { timeZone: dataset.zone, ...parts });
  return (seconds) => format.format(seconds * 1000);
}

/** The same figures for screen readers. */
function table(chart) {
  const { data } = charts.get(chart);
  const { lang, dataset } = document.documentElement;
  const moment = new Intl.DateTimeFormat(lang, { timeZone: dataset.zone, dateStyle: "medium" });
  const element = document.createElement("table");
  element.className = "visually-hidden";
  element.createCaption().textContent = chart.getAttribute("aria-label");
  const head = element.createTHead().insertRow();
  // Above the moments stands nothing: they say themselves what they are.
  head.insertCell();
  for (const label of labels(chart)) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = label;
    head.append(cell);
  }
  const body = element.createTBody();
  data[0].forEach((seconds, at) => {
    const row = body.insertRow();
    row.insertCell().textContent = moment.format(seconds * 1000);
    for (const line of data.slice(1)) row.insertCell().textContent = amount(chart, line[at]);
  });
  chart.after(element);
}

function labels(chart) {
  return JSON.parse(chart.dataset.chartLabels ?? "[]");
}

function amount(chart, value) {
  if (value === null || value === undefined) return "–";
  const [step, units] = UNITS[chart.dataset.chartUnit] ?? UNITS.count;
  let at = 0;
  while (value >= step && at + 1 < units.length) [value, at] = [value / step, at + 1];
  const text = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 }).format(value);
  return `${text} ${units[at]}`.trim();
}
