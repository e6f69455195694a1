"""The training state: everything that changes during training, as one pytree."""

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
    """Everything that a step reads and writes.

    Attributes:
      step: () int, number of steps done.
      params: Parameters being trained.
      average: Exponential moving average of `params`; None when it is not used.
      opt_state: State of the optimiser.
      bank: Memory bank of the contrastive loss.
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
    """Initialises the training of a member.

    Args:
      key: PRNG key of the initial parameters.
      config: The configuration of the run.
      optimizer: The optimiser, from `build_optimizer`.
      example: A batch of the right widths; only its shapes matter.
      base_rate: (C,) share of positives in the training labels, strictly between 0 and 1.

    Returns:
      The state before the first step.
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
    """Initialises parameters, compiled once for all members."""
    return LDDU(config).init(key, example)
