// Which model runs, and how a deployment goes: shown below the picture, where it distracts nobody.
const id = name => document.getElementById(name);
const element = (tag, text, kind) =>
  Object.assign(document.createElement(tag), { textContent: text, className: kind ?? "" });
const say = (name, text) => { if (id(name).textContent !== text) id(name).textContent = text; };

const STEPS = [
  ["verifying", "Signature and manifest are checked"],
  ["staging", "The bundle is unpacked and every file checked"],
  ["building", "The engine is built for this cart, at low priority"],
  ["proving", "The engine computes the golden frames on this cart"],
  ["swapping", "It takes the old model's place, between two frames"],
  ["probation", "It is shown, and watched beside the old model"],
];
const ENDS = {
  kept: "The new model stays.",
  refused: "The bundle was refused; the model runs on that ran before.",
  failed: "The new model was never shown; the model runs on that ran before.",
  rolled_back: "The new model went back; the model before it is shown again.",
};
const KINDS = { deploy: "Deployment", use: "Choice of a stored model", roll_back: "Way back to the model before" };

const lasted = s => s < 1 ? `${Math.round(s * 1000)} ms` : s < 90 ? `${s.toFixed(1)} s` : `${Math.round(s / 60)} min`;
const rest = s => s <= 0 ? "" : s < 90 ? `${Math.ceil(s)} s` : `${Math.ceil(s / 60)} min`;
const short = digest => digest ? digest.slice(0, 12) : "";
const figure = value => value === null ? "not yet known" : value.toFixed(value < 10 ? 3 : 1);

/** What is deployed, as far as that is known. */
const bundle = d => !d.model ? "a bundle"
  : `${d.model} ${short(d.digest)}` + (d.serial === null ? "" : `, serial ${d.serial}`);

/** The model at work, in one line. */
function active(m) {
  if (!m) return "";
  const serial = m.serial === null ? "no serial" : `serial ${m.serial}`;
  return `${m.name} ${m.version}, ${serial}, ${m.signer ? `signed by ${m.signer}` : "not signed"}, ${short(m.digest)}`;
}

function steps(d) {
  const taken = new Map(d.steps.map(step => [step.state, step.seconds]));
  return STEPS.filter(([state]) => d.kind === "deploy" || !["verifying", "probation"].includes(state)).map(([state, words]) => {
    const now = d.state === state, done = taken.has(state) && !now;
    const progress = now && d.progress !== undefined ? `, ${Math.round(100 * d.progress)} %` : "";
    const time = taken.has(state) ? ` (${lasted(taken.get(state))}${progress})` : "";
    const item = element("li", words + time, now ? "now" : done ? "done" : "later");
    if (now) item.setAttribute("aria-current", "step");
    return item;
  });
}

function probation(p) {
  if (!p) return "";
  const seconds = rest(p.of_seconds - p.seconds), frames = Math.max(0, p.of_frames - p.frames);
  const left = [seconds, frames ? `${frames.toLocaleString("en")} frames` : ""].filter(Boolean).join(" and ");
  return `${p.frames.toLocaleString("en")} frames answered, ${p.pairs.toLocaleString("en")} of them by the old model too. ` +
    (left ? `Still to go: ${left}.` : "") + (p.waits_for ? ` It waits for ${p.waits_for}.` : "");
}

const gate = g => {
  const bound = `${g.is_most ? "at most" : "at least"} ${figure(g.bound)}`;
  const row = element("tr", "");
  row.append(element("td", g.what), element("td", figure(g.figure)), element("td", bound),
    element("td", g.is_judged ? "" : "not judged yet"));
  return row;
};

/** Shows what the status says of models. `ask` asks the daemon to do something, if whoever looks `may`. */
export function models(s, ask, may, whyNot) {
  say("active-model", [active(s.model), s.store_failed].filter(Boolean).join("; "));
  const d = s.deployment;
  id("deployment").hidden = !d;
  id("go-back").hidden = !s.can_go_back;
  Object.assign(id("go-back"), { disabled: !may, title: whyNot });
  id("go-back").onclick = () => {
    const words = d && d.state === "probation" ? "Show the model before again, at once?"
      : d && !ENDS[d.state] ? "End this deployment? The model that is shown stays." : "Open the model before, and show it?";
    if (confirm(words)) ask("POST", "/api/v1/models/rollback", "The model before could not be shown");
  };
  const shadow = s.shadow;
  say("shadow-says", shadow ? `${shadow.model.name} ${shadow.model.version} runs on spare time beside it, never shown: ` +
    `${shadow.frames.toLocaleString("en")} frames compared` +
    (shadow.mean_dice === null ? "." : `, Dice ${shadow.mean_dice.toFixed(3)}.`) : "");
  id("shadow-link").hidden = !shadow;
  if (!d) return;
  say("deployment-says", `${KINDS[d.kind]} ${d.id} by ${d.who}: ${bundle(d)}.` + (ENDS[d.state] ? " " + ENDS[d.state] : ""));
  id("deployment-says").dataset.kind = d.state;
  const why = d.failed ? `${d.failed.message}. ${d.failed.remedy.replace(/\.?$/, ".")}` : "";
  say("deployment-why", why + (s.unrecorded ? ` ${s.unrecorded}.` : ""));
  id("steps").replaceChildren(...steps(d));
  say("probation-says", d.state === "probation" ? probation(d.probation) : "");
  id("gates").hidden = !d.probation;
  if (d.probation) id("gate-rows").replaceChildren(...d.probation.gates.map(gate));
}
