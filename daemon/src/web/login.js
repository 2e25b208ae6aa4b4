// Who looks at the page and what they may do. Where the cart asks for it, a token is typed once; the browser keeps a
// session that no script sees.

const RETRY_MS = 1000;
const ORDER = ["view", "operate", "deploy"];

const id = name => document.getElementById(name);

let caller = null;     // who asks, as the cart says; null where it knows nobody
let changed = () => {};
let asking = false;

/** Whether the cart knows who looks. */
export const isKnown = () => Boolean(caller);

/** Whether whoever looks may do what takes `role`. */
export const may = role => Boolean(caller) && ORDER.indexOf(caller.role) >= ORDER.indexOf(role);

/** Why `what` cannot be done, in words; empty where it can. */
export const whyNot = (what, role) => !caller || may(role) ? ""
  : `${what} takes a token with the role ${role}; yours has the role ${caller.role}.`;

/** Calls `listener` now and whenever somebody else looks, or nobody. */
export function start(listener) {
  changed = listener;
  identify();
}

/** Asks the cart who looks; shows the log-in where that is nobody. */
export async function identify() {
  if (asking) return;
  asking = true;
  for (;;) {
    try {
      const answer = await fetch("/api/v1/session", { signal: AbortSignal.timeout(2000), cache: "no-store" });
      if (answer.ok || answer.status === 401) {
        become(answer.ok ? await answer.json() : null);
        break;
      }
    } catch { /* no answer: the page says so */ }
    await new Promise(resolve => setTimeout(resolve, RETRY_MS));
  }
  asking = false;
}

function become(who) {
  caller = who;
  ask(!who);
  // On the cart itself there is nothing to say.
  const isNamed = Boolean(who) && (who.in_session || !may("deploy"));
  id("who").hidden = !isNamed;
  id("who").textContent = isNamed ? `${who.name}: may ${who.role}` : "";
  id("log-out").hidden = !who?.in_session;
  id("log-in-open").hidden = !isNamed || who.in_session;
  changed(isKnown());
}

/** Shows the log-in, or hides it. */
function ask(isShown) {
  id("log-in").hidden = !isShown;
  id("log-in-cancel").hidden = !caller;
  id("log-in-failed").textContent = "";
  id("token").value = "";
  if (isShown) id("token").focus();
}

id("log-in-open").onclick = () => ask(true);
id("log-in-cancel").onclick = () => ask(false);
id("log-in").onsubmit = async event => {
  event.preventDefault();
  let why = "The program on the cart does not answer.";
  id("log-in-submit").disabled = true;
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: id("token").value }), signal: AbortSignal.timeout(10000),
    });
    const said = await answer.json();
    why = answer.ok ? "" : `Not logged in: ${said.detail}.`;
    if (answer.ok) become(said);
  } catch { /* no answer, or none of the daemon's own */ }
  id("log-in-submit").disabled = false;
  id("log-in-failed").textContent = why;
  if (why) id("token").select();
};
id("log-out").onclick = async () => {
  await fetch("/api/v1/session", { method: "DELETE", signal: AbortSignal.timeout(2000) }).catch(() => {});
  identify();
};
