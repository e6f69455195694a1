// The charts, drawn by Vega-Lite in the colours of the page's style.

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function chartConfig() {
  const axis = { labelColor: color("ink"), titleColor: color("ink"), gridColor: color("line"),
    domainColor: color("soft"), tickColor: color("soft"), titleFontWeight: "normal",
    labelLimit: 140, titleLimit: 300, labelFontSize: 11, titleFontSize: 12 };
  const legend = { labelColor: color("ink"), titleColor: color("ink"), titleFontWeight: "normal",
    orient: "top", labelLimit: 140, symbolStrokeColor: color("ink"), columns: 3 };
  return { background: null, font: "system-ui, sans-serif", view: { stroke: null }, axis, legend };
}

// Draws a specification into an element, and replaces what was there.
const views = new Map();
async function draw(id, spec) {
  const box = document.getElementById(id);
  views.get(id)?.finalize();
  views.delete(id);
  const { view } = await vegaEmbed(box, { width: "container", autosize: { type: "fit-x", contains: "padding" }, ...spec }, {
    actions: false, ast: true, config: chartConfig(), defaultStyle: false, mode: "vega-lite",
    logLevel: 1, renderer: "canvas", tooltip: showTooltip, // no warnings that a filter leaves nothing
  });
  box.onpointerleave = hideTooltip;
  views.set(id, view);
  return view;
}

// Gives a chart the data that changed; it is an image with this text for those who do not see it.
const fed = new WeakMap();
function feed(id, data, text) {
  const box = document.getElementById(id), view = views.get(id);
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", text);
  if (!view) return;
  for (const [name, values] of Object.entries(data))
    if (fed.get(view)?.[name] !== values) view.data(name, values);
  fed.set(view, data);
  view.runAsync();
}

// Shows a tooltip as text; what is in it may come from the data.
function showTooltip(_, event, item, value) {
  const box = document.getElementById("tooltip");
  box.hidden = value == null || value === "";
  if (box.hidden) return;
  box.textContent = value;
  box.style.left = `${Math.min(event.clientX + 12, innerWidth - box.offsetWidth - 4)}px`;
  box.style.top = `${event.clientY + 14}px`;
}

function hideTooltip() {
  document.getElementById("tooltip").hidden = true;
}

const quantity = (field, title, more = {}) => ({ field, type: "quantitative", title, ...more });
const unit = { scale: { domain: [0, 1] } };

function curveSpec() {
  return {
    description: "Risk against coverage",
    height: 220,
    data: { name: "points", values: [] },
    encoding: { x: quantity("coverage", "coverage", unit) },
    layer: [
      { data: { name: "kept", values: [] }, mark: { type: "rect", color: color("accent"), opacity: 0.15 },
        encoding: { x: quantity("from"), x2: { field: "to" } } },
      { data: { name: "kept" }, mark: { type: "rule", color: color("accent"), strokeWidth: 2 },
        encoding: { x: quantity("to") } },
      { mark: { type: "line", color: color("ink"), strokeWidth: 1.5 },
        encoding: { y: quantity("risk", "share wrong", { scale: { zero: true } }) } },
    ],
  };
}

// The points of a curve that can be told apart.
function curvePoints(curve, most = 300) {
  const points = [], first = Math.min(20, curve.n); // before, chance decides
  for (let j = 0; j < most && curve.n; j++) {
    const k = curve.end[Math.round(first + ((curve.n - first) * j) / (most - 1))];
    points.push({ coverage: k / curve.n, risk: curve.cost[k] / k });
  }
  return points;
}

