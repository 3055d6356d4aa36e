import uPlot from "uplot";

const MOST_POINTS = 300;
const UNITS = {
  bytes: [1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]],
  bps: [1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]],
  count: [1000, ["", "k", "M"]],
  percent: [Infinity, ["%"]],
};
/** @type {Map<Element, {data: number[][], plot: uPlot | null}>} */
const charts = new Map();

/** Draws `.chart` elements: from JSON (`data-chart-url`) or from events (`data-chart-live`). */
export function startCharts() {
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
  for (const chart of document.querySelectorAll(".chart")) {
    charts.set(chart, { data: labels(chart).reduce((all) => [...all, []], [[]]), plot: null });
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
  const answer = await fetch(chart.dataset.chartUrl, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const { x, series } = await answer.json();
  charts.get(chart).data = [x, ...series];
  draw(chart);
  table(chart);
}

function draw(chart) {
  const state = charts.get(chart);
  state.plot?.destroy();
  state.plot = null;
  if (state.data[0].length === 0 || chart.clientWidth === 0) return;
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const colours = ["--chart-1", "--chart-2", "--chart-3", "--chart-4"].map(colour);
  const axis = { stroke: colour("--chart-text"), grid: { stroke: colour("--chart-grid"), width: 1 } };
  const bars = chart.dataset.chartKind === "bars" ? uPlot.paths.bars({ size: [0.7, 60] }) : undefined;
  const { lang, dataset } = document.documentElement;
  const series = labels(chart).map((label, at) => ({
    label,
    stroke: colours[at],
    fill: bars ? colours[at] : undefined,
    width: 2,
    paths: bars,
    points: { show: false },
    value: (_, value) => amount(chart, value),
  }));
  const days = bars !== undefined;
  const moment = new Intl.DateTimeFormat(lang, {
    timeZone: dataset.zone, dateStyle: "short", timeStyle: days ? undefined : "medium",
  });
  state.plot = new uPlot({
    width: chart.clientWidth,
    height: chart.clientHeight || 240,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), dataset.zone || "UTC"),
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [Math.min(low, 0), Math.max(high, 1) * 1.05] } },
    series: [{ value: (_, seconds) => (seconds ? moment.format(seconds * 1000) : "–") }, ...series],
    axes: [axis, { ...axis, size: 80, values: (_, ticks) => ticks.map((value) => amount(chart, value)) }],
  }, state.data, chart);
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
  for (const label of ["", ...labels(chart)]) {
    const cell = document.createElement("th");
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
