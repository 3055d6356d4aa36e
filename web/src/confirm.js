/** Asks before a form with `data-confirm` is sent; with `data-confirm-type`, that word must be typed. Each sending is asked for anew. */
export function startConfirm() {
  // True only while a sending that was agreed to is under way: a page that stays, or comes back, asks again.
  let agreed = false;
  const onSubmit = async (event) => {
    const form = event.target;
    const { submitter } = event;
    const source = submitter?.dataset.confirm === undefined ? form : submitter;
    if (agreed || source.dataset.confirm === undefined) return;
    event.preventDefault();
    // Nobody else may take it for sent.
    event.stopImmediatePropagation();
    if (!(await ask(source.dataset)) || !form.isConnected) return;
    agreed = true;
    try {
      form.requestSubmit(submitter);
    } finally {
      agreed = false;
    }
  };
  document.addEventListener("submit", onSubmit, { capture: true });
}

function ask({ confirm, confirmButton, confirmCancel, confirmType }) {
  const cancel = document.querySelector("meta[name=cancel]")?.content ?? "Cancel";
  const dialog = document.createElement("dialog");
  dialog.className = "confirm";
  dialog.setAttribute("aria-labelledby", "confirm-text");
  // Enter sends it, when the button may be pressed.
  const form = document.createElement("form");
  form.method = "dialog";
  const text = document.createElement("p");
  text.id = "confirm-text";
  text.textContent = confirm;
  const yes = button("btn btn-danger", confirmButton ?? "OK", "submit");
  yes.value = "yes";
  const no = button("btn", confirmCancel ?? cancel, "button");
  form.append(text);
  if (confirmType) form.append(...wordToType(confirmType, yes));
  const row = document.createElement("div");
  row.className = "btn-list";
  row.append(no, yes);
  form.append(row);
  dialog.append(form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    no.addEventListener("click", () => dialog.close(""));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

/** The word, and the field for it: `yes` can be pressed once it is typed. */
function wordToType(word, yes) {
  const label = document.createElement("label");
  label.className = "form-label font-monospace";
  label.htmlFor = "confirm-word";
  label.textContent = word;
  const input = document.createElement("input");
  input.id = "confirm-word";
  input.className = "form-control mb-3";
  input.autocomplete = "off";
  yes.disabled = true;
  input.addEventListener("input", () => (yes.disabled = input.value !== word));
  return [label, input];
}

function button(className, text, type) {
  const element = document.createElement("button");
  element.type = type;
  element.className = className;
  element.textContent = text;
  return element;
}
