import htmx from "htmx.org";
import { toast } from "./page.js";

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
    const { status, responseText } = event.detail.xhr;
    if (status === 401) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    } else {
      toast(responseText.slice(0, 300));
    }
  });
}
