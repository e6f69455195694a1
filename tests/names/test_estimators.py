"""The list that multi-output estimators of scikit-learn return, and what it is not."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier

from lddu import calibration, metrics, uncertainty
from lddu.calibration import conformal, thresholds
from lddu.names.estimators import positive_class

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
TRUE = (X @ RNG.normal(size=(2, 3)) + RNG.normal(size=(60, 3)) > 0).astype(int)
ESTIMATORS = {
    "multi-output": MultiOutputClassifier(LogisticRegression()),
    "forest": RandomForestClassifier(5, max_depth=2, random_state=0),
    "neighbours": KNeighborsClassifier(7),
}


@pytest.fixture(scope="module", params=ESTIMATORS)
def given(request):
    """The list of a fitted estimator, and the probabilities of presence."""
    listed = ESTIMATORS[request.param].fit(X, TRUE).predict_proba(X)
    assert type(listed) is list
    return listed, np.stack([x[:, 1] for x in listed], 1)


USES = {
    "nll": lambda p: metrics.nll(p, TRUE),
    "summarise": lambda p: tuple(metrics.summarise(p, TRUE).values()),
    "threshold": metrics.threshold,
    "by keyword": lambda p: metrics.ece(labels=TRUE, probs=p),
    "noise floor": lambda p: metrics.ece_noise_floor(p, draws=20).mean,
    "bootstrap": lambda p: metrics.bootstrap(metrics.brier, p, TRUE, resamples=20)[:3],
    "paired": lambda p: metrics.paired_bootstrap(metrics.brier, p, 1 - TRUE, TRUE, resamples=9)[:3],
    "a tuple of two": lambda p: metrics.paired_bootstrap(
        lambda a, _, y: metrics.brier(a, y), (p, TRUE), (TRUE, TRUE), TRUE, resamples=9
    )[:3],
    "logit": calibration.logit,
    "thresholds": lambda p: thresholds.fit_per_label(p, TRUE),
    "conformal": lambda p: conformal.fit_false_negative_rate(p, TRUE, 0.5).threshold,
    "share": conformal.expected_share,
    "risk": uncertainty.decision_risk,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_list_is_taken_as_the_probabilities_of_presence(use, given):
    listed, probs = given
    np.testing.assert_array_equal(use(listed), use(probs))


def test_a_label_of_one_class_is_named():
    listed = ESTIMATORS["forest"].fit(X, TRUE * [1, 0, 1]).predict_proba(X)
    with pytest.raises(ValueError, match=r"probs\[1\] has one column: .* one class of that label"):
        metrics.nll(listed, TRUE)


HALF = np.full((4, 2), 0.5)
OTHERS = {
    "nested lists": [HALF.tolist(), HALF.tolist()],
    "an array": np.stack([HALF, HALF]),
    "a tuple": (HALF, HALF),
    "rows that do not sum to 1": [HALF, HALF + 0.1],
    "three classes": [np.full((4, 3), 1 / 3)] * 2,
    "different numbers of rows": [HALF, HALF[:2]],
    "vectors": [HALF[:, 0], HALF[:, 0]],
    "an empty list": [],
}


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_other_values_keep_their_meaning(value):
    assert positive_class("probs", value) is value


def test_a_list_of_members_stays_one():
    members = [np.array([[0.25, 0.75]]), np.array([[0.75, 0.25]])]
    parts = uncertainty.decompose_variance(members)
    assert parts.total.shape == (1, 2)
    assert parts.epistemic.tolist() == [[0.0625, 0.0625]]
    assert metrics.nll([HALF[0].tolist()], [[1, 0]]) == pytest.approx(np.log(2))
