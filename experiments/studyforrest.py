"""The studyforrest task of record: six emotions in a film, five rotated block folds.

    python experiments/studyforrest.py --source windows     # the fixed windows.npz
    python experiments/studyforrest.py --source raw         # from the raw files

Within each fold the training blocks train, the validation block chooses the epoch and fits
temperature and thresholds, and the test blocks are scored once. Training targets are soft: the
probability that a fresh panel of nine gives two votes. Test predictions of the five folds are
pooled for all scores but AUROC and AP, which are label means per fold, then averaged.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from windows_file import windows_file

from lddu import config, metrics
from lddu.data import studyforrest
from lddu.data.studyforrest import TASK_LABELS, Windows
from lddu.runs import detail, experiment
from lddu.runs.folder import write_run
from lddu.runs.predictions import ModelPredictions, RunPredictions, pool
from lddu.runs.run import Run
from lddu.runs.scores import aggregate
from lddu.runs.tables import format_table

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1", "jaccard", "jaccard_empty_zero")

CHANGES = {
    "model.encoder.layers": 0,
    "loss.contrastive": 0.0,
    "model.encoder.dropout": 0.3,
    "model.statistics": 64,
    "model.statistics_dropout": 0.4,
    "model.label_dropout": 0.3,
    "train.weight_decay": 1.0,
    "train.epochs": 12,
    "train.patience": 0,
    "train.average": 0.99,
    "calibration.shrinkage": 300.0,
}


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      source: "windows" reads the fixed benchmark file, "raw" processes the raw files.
      data: Folder with the files, or the .npz itself; LDDU_DATA or the download cache if not given.
      text: Word vectors for "raw": "hashed" needs nothing, "minilm" the `text` extra.
      seeds: Number of members per fold.
      folds: Which of the five folds to run; all of them make the task of record.
      set: Changes to the configuration, as in `--set train.epochs=5 loss.contrastive=0`.
      out: Run folder; a run killed there continues.
    """

    source: Literal["windows", "raw"] = "windows"
    data: Path | None = None
    text: Literal["hashed", "minilm"] = "hashed"
    seeds: int = 5
    folds: tuple[int, ...] = (0, 1, 2, 3, 4)
    set: tuple[str, ...] = ()
    out: Path = Path("runs/studyforrest")


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()

    # ---- data -----------------------------------------------------------------------------------
    windows = load(args)
    folds = [studyforrest.dataset(windows, fold) for fold in args.folds]
    cfg = config.replace(
        config.small(folds[0].shapes(), TASK_LABELS), {**CHANGES, "train.members": args.seeds}
    )
    cfg = config.replace(cfg, config.parse_all(args.set))

    # ---- fit and predict, fold by fold ----------------------------------------------------------
    done = []
    for number, data in zip(args.folds, folds, strict=True):
        sizes = " / ".join(str(split.batch.size) for split in data.splits().values())
        print(f"fold {number}: {sizes} windows", flush=True)
        done.append(experiment.evaluate(cfg, data, args.out / f"fold-{number}"))

    # ---- score ----------------------------------------------------------------------------------
    labels = [data.test.batch.labels for data in folds]
    parts = {name: [fold.models[name] for fold in done] for name in done[0].models}
    predictions = RunPredictions(
        ids=np.concatenate([data.test.ids for data in folds]),
        labels=np.concatenate(labels),
        label_names=TASK_LABELS,
        protocol="validation",
        main=done[0].main,
        models={name: pool(models) for name, models in parts.items()},
    )
    table = {name: aggregate(score(models, labels)) for name, models in parts.items()}

    # ---- report ---------------------------------------------------------------------------------
    history = [
        {**record, "member": args.seeds * number + record["member"]}
        for number, fold in zip(args.folds, done, strict=True)
        for record in fold.predictor.history
    ]
    run = Run(
        title="studyforrest, six emotions, five block folds",
        config=cfg,
        predictions=predictions,
        table=table,
        seconds=time.perf_counter() - began,
        history=history,
        weights=np.concatenate([fold.test.rest.weights for fold in done]),
        detail=detail.pool([fold.detail for fold in done]),
        notes=(
            f"Test predictions of all folds, pooled; figures show {done[0].main}.",
            f"lddu: mean over {args.seeds} seeds; lddu_ensemble averages their probabilities.",
            "Windows overlap by half and come from one film, so neighbours are alike: whole blocks "
            "of 120 s are held out, and figures for other films may differ.",
        ),
    )
    report = write_run(args.out, run)
    # Every member's uncalibrated probabilities (K, N, C), for `observers.py`.
    members = {}
    for number, fold in zip(args.folds, done, strict=True):
        for split, logits in (("valid", fold.valid.logits), ("test", fold.test.logits)):
            members[f"{split}_{number}"] = 1 / (1 + np.exp(-np.asarray(logits)))
    np.savez_compressed(args.out / "members.npz", folds=args.folds, **members)
    print(format_table(table, COLUMNS))
    print(f"\n{run.seconds:.0f} s; report: {report}")


def load(args: Args) -> Windows:
    """Loads the windows from the source asked for."""
    if args.source == "windows":
        return studyforrest.load_windows(windows_file(args.data))
    if args.text == "minilm":
        from lddu.features.minilm import MiniLM

        return studyforrest.load_windows(args.data, text=MiniLM(), text_dim=96)
    return studyforrest.load_windows(args.data)


def score(
    folds: Sequence[ModelPredictions], labels: Sequence[np.ndarray]
) -> list[dict[str, float]]:
    """Scores the runs of a model by the protocol of the task of record."""
    rows = pool(folds).scores(np.concatenate(labels))
    for seed, row in enumerate(rows):
        ranking = [(fold.probs[seed], y) for fold, y in zip(folds, labels, strict=True)]
        row["auroc"] = float(np.mean([metrics.auroc(p, y) for p, y in ranking]))
        row["map"] = float(np.mean([metrics.average_precision(p, y) for p, y in ranking]))
    return rows


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
