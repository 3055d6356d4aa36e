const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** `time[data-relative]` says how long ago it is; its title says when. */
export function startTimes() {
  const format = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  const refresh = () => {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      if (!time.title) time.title = time.textContent;
      const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
      const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
      time.textContent = format.format(Math.trunc(seconds / size), unit);
    }
  };
  refresh();
  document.body.addEventListener("htmx:afterSettle", refresh);
  setInterval(refresh, 30_000);
}
