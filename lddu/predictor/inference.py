"""The compiled functions behind `lddu.Predictor`: members' predictions, and their combination.

Calibration comes after the network and apart from it: what `forward` gives can be calibrated again
and again without another pass.
"""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lddu import uncertainty
from lddu.calibration import Calibrator, Isotonic, Temperature, apply
from lddu.config import ModelConfig
from lddu.data.batching import check_batch
from lddu.data.normalize import Normalizer, normalize
from lddu.model import LDDU
from lddu.packing.stream import StreamPacker
from lddu.packing.structs import Packing
from lddu.predictor.streaming import Chunk, chunks, overlapped, realign
from lddu.structs import Batch, Prediction

FIELDS = tuple(field.name for field in dataclasses.fields(Prediction))

_CALL = 32e9  # FLOPs of the encoders in a device call on CPU, at most
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
def forward(
    config: ModelConfig,
) -> Callable[[Any, Normalizer, Batch, Mapping[str, Packing]], Members]:
    """The jitted network, one for all predictors of a model, such as before calibration.

    Returns:
      forward(params, normalizer, batch, packing) -> `Members`; leaves of `params` have a leading
      axis K.
    """
    model = LDDU(config)

    def run(params, normalizer, batch, packing):
        batch = normalize(batch, normalizer)
        members = _over_members(
            lambda p: model.apply({"params": p}, batch, packing=packing), params
        )
        return Members(members.logits, _ensemble(members))

    return jax.jit(run)


def _parts(
    config: ModelConfig,
    params: Any,
    normalizer: Normalizer,
    parts: Iterable[Chunk],
    pack: StreamPacker,
    after: Callable[[Members, Chunk], Any],
) -> Iterator[tuple[Any, Chunk]]:
    """`forward` of the chunks of one stream, and what comes `after` it on the device."""
    network = forward(config)

    def run(planned: tuple[Chunk, Mapping[str, Packing]]) -> Any:
        chunk, packing = planned
        return after(network(params, normalizer, chunk.batch, packing), chunk)

    # Planned here, in order, not in the threads of `overlapped`.
    planned = ((chunk, pack(chunk.batch)) for chunk in parts)
    return ((result, chunk) for result, (chunk, _) in overlapped(run, planned))


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

        return _over_members(one, (params, keys))

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


def prepare(batch: Batch, config: ModelConfig) -> Batch:
    """The inputs of a batch that the model knows, as NumPy arrays.

    Raises:
      ValueError: If the batch does not fit the model; says how.
    """
    check_batch(batch, config)
    return jax.tree.map(np.asarray, select(batch, config).replace(labels=None, weight=None))


def input_chunks(batch: Batch, config: ModelConfig, batch_size: int | None) -> Iterator[Chunk]:
    """Inputs in chunks of one size, the last filled up.

    Raises:
      ValueError: If the batch does not fit the model, or `batch_size` is not positive; says how.
    """
    batch_size = checked_batch_size(batch_size, config)
    return chunks([prepare(batch, config)], config.modality_names, batch_size)


def default_batch_size(config: ModelConfig) -> int:
    """Rows per device call that suit a model: 256, on CPU fewer (down to 16) of a large one.

    There intermediate results should stay near the caches, and the overhead of a call is small.
    """
    if jax.default_backend() != "cpu":
        return 256
    steps = sum(-(-m.length // m.stride) for m in config.modalities)
    most = _CALL / max(steps * config.encoder.flops_per_step, 1.0)
    return int(2 ** np.clip(np.floor(np.log2(most)), 4, 8))


def checked_batch_size(batch_size: int | None, config: ModelConfig) -> int:
    """The batch size that was asked for, or the default.

    Raises:
      ValueError: If it is not positive.
    """
    if batch_size is None:
        return default_batch_size(config)
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} is not at least 1")
    return batch_size


def _over_members(function: Callable[[Any], Any], members: Any) -> Any:
    """`jax.lax.map`, but a single member is not put into a loop, where XLA computes more slowly."""
    if jax.tree.leaves(members)[0].shape[0] > 1:
        return jax.lax.map(function, members)
    return jax.tree.map(lambda x: x[None], function(jax.tree.map(lambda x: x[0], members)))


def member_parts(
    config: ModelConfig,
    params: Any,
    normalizer: Normalizer,
    batch: Batch,
    batch_size: int | None = None,
) -> Iterator[tuple[Members, np.ndarray]]:
    """`Members` chunk by chunk, and which rows have any input.

    Raises:
      ValueError: If the batch does not fit the model; says how.
    """
    return _seen_parts(config, params, normalizer, batch, batch_size, lambda x, _: x)


def _seen_parts(
    config: ModelConfig,
    params: Any,
    normalizer: Normalizer,
    batch: Batch,
    batch_size: int | None,
    after: Callable[[Members, Chunk], Any],
) -> Iterator[tuple[Any, np.ndarray]]:
    batch_size = checked_batch_size(batch_size, config)
    inputs = input_chunks(batch, config, batch_size)
    pack = StreamPacker(config, batch_size)
    pack.look(batch)
    parts = _parts(config, params, normalizer, inputs, pack, after)
    return ((result, chunk.seen) for result, chunk in parts)


def member_logits(
    config: ModelConfig,
    params: Any,
    normalizer: Normalizer,
    batch: Batch,
    batch_size: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `member_parts`, but no more than the (K, B, C) logits leave the device."""
    return _seen_parts(config, params, normalizer, batch, batch_size, lambda x, _: x.logits)


def predictions(
    config: ModelConfig,
    params: Any,
    normalizer: Normalizer,
    calibrator: Calibrator,
    batches: Iterable[Batch],
    batch_size: int | None,
    fields: Sequence[str] | None,
) -> Iterator[Prediction]:
    """Calibrated predictions of the ensemble, one per batch; see `Predictor.predict_batches`.

    Args:
      config: The model.
      params: Of K members.
      normalizer: Of the inputs.
      calibrator: As in `combine`.
      batches: From `prepare`.
      batch_size: Rows per device call; None for `default_batch_size`.
      fields: What leaves the device, of `Prediction`; None for all.

    Raises:
      ValueError: If `fields` or `batch_size` are not what they must be.
    """
    batch_size = checked_batch_size(batch_size, config)
    if isinstance(fields, str) or not set(fields or FIELDS) <= set(FIELDS):
        raise ValueError(f"fields={fields!r}: give a tuple of {', '.join(FIELDS)}")
    left_out = {name: None for name in FIELDS if fields is not None and name not in fields}
    pack = StreamPacker(config, batch_size)
    state = _one_shape(calibrator, len(config.labels))

    def calibrate(members: Members, chunk: Chunk) -> Prediction:
        combined = combine_members(members.logits, state, chunk.seen)
        return members.rest.replace(**combined).replace(**left_out)

    sizes: deque[int] = deque()

    def counted() -> Iterator[Batch]:
        for batch in batches:
            sizes.append(batch.size)
            pack.look(batch)
            yield batch

    inputs = chunks(counted(), config.modality_names, batch_size)
    parts = _parts(config, params, normalizer, inputs, pack, calibrate)
    return realign(((part, chunk.rows) for part, chunk in parts), sizes)


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
        combined = combine_members(members.logits, state, seen)
        done.append(members.rest.replace(**jax.device_get(combined)))
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
