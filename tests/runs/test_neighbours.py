import numpy as np
import pytest

from lddu.gaussian import Gaussian
from lddu.runs import neighbours


def draw(rows, seed=0):
    rng = np.random.default_rng(seed)
    return Gaussian(rng.normal(size=(rows, 2, 3)) + 50, rng.gamma(2, size=(rows, 2, 3)))


@pytest.mark.parametrize("held", [1, 100, 1 << 24])
def test_neighbours_are_those_of_a_search_by_hand(monkeypatch, held):
    latent = draw(30)
    monkeypatch.setattr(neighbours, "_HELD", held)  # also one row, or three, at a time
    rows, distances = neighbours.nearest(latent, 4)
    gaps = [np.square(x[:, None] - x[None]).sum((2, 3)) for x in (latent.mean, np.sqrt(latent.var))]
    expected = np.sqrt(sum(gaps))
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_array_equal(rows, np.argsort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4], rtol=1e-4)
    assert (rows.dtype, distances.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_few_samples_have_few_neighbours(rows):
    found, distances = neighbours.nearest(draw(rows), 6)
    assert found.shape == distances.shape == (rows, rows - 1)
    for row, others in enumerate(found):
        assert sorted([row, *others]) == list(range(rows))


def test_equal_samples_are_at_distance_zero():
    same = Gaussian(np.ones((5, 1, 2)), np.ones((5, 1, 2)))
    rows, distances = neighbours.nearest(same, 2)
    assert (distances == 0).all()
    assert (rows != np.arange(5)[:, None]).all()
