import matplotlib.colors
import numpy as np
import pytest

from lddu import metrics, plots
from lddu.plots.proportions import wilson_interval


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    probs = rng.uniform(0, 0.5, (200, 2))  # the upper half is empty
    labels = (rng.random((200, 2)) < probs).astype(float)
    labels[:, 1] = 0  # one class only
    return probs, labels


def bars(ax):
    return [p for p in ax.patches if p.get_hatch() is None]


def empty(ax):
    return [p for p in ax.patches if p.get_hatch() is not None]


def test_counts_bars_are_the_counts_of_the_bins(data):
    probs, labels = data
    figure = plots.reliability_diagram(probs, labels, ["a", "b"], bins=10)
    assert len(figure.axes) == 4
    for c in range(2):
        expected, edges = np.histogram(probs[:, c], np.linspace(0, 1, 11))
        shown = bars(figure.axes[2 * c + 1])
        assert [bar.get_height() for bar in shown] == list(expected[expected > 0])
        np.testing.assert_allclose([bar.get_x() for bar in shown], edges[:-1][expected > 0])


def test_empty_bins_are_hatched_in_both_axes_and_no_others(data):
    figure = plots.reliability_diagram(*data, ["a", "b"], bins=10)
    for ax in figure.axes:
        lefts = sorted(patch.get_x() for patch in empty(ax))
        np.testing.assert_allclose(lefts, [0.5, 0.6, 0.7, 0.8, 0.9])
    full = plots.reliability_diagram(np.array([[0.2], [0.8]]), np.array([[0], [1]]), ["a"], bins=2)
    assert not empty(full.axes[0])


def test_points_and_intervals_are_the_reliability_of_the_metrics(data):
    probs, labels = data
    diagram = plots.reliability_diagram(probs, labels, ["a", "b"], bins=10).axes[0]
    found = metrics.reliability(probs[:, :1], labels[:, :1], bins=10)
    (container,) = diagram.containers
    points, _, (intervals,) = container
    np.testing.assert_allclose(points.get_xdata(), found.mean_prob[:5])
    np.testing.assert_allclose(points.get_ydata(), found.observed[:5])
    low, high = wilson_interval(found.observed[:5], found.counts[:5])
    ends = np.array(intervals.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, np.stack([low, high], 1))


def test_title_has_ece_and_support(data):
    probs, labels = data
    figure = plots.reliability_diagram(probs, labels, ["a", "b"])
    first, second = figure.axes[0].get_title(), figure.axes[2].get_title()
    ece = metrics.ece(probs, labels, average="none")
    assert first == f"a\nECE {ece[0]:.3f} · {labels[:, 0].sum():.0f} of 200 present"
    assert second == f"b\nECE {ece[1]:.3f} · never present"
    always = plots.reliability_diagram(probs, np.ones_like(labels), ["a", "b"])
    assert "always present" in always.axes[0].get_title()


def test_unknown_labels_have_no_part(data):
    probs, labels = data
    labels[:50, 0] = np.nan
    labels[:, 1] = np.nan
    figure = plots.reliability_diagram(probs, labels, ["a", "b"], bins=10)
    own = plots.reliability_diagram(probs[50:, :1], labels[50:, :1], ["a"], bins=10)
    heights = [[bar.get_height() for bar in bars(f.axes[1])] for f in (figure, own)]
    assert heights[0] == heights[1]
    assert figure.axes[0].get_title() == own.axes[0].get_title()
    assert figure.axes[2].get_title() == "b\nnever known"
    assert not bars(figure.axes[3])


def test_weights_count_and_widen_intervals(data):
    probs, labels = data
    weights = np.repeat([0.0, 1.0, 3.0], [20, 80, 100])
    figure = plots.reliability_diagram(probs, labels, ["a", "b"], bins=2, weights=weights)
    assert [bar.get_height() for bar in bars(figure.axes[1])] == [80 + 300]
    assert f"{weights @ labels[:, 0]:.4g} of 380 present" in figure.axes[0].get_title()
    (container,) = figure.axes[0].containers
    ends = np.array(container[2][0].get_segments())[0, :, 1]
    # Kish's effective number of rows.
    want = wilson_interval(np.average(labels[:, 0], weights=weights), 380**2 / (80 + 900))
    np.testing.assert_allclose(ends, want)


def test_every_label_has_a_place():
    rng = np.random.default_rng(1)
    probs = rng.random((50, 7))
    names = [f"label {c}" for c in range(7)]
    figure = plots.reliability_diagram(probs, probs > 0.5, names)
    assert [ax.get_title().split("\n")[0] for ax in figure.axes[::2]] == names
    boxes = {tuple(np.round(ax.get_position().bounds, 3)) for ax in figure.axes}
    assert len(boxes) == 14


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(3, 1\)"):
        plots.reliability_diagram(np.zeros((3, 2)), np.zeros((3, 1)), ["a", "b"])
    with pytest.raises(ValueError, match="1 names"):
        plots.reliability_diagram(np.zeros((3, 2)), np.zeros((3, 2)), ["a"])


def test_palette_colours_differ_and_repeat():
    assert len({matplotlib.colors.to_rgb(color) for color in plots.colors(7)}) == 7
    assert plots.colors(8)[7] == plots.colors(1)[0]
