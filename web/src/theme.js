// Chooses the colours before anything is drawn, so that a dark page never flashes.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function apply() {
  const choice = root.dataset.themeChoice;
  const theme = choice === "light" || choice === "dark" ? choice : dark.matches ? "dark" : "light";
  root.setAttribute("data-bs-theme", theme);
}

apply();
dark.addEventListener("change", apply);
