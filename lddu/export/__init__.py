"""A trained `Predictor` as one file that runs without this library."""

from lddu.export.stablehlo import PLATFORMS, ExportedPredictor, export, load

__all__ = ["PLATFORMS", "ExportedPredictor", "export", "load"]
