import { HEIGHT, Mask, WIDTH } from "/mask.js";
import { View } from "/view.js";

const id = name => document.getElementById(name);
const number = n => n.toLocaleString("en");
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const MARKS = { accepted: "✓", corrected: "✎", rejected: "✕" };
const WHY = { uncertain: "uncertain", area_jump: "area jumped", disagreement: "two models disagree", flagged: "flagged" };

let state = null, current = 0, frame = null, busy = false;
let mask = new Mask(), drawn = new Mask(), start = new Mask();
let undone = [], done = [];
let erases = false, size = 16, isShown = true;
let pointer = null, cursor = null, held = false;
const view = new View(id("canvas"));

const draft = () => state.drafts[current];
const isOpen = i => !state.drafts[i].verdict;

async function ask(path, method = "GET", body) {
  const headers = body ? { "content-type": "application/json" } : {};
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("no connection: is nervelight-train still running? What was decided is on the disk.");
  }
  if (!answer.ok) throw new Error(await answer.text() || answer.statusText);
  return answer.json();
}

/** Runs one thing at a time; shows what goes wrong. */
async function once(task) {
  if (busy) return;
  busy = true;
  delete document.body.dataset.ready;
  try {
    await task();
    id("error").hidden = true;
  } catch (error) {
    id("error").textContent = error.message;
    id("error").hidden = false;
  } finally {
    busy = false;
    document.body.dataset.ready = "yes";
  }
}

// ---- What is painted ----

// Until it is decided on it survives a reload, in this tab only.
const stored = () => `${draft().name}:${draft().revision}`;

function show() {
  const next = done.length ? done.at(-1) : start;
  mask = Mask.of(next.runs());
  changed();
}

function changed() {
  if (done.length) sessionStorage.setItem(stored(), JSON.stringify(mask.runs()));
  else sessionStorage.removeItem(stored());
  drawActions();
  paint();
}

/** A change is complete. */
function commit() {
  if (mask.equals(done.at(-1) ?? start)) return;
  done.push(Mask.of(mask.runs()));
  undone = [];
  changed();
}

function step(from, to) {
  if (!from.length) return;
  to.push(from.pop());
  show();
}

function replace(other) {
  mask = Mask.of(other.runs());
  commit();
  paint();
}

let due = false;
function paint() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    const at = cursor && { x: cursor[0], y: cursor[1], radius: size / 2, erases: pointer?.erases ?? erases };
    view.draw({ frame, mask, drawn, isShown, brush: at });
  });
}

// ---- What is shown beside it ----

function drawList() {
  const cases = new Map();
  state.drafts.forEach((of, i) => cases.set(of.patient, [...(cases.get(of.patient) ?? []), i]));
  id("list").replaceChildren(...[...cases].flatMap(([patient, places]) => {
    const reviewed = places.filter(i => !isOpen(i)).length, isCurrent = patient === draft().patient;
    const head = element("button", { className: `case ${reviewed === places.length ? "done" : ""}`,
      onclick: () => once(() => load(places.find(isOpen) ?? places[0])) },
      element("i", { textContent: reviewed === places.length ? "✓" : "●" }), `Case ${patient}`,
      element("small", { textContent: `${reviewed} of ${places.length}` }));
    return [head, ...(isCurrent ? places.map(item) : [])];
  }));
  id("list").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
}

function item(i) {
  const { name, verdict, why } = state.drafts[i];
  const made = element("button", { className: `draft ${verdict ?? ""}`, onclick: () => once(() => load(i)) },
    element("i", { textContent: MARKS[verdict] ?? "●" }), name, element("small", { textContent: verdict ?? WHY[why] ?? why }));
  made.setAttribute("aria-current", i === current);
  return made;
}

function drawHead() {
  const { name, patient, ms, why, reason, uncertainty, model, verdict, by, at } = draft();
  const [title, text] = id("head").children;
  title.replaceChildren(name, element("b", { id: "verdict", className: verdict ?? "", textContent: verdict ?? "open" }));
  const time = `${Math.floor(ms / 60000)} min ${Math.floor(ms / 1000) % 60} s into case ${patient}`;
  text.textContent = [`${WHY[why] ?? why}${reason && reason !== "unspecified" ? ` (${reason.replaceAll("_", " ")})` : ""}`,
    `uncertainty ${uncertainty.toFixed(2)}`, time, `drawn by ${model}`,
    verdict && `${verdict} by ${by}, ${at.slice(0, 16).replace("T", " ")} UTC`].filter(Boolean).join(" · ");
  const open = state.drafts.filter((_, i) => isOpen(i)).length, all = state.drafts.length;
  id("progress").textContent = `${number(all - open)} of ${number(all)} reviewed`;
  id("progress").className = open ? "" : "all-done";
  id("meter").firstElementChild.style.width = `${100 * (all - open) / all}%`;
  id("meter").setAttribute("aria-valuenow", Math.round(100 * (all - open) / all));
  document.title = `${all - open}/${all} Review`;
}

