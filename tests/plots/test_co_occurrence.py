import itertools

import numpy as np
import pytest
from scipy import stats

from lddu import plots

NAMES = list("abc")


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    probs = rng.uniform(0.1, 0.9, (400, 3))
    return probs, (rng.random(probs.shape) < probs).astype(float)


def shown(figure):
    return [np.asarray(ax.get_images()[0].get_array(), float) for ax in figure.axes[:3]]


def framed(figure):
    return {
        (round(patch.get_y() + 0.5), round(patch.get_x() + 0.5)) for patch in figure.axes[2].patches
    }


def test_maps_are_the_shares_of_pairs_in_percent(data):
    probs, labels = data
    figure = plots.co_occurrence(probs, labels, NAMES)
    observed, predicted, difference = shown(figure)
    for i, j in itertools.product(range(3), repeat=2):
        want = np.mean(probs[:, i]) if i == j else np.mean(probs[:, i] * probs[:, j])
        assert predicted[i, j] == pytest.approx(100 * want)
        assert observed[i, j] == pytest.approx(100 * np.mean(labels[:, i] * labels[:, j]))
    np.testing.assert_allclose(difference, predicted - observed)
    assert figure.get_supxlabel().startswith("n = 400 samples")
    figure.canvas.draw()


def test_frames_are_where_the_paired_interval_leaves_out_0(data):
    probs, labels = data
    labels[:, 1] = np.where(np.arange(400) < 300, labels[:, 0], labels[:, 1])
    figure = plots.co_occurrence(probs, labels, NAMES, level=0.9)
    want = set()
    for i, j in itertools.product(range(3), repeat=2):
        pair = slice(i, i + 1) if i == j else [i, j]
        values = probs[:, pair].prod(1) - labels[:, pair].prod(1)
        if stats.ttest_1samp(values, 0).pvalue < 0.1 / 6:
            want.add((i, j))
    assert (0, 1) in want
    assert framed(figure) == want


def test_copies_in_groups_add_no_frame(data):
    # 12 rows whose 40 copies would be 480 independent ones.
    probs, labels = (np.repeat(x[:12], 40, axis=0) for x in data)
    labels[:, 1] = labels[:, 0]
    alone = plots.co_occurrence(probs[::40], labels[::40], NAMES)
    copied = plots.co_occurrence(probs, labels, NAMES, groups=np.repeat(np.arange(12), 40))
    assert framed(copied) == framed(alone)
    assert len(framed(plots.co_occurrence(probs, labels, NAMES))) > len(framed(alone))


def test_a_pair_that_was_never_seen_may_be_rare():
    probs, labels = np.full((200, 2), 0.05), np.zeros((200, 2))
    labels[:10, 0], labels[10:20, 1] = 1, 1
    # 0.25 % are predicted together, half a sample of 200: none of them is no surprise.
    assert framed(plots.co_occurrence(probs, labels, ["a", "b"])) == set()


def test_unknown_labels_leave_out_their_pairs(data):
    probs, labels = data
    labels[:100, 0], labels[:, 2] = np.nan, np.nan
    figure = plots.co_occurrence(probs, labels, NAMES)
    observed, predicted, _ = shown(figure)
    assert np.isnan(observed[2]).all()
    assert observed[0, 1] == pytest.approx(100 * np.mean(labels[100:, 0] * labels[100:, 1]))
    assert predicted[1, 1] == pytest.approx(100 * np.mean(probs[:, 1]))
    assert figure.get_supxlabel().startswith("n = 0 to 400 samples")


def test_weights_count_as_copies_in_the_shares(data):
    probs, labels = data
    weights = np.arange(400) % 3
    weighted = shown(plots.co_occurrence(probs, labels, NAMES, weights=weights))
    copies = shown(plots.co_occurrence(*(np.repeat(x, weights, axis=0) for x in data), NAMES))
    np.testing.assert_allclose(weighted, copies)


def test_many_labels_get_a_colour_bar_in_place_of_numbers():
    probs = np.full((5, 13), 0.5)
    figure = plots.co_occurrence(probs, np.eye(5, 13), [str(c) for c in range(13)])
    assert len(figure.axes) == 6
    assert not figure.axes[0].texts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros((400, 2))}, r"labels \(400, 2\)"),
        ({"probs": np.full((400, 3), 2.0)}, r"probs .* \[0, 1\]"),
        ({"names": ["a"]}, "probs has 3 labels, names has 1"),
        ({"labels": np.full((400, 3), np.nan)}, "labels .* known"),
        ({"groups": np.zeros(400)}, "1 group of 400 rows"),
        ({"level": 1.0}, r"level=1\.0"),
    ],
)
def test_bad_arguments_are_named(data, changes, message):
    arguments = {"probs": data[0], "labels": data[1], "names": NAMES} | changes
    with pytest.raises(ValueError, match=message):
        plots.co_occurrence(**arguments)
