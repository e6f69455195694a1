"""Isotonic regression: any non-decreasing map, per label, for validation sets that are large."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu.calibration import inputs

ArrayLike = jax.typing.ArrayLike


class Isotonic(NamedTuple):
    """A fitted non-decreasing map, to be used with `apply_isotonic`.

    Attributes:
      knots: (K, C) logits at which the map is given, ascending; the last one is repeated where a
        label has fewer than K, a power of two.
      values: (K, C) calibrated logits there.
    """

    knots: Array
    values: Array


def fit_isotonic(
    logits: ArrayLike,
    labels: ArrayLike,
    smoothing: float = 1.0,
    weights: ArrayLike | None = None,
) -> Isotonic:
    """Fits the non-decreasing map of highest likelihood per label, on held-out data, exactly.

    Pool adjacent violators, which gives the least squared error and the highest likelihood alike.
    So that no probability is 0 or 1, `smoothing` pseudo-samples with label 1 stand at the lowest
    logit of a label and as many with label 0 at its highest. With smoothing 1, a block at an end
    has the probability of Laplace's rule with one of its two pseudo-samples, 1 / (n + 1) if all n
    labels of the lowest are 0; a label of one class has the rule itself, (positives + 1) / (N + 2),
    everywhere. All probabilities lie in [s / (S + 2 s), 1 - s / (S + 2 s)] with S the sum of the
    weights. Blocks inside are not smoothed: they hold both classes.

    The sum of negative log-likelihoods of the fitted data gets worse by at most
    smoothing * (softplus(-lowest logit) + softplus(highest logit)), for each label.

    Runs in NumPy, not under `jax.jit`; `apply_isotonic` does.

    Args:
      logits: (N, C) logits of validation data, finite; from probabilities by
        `lddu.calibration.logit`. Equal ones are one point.
      labels: (N, C) labels in [0, 1], hard or soft.
      smoothing: > 0, weight of the pseudo-samples at each end.
      weights: (N,) weights of the rows, >= 0; None means 1.

    Returns:
      An `Isotonic`.

    Raises:
      ValueError: If shapes do not fit or values are NaN, infinite or out of range.

    References:
      Ayer et al., "An Empirical Distribution Function for Sampling with Incomplete Information",
      Annals of Mathematical Statistics, 1955.
      Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
      Estimates", KDD 2002.
    """
    inputs.positive("smoothing", smoothing)
    if inputs.is_traced(logits, labels, weights):
        raise ValueError("fit_isotonic does not run under jax.jit; call it on concrete arrays")
    logits, labels, weights = map(np.asarray, inputs.fitting_data(logits, labels, weights))
    used = weights > 0
    columns = zip(logits[used].T, labels[used].T, strict=True)
    fitted = [_fit_label(x, y, weights[used], smoothing) for x, y in columns]
    # A power of two, so that a map fitted anew seldom needs another compilation.
    size = 1 << (max(len(x) for x, _ in fitted) - 1).bit_length()
    padded = np.array([np.pad(f, ((0, 0), (0, size - f.shape[1])), "edge") for f in fitted])
    return Isotonic(*jnp.asarray(padded.transpose(1, 2, 0), logits.dtype))


def apply_isotonic(state: Isotonic, logits: ArrayLike) -> Array:
    """Calibrates logits: linear interpolation between knots, constant beyond them.

    Interpolation is between logits. Within a block of pooled samples the map is flat.

    Args:
      state: From `fit_isotonic`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; the order within a label is never inverted, but ties arise.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, state.knots.shape[1])
    return jax.vmap(jnp.interp, in_axes=-1, out_axes=-1)(logits, state.knots, state.values)


def pool_adjacent_violators(
    positive: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pools neighbours until the share of positives nowhere decreases.

    Args:
      positive: (N,) weight of positives at each point, in the order that must not decrease.
      negative: (N,) weight of negatives; with `positive` it adds to > 0 at each point.

    Returns:
      Two (N,) arrays: `positive` and `negative`, summed over the block of each point.
    """
    blocks: list[tuple[float, float, int]] = []
    for pos, neg in zip(positive.tolist(), negative.tolist(), strict=True):
        size = 1
        while blocks and blocks[-1][0] * neg >= pos * blocks[-1][1]:
            block = blocks.pop()
            pos, neg, size = pos + block[0], neg + block[1], size + block[2]
        blocks.append((pos, neg, size))
    pos, neg, sizes = zip(*blocks, strict=True)
    return np.repeat(pos, sizes), np.repeat(neg, sizes)


def _fit_label(x: np.ndarray, y: np.ndarray, weights: np.ndarray, smoothing: float) -> np.ndarray:
    """(2, K) knots and values of one label."""
    x, index = np.unique(x, return_inverse=True)
    positive = np.bincount(index, weights * y)
    negative = np.bincount(index, weights * (1 - y))
    positive[0] += smoothing
    negative[-1] += smoothing
    positive, negative = pool_adjacent_violators(positive, negative)
    fitted = np.log(positive) - np.log(negative)
    # Flat stretches need only their two ends.
    changed = np.diff(fitted) > 0
    ends = np.append(True, changed) | np.append(changed, True)
    return np.stack([x[ends], fitted[ends]])