// Calls back with the coverage under the pointer while it is dragged over a curve.
function onDrag(view, callback) {
  const canvas = view.container().querySelector("canvas");
  const move = (event) => {
    const x = event.clientX - canvas.getBoundingClientRect().left - view.origin()[0];
    callback(Math.min(1, Math.max(0.01, Math.round((100 * x) / view.width()) / 100)));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    move(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && move(event));
}

function reliabilitySpec() {
  return {
    description: "Observed frequency against probability",
    height: 340,
    data: { name: "bins", values: [] },
    encoding: { x: quantity("prob", "probability", unit) },
    layer: [
      { data: { values: [{ x: 0, y: 0 }, { x: 1, y: 1 }] },
        mark: { type: "line", color: color("soft"), strokeDash: [4, 4], strokeWidth: 1 },
        encoding: { x: quantity("x"), y: quantity("y") } },
      { mark: { type: "rule", color: color("accent") },
        encoding: { y: quantity("low", "observed", unit), y2: { field: "high" } } },
      { mark: { type: "circle", color: color("accent"), opacity: 1, size: 50 },
        encoding: { y: quantity("observed"), tooltip: { field: "text" } } },
    ],
  };
}

function reliabilityData(scores) {
  return scores.bins.filter((bin) => bin.count).map(({ count, prob, observed }) => {
    const [low, high] = wilson(observed / count, count);
    const text = `${number(observed / count)} observed at ${number(prob / count)}, ${whole(count)} decisions`;
    return { prob: prob / count, observed: observed / count, low, high, text, count };
  });
}

// The map's scales are those of all samples, so that it keeps its shape whatever is filtered.
function mapSpec(x, y, all) {
  const ends = (name) => ["min", "max"].map((end) => Math[end](...all.map((cell) => cell[name])));
  const span = (name) => ({ scale: { domain: all.length ? ends(name) : [0, 1], nice: true } });
  const most = Math.max(30, ...all.map((cell) => cell.count));
  return {
    description: `Samples by ${x} and ${y}`,
    height: 300,
    data: { name: "cells", values: [] },
    params: [{ name: "brush", select: { type: "interval", encodings: ["x", "y"] } }],
    mark: { type: "circle", opacity: 0.85 },
    encoding: {
      x: quantity("x", x, span("x")), y: quantity("y", y, span("y")),
      size: quantity("count", "samples", { scale: { domain: [1, most], range: [24, 300] }, legend: null }),
      color: { condition: { test: "!datum.inside", value: color("line") },
        ...quantity("wrong", "share wrong", { scale: { type: "sqrt", domain: [0, 1], range: [color("accent"), color("warm")] },
          legend: { gradientLength: 120, orient: "top" } }) },
      order: { field: "inside" },
      tooltip: { field: "text" },
    },
  };
}

// Samples that lie close together, on a grid: their mean place, number and share of wrong decisions.
function mapData(x, y, wrong, shown, inside, grid = 40) {
  const scale = (values) => {
    let low = Infinity, high = -Infinity;
    for (const v of values) (low = Math.min(low, v)), (high = Math.max(high, v));
    return (v) => Math.min(grid - 1, Math.floor((grid * (v - low)) / (high - low || 1)));
  };
  const column = scale(x), row = scale(y), cells = new Map();
  for (let i = 0; i < x.length; i++) {
    if (!shown[i] || x[i] !== x[i] || y[i] !== y[i]) continue;
    const key = 2 * (row(y[i]) * grid + column(x[i])) + (inside[i] ? 1 : 0);
    if (!cells.has(key)) cells.set(key, { x: 0, y: 0, count: 0, wrong: 0, known: 0, inside: inside[i] });
    const cell = cells.get(key);
    cell.x += x[i];
    cell.y += y[i];
    cell.count++;
    if (wrong[i] === wrong[i]) (cell.wrong += wrong[i]), cell.known++;
  }
  return Array.from(cells.values(), (cell) => {
    const { count, known } = cell, share = known ? cell.wrong / known : null;
    const text = `${whole(count)} samples, ${known ? `${number(share)} wrong` : "labels unknown"}`;
    return { x: cell.x / count, y: cell.y / count, count, wrong: share, inside: cell.inside, text };
  });
}

function sampleSpec(rows, opinions, modalities) {
  const label = { field: "label", type: "nominal", sort: null, title: null };
  const layer = [
    { mark: { type: "rule", color: color("accent"), strokeWidth: 5, opacity: 0.35 },
      encoding: { x: quantity("low", "probability", unit), x2: { field: "high" } } },
    { mark: { type: "tick", color: color("ink"), thickness: 2, size: 16 }, encoding: { x: quantity("threshold") } },
    { mark: { type: "circle", color: color("accent"), opacity: 1, size: 80 },
      encoding: { x: quantity("prob"), color: { condition: { test: "datum.wrong", value: color("warm") }, value: color("accent") } } },
  ];
  if (opinions.length) layer.push({
    data: { values: opinions },
    mark: { type: "point", color: color("ink"), size: 45, strokeWidth: 1.5 },
    encoding: { x: quantity("prob"),
      shape: { field: "modality", type: "nominal", title: "modality alone", scale: { domain: modalities } } },
  });
  return { description: "Probabilities of the sample", height: 26 * rows.length, data: { values: rows },
    encoding: { y: label }, layer };
}
