"""Platt scaling: a slope and a bias, shared by all labels or one pair per label."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.calibration import inputs
from lddu.calibration.logistic import fit_logistic
from lddu.names import named

ArrayLike = jax.typing.ArrayLike


class Platt(NamedTuple):
    """A fitted scaling, to be used with `apply_platt`.

    Attributes:
      slope: (C,) factors of the logits, >= 0; all equal if shared.
      bias: (C,) added logits; all equal if shared.
    """

    slope: Array
    bias: Array


@named(returns="state")
def fit_platt(
    logits: ArrayLike,
    labels: ArrayLike,
    per_label: bool = False,
    shrinkage: float = 1.0,
    weights: ArrayLike | None = None,
) -> Platt:
    """Fits p = sigmoid(slope * logit + bias) by penalised maximum likelihood on held-out data.

    Minimises, deterministically, over slope >= 0 and bias

        sum over known labels of weight * BCE(slope * logits + bias, labels)
        + shrinkage / 2 * ((slope - 1)^2 + bias^2), summed over the pairs fitted.

    The problem is convex and its prior is centred on the identity. So the likelihood of the fitted
    data never gets worse, and separable data, one-class labels and a handful of samples have one
    finite optimum. Platt's smoothed targets would give one too, but a slope of 0 for a label of one
    class. The bound prevents a reversed ranking where a model happens to rank backwards.

    With `per_label` this is also vector scaling (Guo et al. 2017), a diagonal matrix and a bias:
    where each label has a sigmoid of its own, that is Platt scaling of every label.

    Args:
      logits: (N, C) finite logits of validation data; `lddu.calibration.logit` makes them from
        probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.
      per_label: Whether each label gets a pair of its own; otherwise all share one. Static under
        `jax.jit`.
      shrinkage: Precision of the Gaussian prior on slope - 1 and bias, > 0. An observation has
        information p (1 - p) about the bias, and logit^2 times that about the slope.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      A `Platt`; with `per_label`, a label without a known entry has the identity, slope 1 and
      bias 0.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range, or no label is known.

    References:
      Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized
      Likelihood Methods", Advances in Large Margin Classifiers, 1999.
      Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Example:
      >>> import numpy as np
      >>> from lddu import calibration
      >>> state = calibration.fit_platt(np.zeros((100, 1)), np.arange(100)[:, None] < 75)
      >>> round(float(1 / (1 + np.exp(-calibration.apply(state, [[0.0]])[0, 0]))), 2)
      0.74
    """
    inputs.positive("shrinkage", shrinkage)
    return _fit(*inputs.fitting_data(logits, labels, weights), shrinkage, per_label)


@named(returns="entries")
def apply_platt(state: Platt, logits: ArrayLike) -> Array:
    """Calibrates logits: `slope * logits + bias`.

    Args:
      state: Scaling from `fit_platt`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; the order within a label is never inverted.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, len(state.slope))
    return state.slope * logits + state.bias


@functools.partial(jax.jit, static_argnames="per_label")
def _fit(logits: Array, labels: Array, weights: Array, shrinkage: Array, per_label: bool) -> Platt:
    width = logits.shape[1]
    if not per_label:
        logits, labels, weights = (x.reshape(-1, 1) for x in (logits, labels, weights))
    center = jnp.array([1.0, 0.0], logits.dtype)

    def one(column: tuple[Array, Array, Array]) -> Array:
        x, y, w = column
        features = jnp.stack([x, jnp.ones_like(x)], axis=1)
        return fit_logistic(features, y, w, center, jnp.full_like(center, shrinkage), 1)

    fitted = jax.lax.map(one, (logits.T, labels.T, weights.T))
    return Platt(*jnp.broadcast_to(fitted.T, (2, width)))
