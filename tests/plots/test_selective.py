import numpy as np
import pytest
from matplotlib.figure import Figure

from lddu import plots


def test_draws_each_curve_and_its_full_coverage_risk():
    curves = {"a": ([0.5, 1.0], [0.1, 0.3]), "b": ([0.25, 0.5, 1.0], [0.0, 0.0, 0.2])}
    ax = plots.risk_coverage(curves)
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["a", "b"]
    for line, (coverage, risk) in zip(lines, curves.values(), strict=True):
        np.testing.assert_allclose(line.get_data(), [coverage, risk])
    reference = [line for line in ax.lines if line.get_label().startswith("_")]
    assert [line.get_ydata()[0] for line in reference] == [0.3, 0.2]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_ylim()[1] > 0.3


def test_draws_into_the_axes_that_are_given():
    own = Figure().add_subplot()
    assert plots.risk_coverage({"a": ([1.0], [0.5])}, ax=own) is own


def test_more_curves_than_colours_are_told_apart():
    curves = {str(i): ([0.5, 1.0], [0.0, 0.1]) for i in range(9)}
    lines = [line for line in plots.risk_coverage(curves).lines if line.get_label().isdigit()]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


def test_a_model_without_errors_still_has_an_axis():
    assert plots.risk_coverage({"a": ([0.5, 1.0], [0.0, 0.0])}).get_ylim() == (0, 1)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"'a'.*\(2,\).*\(1,\)"):
        plots.risk_coverage({"a": ([0.5, 1.0], [0.1])})
