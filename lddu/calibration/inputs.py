"""Checks of what every fit takes: logits or probabilities, labels in [0, 1], and row weights.

A label that nobody knows is NaN. Each entry (row, label) has a weight: that of the row, or 0 where
the label is unknown, so that an unknown label counts as little as a row of weight 0.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu import callers
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
    if is_traced(probs):
        probs = jnp.clip(jnp.asarray(probs, float), clip, 1 - clip)
        return jnp.log(probs) - jnp.log1p(-probs)
    # In float64, because 1 - p loses its digits near p = 1 in float32.
    probs = np.clip(checks.unit_interval("probs", probs), clip, 1 - clip)
    return jnp.asarray(np.log(probs) - np.log1p(-probs), float)


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
      labels: (N, C) labels in [0, 1]; NaN where unknown.
      weights: (N,) weights of the rows, >= 0 and not all 0; None weights all rows equally.
      limit: Largest absolute logit allowed.

    Returns:
      `logits`, `labels` with 0 in place of NaN, and the (N, C) weights of their entries: that of
      the row, 0 where the label is unknown.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range, or no label is known.

    Warns:
      UnknownLabelWarning: If (outside of `jax.jit`) a label has no known entry.
    """
    checks.same_shape(logits=logits, labels=labels)
    weights = _row_weights(weights, jnp.shape(logits)[0])
    if not is_traced(labels):
        checks.unit_interval("labels", checks.known_entries(labels)[0])
    if not is_traced(logits):
        largest = np.abs(checks.finite("logits", logits)).max()
        if largest > limit:
            raise ValueError(
                f"logits {np.shape(logits)} reach {largest:.4g} in absolute value, beyond "
                f"{limit:.4g}: these cannot be log-odds; clip them or drop fill values"
            )
    logits, labels, weights = (jnp.asarray(x, float) for x in (logits, labels, weights))
    known = ~jnp.isnan(labels)
    entries = known * weights[:, None]
    if not is_traced(entries):
        check_known(entries)
    return logits, jnp.where(known, labels, 0.0), entries


def scored_data(
    probs: ArrayLike, labels: ArrayLike, weights: ArrayLike | None, per_label: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns checked probabilities, labels and weights of entries, in float64.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1]; NaN where unknown.
      weights: (N,) weights of the rows, >= 0 and not all 0; None weights all rows equally.
      per_label: Whether to warn of a label without a known entry.

    Returns:
      `probs`, and labels and weights as from `fitting_data`, all (N, C).

    Raises:
      ValueError: If shapes do not fit, values are out of range, or no label is known.

    Warns:
      UnknownLabelWarning: If `per_label` and a label has no known entry.
    """
    checks.same_shape(probs=probs, labels=labels)
    labels, entries = checks.known_entries(labels, weights)
    probs, labels = checks.unit_interval("probs", probs), checks.unit_interval("labels", labels)
    check_known(entries, per_label)
    return probs, labels, entries


def check_known(entries: ArrayLike, per_label: bool = True) -> None:
    """Raises unless some label is known, and warns of labels without any known entry.

    Args:
      entries: (N, C) weights of entries, 0 where a label is unknown.
      per_label: Whether to warn.

    Raises:
      ValueError: If all are 0.

    Warns:
      UnknownLabelWarning: If `per_label` and a column is 0.
    """
    known = np.any(np.asarray(entries) > 0, axis=0)
    if not known.any():
        raise ValueError(
            f"labels {np.shape(entries)} are all unknown (NaN, or in rows of weight 0), so that "
            "nothing can be fitted; give rows with known labels"
        )
    if per_label and not known.all():
        columns = ", ".join(map(str, np.flatnonzero(~known)))
        warnings.warn(
            f"labels {np.shape(entries)} have no known entry in column {columns}: nothing is "
            "fitted for these labels on their own",
            checks.UnknownLabelWarning,
            stacklevel=callers.level(),
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps fits from giving an `UnknownLabelWarning`, where one was given for all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", checks.UnknownLabelWarning)
        yield


def _row_weights(weights: ArrayLike | None, rows: int) -> ArrayLike:
    """Returns `checks.row_weights`, or traced weights after a look at their shape."""
    if not is_traced(weights):
        return checks.row_weights(weights, rows)
    if jnp.shape(weights) != (rows,):
        raise ValueError(
            f"weights has shape {jnp.shape(weights)}, must be one weight per row, ({rows},)"
        )
    return weights


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
