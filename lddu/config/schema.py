"""The configuration dataclasses, their checks, and their JSON form."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

from lddu.config.calibration import CalibrationConfig
from lddu.config.checks import require

Similarity = Literal["cosine", "bhattacharyya"]
Fusion = Literal["precision", "equal", "gate", "concatenation"]
Monitor = Literal["nll", "micro_f1"]
Optimizer = Literal["adamw", "bert_adam"]


@dataclasses.dataclass(frozen=True)
class ModalityConfig:
    """One input stream.

    Attributes:
      name: Its key in `Batch.modalities`.
      features: Width D of a step.
      length: Longest sequence in steps; the position table has this size, over the stride.
      stride: Consecutive steps that a strided convolution merges into one before the encoder, whose
        cost grows with their number; for long sequences.
    """

    name: str
    features: int
    length: int
    stride: int = 1

    def __post_init__(self):
        require(self.features > 0, f"modality {self.name!r}: features={self.features}, not > 0")
        require(self.length > 0, f"modality {self.name!r}: length={self.length}, not > 0")
        require(self.stride > 0, f"modality {self.name!r}: stride={self.stride}, not > 0")


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The Transformer encoder, one per modality (METHOD: LDDU section 3.2; BERT's post-norm form).

    Attributes:
      hidden: Model width.
      layers: Number of Transformer layers.
      heads: Attention heads; divides `hidden`.
      feed_forward: Width of the feed-forward layer.
      dropout: Rate on hidden states.
      attention_dropout: Rate on attention weights.
      input_norm: LayerNorm over the features of each step before the projection.
      input_norm_epsilon: Its epsilon.
      layer_norm_epsilon: Epsilon of every other LayerNorm.
      kernel_std: Standard deviation of the initial weights; None scales it by the inputs (LeCun).
        BERT and the official code take 0.02.
      attention: "full" holds all attention weights in memory, "blocked" those of a block of steps,
        "cudnn" takes the fused kernel of a GPU; "auto" chooses between the first two by length. See
        `lddu.nn.attention`.
      row_block: Rows that the layers take at a time; the backward pass computes them again, so that
        memory does not grow with the rows of a batch. For long sequences; 0 takes all at once.
      dtype: What encoder and label-wise attention compute in, "float32" or "bfloat16". Parameters,
        softmaxes, layer norms' statistics, latent distributions and losses stay float32.
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
    attention: Literal["auto", "full", "blocked", "cudnn"] = "auto"
    row_block: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        for name, choices in (
            ("attention", ("auto", "full", "blocked", "cudnn")),
            ("dtype", ("float32", "bfloat16")),
        ):
            value = getattr(self, name)
            require(value in choices, f"encoder: {name}={value!r}; choose from {choices}")
        require(self.row_block >= 0, f"encoder: row_block={self.row_block} is negative")
        require(
            self.hidden % self.heads == 0,
            f"encoder: hidden={self.hidden} is not a multiple of heads={self.heads}",
        )
        for rate in ("dropout", "attention_dropout"):
            value = getattr(self, rate)
            require(0 <= value < 1, f"encoder: {rate}={value} is not in [0, 1)")

    @property
    def flops_per_step(self) -> float:
        """Approximate FLOPs of all layers for one step, without the products inside attention."""
        return self.layers * self.hidden * (8.0 * self.hidden + 4.0 * self.feed_forward)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
      modalities: The input streams, in the order used for `Prediction.weights`.
      labels: Label names, in the order of the columns of `Batch.labels`.
      encoder: The encoder of every modality.
      label_dropout: Dropout inside label-wise attention.
      statistics: Width of a branch that adds each sequence's masked mean and standard deviation to
        the label features, beside attention; 0 leaves it out. Helps on small data sets.
      statistics_dropout: Dropout on those pooled statistics.
      mask_padding: Whether padded steps are hidden from encoder and attention. The official code
        does not hide them.
      fusion: "precision" (product of experts), "equal" (the same weight for all, whatever their
        variance), "gate" (the official one) or "concatenation" of means and variances; see
        `lddu.nn.fusion`.
      head_hidden: Hidden width of the heads of "gate" and "concatenation".
      head_dropout: Dropout in those heads.
      latent_hidden: Widths of the MLP before the latent Gaussians.
      latent: Latent dimensions Z of each Gaussian.
      variance: How a variance comes from a network output: "softplus" plus a floor, or "exp", as
        in the official code, unbounded at both ends.
      variance_floor: Smallest latent variance under "softplus".
      initial_variance: Latent variance of every modality before training.
      samples: K reparameterised samples for E[sigmoid(logit)] in training; 0 uses the closed form.
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

    def __post_init__(self):
        require(len(self.modalities) > 0, "model: modalities is empty; give at least one")
        require(len(self.labels) > 0, "model: labels is empty; give at least one label name")
        for what, names in (("modality", self.modality_names), ("label", self.labels)):
            require(len(set(names)) == len(names), f"model: {what} names are not unique: {names}")
        for name, choices in (
            ("fusion", ("precision", "equal", "gate", "concatenation")),
            ("variance", ("softplus", "exp")),
        ):
            value = getattr(self, name)
            require(value in choices, f"model: {name}={value!r}; choose from {choices}")
        require(self.variance_floor > 0, "model: variance_floor must be > 0")
        require(
            self.initial_variance > self.variance_floor,
            f"model: initial_variance={self.initial_variance} is not above the variance_floor="
            f"{self.variance_floor}",
        )

    @property
    def modality_names(self) -> tuple[str, ...]:
        """The names of the modalities, in order."""
        return tuple(m.name for m in self.modalities)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The objective: weights of its terms, each 0 when switched off.

    Attributes:
      unimodal: Mean likelihood of each modality's own posterior through the shared head.
      direct: Likelihood of the gate's direct probability; needs fusion "gate".
      contrastive: Contrastive disentanglement of the latent distributions, with a memory bank.
      spread: Calibration of the spread of the latent distributions.
      spread_target: What the spread should follow: "error" over the batch, or "probability", as
        the official code computes it.
      kl: KL from the modality posteriors to the standard-normal prior, nats per label and modality.
      label_smoothing: Pulls targets this share of the way to 1/2.
      temperature: Temperature of the contrastive similarities.
      similarity: Between Gaussians: cosine of [mean; deviation], or the Bhattacharyya coefficient.
      cross_modal_positives: Whether the same label state in two modalities is a positive pair
        (rather than a negative one, as in the official code).
      anchors: Whose losses are averaged: the "batch"'s own, or those of the "bank" too, as in the
        official code.
      bank_size: Past features kept for contrast; 0 contrasts within the batch only.
      bank_start: The bank before the first step: "empty", or "random" features and classes, as in
        the official code.
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
        for name in ("unimodal", "direct", "contrastive", "spread", "kl"):
            value = getattr(self, name)
            require(value >= 0, f"loss: {name}={value} is negative; 0 switches a term off")
        require(self.temperature > 0, f"loss: temperature={self.temperature} is not > 0")
        require(self.bank_size >= 0, f"loss: bank_size={self.bank_size} is negative")
        for name, choices in (
            ("similarity", ("cosine", "bhattacharyya")),
            ("spread_target", ("error", "probability")),
            ("anchors", ("batch", "bank")),
            ("bank_start", ("empty", "random")),
        ):
            value = getattr(self, name)
            require(value in choices, f"loss: {name}={value!r}; choose from {choices}")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
      batch_size: Rows per step.
      epochs: At most this many passes over the training data; the cosine ends there.
      optimizer: "adamw", or "bert_adam", the official LDDU's.
      learning_rate: Peak of the schedule.
      warmup: Share of all steps spent warming up linearly.
      weight_decay: Decoupled, on matrices only (not on biases, norms, positions).
      clip_norm: Global gradient norm limit.
      modality_dropout: Probability of hiding each present modality of a sample in a step.
      step_dropout: Most of its steps that a sequence loses in a step; its share starts at none.
      feature_noise: Standard deviation of Gaussian noise added to normalised features in a step.
      patience: Epochs without a better validation score before stopping; 0 never stops early.
      monitor: Validation score that chooses the epoch: "nll" or "micro_f1".
      average: Decay per step of an exponential moving average of the weights, which is then what
        is validated and kept; 0 keeps the raw weights.
      members: Ensemble members, trained from different seeds and averaged in prediction.
      parallel_members: Whether members train at the same time, as one vectorised program, or one
        after the other: "always", "never", or "auto", at the same time if there are several and
        JAX's default backend is not "cpu", where it gains nothing. Both ways share initial weights
        and order of examples, and dropout, but draw other noise and samples.
      packing: Whether samples share rows in the encoder where most sequences are shorter than their
        padding (see `lddu.packing.plan`), on one device or per ensemble member. Changes the cost
        of a step and, with dropout, its draws.
      steps_per_dispatch: Steps per call of the compiled program; more pay for small models on an
        accelerator. Steps of one call are packed alike, so that with dropout its draws may differ.
      devices: At most this many (of each process); 0 for all, or for one where they are CPUs. They
        share the rows of a batch and, if members train at the same time, the members. But for
        rounding, and the draws of members that train at the same time, the result is the same (see
        `lddu.training.sharding`).
      seed: Root of all randomness in the run.
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
    parallel_members: Literal["auto", "never", "always"] = "auto"
    packing: bool = True
    steps_per_dispatch: int = 1
    devices: int = 0
    seed: int = 0

    def __post_init__(self):
        for name in ("batch_size", "epochs", "members", "steps_per_dispatch"):
            value = getattr(self, name)
            require(value >= 1, f"train: {name}={value} is not at least 1")
        for name in ("warmup", "modality_dropout", "step_dropout", "average"):
            value = getattr(self, name)
            require(0 <= value < 1, f"train: {name}={value} is not in [0, 1)")
        require(
            self.optimizer in ("adamw", "bert_adam"),
            f"train: optimizer={self.optimizer!r}; choose 'adamw' or 'bert_adam'",
        )
        require(
            self.monitor in ("nll", "micro_f1"),
            f"train: monitor={self.monitor!r}; choose 'nll' or 'micro_f1'",
        )
        require(
            self.parallel_members in ("auto", "never", "always"),
            f"train: parallel_members={self.parallel_members!r}; choose 'auto', 'never' or "
            "'always'",
        )
        require(self.devices >= 0, f"train: devices={self.devices} is negative; 0 takes all")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines a run, apart from the data."""

    model: ModelConfig
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    calibration: CalibrationConfig = dataclasses.field(default_factory=CalibrationConfig)

    def __post_init__(self):
        fusion = self.model.fusion
        require(
            fusion in ("precision", "equal") or self.loss.unimodal == 0,
            f"loss.unimodal={self.loss.unimodal} needs model.fusion='precision' or 'equal', not "
            f"{fusion!r}: only there can a modality predict alone; set it to 0",
        )
        official = self.loss.direct > 0 or (
            self.loss.spread > 0 and self.loss.spread_target == "probability"
        )
        require(
            fusion == "gate" or not official,
            "loss.direct and loss.spread_target='probability' need model.fusion='gate', which has "
            f"a direct probability; it is {fusion!r}",
        )

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal configuration."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Reads `to_json`'s text, also of versions that knew no calibrator but temperatures.

        Raises:
          ValueError: If a key is unknown or missing, naming it.
        """
        try:
            return _build(cls, json.loads(text))
        except (TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a configuration written by Config.to_json: {error}") from error


def _build(cls: type, values: Mapping[str, Any]) -> Any:
    """Builds nested dataclasses from plain JSON values."""
    nested = {
        "model": ModelConfig,
        "loss": LossConfig,
        "train": TrainConfig,
        "encoder": EncoderConfig,
    }
    built = {}
    for name, value in values.items():
        if name == "calibration":
            built[name] = _build(CalibrationConfig, _with_method(value))
        elif name in nested:
            built[name] = _build(nested[name], value)
        elif name == "modalities":
            built[name] = tuple(ModalityConfig(**m) for m in value)
        else:
            built[name] = tuple(value) if isinstance(value, list) else value
    return cls(**built)


def _with_method(calibration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Names the method where an older version wrote a kind of temperature."""
    if "temperature" not in calibration or "method" in calibration:
        return calibration
    calibration = dict(calibration)
    kind = calibration.pop("temperature")
    methods = {"none": "none", "shared": "temperature", "per_label": "temperature_per_label"}
    require(kind in methods, f"calibration: temperature={kind!r}; choose from {tuple(methods)}")
    # 0 was its default, and is what None is for temperatures.
    shrinkage = calibration.get("shrinkage") or None
    return {"method": methods[kind], **calibration, "shrinkage": shrinkage}
