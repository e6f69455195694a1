"""The compiled functions behind `lddu.Predictor`: members' predictions, and their combination.

Calibration comes after the network and apart from it: what `forward` gives can be calibrated again
and again without another pass.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lddu import uncertainty
from lddu.calibration import Temperature, apply_temperature
from lddu.config import ModelConfig
from lddu.data.normalize import Normalizer, normalize
from lddu.model import LDDU
from lddu.structs import Batch, Prediction


class Members(NamedTuple):
    """Predictions of K members before calibration.

    Attributes:
      logits: (K, B, C) log-odds of each member's probabilities.
      rest: What calibration does not touch, already of the ensemble as a whole; the other fields
        are None.
    """

    logits: jax.Array
    rest: Prediction


@functools.lru_cache(maxsize=16)
def forward(config: ModelConfig) -> Callable[[Any, Normalizer, Batch], Members]:
    """The jitted network, one for all predictors of a model, such as before calibration.

    Returns:
      forward(params, normalizer, batch) -> `Members`; leaves of `params` have a leading axis K.
    """
    model = LDDU(config)

    def run(params, normalizer, batch):
        batch = normalize(batch, normalizer)
        members = jax.lax.map(lambda p: model.apply({"params": p}, batch), params)
        return Members(members.logits, _ensemble(members))

    return jax.jit(run)


@functools.lru_cache(maxsize=16)
def dropout_logits(config: ModelConfig) -> Callable[..., jax.Array]:
    """The jitted network with dropout left on; in all else it predicts as `forward`.

    Returns:
      logits(params, normalizer, batch, key, part, draw) -> (K, B, C). The integers `part` and
      `draw` choose the masks, with the PRNG key.
    """
    # Training's samples of the latent are no part of it: the expectation stays in closed form.
    model = LDDU(dataclasses.replace(config, samples=0))

    def run(params, normalizer, batch, key, part, draw):
        batch = normalize(batch, normalizer)
        key = jax.random.fold_in(jax.random.fold_in(key, part), draw)
        keys = jax.random.split(key, jax.tree.leaves(params)[0].shape[0])

        def one(member):
            p, k = member
            rngs = {"dropout": k}
            return model.apply({"params": p}, batch, deterministic=False, rngs=rngs).logits

        return jax.lax.map(one, (params, keys))

    return jax.jit(run)


def dropout_rates(config: ModelConfig) -> dict[str, float]:
    """The rates of the dropout layers that the model has, by their names in the configuration."""
    rates = {"encoder.dropout": config.encoder.dropout}
    if config.encoder.layers:
        rates["encoder.attention_dropout"] = config.encoder.attention_dropout
    rates["label_dropout"] = config.label_dropout
    if config.statistics:
        rates["statistics_dropout"] = config.statistics_dropout
    if config.fusion != "precision":
        rates["head_dropout"] = config.head_dropout
    return rates


def combine(members: Members, temperature: Temperature, seen: np.ndarray) -> Prediction:
    """The calibrated prediction of the ensemble.

    Args:
      members: From `forward`.
      temperature: Acts on the log-odds of the members' mean probability; for the parts of the
        uncertainty, on each member's.
      seen: (B,) bool, whether a row has any input. Without any there is nothing to calibrate: the
        base rate stays.

    Returns:
      A `Prediction` of NumPy arrays.
    """
    fields = jax.device_get(_combine(members.logits, _per_label(temperature, members.logits), seen))
    return members.rest.replace(**fields)


def member_probs(logits: np.ndarray, temperature: Temperature, seen: np.ndarray) -> np.ndarray:
    """Calibrated probabilities (K, B, C) of members from their logits; see `combine`."""
    return np.asarray(_probs(logits, _per_label(temperature, logits), seen))


@jax.jit
def _combine(logits: jax.Array, temperature: Temperature, seen: jax.Array) -> dict[str, jax.Array]:
    # Log-odds of the mean, from log-probabilities, so that certain members do not overflow.
    log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(logits), axis=0)
    log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-logits), axis=0)
    together = _calibrated(log_p - log_q, temperature, seen)
    parts = uncertainty.decompose_variance(_probs(logits, temperature, seen))
    return {
        "probs": jax.nn.sigmoid(together),
        "logits": together,
        "aleatoric": parts.aleatoric,
        "epistemic": parts.epistemic,
    }


@jax.jit
def _probs(logits: jax.Array, temperature: Temperature, seen: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(_calibrated(logits, temperature, seen))


def _calibrated(logits: jax.Array, temperature: Temperature, seen: jax.Array) -> jax.Array:
    return jnp.where(seen[:, None], apply_temperature(temperature, logits), logits)


def _per_label(temperature: Temperature, logits: jax.Array) -> Temperature:
    """One shape, whether shared or per label, so that all of them share one compilation."""
    return Temperature(*(np.broadcast_to(x, logits.shape[-1:]) for x in temperature))


def _ensemble(members: Prediction) -> Prediction:
    """From K members' fields those of the ensemble that need no calibration."""

    def mean(leaf: jax.Array | None) -> jax.Array | None:
        return jax.tree.map(lambda x: x.mean(0), leaf)

    return Prediction(
        probs=None,
        logits=None,
        logit_mean=mean(members.logit_mean),
        logit_var=None
        if members.logit_var is None
        else members.logit_var.mean(0) + members.logit_mean.var(0),
        latents=jax.tree.map(lambda x: x[0], members.latents),
        fused=jax.tree.map(lambda x: x[0], members.fused),
        weights=mean(members.weights),
        unimodal_logits=mean(members.unimodal_logits),
        direct_logits=mean(members.direct_logits),
    )
