"""Values that the groups of settings refuse, group by group."""

import dataclasses
from typing import Literal, get_args

import pytest

from lddu.calibration import CALIBRATORS
from lddu.config import (
    CalibrationConfig,
    CalibrationMethod,
    EncoderConfig,
    ExecutionConfig,
    LossConfig,
    ModalityConfig,
    ModelConfig,
    TrainConfig,
)
from lddu.config.checks import require_choices

MODALITIES = (ModalityConfig("text", 8, 12), ModalityConfig("audio", 6, 16))


def model(**options):
    return ModelConfig(**{"modalities": MODALITIES, "labels": ("a", "b"), **options})


def refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ModalityConfig("a", 0, 3), "modality 'a': features=0 must be positive"),
        (lambda: ModalityConfig("a", 3, -1), "modality 'a': length=-1 must be positive"),
        (lambda: ModalityConfig("a", 3, 4, 0), "modality 'a': stride=0 must be positive"),
        (lambda: ModalityConfig("a", 3, 4, stride=-2), "modality 'a': stride=-2 must be positive"),
        (lambda: EncoderConfig(hidden=10, heads=4), "hidden=10 is not a multiple of heads=4"),
        (lambda: EncoderConfig(dropout=1.0), r"encoder: dropout=1.0 is not in \[0, 1\)"),
        (lambda: EncoderConfig(attention_dropout=-0.1), "encoder: attention_dropout=-0.1 is not"),
        (lambda: model(modalities=()), "modalities is empty"),
        (lambda: model(labels=()), "labels is empty"),
        (lambda: model(modalities=MODALITIES[:1] * 2), "modality names are not unique: .*text"),
        (lambda: model(labels=("a", "a")), "label names are not unique"),
        (lambda: model(variance_floor=0.0), "variance_floor=0.0 must be positive"),
        (lambda: model(initial_variance=1e-5), "initial_variance=1e-05 is not above"),
        (lambda: model(fusion="mean"), "model: fusion='mean'; choose from .*'gate'"),
        (lambda: model(variance="relu"), "model: variance='relu'; choose from .*'exp'"),
    ],
)
def test_model(build, message):
    refused(build, message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unimodal": -1.0}, "loss: unimodal=-1.0 is negative"),
        ({"direct": -1.0}, "loss: direct=-1.0 is negative"),
        ({"contrastive": -1.0}, "loss: contrastive=-1.0 is negative"),
        ({"spread": -1.0}, "loss: spread=-1.0 is negative"),
        ({"kl": -1.0}, "loss: kl=-1.0 is negative"),
        ({"kl": float("nan")}, "loss: kl=nan"),
        ({"temperature": 0.0}, "loss: temperature=0.0 must be positive"),
        ({"bank_size": -1}, "loss: bank_size=-1 is negative"),
        ({"spread_target": "loss"}, "loss: spread_target='loss'; choose from 'error', 'prob"),
        ({"anchors": "all"}, "loss: anchors='all'; choose from 'batch', 'bank'"),
        ({"bank_start": "full"}, "loss: bank_start='full'; choose from 'empty', 'random'"),
        ({"similarity": "dot"}, "loss: similarity='dot'; choose from 'cosine', 'bhatt"),
    ],
)
def test_loss(options, message):
    refused(lambda: LossConfig(**options), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "train: batch_size=0 must be at least 1"),
        ({"epochs": 0}, "train: epochs=0 must be at least 1"),
        ({"members": 0}, "train: members=0 must be at least 1"),
        ({"warmup": 1.0}, r"train: warmup=1.0 is not in \[0, 1\)"),
        ({"modality_dropout": -0.5}, "train: modality_dropout=-0.5 is not"),
        ({"step_dropout": 1.0}, "train: step_dropout=1.0 is not"),
        ({"average": 1.0}, "train: average=1.0 is not"),
        ({"optimizer": "sgd"}, "train: optimizer='sgd'; choose from 'adamw', 'bert_adam'"),
        ({"monitor": "loss"}, "train: monitor='loss'; choose from 'nll', 'micro_f1'"),
    ],
)
def test_training(options, message):
    refused(lambda: TrainConfig(**options), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "all"}, "calibration: method='all'; choose from .*'isotonic'"),
        ({"anchor": "zero"}, "calibration: anchor='zero'; choose from 'base_rate', 'half'"),
        ({"thresholds": "none"}, "calibration: thresholds='none'; choose from 'shared'"),
        ({"shrinkage": -1.0}, "calibration: shrinkage=-1.0 must be finite and not negative"),
        ({"shrinkage": float("inf")}, "shrinkage=inf must be finite"),
        ({"method": "platt", "shrinkage": 0.0}, "must be > 0 for method='platt'.*None"),
        ({"method": "choose", "shrinkage": 0.0}, "must be > 0 for method='choose'"),
    ],
)
def test_calibration(options, message):
    refused(lambda: CalibrationConfig(**options), message)


def test_calibration_methods_are_the_calibrators():
    assert set(get_args(CalibrationMethod)) == {*CALIBRATORS, "choose"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": -1}, "execution: devices=-1 is negative; 0 uses all"),
        ({"steps_per_dispatch": 0}, "execution: steps_per_dispatch=0 must be at least 1"),
        ({"row_block": -1}, "execution: row_block=-1 is negative"),
        ({"attention": "flash"}, "execution: attention='flash'; choose from .*'cudnn'"),
        ({"dtype": "float16"}, "execution: dtype='float16'; choose from 'float32', 'bfloat16'"),
        ({"parallel_members": "yes"}, "execution: parallel_members='yes'; choose from 'auto'"),
    ],
)
def test_execution(options, message):
    refused(lambda: ExecutionConfig(**options), message)


def test_choices_come_from_the_annotations():
    @dataclasses.dataclass
    class Settings:
        size: int
        color: Literal["red", "green"]

    require_choices(Settings(7, "red"), "group")
    with pytest.raises(ValueError, match="group: color='blue'; choose from 'red', 'green'"):
        require_choices(Settings(7, "blue"), "group")
