"""Every metric checks its arguments in the same words."""

import numpy as np
import pytest

from lddu import metrics

GOOD = np.array([[0.2, 0.8], [0.6, 0.4]])
LABELS = np.array([[0, 1], [1, 0]])
DECISION_METRICS = ["jaccard", "hamming_loss", "exact_match", "precision", "recall", "f1"]
PROBABILITY_METRICS = ["auroc", "average_precision", "nll", "brier", "reliability", "ece", "mce"]
PROBABILITY_METRICS += ["ece_debiased", "brier_decomposition"]


@pytest.mark.parametrize("name", [*PROBABILITY_METRICS, "summarise"])
@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (GOOD[:, 0], LABELS[:, 0], r"probs has shape \(2,\), must be \(samples, labels\)"),
        (GOOD, LABELS[:1], r"probs \(2, 2\), labels \(1, 2\)"),
        (GOOD[:0], LABELS[:0], r"probs has shape \(0, 2\): empty"),
        (np.where(GOOD > 0.7, np.nan, GOOD), LABELS, r"probs \(2, 2\) holds 1 NaN"),
        (GOOD * 4 - 2, LABELS, r"probs \(2, 2\) must lie in \[0, 1\].*sigmoid"),
        (GOOD, LABELS * 2, r"labels \(2, 2\) must"),
    ],
)
def test_bad_probabilities_name_argument_shape_and_cure(name, probs, labels, message):
    with pytest.raises(ValueError, match=message):
        getattr(metrics, name)(probs, labels)


@pytest.mark.parametrize("name", DECISION_METRICS)
def test_bad_decisions_name_argument_shape_and_cure(name):
    score = getattr(metrics, name)
    with pytest.raises(ValueError, match=r"decisions \(2, 2\) must be 0 or 1.*metrics.threshold"):
        score(GOOD, LABELS)
    with pytest.raises(ValueError, match=r"labels \(2, 2\) must lie in \[0, 1\]"):
        score(LABELS, LABELS * 2)
    with pytest.raises(ValueError, match=r"decisions \(2, 2\), labels \(2, 1\)"):
        score(LABELS, LABELS[:, :1])
