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
      labels: (B, C) targets in [0, 1], hard or soft; NaN where a label is unknown, None where all
        are.
      weight: (B,) non-negative sample weights; None weights all equally. An integer weight counts
        as so many copies of the row, and weight 0 as its absence.
      label_names: Names of the columns of `labels`, which are then checked against a model's; None
        takes the columns as they stand.

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
    label_names: tuple[str, ...] | None = struct.field(pytree_node=False, default=None)

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
      logit_mean: (B, C) mean of the Gaussian logit; over members, their mean.
      logit_var: (B, C) variance of the Gaussian logit, from the latent variance (aleatoric); over
        members, their mean.
      latents: name -> Gaussian with (B, C, Z) mean and variance, one per modality. Of several
        members, those of the first: members share no latent space.
      fused: Gaussian with (B, C, Z) mean and variance, after fusion; the first member's.
      weights: (B, C, M) share of the fused precision that each modality supplies (with "equal"
        fusion, of the mean), in the order of the configuration's modalities; 0 for a missing one.
        The prior has the rest.
      unimodal_logits: (B, C, M) log-odds from each modality's own posterior alone.
      direct_logits: (B, C) log-odds of the direct probability; fusion "gate" only.
      aleatoric: (B, C) part of `total` that the members expect on average.
      epistemic: (B, C) part of `total` that is the members' disagreement; 0 for one member.
      logit_disagreement: (B, C) variance over members of the mean of the Gaussian logit
        (epistemic); 0 for one member. Added to `logit_var`, it is the variance of their mixture.

    The last three are None from the model itself and set by `Predictor`. The two parts split the
    variance `total` of a label in the proportion in which the law of total variance splits that of
    the members, each calibrated; see `lddu.uncertainty.decompose_variance`.
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
    logit_disagreement: Array | None = None

    @property
    def total(self) -> Array | None:
        """The variance (B, C) of a label, probs (1 - probs) = aleatoric + epistemic."""
        return None if self.probs is None else self.probs * (1 - self.probs)
