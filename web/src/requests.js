import htmx from "htmx.org";
import { offline, toast } from "./page.js";

/** Longest text of a refusal that is shown, in characters. */
const MOST_TEXT = 300;

/** htmx under the panel's rules: nothing is evaluated, nothing goes elsewhere, each change bears the form token. */
export function startHtmx() {
  Object.assign(htmx.config, {
    allowEval: false,
    allowScriptTags: false,
    includeIndicatorStyles: false,
    selfRequestsOnly: true,
    historyCacheSize: 0,
  });
  const token = document.querySelector("meta[name=csrf]")?.content ?? "";
  document.body.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb !== "get") {
      event.detail.headers["X-CSRF-Token"] = token;
    }
  });
  // A list that follows by itself must not take away what was chosen in it.
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const { pauseWhenChosen } = event.target.dataset ?? {};
    if (pauseWhenChosen && event.target.querySelector(`input[name="${CSS.escape(pauseWhenChosen)}"]:checked`)) {
      event.preventDefault();
    }
  });
  document.body.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (xhr.status === 401) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    } else {
      toast(words(xhr) || String(xhr.status));
    }
  });
  document.body.addEventListener("htmx:sendError", () => offline(true));
  document.body.addEventListener("htmx:afterOnLoad", () => offline(false));
}

/** What an answer says to people: the text itself, or that of a page's main part. */
function words(xhr) {
  let text = xhr.responseText;
  if (xhr.getResponseHeader("content-type")?.startsWith("text/html")) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const main = page.querySelector("main") ?? page.body;
    // The title and what follows it; not the way back, which leads away from this page.
    const parts = [...main.querySelectorAll("h1, h1 ~ p")].filter((part) => !part.querySelector("a"));
    text = parts.map((part) => part.textContent.trim()).join(" ") || main.textContent;
  }
  return text.replace(/\s+/g, " ").trim().slice(0, MOST_TEXT);
}