function drawActions() {
  const isChanged = !mask.equals(drawn), { verdict } = draft();
  const [title, , note] = id("keep").children;
  title.textContent = isChanged ? "Save correction" : "Accept";
  note.textContent = isChanged ? `${number(mask.area())} px in place of ${number(drawn.area())}`
    : drawn.area() ? "the mask is right as it is" : "there is no nerve";
  id("undo").disabled = !done.length;
  id("redo").disabled = !undone.length;
  id("drawn").disabled = !isChanged;
  id("empty").disabled = !mask.area();
  id("reopen").disabled = !verdict;
  id("next").firstElementChild.textContent = verdict ? "Next" : "Skip";
}

function drawTools() {
  id("brush").setAttribute("aria-pressed", !erases);
  id("eraser").setAttribute("aria-pressed", erases);
  id("shown").setAttribute("aria-pressed", isShown);
  id("size").value = id("sized").value = size;
  paint();
}

let fading;
function toast(text) {
  id("toast").textContent = text;
  id("toast").classList.add("on");
  clearTimeout(fading);
  fading = setTimeout(() => id("toast").classList.remove("on"), 3000);
}

// ---- From draft to draft ----

async function load(i) {
  if (!state.drafts.length) return;
  const place = (i + state.drafts.length) % state.drafts.length;
  const picture = new Image();
  picture.src = `/draft/${place}/frame`;
  const [masks] = await Promise.all([ask(`/draft/${place}/masks`), picture.decode().catch(() => {
    throw new Error(`the picture of ${state.drafts[place].name} cannot be shown; are its files still there?`);
  })]);
  [current, frame, drawn, start] = [place, picture, Mask.of(masks.drawn), Mask.of(masks.mask)];
  [done, undone, held] = [[], [], false];
  const before = sessionStorage.getItem(stored());
  if (before) done.push(Mask.of(JSON.parse(before)));
  mask = Mask.of((done.at(-1) ?? start).runs());
  view.whole();
  drawHead();
  drawList();
  drawActions();
  drawTools();
}

function nextOpen() {
  const n = state.drafts.length;
  for (let i = 1; i <= n; i++) if (isOpen((current + i) % n)) return (current + i) % n;
  return current;
}

/** Decides, and goes on when it is on the disk. */
function decide(wish, stay = false) {
  return once(async () => {
    finish();
    const { name, revision } = draft(), before = stored();
    const runs = wish === "keep" ? mask.runs() : [];
    state.drafts[current] = await ask(`/draft/${current}/decision`, "PUT", { revision, wish, runs });
    sessionStorage.removeItem(before);
    toast(`${name}: ${draft().verdict ?? "open again"}`);
    await load(stay ? current : nextOpen());
    if (!state.drafts.some((_, i) => isOpen(i))) toast("All drafts are reviewed. They are in the folder train of the data.");
  });
}

// ---- Hands ----

const fingers = new Map();
let pinch = null;

/** Ends a stroke. */
function finish() {
  if (pointer || held) commit();
  pointer = null;
  held = false;
}

/** The fingers' middle in the window, and how far apart they are. */
function spread() {
  const [a, b] = [...fingers.values()];
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
}

