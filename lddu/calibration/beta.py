"""Beta calibration: three numbers per label, for probabilities whose two ends err differently."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.calibration import inputs
from lddu.calibration.logistic import fit_logistic

ArrayLike = jax.typing.ArrayLike


class Beta(NamedTuple):
    """A fitted map, to be used with `apply_beta`.

    Attributes:
      low: (C,), >= 0: coefficient of log p, which rules near p = 0. The a of the paper.
      high: (C,), >= 0: coefficient of -log(1 - p), which rules near p = 1. Its b.
      bias: (C,) added logits. Its c.
    """

    low: Array
    high: Array
    bias: Array


def fit_beta(
    logits: ArrayLike,
    labels: ArrayLike,
    shrinkage: float = 1.0,
    weights: ArrayLike | None = None,
) -> Beta:
    """Fits logit = low * log p - high * log(1 - p) + bias per label, on held-out data.

    Here p = sigmoid(logits). Minimises, deterministically, over low >= 0, high >= 0 and bias

        sum over samples of weight * BCE(low * log p - high * log(1 - p) + bias, labels)
        + shrinkage / 2 * ((low - 1)^2 + (high - 1)^2 + bias^2), for each label.

    Where low = high it is Platt scaling; unlike that, it can bend the two ends apart. It is the
    right family where p follows a beta distribution in each class. The problem is convex and its
    prior is centred on changing nothing, so that the likelihood of the fitted data never gets
    worse, and separable data, one-class labels and a handful of samples have one finite optimum.

    Args:
      logits: (N, C) logits of validation data, finite; from probabilities by
        `lddu.calibration.logit`.
      labels: (N, C) labels in [0, 1], hard or soft.
      shrinkage: > 0, precision of the Gaussian prior.
      weights: (N,) weights of the rows, >= 0; None means 1.

    Returns:
      A `Beta`.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range.

    References:
      Kull, Silva Filho and Flach, "Beta calibration: a well-founded and easily implemented
      improvement on logistic calibration for binary classifiers", AISTATS 2017.
    """
    inputs.positive("shrinkage", shrinkage)
    return _fit(*inputs.fitting_data(logits, labels, weights), shrinkage)


def apply_beta(state: Beta, logits: ArrayLike) -> Array:
    """Calibrates logits: `low * log p - high * log(1 - p) + bias` with p = sigmoid(logits).

    Args:
      state: From `fit_beta`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; the order within a label is never inverted.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, len(state.bias))
    log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return state.low * log_p - state.high * log_q + state.bias


@jax.jit
def _fit(logits: Array, labels: Array, weights: Array, shrinkage: Array) -> Beta:
    center = jnp.array([1.0, 1.0, 0.0], logits.dtype)

    def one(column: tuple[Array, Array]) -> Array:
        x, y = column
        features = [jax.nn.log_sigmoid(x), -jax.nn.log_sigmoid(-x), jnp.ones_like(x)]
        precision = jnp.full_like(center, shrinkage)
        return fit_logistic(jnp.stack(features, axis=1), y, weights, center, precision, 2)

    return Beta(*jax.lax.map(one, (logits.T, labels.T)).T)
