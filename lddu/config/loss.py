"""The configuration of the objective."""

import dataclasses
from typing import Literal

from lddu.config.checks import require, require_types

Similarity = Literal["cosine", "bhattacharyya"]


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The objective: weights of its terms, each 0 when switched off.

    Attributes:
      unimodal: Weight of the likelihood of each modality's own posterior, through the shared head.
      direct: Weight of the likelihood of the gate's direct probability; needs fusion "gate".
      contrastive: Weight of the contrastive disentanglement of the latent Gaussians.
      spread: Weight of the calibration of the latent Gaussians' spread.
      spread_target: What the spread is trained to follow: the "error" over the batch, or the
        "probability", as in the official code.
      kl: Weight of the KL divergence from each modality's Gaussian to the standard-normal prior, in
        nats per label and modality.
      label_smoothing: Share of the way by which targets are moved towards 1/2, in [0, 1].
      temperature: Temperature of the contrastive similarities.
      similarity: Similarity of two Gaussians: "cosine" of [mean; deviation], or the coefficient of
        "bhattacharyya".
      cross_modal_positives: Whether the same label state in two modalities is a positive pair; in
        the official code it is a negative one.
      anchors: Which anchors the contrastive loss is averaged over: those of the "batch", or those
        of the "bank" too, as in the official code.
      bank_size: Number of past features kept for contrast; 0 contrasts within the batch only.
      bank_start: Content of the bank before the first step: "empty", or "random" features and
        classes, as in the official code.
    """

    unimodal: float = 0.3
    direct: float = 0.0
    contrastive: float = 0.1
    spread: float = 0.1
    spread_target: Literal["error", "probability"] = "error"
    kl: float = 1e-3
    label_smoothing: float = 0.0
    temperature: float = 0.07
    similarity: Similarity = "cosine"
    cross_modal_positives: bool = True
    anchors: Literal["batch", "bank"] = "batch"
    bank_size: int = 8192
    bank_start: Literal["empty", "random"] = "empty"

    def __post_init__(self):
        require_types(self, "loss")
        for name in ("unimodal", "direct", "contrastive", "spread", "kl"):
            value = getattr(self, name)
            require(value >= 0, f"loss: {name}={value} is negative; 0 switches a term off")
        require(self.temperature > 0, f"loss: temperature={self.temperature} must be positive")
        require(self.bank_size >= 0, f"loss: bank_size={self.bank_size} is negative")
