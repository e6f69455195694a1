"""Data for prediction sets, and the fits that all make the same promises about their inputs."""

import numpy as np
import pytest

from lddu.calibration import conformal

FITS = {
    "rate": conformal.fit_false_negative_rate,
    "rate_per_label": conformal.fit_false_negative_rate_per_label,
    "precision": conformal.fit_precision,
    "precision_per_label": conformal.fit_precision_per_label,
}


@pytest.fixture(scope="session", params=FITS.values(), ids=FITS.keys())
def fit_sets(request):
    """Each of the fits."""
    return request.param


@pytest.fixture(scope="session")
def simulate():
    """simulate(n, seed=0, shift=0.0, labelled=False): probabilities and labels (n, 4).

    The probabilities are over-confident, and labels from common (label 0) to rare (the last); a
    shift makes all rarer. With `labelled` every sample has a label.
    """

    def draw(n, seed=0, shift=0.0, labelled=False):
        rng = np.random.default_rng(seed)
        logits = 2 * rng.standard_normal((n, 4)) - np.linspace(0, 2, 4) - shift
        labels = rng.random((n, 4)) < 1 / (1 + np.exp(-logits))
        if labelled:
            labels[np.arange(n), np.argmax(logits, 1)] |= ~labels.any(1)
        return 1 / (1 + np.exp(-2 * logits)), labels

    return draw
