"""The studyforrest task of record: six emotions in a film, five rotated block folds.

    python experiments/studyforrest.py --source windows     # the fixed windows.npz
    python experiments/studyforrest.py --source raw         # from the raw files

Within each fold the training blocks train, the validation block chooses the epoch and fits
temperature and thresholds, and the test blocks are scored once. Training targets are soft: the
probability that a fresh panel of nine gives two votes. Test predictions of the five folds are
pooled for all scores but AUROC and AP, which are label means per fold, then averaged.
"""

import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

import lddu
from lddu import config, metrics
from lddu.calibration import thresholds
from lddu.config import Config
from lddu.data import studyforrest, take
from lddu.data.studyforrest import TASK_LABELS, Fold, Windows
from lddu.runs import baselines, results

COLUMNS = ("nll", "brier", "ece", "auroc", "map", "micro_f1", "jaccard", "jaccard_empty_zero")


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      source: "windows" reads the fixed benchmark file, "raw" processes the raw files.
      data: Folder with the files, or the .npz itself; LDDU_DATA or the download cache if not given.
      text: Word vectors for "raw": "hashed" needs nothing, "minilm" the `text` extra.
      seeds: Members per fold.
      folds: Which of the five folds; all of them make the task of record.
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


@dataclasses.dataclass(frozen=True)
class Part:
    """One model's predictions for the test rows of one fold."""

    rows: np.ndarray
    probs: np.ndarray
    thresholds: np.ndarray  # (N, C)


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()

    # ---- data -----------------------------------------------------------------------------------
    windows = load(args)
    labels = studyforrest.task(windows)
    cfg = configure(windows, args)
    folds = [studyforrest.folds(windows)[r] for r in args.folds]

    # ---- fit and predict, fold by fold ----------------------------------------------------------
    parts: dict[tuple[str, int], list[Part]] = {}  # by model and seed
    history, weights, said = [], {}, {}
    for r, fold in zip(args.folds, folds, strict=True):
        print(f"fold {r}: {len(fold.train)} / {len(fold.valid)} / {len(fold.test)} windows")
        for name, part in run_baselines(windows, labels, fold).items():
            parts.setdefault((name, 0), []).append(part)
        predictor = fit_fold(cfg, windows, labels, fold, args.out / f"fold-{r}")
        history += [{**h, "member": args.seeds * r + h["member"]} for h in predictor.history]
        valid = take(windows.batch, fold.valid).replace(labels=labels[fold.valid])
        test = take(windows.batch, fold.test)
        ensemble = predictor.predict(test)
        weights[r] = ensemble.weights
        for name, part in (("valid", valid), ("test", test)):
            said[f"{name}_{r}"] = predictor.member_probs(part, calibrated=False)
        members = [lddu.calibrate(predictor.member(k), valid) for k in range(args.seeds)]
        for name, seed, model in [
            *(("lddu", k, member) for k, member in enumerate(members)),
            ("lddu_ensemble", 0, predictor),
        ]:
            for suffix, calibrated in (("", False), ("_calibrated", True)):
                part = predicted(
                    lambda b, m=model, c=calibrated: m.predict(b, calibrated=c).probs,
                    valid,
                    test,
                    fold,
                )
                parts.setdefault((name + suffix, seed), []).append(part)

    # ---- score ----------------------------------------------------------------------------------
    runs: dict[str, list[dict[str, float]]] = {}
    for (name, _), folds_of_one in parts.items():
        runs.setdefault(name, []).append(score(folds_of_one, labels))
    table = {name: results.aggregate(scores) for name, scores in runs.items()}

    # ---- report ---------------------------------------------------------------------------------
    command = shlex.join(["python", *sys.argv])
    seconds = time.perf_counter() - began
    results.write_results(args.out / "results.json", table, command, cfg, seconds)
    best = parts["lddu_ensemble_calibrated", 0]
    rows = np.concatenate([part.rows for part in best])
    # Every member's uncalibrated probabilities (K, N, C), for `observers.py`.
    np.savez_compressed(args.out / "members.npz", folds=args.folds, **said)
    report = lddu.write_report(
        args.out / "report.html",
        title="studyforrest, six emotions, five block folds",
        models=table,
        history=history,
        probs=np.concatenate([part.probs for part in best]),
        labels=labels[rows],
        thresholds=np.concatenate([part.thresholds for part in best]),
        label_names=TASK_LABELS,
        modality_names=cfg.model.modality_names,
        weights=np.concatenate([weights[r] for r in args.folds]),
        config_json=cfg.to_json(),
        command=command,
        notes=(
            "Test predictions of all folds, pooled; figures show the calibrated ensemble.",
            f"lddu: mean over {args.seeds} seeds. lddu_ensemble: their probabilities averaged.",
            "Windows overlap by half and come from one film, so neighbours are alike: whole blocks "
            "of 120 s are held out, and figures for other films may differ.",
        ),
    )
    print(results.format_table(table, COLUMNS))
    print(f"\n{seconds:.0f} s; report: {report}")


