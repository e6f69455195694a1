import dataclasses
import functools
import json
from typing import get_args

import pytest

from lddu import config
from lddu.calibration import CALIBRATORS
from lddu.config import (
    PRESETS,
    CalibrationConfig,
    CalibrationMethod,
    Config,
    EncoderConfig,
    LossConfig,
    ModalityConfig,
    ModelConfig,
    TrainConfig,
    replace,
)

SHAPES = {"text": (8, 12), "audio": (6, 16)}
LABELS = ("joy", "anger")
MODALITIES = tuple(ModalityConfig(name, *shape) for name, shape in SHAPES.items())


@pytest.fixture
def tiny():
    return config.tiny(SHAPES, LABELS)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
class TestPresets:
    def test_json_round_trip(self, preset):
        cfg = preset(SHAPES, LABELS)
        back = Config.from_json(cfg.to_json())
        assert back == cfg
        assert hash(back) == hash(cfg)  # lists in place of tuples would not hash

    def test_round_trip_of_every_changed_field(self, preset):
        cfg = replace(
            preset(SHAPES, LABELS),
            {
                "loss.similarity": "bhattacharyya",
                "loss.cross_modal_positives": False,
                "loss.temperature": 0.1 + 0.2,
                "train.monitor": "micro_f1",
                "train.seed": 7,
                "model.latent_hidden": (),
                "model.encoder.input_norm": False,
                "model.modalities": (ModalityConfig("text", 8, 12, 3), *MODALITIES[1:]),
                "model.encoder.attention": "blocked",
                "model.encoder.row_block": 2,
                "model.encoder.dtype": "bfloat16",
                "train.packing": False,
                "train.steps_per_dispatch": 4,
                "calibration.method": "choose",
                "calibration.shrinkage": 300.0,
            },
        )
        assert Config.from_json(cfg.to_json()) == cfg != preset(SHAPES, LABELS)

    def test_takes_shapes_or_modality_configs(self, preset):
        cfg = preset(SHAPES, list(LABELS))
        assert cfg == preset(MODALITIES, LABELS)
        assert cfg.model.modalities == MODALITIES
        assert cfg.model.modality_names == ("text", "audio")
        assert cfg.model.labels == LABELS


def test_presets_grow():
    tiny, small, default = (PRESETS[n](SHAPES, LABELS).model for n in ("tiny", "small", "default"))
    assert tiny.encoder.hidden < small.encoder.hidden < default.encoder.hidden == 256
    assert tiny.latent < small.latent < default.latent == 128


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


def test_from_json_reads_versions_without_strides_forms_and_packing(tiny):
    values = json.loads(tiny.to_json())
    for name in ("attention", "row_block", "dtype"):
        del values["model"]["encoder"][name]
    for modality in values["model"]["modalities"]:
        del modality["stride"]
    for name in ("packing", "steps_per_dispatch"):
        del values["train"][name]
    assert Config.from_json(json.dumps(values)) == tiny


def test_a_wrong_value_of_a_new_field_is_refused_from_json_too(tiny):
    for path, field, value in (
        (("model", "encoder"), "attention", "fast"),
        (("model", "encoder"), "dtype", "int8"),
        (("train",), "steps_per_dispatch", -1),
    ):
        values = json.loads(tiny.to_json())
        functools.reduce(dict.get, path, values)[field] = value
        with pytest.raises(ValueError, match=field):
            Config.from_json(json.dumps(values))


def test_methods_are_the_calibrators_there_are():
    assert set(get_args(CalibrationMethod)) == {*CALIBRATORS, "choose"}


@pytest.mark.parametrize("method", get_args(CalibrationMethod))
def test_every_method_survives_json(tiny, method):
    for shrinkage in (None, 2.5):
        changes = {"calibration.method": method, "calibration.shrinkage": shrinkage}
        cfg = replace(tiny, changes)
        assert Config.from_json(cfg.to_json()) == cfg


