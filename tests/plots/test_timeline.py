import numpy as np
import pytest

from lddu import plots

TIMES = np.array([0.0, 1, 2, 3, 10, 11])
WEIGHTS = np.array([[0.5, 0.25], [0.5, 0.5], [0.2, 0.2], [0.1, 0.3], [0.6, 0.4], [0.0, 0.0]])
NAMES = ["text", "audio"]


def line(ax):
    return np.asarray(ax.lines[0].get_data())


def ends(collection, time):
    """The lowest and highest value of a filled area at a time."""
    corners = np.concatenate([path.vertices for path in collection.get_paths()])
    values = corners[np.isclose(corners[:, 0], time), 1]
    return values.min(), values.max()


def test_shares_are_stacked_and_the_prior_completes_them():
    figure = plots.timeline(TIMES, WEIGHTS, NAMES, {})
    text, audio, prior = figure.axes[0].collections
    for time, row in zip(TIMES, WEIGHTS, strict=True):
        np.testing.assert_allclose(ends(text, time), (0, row[0]))
        np.testing.assert_allclose(ends(audio, time), (row[0], row.sum()))
        np.testing.assert_allclose(ends(prior, time), (row.sum(), 1))
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [*NAMES, "prior"]
    assert figure.axes[-1].get_xlabel() == "time (s)\nn = 6 points in time"


def test_panels_share_time_and_say_what_they_show():
    values, known = np.arange(6.0), np.array([1, np.nan, 3, 4, 5, 6])
    figure = plots.timeline(TIMES, WEIGHTS, NAMES, {"a$b": values, "other": -values}, known)
    names = [ax.get_ylabel() for ax in figure.axes[1:]]
    assert names == [r"a\$b", "other", "observer\ndisagreement\n(n = 5)"]
    np.testing.assert_array_equal(line(figure.axes[1]), [TIMES, values])
    np.testing.assert_array_equal(line(figure.axes[3])[1], known)
    assert figure.axes[1].get_ylim()[0] == 0
    assert figure.axes[2].get_ylim()[0] < -5
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    figure.canvas.draw()


def test_a_window_averages_and_bands_span_the_middle_half():
    values = np.array([0.0, 1, 5, np.nan, 2, 4])
    ax = plots.timeline(TIMES, WEIGHTS, NAMES, {"a": values}, window=2).axes[1]
    # Neighbours at most 1 away; what is unknown stays so and has no part.
    np.testing.assert_allclose(line(ax)[1], [0.5, 2, 3, np.nan, 3, 3])
    (band,) = ax.collections
    np.testing.assert_allclose(ends(band, 1.0), np.quantile([0, 1, 5], [0.25, 0.75]))
    plain = plots.timeline(TIMES, WEIGHTS, NAMES, {"a": values}).axes[1]
    assert not plain.collections


def test_lines_end_at_gaps():
    values = np.arange(6.0)
    times, shown = line(plots.timeline(TIMES, WEIGHTS, NAMES, {"a": values}, gap=2).axes[1])
    assert np.isnan(shown).tolist() == [False] * 4 + [True] + [False] * 2
    np.testing.assert_array_equal(times, [0, 1, 2, 3, 6.5, 10, 11])


def test_rows_of_unknown_weights_are_left_out():
    weights = WEIGHTS.copy()
    weights[1, 0] = np.nan
    ax = plots.timeline(TIMES, weights, NAMES, {}).axes[0]
    assert ax.get_ylabel().endswith("(n = 5)")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": TIMES[::-1]}, "times must increase"),
        ({"times": [1.0]}, r"times has shape \(1,\)"),
        ({"weights": WEIGHTS[:, :1]}, r"weights has shape \(6, 1\)"),
        ({"weights": 2 * WEIGHTS}, "weights must be at least 0, and at most 1"),
        ({"uncertainty": {"a": [1.0]}}, r"uncertainty\['a'\] has shape \(1,\)"),
        ({"disagreement": np.full(6, np.inf)}, "disagreement holds infinite"),
        ({"window": -1}, "window=-1 must"),
        ({"gap": 0}, "gap=0 must"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    arguments = {"times": TIMES, "weights": WEIGHTS, "uncertainty": {}} | changes
    with pytest.raises(ValueError, match=message):
        plots.timeline(modality_names=NAMES, **arguments)
