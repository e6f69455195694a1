"""Calibration of the variance: large spread where the error is large."""

import jax
import jax.numpy as jnp
from jax import Array


def spread_calibration(spread: Array, error: Array, where: Array | None = None) -> Array:
    """Symmetric KL between two softmaxes over the batch: of the spread and of the error.

    Both softmaxes run over the same axis, the batch, so that the loss compares samples with each
    other within a label. No gradient flows into the error.

    Args:
      spread: (B, C) predicted spread, for example a standard deviation.
      error: (B, C) absolute error of the prediction.
      where: (B,) or (B, C) bool, rows that count; None for all.

    Returns:
      (C,) losses in nats, non-negative, 0 where spread and error differ by a constant.

    References:
      Tellamekala et al., "COLD Fusion", arXiv:2206.05833, section 3.3.
    """
    if where is None:
        where = jnp.ones(spread.shape, bool)
    where = jnp.broadcast_to(where if where.ndim == 2 else where[:, None], spread.shape)
    log_p = _masked_log_softmax(spread, where)
    log_q = _masked_log_softmax(jax.lax.stop_gradient(error), where)
    # KL(p || q) + KL(q || p) in one product.
    terms = (jnp.exp(log_p) - jnp.exp(log_q)) * (log_p - log_q)
    return jnp.where(where, terms, 0.0).sum(0)


def _masked_log_softmax(x: Array, where: Array) -> Array:
    x = jnp.asarray(x)
    x = jnp.where(where, x, jnp.finfo(x.dtype).min)
    return jnp.where(where, jax.nn.log_softmax(x, axis=0), 0.0)


def official_spread(spread: Array, direct_logits: Array, where: Array | None = None) -> Array:
    """The official LDDU's calibration loss, for comparison with the paper.

    It ties the spread to the predicted probability, not to the error, and its two softmaxes run
    over different axes: over all entries for the spread, over the labels of each sample for the
    probability.

    Args:
      spread: (B, C) norm of the concatenated standard deviations of all modalities.
      direct_logits: (B, C) log-odds of the direct probability.
      where: (B,) bool, rows that count; None for all.

    Returns:
      () [KL(c || v) + KL(v || c)] / (2 B C).

    References:
      Huang et al., arXiv:2502.13954, as their code computes it.
    """
    if where is None:
        where = jnp.ones(spread.shape[0], bool)
    where = jnp.broadcast_to(where[:, None], spread.shape)
    log_v = _masked_log_softmax(spread.ravel(), where.ravel()).reshape(spread.shape)
    log_c = jax.nn.log_softmax(jax.nn.sigmoid(jnp.where(where, direct_logits, 0.0)), axis=-1)
    terms = (jnp.exp(log_c) - jnp.exp(log_v)) * (log_c - log_v)
    return jnp.where(where, terms, 0.0).sum() / (2 * jnp.maximum(where.sum(), 1))
