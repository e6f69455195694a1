"""The loss that calibrates the spread: it should be large where the error is large."""

import chex
import jax
import jax.numpy as jnp
from jax import Array

from lddu.nn.softmax import masked_log_softmax


def spread_calibration(spread: Array, error: Array, weights: Array | None = None) -> Array:
    """Computes the symmetric KL between softmaxes over the batch of the spread and of the error.

    Both softmaxes run over the same axis, the batch, so that the loss compares samples within a
    label. No gradient flows into the error.

    Args:
      spread: (B, C) predicted spread, for example a standard deviation.
      error: (B, C) absolute error of the prediction.
      weights: (B,) or (B, C) non-negative weights, each as many copies of an entry; what stands at
        entries of weight 0 is ignored. None weights all equally.

    Returns:
      (C,) losses in nats, non-negative, which are 0 where spread and error differ by a constant.

    Example:
      >>> import numpy as np
      >>> from lddu import losses
      >>> error = np.array([[0.1], [0.9]])
      >>> same, opposite = (losses.spread_calibration(x, error)[0] for x in (error, -error))
      >>> float(same), bool(opposite > 0.5)
      (0.0, True)

    References:
      Tellamekala et al., "COLD Fusion", arXiv:2206.05833, section 3.3.
    """
    chex.assert_equal_shape([spread, error])
    weights = jnp.ones(spread.shape) if weights is None else jnp.asarray(weights)
    weights = jnp.broadcast_to(weights if weights.ndim == 2 else weights[:, None], spread.shape)
    where = weights > 0
    log_weights = jnp.log(jnp.where(where, weights, 1.0))
    log_p = masked_log_softmax(spread + log_weights, where)
    log_q = masked_log_softmax(jax.lax.stop_gradient(error) + log_weights, where)
    # KL(p || q) + KL(q || p) in one product.
    terms = (jnp.exp(log_p) - jnp.exp(log_q)) * (log_p - log_q)
    return jnp.where(where, terms, 0.0).sum(0)
