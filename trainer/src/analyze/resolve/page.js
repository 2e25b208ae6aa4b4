"use strict";

// Colours of masks, bright ones of Okabe and Ito: equal masks have equal colours.
const COLOURS = ["#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#2bd4a0", "#ff8c5a"];
const WIDTH = 580, HEIGHT = 420;

const id = name => document.getElementById(name);
const number = n => n.toLocaleString("en");
const plural = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;
const colour = mask => COLOURS[mask % COLOURS.length];

let state = null;            // what the server says of all groups
let current = 0;             // the group that is shown
let shapes = null;           // its masks as paths
let drops = new Set();       // frames of it to leave out
let zoomed = false;
let busy = false;

/// An element with properties, attributes under `a`, a background colour, and children.
function element(tag, { a = {}, colour, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (colour) made.style.background = colour;
  for (const [name, value] of Object.entries(a)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

async function ask(path, method = "GET", body) {
  const headers = body ? { "content-type": "application/json" } : {};
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("no connection: is nervelight-train still running? What was decided is in the file.");
  }
  if (!answer.ok) throw new Error(await answer.text() || answer.statusText);
  return answer.json();
}

/// Runs one thing at a time; shows what goes wrong.
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

const group = () => state.groups[current];
const isOpen = i => !state.groups[i].decision;

/// What a decision says, in few words.
function told({ frames }, { rule, keep, drop }) {
  const dropped = drop.length ? plural(drop.length, "frame") + " dropped" : "";
  if (drop.length === frames.length) return "all frames dropped";
  const mask = {
    keep: () => `mask of ${frames[keep].name}`,
    union: () => "union",
    majority: () => "majority",
    empty: () => "no nerve",
    own: () => dropped ? "" : "left as they are",
  }[rule]();
  return [mask, dropped].filter(Boolean).join(", ");
}

function drawList() {
  id("list").replaceChildren(...state.groups.map((g, i) => element("button",
    { className: g.decision ? "done" : "", onclick: () => once(() => show(i)), a: { "aria-current": i === current } },
    element("i", { textContent: g.decision ? "✓" : "●" }),
    element("span", { textContent: g.frames.map(f => f.name).join(" · ") }),
    element("small", { textContent: g.decision ? told(g, g.decision) : contradiction(g) }))));
  id("list").children[current]?.scrollIntoView({ block: "nearest" });
}

function contradiction(g) {
  const nerves = g.frames.filter(f => f.area > 0).length;
  if (nerves > 0 && nerves < g.frames.length) return "nerve in some only";
  return g.masks_apart ? `masks differ by ${g.frames.length > 2 ? "up to " : ""}${number(g.masks_apart)} px` : "masks agree";
}

function drawProgress() {
  const done = state.groups.filter(g => g.decision).length, all = state.groups.length;
  id("progress").textContent = `${number(done)} of ${number(all)} resolved`;
  id("meter").firstElementChild.style.width = `${all ? 100 * done / all : 100}%`;
  id("undo").disabled = !state.undo;
  id("redo").disabled = !state.redo;
  id("title").textContent = state.title;
  id("file").textContent = `saved in ${state.file}`;
  document.title = `${done}/${all} Resolve`;
}

function drawHead() {
  const g = group(), [title, text] = id("head").children;
  const patients = new Set(g.frames.map(f => f.patient)).size;
  title.replaceChildren(g.frames.slice(0, 6).map(f => f.name).join(" · "),
    g.frames.length > 6 ? ` and ${g.frames.length - 6} more` : "",
    element("b", { className: g.decision ? "done" : "", id: "verdict", textContent: g.decision ? told(g, g.decision) : "open" }));
  const apart = g.apart === 0 ? "identical pictures" : `pictures ${g.frames.length > 2 ? "up to " : ""}${number(g.apart)} apart`;
  text.replaceChildren(`Group ${current + 1} of ${state.groups.length} · ${plural(g.frames.length, "frame")} · ${apart} · `,
    element("em", { textContent: contradiction(g) }),
    patients > 1 ? ` · ${patients} patients` : "",
    g.decision && g.decision.by !== "person" ? ` · by ${g.decision.by}` : "",
    g.former ? " · decided before, but frames have joined it since" : "");
}

/// The picture of a frame with `paths` over it.
function picture(place, ...paths) {
  const [x, y, w, h] = view();
  return svg("svg", { viewBox: `${x} ${y} ${w} ${h}` },
    svg("image", { href: `/frame/${place}`, width: WIDTH, height: HEIGHT }),
    svg("g", { class: "mask" }, ...paths));
}

/// The part of the frame that is shown: all, or the nerve with some room around.
function view() {
  if (!zoomed || !shapes.box) return [0, 0, WIDTH, HEIGHT];
  const [x, y, w, h] = shapes.box;
  const scale = Math.min(1, Math.max((w + 60) / WIDTH, (h + 60) / HEIGHT, 0.25));
  const [width, height] = [WIDTH * scale, HEIGHT * scale];
  const within = (middle, size, all) => Math.min(Math.max(middle - size / 2, 0), all - size);
  return [within(x + w / 2, width, WIDTH), within(y + h / 2, height, HEIGHT), width, height];
}

const outline = (d, stroke) => svg("path", { class: "outline", d, stroke });

function drawFrames() {
  const g = group(), decision = g.decision;
  const rest = new Set(g.frames.filter((_, i) => !drops.has(i)).map(f => f.mask));
  const figures = g.frames.map((frame, i) => {
    const mask = shapes.masks[frame.mask], own = colour(frame.mask);
    const kept = decision?.rule === "keep" && decision.keep === i, dropped = drops.has(i);
    const key = i < 9 ? element("kbd", { textContent: i + 1 }) : "";
    const twin = g.frames.findIndex(f => f.mask === frame.mask);
    const tag = [dropped && "dropped", kept && "kept for all"].filter(Boolean).join(", ");
    const same = twin < i ? `mask as ${g.frames[twin].name}` : frame.area ? `${number(frame.area)} px` : "no nerve";
    return element("figure", { className: [dropped && "dropped", kept && "kept"].filter(Boolean).join(" ") },
      element("figcaption", {}, element("i", { colour: own }), element("b", { textContent: frame.name }),
        element("span", { textContent: same }), element("span", { className: "tag", textContent: tag })),
      picture(frame.place, svg("path", { class: "more", d: mask.more, fill: own }),
        svg("path", { class: "less", d: mask.less }), outline(mask.outline, own)),
      element("div", {},
        element("button", { id: `keep-${i + 1}`, onclick: () => decide({ rule: "keep", keep: i }), onmouseenter: () => preview({ rule: "keep", keep: i }), onmouseleave: () => preview() },
          frame.area ? "Keep this mask " : "Keep: no nerve ", key),
        element("button", { id: `drop-${i + 1}`, onclick: () => drop(i), textContent: dropped ? "Restore" : "Drop" })));
  });
  id("frames").replaceChildren(...figures, last(), hatch());
  for (const button of document.querySelectorAll("[data-rule]")) {
    button.classList.toggle("chosen", decision?.rule === button.dataset.rule && (button.id !== "own" || !decision.drop.length));
  }
  id("majority").disabled = !shapes.majority && !drops.size;
  id("majority").lastChild.textContent = id("majority").disabled ? "there is none" : "where more than half have it";
  id("clear").disabled = !decision && !drops.size;
  id("next").firstChild.textContent = decision ? "Next " : "Skip ";
  if (drops.size && !decision && rest.size > 1) toast("Masks of the frames that stay differ: choose one of them");
}

/// Stripes over what a mask lacks.
function hatch() {
  const pattern = svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { width: 1.3, height: 5, fill: "#fff", opacity: .6 }));
  return svg("svg", { width: 0, height: 0, class: "away" }, svg("defs", {}, pattern));
}

