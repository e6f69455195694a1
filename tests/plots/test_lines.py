import numpy as np
import pytest

from lddu import plots


def test_a_line_is_the_mean_and_its_band_one_deviation():
    runs = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]])
    ax = plots.mean_lines([0, 1, 2], {"a$b": runs, "single": [0.0, 1.0, 0.0]}, "x", "y", "title")
    first, second = ax.get_lines()
    np.testing.assert_array_equal(first.get_ydata(), [2, 2, 4])
    np.testing.assert_array_equal(second.get_ydata(), [0, 1, 0])
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(4 + np.sqrt(2))
    note = "mean and standard deviation\nof n = 1 to 2 runs"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == (f"x\n{note}", "y", "title")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [r"a\$b", "single"]
    ax.figure.canvas.draw()


def test_it_draws_where_told():
    axes = plots.Figure().subplots(1, 2)
    assert plots.mean_lines([0], {"a": [1.0]}, ax=axes[1]) is axes[1]
    assert not axes[0].get_lines()
    assert axes[1].get_xlabel() == ""  # a single run has no spread to explain


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"curve 'a' has shape \(1, 2\), must be \(runs, 3\)"):
        plots.mean_lines([0, 1, 2], {"a": [1.0, 2.0]})
