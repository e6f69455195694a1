"""studyforrest on its stored split, through the code path of `mosei.py` and `m3ed.py`.

    python experiments/studyforrest_split.py --preset small

For figures to compare with others use `studyforrest.py`: all five folds of the task of record.
"""

import dataclasses
from pathlib import Path

import tyro
from windows_file import windows_file

from lddu.data import studyforrest
from lddu.runs import experiment, options


@dataclasses.dataclass(frozen=True)
class Args(options.Options):
    """Options.

    Attributes:
      data_dir: Folder with `windows.npz`; `studyforrest` in LDDU_DATA if not given.
    """

    data_dir: Path | None = None
    preset: options.Preset = "small"
    out: Path = Path("runs/studyforrest_split")


def main(args: Args) -> None:
    """Runs the experiment."""
    dataset = studyforrest.load(windows_file(args.data_dir))
    experiment.run(dataset, args, "studyforrest, six emotions, stored split")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
