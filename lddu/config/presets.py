"""Presets: configurations to start from, given the shapes of the data and the label names."""

from collections.abc import Mapping, Sequence
from typing import Any

from lddu.config.calibration import CalibrationConfig
from lddu.config.checks import require
from lddu.config.loss import LossConfig
from lddu.config.model import EncoderConfig, ModalityConfig, ModelConfig
from lddu.config.schema import Config
from lddu.config.training import TrainConfig

Modalities = Mapping[str, tuple[int, int]] | Sequence[ModalityConfig]


def _model(modalities: Modalities, labels: Sequence[str], **options: Any) -> ModelConfig:
    require(not isinstance(labels, str), f"labels={labels!r} is one text; give a list of names")
    if isinstance(modalities, Mapping):
        for name, shape in modalities.items():
            require(
                isinstance(shape, Sequence) and len(shape) == 2,
                f"modality {name!r}: {shape!r} must be a pair (features, length)",
            )
        modalities = [ModalityConfig(name, *shape) for name, shape in modalities.items()]
    return ModelConfig(tuple(modalities), tuple(labels), **options)


def paper(modalities: Modalities, labels: Sequence[str]) -> Config:
    """Returns the official LDDU: forward pass, losses and optimiser as its code computes them.

    For comparison with the paper. Each difference from the default model is one field.

    Args:
      modalities: {name: (features, length)}, or `ModalityConfig`s. For converted weights they
        must be in the order vision, audio, text, in which the heads concatenate them.
      labels: Label names, any number.

    Returns:
      The configuration.

    Example:
      >>> from lddu import config
      >>> cfg = config.paper({"vision": (35, 60), "text": (300, 60)}, ["happy", "sad"])
      >>> cfg.model.fusion, cfg.train.optimizer
      ('gate', 'bert_adam')

    References:
      Huang et al., arXiv:2502.13954; github.com/201983290498/lddu_mmer at commit ae79204.
    """
    return Config(
        _model(
            modalities,
            labels,
            encoder=EncoderConfig(input_norm_epsilon=1e-12, kernel_std=0.02),
            mask_padding=False,
            fusion="gate",
            variance="exp",
        ),
        LossConfig(
            unimodal=0.0,
            direct=0.3,
            contrastive=1.0,
            spread=0.3,
            spread_target="probability",
            kl=0.0,
            cross_modal_positives=False,
            anchors="bank",
            bank_start="random",
        ),
        TrainConfig(optimizer="bert_adam", learning_rate=2e-4, patience=0),
        CalibrationConfig(method="none"),
    )


def default(modalities: Modalities, labels: Sequence[str]) -> Config:
    """Returns the full-size model: hidden 256, three layers, latent 128.

    For 10,000 samples and more.

    Args:
      modalities: {name: (features, length)}, or `ModalityConfig`s.
      labels: Label names.

    Returns:
      The configuration.

    Example:
      >>> from lddu import config
      >>> cfg = config.default({"text": (300, 60), "audio": (74, 60)}, ["happy", "sad"])
      >>> cfg.model.encoder.hidden, cfg.model.latent
      (256, 128)
    """
    return Config(_model(modalities, labels))


def small(modalities: Modalities, labels: Sequence[str]) -> Config:
    """Returns a small model: hidden 64, one layer, latent 16.

    For a few thousand samples, or a laptop.

    Args:
      modalities: {name: (features, length)}, or `ModalityConfig`s.
      labels: Label names.

    Returns:
      The configuration.

    Example:
      >>> from lddu import config
      >>> cfg = config.small({"text": (300, 60), "audio": (74, 60)}, ["happy", "sad"])
      >>> cfg.model.encoder.hidden, cfg.model.latent
      (64, 16)
    """
    encoder = EncoderConfig(
        hidden=64, layers=1, heads=4, feed_forward=128, dropout=0.1, attention_dropout=0.1
    )
    return Config(
        _model(modalities, labels, encoder=encoder, latent_hidden=(64,), latent=16),
        LossConfig(bank_size=2048),
        TrainConfig(learning_rate=1e-3, epochs=15),
    )


def tiny(modalities: Modalities, labels: Sequence[str]) -> Config:
    """Returns a tiny model: hidden 16, one layer, latent 4.

    For tests and first steps: it compiles fast.

    Args:
      modalities: {name: (features, length)}, or `ModalityConfig`s.
      labels: Label names.

    Returns:
      The configuration.

    Example:
      >>> from lddu import config
      >>> cfg = config.tiny({"text": (300, 60), "audio": (74, 60)}, ["happy", "sad"])
      >>> cfg.model.encoder.hidden, cfg.model.modality_names
      (16, ('text', 'audio'))
    """
    encoder = EncoderConfig(
        hidden=16, layers=1, heads=2, feed_forward=16, dropout=0.0, attention_dropout=0.0
    )
    return Config(
        _model(
            modalities, labels, encoder=encoder, label_dropout=0.0, latent_hidden=(16,), latent=4
        ),
        LossConfig(bank_size=128),
        TrainConfig(batch_size=16, learning_rate=1e-2, epochs=3),
    )


PRESETS = {"paper": paper, "default": default, "small": small, "tiny": tiny}
