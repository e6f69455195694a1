"""What is lost when inputs are damaged: precision fusion against the alternatives.

    python experiments/robustness.py                          # synthetic data
    python experiments/robustness.py --data studyforrest      # the stored split

Every fusion is trained with the same settings, on clean data, with the same modality dropout. The
test inputs are then damaged, one modality at a time (`lddu.data.corruptions`, severities 1 to 5),
and reduced to each of the 2^M - 1 subsets of modalities, and to none. Thresholds and temperature
are those of clean validation data. Each figure is a mean over the damaged modality; its spread is
over seeds. For synthetic data "bayes" is the exact posterior of the damaged inputs, where their law
is known: what it loses is lost information, which no fusion can keep.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import tyro
from windows_file import windows_file

import lddu
from lddu import config, metrics, plots
from lddu.data import corruptions, fit_normalizer, studyforrest, synthetic, take
from lddu.runs.results import write_results
from lddu.runs.scores import METRICS, Metric, Table, aggregate
from lddu.runs.tables import format_table

FUSIONS = ("precision", "equal", "concatenation", "gate")
SEVERITIES = (1, 2, 3, 4, 5)
# Under these the synthetic data do not follow the law that the exact posterior assumes.
UNKNOWN_LAW = ("feature_noise", "swap_modality")
SCORES = ("nll", "ece", "micro_f1")


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      data: "synthetic" or "studyforrest" (windows.npz in LDDU_DATA).
      fusions: Fusions to compare.
      samples: Number of synthetic training samples.
      test_samples: Number of synthetic test samples.
      epochs: Number of passes over the training data.
      seeds: Number of models per fusion.
      set: Changes to the configuration of all, as in `--set train.modality_dropout=0.1`.
      out: Run folder; runs killed there continue.
    """

    data: Literal["synthetic", "studyforrest"] = "synthetic"
    fusions: tuple[str, ...] = FUSIONS
    samples: int = 10_000
    test_samples: int = 2_000
    epochs: int = 6
    seeds: int = 3
    set: tuple[str, ...] = ()
    out: Path = Path("runs/robustness")


CHANGES = {
    "model.statistics": 64,
    "train.batch_size": 128,
    "train.learning_rate": 2e-3,
    "train.average": 0.99,
    "train.modality_dropout": 0.1,
}


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()
    training, valid, test, labels = load(args)
    modalities = training.modalities.items()
    shapes = {name: (m.values.shape[-1], m.values.shape[1]) for name, m in modalities}
    base = config.replace(config.small(shapes, labels), {**CHANGES, "train.epochs": args.epochs})
    base = config.replace(base, config.parse_all(args.set))
    scale = fit_normalizer(training).std

    # ---- train, damage, score -------------------------------------------------------------------
    scores: dict[str, list[dict]] = {}
    for fusion in args.fusions:
        for seed in range(args.seeds):
            unimodal = base.loss.unimodal if fusion in ("precision", "equal") else 0.0
            cfg = config.replace(
                base,
                {"model.fusion": fusion, "loss.unimodal": unimodal, "train.seed": seed},
            )
            predictor = lddu.fit(cfg, training, valid, folder=args.out / f"{fusion}-{seed}")
            print(f"{fusion}, seed {seed}: scoring damaged inputs", flush=True)
            run = damage(
                lambda b, p=predictor: p.predict(b).probs, predictor.thresholds, test, scale, seed
            )
            nothing = predictor.predict(take(corruptions.subset(test, ()), np.arange(1))).probs[0]
            run["off base rate"] = float(np.abs(nothing - predictor.base_rate).max())
            scores.setdefault(fusion, []).append(run)
    if args.data == "synthetic":
        exact = synthetic.SyntheticConfig()
        scores["bayes"] = [
            damage(
                lambda b: synthetic.bayes_posterior(b, exact), 0.5, test, scale, seed, UNKNOWN_LAW
            )
            for seed in range(args.seeds)
        ]

    # ---- tables and figures ---------------------------------------------------------------------
    table = summarise(scores)
    seconds = time.perf_counter() - began
    write_results(args.out, table, base, seconds)
    figure = plots.robustness_curves(table, SCORES)
    figure.savefig(args.out / "robustness.png", dpi=130, facecolor="white")
    for metric in SCORES:
        print(f"\n{metric} (severity 5, mean over the damaged modality)\n")
        lower = METRICS[metric].lower_is_better
        names = [
            name
            for name in next(iter(table.values()))
            if re.fullmatch(rf"{metric}_(clean|.*_5|\d_modalities)", name)
        ]
        columns = [Metric(name, name, lower_is_better=lower) for name in names]
        print(format_table(table, columns, markdown=True, bound="bayes"))
    print(f"\n{seconds:.0f} s; figure: {args.out / 'robustness.png'}")


