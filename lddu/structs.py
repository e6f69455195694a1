"""`Batch` and `Prediction`: the two structures that cross module borders.

Both are pytrees, so they pass through `jax.jit`, `jax.vmap` and `jax.tree.map` unchanged.
A data set held in memory is simply a `Batch` with many rows of NumPy arrays.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from flax import struct

from lddu.gaussian import Gaussian

Array = jax.typing.ArrayLike


@struct.dataclass
class Modality:
    """A padded batch of feature sequences.

    Attributes:
      values: (B, T, D) features; what stands at masked steps is ignored.
      mask: (B, T) bool, True where a step is real and False where it is padding.
    """

    values: Array
    mask: Array


@struct.dataclass
class Batch:
    """Samples with any number of modalities and, when known, their labels.

    Attributes:
      modalities: name -> `Modality`; each has its own width and length.
      present: name -> (B,) bool, whether the sample has this modality at all. A modality whose
        mask has no True step counts as missing whatever stands here.
      labels: (B, C) targets in [0, 1], hard or soft; None when unknown.
      weight: (B,) non-negative example weights; None means one each. Padding rows weigh 0.
    """

    modalities: Mapping[str, Modality]
    present: Mapping[str, Array]
    labels: Array | None = None
    weight: Array | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return next(iter(self.modalities.values())).values.shape[0]

    def effective_mask(self, name: str) -> Array:
        """(B, T) bool: the real steps of a modality, none where the modality is missing."""
        return self.modalities[name].mask & self.present[name][:, None]

    def observed(self, names: Sequence[str]) -> Array:
        """(B, M) bool: which of the named modalities each sample has at least one step of."""
        xp = jax.numpy if isinstance(self.present[names[0]], jax.Array) else np
        return xp.stack([self.effective_mask(name).any(1) for name in names], axis=-1)


@struct.dataclass
class Prediction:
    """What the model says of a batch: probabilities and the distributions behind them.

    The fusions "gate" and "concatenation" have no Gaussian logit, fused posterior, weights or
    unimodal predictions: those are None there.

    Attributes:
      probs: (B, C) probability that each label is present.
      logits: (B, C) log-odds of `probs`.
      logit_mean: (B, C) mean of the Gaussian logit.
      logit_var: (B, C) variance of the Gaussian logit (aleatoric, from the latent variance).
      latents: name -> Gaussian with (B, C, Z) mean and variance, one per modality.
      fused: Gaussian with (B, C, Z) mean and variance, after fusion.
      weights: (B, C, M) share of the fused precision that each modality supplies (with "equal"
        fusion, of the mean), in the order of the configuration's modalities; a missing one has 0,
        and the prior holds the rest.
      unimodal_logits: (B, C, M) log-odds from each modality's own posterior alone.
      direct_logits: (B, C) log-odds of the direct probability; fusion "gate" only.
      aleatoric: (B, C) mean over members of p (1 - p), each member calibrated; see
        `lddu.uncertainty`. None from the model itself, set by `Predictor`.
      epistemic: (B, C) variance of those p over members; zero for one member.
    """

    probs: Array
    logits: Array
    logit_mean: Array | None
    logit_var: Array | None
    latents: Mapping[str, Gaussian]
    fused: Gaussian | None
    weights: Array | None
    unimodal_logits: Array | None
    direct_logits: Array | None = None
    aleatoric: Array | None = None
    epistemic: Array | None = None
