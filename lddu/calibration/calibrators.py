"""All calibrators behind one interface: `CALIBRATORS` fits by name, `apply` applies any state."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array

from lddu.calibration import inputs
from lddu.calibration.beta import Beta, apply_beta, fit_beta
from lddu.calibration.isotonic import Isotonic, apply_isotonic, fit_isotonic
from lddu.calibration.matrix import Matrix, apply_matrix, fit_matrix
from lddu.calibration.platt import Platt, apply_platt, fit_platt
from lddu.calibration.scaling import Temperature, apply_temperature, fit_temperature
from lddu.names import named

ArrayLike = jax.typing.ArrayLike


class Identity(NamedTuple):
    """The calibrator that leaves logits as they are."""


Calibrator = Identity | Temperature | Platt | Beta | Isotonic | Matrix


@named(returns="state")
def fit_identity(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Identity:
    """Checks its arguments like every other fit and returns the `Identity`.

    Args:
      logits: (N, C) finite logits.
      labels: (N, C) labels in [0, 1]; NaN where unknown.
      weights: (N,) weights of the rows, >= 0.

    Returns:
      The `Identity`.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range, or no label is known.
    """
    inputs.fitting_data(logits, labels, weights)
    return Identity()


CALIBRATORS: dict[str, Callable[..., Calibrator]] = {
    "none": fit_identity,
    "temperature": functools.partial(fit_temperature, shrinkage=1.0),
    "platt": fit_platt,
    "temperature_per_label": functools.partial(fit_temperature, per_label=True, shrinkage=1.0),
    "vector": functools.partial(fit_platt, per_label=True),
    "beta": fit_beta,
    "isotonic": fit_isotonic,
    "matrix": fit_matrix,
}
"""Name -> `fit(logits, labels, weights=None) -> Calibrator`, the simplest first.

Each has a prior worth about one observation, or a pseudo-sample at each end, so that any data have
a defined result. "vector" is Platt scaling per label: with a sigmoid per label, vector scaling (Guo
et al. 2017) reduces to it.
"""

APPLY: dict[type, Callable[..., Array]] = {
    Identity: lambda state, logits: jax.numpy.asarray(logits),
    Temperature: apply_temperature,
    Platt: apply_platt,
    Beta: apply_beta,
    Isotonic: apply_isotonic,
    Matrix: apply_matrix,
}
"""Type of the fitted state -> `apply(state, logits) -> logits`."""


@named(returns="entries")
def apply(state: Calibrator, logits: ArrayLike) -> Array:
    """Calibrates logits with any fitted calibrator.

    Works under `jax.jit` with `state` as an argument: every state is a pytree of arrays.

    Args:
      state: Result of any fit function of this package.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; their sigmoid is the calibrated probability.

    Raises:
      ValueError: If `state` is not a calibrator, or C differs from the number of labels fitted.

    Example:
      >>> import numpy as np
      >>> from lddu import calibration
      >>> state = calibration.Temperature(temperature=2.0, anchor=np.zeros(2))
      >>> calibration.apply(state, [[4.0, -1.0]]).tolist()
      [[2.0, -0.5]]
    """
    if type(state) not in APPLY:
        known = ", ".join(kind.__name__ for kind in APPLY)
        raise ValueError(f"state is a {type(state).__name__}, must be one of {known}")
    return APPLY[type(state)](state, logits)
