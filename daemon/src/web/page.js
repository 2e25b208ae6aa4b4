import { flag, kept } from "/harvest.js";
import { identify, isKnown, may, start, whyNot } from "/login.js";
import { models } from "/models.js";
import { Refused, obstacle, watch as watchWebrtc } from "/webrtc.js";

// A picture older than this is not shown as live.
const FRESH_MS = 1000;
// A connection over which nothing comes for so long is given up and opened anew.
const GIVE_UP_MS = 5000;
const RETRY_MS = 500;
// Motion JPEG takes over when no picture has come by WebRTC for so long.
const WEBRTC_MS = 2000;
// Where WebRTC shows nothing though the cart answers, it is tried again when so long has passed: its sink may open any
// moment, but packets that do not pass, or a browser that cannot, are there to stay.
const OPENS_MS = 2000, STAYS_MS = 15000;

const id = name => document.getElementById(name);
const element = (tag, text, kind) =>
  Object.assign(document.createElement(tag), { textContent: text, className: kind ?? "" });
// Screen readers speak what changes: what stays the same must not be written again.
const say = (name, text) => { if (id(name).textContent !== text) id(name).textContent = text; };

const STATES = {
  on: ["AI on", "Where the model finds a nerve, it is tinted. Where nothing is tinted, it has found none."],
  stale: ["AI stale: no overlay", "The model answers too late for this picture, so nothing is drawn."],
  off: ["AI off: no overlay", "The model gives no answer, so nothing is drawn. The picture itself is live."],
  disabled: ["Overlay switched off", "Somebody switched the overlay off. The picture itself is live."],
  silent: ["No signal", "The ultrasound machine sends no picture. Check its cable and its power."],
  no_input: ["No input", "The capture card has no input and shows a picture of its own. Check the cable to the ultrasound machine, and its power."],
  black: ["Black picture", "The picture is black. Check whether the ultrasound machine shows one."],
};
// What is no trouble, said beside the rest.
const NOTES = {
  frozen: ["picture frozen", " The picture stands still: somebody froze it, or the probe is not at work."],
  geometry_changed: ["picture changed", " The picture's size, format or place has just changed."],
};

// ---- Pictures, each with its own state ----

let connected = false;      // pictures could come
let refused = "";           // why the daemon shows no pictures, in its own words
let shown = null;           // state of the picture on the screen, and when it was drawn
let newest = null, drawing = false, overlay = true;
let jpegs = null, webrtc = null;    // what ends either way of pictures while it is open
let waitedFrom = performance.now(); // since when WebRTC may have shown a picture and has not
let without = obstacle();   // why WebRTC shows none

const kindOf = state => !state.signal ? "silent" : STATES[state.picture] ? state.picture : state.ai;

/** Reads parts of a multipart stream: JSON of the state, and the JPEG. */
async function* parts(reader) {
  const decoder = new TextDecoder();
  let bytes = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(bytes.length + value.length);
    joined.set(bytes);
    joined.set(value, bytes.length);
    bytes = joined;
    for (;;) {
      const end = headEnd(bytes);
      if (end < 0) break;
      const head = decoder.decode(bytes.subarray(0, end));
      const length = Number(/content-length: *(\d+)/i.exec(head)[1]);
      if (bytes.length < end + length) break;
      const state = JSON.parse(/x-nervelight-state: *(.*)/i.exec(head)[1]);
      yield { state, jpeg: bytes.slice(end, end + length) };
      bytes = bytes.subarray(end + length);
    }
  }
}

/** Where the part's head ends; -1 while it is not whole. A head is short: a JPEG is not searched. */
function headEnd(bytes) {
  for (let i = 3; i < Math.min(bytes.length, 1024); i++)
    if (bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 && bytes[i - 3] === 13) return i + 1;
  return -1;
}

