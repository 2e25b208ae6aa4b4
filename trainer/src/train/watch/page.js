// Asks for the state of the run every second and draws it.
"use strict";

const WIDTH = 600, HEIGHT = 230, LEFT = 62, RIGHT = 8, TOP = 10, BOTTOM = 24;
const id = name => document.getElementById(name);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/// Four digits that matter.
const short = value => value === null ? "" : Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(1) : String(+value.toPrecision(4));

function time(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/// Round numbers between low and high, about four.
function ticks(low, high) {
  const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= raw);
  const made = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) made.push(i * step);
  return made;
}

/// A chart of curves { name, colour, points: [[step, value]] } up to `steps`.
function chart(title, steps, curves) {
  for (const curve of curves) curve.points = curve.points.filter(point => Number.isFinite(point[1]));
  const values = curves.flatMap(curve => curve.points.map(point => point[1]));
  const legend = element("figcaption", {}, element("b", { textContent: title }));
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  const named = curves.map(({ name, colour }) => element("span", { className: colour, textContent: name }));
  legend.append(...named);
  if (values.length) {
    let low = Math.min(...values), high = Math.max(...values);
    const margin = Math.max((high - low) * 0.05, Math.abs(high) * 1e-3, 1e-9);
    [low, high] = [low - margin, high + margin];
    const x = step => LEFT + (WIDTH - LEFT - RIGHT) * step / Math.max(steps, 1);
    const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low);
    for (const value of ticks(low, high)) {
      drawing.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
      drawing.append(svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    drawing.append(svg("text", { x: LEFT, y: HEIGHT - 6 }, "0"));
    drawing.append(svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${steps} steps`));
    for (const { colour, points } of curves) {
      const d = points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      // A lone point would be no line.
      if (points.length) drawing.append(svg("path", { class: colour, d: points.length > 1 ? d : `${d}h4` }));
    }
    const cursor = svg("line", { class: "grid", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    drawing.append(cursor);
    drawing.onpointermove = event => {
      const at = drawing.getBoundingClientRect();
      const step = ((event.clientX - at.left) / at.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * steps;
      curves.forEach(({ name, points }, i) => {
        if (!points.length) return;
        const near = points.reduce((best, point) => Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best);
        named[i].textContent = `${name} ${short(near[1])} (step ${near[0]})`;
      });
      cursor.setAttribute("x1", x(step));
      cursor.setAttribute("x2", x(step));
      cursor.setAttribute("visibility", "visible");
    };
  }
  return element("figure", {}, legend, drawing);
}

function draw(state) {
  const { rows, figures, step } = state;
  // Those over all frames once there are two, before that those over a part: other frames, other figures.
  const full = rows.filter(row => row.full);
  const comparable = full.length > 1 ? full : rows.filter(row => !row.full);
  const figure = name => comparable.map(row => [row.step, row.figures[figures.indexOf(name)]]);
  document.title = `${Math.round(100 * state.share)} % ${state.title}`;
  id("title").textContent = state.title;
  id("network").textContent = state.network;
  const epoch = Math.min(state.epoch + 1, state.epochs);
  id("epoch").textContent = `epoch ${epoch} of ${state.epochs}: ${Math.round(100 * state.epoch_share)} %`;
  id("run").textContent = `run: ${Math.round(100 * state.share)} %` + (state.left === null ? "" : `, ${time(state.left)} left`);
  id("epoch-share").value = state.epoch_share;
  id("run-share").value = state.share;

  const best = rows.find(row => row.full && row.epoch === state.best);
  const said = [
    ["step", step],
    ["training loss", short(state.loss)],
    ["learning rate", state.rate === null ? "" : state.rate.toExponential(1)],
    ["frames/s", state.speed === null ? "" : state.speed.toFixed(1)],
    ["time", state.elapsed === null ? "" : time(state.elapsed)],
    ["best epoch", best ? best.epoch + 1 : ""],
    ["its loss", best ? short(best.loss) : ""],
    ["its Dice", best ? short(best.figures[figures.indexOf("dice")]) : ""],
  ].filter(([, value]) => value !== "");
  id("figures").replaceChildren(...said.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }))));

  // Not under somebody's pointer.
  if (!id("charts").matches(":hover")) {
    id("charts").replaceChildren(
      chart("Loss", step, [
        { name: "training", colour: "s0", points: state.training },
        { name: "validation", colour: "s1", points: comparable.map(row => [row.step, row.loss]) },
      ]),
      chart("Validation: Dice, IoU", step, [
        { name: "IoU", colour: "s0", points: figure("iou") },
        { name: "Dice", colour: "s2", points: figure("dice") },
      ]),
      chart("Learning rate", step, [{ name: "", colour: "s3", points: state.rates }]),
      chart("Validation: precision, recall", step, [
        { name: "precision", colour: "s1", points: figure("precision") },
        { name: "recall", colour: "s2", points: figure("recall") },
      ]),
    );
  }

  const head = ["epoch", "step", "learning rate", "training loss", "validation loss", ...figures.map(name => name.replaceAll("_", " "))];
  document.querySelector("thead").replaceChildren(element("tr", {}, ...head.map(name => element("th", { textContent: name }))));
  id("epochs").replaceChildren(...[...full].reverse().map(row => element("tr", { className: row === best ? "best" : "" },
    ...[row.epoch + 1, row.step, row.rate.toExponential(1), short(row.train_loss), short(row.loss), ...row.figures.map(short)]
      .map(value => element("td", { textContent: value })))));

  // Pictures change once an epoch.
  const version = `${full.length} ${state.pictures}`;
  id("pictures").hidden = !state.pictures.length;
  if (id("pictures").dataset.version !== version) {
    id("pictures").dataset.version = version;
    id("pictures").querySelector("div").replaceChildren(...state.pictures.map((name, i) => element("figure", {},
      element("img", { src: `picture/${i}?${full.length}`, alt: `frame ${name}` }), element("figcaption", { textContent: name }))));
  }
  id("lines").hidden = !state.lines.length;
  id("lines").textContent = state.lines.join("\n");
}

async function follow() {
  try {
    const answer = await fetch("state");
    if (!answer.ok) throw new Error(await answer.text());
    draw(await answer.json());
    id("error").hidden = true;
  } catch (error) {
    id("error").textContent = error instanceof TypeError
      ? "no answer: training has ended or was stopped; `nervelight-train watch --run DIR` shows it again"
      : error.message;
    id("error").hidden = false;
  }
  setTimeout(follow, 1000);
}

follow();
