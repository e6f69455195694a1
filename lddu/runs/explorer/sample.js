// The dialog of one sample: probabilities with intervals, weights, opinions, neighbours.

function openSample(run, i, rows, go) {
  const dialog = document.getElementById("sample");
  const at = rows.indexOf(i);
  const step = (text, by) => make("button", { type: "button", disabled: at < 0 || !(at + by in rows),
    onclick: () => go(rows[at + by]) }, text);
  dialog.replaceChildren(
    make("div", { class: "row" }, make("h2", { id: "sample-heading", tabindex: -1 }, run.ids[i]),
      step("Previous", -1), step("Next", 1),
      make("button", { type: "button", id: "close", onclick: () => dialog.close() }, "Close")),
    make("div", { id: "probabilities", class: "chart" }),
    make("p", { class: "note" }, explanation(run)),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Labels of the sample" }, labelTable(run, i)),
    neighbourList(run, i, go));
  if (!dialog.open) dialog.showModal();
  document.getElementById("sample-heading").focus();
  const rowsOfLabels = run.labels.map((label, c) => {
    const e = i * run.C + c, prob = run.of.probs[e];
    const wrong = run.of.wrong[e] > 0.5;
    return { label, prob, wrong, threshold: run.threshold(e), low: run.of.low?.[e] ?? prob, high: run.of.high?.[e] ?? prob };
  });
  return draw("probabilities", sampleSpec(rowsOfLabels, opinions(run, i), run.modalities));
}

function explanation(run) {
  const interval = run.of.low ? `Bars are ${Math.round(100 * run.level)} % intervals of the latent distribution. ` : "";
  return `Dots are probabilities, orange where the decision is wrong; ticks are thresholds. ${interval}` +
    (run.of.unimodal ? "Outlined marks are what each modality alone would say, before calibration." : "");
}

const isObserved = (run, i, m) => !run.of.observed || run.of.observed[i * run.M + m];

function opinions(run, i) {
  if (!run.of.unimodal) return [];
  return run.labels.flatMap((label, c) => run.modalities
    .map((modality, m) => ({ label, modality, prob: run.of.unimodal[(i * run.C + c) * run.M + m], m }))
    .filter(({ m }) => isObserved(run, i, m)));
}

function labelTable(run, i) {
  const of = run.of;
  const head = ["label", "true", "decided", "probability"];
  if (of.low) head.push("interval");
  head.push("threshold", "risk");
  if (of.aleatoric) head.push("aleatoric", "epistemic");
  for (const what of ["weights", "unimodal"])
    if (of[what]) head.push(...run.modalities.map((m) => (what === "weights" ? `weight of ${m}` : `${m} alone`)));
  const row = (label, c) => {
    const e = i * run.C + c, y = of.labels[e];
    const cells = [y !== y ? "unknown" : y === 0 ? "absent" : y === 1 ? "present" : number(y),
      of.decided[e] ? "present" : "absent", datum(of.probs[e], "prob")];
    if (of.low) cells.push(`${number(of.low[e])} to ${number(of.high[e])}`);
    cells.push(number(run.threshold(e)), datum(of.risk[e], "risk"));
    if (of.aleatoric) cells.push(datum(of.aleatoric[e], "aleatoric"), datum(of.epistemic[e], "epistemic"));
    for (const what of ["weights", "unimodal"])
      if (of[what]) cells.push(...run.modalities.map((_, m) =>
        isObserved(run, i, m) ? datum(of[what][e * run.M + m], what) : "missing"));
    return make("tr", {}, make("th", { scope: "row" }, label), cells.map((cell) => make("td", {}, cell)));
  };
  return table(head, run.labels.map(row));
}

function neighbourList(run, i, go) {
  if (!run.near) return null;
  const named = (j, of) => run.labels.filter((_, c) => of[j * run.C + c] >= 0.5).join(", ") || "none";
  const items = Array.from({ length: run.near }, (_, k) => {
    const j = run.of.neighbours[i * run.near + k];
    return make("li", {}, make("button", { type: "button", class: "link", onclick: () => go(j) }, run.ids[j]),
      ` at ${number(run.of.distances[i * run.near + k])}; true: ${named(j, run.of.labels)}; decided: ${named(j, run.of.decided)}`);
  });
  return make("section", {}, make("h3", {}, "Nearest in the latent space"), make("ol", {}, items));
}
