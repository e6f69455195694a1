"""Fitted calibrators as JSON values."""

import reprlib
from typing import Any, TypedDict

import jax.numpy as jnp
import numpy as np

from lddu.calibration.calibrators import APPLY, Calibrator, apply

_TYPES = {kind.__name__: kind for kind in APPLY}
_PROBES = (-30.0, -1.0, 0.0, 1.0, 30.0)  # logits that every calibrator maps to finite ones


class State(TypedDict):
    """The JSON values of a calibrator.

    Attributes:
      type: Name of its class.
      state: Its fields.
    """

    type: str
    state: dict[str, np.ndarray]


def to_json(state: Calibrator) -> dict[str, Any]:
    """Returns a fitted calibrator as JSON values.

    Raises:
      ValueError: If it is not one of `lddu.calibration`.
    """
    if type(state) not in APPLY:
        raise ValueError(
            f"calibrator is a {type(state).__name__}, must be one of {', '.join(_TYPES)}"
        )
    values = {name: np.asarray(x).tolist() for name, x in state._asdict().items()}
    return {"type": type(state).__name__, "state": values}


def from_json(saved: State, labels: int) -> Calibrator:
    """Returns the calibrator that `to_json` made JSON values of.

    Args:
      saved: The values, of the type `State`.
      labels: Number of labels that it must fit.

    Raises:
      ValueError: If the values are not those of a calibrator for so many labels; names the field.
    """
    kind = _TYPES.get(saved["type"])
    if kind is None:
        found = reprlib.repr(saved["type"])
        raise ValueError(f"calibrator.type is {found}, expected one of {', '.join(_TYPES)}")
    values = saved["state"]
    if set(values) != set(kind._fields):
        raise ValueError(
            f"calibrator.state holds {reprlib.repr(sorted(values))}; a {kind.__name__} has "
            f"{sorted(kind._fields)}"
        )
    with np.errstate(over="ignore"):  # infinite then, which is refused
        state = kind(**{name: jnp.asarray(x, float) for name, x in values.items()})
    for name, x in state._asdict().items():
        if not np.isfinite(x).all():
            raise ValueError(f"calibrator.state.{name} is not finite in float32")
        if not x.size or (x.ndim and x.shape[-1] != labels):
            raise ValueError(
                f"calibrator.state.{name} has shape {x.shape}, but there are {labels} labels"
            )
    logits = np.tile(np.float32(_PROBES)[:, None], labels)
    try:
        mapped = np.asarray(apply(state, logits))
    except Exception as error:  # JAX raises many kinds
        raise ValueError(f"calibrator.state does not fit a {kind.__name__}: {error}") from error
    if mapped.shape != logits.shape or not np.isfinite(mapped).all():
        raise ValueError(f"calibrator.state is of a {kind.__name__} that maps logits to no others")
    return state
