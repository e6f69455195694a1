"""`mosei_senti_data_noalign.pkl` of MulT (Tsai et al., ACL 2019): no emotion labels in it.

Baselines take the labels by row order from TAILOR's `train_valid_test.pt`. If the file has ids of
(video, start, end), its rows can be looked up by their time in the video instead.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lddu.data.card import Findings
from lddu.data.mosei.readers import multibench
from lddu.data.mosei.readers.rows import Rows

_COMPARED = 200  # rows of a split whose first words are compared
_FEW = 0.5  # a smaller share of equal first words is doubtful


def read(split: Mapping[str, Any], where: str, findings: Findings) -> Rows:
    """Reads a split like MultiBench's, except that the data have to tell where padding is.

    Args:
      split: The content of one split.
      where: File and split, which errors and findings name.
      findings: Collects intensities that had to be clamped.

    Raises:
      ValueError: If a key is missing or has another form.
    """
    return replace(multibench.read(split, where, findings), padded=None)


def by_row_order(
    rows: Mapping[str, Rows], labelled: Mapping[str, Rows], findings: Findings
) -> dict[str, np.ndarray]:
    """Takes the labels of TAILOR's file for the rows of MulT's, which are in the same order.

    If both files have GloVe vectors, the first words of a row must be alike; if most are not, the
    card says so.

    Args:
      rows: Split -> MulT's rows.
      labelled: Split -> TAILOR's rows.
      findings: Collects the warning.

    Returns:
      Split -> (N, 6) zeros and ones.

    Raises:
      ValueError: If the files differ in their numbers of rows.
    """
    counts = {split: (part.size, labelled[split].size) for split, part in rows.items()}
    if any(a != b for a, b in counts.values()):
        listed = ", ".join(f"{split} {a} and {b}" for split, (a, b) in counts.items())
        raise ValueError(
            f"{rows['train'].where.rpartition(' ')[0]} and "
            f"{labelled['train'].where.rpartition(' ')[0]} differ in their numbers of rows: "
            f"{listed}; labels by row order need the same numbers"
        )
    for split, part in rows.items():
        equal = _first_words_equal(part, labelled[split])
        if equal is not None and equal < _FEW:
            findings.warn(
                f"{part.where}: the labels come by row order, but only {equal:.0%} of the rows "
                f"begin with the same word vector as in {labelled[split].where}"
            )
    return {split: labelled[split].emotions for split in rows}


def _first_words_equal(a: Rows, b: Rows) -> float | None:
    """Returns the share of equal first words in some rows; None if the widths of vectors differ."""
    chosen = np.unique(np.linspace(0, a.size - 1, min(a.size, _COMPARED)).astype(int))
    pairs = [[_first(rows.modalities["text"][i]) for rows in (a, b)] for i in chosen]
    if pairs[0][0].shape != pairs[0][1].shape:
        return None
    return float(np.mean([np.allclose(x, y, atol=1e-4) for x, y in pairs]))


def _first(sequence: Any) -> np.ndarray:
    """Returns the first step that is not zero."""
    array = np.asarray(sequence, np.float64)
    filled = (array != 0).any(1)
    return array[filled.argmax()] if filled.any() else np.zeros(array.shape[1])
