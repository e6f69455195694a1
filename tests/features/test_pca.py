import numpy as np
import pytest

from lddu.features import pca
from lddu.features.text import hashed_words


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 6)) @ np.diag([5, 3, 2, 1, 0.5, 0.1]) @ rng.normal(size=(6, 6)) + 4


def test_components_are_uncorrelated_centred_and_sorted(rows):
    out = pca.apply(pca.fit(rows, 4), rows)
    assert out.shape == (500, 4)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-4)
    covariance = np.cov(out.T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-3)
    # The largest spreads there are: the leading eigenvalues of the covariance.
    leading = np.linalg.eigvalsh(np.cov(rows.T))[::-1][:4]
    np.testing.assert_allclose(np.diag(covariance), leading, rtol=1e-4)


def test_all_components_keep_distances(rows):
    out = pca.apply(pca.fit(rows, 6), rows)
    np.testing.assert_allclose(
        np.linalg.norm(out[:250] - out[250:], axis=1),
        np.linalg.norm(rows[:250] - rows[250:], axis=1),
        rtol=1e-4,
    )


def test_axes_from_the_first_rows_about_the_mean_of_all(rows):
    state = pca.fit(rows, 2, axes_rows=100)
    np.testing.assert_allclose(state.mean, rows.mean(0))
    _, _, directions = np.linalg.svd((rows - rows.mean(0))[:100], full_matrices=False)
    np.testing.assert_allclose(np.abs((state.axes.T * directions[:2]).sum(1)), 1)


def test_signs_do_not_depend_on_the_order_of_rows(rows):
    state, turned = pca.fit(rows, 3), pca.fit(rows[::-1], 3)
    np.testing.assert_allclose(state.axes, turned.axes, atol=1e-9)
    assert (state.axes.max(0) >= -state.axes.min(0)).all()


@pytest.mark.parametrize(
    ("shape", "dim", "message"),
    [((3, 4), 5, r"dim=5 is not in 1\.\.4"), ((3, 4), 0, "dim=0"), ((0, 4), 2, r"\(0, 4\)")],
)
def test_impossible_arguments(shape, dim, message):
    with pytest.raises(ValueError, match=message):
        pca.fit(np.zeros(shape), dim)


def test_reduced_text_features():
    sentences = ["life was like a box of chocolates", "run forrest run", "", "my name is forrest"]
    text = hashed_words(64)
    small = pca.reduced(text, sentences, 3)
    assert [rows.shape for rows in small(sentences)] == [(7, 3), (3, 3), (0, 3), (4, 3)]
    state = pca.fit(np.concatenate(text(sentences)), 3)
    np.testing.assert_array_equal(small(["a new one"])[0], pca.apply(state, text(["a new one"])[0]))
