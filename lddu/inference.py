"""The compiled functions behind `lddu.Predictor`: members' predictions, and their combination.

Calibration comes after the network and apart from it: what `forward` gives can be calibrated again
and again without another pass.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lddu import uncertainty
from lddu.calibration import Calibrator, Isotonic, Temperature, apply
from lddu.config import ModelConfig
from lddu.data.batching import batches, check_batch, take
from lddu.data.normalize import Normalizer, normalize
from lddu.model import LDDU
from lddu.structs import Batch, Prediction

_KNOTS = 256  # of isotonic maps; a label of 4,000 samples seldom has a hundred


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


def select(batch: Batch, config: ModelConfig) -> Batch:
    """The batch without modalities that the model does not know."""
    names = config.modality_names
    return batch.replace(
        modalities={name: batch.modalities[name] for name in names},
        present={name: batch.present[name] for name in names},
    )


def input_parts(
    batch: Batch, config: ModelConfig, batch_size: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Inputs in batches of one size, the last filled up; and which rows have any input.

    Raises:
      ValueError: If the batch does not fit the model; says how.
    """
    check_batch(batch, config)
    batch = select(batch, config).replace(labels=None, weight=None)
    batch = jax.tree.map(np.asarray, batch)
    seen = batch.observed(config.modality_names).any(-1)
    rows, _ = batches(np.arange(batch.size), batch_size)
    return ((take(batch, r), seen[r]) for r in rows)


def member_parts(
    config: ModelConfig, params: Any, normalizer: Normalizer, batch: Batch, batch_size: int = 256
) -> Iterator[tuple[Members, np.ndarray]]:
    """`Members` batch by batch, and which rows have any input.

    Raises:
      ValueError: If the batch does not fit the model; says how.
    """
    run = forward(config)
    return (
        (jax.device_get(run(params, normalizer, part)), seen)
        for part, seen in input_parts(batch, config, batch_size)
    )


def combine(
    parts: Iterable[tuple[Members, np.ndarray]], calibrator: Calibrator, size: int
) -> Prediction:
    """The calibrated prediction of the ensemble.

    Args:
      parts: From `member_parts`. Rows without any input have nothing to calibrate: there the base
        rate stays.
      calibrator: Acts on the log-odds of the members' mean probability; for the parts of the
        uncertainty, on each member's, by the same map.
      size: Number of rows before the last batch was filled up.

    Returns:
      A `Prediction` of NumPy arrays.
    """
    done = []
    for members, seen in parts:
        state = _one_shape(calibrator, members.logits.shape[-1])
        done.append(
            members.rest.replace(**jax.device_get(combine_members(members.logits, state, seen)))
        )
    return _join(done, size)


def member_probs(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], calibrator: Calibrator, size: int
) -> np.ndarray:
    """Calibrated (K, N, C) probabilities of members, from (K, B, C) logits; see `combine`."""
    probs = [
        np.asarray(_probs(logits, _one_shape(calibrator, logits.shape[-1]), seen))
        for logits, seen in parts
    ]
    return _join(probs, size, axis=1)


@jax.jit
def combine_members(
    logits: jax.Array, calibrator: Calibrator, seen: jax.Array
) -> dict[str, jax.Array]:
    """The fields of a `Prediction` that need calibration, from (K, B, C) logits; see `combine`."""
    # Log-odds of the mean, from log-probabilities, so that certain members do not overflow.
    log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(logits), axis=0)
    log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-logits), axis=0)
    together = _calibrated(log_p - log_q, calibrator, seen)
    parts = uncertainty.decompose_variance(_probs(logits, calibrator, seen))
    return {
        "probs": jax.nn.sigmoid(together),
        "logits": together,
        "aleatoric": parts.aleatoric,
        "epistemic": parts.epistemic,
    }


@jax.jit
def _probs(logits: jax.Array, calibrator: Calibrator, seen: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(_calibrated(logits, calibrator, seen))


def _calibrated(logits: jax.Array, calibrator: Calibrator, seen: jax.Array) -> jax.Array:
    return jnp.where(seen[:, None], apply(calibrator, logits), logits)


def _one_shape(calibrator: Calibrator, labels: int) -> Calibrator:
    """One shape for each kind of calibrator, so that all of a kind share one compilation."""
    if isinstance(calibrator, Temperature):  # shared or per label
        return Temperature(*(np.broadcast_to(x, (labels,)) for x in calibrator))
    if isinstance(calibrator, Isotonic):  # the last knot may be repeated at will
        more = max(_KNOTS - len(calibrator.knots), 0)
        return Isotonic(*(np.pad(x, ((0, more), (0, 0)), "edge") for x in calibrator))
    return calibrator


def _join(parts: Sequence[Any], size: int, axis: int = 0) -> Any:
    """Joins batches along their rows and drops the filler at the end."""
    rows = (slice(None),) * axis + (slice(size),)
    return jax.tree.map(lambda *x: np.concatenate(x, axis)[rows], *parts)


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