/// All masks at once, and where they differ.
function last() {
  const g = group();
  const paths = shapes.masks.map((mask, i) => outline(mask.outline, colour(i)));
  return element("figure", { id: "last" },
    element("figcaption", {}, element("b", { textContent: "Where they differ" }),
      element("span", { textContent: plural(shapes.masks.length, "mask") })),
    picture(g.frames[0].place, svg("path", { class: "disputed", d: shapes.disputed }), ...paths),
    element("div", {}, element("p", {}, element("i", { colour: "#ff4d6d" }),
      "not in every mask. A coloured area is in this mask and not in all, a striped one in others only.")));
}

let asked = 0;
/// Shows in the last picture what a decision would give; without one what was decided, or nothing.
async function preview(wish) {
  const mine = ++asked, g = group();
  wish ??= g.decision;
  const figure = id("last");
  if (!figure) return;
  if (!wish || wish.rule === "own") return void figure.replaceWith(last());
  const query = new URLSearchParams({ rule: wish.rule, drop: [...drops].join(",") });
  if (wish.rule === "keep") query.set("keep", wish.keep);
  const result = await ask(`/group/${current}/result?${query}`).catch(() => null);
  if (mine !== asked || !id("last")) return;
  if (!result) return;
  const kept = g.frames[wish.keep ?? g.frames.findIndex((_, i) => !drops.has(i))] ?? g.frames[0];
  id("last").replaceWith(element("figure", { id: "last", className: "kept" },
    element("figcaption", {}, element("b", { textContent: "Result" }),
      element("span", { textContent: `${told(g, { ...wish, drop: [...drops] })} · ${result.area ? number(result.area) + " px" : "no nerve"}` })),
    picture(kept.place, svg("path", { class: "result", d: result.region }), outline(result.outline, "#46b97c")),
    element("div", {}, element("p", { textContent: "The mask of every frame of this group that is not dropped." }))));
}

