import pytest

from lddu.config import TrainConfig


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrainConfig(batch_size=0), "train: batch_size=0 must be at least 1"),
        (lambda: TrainConfig(epochs=0), "train: epochs=0 must be at least 1"),
        (lambda: TrainConfig(members=0), "train: members=0 must be at least 1"),
        (lambda: TrainConfig(warmup=1.0), r"train: warmup=1.0 is not in \[0, 1\)"),
        (lambda: TrainConfig(modality_dropout=-0.5), "train: modality_dropout=-0.5 is not"),
        (lambda: TrainConfig(average=1.0), "train: average=1.0 is not"),
        (lambda: TrainConfig(optimizer="sgd"), "optimizer='sgd'; choose from 'adamw', 'bert_adam'"),
        (lambda: TrainConfig(monitor="loss"), "monitor='loss'; choose from 'nll', 'micro_f1'"),
    ],
)
def test_wrong_values_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
