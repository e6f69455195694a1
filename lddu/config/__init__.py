"""Configuration: frozen dataclasses, their checks, and the presets.

A configuration is data, separate from the modules that read it. `Config.to_json` and
`Config.from_json` keep it exactly, so that each run folder documents its run. Ablations are
configurations: every loss term has a weight, and weight 0 leaves it out of the compiled step.
"""

from lddu.config.calibration import CalibrationConfig, CalibrationMethod
from lddu.config.editing import parse, parse_all, replace
from lddu.config.execution import ExecutionConfig
from lddu.config.loss import LossConfig, Similarity
from lddu.config.model import EncoderConfig, Fusion, ModalityConfig, ModelConfig
from lddu.config.presets import PRESETS, default, paper, small, tiny
from lddu.config.schema import Config
from lddu.config.training import Monitor, Optimizer, TrainConfig

__all__ = [
    "PRESETS",
    "CalibrationConfig",
    "CalibrationMethod",
    "Config",
    "EncoderConfig",
    "ExecutionConfig",
    "Fusion",
    "LossConfig",
    "ModalityConfig",
    "ModelConfig",
    "Monitor",
    "Optimizer",
    "Similarity",
    "TrainConfig",
    "default",
    "paper",
    "parse",
    "parse_all",
    "replace",
    "small",
    "tiny",
]
