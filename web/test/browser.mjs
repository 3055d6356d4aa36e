// A browser that works with the panel as a person would. `node web/test/browser.mjs URL FOLDER STEP [arguments as JSON]`:
// one step each time, and its result as one line of JSON. FOLDER keeps the cookies between steps. The tests of the
// lab (crates/doorward/tests/lab/panel.rs) say which steps, and look at real packets in between.
import { chromium } from "playwright-core";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { look } from "./look.mjs";

const [url, folder, step, text = "{}"] = process.argv.slice(2);
const given = JSON.parse(text);
const PASSWORD = "correct horse battery";
const NAME = "gw.example.net";
const problems = [];

/** A page of somebody, with their cookies. */
async function open(who) {
  const state = join(folder, `${who}.json`);
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    locale: "en-US",
    viewport: { width: 1440, height: 900 },
    storageState: existsSync(state) ? state : undefined,
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    // What the content policy stops, and what scripts fail at.
    if (message.type() === "error" && !message.text().includes("Failed to load resource")) problems.push(message.text());
  });
  page.setDefaultTimeout(20_000);
  // Chromium gives up what it loads when an address of the machine comes or goes, as those of tunnels do.
  const go = page.goto.bind(page);
  page.goto = async (to, how, tries = 5) => {
    try {
      return await go(to, how);
    } catch (error) {
      if (tries === 1 || !String(error).includes("ERR_NETWORK_CHANGED")) throw error;
      return page.goto(to, how, tries - 1);
    }
  };
  return page;
}

async function keep(page, who) {
  await page.context().storageState({ path: join(folder, `${who}.json`) });
}

async function signIn(page, who, site = url) {
  await page.goto(`${site}/login`);
  await page.fill("#name", who);
  await page.fill("#password", PASSWORD);
  await page.click("main button[type=submit]");
  await page.waitForURL(`${site}/`);
  await keep(page, who);
}

/** The panel by the name that passkeys are bound to. */
const named = url.replace(/\/\/[^:/]+/, `//${NAME}`);

async function signOut(page) {
  await page.click("form[action='/logout'] button");
  await page.waitForURL(`${named}/login`);
}

/** Sends the form of a page, which must lead to another. */
async function send(page) {
  const before = page.url();
  // What the browser itself would not send, and would only show.
  const invalid = await page.locator("main form :invalid:not(fieldset)").evaluateAll((fields) =>
    fields.map((field) => `${field.name}=${field.value}: ${field.validationMessage}`));
  if (invalid.length > 0) throw new Error(`not sent: ${invalid.join("; ")}`);
  await page.click("main form .card-footer button[type=submit]");
  const refused = page.locator("main .alert-danger");
  await Promise.race([page.waitForURL((to) => to.href !== before), refused.waitFor()]);
  if (page.url() === before) throw new Error(`refused: ${before}: ${await refused.textContent()}`);
}

/** Presses the danger button of the question. */
async function agree(page) {
  await page.locator("dialog.confirm .btn-danger").click();
}