@pytest.mark.parametrize(
    ("kind", "method"),
    [("none", "none"), ("shared", "temperature"), ("per_label", "temperature_per_label")],
)
def test_from_json_reads_kinds_of_temperature(tiny, kind, method):
    values = json.loads(tiny.to_json())
    for written, read in ((0.0, None), (300.0, 300.0)):
        values["calibration"] = {"temperature": kind, "anchor": "half", "shrinkage": written}
        want = CalibrationConfig(method, "half", read)
        assert Config.from_json(json.dumps(values)).calibration == want
    values["calibration"] = {"temperature": "all"}
    with pytest.raises(ValueError, match="temperature='all'; choose from"):
        Config.from_json(json.dumps(values))
    values["calibration"] = {"temperature": kind, "method": "platt"}
    with pytest.raises(ValueError, match="temperature"):
        Config.from_json(json.dumps(values))


class TestReplace:
    def test_changes_what_it_names_and_nothing_else(self, tiny):
        new = replace(tiny, {"train.epochs": 9, "model.encoder.hidden": 32, "loss": LossConfig()})
        assert (new.train.epochs, new.model.encoder.hidden, new.loss) == (9, 32, LossConfig())
        undone = replace(new, {"train": tiny.train, "model": tiny.model, "loss": tiny.loss})
        assert undone == tiny
        assert tiny.train.epochs == 3
        assert replace(tiny, {}) == tiny

    def test_changes_are_made_together(self):
        # 36 is no multiple of 8, nor 256 of 6: no order of single changes is valid throughout.
        changes = {"model.encoder.hidden": 36, "model.encoder.heads": 6}
        encoder = replace(config.default(SHAPES, LABELS), changes).model.encoder
        assert (encoder.hidden, encoder.heads) == (36, 6)

    def test_whole_and_part(self, tiny):
        for order in (1, -1):
            changes = list({"train": TrainConfig(seed=5), "train.epochs": 4}.items())[::order]
            assert replace(tiny, dict(changes)).train == TrainConfig(seed=5, epochs=4)

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("epochs", r"no field 'epochs': Config has model, loss, train, calibration"),
            ("train.lr", r"no field 'train.lr': TrainConfig has batch_size, "),
            ("model.encoder.width", r"no field 'model.encoder.width': EncoderConfig has hidden"),
            ("train.epochs.more", r"no field 'train.epochs.more': int has"),
            ("train.", r"no field 'train.': TrainConfig has"),
            ("", r"no field '': Config has"),
        ],
    )
    def test_unknown_path(self, tiny, path, message):
        with pytest.raises(ValueError, match=message):
            replace(tiny, {path: 1})

    def test_checks_the_new_value(self, tiny):
        with pytest.raises(ValueError, match="hidden=15 is not a multiple of heads=2"):
            replace(tiny, {"model.encoder.hidden": 15})


