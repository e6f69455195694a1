// The controls: filters, ranges, coverage, and the axes of the map.

const whole = (x) => x.toLocaleString("en");
const number = (x) => (x === x && x != null ? x.toFixed(3) : "–");

// Makes an element; texts among its children become text, whatever they contain.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

function choice(name, text, options, value, onchange) {
  const select = make("select", { id: name, onchange: (event) => onchange(event.target.value) },
    options.map(([key, shown]) => make("option", { value: key, selected: String(key) === String(value) }, shown)));
  return make("label", {}, make("span", {}, text), select);
}

function buildFilters(run, state, change) {
  const set = (name) => (value) => change({ [name]: value });
  const labels = [[ALL, "all labels"], ...run.labels.map((label, c) => [c, label])];
  const each = [["any", "any"], ["present", "present"], ["absent", "absent"]];
  const search = make("input", { id: "text", type: "search", autocomplete: "off",
    oninput: (event) => change({ text: event.target.value }) });
  const range = ([name, text]) => make("div", { class: "range" }, make("span", {}, text),
    ["at least", "at most"].map((end, side) => make("input", { type: "number", step: "any",
      id: `${name}-${side}`, "aria-label": `${text}, ${end}`, placeholder: side ? "max" : "min",
      oninput: () => change({ ranges: readRanges(run) }) })));
  document.getElementById("controls").replaceChildren(
    make("div", { class: "row" },
      choice("label", "Label", labels, state.label, (value) => change({ label: Number(value) })),
      choice("truth", "True value", [...each, ["unknown", "unknown"]], state.truth, set("truth")),
      choice("decision", "Decision", each, state.decision, set("decision")),
      choice("outcome", "Outcome", [["any", "any"], ["wrong", "wrong"], ["right", "right"]], state.outcome, set("outcome")),
      make("label", {}, make("span", {}, "Name contains"), search),
      make("button", { type: "reset", id: "reset" }, "Reset")),
    make("details", {}, make("summary", {}, "Ranges of uncertainty, risk and weights"),
      make("div", { class: "ranges" }, measuresOf(run).map(range))));
}

// The ranges that are typed in, an open end being infinite.
function readRanges(run) {
  const ranges = {};
  for (const [name] of measuresOf(run)) {
    const [low, high] = [0, 1].map((side) => document.getElementById(`${name}-${side}`).value);
    if (low !== "" || high !== "")
      ranges[name] = [low === "" ? -Infinity : Number(low), high === "" ? Infinity : Number(high)];
  }
  return ranges;
}

// Types a brushed range into its fields, rounded outwards; null empties them.
function writeRange(name, range) {
  const rounded = range && [Math.floor(range[0] * 1e4) / 1e4, Math.ceil(range[1] * 1e4) / 1e4];
  for (const side of [0, 1])
    document.getElementById(`${name}-${side}`).value = rounded ? rounded[side] : "";
}

function buildCoverage(run, state, change) {
  const ranks = [["variance", "variance p (1 − p)"], ["risk", "decision risk"]];
  if (run.of.aleatoric) ranks.push(["aleatoric", "aleatoric"], ["epistemic", "epistemic"]);
  document.getElementById("coverage").replaceChildren(
    choice("rank", "Set aside by", ranks, state.rank, (value) => change({ rank: value })),
    make("label", { class: "wide" }, make("span", {}, "Coverage ", make("output", { id: "shown", for: "slider" })),
      make("input", { id: "slider", type: "range", min: 0.01, max: 1, step: 0.01, value: state.coverage,
        oninput: (event) => change({ coverage: Number(event.target.value) }) })));
}

function buildAxes(run, state, change) {
  document.getElementById("axes").replaceChildren(...["x", "y"].map((axis) =>
    choice(`axis-${axis}`, axis === "x" ? "Across" : "Up", measuresOf(run), state[axis],
      (value) => change({ [axis]: value }))));
}
