import pytest

from lddu import config
from lddu.config import LossConfig, TrainConfig, parse, parse_all, replace

SHAPES = {"text": (8, 12), "audio": (6, 16)}
LABELS = ("joy", "anger")


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
            ("epochs", r"no field 'epochs': Config has model, loss, train, calibration, execution"),
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


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        ("loss.similarity=cosine", ("loss.similarity", "cosine")),
        (" train.average =0.5", ("train.average", 0.5)),
        ("model.latent_hidden=[8, 4]", ("model.latent_hidden", (8, 4))),
        ("execution.packing=false", ("execution.packing", False)),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test_parse(text, change):
    assert parse(text) == change


@pytest.mark.parametrize("text", ["[" * 10_000, "9" * 5000, "{"])
def test_what_is_no_json_value_is_text(text):
    assert parse(f"train.seed={text}") == ("train.seed", text)


def test_parse_needs_an_equals_sign():
    with pytest.raises(ValueError, match=r"'train\.epochs' is not of the form path=value"):
        parse("train.epochs")


def test_of_several_changes_of_one_path_the_last_counts():
    changes = ["train.epochs=3", "loss.similarity=cosine", "train.epochs=5"]
    assert parse_all(changes) == {"train.epochs": 5, "loss.similarity": "cosine"}
    assert parse_all([]) == {}
