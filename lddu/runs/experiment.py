"""An experiment on a data set in three splits: train, calibrate, score, report."""

import time
from collections.abc import Sequence
from pathlib import Path

from lddu import config, files
from lddu.config import Config
from lddu.data.dataset import Dataset
from lddu.predictor import train_only
from lddu.runs import evaluation, tables
from lddu.runs.evaluation import Evaluation
from lddu.runs.folder import write_run
from lddu.runs.options import Options, Protocol
from lddu.runs.predictions import RunPredictions
from lddu.runs.run import Run

COLUMNS = ("micro_f1", "macro_f1", "jaccard_empty_zero", "jaccard", "auroc", "map", "nll", "ece")
PROTOCOLS: dict[Protocol, str] = {
    "validation": "epoch, calibrator and one threshold, with the highest micro-F1 and used for all "
    "metrics of decisions, chosen on validation; test scored once",
    "official": "SELECTED ON TEST: epoch, and where said threshold, chosen on the test split",
}


def configure(dataset: Dataset, options: Options) -> Config:
    """Returns the preset for the shapes of a data set, changed as the options say."""
    cfg = config.PRESETS[options.preset](dataset.shapes(), dataset.labels)
    changes = config.parse_all(options.set)
    return config.replace(cfg, {"train.members": options.seeds, **changes})


def run(
    dataset: Dataset,
    options: Options,
    title: str,
    published: Sequence[tables.Published] = (),
    cfg: Config | None = None,
) -> Run:
    """Runs an experiment, prints its tables and fills the run folder.

    The folder then holds `card.json` (the data), `predictor` (the trained ensemble, under the
    protocol "validation"), `predictions.npz` (what `lddu compare` reads), `results.json`,
    `report.html`, `detail.npz` (what the explorer shows), and per seed the metrics and checkpoints.

    Args:
      dataset: The data to train, choose and test on.
      options: How to do it.
      title: Headline of the report.
      published: Results of others to show beside ours.
      cfg: The configuration to train; None for what `configure` makes of the options.

    Returns:
      The finished run.

    Raises:
      ValueError: If the options do not fit the data, or the run folder holds another run.
    """
    began = time.perf_counter()
    cfg = configure(dataset, options) if cfg is None else cfg
    print(dataset.card.to_text(), flush=True)
    files.write_text(options.out / "card.json", dataset.card.to_json())
    trained = evaluate(
        cfg,
        dataset,
        options.out,
        protocol=options.protocol,
        soft=options.soft,
        baselines=options.baselines,
    )
    predictions = RunPredictions(
        dataset.test.ids,
        dataset.test.batch.labels,
        dataset.labels,
        options.protocol,
        trained.main,
        trained.models,
    )
    protocol = PROTOCOLS[options.protocol]
    finished = Run(
        title if options.protocol == "validation" else f"{title} (selected on test)",
        cfg,
        predictions,
        predictions.table(),
        time.perf_counter() - began,
        history=trained.predictor.history,
        weights=trained.test.rest.weights,
        detail=trained.detail,
        protocol=protocol,
        notes=(
            f"Protocol: {protocol}.",
            f"lddu: mean over {cfg.train.members} seeds. Figures show {trained.main}.",
            *(f"Data: {warning}." for warning in dataset.card.warnings),
        ),
        published=published,
        data_card=dataset.card.to_text(),
    )
    report = write_run(options.out, finished)
    print(f"\nProtocol: {protocol}.\n")
    print(tables.format_table(finished.table, COLUMNS))
    if published:
        print("\n" + tables.align(tables.beside_published(finished.table, published, protocol)))
    print(f"\n{finished.seconds:.0f} s; report: {report}")
    return finished


def evaluate(
    cfg: Config,
    dataset: Dataset,
    folder: Path,
    *,
    protocol: Protocol = "validation",
    soft: bool = True,
    baselines: bool = True,
) -> Evaluation:
    """Trains an ensemble, and predicts the test split under a protocol.

    Args:
      cfg: The configuration to train.
      dataset: The data to train, choose and test on.
      folder: Run folder; a run killed there continues. Under the protocol "validation" the
        calibrated ensemble is saved there as `predictor`.
      protocol: What chooses the epoch, the calibrator and the thresholds.
      soft: Whether to train on soft labels where the data have them.
      baselines: Whether to fit logistic regression and a random forest beside the prior, under the
        protocol "validation".

    Returns:
      The predictions of the baselines, the members and the ensemble.
    """
    rows = dataset.train.soft_batch() if soft else dataset.train.batch
    hard, valid, test = (split.batch for split in dataset.splits().values())
    if protocol == "official":
        return evaluation.by_test(train_only(cfg, rows, test, folder=folder), test)
    trained = evaluation.by_validation(train_only(cfg, rows, valid, folder=folder), valid, test)
    trained.predictor.save(folder / "predictor")
    simple = evaluation.of_baselines(hard, valid, test, baselines)
    return trained._replace(models=simple | trained.models)
