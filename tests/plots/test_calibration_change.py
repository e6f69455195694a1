import numpy as np
import pytest

from lddu import metrics, plots
from lddu.plots.proportions import wilson_interval


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1, (300, 2))
    labels = (rng.random(truth.shape) < truth).astype(float)
    return truth**2, truth, labels


def intervals(ax):
    (container,) = ax.containers
    return np.array(container[2][0].get_segments())[:, :, 1]


def test_panels_are_the_pooled_reliability_of_each(data):
    before, after, labels = data
    figure = plots.calibration_change(before, after, labels, ("raw", "a$b"), bins=6)
    for probs, ax, counts in zip((before, after), figure.axes[::2], figure.axes[1::2], strict=True):
        found = metrics.reliability(probs, labels, 6)
        (container,) = ax.containers
        np.testing.assert_allclose(container[0].get_data(), [found.mean_prob, found.observed])
        assert [bar.get_height() for bar in counts.patches] == found.counts.tolist()
        error = metrics.ece_interval(probs, labels, 6)
        assert ax.get_title().split("\n")[1:] == [
            f"ECE {metrics.ece(probs, labels, 6):.3f}",
            f"debiased {error.estimate:.3f} [{error.low:.3f}, {error.high:.3f}]",
        ]
    assert [ax.get_title().split("\n")[0] for ax in figure.axes[::2]] == ["raw", r"a\$b"]
    assert figure.get_supxlabel() == "n = 300 samples, 600 labels"
    figure.canvas.draw()


def test_bars_are_wilsons_where_entries_are_independent(data):
    before, after, labels = (x[:, :1] for x in data)
    ax = plots.calibration_change(before, after, labels, bins=4).axes[2]
    found = metrics.reliability(after, labels, 4)
    np.testing.assert_allclose(
        intervals(ax), np.transpose(wilson_interval(found.observed, found.counts))
    )


def test_copies_in_groups_do_not_narrow_the_bars(data):
    before, after, labels = (np.repeat(x[:60, :1], 9, axis=0) for x in data)
    groups = np.repeat(np.arange(60), 9)
    alone = plots.calibration_change(*(x[::9] for x in (before, after, labels)), bins=2)
    copied = plots.calibration_change(before, after, labels, bins=2, groups=groups)
    for first, second in zip(alone.axes[::2], copied.axes[::2], strict=True):
        width, copies = (np.diff(intervals(ax))[:, 0] for ax in (first, second))
        assert np.all(copies >= width)
        assert np.all(copies < 1.3 * width)  # t quantiles in place of normal ones
    assert copied.get_supxlabel() == "n = 540 samples of 60 groups, 540 labels"


def test_unknown_labels_and_rows_without_weight_have_no_part(data):
    before, after, labels = data
    labels[:50] = np.nan
    weights = np.repeat([1.0, 0.0], [250, 50])
    figure = plots.calibration_change(before, after, labels, weights=weights)
    own = plots.calibration_change(*(x[50:250] for x in (before, after, labels)))
    assert figure.get_supxlabel() == own.get_supxlabel() == "n = 200 samples, 400 labels"
    for a, b in zip(figure.axes[::2], own.axes[::2], strict=True):
        np.testing.assert_allclose(intervals(a), intervals(b))
        assert a.get_title() == b.get_title()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"after": np.zeros((300, 1))}, r"after \(300, 1\)"),
        ({"before": np.full((300, 2), 1.5)}, r"before .* \[0, 1\]"),
        ({"labels": np.full((300, 2), np.nan)}, r"labels .* known"),
        ({"titles": ("one",)}, "titles has 1 entries"),
        ({"groups": [1]}, r"groups has shape \(1,\)"),
    ],
)
def test_bad_arguments_are_named(data, changes, message):
    arguments = dict(zip(("before", "after", "labels"), data, strict=True)) | changes
    with pytest.raises(ValueError, match=message):
        plots.calibration_change(**arguments)
