// The tables: scores of the decisions kept, and the samples one by one.

const PAGE = 20;
const SCORES = [["risk", "share wrong"], ["micro_f1", "micro F1"], ["macro_f1", "macro F1"],
  ["micro_precision", "precision"], ["micro_recall", "recall"], ["ece", "ECE"]];

// A number whose full value is in the page too.
const datum = (x, name) => make("data", { value: x, "data-name": name }, number(x));

const table = (head, rows) => make("table", {},
  make("thead", {}, make("tr", {}, head.map((x) => (typeof x === "string" ? make("th", { scope: "col" }, x) : x)))),
  make("tbody", {}, rows));

function showScores(run, state, scores) {
  document.getElementById("scores").replaceChildren(...SCORES.map(([name, text]) =>
    make("div", {}, make("dt", {}, text), make("dd", {}, datum(scores[name], name)))));
  const head = ["label", "kept", "decided present", "wrong", "F1"];
  const rows = run.labels.map((label, c) => [label, scores.perLabel[c]])
    .filter((_, c) => state.label === ALL || c === state.label)
    .map(([label, x]) => make("tr", {}, make("th", { scope: "row" }, label),
      make("td", {}, `${whole(x.known)} of ${whole(x.of)}`), make("td", {}, whole(x.predicted)),
      make("td", {}, x.known ? number(x.wrong / x.known) : "–"), make("td", {}, datum(x.f1, "f1"))));
  document.getElementById("labels").replaceChildren(table(head, rows));
}

function showBins(bins) {
  const rows = bins.map((bin) => make("tr", {}, make("td", {}, datum(bin.prob, "prob")),
    make("td", {}, datum(bin.observed, "observed")), make("td", {}, whole(bin.count))));
  document.getElementById("bins").replaceChildren(table(["probability", "observed", "decisions"], rows));
}

function showStatus(state, count, total, scores) {
  const ranges = Object.keys(state.ranges).length;
  const share = scores.of ? `${(100 * scores.coverage).toFixed(1)} %` : "none";
  document.getElementById("status").textContent =
    `${whole(count)} of ${whole(total)} samples${ranges ? `, within ${ranges} range${ranges > 1 ? "s" : ""}` : ""}. ` +
    (scores.of ? `${share} of their ${whole(scores.of)} decisions on known labels kept, with an uncertainty up to ` +
      `${number(scores.cut)}.` : "No decision on a known label.");
  const slider = document.getElementById("slider");
  slider.value = state.coverage;
  slider.setAttribute("aria-valuetext", share);
  document.getElementById("shown").textContent = share;
}

// Rows of samples in the chosen order; those without a value come last, ties in the file's order.
function sortRows(run, state, selected) {
  const rows = [];
  for (let i = 0; i < run.N; i++) if (selected[i]) rows.push(i);
  if (state.sort === "id") {
    const order = new Intl.Collator("en", { numeric: true });
    rows.sort((a, b) => order.compare(run.ids[a], run.ids[b]));
    return state.descending ? rows.reverse() : rows;
  }
  const values = measure(run, state.sort, state.label), sign = state.descending ? -1 : 1;
  const missing = (i) => (values[i] === values[i] ? 0 : 1);
  return rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : sign * (values[a] - values[b])) || a - b);
}

// The labels of a sample that are present, as chips; those set aside are marked.
function chips(run, state, i, present, aside) {
  const list = run.labels.map((label, c) => [label, i * run.C + c, c])
    .filter(([, e, c]) => present(e) && (state.label === ALL || c === state.label))
    .map(([label, e]) => aside(e)
      ? make("span", { class: "chip aside", title: "set aside" }, label, make("span", { class: "hidden" }, " (set aside)"))
      : make("span", { class: "chip" }, label));
  return list.length ? list : ["–"];
}

function showSamples(run, state, rows, aside, actions) {
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(state.page, pages - 1);
  const columns = [["id", "sample"], ["", "true"], ["", "decided"], ...measuresOf(run)];
  const heading = ([name, text]) => {
    if (!name) return make("th", { scope: "col", class: "text" }, text);
    const on = state.sort === name, arrow = on ? (state.descending ? " ↓" : " ↑") : "";
    return make("th", { scope: "col", "aria-sort": on ? (state.descending ? "descending" : "ascending") : "none" },
      make("button", { type: "button", id: `sort-${name}`, onclick: () => actions.sort(name) }, text + arrow));
  };
  const body = rows.slice(page * PAGE, (page + 1) * PAGE).map((i) => make("tr", {},
    make("th", { scope: "row" }, make("button", { type: "button", class: "link", onclick: () => actions.open(i) }, run.ids[i])),
    make("td", { class: "text" }, chips(run, state, i, (e) => run.of.labels[e] >= 0.5, () => false)),
    make("td", { class: "text" }, chips(run, state, i, (e) => run.of.decided[e], aside)),
    measuresOf(run).map(([name]) => make("td", {}, datum(measure(run, name, state.label)[i], name)))));
  const focused = document.activeElement?.id;
  document.getElementById("samples").replaceChildren(table(columns.map(heading), body));
  const turn = (text, by) => make("button", { type: "button", id: `turn-${by}`, disabled: page + by < 0 || page + by >= pages,
    onclick: () => actions.turn(page + by) }, text);
  document.getElementById("pages").replaceChildren(turn("Previous", -1),
    make("span", {}, `page ${whole(page + 1)} of ${whole(pages)}`), turn("Next", 1));
  if (focused) document.getElementById(focused)?.focus(); // what had it was replaced
}
