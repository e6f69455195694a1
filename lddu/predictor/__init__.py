"""A trained model: fit, predict, calibrate, decide, save."""

from lddu.predictor.calibrating import calibrate
from lddu.predictor.fitting import fit, train_only
from lddu.predictor.network import Members
from lddu.predictor.predictor import Predictor

__all__ = ["Members", "Predictor", "calibrate", "fit", "train_only"]
