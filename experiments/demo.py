"""The main job end to end on embedded synthetic data: train, calibrate, evaluate, report.

    python experiments/demo.py

The data have a known law, so the table can name the best scores that any predictor could reach
(`bayes`). Writes `results.json`, `report.html` and the trained predictor to the run folder.
"""

import argparse
import shlex
import shutil
import sys
import time
from pathlib import Path

import numpy as np

import lddu
from lddu import baselines, config, metrics, results
from lddu.calibration import thresholds
from lddu.data import synthetic

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1", "jaccard")


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="run folder (replaced)")
    parser.add_argument("--samples", type=int, default=16_000, help="training samples")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()

    # ---- data -----------------------------------------------------------------------------------
    train = synthetic.generate(args.samples, seed=3 * args.seed + 1)
    valid = synthetic.generate(3_000, seed=3 * args.seed + 2)
    test = synthetic.generate(5_000, seed=3 * args.seed + 3)
    labels = test.batch.labels

    # ---- train and calibrate --------------------------------------------------------------------
    cfg = config.small(train.shapes(), train.config.labels)
    cfg = config.replace(
        cfg, {"model.statistics": 64, "train.epochs": args.epochs, "train.seed": args.seed}
    )
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
    print(f"{np.round(seconds, 1)} s; report: {report}")


if __name__ == "__main__":
    main()
