import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lddu import plots

NAMES = ["joy", "anger"], ["text", "audio", "vision"]


@pytest.fixture
def gaussians():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 2, 3, 5)) * [4, 3, 1, 1, 1], np.full((40, 2, 3, 5), 0.25)


def centers(ax, modality):
    return np.asarray(ax.collections[2 * modality].get_offsets())


def test_all_panels_share_the_plane_of_all_means(gaussians):
    mean, var = gaussians
    figure = plots.latent_panels(mean, var, *NAMES, max_points=40)
    flat = mean.reshape(-1, 5)
    top = np.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:2]
    for c, ax in enumerate(figure.axes):
        for m in range(3):
            want = (mean[:, c, m] - flat.mean(0)) @ top.T
            np.testing.assert_allclose(np.abs(centers(ax, m)), np.abs(want), atol=1e-12)
            np.testing.assert_allclose(ax.collections[2 * m].get_widths(), 1.0)  # isotropic
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert np.ptp(figure.axes[0].get_xlim()) == pytest.approx(np.ptp(figure.axes[0].get_ylim()))
    figure.canvas.draw()


def test_a_subset_is_the_same_in_every_panel_and_counted(gaussians):
    mean, var = gaussians
    mean[:, 1] = mean[:, 0]
    figure = plots.latent_panels(mean, var, *NAMES, max_points=7)
    first, second = figure.axes
    assert len(centers(first, 0)) == 7
    np.testing.assert_array_equal(centers(first, 0), centers(second, 0))
    assert figure.get_supxlabel().endswith("n = 40, of which 7 are drawn")


@pytest.mark.parametrize("labels", [1, 4, 6])
def test_the_legend_keeps_off_the_titles(labels):
    mean = np.random.default_rng(0).normal(size=(5, labels, 2, 3))
    figure = plots.latent_panels(mean, 0.1 + 0 * mean, ["label"] * labels, ["text", "audio"])
    figure.canvas.draw()
    titles = [ax.title.get_window_extent() for ax in figure.axes]
    assert figure.legends[0].get_window_extent().y0 >= max(title.y1 for title in titles)


def test_missing_modalities_have_no_part_even_if_not_finite(gaussians):
    mean, var = gaussians
    observed = np.ones((40, 3), bool)
    observed[:30, 1] = False
    mean[:30, :, 1] = np.nan
    figure = plots.latent_panels(mean, var, *NAMES, observed=observed, max_points=40)
    assert [len(centers(figure.axes[0], m)) for m in range(3)] == [40, 10, 40]
    with pytest.raises(ValueError, match=r"mean .* NaN"):
        plots.latent_panels(mean, var, *NAMES)


def test_dots_are_present_rings_absent_and_unknown_left_out(gaussians):
    labels = np.zeros((40, 2))
    labels[:10, 0], labels[10:15, 0], labels[:, 1] = 1.0, np.nan, 0.5
    figure = plots.latent_panels(*gaussians, *NAMES, labels=labels, max_points=40)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["joy\n10 of 35 present", "anger\n40 of 40 present"]
    faces = figure.axes[0].collections[1].get_facecolors()[:, :3]
    dots = (faces == to_rgb(plots.colors(1)[0])).all(1)
    assert (dots.sum(), len(dots)) == (10, 35)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*NAMES[1], "present", "absent"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"var": np.ones((40, 2, 3, 4))}, r"var \(40, 2, 3, 4\)"),
        ({"mean": np.ones((40, 3, 2, 5))}, r"mean \(40, 3, 2, 5\).*\(N, \*\(2, 3\), Z\)"),
        ({"mean": np.ones((4, 2, 3, 1)), "var": np.ones((4, 2, 3, 1))}, "mean has 1 latent"),
        ({"observed": np.ones((40, 2))}, r"observed has shape \(40, 2\)"),
        ({"observed": np.zeros((40, 3))}, "observed .* nothing to draw"),
        ({"labels": np.ones((40, 3))}, r"labels has shape \(40, 3\)"),
        ({"labels": np.full((40, 2), 2.0)}, r"labels .* \[0, 1\]"),
        ({"labels": np.full((40, 2), np.nan)}, "labels .* known"),
    ],
)
def test_bad_arguments_are_named(gaussians, changes, message):
    arguments = {"mean": gaussians[0], "var": gaussians[1]} | changes
    with pytest.raises(ValueError, match=message):
        plots.latent_panels(label_names=NAMES[0], modality_names=NAMES[1], **arguments)
