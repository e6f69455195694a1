import pytest

from lddu.config import PRESETS, Config, ModalityConfig, replace

every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@every_preset
def test_json_round_trip(data, preset):
    cfg = preset(data.shapes, data.labels)
    back = Config.from_json(cfg.to_json())
    assert back == cfg
    assert hash(back) == hash(cfg)  # lists in place of tuples would not hash


@every_preset
def test_json_round_trip_of_changed_fields(data, preset):
    cfg = replace(
        preset(data.shapes, data.labels),
        {
            "loss.similarity": "bhattacharyya",
            "loss.cross_modal_positives": False,
            "loss.temperature": 0.1 + 0.2,
            "train.monitor": "micro_f1",
            "train.seed": 7,
            "model.latent_hidden": (),
            "model.encoder.input_norm": False,
            "model.modalities": (ModalityConfig("text", 8, 12, 3), *data.modalities[1:]),
            "execution.attention": "blocked",
            "execution.row_block": 2,
            "execution.dtype": "bfloat16",
            "execution.packing": False,
            "execution.steps_per_dispatch": 4,
            "execution.parallel_members": "never",
            "execution.devices": 2,
            "calibration.method": "choose",
            "calibration.shrinkage": 300.0,
        },
    )
    assert Config.from_json(cfg.to_json()) == cfg != preset(data.shapes, data.labels)


@every_preset
def test_takes_shapes_or_modality_configs(data, preset):
    cfg = preset(data.shapes, list(data.labels))
    assert cfg == preset(data.modalities, data.labels)
    assert cfg.model.modalities == data.modalities
    assert cfg.model.modality_names == ("text", "audio")
    assert cfg.model.labels == data.labels


def test_presets_grow(data):
    tiny, small, default = (
        PRESETS[name](data.shapes, data.labels).model for name in ("tiny", "small", "default")
    )
    assert tiny.encoder.hidden < small.encoder.hidden < default.encoder.hidden == 256
    assert tiny.latent < small.latent < default.latent == 128
    flops = [model.encoder.flops_per_step for model in (tiny, small, default)]
    assert 0 < flops[0] < flops[1] < flops[2]
