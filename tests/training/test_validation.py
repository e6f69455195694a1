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


def test_unknown_labels_and_rows_of_weight_zero_do_not_count():
    probs = np.array([[0.9, 0.2], [0.4, 0.1], [0.3, 0.35], [0.99, 0.98]])
    labels = np.array([[1.0, 0.0], [np.nan, 0.0], [0.0, np.nan], [0.0, 0.0]])
    weights = np.array([1.0, 3.0, 0.5, 0.0])
    scores = validation_scores(probs, labels, weights)
    want = -(np.log(0.9) + np.log(0.8) + 3 * np.log(0.9) + 0.5 * np.log(0.7)) / 5.5
    np.testing.assert_allclose(scores["valid_nll"], want)
    assert scores["valid_micro_f1"] == 1.0
    # What the model says there does not matter either.
    other = np.where(np.isnan(labels) | (weights == 0)[:, None], 0.5, probs)
    np.testing.assert_allclose(validation_scores(other, labels, weights)["valid_nll"], want)


def test_probabilities_that_are_not_finite_score_nan():
    for bad in (math.nan, math.inf):
        scores = validation_scores(np.array([[0.5], [bad]]), np.array([[0.0], [1.0]]))
        assert all(math.isnan(score) for score in scores.values())
        assert set(scores) == {"valid_nll", "valid_micro_f1"}
