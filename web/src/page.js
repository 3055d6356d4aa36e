/** Messages that stand at once; what says the same again is not added. */
const MOST_TOASTS = 4;

/** Says something at the edge of the page; stays until it is closed. */
export function toast(text) {
  const place = document.getElementById("toasts");
  const said = [...(place?.children ?? [])];
  if (!place || said.some((box) => box.firstChild.textContent === text)) return;
  if (said.length >= MOST_TOASTS) said[0].remove();
  const box = document.createElement("div");
  box.className = "alert alert-danger alert-dismissible";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn-close";
  close.setAttribute("aria-label", "×");
  close.addEventListener("click", () => box.remove());
  box.append(words, close);
  place.append(box);
}

/** Shows or hides the line that says that the gateway does not answer. */
export function offline(is) {
  const line = document.getElementById("offline");
  if (line) line.hidden = !is;
}

/** Menu, copying, revealing, printing, keys. */
export function startPage() {
  // Screen readers tell changes only of a region that was there before.
  if (!document.getElementById("said")) {
    const said = document.createElement("p");
    said.id = "said";
    said.className = "visually-hidden";
    said.setAttribute("role", "status");
    document.body.append(said);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-menu-toggle],[data-copy],[data-reveal],[data-print]");
    if (!button) return;
    const { menuToggle, copy, reveal, print } = button.dataset;
    if (menuToggle !== undefined) toggleMenu(button, document.querySelector(menuToggle));
    if (copy !== undefined) copyText(button, document.querySelector(copy));
    if (reveal !== undefined) toggleSecret(button, document.querySelector(reveal));
    if (print !== undefined) window.print();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-autosubmit]")) event.target.form?.requestSubmit();
    if (event.target.matches("[data-file-to]")) takeFile(event.target);
  });
  document.addEventListener("submit", (event) => {
    // Said by who sees and who hears; the page goes away when the answer comes.
    const { busy } = event.target.dataset;
    if (busy === undefined || event.defaultPrevented) return;
    const line = document.createElement("p");
    line.setAttribute("role", "status");
    line.append(busy, document.createElement("progress"));
    event.target.append(line);
    event.target.setAttribute("aria-busy", "true");
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input,textarea,select,[contenteditable]");
    const search = document.querySelector("input[type=search]");
    if (event.key === "/" && !typing && search && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    }
  });
  if (document.querySelector("[data-autofocus-error]")) {
    const field = document.querySelector("[aria-invalid=true]") ?? document.querySelector("main form .form-control");
    field?.focus();
  }
}

/** Puts a chosen file into a field, as `data:` with base64. */
function takeFile(input) {
  const field = document.querySelector(input.dataset.fileTo);
  const file = input.files[0];
  field.value = "";
  input.setCustomValidity("");
  if (!file) return;
  if (file.size > Number(input.dataset.fileMost)) {
    input.setCustomValidity(input.dataset.fileLong);
    input.reportValidity();
    return;
  }
  const reader = new FileReader();
  reader.addEventListener("load", () => (field.value = reader.result));
  reader.readAsDataURL(file);
}

function toggleMenu(button, menu) {
  const open = menu.classList.toggle("show");
  button.setAttribute("aria-expanded", String(open));
}

async function copyText(button, source) {
  const text = "value" in source ? source.value : source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without the permission, what is selected is copied.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.classList.add("copied");
  const said = document.getElementById("said");
  said.textContent = button.dataset.copied ?? "✓";
  setTimeout(() => {
    button.classList.remove("copied");
    // So that the same words are a change the next time.
    said.textContent = "";
  }, 2000);
}

function toggleSecret(button, field) {
  const hide = field.type !== "password";
  field.type = hide ? "password" : "text";
  button.setAttribute("aria-pressed", String(!hide));
}
