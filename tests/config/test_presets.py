import pytest

from lddu.config import PRESETS, Config, ModalityConfig, replace

SHAPES = {"text": (8, 12), "audio": (6, 16)}
LABELS = ("joy", "anger")
MODALITIES = tuple(ModalityConfig(name, *shape) for name, shape in SHAPES.items())


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
                "execution.attention": "blocked",
                "execution.row_block": 2,
                "execution.dtype": "bfloat16",
                "execution.packing": False,
                "execution.steps_per_dispatch": 4,
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
