import pytest

from lddu.config import EncoderConfig, ModalityConfig, ModelConfig

MODALITIES = (ModalityConfig("text", 8, 12), ModalityConfig("audio", 6, 16))
LABELS = ("joy", "anger")


def model(**options):
    return ModelConfig(**{"modalities": MODALITIES, "labels": LABELS, **options})


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
        (lambda: model(expectation_terms=2), "expectation_terms=2 must be 0 or from 3 to 20"),
        (lambda: model(expectation_terms=21), "expectation_terms=21 must be 0 or from 3 to 20"),
        (lambda: model(fusion="mean"), "model: fusion='mean'; choose from .*'gate'"),
        (lambda: model(variance="relu"), "model: variance='relu'; choose from .*'exp'"),
    ],
)
def test_wrong_values_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
