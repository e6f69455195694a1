"""CMU-MOSEI, six emotions: train, calibrate, score, beside the published figures.

    python experiments/mosei.py --data-dir DIR --setting aligned --preset default

DIR holds the files in any of the layouts that `lddu.data.mosei` describes.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from lddu.data import mosei
from lddu.data.cache import cache_folder
from lddu.runs import experiment, options
from lddu.runs.tables import Published
from lddu.training import memory

PUBLISHED = (
    Published(
        "LDDU, authors' log, aligned",
        {"micro_f1": ".5867", "jaccard_empty_zero": ".4921"},
        "epoch and threshold chosen on test",
    ),
    Published(
        "LDDU, authors' log, aligned",
        {"micro_f1": ".5827", "jaccard_empty_zero": ".4886"},
        "epoch chosen on test",
    ),
    Published(
        "CARAT, re-run by others",
        {"micro_f1": ".565-.568", "jaccard_empty_zero": ".475-.484"},
        "as its code: epoch chosen on test",
    ),
    Published(
        "UniVA-RoBERTa",
        {"micro_f1": ".6045", "jaccard_empty_zero": ".5128"},
        "selected on validation",
    ),
)


@dataclasses.dataclass(frozen=True)
class Args(options.Options):
    """Options.

    Attributes:
      data_dir: Folder with the feature file and, where its layout has no emotion labels, the label
        file; or the feature file itself.
      labels: The label file, if it is elsewhere.
      setting: "aligned" (steps of all modalities are words) or "unaligned".
      cache: Folder for the prepared data, so that later starts are fast.
    """

    data_dir: Path = Path("data/mosei")
    labels: Path | None = None
    setting: Literal["aligned", "unaligned"] = "aligned"
    cache: Path = dataclasses.field(default_factory=cache_folder)
    out: Path = Path("runs/mosei")


def main(args: Args) -> None:
    """Runs the experiment."""
    dataset = mosei.load(args.data_dir, setting=args.setting, labels=args.labels, cache=args.cache)
    memory.keep()  # only from here on: what was loaded is in mapped files
    experiment.run(dataset, args, f"CMU-MOSEI, {args.setting}, six emotions", PUBLISHED)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
