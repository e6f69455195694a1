import numpy as np
import pytest

from lddu import plots


def test_pairs_are_counted_where_they_lie():
    ax = plots.agreement([[0.1, 0.1], [0.9, 1.0]], [[0.5, 0.5], [0.0, 1.0]], "exact", "model")
    (image,) = ax.get_images()
    counts = np.ma.filled(image.get_array(), 0)
    assert counts.sum() == 4
    assert counts[25, 5] == 2  # row: estimate 0.5, column: truth 0.1
    assert counts[49, 49] == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("exact\nn = 4", "model")
    ax.figure.canvas.draw()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shapes differ: truth \(2,\), estimate \(1,\)"):
        plots.agreement([0.1, 0.2], [0.1])
    for bad in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"estimate \(1,\) (must lie|holds 1 NaN)"):
            plots.agreement([0.1], [bad])
