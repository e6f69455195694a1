"""What an ensemble costs and gains: members in one run, all at once, or as runs of their own.

    python experiments/ensembles.py

Synthetic data. The same members are trained three ways: as separate runs, each of which compiles
its own step; as one run, in which they share it; and at once, in one vectorised step (meant for
accelerators). Then scores: the mean member, the ensemble, and dropout kept on in prediction as its
cheap stand-in. Times are of this machine, one after the other; run it on a quiet one.
"""

import dataclasses
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import tyro

import lddu
from lddu import config, metrics
from lddu.calibration import thresholds
from lddu.data import synthetic
from lddu.runs import results

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1")


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      samples: Training samples.
      epochs: Passes over them.
      members: Ensemble members.
      dropout_samples: Dropout masks drawn in prediction.
      seed: Of the data and the models.
      out: Folder for `results.json`.
    """

    samples: int = 4_000
    epochs: int = 5
    members: int = 5
    dropout_samples: int = 20
    seed: int = 0
    out: Path = Path("runs/ensembles")


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()
    train, valid, test = (
        synthetic.generate(n, seed=3 * args.seed + k)
        for k, n in enumerate((args.samples, 2_000, 5_000), 1)
    )
    base = config.replace(
        config.small(train.shapes(), train.config.labels),
        {
            "model.statistics": 64,
            "train.epochs": args.epochs,
            "train.seed": args.seed,
            "train.parallel_members": "never",
        },
    )

    # ---- cost -----------------------------------------------------------------------------------
    def fit(changes: dict) -> tuple[lddu.Predictor, float]:
        start = time.perf_counter()
        cfg = config.replace(base, changes)
        predictor = lddu.fit(cfg, train.batch, valid.batch, progress=False)
        return predictor, time.perf_counter() - start

    seconds = {}
    seconds["separate runs"] = sum(
        fit({"train.seed": args.seed + k})[1] for k in range(args.members)
    )
    predictor, seconds["one run"] = fit({"train.members": args.members})
    _, seconds["one run, vectorised"] = fit(
        {"train.members": args.members, "train.parallel_members": "always"}
    )
    rows = [["way", "seconds", "of separate runs"]]
    for way, value in seconds.items():
        rows.append([way, f"{value:.1f}", f"{value / seconds['separate runs']:.2f}"])
    print(f"\n{args.members} members\n\n{results.align(rows, markdown=True)}\n")

    # ---- gain -----------------------------------------------------------------------------------
    def score(probabilities) -> dict[str, float]:
        cut = thresholds.fit_shared(probabilities(valid.batch), valid.batch.labels)
        return metrics.summarise(probabilities(test.batch), test.batch.labels, cut)

    members = [
        score(lambda b, k=k: predictor.member_probs(b, calibrated=False)[k])
        for k in range(args.members)
    ]

    def with_dropout(batch: lddu.Batch) -> np.ndarray:
        one = predictor.member(0)
        return one.dropout_probs(batch, samples=args.dropout_samples, calibrated=False).mean(0)

    table = {
        "member": results.aggregate(members),
        "member 0, dropout": results.aggregate([score(with_dropout)]),
        "ensemble": results.aggregate(
            [score(lambda b: predictor.member_probs(b, calibrated=False).mean(0))]
        ),
        "bayes": results.aggregate([score(lambda b: synthetic.bayes_posterior(b, test.config))]),
    }
    command, total = shlex.join(["python", *sys.argv]), time.perf_counter() - began
    cost = results.aggregate([seconds])
    results.write_results(args.out / "results.json", {**table, "cost": cost}, command, base, total)
    print(results.format_table(table, COLUMNS, markdown=True, digits=4))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
