import dataclasses
import json

import pytest

from lddu import config
from lddu.config import (
    PRESETS,
    CalibrationConfig,
    Config,
    EncoderConfig,
    ExecutionConfig,
    LossConfig,
    ModalityConfig,
    ModelConfig,
    TrainConfig,
    replace,
)

SHAPES = {"text": (8, 12), "audio": (6, 16)}
LABELS = ("joy", "anger")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["train"].update(lr=1.0), "lr"),
        (lambda d: d["model"]["encoder"].update(width=1), "width"),
        (lambda d: d["model"]["modalities"][0].update(rate=1), "rate"),
        (lambda d: d.update(extra={}), "extra"),
        (lambda d: d.pop("model"), "model"),
        (lambda d: d["model"].pop("labels"), "labels"),
        (lambda d: d["model"]["modalities"][0].pop("length"), "length"),
    ],
)
def test_from_json_names_the_unfitting_key(tiny, edit, message):
    values = json.loads(tiny.to_json())
    edit(values)
    with pytest.raises(ValueError, match=message):
        Config.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"model": null}', '{"model": []}'])
def test_from_json_refuses_other_text(text):
    with pytest.raises(ValueError, match=r"not a configuration written by Config\.to_json"):
        Config.from_json(text)


def test_from_json_checks_values(tiny):
    values = json.loads(tiny.to_json())
    values["train"]["epochs"] = 0
    with pytest.raises(ValueError, match="train: epochs=0"):
        Config.from_json(json.dumps(values))


def test_from_json_fills_in_defaults():
    text = json.dumps(
        {"model": {"modalities": [{"name": "a", "features": 1, "length": 2}], "labels": ["x"]}}
    )
    assert Config.from_json(text) == config.default({"a": (1, 2)}, ["x"])


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("paper", {"loss.unimodal": 0.3}, "loss.unimodal=0.3 needs model.fusion='precision'"),
        ("tiny", {"model.fusion": "gate"}, "loss.unimodal=0.3 needs .* not 'gate'"),
        ("tiny", {"model.fusion": "concatenation"}, "loss.unimodal=0.3 needs .*set it to 0"),
        ("tiny", {"loss.direct": 0.1}, "need model.fusion='gate'.*it is 'precision'"),
        ("tiny", {"loss.spread_target": "probability"}, "need model.fusion='gate'"),
        (
            "paper",
            {"model.fusion": "concatenation", "loss.direct": 0.0},
            "need model.fusion='gate'.*it is 'concatenation'",
        ),
    ],
)
def test_losses_that_the_fusion_cannot_serve(preset, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS[preset](SHAPES, LABELS), changes)


@pytest.mark.parametrize("fusion", ["gate", "concatenation"])
def test_other_fusions_need_only_the_unimodal_loss_off(tiny, fusion):
    cfg = replace(tiny, {"model.fusion": fusion, "loss.unimodal": 0.0})
    assert cfg.model.fusion == fusion
    # Switched off, a term needs nothing.
    replace(cfg, {"loss.spread": 0.0, "loss.spread_target": "probability"})


def test_from_json_refuses_wrong_execution_settings(tiny):
    for field, value in (("attention", "fast"), ("dtype", "int8"), ("steps_per_dispatch", -1)):
        values = json.loads(tiny.to_json())
        values["execution"][field] = value
        with pytest.raises(ValueError, match=field):
            Config.from_json(json.dumps(values))


def test_settings_of_execution_are_apart_from_the_others(tiny):
    names = {field.name for field in dataclasses.fields(ExecutionConfig)}
    for group in (tiny.model, tiny.model.encoder, tiny.loss, tiny.train, tiny.calibration):
        assert not names & {field.name for field in dataclasses.fields(group)}


@pytest.mark.parametrize(
    "cls",
    [
        CalibrationConfig,
        Config,
        EncoderConfig,
        ExecutionConfig,
        LossConfig,
        ModalityConfig,
        ModelConfig,
        TrainConfig,
    ],
)
def test_every_field_is_documented(cls):
    for field in dataclasses.fields(cls):
        assert f"\n      {field.name}: " in cls.__doc__
