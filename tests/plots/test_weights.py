import numpy as np
import pytest

from lddu import plots


def test_segments_are_means_and_the_prior_completes_them_to_one():
    weights = np.random.default_rng(0).dirichlet([3, 2, 1], (40, 5))[..., :2]
    names = list("abcde")
    ax = plots.modality_weights(weights, names, ["text", "audio"])
    assert [c.get_label() for c in ax.containers] == ["text", "audio", "prior"]
    widths = np.array([[bar.get_width() for bar in c] for c in ax.containers])
    np.testing.assert_allclose(widths[:2].T, weights.mean(0))
    np.testing.assert_allclose(widths.sum(0), 1.0)
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert ax.get_xlabel().endswith("n = 40 samples")
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first label is on top


def test_lines_span_the_quartiles_from_the_start_of_the_segment():
    weights = np.random.default_rng(1).dirichlet([3, 2, 1], (40, 1))[..., :2]
    ax = plots.modality_weights(weights, ["a"], ["text", "audio"])
    quartiles = np.quantile(weights[:, 0], [0.25, 0.75], axis=0)
    spans = [lines.get_segments()[0][:, 0] for lines in ax.collections]
    assert len(spans) == 2
    np.testing.assert_allclose(spans[0], quartiles[:, 0])
    np.testing.assert_allclose(spans[1], weights[:, 0, 0].mean() + quartiles[:, 1])


def test_shape_must_fit_the_names():
    with pytest.raises(ValueError, match=r"\(4, 2, 3\).*\(N, \*\(2, 2\)\)"):
        plots.modality_weights(np.zeros((4, 2, 3)), ["a", "b"], ["text", "audio"])
