"""What every export format holds: the prediction as a function of arrays, and its description."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lddu.calibration import apply
from lddu.config import ModelConfig
from lddu.predictor import Predictor
from lddu.predictor.combination import combined_fields
from lddu.predictor.network import Outputs, compiled_forward
from lddu.structs import Batch, Modality
from lddu.version import __version__

OPTIONAL = ("logit_var", "logit_disagreement", "weights")  # outputs of some fusions only


def prediction(predictor: Predictor) -> Callable[..., dict[str, jax.Array]]:
    """Returns what `Predictor.predict` computes as a function of arrays.

    Args:
      predictor: A trained predictor; its parameters, normalisation, calibrator and thresholds are
        constants of the function.

    Returns:
      run(values, mask, present) -> outputs; each argument maps modality names to arrays.
    """
    network, names = predictor.network, predictor.config.model.modality_names

    def run(values, mask, present):
        batch = Batch({name: Modality(values[name], mask[name]) for name in names}, present)
        forward = compiled_forward(network.config, network.execution)
        members = forward(network.params, network.normalizer, batch, {})
        seen = batch.observed(names).any(-1)
        return outputs(predictor, members, seen, lambda x: apply(predictor.calibrator, x))

    return run


def outputs(
    predictor: Predictor,
    members: Outputs,
    seen: jax.Array,
    calibrate: Callable[[jax.Array], jax.Array],
) -> dict[str, jax.Array]:
    """Computes the outputs of an exported model.

    Args:
      predictor: The predictor, for its thresholds.
      members: Outputs of the forward pass.
      seen: (B,) bool, True where a sample has any input.
      calibrate: Maps logits (..., B, C) to calibrated ones.
    """
    fields = combined_fields(members.logits, seen, calibrate)
    named = {name: fields[name] for name in ("probs", "aleatoric", "epistemic")}
    named["decisions"] = named["probs"] >= float32_thresholds(predictor.thresholds)
    optional = {name: getattr(members.rest, name) for name in OPTIONAL}
    return named | {name: x for name, x in optional.items() if x is not None}


def float32_thresholds(thresholds: np.ndarray) -> np.ndarray:
    """Returns the smallest float32 numbers not below the thresholds, which decide the same."""
    exact = np.asarray(thresholds, np.float64)
    near = exact.astype(np.float32)
    return np.where(near < exact, np.nextafter(near, np.float32(np.inf)), near)


def open_sizes(
    config: ModelConfig, scope: jax.export.SymbolicScope | None = None
) -> tuple[Any, list[Any]]:
    """Returns symbols for the number of rows and for the length of each modality.

    Args:
      config: The configuration of the model, which limits the lengths.
      scope: Where the symbols live; None makes a new scope.
    """
    symbols = ", ".join(["batch", *(f"time_{i}" for i in range(len(config.modalities)))])
    if scope is not None:
        batch, *times = jax.export.symbolic_shape(symbols, scope=scope)
    else:
        constraints = limits(config)
        batch, *times = jax.export.symbolic_shape(symbols, constraints=constraints)
    return batch, times


def limits(config: ModelConfig) -> list[str]:
    """Returns the constraints on the symbols: no length exceeds the configured one."""
    return [f"time_{i} <= {m.length}" for i, m in enumerate(config.modalities)]


def describe(predictor: Predictor, platforms: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the description that an exported file carries, as JSON values."""
    config = predictor.config.model
    described = {
        "labels": list(config.labels),
        "modalities": [
            {"name": m.name, "features": m.features, "length": m.length} for m in config.modalities
        ],
        "thresholds": np.asarray(predictor.thresholds, float).tolist(),
        "members": predictor.network.size,
        "lddu": __version__,
        "jax": jax.__version__,
    }
    return described | ({"platforms": list(platforms)} if platforms else {})


def array(shape: tuple, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """Returns the specification of an input array."""
    return jax.ShapeDtypeStruct(shape, dtype)
