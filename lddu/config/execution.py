"""The configuration of execution: how to compute a run, not what it computes."""

import dataclasses
from typing import Literal

from lddu.config.checks import require, require_types


@dataclasses.dataclass(frozen=True)
class ExecutionConfig:
    """Settings for speed and memory.

    All but `dtype` leave the result of a run the same up to rounding: random draws do not depend on
    how samples are laid out or divided among devices. So a run may be continued under other
    settings; only its `dtype` must stay.

    Attributes:
      devices: Largest number of devices used in each process; 0 uses all of them, or one where they
        are CPUs. Devices share the rows of a batch and, if members train at the same time, the
        members (see `lddu.training.sharding`).
      parallel_members: Whether ensemble members train at the same time, as one vectorised program,
        or one after the other: "always", "never", or "auto", which is at the same time if there are
        several members and JAX's default backend is not "cpu", where it gains nothing.
      steps_per_dispatch: Optimisation steps per call of the compiled program; more than one pays
        for small models on an accelerator.
      packing: Whether samples share rows in the encoder where most sequences are shorter than their
        padding (see `lddu.packing`). Used where one device holds all rows of a batch.
      attention: Attention kernel. "full" stores all attention weights, "blocked" those of a block
        of rows at a time, "cudnn" uses the fused kernel of a GPU; "auto" chooses between the first
        two by their number. See `lddu.nn.attention`.
      row_block: Number of rows that the encoder layers process at a time; the backward pass
        computes them again, so that memory does not grow with the rows of a batch. For long
        sequences; 0 processes all rows at once.
      dtype: Number type of the encoders and of label-wise attention, "float32" or "bfloat16".
        Parameters, softmaxes, layer-norm statistics, latent distributions and losses are float32.
    """

    devices: int = 0
    parallel_members: Literal["auto", "never", "always"] = "auto"
    steps_per_dispatch: int = 1
    packing: bool = True
    attention: Literal["auto", "full", "blocked", "cudnn"] = "auto"
    row_block: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        require_types(self, "execution")
        require(
            self.devices >= 0, f"execution: devices={self.devices} is negative; 0 uses all devices"
        )
        require(
            self.steps_per_dispatch >= 1,
            f"execution: steps_per_dispatch={self.steps_per_dispatch} must be at least 1",
        )
        require(
            self.row_block >= 0,
            f"execution: row_block={self.row_block} is negative; 0 processes all rows at once",
        )