/** Pictures by WebRTC, for as long as somebody looks. */
async function watchVideo() {
  const mine = webrtc = new AbortController();
  while (webrtc === mine) {
    let wait = STAYS_MS;
    const clock = { least: Infinity };
    without = obstacle();
    try {
      if (!without) without = await watchWebrtc(mine.signal, (state, picture) => {
        if (webrtc !== mine) return;
        // The first one ends the pictures that stood in for it.
        jpegs?.abort();
        connected = true;
        refused = without = "";
        wait = RETRY_MS;
        waitedFrom = performance.now();
        put(state, picture, picture.displayWidth, picture.displayHeight, clock, "webrtc");
      });
    } catch (error) {
      without = error instanceof Refused ? error.message : "the program on the cart does not answer";
      if (!error.status) wait = RETRY_MS;
      if (error.status === 503) wait = OPENS_MS;
    }
    if (webrtc !== mine) return;
    connected = Boolean(jpegs);
    look();
    await new Promise(resolve => setTimeout(resolve, wait));
  }
}

/** Pictures as motion JPEG, where WebRTC shows none. */
async function watchJpegs() {
  const mine = jpegs = new AbortController();
  let timer;
  const alive = () => { clearTimeout(timer); timer = setTimeout(() => mine.abort(), GIVE_UP_MS); };
  alive();
  try {
    const answer = await fetch("/stream.mjpg", { signal: mine.signal, cache: "no-store" });
    if (answer.status === 401) identify();
    if (answer.status === 503) refused = (await answer.json()).detail;
    if (answer.ok) {
      refused = "";
      connected = true;
      const clock = { least: Infinity };
      for await (const part of parts(answer.body.getReader())) {
        alive();
        newest = { ...part, clock, way: mine };
        draw();
      }
    }
  } catch { /* lost: shown by look(), tried again below */ }
  clearTimeout(timer);
  mine.abort();
  if (jpegs === mine) connected = false;
  look();
  await new Promise(resolve => setTimeout(resolve, RETRY_MS));
  if (jpegs === mine) jpegs = null;
}

/** Motion JPEG takes over where WebRTC shows nothing, and not before it had its time. */
function takeOver() {
  if (document.hidden || jpegs || !isKnown()) return;
  if (without || performance.now() - waitedFrom > WEBRTC_MS) watchJpegs();
}

async function draw() {
  if (drawing) return;
  drawing = true;
  while (newest) {
    const { state, jpeg, clock, way } = newest;
    newest = null;
    try {
      const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
      if (!way.signal.aborted) put(state, bitmap, bitmap.width, bitmap.height, clock, "jpeg");
      bitmap.close();
    } catch { /* a damaged picture: the one before it grows old */ }
  }
  drawing = false;
}

/** Puts a picture on the screen together with what is true of it. */
function put(state, picture, width, height, clock, way) {
  const canvas = id("picture");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  id("sector").setAttribute("viewBox", `0 0 ${width} ${height}`);
  canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
  const now = performance.now();
  // The clocks drift: the shortest way is forgotten slowly, or it would seem longer and longer.
  clock.least = Math.min(now - state.at_ms, clock.least + 0.1);
  shown = { state, at: now, late: now - state.at_ms - clock.least, way };
  look();
}

/** Says in words what stands on the screen. */
function look() {
  takeOver();
  id("overlay").disabled = id("flag").disabled = !may("operate");
  say("why-not", whyNot("Switching the overlay or flagging a moment", "operate"));
  const age = shown ? performance.now() - shown.at + shown.late : Infinity;
  const old = age > FRESH_MS || document.hidden;
  id("live").classList.toggle("old", old);
  if (!old) {
    const kind = kindOf(shown.state), [note, noted] = NOTES[shown.state.picture] ?? ["", ""];
    say("state", STATES[kind][0] + (note && ` \u2013 ${note}`));
    id("state").dataset.kind = { silent: "off", no_input: "off", black: "stale" }[kind] ?? kind;
    say("what", "");
    say("why", "");
    say("since", "");
    say("explained", STATES[kind][1] + noted + reason(kind));
    say("way", shown.way === "webrtc" ? "The picture comes by WebRTC."
      : `The picture comes as motion JPEG. WebRTC shows none: ${without || "it is being tried"}.`);
    say("nerve", kind === "on" ? measured(shown.state.nerve) : "");
    if (kind === shown.state.ai) overlay = shown.state.ai !== "disabled";
    id("overlay").setAttribute("aria-pressed", String(overlay));
    say("overlay-says", overlay ? "Nerve overlay: on" : "Nerve overlay: off");
    return;
  }
  let what = "No live picture", why;
  if (!isKnown()) shown = null;
  if (refused) why = "This cart shows its picture elsewhere. (" + refused + ")";
  else if (!connected || (shown && !status)) why = "The program on the cart does not answer. This page tries again by itself.";
  else if (shown) why = "The program on the cart is reached, but sends no fresh picture.";
  else {
    what = "Waiting";
    why = status && status.ai !== "waiting" ? "The first picture is on its way."
      : "The program runs; the ultrasound machine has not sent a picture yet.";
  }
  if (shown) what = "Not live";
  const asked = !isKnown() && !id("log-in").hidden;
  say("state", asked ? "Log in to see the picture" : shown ? "Not live: no fresh picture" : "No picture yet");
  id("state").dataset.kind = id("warning").dataset.kind = !asked && (shown || !connected) ? "lost" : "none";
  say("what", what);
  say("why", why);
  say("explained", "");
  say("nerve", "");
  say("since", shown ? `The last picture came ${Math.floor(age / 1000)} s ago.` : "");
}

