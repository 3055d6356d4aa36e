/** Boxes that choose rows: all at once, the bar for what is chosen, and how many there are. */
export function startTables() {
  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-check-all]");
    if (all) {
      for (const box of boxes(all.dataset.checkAll)) box.checked = all.checked;
    }
    refresh();
  });
  // A part of the page that came anew, or a page that came back with what was chosen.
  document.body.addEventListener("htmx:afterSettle", refresh);
  addEventListener("pageshow", refresh);
  refresh();
}

function boxes(name) {
  return [...document.querySelectorAll(`input[type=checkbox][name="${CSS.escape(name)}"]`)];
}

function refresh() {
  for (const bar of document.querySelectorAll("[data-bulk]")) {
    const chosen = boxes(bar.dataset.bulk).filter((box) => box.checked).length;
    bar.hidden = chosen === 0;
    const count = bar.querySelector("[data-checked-count]");
    if (count) count.textContent = String(chosen);
  }
  for (const all of document.querySelectorAll("[data-check-all]")) {
    const of = boxes(all.dataset.checkAll);
    const chosen = of.filter((box) => box.checked).length;
    all.checked = of.length > 0 && chosen === of.length;
    all.indeterminate = chosen > 0 && chosen < of.length;
  }
}
