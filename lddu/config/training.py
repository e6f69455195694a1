"""The configuration of training: what a run does, apart from how it is computed."""

import dataclasses
from typing import Literal

from lddu.config.checks import require, require_types

Monitor = Literal["nll", "micro_f1"]
Optimizer = Literal["adamw", "bert_adam"]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The training of a run.

    Attributes:
      batch_size: Rows per optimisation step.
      epochs: Largest number of passes over the training data; the cosine schedule ends there.
      optimizer: "adamw", or "bert_adam", the official LDDU's.
      learning_rate: Peak learning rate of the schedule.
      warmup: Share of all steps with a linearly rising learning rate, in [0, 1).
      weight_decay: Decoupled weight decay, on matrices only (not on biases, norms, positions).
      clip_norm: Largest global norm of the gradient; larger gradients are scaled down to it.
      modality_dropout: Probability of hiding each present modality of a sample in a step.
      step_dropout: Largest share of its steps that a sequence loses in an optimisation step; the
        share is drawn uniformly from 0 to this value.
      feature_noise: Standard deviation of the Gaussian noise added to normalised features.
      patience: Epochs without a better validation score before training stops; 0 never stops early.
      monitor: Validation score that chooses the epoch: "nll" or "micro_f1".
      average: Decay per step of an exponential moving average of the weights, which is then
        validated and kept in their place; 0 keeps the raw weights.
      members: Number of ensemble members, trained from different seeds and averaged in prediction.
      seed: Seed that all randomness of the run derives from.
    """

    batch_size: int = 64
    epochs: int = 30
    optimizer: Optimizer = "adamw"
    learning_rate: float = 3e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    modality_dropout: float = 0.0
    step_dropout: float = 0.0
    feature_noise: float = 0.0
    patience: int = 5
    monitor: Monitor = "nll"
    average: float = 0.0
    members: int = 1
    seed: int = 0

    def __post_init__(self):
        require_types(self, "train")
        for name in ("batch_size", "epochs", "members"):
            value = getattr(self, name)
            require(value >= 1, f"train: {name}={value} must be at least 1")
        for name in ("warmup", "modality_dropout", "step_dropout", "average"):
            value = getattr(self, name)
            require(0 <= value < 1, f"train: {name}={value} is not in [0, 1)")