const measured = nerve => nerve
  ? `Nerve: ${nerve.width_mm.toFixed(1)} mm wide, ${nerve.area_mm2.toFixed(0)} mm², ${nerve.depth_mm.toFixed(1)} mm deep` : "";

// ---- Figures, once a second ----

let status = null;

const reason = kind => {
  if (!status) return "";
  if (kind === "silent" && status.source_failed) return " Reason: " + status.source_failed + ". It is tried again by itself.";
  if (kind !== "off") return "";
  if (status.frames_problem) return " Reason: " + status.frames_problem;
  if (status.engine_failed) return " Reason: " + status.engine_failed;
  const build = status.engine_build;
  return build ? ` The ${build.what} is being built: ${Math.round(100 * build.done)} %, ${Math.round(build.seconds)} s, ${build.phase}.` : "";
};
const ms = value => value < 10 ? value.toFixed(1) : Math.round(value);
const spread = q => q.max === 0 ? "not yet known"
  : `${ms(q.p50)} ms typically, ${ms(q.p99)} ms in the slowest of 100, ${ms(q.max)} ms at most`;
const count = n => n.toLocaleString("en");

async function refresh() {
  if (isKnown()) await readStatus();
  else status = null;
  place();
  // Without an answer a recording that had stopped still has.
  if (status && status.ai !== "waiting") figures(status);
  alarm();
  look();
  setTimeout(refresh, 1000);
}

async function readStatus() {
  try {
    const answer = await fetch("/status", { signal: AbortSignal.timeout(2000), cache: "no-store" });
    if (answer.status === 401) identify();
    status = answer.ok ? await answer.json() : null;
  } catch {
    status = null;
  }
  id("details").classList.toggle("unknown", !status);
}

/** Frames the ultrasound picture where the daemon looks for it, as long as the daemon says where. */
function place() {
  const found = status && status.sector;
  id("sector").classList.toggle("found", Boolean(found));
  if (found) for (const key of ["x", "y", "width", "height"]) id("outline").setAttribute(key, found[key]);
}

