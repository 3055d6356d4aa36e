import { toast } from "./page.js";

/** Sends the file of a form with `data-upload` as it is, so that neither side holds it whole. */
export function startUpload() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.upload === undefined) return;
    event.preventDefault();
    const file = form.querySelector("input[type=file]")?.files[0];
    if (file) send(form, file);
  });
}

async function send(form, file) {
  const button = form.querySelector("button");
  button.disabled = true;
  form.setAttribute("aria-busy", "true");
  const headers = {
    "Content-Type": "application/zip",
    "X-CSRF-Token": document.querySelector("meta[name=csrf]")?.content ?? "",
    "X-File-Name": encodeURIComponent(file.name),
  };
  try {
    // The page that follows says what became of it; fetched here, nobody would read it.
    const answer = await fetch(form.action, { method: "POST", body: file, headers, redirect: "manual" });
    if (answer.type === "opaqueredirect") location.assign(form.dataset.upload);
    // What was refused is said on the page, too.
    else if (answer.status < 500) location.assign(form.dataset.upload);
    else toast(form.dataset.uploadFailed ?? String(answer.status));
  } catch {
    toast(form.dataset.uploadFailed ?? "×");
  } finally {
    button.disabled = false;
    form.removeAttribute("aria-busy");
  }
}
