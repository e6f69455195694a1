import numpy as np
import pytest

from lddu import plots
from lddu.runs.results import read_results, write_results
from lddu.runs.scores import aggregate

SEVERITIES = (1, 2, 5)


def runs(start, count, skipped=()):
    """`count` runs: metric_clean, metric_corruption_severity, and keys of other kinds."""
    return [
        {"error_off_base_rate": 0.1, "nll_2_modalities": 9.0}
        | {f"{metric}_clean": start + seed for metric in ("nll", "ece", "ece_macro")}
        | {
            f"{metric}_{name}_{k}": np.nan if name in skipped else start + seed * k + size
            for metric, size in (("nll", 1), ("ece", 2), ("ece_macro", 3))
            for name in ("drop_steps", "swap")
            for k in SEVERITIES
        }
        for seed in range(count)
    ]


@pytest.fixture
def models():
    return {"a$b": aggregate(runs(0.0, 3)), "exact": aggregate(runs(5.0, 1, skipped=["swap"]))}


def test_lines_are_means_and_bands_deviations_of_the_runs(models):
    figure = plots.robustness_curves(models)
    assert [ax.get_title() for ax in figure.axes] == ["drop steps", "swap"]
    first, exact = figure.axes[0].get_lines()
    values = np.array([[seed + 0.0, *(seed * k + 1 for k in SEVERITIES)] for seed in range(3)])
    np.testing.assert_allclose(first.get_data(), [[0, *SEVERITIES], values.mean(0)])
    np.testing.assert_allclose(exact.get_ydata(), [5, 6, 6, 6])
    (band,) = figure.axes[0].collections  # a single run has none
    corners = band.get_paths()[0].vertices
    for x, low, high in zip(
        [0, *SEVERITIES],
        values.mean(0) - values.std(0, ddof=1),
        values.mean(0) + values.std(0, ddof=1),
        strict=True,
    ):
        own = corners[corners[:, 0] == x, 1]
        np.testing.assert_allclose((own.min(), own.max()), (low, high))
    figure.canvas.draw()


def test_a_model_keeps_its_colour_and_is_left_out_where_it_has_no_scores(models):
    figure = plots.robustness_curves(models)
    assert len(figure.axes[1].get_lines()) == 1
    reversed_models = dict(reversed(models.items()))
    (line,) = plots.robustness_curves(reversed_models).axes[1].get_lines()
    assert line.get_color() == plots.colors(2)[1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [r"a\$b (n = 3)", "exact (n = 1)"]


def test_metrics_are_rows_and_longer_names_keep_their_scores(models):
    figure = plots.robustness_curves(models, ["ece", "ece_macro"], ["swap"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["ece", "ece macro"]
    assert [ax.get_lines()[0].get_ydata()[1] for ax in figure.axes] == [3, 4]
    assert [ax.get_title() for ax in figure.axes] == ["swap", ""]


def test_results_may_come_from_a_file(models, tmp_path):
    write_results(tmp_path, models, {}, seconds=1.0)
    figure = plots.robustness_curves(read_results(tmp_path)["models"])
    for a, b in zip(figure.axes, plots.robustness_curves(models).axes, strict=True):
        np.testing.assert_array_equal(a.get_lines()[0].get_ydata(), b.get_lines()[0].get_ydata())


def test_the_legend_is_within_a_narrow_figure(models):
    many = {f"a model with a long name {i}": models["exact"] for i in range(6)}
    figure = plots.robustness_curves(many, corruptions=["drop_steps"])
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_what_has_no_results_is_named(models):
    with pytest.raises(ValueError, match=r"metric 'f1'; there are 'nll', 'ece', 'ece_macro'"):
        plots.robustness_curves(models, ["f1"])
    with pytest.raises(ValueError, match=r"corruption 'fog'; there are 'drop_steps', 'swap'"):
        plots.robustness_curves(models, corruptions=["fog"])
    with pytest.raises(ValueError, match="metric 'nll'; there are none at all"):
        plots.robustness_curves({})
