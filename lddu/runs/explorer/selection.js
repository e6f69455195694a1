// What is selected, and how good the decisions are that remain. Definitions are those of
// lddu.metrics: an unknown label (NaN) takes no part, and a soft one counts in part.

function initialState(run) {
  const measures = measuresOf(run).map(([name]) => name);
  const epistemic = run.of.epistemic && run.of.epistemic.some((x) => x > 0);
  return {
    label: ALL, truth: "any", decision: "any", outcome: "any", text: "", ranges: {},
    rank: "variance", coverage: 1, sort: "risk", descending: true, page: 0,
    x: measures.includes("aleatoric") ? "aleatoric" : "variance", y: epistemic ? "epistemic" : "risk",
  };
}

// Tells which samples have a decision of the chosen kind: on the chosen label, or on any.
function matching(run, state) {
  const { labels, decided } = run.of;
  const text = state.text.trim().toLowerCase();
  const first = state.label === ALL ? 0 : state.label;
  const last = state.label === ALL ? run.C : state.label + 1;
  const truthOf = (y) => (y !== y ? "unknown" : y >= 0.5 ? "present" : "absent");
  const fits = (e) => {
    const truth = truthOf(labels[e]), decision = decided[e] ? "present" : "absent";
    const outcome = truth === "unknown" ? truth : truth === decision ? "right" : "wrong";
    return (state.truth === "any" || state.truth === truth) &&
      (state.decision === "any" || state.decision === decision) &&
      (state.outcome === "any" || state.outcome === outcome);
  };
  const every = state.truth === "any" && state.decision === "any" && state.outcome === "any";
  return Array.from(run.ids, (id, i) => {
    if (text && !id.toLowerCase().includes(text)) return false;
    for (let c = first; !every && c < last; c++) if (fits(i * run.C + c)) return true;
    return every;
  });
}

// Tells which samples lie within every range of a measure, ends included.
function within(run, state) {
  const kept = new Array(run.N).fill(true);
  for (const [name, [low, high]] of Object.entries(state.ranges)) {
    const values = measure(run, name, state.label);
    for (let i = 0; i < run.N; i++) kept[i] &&= values[i] >= low && values[i] <= high;
  }
  return kept;
}

// All decisions in the order of an uncertainty, the most certain first.
const orders = new Map();
function orderBy(run, rank) {
  if (!orders.has(rank)) {
    const values = run.of[rank];
    orders.set(rank, Uint32Array.from(values.keys()).sort((a, b) => values[a] - values[b] || a - b));
  }
  return orders.get(rank);
}

// Risk against coverage of the selected samples' decisions, as lddu.metrics.risk_coverage: `cost[k]`
// is the expected number of wrong ones among the k most certain, ties in random order.
function riskCurve(run, state, selected) {
  const { wrong } = run.of, values = run.of[state.rank];
  const entries = orderBy(run, state.rank).filter((e) => {
    const fits = state.label === ALL || e % run.C === state.label;
    return fits && selected[Math.floor(e / run.C)] && wrong[e] === wrong[e];
  });
  const n = entries.length, cost = new Float64Array(n + 1), end = new Uint32Array(n + 1);
  for (let start = 0, stop; start < n; start = stop) {
    let sum = 0;
    for (stop = start; stop < n && values[entries[stop]] === values[entries[start]]; stop++)
      sum += wrong[entries[stop]];
    for (let k = start + 1; k <= stop; k++) {
      cost[k] = cost[start] + (sum * (k - start)) / (stop - start);
      end[k] = stop;
    }
  }
  return { entries, cost, end, n, rank: state.rank };
}

// How many decisions a coverage keeps: the least that reach it, with all that are as uncertain.
function countKept(curve, coverage) {
  return curve.n ? curve.end[Math.max(1, Math.ceil(coverage * curve.n * (1 - 1e-12)))] : 0;
}

function binOf(bins, p) {
  let b = Math.min(Math.floor(p * (bins.length - 1)), bins.length - 2);
  while (b + 2 < bins.length && p >= bins[b + 1]) b++; // edges are rounded, and so is b
  while (p < bins[b]) b--;
  return b;
}

// Scores of the `kept` most certain decisions of a curve.
function score(run, curve, kept) {
  const { probs, labels, decided, wrong } = run.of;
  const zeros = () => ({ known: 0, hits: 0, predicted: 0, positives: 0, wrong: 0, of: 0 });
  const perLabel = run.labels.map(zeros);
  const bins = run.bins.slice(1).map(() => ({ count: 0, prob: 0, observed: 0 }));
  for (let k = 0; k < curve.n; k++) {
    const e = curve.entries[k], of = perLabel[e % run.C];
    of.of++;
    if (k >= kept) continue;
    of.known++;
    of.hits += decided[e] * labels[e];
    of.predicted += decided[e];
    of.positives += labels[e];
    of.wrong += wrong[e];
    const bin = bins[binOf(run.bins, probs[e])];
    bin.count++;
    bin.prob += probs[e];
    bin.observed += labels[e];
  }
  const sum = perLabel.reduce((a, b) => {
    for (const key in a) a[key] += b[key];
    return a;
  }, zeros());
  const ratio = (a, b, known) => (known ? (b > 0 ? a / b : 0) : NaN);
  const f1 = (x) => ratio(2 * x.hits, x.predicted + x.positives, x.known);
  for (const label of perLabel) label.f1 = f1(label);
  const known = perLabel.filter((x) => x.known);
  const gap = bins.reduce((total, bin) => total + Math.abs(bin.observed - bin.prob), 0);
  return {
    perLabel, bins, kept, of: curve.n,
    coverage: curve.n ? kept / curve.n : NaN,
    risk: kept ? curve.cost[kept] / kept : NaN,
    micro_f1: f1(sum),
    macro_f1: known.reduce((total, x) => total + x.f1, 0) / known.length,
    micro_precision: ratio(sum.hits, sum.predicted, sum.known),
    micro_recall: ratio(sum.hits, sum.positives, sum.known),
    ece: kept ? gap / kept : NaN,
    cut: kept ? run.of[curve.rank][curve.entries[kept - 1]] : NaN,
  };
}

// Wilson's 95 % interval of a proportion.
function wilson(p, n, z = 1.959964) {
  const scale = 1 + (z * z) / n, center = (p + (z * z) / (2 * n)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(center - half, 0), Math.min(center + half, 1)];
}