def model(**options):
    return ModelConfig(**{"modalities": MODALITIES, "labels": LABELS, **options})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ModalityConfig("a", 0, 3), "modality 'a': features=0, not > 0"),
        (lambda: ModalityConfig("a", 3, -1), "modality 'a': length=-1, not > 0"),
        (lambda: ModalityConfig("a", 3, 4, 0), "modality 'a': stride=0, not > 0"),
        (lambda: ModalityConfig("a", 3, 4, stride=-2), "modality 'a': stride=-2, not > 0"),
        (lambda: EncoderConfig(attention="flash"), "encoder: attention='flash'; choose.*'cudnn'"),
        (lambda: EncoderConfig(dtype="float16"), "encoder: dtype='float16'; choose.*'bfloat16'"),
        (lambda: EncoderConfig(hidden=10, heads=4), "hidden=10 is not a multiple of heads=4"),
        (lambda: EncoderConfig(dropout=1.0), r"encoder: dropout=1.0 is not in \[0, 1\)"),
        (lambda: EncoderConfig(attention_dropout=-0.1), "encoder: attention_dropout=-0.1 is not"),
        (lambda: model(modalities=()), "modalities is empty"),
        (lambda: model(labels=()), "labels is empty"),
        (lambda: model(modalities=MODALITIES[:1] * 2), "modality names are not unique: .*text"),
        (lambda: model(labels=("a", "a")), "label names are not unique"),
        (lambda: model(variance_floor=0.0), "variance_floor must be > 0"),
        (lambda: model(initial_variance=1e-5), "initial_variance=1e-05 is not above"),
        (lambda: LossConfig(unimodal=-1.0), "loss: unimodal=-1.0 is negative"),
        (lambda: LossConfig(contrastive=-1.0), "loss: contrastive=-1.0 is negative"),
        (lambda: LossConfig(spread=-1.0), "loss: spread=-1.0 is negative"),
        (lambda: LossConfig(kl=-1.0), "loss: kl=-1.0 is negative"),
        (lambda: LossConfig(kl=float("nan")), "loss: kl=nan"),
        (lambda: LossConfig(temperature=0.0), "loss: temperature=0.0 is not > 0"),
        (lambda: LossConfig(bank_size=-1), "loss: bank_size=-1 is negative"),
        (lambda: model(fusion="mean"), "model: fusion='mean'; choose from .*'gate'"),
        (lambda: model(variance="relu"), "model: variance='relu'; choose from .*'exp'"),
        (lambda: LossConfig(direct=-1.0), "loss: direct=-1.0 is negative"),
        (lambda: LossConfig(spread_target="loss"), "loss: spread_target='loss'; choose from"),
        (lambda: LossConfig(anchors="all"), "loss: anchors='all'; choose from .*'bank'"),
        (lambda: LossConfig(bank_start="full"), "loss: bank_start='full'; choose from"),
        (lambda: LossConfig(similarity="dot"), "similarity='dot'; choose from .*'cosine'"),
        (lambda: TrainConfig(batch_size=0), "train: batch_size=0 is not at least 1"),
        (lambda: TrainConfig(epochs=0), "train: epochs=0 is not at least 1"),
        (lambda: TrainConfig(members=0), "train: members=0 is not at least 1"),
        (lambda: TrainConfig(steps_per_dispatch=0), "train: steps_per_dispatch=0 is not at least"),
        (lambda: TrainConfig(warmup=1.0), r"train: warmup=1.0 is not in \[0, 1\)"),
        (lambda: TrainConfig(modality_dropout=-0.5), "train: modality_dropout=-0.5 is not"),
        (lambda: TrainConfig(average=1.0), "train: average=1.0 is not"),
        (lambda: TrainConfig(optimizer="sgd"), "optimizer='sgd'; choose 'adamw' or 'bert_adam'"),
        (lambda: TrainConfig(monitor="loss"), "monitor='loss'; choose 'nll' or 'micro_f1'"),
        (lambda: CalibrationConfig(method="all"), "calibration: method='all'; choose.*'isotonic'"),
        (lambda: CalibrationConfig(anchor="zero"), "calibration: anchor='zero'; choose"),
        (lambda: CalibrationConfig(thresholds="none"), "calibration: thresholds='none'; choose"),
        (lambda: CalibrationConfig(shrinkage=-1.0), "calibration: shrinkage=-1.0 is negative"),
        (lambda: CalibrationConfig(shrinkage=float("inf")), "shrinkage=inf is negative or not fin"),
        (lambda: CalibrationConfig("platt", shrinkage=0.0), "must be > 0 for method='platt'.*None"),
        (lambda: CalibrationConfig("choose", shrinkage=0.0), "must be > 0 for method='choose'"),
    ],
)
def test_validation(build, message):
    with pytest.raises(ValueError, match=message):
        build()


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


@pytest.mark.parametrize(
    "cls", [ModalityConfig, EncoderConfig, ModelConfig, LossConfig, TrainConfig, CalibrationConfig]
)
def test_every_field_is_documented(cls):
    for field in dataclasses.fields(cls):
        assert f"\n      {field.name}: " in cls.__doc__
