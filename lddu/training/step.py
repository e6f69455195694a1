"""The training step and the evaluation, as plain functions and jitted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from lddu.config import Config
from lddu.data.batching import batches, take
from lddu.data.normalize import Normalizer, normalize
from lddu.losses.objective import objective
from lddu.model import LDDU
from lddu.packing.plan import Packer
from lddu.packing.structs import Rows
from lddu.structs import Batch
from lddu.training.memory import Trimmed
from lddu.training.sharding import DATA, compile_for, split_probs, split_step
from lddu.training.state import TrainState

StepFn = Callable[
    [TrainState, Batch, Rows, jax.Array, jax.Array], tuple[TrainState, dict[str, jax.Array]]
]
ProbsFn = Callable[[dict, Batch, Rows], jax.Array]


def make_step(
    config: Config,
    optimizer: optax.GradientTransformation,
    normalizer: Normalizer | None = None,
    mesh: Mesh | None = None,
    several: bool = False,
) -> StepFn:
    """`build_step`, compiled, for the rows of a batch to lie on a mesh; `state` is donated.

    With `several` a call does as many steps as `rows` and `weight` have, as `scanned` says.
    """
    step = build_step(config, optimizer, normalizer)
    if mesh is not None:
        step = split_step(step, mesh)
    step = scanned(step) if several else step
    return jax.jit(step, donate_argnums=0) if mesh is None else compile_for(mesh, step, donate=True)


def scanned(step: StepFn) -> StepFn:
    """Several steps in one call, so that small ones are not dominated by calling.

    What is returned takes `rows` and `weight` with a leading axis of steps, and its measurements
    have such an axis too.
    """

    def steps(state, data, rows, weight, key):
        return jax.lax.scan(lambda s, x: step(s, data, *x, key), state, (rows, weight))

    return steps


def build_step(
    config: Config, optimizer: optax.GradientTransformation, normalizer: Normalizer | None = None
) -> StepFn:
    """One optimisation step, to be transformed by `jax.jit` or first by `jax.vmap`.

    Args:
      config: The run's configuration.
      optimizer: From `build_optimizer`.
      normalizer: Applied to the rows of each step, so that no normalised copy of the data is kept.

    Returns:
      step(state, data, rows, weight, key) -> (state, measurements). `data` is the whole training
      set, resident on the device; `rows` selects from it, `weight` (B,) is 0 for filler rows.
      `key` is the run's key; the step folds its own number in.
    """
    model = LDDU(config.model)

    def loss_fn(params, batch, packing, bank, rngs):
        prediction = model.apply({"params": params}, batch, False, packing, rngs=rngs)
        loss, terms, bank = objective(prediction, batch, bank, config.model, config.loss)
        return loss, (terms, bank)

    def step(state, data, rows, weight, key):
        key = jax.random.fold_in(key, state.step)
        dropout, sample, noise, hide = jax.random.split(key, 4)
        batch = _rows(data, rows, normalizer)
        weight = weight if batch.weight is None else weight * batch.weight
        batch = batch.replace(weight=weight)
        batch = augment(noise, hide, batch, config)
        grads, (terms, bank) = jax.grad(loss_fn, has_aux=True)(
            state.params, batch, rows.packing, state.bank, {"dropout": dropout, "sample": sample}
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            # Shorter memory at first, so that the initial weights are soon forgotten.
            decay = jnp.minimum(config.train.average, (1.0 + state.step) / (10.0 + state.step))
            average = optax.incremental_update(params, average, 1.0 - decay)
        measured = {**terms, "grad_norm": optax.tree.norm(grads), "rows": (weight > 0).sum()}
        return TrainState(state.step + 1, params, average, opt_state, bank), measured

    return step


def augment(noise_key: jax.Array, hide_key: jax.Array, batch: Batch, config: Config) -> Batch:
    """Feature noise, step dropout and modality dropout, as `config.train` says.

    A sequence keeps at least one of its steps, a sample at least one of its modalities.
    """
    names = config.model.modality_names
    std, rate = config.train.feature_noise, config.train.modality_dropout
    if std:
        modalities = dict(batch.modalities)
        for name, key in zip(names, jax.random.split(noise_key, len(names)), strict=True):
            values = modalities[name].values
            noise = std * jax.random.normal(key, values.shape, values.dtype)
            modalities[name] = modalities[name].replace(values=values + noise)
        batch = batch.replace(modalities=modalities)
    if config.train.step_dropout:
        modalities = dict(batch.modalities)
        keys = jax.random.split(jax.random.fold_in(hide_key, 1), len(names))
        for name, key in zip(names, keys, strict=True):
            mask = _without_steps(key, modalities[name].mask, config.train.step_dropout)
            modalities[name] = modalities[name].replace(mask=mask)
        batch = batch.replace(modalities=modalities)
    if rate:
        had = batch.observed(names)
        draw = jax.random.uniform(hide_key, had.shape)
        # The modality with the largest draw stays, whatever the rate.
        spared = jax.nn.one_hot(jnp.argmax(jnp.where(had, draw, -1.0), -1), len(names), dtype=bool)
        kept = had & ((draw >= rate) | spared)
        batch = batch.replace(present={name: kept[:, m] for m, name in enumerate(names)})
    return batch


def _without_steps(key: jax.Array, mask: jax.Array, most: float) -> jax.Array:
    """(B, T) mask less a share of each row's steps, drawn from 0 to `most`."""
    share_key, draw_key = jax.random.split(key)
    share = most * jax.random.uniform(share_key, (len(mask), 1))
    draw = jax.random.uniform(draw_key, mask.shape)
    # The step with the largest draw stays, whatever the share.
    last = jnp.argmax(jnp.where(mask, draw, -1.0), axis=1)
    return mask & ((draw >= share) | jax.nn.one_hot(last, mask.shape[1], dtype=bool))


