"""Metrics at the ends of their inputs: finite, and as in double precision."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu import metrics

ENDS = [0, 1e-45, 1e-38, 1e-30, 1e-8, 0.5, 1 - 6e-8, 1]
N, C = 8, 2
# Both outcomes of every label, so that ranks are defined.
LABELS = np.array([[0, 1], [1, 0]] * (N // 2))
OF_PROBS = {
    "nll": metrics.nll,
    "brier": metrics.brier,
    "ece": metrics.ece,
    "mce": metrics.mce,
    "debiased": lambda p, y: metrics.ece_debiased(p, y, bins=2),
    "decomposition": metrics.brier_decomposition,
    "sharpness": lambda p, y: metrics.sharpness(p),
    "floor": lambda p, y: metrics.ece_noise_floor(p, draws=3).samples,
    "auroc": metrics.auroc,
    "average precision": metrics.average_precision,
    "summary": lambda p, y: list(metrics.summarise(p, y).values()),
}
probabilities = hnp.arrays(np.float32, (N, C), elements=st.sampled_from(np.float32(ENDS)))
entries = hnp.arrays(
    np.float32, N, elements=st.sampled_from(np.float32([0, 1e-45, -1e-30, 1, -1e15, 3e38]))
)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@given(probs=probabilities)
@settings(max_examples=20, deadline=None)
def test_of_probabilities(dtype, probs):
    probs = probs.astype(dtype)
    for name, score in OF_PROBS.items():
        got = np.array(score(probs, LABELS), float)
        assert np.isfinite(got).all(), name
        np.testing.assert_array_equal(got, score(probs.astype(float), LABELS), err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@given(risk=entries, uncertainty=entries)
@settings(max_examples=20, deadline=None)
def test_of_risks(dtype, risk, uncertainty):
    risk, uncertainty = risk.astype(dtype), uncertainty.astype(dtype)
    scores = [
        *metrics.risk_coverage(risk, uncertainty),
        metrics.aurc(risk, uncertainty),
        metrics.excess_aurc(risk, uncertainty),
        metrics.risk_at_coverage(risk, uncertainty, 0.5),
        *metrics.error_detection(np.arange(N) % 2, uncertainty),
    ]
    for score in scores:
        assert np.isfinite(score).all()


def test_decisions_about_nothing():
    nothing, something = np.zeros((N, C), bool), np.ones((N, C), bool)
    for decisions in (nothing, something):
        for labels in (nothing, something):
            for score in (metrics.jaccard, metrics.precision, metrics.recall, metrics.f1):
                assert 0 <= score(decisions, labels) <= 1