def load(args: Args) -> Windows:
    """The windows from the source asked for."""
    if args.source == "raw":
        if args.text == "minilm":
            from lddu.features.minilm import MiniLM

            return studyforrest.load_windows(args.data, text=MiniLM(), text_dim=96)
        return studyforrest.load_windows(args.data)
    path = args.data or Path(os.environ.get("LDDU_DATA", ".")) / "studyforrest" / "windows.npz"
    path = path / "windows.npz" if path.is_dir() else path
    if not path.is_file():
        raise SystemExit(
            f"there is no {path}. Say where it lies with --data or the environment variable "
            "LDDU_DATA, or make the same windows from the raw files: --source raw --text minilm"
        )
    return studyforrest.load_windows(path)


def configure(windows: Windows, args: Args) -> Config:
    """The configuration of the task of record, with the changes asked for on top."""
    shapes = {
        name: (m.values.shape[-1], m.values.shape[1])
        for name, m in windows.batch.modalities.items()
    }
    cfg = config.replace(
        config.small(shapes, TASK_LABELS), {**STUDYFORREST, "train.members": args.seeds}
    )
    return config.replace(cfg, dict(config.parse(change) for change in args.set))


STUDYFORREST = {
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


def fit_fold(
    cfg: Config, windows: Windows, labels: np.ndarray, fold: Fold, folder: Path
) -> lddu.Predictor:
    """Trains the members of one fold on soft labels."""
    soft = studyforrest.soft_labels(windows, fold.train)
    train = take(windows.batch, fold.train).replace(labels=soft[fold.train])
    valid = take(windows.batch, fold.valid).replace(labels=labels[fold.valid])
    return lddu.fit(cfg, train, valid, folder=folder)


def run_baselines(windows: Windows, labels: np.ndarray, fold: Fold) -> dict[str, Part]:
    """The prior, logistic regression and a random forest, with thresholds from validation."""
    train, valid, test = (
        take(windows.batch, rows).replace(labels=labels[rows])
        for rows in (fold.train, fold.valid, fold.test)
    )
    models = {
        "prior": baselines.prior(train),
        "logistic": baselines.logistic(train, valid),
        "forest": baselines.forest(train),
    }
    return {name: predicted(model, valid, test, fold) for name, model in models.items()}


def predicted(
    probabilities: Callable[[lddu.Batch], np.ndarray],
    valid: lddu.Batch,
    test: lddu.Batch,
    fold: Fold,
) -> Part:
    """Test probabilities, and the shared threshold that suits the validation block best."""
    threshold = thresholds.fit_shared(probabilities(valid), valid.labels)
    probs = probabilities(test)
    return Part(fold.test, probs, np.full(probs.shape, threshold))


def score(parts: Sequence[Part], labels: np.ndarray) -> dict[str, float]:
    """Scores by the protocol of the task of record."""
    rows = np.concatenate([part.rows for part in parts])
    probs = np.concatenate([part.probs for part in parts])
    cut = np.concatenate([part.thresholds for part in parts])
    scores = metrics.summarise(probs, labels[rows], cut)
    ranking = [(part.probs, labels[part.rows]) for part in parts]
    scores["auroc"] = float(np.mean([metrics.auroc(p, y) for p, y in ranking]))
    scores["map"] = float(np.mean([metrics.average_precision(p, y) for p, y in ranking]))
    return scores


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
