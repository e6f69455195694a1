// Joins the parts: a change of the state redraws what depends on it, once per frame.

const run = readRun();
let state = initialState(run);
let found = { rows: [] }, pending = false;

function change(changes) {
  const redraw = ["label", "x", "y"].some((name) => name in changes && changes[name] !== state[name]);
  state = { ...state, page: 0, ...changes };
  if (redraw) drawMap();
  schedule();
}

function schedule() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    update();
  });
}

// What the filters leave; coverage and page change nothing of it.
function find() {
  const { coverage, page, ...rest } = state, key = JSON.stringify(rest);
  if (found.key === key) return found;
  const shown = matching(run, state), inside = within(run, state);
  const selected = shown.map((x, i) => x && inside[i]);
  const curve = riskCurve(run, state, selected);
  const at = (name) => measure(run, name, state.label);
  found = {
    key, curve, rows: sortRows(run, state, selected), points: curvePoints(curve),
    cells: mapData(at(state.x), at(state.y), at("wrong"), shown, inside),
  };
  return found;
}

function update() {
  const { curve, rows, points, cells } = find();
  const scores = score(run, curve, countKept(curve, state.coverage));
  showScores(run, state, scores);
  showStatus(state, rows.length, run.N, scores);
  const aside = (e) => !(run.of[state.rank][e] <= scores.cut);
  showSamples(run, state, rows, aside, {
    open,
    sort: (name) => change({ sort: name, descending: state.sort === name ? !state.descending : name !== "id" }),
    turn: (page) => change({ page }),
  });
  const kept = scores.kept ? [{ from: 0, to: scores.coverage }] : [];
  feed("curve", { points, kept }, `Risk ${number(scores.risk)} at a coverage of ${number(scores.coverage)}.`);
  const bins = reliabilityData(scores);
  showBins(bins);
  feed("reliability", { bins }, `Reliability diagram with an ECE of ${number(scores.ece)}.`);
  feed("map", { cells }, `${whole(rows.length)} samples by two of their measures.`);
}

async function drawMap() {
  const names = Object.fromEntries(measuresOf(run));
  const { x, y } = state;
  const at = (name) => measure(run, name, state.label), every = new Array(run.N).fill(true);
  const cells = mapData(at(x), at(y), at("wrong"), every, every);
  const view = await draw("map", mapSpec(names[x], names[y], cells));
  view.addSignalListener("brush", (_, brushed) => {
    writeRange(x, brushed.x);
    writeRange(y, brushed.y);
    change({ ranges: readRanges(run) });
  });
  schedule();
}

async function drawAll() {
  const curve = await draw("curve", curveSpec());
  onDrag(curve, (coverage) => change({ coverage }));
  await draw("reliability", reliabilitySpec());
  await drawMap();
}

async function open(i) {
  await openSample(run, i, found.rows, open);
}

// Builds and draws everything; the page is marked as ready when it is done.
async function start() {
  document.body.removeAttribute("data-ready");
  buildFilters(run, state, change);
  buildCoverage(run, state, change);
  buildAxes(run, state, change);
  update();
  await drawAll();
  document.body.setAttribute("data-ready", "");
}

const form = document.getElementById("controls");
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => {
  state = initialState(run);
  start();
  document.getElementById("reset").focus();
});
document.getElementById("summary").textContent =
  `${whole(run.N)} test samples, ${run.labels.length} labels, predictions of ${run.model}.`;
if (run.missing.length) {
  const missing = document.getElementById("missing");
  missing.hidden = false;
  missing.textContent = `This run keeps no ${run.missing.join(", ")}.`;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
start();
