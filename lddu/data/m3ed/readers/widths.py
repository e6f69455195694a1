"""Modalities are told apart by the width of their features, since files swap their names."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# RoBERTa sentence vectors; wav2vec 2.0, or openSMILE's IS10; DenseFace.
_MODALITY = {768: "text", 1024: "audio", 1582: "audio", 342: "vision"}
MODALITIES = ("text", "audio", "vision")


def by_width(widths: Mapping[Any, int], where: str) -> dict[str, Any]:
    """Finds out which key holds which modality.

    Args:
      widths: Key -> width of its features.
      where: The file, which errors name.

    Returns:
      Modality -> key.

    Raises:
      ValueError: If the widths do not tell the three modalities apart.
    """
    keys = {_MODALITY.get(width): key for key, width in widths.items()}
    if set(keys) != set(MODALITIES) or len(widths) != len(MODALITIES):
        listed = ", ".join(f"{key}: {width}" for key, width in widths.items())
        raise ValueError(
            f"{where}: widths {listed} do not tell text, audio and vision apart; expected text "
            "768, audio 1024 (wav2vec) or 1582 (IS10), vision 342"
        )
    return {name: keys[name] for name in MODALITIES}


def matrix(value: Any, where: str) -> np.ndarray:
    """Returns a value of a file as a (steps, features) array of numbers.

    Raises:
      ValueError: If it is not such an array.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.shape[1] == 0:
        raise ValueError(
            f"{where}: {array.dtype} {array.shape}, expected numbers (utterances, features)"
        )
    return array