const canvas = id("canvas");
canvas.onpointerdown = event => {
  if (busy || !state?.drafts.length) return;
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  if (event.pointerType === "touch") fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (fingers.size === 2) {
    // The first finger began a stroke that is none.
    if (pointer) mask = Mask.of((done.at(-1) ?? start).runs());
    pointer = null;
    pinch = spread();
    return paint();
  }
  if (fingers.size > 2) return;
  const at = view.at(event.clientX, event.clientY);
  const pans = event.button === 1, wipes = erases || event.button === 2 || event.button === 5;
  pointer = { id: event.pointerId, at, pans, erases: wipes };
  cursor = at;
  if (!pans) mask.dab(...at, size / 2, wipes ? 0 : 1);
  paint();
};
canvas.onpointermove = event => {
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pinch && fingers.size === 2) {
    const now = spread(), from = view.at(pinch.x, pinch.y);
    view.zoomAt(from, now.apart / Math.max(1, pinch.apart));
    const to = view.at(now.x, now.y);
    view.moveTo(view.middle.map((middle, i) => middle + from[i] - to[i]));
    pinch = now;
    return paint();
  }
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const at = view.at(each.clientX, each.clientY);
    if (pointer?.id === event.pointerId && pointer.pans) view.moveTo(view.middle.map((m, i) => m + pointer.at[i] - at[i]));
    else if (pointer?.id === event.pointerId) {
      mask.line(pointer.at, at, size / 2, pointer.erases ? 0 : 1);
      pointer.at = at;
    }
    cursor = at;
  }
  paint();
};
canvas.onpointerup = canvas.onpointercancel = event => {
  fingers.delete(event.pointerId);
  if (fingers.size < 2) pinch = null;
  if (pointer?.id === event.pointerId) finish();
  if (event.pointerType === "touch") cursor = null;
  paint();
};
canvas.onpointerleave = () => { if (!pointer) { cursor = null; paint(); } };
canvas.oncontextmenu = event => event.preventDefault();
canvas.onwheel = event => {
  event.preventDefault();
  view.zoomAt(view.at(event.clientX, event.clientY), Math.exp(-event.deltaY / 400));
  paint();
};

/** The brush by keyboard: from where it is, or from the middle. */
function move(x, y, isFine) {
  const step = isFine ? 1 : 6, from = cursor ?? [...view.middle];
  const within = (at, most) => Math.min(most, Math.max(0, at));
  cursor = [within(from[0] + x * step, WIDTH - 1), within(from[1] + y * step, HEIGHT - 1)];
  if (held) mask.line(from, cursor, size / 2, erases ? 0 : 1);
  paint();
}

function press() {
  if (held) return;
  held = true;
  cursor ??= [...view.middle];
  mask.dab(...cursor, size / 2, erases ? 0 : 1);
  paint();
}

const tool = value => { erases = value; drawTools(); };
const resize = to => { size = Math.min(80, Math.max(2, to)); drawTools(); };
const zoom = factor => { view.zoomAt(cursor ?? view.middle, factor); paint(); };
const whole = () => { view.whole(); paint(); };
const toggle = () => { isShown = !isShown; drawTools(); };
const undo = () => { finish(); step(done, undone); };
const redo = () => step(undone, done);
const skip = () => once(() => load(nextOpen()));

const BUTTONS = {
  brush: () => tool(false), eraser: () => tool(true), undo, redo, empty: () => replace(new Mask()), drawn: () => replace(drawn),
  out: () => zoom(1 / 1.5), in: () => zoom(1.5), whole, shown: toggle,
  keep: () => decide("keep"), reject: () => decide("reject"), reopen: () => decide("reopen", true), next: skip,
};
for (const [name, action] of Object.entries(BUTTONS)) id(name).onclick = () => { if (!busy && state?.drafts.length) action(); };
id("size").oninput = () => resize(Number(id("size").value));

const KEYS = {
  b: "brush", e: "eraser", z: "undo", y: "redo", n: "empty", m: "drawn", "-": "out", "+": "in", "=": "in", 0: "whole", o: "shown",
  enter: "keep", x: "reject", backspace: "reopen", j: "next",
};
const MOVES = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };

document.addEventListener("keydown", event => {
  const key = event.key.toLowerCase(), focus = document.activeElement;
  if (event.altKey || busy || !state?.drafts.length) return;
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    return key === "y" || event.shiftKey ? redo() : undo();
  }
  // A button that was reached by Tab is pressed, and the slider moved, as anywhere.
  if ((key === "enter" || key === " ") && focus?.matches("button:focus-visible")) return;
  if (MOVES[key] && focus === id("size")) return;
  if (MOVES[key]) move(...MOVES[key], event.shiftKey);
  else if (key === " ") press();
  else if (key === "[" || key === "]") resize(size + (key === "[" ? -2 : 2));
  else if (key === "pageup" || key === "pagedown") once(() => load(current + (key === "pageup" ? -1 : 1)));
  else if (KEYS[key] && !(event.repeat && ["enter", "x"].includes(key))) { if (!id(KEYS[key]).disabled) BUTTONS[KEYS[key]](); }
  else return;
  event.preventDefault();
});
document.addEventListener("keyup", event => { if (event.key === " " && held) finish(); });
addEventListener("blur", () => finish());
addEventListener("resize", paint);

once(async () => {
  state = await ask("/state");
  id("title").textContent = state.title;
  id("reviewer").textContent = `Reviewer: ${state.reviewer}`;
  if (!state.drafts.length) {
    id("progress").textContent = "There are no drafts.";
    return;
  }
  await load(Math.max(0, state.drafts.findIndex((_, i) => isOpen(i))));
});
