"""A batch of one's own, made to fit a model where it can be."""

from typing import Literal

import numpy as np

from lddu.config import ModalityConfig, ModelConfig
from lddu.data.label_names import in_order
from lddu.data.samples import TooLong
from lddu.data.sequences import pad
from lddu.metrics import checks
from lddu.structs import Batch, Modality

Missing = Literal["error", "allow"]


def adapt(
    batch: Batch, config: ModelConfig, *, missing: Missing = "error", too_long: TooLong = "error"
) -> Batch:
    """Returns a batch that fits a model where it differs in ways that one may allow.

    Labels with names are brought into the order of the model. All else that does not fit is left
    for `check_batch` to say, which every function that takes a batch calls.

    Args:
      batch: NumPy or JAX arrays.
      config: Configuration of the model, such as `predictor.config.model`.
      missing: What becomes of a modality that the batch does not have: "error" leaves it to
        `check_batch`, "allow" adds it as absent from every sample.
      too_long: What becomes of sequences with more steps than the model accepts: "error" leaves
        them to `check_batch`, "cut" keeps their first steps, and "pool" takes the means of as many
        nearly equal parts as there may be steps.

    Returns:
      A `Batch`.

    Raises:
      ValueError: If its labels have other names than the model's; with "allow", if it has none of
        the model's modalities; or if an option is unknown.

    Example:
      >>> import numpy as np
      >>> from lddu import config
      >>> from lddu.data import adapt, from_sequences
      >>> model = config.tiny({"text": (1, 2), "audio": (3, 5)}, ["joy"]).model
      >>> batch = from_sequences({"text": [np.array([[1.0], [3.0], [5.0], [7.0]])]})
      >>> batch = adapt(batch, model, missing="allow", too_long="pool")
      >>> batch.modalities["text"].values.tolist(), batch.present["audio"].tolist()
      ([[[2.0], [6.0]]], [False])
    """
    checks.choice("missing", missing, Missing)
    checks.choice("too_long", too_long, TooLong)
    batch = in_order(batch, config.labels)
    modalities, present = dict(batch.modalities), dict(batch.present)
    absent = [m for m in config.modalities if m.name not in modalities]
    if missing == "allow" and absent:
        if len(absent) == len(config.modalities):
            raise ValueError(
                f"batch has none of the model's modalities: it has {sorted(modalities)}, the model "
                f"{list(config.modality_names)}"
            )
        for m in absent:
            nothing = np.zeros((batch.size, 1, m.features), np.float32)
            modalities[m.name] = Modality(nothing, np.zeros((batch.size, 1), bool))
            present[m.name] = np.zeros(batch.size, bool)
    if too_long != "error":
        for m in config.modalities:
            if m.name in modalities:
                modalities[m.name] = _shortened(modalities[m.name], m, too_long)
    return batch.replace(modalities=modalities, present=present)


def _shortened(modality: Modality, config: ModalityConfig, too_long: TooLong) -> Modality:
    """Returns a modality with at most as many steps as the model accepts."""
    values, mask = np.asarray(modality.values), np.asarray(modality.mask)
    fits = values.ndim == 3 and values.shape[1] <= config.length
    if fits or values.ndim != 3 or mask.shape != values.shape[:2]:
        return modality  # as it is, or for `check_batch` to say
    rows = [row[real] for row, real in zip(values, mask, strict=True)]
    return pad(rows, features=values.shape[2], length=config.length, too_long=too_long)
