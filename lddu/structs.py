"""`Batch` and `Prediction`: the two structures that all parts of the library share.

Both are pytrees, so they pass through `jax.jit`, `jax.vmap` and `jax.tree.map`. A data set in
memory is a `Batch` with many rows of NumPy arrays.
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
      values: (B, T, D) features; values at masked steps are ignored.
      mask: (B, T) bool, True where a step is real and False where it is padding.
    """

    values: Array
    mask: Array


@struct.dataclass
class Batch:
    """A batch of samples with any number of modalities and, when known, their labels.

    Attributes:
      modalities: name -> `Modality`; each has its own width and length.
      present: name -> (B,) bool, whether the sample has this modality. A modality without a real
        step counts as missing in either case.
      labels: (B, C) targets in [0, 1], hard or soft; None when unknown.
      weight: (B,) non-negative sample weights, 0 for padding rows; None weights all equally.

    Example:
      >>> import numpy as np
      >>> from lddu import Batch, Modality
      >>> values, mask = np.zeros((2, 3, 4)), np.array([[1, 1, 0], [0, 0, 0]], bool)
      >>> batch = Batch({"text": Modality(values, mask)}, {"text": np.array([True, True])})
      >>> batch.size, batch.observed(["text"]).tolist()
      (2, [[True], [False]])
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
        """Returns (B, T) bool: the real steps of a modality, none where it is missing."""
        return self.modalities[name].mask & self.present[name][:, None]

    def observed(self, names: Sequence[str]) -> Array:
        """Returns (B, M) bool: of which named modalities each sample has at least one step."""
        xp = jax.numpy if isinstance(self.present[names[0]], jax.Array) else np
        return xp.stack([self.effective_mask(name).any(1) for name in names], axis=-1)


@struct.dataclass
class Prediction:
    """The model's output for a batch: probabilities and the distributions behind them.

    With the fusions "gate" and "concatenation" there is no Gaussian logit, fused posterior, weight
    or unimodal prediction; these fields are None.

    Attributes:
      probs: (B, C) probability that each label is present.
      logits: (B, C) log-odds of `probs`.
      logit_mean: (B, C) mean of the Gaussian logit.
      logit_var: (B, C) variance of the Gaussian logit (aleatoric, from the latent variance).
      latents: name -> Gaussian with (B, C, Z) mean and variance, one per modality.
      fused: Gaussian with (B, C, Z) mean and variance, after fusion.
      weights: (B, C, M) share of the fused precision that each modality supplies (with "equal"
        fusion, of the mean), in the order of the configuration's modalities; 0 for a missing one.
        The prior has the rest.
      unimodal_logits: (B, C, M) log-odds from each modality's own posterior alone.
      direct_logits: (B, C) log-odds of the direct probability; fusion "gate" only.
      aleatoric: (B, C) mean over members of p (1 - p), each member calibrated; see
        `lddu.uncertainty`. None from the model itself, set by `Predictor`.
      epistemic: (B, C) variance of p over members, each calibrated; zero for one member.
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
