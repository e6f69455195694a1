"""Everything that changes during training, as one pytree."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from lddu.config import Config, ModelConfig
from lddu.losses.contrastive import Bank
from lddu.losses.objective import initial_bank
from lddu.model import LDDU
from lddu.structs import Batch


@struct.dataclass
class TrainState:
    """Parameters and all that a step reads and writes.

    Attributes:
      step: () int, steps done.
      params: Parameters being trained.
      average: Exponential moving average of `params`; None when not kept.
      opt_state: Optimiser state.
      bank: Contrastive memory.
    """

    step: jax.Array
    params: Any
    average: Any
    opt_state: optax.OptState
    bank: Bank

    @property
    def eval_params(self) -> Any:
        """The parameters to validate and keep."""
        return self.params if self.average is None else self.average


def create_state(
    key: jax.Array,
    config: Config,
    optimizer: optax.GradientTransformation,
    example: Batch,
    base_rate: np.ndarray,
) -> TrainState:
    """Initialises a run.

    Args:
      key: PRNG key of the parameters.
      config: The run's configuration.
      optimizer: From `build_optimizer`.
      example: Any batch of the right widths; only shapes matter.
      base_rate: (C,) share of positives in the training labels, inside (0, 1).
    """
    variables = _init(config.model, key, example)
    params = LDDU.with_base_rate(variables, base_rate)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        average=jax.tree.map(jnp.copy, params) if config.train.average else None,
        opt_state=optimizer.init(params),
        bank=initial_bank(config.model, config.loss, jax.random.fold_in(key, 1)),
    )


@functools.partial(jax.jit, static_argnums=0)
def _init(config: ModelConfig, key: jax.Array, example: Batch) -> Any:
    """Compiled once for all members."""
    return LDDU(config).init(key, example)


def base_rate(labels: np.ndarray) -> np.ndarray:
    """(C,) share of positives, by the rule of succession so that it lies strictly in (0, 1).

    A label that never occurs in N rows gets 1 / (N + 2) (Laplace), not 0, so its logit is finite.
    """
    labels = np.asarray(labels, np.float64)
    return (labels.sum(0) + 1.0) / (len(labels) + 2.0)
