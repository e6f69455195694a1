"""Run folders and saved predictors, as named on a command line."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lddu.predictor import Predictor


def load_predictor(folder: Path) -> "Predictor":
    """Reads the predictor of a run folder, or of a folder that `Predictor.save` wrote.

    Raises:
      FileNotFoundError: If there is none.
      ValueError: If its files are damaged.
    """
    from lddu.predictor import Predictor

    inner = folder / "predictor"
    return Predictor.load(inner if (inner / "predictor.json").exists() else folder)
