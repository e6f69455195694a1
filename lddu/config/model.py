"""The configuration of the network: modalities, encoder, latent distributions, fusion."""

import dataclasses
from typing import Literal

from lddu.config.checks import require, require_types

Fusion = Literal["precision", "equal", "gate", "concatenation"]


@dataclasses.dataclass(frozen=True)
class ModalityConfig:
    """One input modality.

    Attributes:
      name: Its key in `Batch.modalities`.
      features: Number of features D of a step.
      length: Length in steps of the longest sequence that the model accepts.
      stride: Number of consecutive steps that a strided convolution merges into one before the
        encoder. Larger strides make long sequences cheaper.
    """

    name: str
    features: int
    length: int
    stride: int = 1

    def __post_init__(self):
        require_types(self, f"modality {self.name!r}")
        for size in ("features", "length", "stride"):
            value = getattr(self, size)
            require(value > 0, f"modality {self.name!r}: {size}={value} must be positive")


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The Transformer encoder that each modality has, in the post-norm form of BERT.

    Attributes:
      hidden: Width of the hidden states.
      layers: Number of Transformer layers.
      heads: Number of attention heads; must divide `hidden`.
      feed_forward: Width of the feed-forward layers.
      dropout: Dropout rate on hidden states.
      attention_dropout: Dropout rate on attention weights.
      input_norm: Whether a LayerNorm normalises the features of each step before the projection.
      input_norm_epsilon: Epsilon of that LayerNorm.
      layer_norm_epsilon: Epsilon of every other LayerNorm.
      kernel_std: Standard deviation of the initial weights; None scales it by the number of inputs
        (LeCun). BERT and the official code use 0.02.

    References:
      Huang et al., arXiv:2502.13954, section 3.2.
    """

    hidden: int = 256
    layers: int = 3
    heads: int = 8
    feed_forward: int = 256
    dropout: float = 0.3
    attention_dropout: float = 0.3
    input_norm: bool = True
    input_norm_epsilon: float = 1e-5
    layer_norm_epsilon: float = 1e-12
    kernel_std: float | None = None

    def __post_init__(self):
        require_types(self, "encoder")
        for size in ("hidden", "heads", "feed_forward"):
            value = getattr(self, size)
            require(value > 0, f"encoder: {size}={value} must be positive")
        require(
            self.hidden % self.heads == 0,
            f"encoder: hidden={self.hidden} is not a multiple of heads={self.heads}",
        )
        for rate in ("dropout", "attention_dropout"):
            value = getattr(self, rate)
            require(0 <= value < 1, f"encoder: {rate}={value} is not in [0, 1)")

    @property
    def flops_per_step(self) -> float:
        """FLOPs of all layers for one step, approximately, without the products in attention."""
        return self.layers * self.hidden * (8.0 * self.hidden + 4.0 * self.feed_forward)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
      modalities: The input streams, in the order used for `Prediction.weights`.
      labels: Label names, in the order of the columns of `Batch.labels`.
      encoder: The encoder of every modality.
      label_dropout: Dropout rate inside label-wise attention.
      statistics: Width of a branch that adds each sequence's masked mean and standard deviation to
        the label features, for small data sets; 0 leaves it out.
      statistics_dropout: Dropout rate on those pooled statistics.
      mask_padding: Whether padded steps are hidden from encoder and attention. The official code
        does not hide them.
      fusion: How modalities are combined: by "precision" (product of experts), with "equal"
        weights regardless of their variance, by the official "gate", or by "concatenation" of
        means and variances; see `lddu.nn.fusion`.
      head_hidden: Hidden width of the heads of "gate" and "concatenation".
      head_dropout: Dropout rate in those heads.
      latent_hidden: Widths of the MLP before the latent Gaussians.
      latent: Number of latent dimensions Z of each Gaussian.
      variance: How a network output becomes a variance: by "softplus" plus a floor, or by "exp",
        as in the official code.
      variance_floor: Smallest latent variance under "softplus".
      initial_variance: Latent variance of every modality before training.
      samples: Number of reparameterised samples for E[sigmoid(logit)] in training; 0 uses the
        closed form.
      expectation_terms: Number of terms of that closed form: from 3, with an error of 0.04 in the
        log-odds, to 9, where it reaches the rounding of float32, and at most 20; 0 uses the probit
        approximation instead. See `lddu.gaussian.expected_sigmoid_logit`.
    """

    modalities: tuple[ModalityConfig, ...]
    labels: tuple[str, ...]
    encoder: EncoderConfig = EncoderConfig()
    label_dropout: float = 0.1
    statistics: int = 0
    statistics_dropout: float = 0.0
    mask_padding: bool = True
    fusion: Fusion = "precision"
    head_hidden: int = 128
    head_dropout: float = 0.1
    latent_hidden: tuple[int, ...] = (192, 128, 128)
    latent: int = 128
    variance: Literal["softplus", "exp"] = "softplus"
    variance_floor: float = 1e-4
    initial_variance: float = 1.0
    samples: int = 0
    expectation_terms: int = 9

    def __post_init__(self):
        require_types(self, "model")
        require(len(self.modalities) > 0, "model: modalities is empty; give at least one")
        require(len(self.labels) > 0, "model: labels is empty; give at least one label name")
        for what, names in (("modality", self.modality_names), ("label", self.labels)):
            require(len(set(names)) == len(names), f"model: {what} names are not unique: {names}")
        require(
            self.variance_floor > 0,
            f"model: variance_floor={self.variance_floor} must be positive",
        )
        require(
            self.initial_variance > self.variance_floor,
            f"model: initial_variance={self.initial_variance} is not above the variance_floor="
            f"{self.variance_floor}",
        )

        require(
            self.expectation_terms == 0 or 3 <= self.expectation_terms <= 20,
            f"model: expectation_terms={self.expectation_terms} must be 0 or from 3 to 20",
        )

    @property
    def modality_names(self) -> tuple[str, ...]:
        """The names of the modalities, in order."""
        return tuple(m.name for m in self.modalities)
