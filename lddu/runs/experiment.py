"""An experiment on a data set in three splits: train, calibrate, score, report, keep predictions.

Two protocols. "validation" is the honest one: validation data choose the epoch, the calibrator and
the thresholds, and the test split is scored once. "official" is that of the official LDDU code,
which chooses on the test split; it exists to compare with figures published under it, and says so
in the name of every model.
"""

import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lddu.runs import baselines, results
from lddu import config
from lddu.calibration import thresholds
from lddu.config import Config
from lddu.data.dataset import Dataset
from lddu.predictor.fitting import calibrate, fit
from lddu.runs.predictions import Predictions, Scored
from lddu.predictor import Predictor
from lddu.runs.report import write_report
from lddu.structs import Batch

Preset = Literal["paper", "default", "small", "tiny"]
Protocol = Literal["validation", "official"]

COLUMNS = ("micro_f1", "macro_f1", "jaccard_empty_zero", "jaccard", "auroc", "map", "nll", "ece")
PROTOCOLS = {
    "validation": "epoch, calibrator and thresholds chosen on validation, test scored once",
    "official": "SELECTED ON TEST: epoch, and where said threshold, chosen on the test split",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an experiment.

    Attributes:
      preset: The configuration to start from, of `lddu.config`.
      seeds: Models trained from different seeds; scored one by one, and as an ensemble.
      protocol: "validation", or "official" to choose on the TEST split as the official code does.
      soft: Whether to train on soft labels where the data have them; scores are of hard labels.
      baselines: Whether to fit logistic regression and a random forest too; the prior always is.
      set: Changes to the configuration, as in `--set train.epochs=5 loss.contrastive=0`.
      out: Run folder; a run killed there continues.
    """

    preset: Preset = "default"
    seeds: int = 5
    protocol: Protocol = "validation"
    soft: bool = True
    baselines: bool = True
    set: tuple[str, ...] = ()
    out: Path = Path("runs/experiment")


def configure(dataset: Dataset, options: Options) -> Config:
    """The preset for the shapes of a data set, with the changes asked for on top."""
    cfg = config.PRESETS[options.preset](dataset.shapes(), dataset.labels)
    changes = dict(config.parse(change) for change in options.set)
    return config.replace(cfg, {"train.members": options.seeds, **changes})


def run(
    dataset: Dataset,
    options: Options,
    title: str,
    published: Sequence[results.Published] = (),
) -> results.Models:
    """Runs an experiment, prints its tables and fills the run folder.

    There are then `card.json` (the data), `predictions.npz` (what `lddu compare` reads),
    `results.json`, `report.html`, and per seed the metrics and checkpoints.

    Args:
      dataset: What to train, choose and test on.
      options: How.
      title: Headline of the report.
      published: Results of others to show beside ours.

    Returns:
      Model -> metric -> mean, spread over seeds, and their number.

    Raises:
      ValueError: If the options do not fit the data, or the run folder holds another run.
    """
    began = time.perf_counter()
    cfg = configure(dataset, options)
    print(dataset.card.to_text(), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "card.json").write_text(dataset.card.to_json())

    train = dataset.train.soft_batch() if options.soft else dataset.train.batch
    test, labels = dataset.test.batch, np.asarray(dataset.test.batch.labels)
    judge = test if options.protocol == "official" else dataset.valid.batch
    predictor = fit(cfg, train, judge, folder=options.out)
    if options.protocol == "official":
        scored = _official(predictor, test)
    else:
        scored = _validated(predictor, dataset)
        scored |= _baselines(dataset, options.baselines)
        predictor.save(options.out / "predictor")

    table = {name: results.aggregate(model.scores(labels)) for name, model in scored.items()}
    main = next(name for name in scored if name.startswith("lddu_ensemble"))
    Predictions(dataset.test.ids, labels, dataset.labels, options.protocol, scored).save(
        options.out
    )
    command, seconds = shlex.join(["python", *sys.argv]), time.perf_counter() - began
    results.write_results(options.out / "results.json", table, command, cfg, seconds)
    protocol = PROTOCOLS[options.protocol]
    report = write_report(
        options.out / "report.html",
        title=title if options.protocol == "validation" else f"{title} (selected on test)",
        models=table,
        history=predictor.history,
        probs=scored[main].probs[0],
        labels=labels,
        thresholds=scored[main].thresholds[0],
        label_names=dataset.labels,
        modality_names=cfg.model.modality_names,
        weights=predictor.predict(test).weights,
        config_json=cfg.to_json(),
        command=command,
        notes=(
            f"Protocol: {protocol}.",
            f"lddu: mean over {options.seeds} seeds. Figures show {main}.",
            *(f"Data: {warning}." for warning in dataset.card.warnings),
        ),
        published=published,
        protocol=protocol,
        data_card=dataset.card.to_text(),
    )
    print(f"\nProtocol: {protocol}.\n")
    print(results.format_table(table, COLUMNS))
    if published:
        print("\n" + results.align(results.comparison(table, published, protocol)))
    print(f"\n{seconds:.0f} s; report: {report}")
    return table


def _members(predictor: Predictor) -> list[Predictor]:
    return [predictor.member(k) for k in range(predictor.config.train.members)]


def _validated(predictor: Predictor, dataset: Dataset) -> dict[str, Scored]:
    """Single models and their ensemble, before and after calibration, by the honest protocol."""
    valid, test = dataset.valid.batch, dataset.test.batch
    members = [calibrate(member, valid) for member in _members(predictor)]
    scored = {}
    for name, models in (("lddu", members), ("lddu_ensemble", [predictor])):
        for suffix, calibrated in (("_calibrated", True), ("", False)):
            runs = [
                _decided(lambda b, m=m, c=calibrated: m.predict(b, calibrated=c).probs, valid, test)
                for m in models
            ]
            scored[name + suffix] = _stack(runs)
    return scored


def _official(predictor: Predictor, test: Batch) -> dict[str, Scored]:
    """The same predictions at one half, and at thresholds chosen on the test split itself."""
    scored = {}
    for name, models in (("lddu", _members(predictor)), ("lddu_ensemble", [predictor])):
        probs = [model.predict(test, calibrated=False).probs for model in models]
        cuts = [thresholds.fit_shared(p, test.labels) for p in probs]
        half = [(p, np.full(p.shape[1], 0.5)) for p in probs]
        best = [(p, np.full(p.shape[1], cut)) for p, cut in zip(probs, cuts, strict=True)]
        scored[f"{name} [epoch chosen on TEST]"] = _stack(half)
        scored[f"{name} [epoch and threshold chosen on TEST]"] = _stack(best)
    return scored


def _baselines(dataset: Dataset, all_of_them: bool) -> dict[str, Scored]:
    """The prior, and if wanted logistic regression and a random forest on pooled features."""
    train, valid, test = (split.batch for split in dataset.splits().values())
    models = {"prior": baselines.prior(train)}
    if all_of_them:
        models["logistic"] = baselines.logistic(train, valid)
        models["forest"] = baselines.forest(train)
    return {name: _stack([_decided(model, valid, test)]) for name, model in models.items()}


def _decided(probabilities: baselines.Probabilities, valid: Batch, test: Batch):
    """Test probabilities, and the shared threshold that suits the validation split best."""
    probs = probabilities(test)
    cut = thresholds.fit_shared(probabilities(valid), valid.labels)
    return probs, np.full(probs.shape[1], cut)


def _stack(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Scored:
    return Scored(*(np.stack(parts) for parts in zip(*runs, strict=True)))
