"""Data sets as named on a command line."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lddu.config import ModelConfig
    from lddu.data.dataset import Dataset
    from lddu.data.tables.rows import Rows

ALL = "all"


def load(path: Path) -> "Dataset":
    """Loads a data set in the open format, in its three splits."""
    from lddu.data import load_table

    return load_table(path)


def read(path: Path, split: str, model: "ModelConfig", labelled: bool = False) -> "Rows":
    """Reads samples in the open format for a trained model.

    Args:
      path: Folder or table.
      split: The split to read, or "all".
      model: The configuration of the model.
      labelled: Whether labels are needed.

    Raises:
      ValueError: If the samples do not fit, or have no labels where they are needed.
    """
    from lddu.data import adapt
    from lddu.data.tables.rows import read_rows

    shapes = {m.name: (m.features, m.length) for m in model.modalities}
    rows = read_rows(path, shapes, model.labels, None if split == ALL else split)
    if labelled and rows.batch.labels is None:
        raise ValueError(f"{path} has no labels {', '.join(model.labels)}, which are needed here")
    return rows._replace(batch=adapt(rows.batch, model, missing="allow"))
