"""What an ensemble costs and gains: members in one run, all at once, or as runs of their own.

    python experiments/ensembles.py

Synthetic data. The same members are trained three ways: as separate runs, each of which compiles
its own step; as one run, in which they share it; and at once, in one vectorised step (meant for
accelerators). Then scores: the mean member, the ensemble, and, as its cheap replacement, dropout
that stays on in prediction. Times are measured one after the other; run it on a quiet machine.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import tyro

import lddu
from lddu import config
from lddu.data import synthetic
from lddu.runs.evaluation import at_shared_thresholds, by_validation
from lddu.runs.results import write_results
from lddu.runs.scores import aggregate
from lddu.runs.tables import align, format_table

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1")


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      samples: Number of training samples; half as many validate, and five quarters test.
      epochs: Number of passes over them.
      members: Number of ensemble members.
      dropout_samples: Number of dropout masks drawn in prediction.
      seed: Seed of the data and of the models.
      set: Changes to the configuration, as in `--set model.encoder.layers=0`.
      out: Folder for `results.json`.
    """

    samples: int = 4_000
    epochs: int = 5
    members: int = 5
    dropout_samples: int = 20
    seed: int = 0
    set: tuple[str, ...] = ()
    out: Path = Path("runs/ensembles")


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()
    train, valid, test = (
        synthetic.generate(n, seed=3 * args.seed + k)
        for k, n in enumerate((args.samples, args.samples // 2, args.samples * 5 // 4), 1)
    )
    base = config.replace(
        config.small(train.shapes(), train.config.labels),
        {
            "model.statistics": 64,
            "train.epochs": args.epochs,
            "train.seed": args.seed,
            "execution.parallel_members": "never",
            **config.parse_all(args.set),
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
        {"train.members": args.members, "execution.parallel_members": "always"}
    )
    rows = [["way", "seconds", "of separate runs"]]
    for way, value in seconds.items():
        rows.append([way, f"{value:.1f}", f"{value / seconds['separate runs']:.2f}"])
    print(f"\n{args.members} members\n\n{align(rows, markdown=True)}\n")

    # ---- gain -----------------------------------------------------------------------------------
    def dropout(batch: lddu.Batch) -> np.ndarray:
        one = predictor.member(0)
        return one.dropout_probs(batch, samples=args.dropout_samples, calibrated=False).mean(0)

    labels = valid.batch.labels
    models = by_validation(predictor, valid.batch, test.batch).models
    models = {
        "member": models["lddu"],
        "member 0, dropout": at_shared_thresholds(
            dropout(valid.batch)[None], labels, dropout(test.batch)[None]
        ),
        "ensemble": models["lddu_ensemble"],
        "bayes": at_shared_thresholds(
            synthetic.bayes_posterior(valid)[None], labels, synthetic.bayes_posterior(test)[None]
        ),
    }
    table = {name: aggregate(model.scores(test.batch.labels)) for name, model in models.items()}
    total = time.perf_counter() - began
    write_results(args.out, {**table, "cost": aggregate([seconds])}, base, total)
    print(format_table(table, COLUMNS, markdown=True, digits=4, bound="bayes"))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
