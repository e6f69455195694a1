"""Matrix scaling: the calibrated logit of a label may draw on the logits of all labels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.calibration import inputs
from lddu.calibration.logistic import fit_logistic
from lddu.names import named

ArrayLike = jax.typing.ArrayLike


class Matrix(NamedTuple):
    """A fitted linear map, to be used with `apply_matrix`.

    Attributes:
      weight: (C, C) coefficients; row c gives the calibrated logit of label c from the logits of
        all labels.
      bias: (C,) added logits.
    """

    weight: Array
    bias: Array


@named(returns="state")
def fit_matrix(
    logits: ArrayLike,
    labels: ArrayLike,
    shrinkage: float = 1.0,
    off_diagonal: float = 10.0,
    weights: ArrayLike | None = None,
) -> Matrix:
    """Fits calibrated logits = weight @ logits + bias, shrunk to the identity, on held-out data.

    Minimises, deterministically,

        sum over known labels of row weight * BCE(weight @ logits + bias, labels)
        + shrinkage / 2 * (sum over the diagonal of (weight_cc - 1)^2 + sum of bias_c^2)
        + off_diagonal / 2 * sum over c != k of weight_ck^2

    The off-diagonal penalty follows ODIR (Kull et al. 2019), there for a softmax. With independent
    sigmoids each row is a logistic regression. It makes use of labels that imply or exclude each
    other, so that it also changes which samples rank first within a label; with C (C + 1)
    parameters it needs many samples. The problem is convex and its prior is centred on the
    identity, so that the likelihood of the fitted data never gets worse, and separable data,
    one-class labels and a handful of samples have one finite optimum. As `off_diagonal` grows it
    becomes `fit_platt` per label (without the bound on the slope).

    Args:
      logits: (N, C) finite logits of validation data; `lddu.calibration.logit` makes them from
        probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.
      shrinkage: Precision of the Gaussian prior on diagonal and bias, > 0.
      off_diagonal: Precision of the Gaussian prior on the contributions of other labels, > 0.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      A `Matrix`; a label without a known entry keeps its logit, a row of the identity and bias 0,
      and others draw on it all the same.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range, or no label is known.

    References:
      Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
      Kull et al., "Beyond temperature scaling: Obtaining well-calibrated multi-class probabilities
      with Dirichlet calibration", NeurIPS 2019.
    """
    inputs.positive("shrinkage", shrinkage)
    inputs.positive("off_diagonal", off_diagonal)
    return _fit(*inputs.fitting_data(logits, labels, weights), shrinkage, off_diagonal)


@named(returns="entries")
def apply_matrix(state: Matrix, logits: ArrayLike) -> Array:
    """Calibrates logits: `weight @ logits + bias` for each sample.

    Args:
      state: Map from `fit_matrix`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; unlike with other calibrators, the order within a label may
      change.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, len(state.bias))
    product = jnp.matmul(logits, state.weight.T, precision=jax.lax.Precision.HIGHEST)
    return product + state.bias


@jax.jit
def _fit(
    logits: Array, labels: Array, weights: Array, shrinkage: Array, off_diagonal: Array
) -> Matrix:
    features = jnp.concatenate([logits, jnp.ones_like(logits[:, :1])], axis=1)
    width = logits.shape[1]

    def one(column: tuple[Array, Array, Array]) -> Array:
        y, w, center = column
        precision = jnp.full_like(center, shrinkage)
        precision = jnp.where(center == 0, off_diagonal, precision).at[width].set(shrinkage)
        return fit_logistic(features, y, w, center, precision)

    identity = jnp.eye(width, width + 1, dtype=logits.dtype)
    fitted = jax.lax.map(one, (labels.T, weights.T, identity))
    return Matrix(fitted[:, :width], fitted[:, width])
