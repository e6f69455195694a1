// The dialog of one sample: probabilities with intervals, weights, opinions, neighbours.

function openSample(run, i, rows, go) {
  const dialog = document.getElementById("sample");
  const at = rows.indexOf(i);
  const step = (text, by) => make("button", { type: "button", disabled: at < 0 || !(at + by in rows),
    onclick: () => go(rows[at + by]) }, text);
  dialog.replaceChildren(...[
    make("div", { class: "row" }, make("h2", { id: "sample-heading", tabindex: -1 }, run.ids[i]),
      step("Previous", -1), step("Next", 1),
      make("button", { type: "button", id: "close", onclick: () => dialog.close() }, "Close")),
    make("div", { id: "probabilities", class: "chart" }),
    make("p", { class: "note" }, explanation(run)),
    decisions(run, i), modalities(run, i), neighbourList(run, i, go),
  ].filter(Boolean));
  hideTooltip();
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

// A table with a row per label; `cells(e)` are those of decision e.
function labelTable(run, i, name, head, cells) {
  const rows = run.labels.map((label, c) => make("tr", {}, make("th", { scope: "row" }, label),
    cells(i * run.C + c).map((cell) => make("td", {}, cell))));
  return make("section", {}, make("h3", {}, name),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table(["label", ...head], rows)));
}

function decisions(run, i) {
  const { labels, decided, probs, risk, low, high, aleatoric, epistemic } = run.of;
  const head = ["true", "decided", "probability", ...(low ? ["interval"] : []), "threshold", "risk",
    ...(aleatoric ? ["aleatoric", "epistemic"] : [])];
  const truth = (y) => (y !== y ? "unknown" : y === 0 ? "absent" : y === 1 ? "present" : number(y));
  return labelTable(run, i, "Decisions", head, (e) => [
    truth(labels[e]), decided[e] ? "present" : "absent", datum(probs[e], "prob"),
    ...(low ? [`${number(low[e])} to ${number(high[e])}`] : []), number(run.threshold(e)), datum(risk[e], "risk"),
    ...(aleatoric ? [datum(aleatoric[e], "aleatoric"), datum(epistemic[e], "epistemic")] : [])]);
}

function modalities(run, i) {
  const kinds = [["weights", (m) => `weight of ${m}`], ["unimodal", (m) => `${m} alone`]].filter(([name]) => run.of[name]);
  if (!kinds.length) return null;
  const head = kinds.flatMap(([, text]) => run.modalities.map(text));
  return labelTable(run, i, "Modalities", head, (e) => kinds.flatMap(([name]) => run.modalities.map((_, m) =>
    isObserved(run, i, m) ? datum(run.of[name][e * run.M + m], name) : "missing")));
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
