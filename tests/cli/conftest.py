import numpy as np
import pytest

from lddu.runs.predictions import ModelPredictions, RunPredictions


@pytest.fixture
def run(tmp_path):
    """The folder of a finished run, with predictions only."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 2))
    half = np.full((1, 2), 0.5)
    models = {name: ModelPredictions(rng.random((1, 50, 2)), half) for name in ("forest", "lddu")}
    ids = np.arange(50).astype(str)
    RunPredictions(ids, labels, ("a", "b"), "validation", "lddu", models).save(tmp_path)
    return str(tmp_path)
