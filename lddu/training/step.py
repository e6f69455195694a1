"""The optimisation step and the forward pass of one member, as plain functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lddu.config import Config
from lddu.data.batching import take
from lddu.data.normalize import Normalizer, normalize
from lddu.losses.objective import objective
from lddu.model import LDDU
from lddu.packing.structs import Rows
from lddu.structs import Batch
from lddu.training.augmentation import augment
from lddu.training.state import TrainState


class Resident(NamedTuple):
    """A data set that stays on the device, of which a step reads some rows.

    Attributes:
      batch: All rows, raw: each step normalises its own, so that no normalised copy is stored.
      normalizer: The normalisation of the rows. It is an argument of the compiled programs and not
        a constant in them, so that other data need no other programs.
    """

    batch: Batch
    normalizer: Normalizer


Step = Callable[[TrainState, Resident, Rows, Array, Array], tuple[TrainState, dict[str, Array]]]
Forward = Callable[[Any, Resident, Rows], Array]


def build_step(config: Config, optimizer: optax.GradientTransformation) -> Step:
    """Builds one optimisation step of one member, to be vectorised and compiled.

    Args:
      config: The configuration of the run.
      optimizer: The optimiser, from `build_optimizer`.

    Returns:
      step(state, data, rows, weight, key) -> (state, measurements). `data` is the whole training
      set; `rows` selects from it; `weight` (B,) is 0 for filler rows; `key` is the key of the run,
      into which the step folds its number. Measured are the terms of the loss, the norm of the
      gradient, and the "weight" of the rows, of each times the share of its labels that is known.
    """
    model = LDDU(config.model, config.execution)

    def loss_of(params, batch, packing, bank, rngs):
        prediction = model.apply({"params": params}, batch, False, packing, rngs=rngs)
        loss, terms, bank = objective(prediction, batch, bank, config.model, config.loss)
        return loss, (terms, bank)

    def step(state, data, rows, weight, key):
        key = jax.random.fold_in(key, state.step)
        dropout, sample, noise, hide = jax.random.split(key, 4)
        batch = _select(data, rows)
        weight = weight if batch.weight is None else weight * batch.weight
        batch = augment(noise, hide, batch.replace(weight=weight), config)
        grads, (terms, bank) = jax.grad(loss_of, has_aux=True)(
            state.params, batch, rows.packing, state.bank, {"dropout": dropout, "sample": sample}
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            # A shorter memory at first, so that the initial weights are soon forgotten.
            decay = jnp.minimum(config.train.average, (1.0 + state.step) / (10.0 + state.step))
            average = optax.incremental_update(params, average, 1.0 - decay)
        labelled = (weight * (~jnp.isnan(batch.labels)).mean(-1)).sum()
        measured = {**terms, "grad_norm": optax.tree.norm(grads), "weight": labelled}
        return TrainState(state.step + 1, params, average, opt_state, bank), measured

    return step


def scanned(step: Step) -> Step:
    """Turns a step into several steps in one call, so that calls do not dominate small steps.

    Args:
      step: A step, from `build_step`.

    Returns:
      steps(state, data, rows, weight, key): `rows` and `weight` have a leading axis of steps, and
      so have the measurements.
    """

    def steps(state, data, rows, weight, key):
        return jax.lax.scan(lambda s, x: step(s, data, *x, key), state, (rows, weight))

    return steps


def build_forward(config: Config) -> Forward:
    """Builds the forward pass of one member on rows of a data set.

    Args:
      config: The configuration of the run.

    Returns:
      forward(params, data, rows) -> (B, C) probabilities.
    """
    model = LDDU(config.model, config.execution)

    def forward(params, data, rows):
        batch = _select(data, rows)
        return model.apply({"params": params}, batch, packing=rows.packing).probs

    return forward


def _select(data: Resident, rows: Rows) -> Batch:
    return normalize(take(data.batch, rows.index), data.normalizer)
