"""The main job end to end on embedded synthetic data: train, calibrate, evaluate, report.

    python experiments/demo.py

The data have a known law, so the table can name the best scores that any predictor could reach
(`bayes`). Writes `results.json`, `report.html` and the trained predictor to the run folder.
"""

import dataclasses
import shlex
import shutil
import sys
import time
from pathlib import Path

import tyro

import lddu
from lddu import config, metrics
from lddu.calibration import thresholds
from lddu.data import synthetic
from lddu.runs import baselines, results

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1", "jaccard")


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      samples: Training samples.
      epochs: Passes over them.
      seed: Of the data and the model.
      out: Run folder; what is there is replaced.
    """

    samples: int = 20_000
    epochs: int = 5
    seed: int = 0
    out: Path = Path("runs/demo")


# The preset `small`, with what suits plenty of data: larger steps and averaged weights.
CHANGES = {
    "model.statistics": 64,
    "train.batch_size": 128,
    "train.learning_rate": 2e-3,
    "train.average": 0.995,
}


def main(args: Args) -> None:
    """Runs the demo."""
    began = time.perf_counter()

    # ---- data -----------------------------------------------------------------------------------
    train = synthetic.generate(args.samples, seed=3 * args.seed + 1)
    valid = synthetic.generate(3_000, seed=3 * args.seed + 2)
    test = synthetic.generate(5_000, seed=3 * args.seed + 3)
    labels = test.batch.labels

    # ---- train and calibrate --------------------------------------------------------------------
    cfg = config.small(train.shapes(), train.config.labels)
    cfg = config.replace(cfg, {**CHANGES, "train.epochs": args.epochs, "train.seed": args.seed})
    shutil.rmtree(args.out, ignore_errors=True)
    predictor = lddu.fit(cfg, train.batch, valid.batch, folder=args.out)
    predictor.save(args.out / "predictor")

    # ---- evaluate -------------------------------------------------------------------------------
    prediction = predictor.predict(test.batch)
    models = {
        "prior": baselines.prior(train.batch),
        "logistic": baselines.logistic(train.batch, valid.batch),
        "lddu": lambda batch: predictor.predict(batch, calibrated=False).probs,
        "lddu_calibrated": lambda batch: predictor.predict(batch).probs,
        "bayes": lambda batch: synthetic.bayes_posterior(batch, test.config),
    }
    table = {}
    for name, probabilities in models.items():
        threshold = thresholds.fit_shared(probabilities(valid.batch), valid.batch.labels)
        scores = metrics.summarise(probabilities(test.batch), labels, threshold)
        table[name] = results.aggregate([scores])

    # ---- report ---------------------------------------------------------------------------------
    command = shlex.join(["python", *sys.argv])
    seconds = time.perf_counter() - began
    results.write_results(args.out / "results.json", table, command, cfg, seconds)
    report = lddu.write_report(
        args.out / "report.html",
        title="lddu on synthetic data",
        models=table,
        history=predictor.history,
        probs=prediction.probs,
        labels=labels,
        thresholds=predictor.thresholds,
        label_names=predictor.labels,
        modality_names=cfg.model.modality_names,
        weights=prediction.weights,
        config_json=cfg.to_json(),
        command=command,
        notes=(
            f"{args.samples} training, 3,000 validation and 5,000 test samples of "
            f"`lddu.data.synthetic`; bayes is the exact posterior.",
        ),
    )
    print(results.format_table(table, COLUMNS, digits=4))
    nll = {name: table[name]["nll"]["mean"] for name in ("lddu_calibrated", "bayes")}
    print(f"\nNLL {nll['lddu_calibrated'] / nll['bayes']:.3f} times the Bayes-optimal one")
    print(f"{seconds:.0f} s; report: {report}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
