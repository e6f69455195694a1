import math

import numpy as np

from lddu.training.validation import validation_scores


def test_scores_by_hand():
    probs = np.array([[0.9, 0.2], [0.4, 0.1], [0.3, 0.35]])
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    scores = validation_scores(probs, labels)
    # The best threshold lies between 0.35 and 0.3, not at one half.
    assert scores["valid_micro_f1"] == 1.0
    likelihood = [0.9, 0.8, 0.4, 0.9, 0.7, 0.35]
    np.testing.assert_allclose(scores["valid_nll"], -np.mean(np.log(likelihood)))


def test_soft_labels_count_as_present_from_one_half():
    probs = np.array([[0.9], [0.8], [0.1]])
    scores = validation_scores(probs, np.array([[0.5], [1.0], [0.4]]))
    assert scores["valid_micro_f1"] == 1.0


def test_probabilities_that_are_not_finite_score_nan():
    for bad in (math.nan, math.inf):
        scores = validation_scores(np.array([[0.5], [bad]]), np.array([[0.0], [1.0]]))
        assert all(math.isnan(score) for score in scores.values())
        assert set(scores) == {"valid_nll", "valid_micro_f1"}
