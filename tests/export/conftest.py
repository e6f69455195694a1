"""Fixtures of the export's tests, and the promise that every exported model must keep."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from lddu import config
from lddu.calibration import Isotonic, Matrix, apply
from lddu.export.program import OPTIONAL

LOGIT = 1e-4  # by which uncalibrated logits may differ, relative and absolute; far above rounding
ROUNDING = 1e-5  # of a probability


def interval(calibrator, logits, seen):
    """The lowest and the highest probabilities (..., N, C) of logits as close as `LOGIT`."""
    exact = np.asarray(logits, float)
    off = LOGIT * (1 + np.abs(exact))
    if isinstance(calibrator, Matrix):  # not monotone in each logit, but linear
        middle = np.asarray(apply(calibrator, logits), float)
        off = off @ np.abs(np.asarray(calibrator.weight, float)).T
        ends = [middle - off, middle + off]
    else:
        ends = [np.asarray(apply(calibrator, np.float32(exact + s * off))) for s in (-1, 1)]
    ends = [np.where(seen[:, None], e, exact + s * off) for e, s in zip(ends, (-1, 1), strict=True)]
    return [scipy.special.expit(np.asarray(e, float)) for e in ends]


@pytest.fixture(scope="session")
def assert_promise():
    """assert_promise(outputs, predictor, batch): exported outputs are those of the predictor.

    Logits of the two agree to `LOGIT`, and the calibrator does the rest: a probability lies between
    those of the two nearest such logits, whatever its slope. A decision may differ only where this
    interval holds its threshold.
    """

    def check(outputs, predictor, batch):
        members = predictor.members(batch, batch_size=40, fields=OPTIONAL)
        uncalibrated = predictor.combine(members, calibrated=False)
        low, high = interval(predictor.calibrator, uncalibrated.logits, members.seen)
        probs = np.asarray(outputs["probs"])
        assert probs.shape == low.shape
        assert (probs >= low - ROUNDING).all()
        assert (probs <= high + ROUNDING).all()
        decided = outputs["decisions"]
        assert decided.dtype == bool
        sure = (low - ROUNDING > predictor.thresholds) | (high + ROUNDING < predictor.thresholds)
        want = predictor.decide(uncalibrated.replace(probs=(low + high) / 2))
        np.testing.assert_array_equal(decided[sure], want[sure])
        # The variance p (1 - p) changes by no more than p. The epistemic share of it is a ratio of
        # the members': a variance, which changes by at most twice as much as they, to theirs.
        exact = predictor.combine(members)
        of_total = high - low + 2 * ROUNDING
        low, high = interval(predictor.calibrator, members.logits, members.seen)
        of_members = (high - low).max(0) + 2 * ROUNDING
        mean = ((low + high) / 2).mean(0)
        variance = np.maximum(mean * (1 - mean) - of_members, 1e-9)
        allowed = of_total + exact.total * np.minimum(3 * of_members / variance, 1)
        for name in ("aleatoric", "epistemic"):
            assert (np.abs(outputs[name] - getattr(exact, name)) <= allowed).all()
        together = np.asarray(outputs["aleatoric"]) + np.asarray(outputs["epistemic"])
        np.testing.assert_allclose(together, probs.astype(float) * (1 - probs), atol=1e-6)
        for name in OPTIONAL:
            assert (name in outputs) == (getattr(exact, name) is not None)
            if name in outputs:
                want = getattr(exact, name)
                np.testing.assert_allclose(outputs[name], want, rtol=1e-3, atol=1e-4)

    return check


@pytest.fixture(scope="session")
def staircase():
    """staircase(logits, steepness, beside): a hand-made isotonic map that jumps at every logit.

    It has knots at every logit and one float beside it, above for 1 and below for -1.
    """

    def make(logits, steepness, beside):
        columns = [
            np.unique(np.r_[x, np.nextafter(x, np.float32(beside * np.inf))]) for x in logits.T
        ]
        size = max(map(len, columns))
        knots = np.stack([np.pad(c, (0, size - len(c)), "edge") for c in columns], 1)
        # Every second knot is the top of a step.
        values = steepness * np.cumsum(np.arange(size) % 2)[:, None] / size - steepness / 4
        return Isotonic(
            jnp.asarray(knots), jnp.asarray(np.float32(values).repeat(knots.shape[1], 1))
        )

    return make


@pytest.fixture(scope="session")
def fitted_toy(toy, toy_data, toy_members):
    """`toy` with an isotonic map fitted on its own logits, the hardest case, and thresholds."""
    import lddu

    settings = {"calibration.method": "isotonic", "calibration.thresholds": "per_label"}
    changed = dataclasses.replace(toy, config=config.replace(toy.config, settings))
    fitted = lddu.calibrate(changed, toy_data, members=toy_members)
    # Between probabilities, so that some rows are decided either way.
    thresholds = fitted.combine(toy_members).probs.mean(0, dtype=float)
    return dataclasses.replace(fitted, label_thresholds=thresholds)