def load(args: Args) -> tuple[lddu.Batch, lddu.Batch, lddu.Batch, tuple[str, ...]]:
    """Returns training, validation and test rows, and the label names."""
    if args.data == "synthetic":
        sizes = (args.samples, 2_000, args.test_samples)
        drawn = [synthetic.generate(n, seed=k) for k, n in enumerate(sizes, 1)]
        return *(d.batch for d in drawn), drawn[0].config.labels
    dataset = studyforrest.load(windows_file())
    training = dataset.train.soft_batch()
    return training, dataset.valid.batch, dataset.test.batch, dataset.labels


def damage(
    probabilities: Callable[[lddu.Batch], np.ndarray],
    thresholds: np.ndarray | float,
    test: lddu.Batch,
    scale: dict[str, np.ndarray],
    seed: int,
    skipped: Sequence[str] = (),
) -> dict:
    """Returns scores by condition: "clean", (corruption, severity, modality), ("subset", names)."""
    names = tuple(test.modalities)
    key = jax.random.key(seed)

    def score(batch: lddu.Batch) -> dict[str, float]:
        row = metrics.summarise(probabilities(batch), batch.labels, thresholds)
        return {metric: row[metric] for metric in SCORES}

    scores = {"clean": score(test)}
    for name, corrupt in corruptions.CORRUPTIONS.items():
        options = {"scale": scale} if name == "feature_noise" else {}
        for severity in SEVERITIES if name not in skipped else ():
            for modality in names:
                damaged = corrupt(key, test, severity, (modality,), **options)
                scores[name, severity, modality] = score(damaged)
    for kept in (*corruptions.subsets(names), ()):
        scores["subset", kept] = score(corruptions.subset(test, kept))
    return scores


def summarise(scores: dict[str, list[dict]]) -> Table:
    """Returns fusion -> "metric_condition" -> statistics over seeds: clean, damaged, subsets."""
    table = {}
    for fusion, runs in scores.items():
        rows = []
        for run in runs:
            row = {}
            for metric in SCORES:
                row[f"{metric}_clean"] = run["clean"][metric]
                for name in corruptions.CORRUPTIONS:
                    for severity in SEVERITIES:
                        key = f"{metric}_{name}_{severity}"
                        row[key] = over_modalities(run, name, severity, metric)
                subsets = [k for k in run if k[0] == "subset"]
                for size in sorted({len(kept) for _, kept in subsets}):
                    values = [run[k][metric] for k in subsets if len(k[1]) == size]
                    row[f"{metric}_{size}_modalities"] = float(np.mean(values))
            row["error_off_base_rate"] = run.get("off base rate", np.nan)
            rows.append(row)
        table[fusion] = aggregate(rows)
    return table


def over_modalities(run: dict, name: str, severity: int, metric: str) -> float:
    """Returns the mean of a score over the modality that was damaged."""
    keys = [k for k in run if k[:2] == (name, severity)]
    if not keys:
        return np.nan
    return float(np.mean([run[k][metric] for k in keys]))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
