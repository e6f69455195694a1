import dataclasses
import functools
import json
from typing import get_args

import pytest

from lddu import config
from lddu.config import (
    PRESETS,
    CalibrationConfig,
    CalibrationMethod,
    Config,
    EncoderConfig,
    ExecutionConfig,
    LossConfig,
    ModalityConfig,
    ModelConfig,
    TrainConfig,
    replace,
)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["train"].update(lr=1.0), "lr"),
        (lambda d: d["execution"].update(threads=2), "threads"),
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


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (("train",), "epochs", 0),
        (("execution",), "attention", "fast"),
        (("execution",), "dtype", "int8"),
        (("execution",), "steps_per_dispatch", -1),
        (("model",), "fusion", "mean"),
    ],
)
def test_from_json_checks_values(tiny, path, field, value):
    values = json.loads(tiny.to_json())
    functools.reduce(dict.get, path, values)[field] = value
    with pytest.raises(ValueError, match=f"{path[-1]}: {field}={value!r}"):
        Config.from_json(json.dumps(values))


def test_from_json_fills_in_defaults():
    text = json.dumps(
        {"model": {"modalities": [{"name": "a", "features": 1, "length": 2}], "labels": ["x"]}}
    )
    assert Config.from_json(text) == config.default({"a": (1, 2)}, ["x"])


@pytest.mark.parametrize("method", get_args(CalibrationMethod))
def test_every_calibration_method_survives_json(tiny, method):
    for shrinkage in (None, 2.5):
        changes = {"calibration.method": method, "calibration.shrinkage": shrinkage}
        cfg = replace(tiny, changes)
        assert Config.from_json(cfg.to_json()) == cfg


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
def test_losses_that_the_fusion_cannot_serve(data, preset, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS[preset](data.shapes, data.labels), changes)


@pytest.mark.parametrize("fusion", ["gate", "concatenation"])
def test_other_fusions_need_only_the_unimodal_loss_off(tiny, fusion):
    cfg = replace(tiny, {"model.fusion": fusion, "loss.unimodal": 0.0})
    assert cfg.model.fusion == fusion
    # Switched off, a term needs nothing.
    replace(cfg, {"loss.spread": 0.0, "loss.spread_target": "probability"})


@pytest.mark.parametrize(
    "kind",
    [
        Config,
        ModalityConfig,
        EncoderConfig,
        ModelConfig,
        LossConfig,
        TrainConfig,
        CalibrationConfig,
        ExecutionConfig,
    ],
)
def test_every_field_is_documented(kind):
    for field in dataclasses.fields(kind):
        assert f"\n      {field.name}: " in kind.__doc__
