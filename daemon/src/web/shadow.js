// The report of a model that runs on spare time, twice in a minute and more often while it is young.
const id = name => document.getElementById(name);
const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
const say = text => { if (id("says").textContent !== text) id("says").textContent = text; };
const count = n => n.toLocaleString("en");
const percent = (n, of) => of ? `${(100 * n / of).toFixed(1)} %` : "not yet known";
const named = m => `${m.name} ${m.version}, ${m.serial === null ? "no serial" : `serial ${m.serial}`}, ` +
  `${m.signer ? `signed by ${m.signer}` : "not signed"}, ${m.digest.slice(0, 12)}`;
const spread = q => q.max === 0 ? "not yet known"
  : `${q.p50.toFixed(1)} ms typically, ${q.p99.toFixed(1)} ms in the slowest of 100`;

// Without figures there is no chart, and no caption of one. An SVG has no property `hidden`.
const chart = isThere => ["caption", "histogram"].forEach(name => id(name).toggleAttribute("hidden", !isThere));
const NONE = "No model has run beside the shown one yet. Whoever looks after this cart begins with " +
  `"nervelightd models shadow DIGEST --to ${location.origin}"; "nervelightd models list" names the stored models.`;

function show(r) {
  say((r.is_running ? "It runs on spare time now." : "It has ended; this is what it found.") +
    (r.trouble ? ` Trouble: ${r.trouble}` : ""));
  const d = r.dice, either = r.frames_with_nerve;
  const rows = [
    ["Shown", named(r.shown)],
    ["Beside it, never shown", named(r.shadow)],
    ["From, to", `${r.since}, ${r.until}`],
    ["Frames that both computed", `${count(r.frames)}, ${count(either)} of them with a nerve`],
    ["Dice", d ? `${d.mean.toFixed(3)} on average, ${d.p50.toFixed(3)} in the middle, ${d.p5.toFixed(3)} in the worst of 20`
      : "not yet known"],
    ["Only the shown one has a nerve", `${count(r.only_shown)} frames, ${percent(r.only_shown, r.frames)}`],
    ["Only the other has one", `${count(r.only_shadow)} frames, ${percent(r.only_shadow, r.frames)}`],
    ["Area, shown and other", `${Math.round(r.area_shown)} and ${Math.round(r.area_shadow)} pixels; ` +
      `${r.area_bias >= 0 ? "+" : "\u2212"}${Math.abs(Math.round(r.area_bias))} on average, scatter ${Math.round(r.area_scatter)}`],
    ["Maps of one value", `${count(r.shown_flat)} of the shown one, ${count(r.shadow_flat)} of the other`],
    ["Time, shown", spread(r.shown_ms)],
    ["Time, other, on spare time", spread(r.shadow_ms)],
    ["Frames that the other failed on", count(r.errors)],
  ];
  id("figures").replaceChildren(...rows.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  chart(Boolean(d));
  const bars = d ? d.histogram : [], most = Math.max(1, ...bars);
  const svg = (tag, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  };
  id("histogram").replaceChildren(...bars.map((n, i) => {
    const bar = svg("rect", { x: 20 * i + 1, y: 100 - 96 * n / most, width: 18, height: 96 * n / most, class: "bar" });
    bar.append(svg("title", {}, `Dice ${(i / 20).toFixed(2)} to ${((i + 1) / 20).toFixed(2)}: ${count(n)} frames`));
    return bar;
  }), ...[0, 0.25, 0.5, 0.75, 1].map(value =>
    svg("text", { x: 400 * value, y: 120, class: "tick", "text-anchor": value === 0 ? "start" : value === 1 ? "end" : "middle" }, String(value))));
}

async function refresh() {
  let wait = 2000;
  try {
    const answer = await fetch("/api/v1/shadow", { signal: AbortSignal.timeout(5000), cache: "no-store" });
    const told = await answer.json();
    if (answer.ok) show(told);
    else say(answer.status === 401 ? "Log in on the page of the live picture first." : told.code === "no_shadow" ? NONE : told.detail);
    if (answer.ok && !told.is_running) wait = 30000;
  } catch {
    say("The program on the cart does not answer. This page tries again by itself.");
  }
  setTimeout(refresh, wait);
}

refresh();
