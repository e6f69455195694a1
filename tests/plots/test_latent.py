import numpy as np
import pytest

from lddu import plots


def ellipses(ax, group):
    """Offsets, widths, heights and angles of the group's ellipses."""
    collection = ax.collections[2 * group]
    return (
        np.asarray(collection.get_offsets()),
        collection.get_widths(),
        collection.get_heights(),
        collection.get_angles(),
    )


def test_axis_aligned_gaussians_keep_their_positions_and_deviations():
    # Along the first latent axis the means vary most, along the third not at all.
    mean = np.array([[-4.0, 1, 0], [-4, -1, 0], [4, 1, 0], [4, -1, 0]])
    var = np.tile([0.25, 4.0, 9.0], (4, 1))
    ax = plots.latent_ellipses(mean, var, [0, 0, 1, 1])
    offsets, widths, heights, angles = ellipses(ax, 1)
    np.testing.assert_allclose(offsets, mean[2:, :2], atol=1e-12)
    np.testing.assert_allclose(widths, 2 * 2.0)  # the longer diameter, along the second axis
    np.testing.assert_allclose(heights, 2 * 0.5)
    np.testing.assert_allclose(np.abs(angles), 90)
    assert "94%" in ax.get_xlabel()  # 16 / 17 of the variance
    assert "6%" in ax.get_ylabel()


def test_projection_of_variance_in_a_rotated_plane():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    mean = (rng.normal(size=(300, 5)) * [5, 3, 0.1, 0.1, 0.1]) @ rotation.T
    ax = plots.latent_ellipses(mean, np.full((300, 5), 0.49), np.ones(300, bool), max_points=300)
    offsets, widths, heights, _ = ellipses(ax, 0)
    np.testing.assert_allclose([widths, heights], 1.4)  # an isotropic Gaussian stays a circle
    centered = mean - mean.mean(0)
    top = np.linalg.svd(centered, compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=0), top)


def test_subset_is_limited_and_the_same_each_time():
    rng = np.random.default_rng(0)
    mean, var, group = rng.normal(size=(500, 4)), np.ones((500, 4)), rng.random(500) < 0.3
    first, second = (plots.latent_ellipses(mean, var, group, max_points=60) for _ in range(2))
    assert sum(len(ellipses(first, g)[0]) for g in range(2)) == 60
    np.testing.assert_array_equal(ellipses(first, 1)[0], ellipses(second, 1)[0])
    assert first.get_xlabel().endswith("n = 500, of which 60 are drawn")
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["absent", "present"]


def test_everything_is_within_the_axes():
    mean, var = np.array([[0.0, 0], [1, 0], [0, 2]]), np.full((3, 2), 100.0)
    ax = plots.latent_ellipses(mean, var, [0, 1, 0])
    ax.figure.canvas.draw()
    for low, high in (ax.get_xlim(), ax.get_ylim()):
        assert low < -10
        assert high > 10


@pytest.mark.parametrize(
    ("mean", "var", "group", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), np.zeros(3), r"\(3, 4\)"),
        (np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3), "at least 2"),
        (np.zeros((3, 2)), np.zeros((3, 2)), np.full(3, 2), "beyond the 2 group_names"),
    ],
)
def test_bad_arguments_are_named(mean, var, group, message):
    with pytest.raises(ValueError, match=message):
        plots.latent_ellipses(mean, var, group)