function figures(s) {
  const at = s.sector, rows = [
    ["Source", s.frames ? `${s.source}, ${s.frames.split(" ")[0]} pixels` : `${s.source}, no picture yet`],
    ...(at ? [["Ultrasound picture", `found at ${at.x}, ${at.y}: ${at.width} by ${at.height} pixels` +
      (at.scale === 1 ? "" : `, scaled by 1/${at.scale.toFixed(2)}`)]] : []),
    ["Pictures shown", `${count(s.frames_out)}, ${s.last_minute.fps} a second`],
    ["Pictures left out", s.dropped === 0 ? "none" : `${count(s.dropped)} of ${count(s.frames_in)}`],
    ["Pictures without overlay", s.frames_badged === 0 ? "none" : `${count(s.frames_badged)}, marked AI OFF or AI STALE`],
    ["Delay of the picture, last minute", spread(s.last_minute.latency_ms)],
    ["Time to find the nerve, last minute", spread(s.last_minute.engine_ms)],
    ["Age of the overlay, last minute", spread(s.last_minute.mask_age_ms)],
    ...(s.dice === null ? [] : [["Agreement with the truth", `${s.dice.toFixed(3)} (Dice; 1 is perfect)`]]),
  ];
  id("figures").replaceChildren(...rows.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  id("sinks").replaceChildren(...s.sinks.map((sink, number) => {
    const lost = sink.dropped ? `, ${count(sink.dropped)} left out` : "";
    const gaps = sink.failures ? `, interrupted ${sink.failures === 1 ? "once" : `${sink.failures} times`}` : "";
    if (!sink.failed) return element("li", `${sink.name}: ${count(sink.frames)} pictures${lost}${gaps}`);
    const item = element("li", `${sink.name}: FAILED. ${sink.failed} It is tried again by itself. `, "failed");
    const again = element("button", "Try again now");
    again.onclick = () => ask("POST", `/api/v1/sinks/${number}/retry`, "It could not be tried again");
    Object.assign(again, { disabled: !may("operate"), title: whyNot("Trying again now", "operate") });
    item.append(again);
    return item;
  }));
  troubles = s.sinks.filter(sink => sink.failed).map(sink => sink.name.startsWith("file ")
    ? `RECORDING STOPPED: ${sink.name.slice(5)}: ${sink.failed}` : `OUTPUT FAILED: ${sink.name}: ${sink.failed}`);
  models(s, ask, may("operate"), whyNot("Going back", "operate"));
  kept(s.harvest);
  const e = s.engine;
  id("model").textContent = `Model ${e.model}, ${e.precision}, ${e.runtime}, ${e.provider}, ${e.digest}. ` +
    `Mode ${s.sync}, frames ${s.frames}. Nervelight ${s.version}.`;
}

let troubles = [], complaint = "", alarmed = "";
function alarm() {
  const texts = complaint ? [...troubles, complaint] : troubles;
  if (alarmed === texts.join("\n")) return;
  alarmed = texts.join("\n");
  id("alarms").replaceChildren(...texts.map(text => element("p", text)));
}

// ---- What a person may do ----

/** Asks the daemon to do something; says `failure` and why if it was not done. */
async function ask(method, path, failure, body) {
  let why = "the program on the cart does not answer.";
  try {
    const answer = await fetch(path, {
      method, headers: { "Content-Type": "application/json" },
      body: body && JSON.stringify(body), signal: AbortSignal.timeout(2000),
    });
    if (answer.ok) return true;
    why = (await answer.json()).detail;
  } catch { /* no answer, or none of the daemon's own */ }
  complaint = `${failure}: ${why}`;
  alarm();
  setTimeout(() => { complaint = ""; alarm(); }, 5000);
}

const switchOverlay = () => may("operate") &&
  ask("PUT", "/api/v1/overlay", "The overlay could not be switched", { enabled: !overlay });

async function switchFull() {
  const live = id("live");
  if (document.fullscreenElement) await document.exitFullscreen();
  else if (live.classList.contains("full")) live.classList.remove("full");
  // Phones that let no page fill the screen let it fill the window.
  else await (live.requestFullscreen ? live.requestFullscreen() : Promise.reject()).catch(() => live.classList.add("full"));
  fullChanged();
}
const fullChanged = () => id("full").setAttribute("aria-pressed",
  String(Boolean(document.fullscreenElement) || id("live").classList.contains("full")));

id("overlay").onclick = switchOverlay;
id("full").onclick = switchFull;
const flagMoment = () => may("operate") && flag(ask);
id("flag").onclick = flagMoment;
document.onfullscreenchange = fullChanged;
document.onkeydown = event => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.target === id("token")) return;
  if (event.key === "f") switchFull();
  else if (event.key === "o") switchOverlay();
  else if (event.key === "k") flagMoment();
  else if (event.key === "Escape" && id("live").classList.contains("full")) switchFull();
};
// Nobody looks at a hidden page, and what it showed is old when it comes back.
document.onvisibilitychange = () => document.hidden ? end() : begin();

function begin() {
  if (document.hidden || webrtc || !isKnown()) return;
  waitedFrom = performance.now();
  watchVideo();
}

function end() {
  const were = [webrtc, jpegs];
  webrtc = jpegs = shown = null;
  connected = false;
  were.forEach(was => was?.abort());
  look();
}

/** Somebody else looks, or nobody: what was shown was for another. */
function anew(known) {
  end();
  if (known) return begin();
  const { width, height } = id("picture");
  id("picture").getContext("2d").clearRect(0, 0, width, height);
  troubles = [];
  for (const name of ["figures", "sinks", "model", "way"]) id(name).replaceChildren();
}

start(anew);
refresh();
setInterval(look, 100);