async function show(i) {
  if (!state.groups.length) return empty();
  current = (i + state.groups.length) % state.groups.length;
  shapes = await ask(`/group/${current}`);
  drops = new Set(group().decision?.drop);
  draw();
  document.querySelector("main").scrollTop = 0;
}

function draw() {
  drawProgress();
  drawList();
  drawHead();
  drawFrames();
  preview();
  document.querySelector(".all-done")?.remove();
  if (!state.groups.some((_, i) => isOpen(i))) id("head").before(finished(`All ${plural(state.groups.length, "group")} are resolved.`));
}

function finished(text) {
  return element("p", { className: "all-done" }, element("b", { textContent: text }),
    " To train with it, write into the settings: ", element("code", { textContent: `corrections = "${state.file}"` }));
}

function empty() {
  drawProgress();
  id("head").replaceChildren(finished("No group contradicts itself: nothing to resolve."));
  id("actions").hidden = true;
}

const nextOpen = from => {
  const n = state.groups.length;
  for (let step = 1; step <= n; step++) if (isOpen((from + step) % n)) return (from + step) % n;
  return from;
};

let fading;
function toast(text) {
  id("toast").textContent = text;
  id("toast").classList.add("on");
  clearTimeout(fading);
  fading = setTimeout(() => id("toast").classList.remove("on"), 3500);
}

/// Decides on the group that is shown, with the frames that are dropped, and goes on to the next.
function decide(wish, stay = false) {
  return once(async () => {
    const name = group().frames[0].name;
    const answer = await ask(`/group/${current}/decision`, "PUT", { ...wish, drop: [...drops].sort((a, b) => a - b) });
    state = answer.state;
    toast(`${name}: ${told(group(), group().decision)}. Z takes it back`);
    await show(stay ? current : nextOpen(current));
  });
}

function reopen() {
  return once(async () => {
    drops.clear();
    if (group().decision) state = (await ask(`/group/${current}/decision`, "DELETE")).state;
    await show(current);
  });
}

/// Leaves a frame out, or takes it back in. Decides when no contradiction is left.
function drop(i) {
  if (busy || i >= group().frames.length) return;
  drops.has(i) ? drops.delete(i) : drops.add(i);
  const g = group(), left = new Set(g.frames.filter((_, i) => !drops.has(i)).map(f => f.mask));
  const decided = g.decision && g.decision.rule !== "own";
  if (decided) return decide({ rule: g.decision.rule, keep: g.decision.keep }, true);
  if (drops.size && left.size <= 1) return decide({ rule: "own" }, true);
  if (!g.decision) return draw();
  const kept = new Set(drops);
  return once(async () => {
    state = (await ask(`/group/${current}/decision`, "DELETE")).state;
    await show(current);
    drops = kept;
    draw();
  });
}

function step(path) {
  return once(async () => {
    const answer = await ask(path, "POST");
    state = answer.state;
    toast(path === "/undo" ? "Taken back" : "Done again");
    await show(answer.group);
  });
}

for (const button of document.querySelectorAll("[data-rule]")) {
  const wish = { rule: button.dataset.rule };
  button.onclick = () => decide(wish);
  button.onmouseenter = () => preview(wish);
  button.onmouseleave = () => preview();
}
id("undo").onclick = () => step("/undo");
id("redo").onclick = () => step("/redo");
id("clear").onclick = reopen;
id("next").onclick = () => once(() => show(nextOpen(current)));

const zoom = () => { zoomed = !zoomed; draw(); };
const KEYS = {
  u: () => decide({ rule: "union" }),
  m: () => id("majority").disabled || decide({ rule: "majority" }),
  n: () => decide({ rule: "empty" }),
  a: () => decide({ rule: "own" }),
  z: () => step("/undo"),
  y: () => step("/redo"),
  f: zoom,
  o: () => document.body.classList.toggle("bare"),
  backspace: reopen,
  enter: () => once(() => show(nextOpen(current))),
  arrowleft: () => once(() => show(current - 1)),
  arrowright: () => once(() => show(current + 1)),
};

document.addEventListener("keydown", event => {
  if (event.altKey || busy || !state?.groups.length) return;
  const letter = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (letter !== "z" && letter !== "y") return;
    event.preventDefault();
    return void step(letter === "y" || event.shiftKey ? "/redo" : "/undo");
  }
  // By its place: with shift, the sign on a digit's key depends on the keyboard.
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  if (digit) {
    const frame = digit - 1;
    if (frame >= group().frames.length) return;
    return void (event.shiftKey ? drop(frame) : decide({ rule: "keep", keep: frame }));
  }
  const action = KEYS[letter];
  // Enter presses a button that was reached by Tab.
  if (!action || (letter === "enter" && document.activeElement?.matches("button:focus-visible"))) return;
  event.preventDefault();
  action();
});

once(async () => {
  state = await ask("/state");
  const open = state.groups.findIndex((_, i) => isOpen(i));
  await show(Math.max(open, 0));
});
