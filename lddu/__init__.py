"""lddu: uncertainty-aware multi-label classification in JAX.

Three levels, each usable without the ones below it in this list:

- arrays: `lddu.metrics`, `lddu.calibration`, `lddu.uncertainty`, `lddu.plots`, for any model;
- modules: `lddu.LDDU` with `init` and `apply`, `lddu.losses`, `lddu.training`;
- one call: `predictor = lddu.fit(config, train, valid)`, then `predictor.predict(batch)`.
"""

from lddu import calibration, config, data, losses, metrics, uncertainty
from lddu.config import Config
from lddu.gaussian import Gaussian
from lddu.model import LDDU
from lddu.predictor import Predictor
from lddu.predictor.fitting import calibrate, fit
from lddu.runs.report import write_report
from lddu.structs import Batch, Modality, Prediction
from lddu.version import __version__

__all__ = [
    "LDDU",
    "Batch",
    "Config",
    "Gaussian",
    "Modality",
    "Prediction",
    "Predictor",
    "__version__",
    "calibrate",
    "calibration",
    "config",
    "data",
    "fit",
    "losses",
    "metrics",
    "uncertainty",
    "write_report",
]
