from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from lddu.metrics.calibration import CLIP
from lddu.sklearn import label_logits

X = np.zeros((2, 1))


def model(classes=None, **methods):
    return SimpleNamespace(
        classes_=classes, **{name: lambda X, value=value: value for name, value in methods.items()}
    )


def test_forms_of_output_agree():
    probs = np.array([[0.2, 0.7], [0.6, 0.5]])
    columns = [np.stack([1 - p, p], axis=1) for p in probs.T]
    for response in (probs, columns):
        got = label_logits(model(predict_proba=response), X, 2)
        np.testing.assert_allclose(got, logit(probs), rtol=1e-6)
    one = model(predict_proba=columns[0])
    np.testing.assert_allclose(label_logits(one, X, 1), logit(probs[:, :1]), rtol=1e-6)


@pytest.mark.parametrize(("seen", "sign"), [(0, -1), (1, 1)])
def test_a_label_with_one_class_is_certain(seen, sign):
    y = np.array([[0, seen], [1, seen]])
    forest = RandomForestClassifier(3, random_state=0).fit([[0.0], [1.0]], y)
    assert (sign * label_logits(forest, X, 2)[:, 1] > 16).all()


def test_scores_are_taken_as_they_are():
    scores = np.array([[1.5, -2.0], [0.0, 3.0]])
    both = model(predict_proba=np.full((2, 2), 0.5), decision_function=scores)
    np.testing.assert_array_equal(label_logits(both, X, 2), np.zeros((2, 2)))
    np.testing.assert_array_equal(label_logits(both, X, 2, "decision_function"), scores)
    alone = model(decision_function=scores[:, 0])
    np.testing.assert_array_equal(label_logits(alone, X, 1), scores[:, :1])


def test_a_network_gives_one_array(data):
    features, y = data
    network = MLPClassifier((4,), max_iter=5, random_state=0)
    with pytest.warns(UserWarning, match="converge"):
        network.fit(features, y)
    probs = np.clip(network.predict_proba(features), CLIP, 1 - CLIP)
    np.testing.assert_allclose(label_logits(network, features, 3), logit(probs), rtol=1e-12)


@pytest.mark.parametrize(
    ("response", "labels", "match"),
    [
        (np.full((2, 3), 0.5), 2, r"\(2, 3\) for 2 labels"),
        ([np.full((2, 2), 0.5)], 2, "list of 1 arrays for 2 labels"),
        ([np.full((2, 3), 0.3)], 1, r"\(2, 3\) for one label"),
        (np.full((2, 3), 0.3), 1, r"\(2, 3\) for one label"),
    ],
)
def test_other_forms_are_refused(response, labels, match):
    with pytest.raises(ValueError, match=match):
        label_logits(model(predict_proba=response), X, labels)


def test_the_method_must_exist():
    with pytest.raises(AttributeError):
        label_logits(model(), X, 2)