const steps = {
  /** The first start: the token of the log makes the first admin. */
  async setup(page, { token }) {
    await page.goto(url);
    await page.waitForURL("**/setup");
    await page.fill("#token", token);
    await page.fill("#password", PASSWORD);
    await page.fill("#again", PASSWORD);
    await page.click("main button[type=submit]");
    await page.waitForURL("**/login");
    await signIn(page, "admin");
    return { title: await page.title() };
  },

  /** A server with the values that the form proposes, and an account with those of its own. */
  async account(page, { external }) {
    await page.goto(`${url}/servers/+new`);
    await page.fill("#external_ip", external);
    await send(page);
    await page.goto(`${url}/accounts/+new`);
    const [name, server] = [await page.inputValue("#name"), await page.inputValue("#server")];
    await send(page);
    await page.goto(`${url}/accounts/${name}/config`);
    return { name, server, config: await page.locator("#config").textContent() };
  },

  /** A link that is shown once. */
  async link(page, { name }) {
    await page.goto(`${url}/accounts/${name}`);
    await page.click(`form[action="/accounts/${name}/link"] button[type=submit]`);
    return { address: await page.inputValue("#made") };
  },

  /** Vouchers, and the sheet that they are printed on. */
  async vouchers(page, { count }) {
    await page.goto(`${url}/vouchers/+new`);
    await page.fill("#count", String(count));
    await page.fill("#note", "lab");
    await page.click("main form button[type=submit]");
    await page.waitForURL("**/vouchers/+print?batch=**");
    const cards = page.locator(".voucher-card");
    const pdf = await page.pdf({ path: join(folder, "sheet.pdf"), preferCSSPageSize: true });
    const [download] = await Promise.all([page.waitForEvent("download"), page.click('button[formaction="/vouchers/print.pdf"]')]);
    await download.saveAs(join(folder, "drawn.pdf"));
    return { cards: await cards.count(), code: (await cards.first().locator(".big").textContent()).trim(), pdf: pdf.length };
  },

  /** Throws the guest of that login out. */
  async kick(page, { login }) {
    await page.goto(`${url}/live`);
    const row = page.locator("tr", { hasText: login });
    await row.locator("input[type=checkbox]").check();
    await page.locator("[data-bulk=mac] button").click();
    await agree(page);
    await page.waitForSelector(".alert-success");
    return { text: await page.locator(".alert-success").textContent() };
  },

  /** A hash that is shown once. */
  async hash(page, { name, ip }) {
    await page.goto(`${url}/api-hashes`);
    await page.fill("#name", name);
    await page.fill("#ip", ip);
    await page.click("main form button[type=submit]");
    const hash = await page.inputValue("#made");
    await page.goto(`${url}/api-hashes`);
    const again = await page.content();
    return { hash, once: !again.includes(hash), listed: again.includes(ip) };
  },

  /** Somebody with another role: their menu, and what they get by address. */
  async role(page, { name, role, paths }) {
    await page.goto(`${url}/operators/+new`);
    await page.fill("#name", name);
    await page.selectOption("#role", role);
    await page.fill("#password", PASSWORD);
    await page.fill("#again", PASSWORD);
    await page.click("main form button[type=submit]");
    await page.waitForURL("**/operators");
    const own = await open(name);
    await signIn(own, name);
    const menu = await own.locator("nav .nav-link").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
    const answers = {};
    for (const path of paths) answers[path] = (await own.goto(url + path)).status();
    return { menu, answers };
  },

  /** A passkey of a device that knows its owner signs in alone; nobody else's does, nor one that was deleted. */
  async passkey(page) {
    const device = await page.context().newCDPSession(page);
    await device.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
    const { authenticatorId } = await device.send("WebAuthn.addVirtualAuthenticator", { options });
    await signIn(page, "admin", named);
    await page.goto(`${named}/profile`);
    await page.fill("#passkey-label", "my <b>laptop</b>");
    await page.fill("#passkey-password", PASSWORD);
    await page.click("form[data-passkey] button");
    const made = await page.textContent("main .alert-success");
    const listed = await page.textContent("main form[action='/profile/passkeys/remove'] >> xpath=ancestor::tr");
    const { credentials } = await device.send("WebAuthn.getCredentials", { authenticatorId });

    await signOut(page);
    await page.click("form[data-passkey] button");
    await page.waitForURL(`${named}/`);
    await signOut(page);
    await device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
    await page.click("form[data-passkey] button");
    const stranger = await page.textContent("#toasts .alert");
    await device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });

    await signIn(page, "admin", named);
    await page.goto(`${named}/profile`);
    await page.click("form[action='/profile/passkeys/remove'] button");
    await agree(page);
    await page.waitForSelector("main .alert-success");
    await signOut(page);
    await page.click("form[data-passkey] button");
    const deleted = await page.textContent("main .alert-danger");
    return { made, listed, stranger, deleted, resident: credentials.map(({ isResidentCredential }) => isResidentCredential) };
  },

  /** A rule that drops everything is applied, and nobody confirms it. */
  async firewall(page, { name }) {
    await page.goto(`${url}/firewall`);
    await page.fill("#name", name);
    await page.selectOption("#action", "DROP");
    await page.click("form[action='/firewall/rules'] .card-footer button");
    await page.click("form[action='/firewall/apply'] button");
    await page.waitForSelector("form[action='/firewall/confirm'] button");
    return { text: await page.locator("main .alert-warning[role=alert]").textContent() };
  },

  /** Each page, narrow and wide, in light and dark colours: looked at by axe, and kept as pictures. */
  async look(page, { paths, pictures, whole }) {
    return look(page, url, paths, pictures, whole);
  },
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // The tests run as root in namespaces of their own, where Chromium's sandbox cannot be made.
  args: [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    // The gateway by a name, with the certificate that it has made itself.
    `--host-resolver-rules=MAP ${NAME} ${new URL(url).hostname}`,
    ...(step === "passkey" ? ["--ignore-certificate-errors"] : []),
  ],
});
try {
  const page = await open(given.who ?? "admin");
  const result = await steps[step](page, given);
  if (problems.length > 0) throw new Error(`the page complained: ${problems.join("; ")}`);
  console.log(JSON.stringify(result ?? {}));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
