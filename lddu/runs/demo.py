"""The main job end to end on embedded synthetic data: train, calibrate, evaluate, report.

The data have a known law, so the table can name the best scores that any predictor could reach
(`bayes`).
"""

import shutil
import time
from pathlib import Path

import numpy as np

from lddu import config
from lddu.data import synthetic
from lddu.data.synthetic import Synthetic
from lddu.predictor import calibrate, train_only
from lddu.runs import baselines, detail
from lddu.runs.evaluation import at_shared_thresholds
from lddu.runs.folder import write_run
from lddu.runs.predictions import RunPredictions
from lddu.runs.run import Run
from lddu.runs.tables import format_table

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1", "jaccard")

# The preset `small`, with what suits plenty of data: larger steps and averaged weights.
CHANGES = {
    "model.statistics": 64,
    "train.batch_size": 128,
    "train.learning_rate": 2e-3,
    "train.average": 0.995,
}


def splits(samples: int, seed: int) -> tuple[Synthetic, Synthetic, Synthetic]:
    """Returns training samples, and at most 3,000 for validation and 5,000 for test."""
    sizes = (samples, min(samples, 3_000), min(samples, 5_000))
    return tuple(synthetic.generate(n, seed=3 * seed + k) for k, n in enumerate(sizes, 1))


def run(samples: int, epochs: int, seed: int, out: Path) -> Run:
    """Trains and scores the demo, prints its table and fills the run folder.

    Args:
      samples: Number of training samples.
      epochs: Number of passes over them.
      seed: Seed of the data and of the model.
      out: Run folder; what is there is replaced. It gets `results.json`, `report.html`,
        `predictions.npz` and the trained predictor.

    Returns:
      The finished run.
    """
    began = time.perf_counter()

    # ---- data -----------------------------------------------------------------------------------
    training, valid, test = splits(samples, seed)

    # ---- train and calibrate --------------------------------------------------------------------
    cfg = config.small(training.shapes(), training.config.labels)
    cfg = config.replace(cfg, {**CHANGES, "train.epochs": epochs, "train.seed": seed})
    shutil.rmtree(out, ignore_errors=True)
    predictor = train_only(cfg, training.batch, valid.batch, folder=out)
    # One pass over each split; `lddu.fit` does both in one call.
    on_valid = predictor.members(valid.batch)
    on_test = predictor.members(test.batch, fields=detail.fields(test.batch.size))
    predictor = calibrate(predictor, valid.batch, members=on_valid)
    predictor.save(out / "predictor")

    # ---- evaluate -------------------------------------------------------------------------------
    prior = baselines.prior(training.batch)
    logistic = baselines.logistic(training.batch, valid.batch)
    probs = {
        "prior": [prior(split.batch) for split in (valid, test)],
        "logistic": [logistic(split.batch) for split in (valid, test)],
        "lddu": [predictor.combine(on, calibrated=False).probs for on in (on_valid, on_test)],
        "lddu_calibrated": [predictor.combine(on).probs for on in (on_valid, on_test)],
        "bayes": [synthetic.bayes_posterior(split) for split in (valid, test)],
    }
    models = {
        name: at_shared_thresholds(before[None], valid.batch.labels, now[None])
        for name, (before, now) in probs.items()
    }

    # ---- report ---------------------------------------------------------------------------------
    predictions = RunPredictions(
        ids=np.arange(test.batch.size),
        labels=test.batch.labels,
        label_names=predictor.labels,
        protocol="validation",
        main="lddu_calibrated",
        models=models,
    )
    finished = Run(
        title="lddu on synthetic data",
        config=cfg,
        predictions=predictions,
        table=predictions.table(),
        seconds=time.perf_counter() - began,
        history=predictor.history,
        weights=on_test.rest.weights,
        detail=detail.of_members(predictor, on_test, test.batch),
        bound="bayes",
        notes=(
            f"{samples:,} training, {valid.batch.size:,} validation and {test.batch.size:,} test "
            "samples of `lddu.data.synthetic`; bayes is the exact posterior.",
        ),
    )
    report = write_run(out, finished)
    print(format_table(finished.table, COLUMNS, digits=4))
    nll = {name: finished.table[name]["nll"]["mean"] for name in ("lddu_calibrated", "bayes")}
    print(f"\nNLL {nll['lddu_calibrated'] / nll['bayes']:.3f} times the Bayes-optimal one")
    print(f"{finished.seconds:.0f} s; report: {report}")
    return finished
