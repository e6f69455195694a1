"""M3ED, seven emotions in Chinese TV dialogues: train, calibrate, score, beside published figures.

    python experiments/m3ed.py --data-dir DIR --task dialogue
    python experiments/m3ed.py --data-dir DIR --task utterance

The two tasks are different problems, and their figures are not comparable.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from lddu.data import m3ed
from lddu.data.cache import cache_folder
from lddu.runs import experiment, options
from lddu.runs.tables import Published
from lddu.training import memory

PUBLISHED = {
    "dialogue": (),
    "utterance": (
        Published(
            "UniVA-RoBERTa",
            {"micro_f1": ".5344", "jaccard_empty_zero": ".5064"},
            "selected on validation",
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Args(options.Options):
    """Options.

    Attributes:
      data_dir: Folder with `annotation.json`, `splitInfo` and the feature pickle, or with CARAT's
        `m3ed_data_60.pt` (dialogue task only).
      task: "dialogue" (the union of the emotions of a dialogue) or "utterance".
      cache: Folder for the prepared data, so that later starts are fast.
    """

    data_dir: Path = Path("data/m3ed")
    task: Literal["dialogue", "utterance"] = "dialogue"
    cache: Path = dataclasses.field(default_factory=cache_folder)
    out: Path = Path("runs/m3ed")


def main(args: Args) -> None:
    """Runs the experiment."""
    dataset = m3ed.load(args.data_dir, task=args.task, cache=args.cache)
    memory.keep()  # only from here on: what was loaded is in mapped files
    experiment.run(dataset, args, f"M3ED, {args.task} task, seven emotions", PUBLISHED[args.task])


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
