"""The golden instance: what the authors' PyTorch code computes, and its configuration here."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lddu import config

NAMES = ("vision", "audio", "text")  # the order in which the official code concatenates
SIZES = {
    "model.encoder.hidden": 32,
    "model.encoder.feed_forward": 48,
    "model.encoder.heads": 4,
    "model.encoder.layers": 2,
    "model.latent": 16,
    "model.latent_hidden": (24, 16, 16),
    "model.head_hidden": 16,
    "loss.bank_size": 256,
}


@pytest.fixture(scope="session")
def golden():
    """Arrays by name, the official state dict, and `configure(shapes, labels, **model changes)`.

    `golden/official_lddu_small.npz` holds float64 arrays on a small instance: weights and inputs,
    every intermediate, loss and gradient, and steps of the optimiser. Do not modify.
    """
    with np.load(Path(__file__).parent / "golden" / "official_lddu_small.npz") as file:
        arrays = dict(file)
    shapes = {name: (arrays[f"in/{name}"].shape[-1], 60) for name in NAMES}

    def configure(shapes=shapes, labels="abcdef", **changes):
        changes = {f"model.{name}": value for name, value in changes.items()}
        return config.replace(config.paper(shapes, [*labels]), {**SIZES, **changes})

    return SimpleNamespace(
        arrays=arrays,
        weights={name[2:]: array for name, array in arrays.items() if name.startswith("w/")},
        names=NAMES,
        shapes=shapes,
        config=configure(),
        configure=configure,
    )
