import pytest

from lddu.config import LossConfig


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LossConfig(unimodal=-1.0), "loss: unimodal=-1.0 is negative"),
        (lambda: LossConfig(contrastive=-1.0), "loss: contrastive=-1.0 is negative"),
        (lambda: LossConfig(spread=-1.0), "loss: spread=-1.0 is negative"),
        (lambda: LossConfig(kl=-1.0), "loss: kl=-1.0 is negative"),
        (lambda: LossConfig(kl=float("nan")), "loss: kl=nan"),
        (lambda: LossConfig(temperature=0.0), "loss: temperature=0.0 must be positive"),
        (lambda: LossConfig(bank_size=-1), "loss: bank_size=-1 is negative"),
        (lambda: LossConfig(direct=-1.0), "loss: direct=-1.0 is negative"),
        (lambda: LossConfig(spread_target="loss"), "loss: spread_target='loss'; choose from"),
        (lambda: LossConfig(anchors="all"), "loss: anchors='all'; choose from .*'bank'"),
        (lambda: LossConfig(bank_start="full"), "loss: bank_start='full'; choose from"),
        (lambda: LossConfig(similarity="dot"), "similarity='dot'; choose from .*'cosine'"),
    ],
)
def test_wrong_values_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
