import { toast } from "./page.js";

/** Forms that a passkey fills in (WebAuthn): shown where the browser can. */
export function startPasskeys() {
  if (!window.PublicKeyCredential) return;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      fill(form).catch(() => toast(form.dataset.passkeyFailed));
    });
  }
}

async function fill(form) {
  const { passkey, passkeyOptions } = form.dataset;
  const answer = await fetch(passkeyOptions, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
      "HX-Request": "true",
      "X-CSRF-Token": document.querySelector("meta[name=csrf]").content,
    },
  });
  if (!answer.ok) return toast((await answer.text()).slice(0, 300));
  const { options, ticket } = await answer.json();
  for (const known of [options, options.user, ...(options.excludeCredentials ?? []), ...(options.allowCredentials ?? [])]) {
    for (const name of ["challenge", "id"]) {
      // The relying party has a name for its id; it is no bytes.
      if (typeof known?.[name] === "string") known[name] = bytes(known[name]);
    }
  }
  const made = await navigator.credentials[passkey]({ publicKey: options });
  if (ticket) form.elements.ticket.value = ticket;
  form.elements.credential.value = JSON.stringify(written(made));
  form.requestSubmit();
}

/** A credential as JSON takes it. */
function written({ id, rawId, type, response }) {
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const present = parts.filter((name) => response[name]);
  const transports = response.getTransports?.();
  return {
    id,
    rawId: text(rawId),
    type,
    extensions: {},
    response: { ...Object.fromEntries(present.map((name) => [name, text(response[name])])), ...(transports && { transports }) },
  };
}

/** Base64url, without padding (RFC 4648, section 5). */
function text(buffer) {
  const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function bytes(base64url) {
  const binary = atob(base64url.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}
