import numpy as np
import pytest

from lddu import plots

NLL = [0.9, 0.5, 0.7, 0.8]
F1 = [0.2, 0.4, 0.6, 0.5]


def history(member=None, **extra):
    rows = []
    for i in range(4):
        row = {"epoch": i + 1, "train_nll": 1 / (i + 1), "valid_nll": NLL[i]}
        row |= {"valid_micro_f1": F1[i], "train_grad_norm": 9.0, "best": False, "seconds": 1.0}
        row |= {name: values[i] for name, values in extra.items()}
        rows.append(row if member is None else row | {"member": member})
    return rows


def markers(ax):
    return [line for line in ax.lines if line.get_marker() == "o"]


def test_one_panel_per_quantity_with_its_values():
    figure = plots.training_curves(history())
    titles = ["training NLL", "validation NLL", "validation micro F1"]
    assert [ax.get_title() for ax in figure.axes] == titles
    np.testing.assert_allclose(figure.axes[1].lines[0].get_data(), [[1, 2, 3, 4], NLL])


@pytest.mark.parametrize(("monitor", "epoch"), [("nll", 2), ("micro_f1", 3)])
def test_the_chosen_epoch_is_marked_in_every_panel(monitor, epoch):
    for ax, values in zip(
        plots.training_curves(history(), monitor).axes[1:], (NLL, F1), strict=True
    ):
        (marker,) = markers(ax)
        assert marker.get_xdata().item() == epoch
        assert marker.get_ydata().item() == values[epoch - 1]


def test_members_have_lines_and_markers_of_their_own():
    rows = history(0) + history(1)
    rows[4]["valid_nll"] = 0.1  # member 1 chooses its first epoch
    ax = plots.training_curves(rows[::-1]).axes[1]
    assert len(markers(ax)) == 2
    assert {m.get_xdata().item() for m in markers(ax)} == {1, 2}
    # Rows may come in any order; a line runs forward in time all the same.
    lines = [line for line in ax.lines if line.get_marker() != "o"]
    assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3, 4]] * 2


def test_terms_share_a_panel_as_means_over_members():
    rows = history(0, train_kl=[4.0, 2, 2, 2]) + history(1, train_kl=[2.0, 2, 2, 2])
    ax = plots.training_curves(rows).axes[-1]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert set(lines) == {"kl", "nll"}  # the gradient norm is no term
    np.testing.assert_allclose(lines["kl"], [3, 2, 2, 2])


def test_terms_of_different_magnitude_get_a_logarithmic_axis():
    assert plots.training_curves(history(train_a=[1e-3] * 4)).axes[-1].get_yscale() == "log"
    assert plots.training_curves(history(train_a=[-1.0] * 4)).axes[-1].get_yscale() == "linear"


def test_missing_scores_leave_out_panel_and_marker():
    rows = [{"epoch": i, "train_loss": 1.0} for i in range(3)]
    (ax,) = plots.training_curves(rows).axes
    assert not markers(ax)
    nans = history()
    nans[1]["valid_nll"] = None  # null in JSON
    assert markers(plots.training_curves(nans).axes[1])[0].get_xdata().item() == 3


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="empty"):
        plots.training_curves([])
    with pytest.raises(ValueError, match="'loss'"):
        plots.training_curves(history(), monitor="loss")
