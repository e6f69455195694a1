import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu.metrics import bins

unit = hnp.arrays(
    float,
    st.tuples(st.integers(1, 30), st.integers(1, 3)),
    elements=st.one_of(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.floats(0, 1)),
)


@given(unit, st.integers(1, 12), st.booleans(), st.sampled_from(["width", "mass"]))
@settings(max_examples=80, deadline=None)
def test_every_entry_is_in_one_bin_between_its_borders(probs, number, per_label, binning):
    found = bins.assign(probs, np.ones(probs.shape), number, per_label, binning)
    assert found.total(np.ones(probs.shape)).sum() == probs.size
    assert found.total(probs).sum() == pytest.approx(probs.sum())
    labels = probs.shape[1]
    assert found.shape == ((labels, number) if per_label else (number,))
    edges = np.broadcast_to(found.edges, (labels, number + 1))
    for c in range(labels):
        place = found.index[:, c] - (number * c if per_label else 0)
        low, high = edges[c, place], edges[c, place + 1]
        assert np.all((low <= probs[:, c]) & (probs[:, c] <= high))
        assert np.all((probs[:, c] < high) | (place == number - 1))


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_masses_are_equal_up_to_one_entry_without_ties(n, number, seed):
    probs, ones = np.random.default_rng(seed).random((n, 2)), np.ones((n, 2))
    for per_label, size in ((True, n), (False, 2 * n)):
        counts = bins.assign(probs, ones, number, per_label, "mass").total(ones)
        assert set(np.ravel(counts)) <= {size // number, -(-size // number)}


def test_ties_stay_together_in_any_order():
    probs = np.array([0.3, 0.3, 0.3, 0.3, 0.7, 0.9])[:, None]
    ones = np.ones((6, 1))
    found = bins.assign(probs, ones, 3, False, "mass")
    np.testing.assert_allclose(found.edges, [0, 0.3, 0.7, 1])
    np.testing.assert_array_equal(found.total(ones), [0, 4, 2])
    np.testing.assert_array_equal(
        bins.assign(probs[::-1], ones, 3, False, "mass").index, found.index[::-1]
    )
    constant = bins.assign(np.full((5, 1), 0.5), ones[:5], 4, True, "mass")
    np.testing.assert_array_equal(constant.total(ones[:5]), [[0, 0, 0, 5]])


def test_bad_options():
    with pytest.raises(ValueError, match="bins=0 must be at least 1"):
        bins.assign(np.zeros((2, 2)), np.ones((2, 2)), 0, False, "mass")
    with pytest.raises(ValueError, match="binning='equal'; choose one of 'width', 'mass'"):
        bins.assign(np.zeros((2, 2)), np.ones((2, 2)), 3, False, "equal")
