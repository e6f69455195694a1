"""A trained model: predict, calibrate, decide, save."""

from lddu.predictor.fitting import calibrate, fit
from lddu.predictor.predictor import Predictor

__all__ = ["Predictor", "calibrate", "fit"]
