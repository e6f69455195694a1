"""studyforrest on its stored split, through the code path of `mosei.py` and `m3ed.py`.

    python experiments/studyforrest_split.py --preset small

For figures to compare with others use `studyforrest.py`: all five folds of the task of record.
"""

import dataclasses
import os
from pathlib import Path

import tyro

from lddu.data import studyforrest
from lddu.runs import experiment


@dataclasses.dataclass(frozen=True)
class Args(experiment.Options):
    """Options.

    Attributes:
      data_dir: Folder with `windows.npz`; `studyforrest` in LDDU_DATA if not given.
    """

    data_dir: Path | None = None
    preset: experiment.Preset = "small"
    out: Path = Path("runs/studyforrest_split")


def main(args: Args) -> None:
    """Runs the experiment."""
    folder = args.data_dir or Path(os.environ.get("LDDU_DATA", ".")) / "studyforrest"
    file = folder / "windows.npz"
    if not file.is_file():
        raise SystemExit(f"there is no {file}; say where it lies with --data-dir or LDDU_DATA")
    experiment.run(studyforrest.load(file), args, "studyforrest, six emotions, stored split")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
