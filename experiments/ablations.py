"""From preset `paper` to the default model, one change at a time.

    python experiments/ablations.py

Each row adds one change to the row above it. All rows share sizes, learning rate, epochs and seeds,
and choose their epoch and threshold on validation data. Two data sets: the synthetic one, and the
fixed studyforrest windows (fold 4, the stored split; soft labels), if they are at hand. Scores are
those of single models on test data; the spread is the standard deviation over seeds.
"""

import dataclasses
import time
from pathlib import Path
from typing import Literal

import tyro
from windows_file import windows_file

from lddu import config
from lddu.config import Config
from lddu.data import studyforrest, synthetic
from lddu.predictor import train_only
from lddu.runs import evaluation
from lddu.runs.results import write_results
from lddu.runs.scores import aggregate
from lddu.runs.tables import format_table
from lddu.structs import Batch

COLUMNS = ("micro_f1", "jaccard", "map", "nll", "brier", "ece", "aurc")

# The same small network and budget for every row.
SIZES = {
    "model.encoder.hidden": 64,
    "model.encoder.layers": 1,
    "model.encoder.heads": 4,
    "model.encoder.feed_forward": 128,
    "model.latent": 16,
    "model.latent_hidden": (64,),
    "model.head_hidden": 64,
    "loss.bank_size": 1024,
    "train.learning_rate": 1e-3,
}

STEPS: tuple[tuple[str, dict], ...] = (
    ("paper", {}),
    ("+ padding masked", {"model.mask_padding": True}),
    ("+ AdamW", {"train.optimizer": "adamw", "model.encoder.kernel_std": None}),
    (
        "+ anchors from the batch, bank starts empty",
        {"loss.anchors": "batch", "loss.bank_start": "empty"},
    ),
    ("+ positives across modalities", {"loss.cross_modal_positives": True}),
    ("+ spread follows the error", {"loss.spread_target": "error"}),
    ("+ small weights of contrast and spread", {"loss.contrastive": 0.1, "loss.spread": 0.1}),
    ("+ bounded variance", {"model.variance": "softplus"}),
    ("+ precision fusion, expected probability", {"model.fusion": "precision", "loss.direct": 0.0}),
    ("+ each modality predicts alone", {"loss.unimodal": 0.3}),
    ("+ KL to the prior (default)", {"loss.kl": 1e-3}),
    ("+ pooled statistics", {"model.statistics": 64}),
    (
        "+ stronger regularisation, averaged weights",
        {
            "train.weight_decay": 1.0,
            "train.average": 0.99,
            "model.encoder.dropout": 0.3,
            "model.label_dropout": 0.3,
            "model.statistics_dropout": 0.4,
        },
    ),
    ("+ temperature", {"calibration.method": "temperature", "calibration.shrinkage": 300.0}),
)


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      data: Data sets to run on.
      seeds: Number of models per row of the table.
      epochs: Number of passes over the training data.
      samples: Number of synthetic training samples.
      rows: Number of rows of the table; all if not given.
      set: Changes to the sizes of all rows, as in `--set model.encoder.layers=0`.
      out: Run folder.
    """

    data: tuple[Literal["synthetic", "studyforrest"], ...] = ("synthetic", "studyforrest")
    seeds: int = 3
    epochs: int = 8
    samples: int = 4_000
    rows: int | None = None
    set: tuple[str, ...] = ()
    out: Path = Path("runs/ablations")


def main(args: Args) -> None:
    """Runs the ablations."""
    for name in args.data:
        began = time.perf_counter()
        training, valid, test = SETS[name](args)
        table, cfg = {}, start(training, args)
        for step, changes in STEPS[: args.rows]:
            cfg = config.replace(cfg, changes)
            table[step] = aggregate(run(cfg, training, valid, test))
            print(name, step, format_table({step: table[step]}, COLUMNS), sep="\n", flush=True)
            seconds = time.perf_counter() - began
            write_results(args.out / name, table, cfg, seconds)
        text = format_table(table, COLUMNS, markdown=True)
        (args.out / name / "table.md").write_text(text + "\n")
        print(f"\n{name}, {seconds:.0f} s\n{text}\n")


def start(training: Batch, args: Args) -> Config:
    """Returns preset `paper` at the common sizes, with one ensemble member per seed."""
    modalities = training.modalities.items()
    shapes = {name: (m.values.shape[-1], m.values.shape[1]) for name, m in modalities}
    labels = [f"label {c}" for c in range(training.labels.shape[1])]
    budget = {"train.epochs": args.epochs, "train.members": args.seeds}
    changes = config.parse_all(args.set)
    return config.replace(config.paper(shapes, labels), {**SIZES, **budget, **changes})


def run(cfg: Config, training: Batch, valid: Batch, test: Batch) -> list[dict[str, float]]:
    """Returns the test scores of each seed alone."""
    ensemble = train_only(cfg, training, valid, progress=False)
    models = evaluation.by_validation(ensemble, valid, test).models
    return models["lddu_calibrated"].scores(test.labels)


def synthetic_sets(args: Args) -> tuple[Batch, Batch, Batch]:
    """Draws training, validation and test samples of the synthetic law."""
    sizes = (args.samples, min(args.samples, 2_000), min(args.samples, 4_000))
    return tuple(synthetic.generate(n, seed=i + 1).batch for i, n in enumerate(sizes))


def studyforrest_sets(args: Args) -> tuple[Batch, Batch, Batch]:
    """Returns the stored split of the fixed windows; training labels are soft."""
    data = studyforrest.load(windows_file())
    return data.train.soft_batch(), data.valid.batch, data.test.batch


SETS = {"synthetic": synthetic_sets, "studyforrest": studyforrest_sets}


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
