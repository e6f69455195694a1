import numpy as np
import pytest

from lddu import plots
from lddu.plots.proportions import wilson_interval


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 4)) < 0.4).astype(float)
    wide = (rng.random(labels.shape) < 0.3 + 0.6 * labels).astype(bool)
    return {"wide": wide, "a$b": wide & (rng.random(labels.shape) < 0.7)}, labels


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def coverage(sets, labels):
    """Mean share of a sample's true labels in its set, over samples that have any."""
    shares = [np.mean(own[true == 1]) for own, true in zip(sets, labels, strict=True) if 1 in true]
    return np.mean(shares), len(shares)


def test_bars_are_the_shares_of_samples_by_size(data):
    sets, labels = data
    ax = plots.set_sizes(sets, labels)
    assert len(ax.containers) == 2
    for kind, bars in zip(sets.values(), ax.containers, strict=True):
        want = [np.mean([row.sum() == size for row in kind]) for size in range(5)]
        np.testing.assert_allclose([bar.get_height() for bar in bars], want)
    (stairs,) = (patch for patch in ax.patches if hasattr(patch, "get_data"))
    want = [np.mean([row.sum() == size for row in labels]) for size in range(5)]
    np.testing.assert_allclose(stairs.get_data().values, want)
    assert ax.get_xlabel().endswith("n = 300 samples")
    ax.figure.canvas.draw()


def test_legend_has_mean_size_and_coverage_with_wilsons_interval(data):
    sets, labels = data
    true, *texts = legend(plots.set_sizes(sets, labels))
    assert true == f"true labels: {labels.sum(1).mean():.2f}"
    for text, name, kind in zip(texts, ["wide", r"a\$b"], sets.values(), strict=True):
        share, count = coverage(kind, labels)
        low, high = wilson_interval(share, count)
        size = kind.sum(1).mean()
        assert text == f"{name}: {size:.2f} labels, covers {share:.2f} [{low:.2f}, {high:.2f}]"


def test_sets_that_never_miss_still_have_an_interval():
    labels = np.eye(10, 2)
    (_, text) = legend(plots.set_sizes({"all": np.ones((10, 2))}, labels))
    low, _ = wilson_interval(1.0, 2)  # two samples have a label
    assert text == f"all: 2.00 labels, covers 1.00 [{low:.2f}, 1.00]"


def test_groups_widen_the_interval(data):
    sets, labels = data
    copies = {name: np.repeat(kind[:30], 10, axis=0) for name, kind in sets.items()}
    labels, groups = np.repeat(labels[:30], 10, axis=0), np.repeat(np.arange(30), 10)

    def width(text):
        low, high = text.split("[")[1].rstrip("]").split(", ")
        return float(high) - float(low)

    together = map(width, legend(plots.set_sizes(copies, labels, groups=groups))[1:])
    alone = map(width, legend(plots.set_sizes(copies, labels))[1:])
    assert all(a > 2 * b for a, b in zip(together, alone, strict=True))


def test_unknown_labels_and_rows_without_weight_have_no_part(data):
    sets, labels = data
    labels[:100] = np.nan
    labels[100:150, 0] = np.nan
    weights = np.repeat([0.0, 1.0], [50, 250])
    ax = plots.set_sizes(sets, labels, weights=weights)
    share, _ = coverage(sets["wide"], labels)
    true, wide, _ = legend(ax)
    assert wide.startswith(
        f"wide: {sets['wide'][50:].sum(1).mean():.2f} labels, covers {share:.2f}"
    )
    assert true == f"true labels: {labels[150:].sum(1).mean():.2f}"
    assert ax.get_xlabel().endswith("n = 250 samples")


@pytest.mark.parametrize(
    ("sets", "labels", "message"),
    [
        ({}, [[1]], "sets is empty"),
        ({"a": [[1, 0]]}, [[1]], r"sets\['a'\] \(1, 2\)"),
        ({"a": [[0.5]]}, [[1]], r"sets\['a'\] .* 0 or 1"),
        ({"a": [[1]]}, [[0.5]], r"labels .* 0 or 1"),
        ({"a": [[1]]}, [[np.nan]], r"labels .* known"),
    ],
)
def test_bad_arguments_are_named(sets, labels, message):
    with pytest.raises(ValueError, match=message):
        plots.set_sizes(sets, labels)
