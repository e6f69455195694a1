"""lddu: uncertainty-aware multi-label classification in JAX.

Three levels, each usable without the ones below it in this list:

- arrays: `lddu.metrics`, `lddu.calibration`, `lddu.uncertainty`, `lddu.plots`, for any model;
- modules: `lddu.LDDU` with `init` and `apply`, `lddu.losses`, `lddu.training`;
- one call: `predictor = lddu.fit(config, train, valid)`, then `predictor.predict(batch)`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lddu.version import __version__

if TYPE_CHECKING:
    from lddu import calibration, config, data, losses, metrics, uncertainty
    from lddu.config import Config
    from lddu.gaussian import Gaussian
    from lddu.metrics.checks import UnknownLabelWarning
    from lddu.model import LDDU
    from lddu.predictor import Predictor
    from lddu.predictor.fitting import calibrate, fit
    from lddu.runs.report import write_report
    from lddu.structs import Batch, Modality, Prediction

__all__ = [
    "LDDU",
    "Batch",
    "Config",
    "Gaussian",
    "Modality",
    "Prediction",
    "Predictor",
    "UnknownLabelWarning",
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

_HOME = {
    "LDDU": "model",
    "Batch": "structs",
    "Config": "config",
    "Gaussian": "gaussian",
    "Modality": "structs",
    "Prediction": "structs",
    "Predictor": "predictor",
    "UnknownLabelWarning": "metrics.checks",
    "calibrate": "predictor.fitting",
    "fit": "predictor.fitting",
    "write_report": "runs.report",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `lddu --help` need not import JAX."""
    if name not in __all__:
        raise AttributeError(f"module 'lddu' has no attribute {name!r}")
    module = importlib.import_module(f"lddu.{_HOME.get(name, name)}")
    value = getattr(module, name) if name in _HOME else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
