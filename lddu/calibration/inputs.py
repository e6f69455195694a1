"""Checks of what every calibrator takes: logits, labels in [0, 1], and row weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu.metrics import checks
from lddu.metrics.calibration import CLIP
from lddu.names import named

ArrayLike = jax.typing.ArrayLike

LIMIT = 1e4  # largest logit that `fit_logistic` takes; larger ones are fill values or a mistake


@named(returns="entries")
def logit(probs: ArrayLike, clip: float = CLIP) -> Array:
    """Returns log-odds log(p / (1 - p)), for models that give probabilities rather than logits.

    Args:
      probs: Probabilities of any shape.
      clip: Bound of the probabilities, which are clipped to [clip, 1 - clip], so that 0 and 1 get
        finite log-odds: +-16.1 by default, as in `lddu.metrics.nll`.

    Returns:
      Logits of the same shape.

    Raises:
      ValueError: If `clip` is not in (0, 1/2) or (outside of `jax.jit`) probabilities are NaN or
        outside of [0, 1].

    Example:
      >>> from lddu import calibration
      >>> [round(float(x), 3) for x in calibration.logit([0.5, 0.9, 0.0])]
      [0.0, 2.197, -16.118]
    """
    if not 0 < clip < 0.5:
        raise ValueError(f"clip={clip} must lie strictly between 0 and 1/2")
    if not is_traced(probs):
        checks.unit_interval("probs", probs)
    probs = jnp.clip(jnp.asarray(probs, float), clip, 1 - clip)
    return jnp.log(probs) - jnp.log1p(-probs)


def is_traced(*arrays: ArrayLike) -> bool:
    """Returns whether any array is traced by `jax.jit`, so that only its shape can be checked."""
    return any(isinstance(x, jax.core.Tracer) for x in arrays)


def fitting_data(
    logits: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    limit: float = LIMIT,
) -> tuple[Array, Array, Array]:
    """Returns checked data to fit a calibrator on, in the default float type.

    Args:
      logits: (N, C) finite logits.
      labels: (N, C) labels in [0, 1].
      weights: (N,) weights of the rows, >= 0 and not all 0; None weights all rows equally.
      limit: Largest absolute logit allowed.

    Returns:
      `logits`, `labels` and `weights`.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range.
    """
    checks.same_shape(logits=logits, labels=labels)
    rows = jnp.shape(logits)[0]
    weights = jnp.ones(rows) if weights is None else weights
    if jnp.shape(weights) != (rows,):
        raise ValueError(
            f"weights has shape {jnp.shape(weights)}, must be one weight per row, ({rows},)"
        )
    if not is_traced(labels):
        checks.unit_interval("labels", labels)
    logits, labels, weights = (jnp.asarray(x, float) for x in (logits, labels, weights))
    if not is_traced(logits):
        largest = np.abs(checks.finite("logits", logits)).max()
        if largest > limit:
            raise ValueError(
                f"logits {logits.shape} reach {largest:.4g} in absolute value, beyond {limit:.4g}: "
                "these cannot be log-odds; clip them or drop fill values"
            )
    if not is_traced(weights):
        values = checks.finite("weights", weights)
        if values.min() < 0 or values.max() == 0:
            raise ValueError(
                f"weights {values.shape} ranges over [{values.min():.4g}, {values.max():.4g}], "
                "must be >= 0 and not all 0"
            )
    return logits, labels, weights


def positive(name: str, value: ArrayLike) -> None:
    """Raises unless a scalar is finite and above 0, or traced by `jax.jit`.

    Raises:
      ValueError: If it is not.
    """
    if not is_traced(value) and not 0 < value < math.inf:
        raise ValueError(
            f"{name}={value} must be finite and > 0: without it, separable data or a label with "
            "one class has no finite optimum; a small value such as 1e-3 comes close"
        )


def fitted_labels(logits: ArrayLike, labels: int) -> Array:
    """Returns the logits as an array, whose last axis must be the labels that were fitted.

    Raises:
      ValueError: If that axis has another length.
    """
    logits = jnp.asarray(logits)
    if logits.shape[-1:] != (labels,):
        raise ValueError(
            f"logits has shape {logits.shape}, but the calibrator was fitted on {labels} labels; "
            "the last axis must be the labels"
        )
    return logits
