"""Weights of the modalities in the fusion, for each label."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lddu.names import named
from lddu.plots import style


@named(weights="row label modality")
def modality_weights(
    weights: ArrayLike,
    label_names: Sequence[str],
    modality_names: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Draws stacked bars of the mean weight per label; the prior's share completes them to 1.

    The thin line under a modality's segment spans the middle half of that weight over the samples,
    counted from the start of the segment. It shows whether the weight is the same for every sample
    or varies with the input.

    Args:
      weights: (N, C, M) share of the fused precision from each modality, as `Prediction.weights`:
        non-negative, at most 1 in sum over M.
      label_names: Names of the C labels.
      modality_names: Names of the M modalities.
      ax: Axes to draw on; None makes a new figure.

    Returns:
      The axes, with one container of C bars per modality and one for the prior.

    Raises:
      ValueError: If the shape does not fit the names.
    """
    weights = np.asarray(weights, float)
    expected = (len(label_names), len(modality_names))
    if weights.ndim != 3 or weights.shape[1:] != expected:
        raise ValueError(
            f"weights has shape {weights.shape}, must be (N, *{expected}) for these names"
        )
    shares = np.concatenate([weights, 1.0 - weights.sum(-1, keepdims=True)], axis=-1)
    mean = shares.mean(0)
    low, high = np.quantile(shares, [0.25, 0.75], axis=0)

    labels = len(label_names)
    ax = style.axes_or_new(ax, 6.4, 0.9 + 0.46 * labels)
    style.tidy(ax, grid="x")
    rows = np.arange(labels)
    start = np.zeros(labels)
    names = [*modality_names, "prior"]
    for m, (name, color) in enumerate(
        zip(names, [*style.colors(len(names) - 1), style.PRIOR], strict=True)
    ):
        bars = ax.barh(
            rows,
            mean[:, m],
            0.5,
            left=start,
            color=color,
            edgecolor="white",
            linewidth=0.8,
            label=style.escape(name),
        )
        ax.bar_label(
            bars,
            [f"{value:.2f}" if value >= 0.07 else "" for value in mean[:, m]],
            label_type="center",
            color=style.INK if color in (style.PRIOR, "#E69F00", "#56B4E9") else "white",
            fontsize=8,
        )
        if color != style.PRIOR:
            spread = start + low[:, m], start + high[:, m]
            ax.hlines(rows + 0.35, *spread, color=color, linewidth=2.2)
        start = start + mean[:, m]
    ax.set_yticks(rows, [style.escape(name) for name in label_names])
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(0, 1.005)  # so that the last bar's edge is not cut
    ax.set_ylim(labels - 0.4, -0.5)
    ax.set_xlabel("share of the fused precision (line below: middle half of the samples)")
    style.note(ax, f"{style.counted(len(weights))} samples")
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(names),
        frameon=False,
        fontsize=8,
        borderaxespad=0.2,
        handlelength=1.0,
        handleheight=1.0,
    )
    return ax