def _rows(data: Batch, rows: Rows, normalizer: Normalizer | None) -> Batch:
    batch = take(data, rows.index)
    return batch if normalizer is None else normalize(batch, normalizer)


def make_evaluate(
    config: Config,
    data: Batch,
    batch_size: int,
    normalizer: Normalizer | None = None,
    mesh: Mesh | None = None,
) -> Callable[[dict], np.ndarray]:
    """Compiles probabilities for a whole set, in batches of one size; see `in_batches`."""
    probs = build_probs(config, normalizer)
    if mesh is None:
        return in_batches(jax.jit(probs), config, data, batch_size)
    probs = compile_for(mesh, split_probs(probs, mesh))
    return in_batches(probs, config, data, batch_size, mesh.shape[DATA])


def build_probs(config: Config, normalizer: Normalizer | None = None) -> ProbsFn:
    """probs(params, data, rows) -> (B, C) probabilities, to be transformed as `build_step`'s."""
    model = LDDU(config.model)

    def probs(params, data, rows):
        batch = _rows(data, rows, normalizer)
        return model.apply({"params": params}, batch, packing=rows.packing).probs

    return probs


def in_batches(
    probs: ProbsFn, config: Config, data: Batch, batch_size: int, parts: int = 1
) -> Callable[[dict], np.ndarray]:
    """evaluate(params) -> (..., N, C): `probs`, which gives (..., B, C), over a whole set.

    `parts` devices share a batch, which is enlarged to a multiple of their number.
    """
    index, weight = batches(np.arange(data.size), -(-batch_size // parts) * parts)
    packer = Packer(data, config.model, index[: len(index) * packs(config, parts)])
    probs = Trimmed(probs)

    def evaluate(params):
        out = [probs(params, data, rows) for rows, _ in packer.calls(index)]
        return np.concatenate(jax.device_get(out), axis=-2)[..., weight.reshape(-1) > 0, :]

    return evaluate


def packs(config: Config, parts: int) -> bool:
    """Whether batches are packed: only where one device has them whole."""
    return config.train.packing and parts == 1
