// The run: decodes the data of the page, and derives what is known of each decision.
// Decision e = i * C + c is that of sample i and label c.

const ARRAYS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };
const ALL = -1; // in place of a label: all of them

function unpack({ kind, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const values = new ARRAYS[kind](bytes.buffer);
  return kind === "u2" ? Float32Array.from(values, (x) => x / 65535) : values;
}

function readRun() {
  const run = JSON.parse(document.getElementById("run").textContent);
  const N = run.ids.length, C = run.labels.length, M = run.modalities.length;
  const of = {};
  for (const [name, packed] of Object.entries(run.columns)) of[name] = unpack(packed);
  const shared = run.columns.thresholds.shape[0] === 1;
  const near = "neighbours" in of ? run.columns.neighbours.shape[1] : 0;
  delete run.columns;

  const decided = new Uint8Array(N * C), wrong = new Float64Array(N * C);
  const risk = new Float64Array(N * C), variance = new Float64Array(N * C);
  for (let e = 0; e < N * C; e++) {
    const p = of.probs[e];
    decided[e] = p >= of.thresholds[shared ? e % C : e] ? 1 : 0;
    wrong[e] = Math.abs(decided[e] - of.labels[e]); // NaN where the label is unknown
    risk[e] = decided[e] ? 1 - p : p;
    variance[e] = p * (1 - p);
  }
  Object.assign(of, { decided, wrong, risk, variance });
  return { ...run, N, C, M, of, near, threshold: (e) => of.thresholds[shared ? e % C : e] };
}

// Measures of a sample: [name, text], in the order of the table's columns.
function measuresOf(run) {
  const measures = [["wrong", "share wrong"], ["risk", "decision risk"]];
  if (run.of.aleatoric) measures.push(["aleatoric", "aleatoric"], ["epistemic", "epistemic"]);
  measures.push(["variance", "variance p (1 − p)"]);
  if (run.of.weights) run.modalities.forEach((m, k) => measures.push([`weight${k}`, `weight of ${m}`]));
  return measures;
}

// Values of a measure for every sample: that of a label, or the mean over all labels, of which
// "wrong" takes those that are known.
const measured = new Map();
function measure(run, name, label) {
  const key = `${name} ${label}`;
  if (!measured.has(key)) measured.set(key, computeMeasure(run, name, label));
  return measured.get(key);
}

function computeMeasure(run, name, label) {
  const weight = name.startsWith("weight");
  const source = weight ? run.of.weights : run.of[name];
  const stride = weight ? run.M : 1, offset = weight ? Number(name.slice(6)) : 0;
  const values = new Float64Array(run.N);
  for (let i = 0; i < run.N; i++) {
    const at = (c) => source[(i * run.C + c) * stride + offset];
    if (label !== ALL) {
      values[i] = at(label);
      continue;
    }
    let sum = 0, count = 0;
    for (let c = 0; c < run.C; c++) {
      const x = at(c);
      if (x === x) (sum += x), count++;
    }
    values[i] = count ? sum / count : NaN;
  }
  return values;
}
