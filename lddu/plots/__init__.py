"""Figures from plain NumPy arrays, of this model or of any other.

Functions that draw one panel take an optional `ax` and return the Axes; those that draw a grid
return a Figure. None of them uses pyplot: figures need not be closed, no display is needed, and a
notebook shows what a cell returns.
"""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(
        "lddu.plots draws with matplotlib, which is not installed: pip install 'lddu[viz]'"
    ) from error

from lddu.plots.agreement import agreement
from lddu.plots.calibration_change import calibration_change
from lddu.plots.co_occurrence import co_occurrence
from lddu.plots.latent import latent_ellipses
from lddu.plots.latent_panels import latent_panels
from lddu.plots.lines import mean_lines
from lddu.plots.reliability import reliability_diagram
from lddu.plots.robustness import robustness_curves
from lddu.plots.selective import risk_coverage
from lddu.plots.set_sizes import set_sizes
from lddu.plots.style import Figure, colors
from lddu.plots.timeline import timeline
from lddu.plots.training import training_curves
from lddu.plots.weights import modality_weights

__all__ = [
    "Figure",
    "agreement",
    "calibration_change",
    "co_occurrence",
    "colors",
    "latent_ellipses",
    "latent_panels",
    "mean_lines",
    "modality_weights",
    "reliability_diagram",
    "risk_coverage",
    "robustness_curves",
    "set_sizes",
    "timeline",
    "training_curves",
]
