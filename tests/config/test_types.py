"""Every field of every configuration holds its type, or the error names field, type and value."""

import dataclasses
import math
import types
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from lddu import config
from lddu.config import Config, ModalityConfig

CFG = config.default({"text": (8, 12)}, ["joy", "anger"])
PARTS = {
    "config": CFG,
    "model": CFG.model,
    "encoder": CFG.model.encoder,
    "modality 'text'": CFG.model.modalities[0],
    "loss": CFG.loss,
    "train": CFG.train,
    "calibration": CFG.calibration,
    "execution": CFG.execution,
}
FIELDS = [(group, field) for group, part in PARTS.items() for field in dataclasses.fields(part)]
OTHERS = ["7", None, [1.5], {"a": 1}, True, 2, 2.5, math.nan, b"7", 1j, np.zeros(2)]


def fits(value, kind):
    """Whether a value has a type, told in other words than the library's."""
    if get_origin(kind) is types.UnionType:
        return value is None or fits(value, get_args(kind)[0])
    if get_origin(kind) is Literal:
        return any(value is choice for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return type(value) in (tuple, list) and all(fits(x, get_args(kind)[0]) for x in value)
    if kind is float:
        return type(value) in (int, float) and value == value
    return type(value) is kind


def test_no_dataclass_is_forgotten():
    used = {type(part) for part in PARTS.values()}
    assert used == {x for x in vars(config).values() if dataclasses.is_dataclass(x)}


@pytest.mark.parametrize(("group", "field"), FIELDS, ids=lambda x: getattr(x, "name", x))
def test_a_value_of_another_type_is_named(group, field):
    wrong = [value for value in OTHERS if not fits(value, field.type)]
    assert len(wrong) >= 7
    for value in wrong:
        changes = {field.name: value}
        with pytest.raises(ValueError) as caught:
            dataclasses.replace(PARTS[group], **changes)
        # The name of a modality stands in its own messages, and here it is the wrong value.
        start = group if (group, field.name) != ("modality 'text'", "name") else "modality"
        text = str(caught.value)
        assert text.startswith(start)
        assert f"{field.name}" in text
        if type(value) is list:  # of a tuple, the element is named
            assert "1.5" in text
        else:
            assert repr(value) in text
            not_a_number = field.type in (float, float | None) and type(value) is float
            if get_origin(field.type) is not Literal and not not_a_number:
                assert f"is a {type(value).__name__}" in text


@pytest.mark.parametrize(("group", "field"), FIELDS, ids=lambda x: getattr(x, "name", x))
def test_its_own_value_stays(group, field):
    value = getattr(PARTS[group], field.name)
    assert fits(value, field.type) or dataclasses.is_dataclass(value)
    assert dataclasses.replace(PARTS[group], **{field.name: value}) == PARTS[group]


def test_numbers_of_numpy_and_lists_become_plain():
    modality = ModalityConfig("text", np.int64(8), np.int32(12))
    assert type(modality.features) is type(modality.length) is int
    model = dataclasses.replace(CFG.model, labels=["joy", "anger"], label_dropout=np.float32(0.5))
    assert model.labels == ("joy", "anger")
    assert type(model.label_dropout) is float
    cfg = dataclasses.replace(CFG, model=model)
    assert Config.from_json(cfg.to_json()) == cfg
    assert hash(model) == hash(dataclasses.replace(model, labels=("joy", "anger")))


@pytest.mark.parametrize(
    ("shapes", "labels", "message"),
    [
        ({"text": (8, 12)}, "joy", "labels='joy' is one text; give a list of names"),
        ({"text": 8}, ["joy"], r"modality 'text': 8 must be a pair \(features, length\)"),
        ({"text": (8,)}, ["joy"], r"modality 'text': \(8,\) must be a pair"),
        (
            {"text": ("8", 12)},
            ["joy"],
            "modality 'text': features='8' is a str, must be an integer",
        ),
        ({"text": (8, 12)}, ["joy", 3], r"model: labels\[1\]=3 is a int, must be a text"),
    ],
)
@pytest.mark.parametrize("preset", config.PRESETS.values(), ids=config.PRESETS)
def test_presets_name_shapes_and_labels_of_another_type(preset, shapes, labels, message):
    with pytest.raises(ValueError, match=message):
        preset(shapes, labels)


def test_heads_of_zero_are_named():
    with pytest.raises(ValueError, match="encoder: heads=0 must be positive"):
        config.replace(CFG, {"model.encoder.heads": 0})
