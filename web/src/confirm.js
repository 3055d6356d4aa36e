/** Asks before a form with `data-confirm` is sent; with `data-confirm-type`, that word must be typed. */
export function startConfirm() {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const source = event.submitter?.dataset.confirm === undefined ? form : event.submitter;
    if (source.dataset.confirm === undefined || form.dataset.confirmed) return;
    event.preventDefault();
    if (await ask(source.dataset)) {
      form.dataset.confirmed = "1";
      form.requestSubmit(event.submitter);
    }
  });
}

function ask({ confirm, confirmButton, confirmCancel, confirmType }) {
  const cancel = document.querySelector("meta[name=cancel]")?.content ?? "Cancel";
  const dialog = document.createElement("dialog");
  dialog.className = "confirm";
  dialog.setAttribute("aria-labelledby", "confirm-text");
  const text = document.createElement("p");
  text.id = "confirm-text";
  text.textContent = confirm;
  const yes = button("btn btn-danger", confirmButton ?? "OK");
  const no = button("btn", confirmCancel ?? cancel);
  dialog.append(text);
  if (confirmType) {
    const input = document.createElement("input");
    input.className = "form-control mb-3";
    input.setAttribute("aria-label", confirmType);
    input.placeholder = confirmType;
    yes.disabled = true;
    input.addEventListener("input", () => (yes.disabled = input.value !== confirmType));
    dialog.append(input);
  }
  const row = document.createElement("div");
  row.className = "btn-list";
  row.append(no, yes);
  dialog.append(row);
  document.body.append(dialog);
  return new Promise((resolve) => {
    yes.addEventListener("click", () => dialog.close("yes"));
    no.addEventListener("click", () => dialog.close(""));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

function button(className, text) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = text;
  return element;
}
