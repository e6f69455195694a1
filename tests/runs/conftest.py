import numpy as np
import pytest

from lddu import config
from lddu.runs.predictions import ModelPredictions, RunPredictions
from lddu.runs.run import Run


def stat(mean):
    return {"mean": mean, "std": 0.1, "n": 3}


@pytest.fixture(scope="session")
def make_run():
    """Makes a run of two models on 60 samples; the last label never occurs."""

    def make(labels=2, members=1, label_names=None, modality_names=("text", "audio"), **changes):
        rng = np.random.default_rng(0)
        probs = rng.random((1, 60, labels))
        truth = (rng.random((60, labels)) < probs[0]).astype(int)
        truth[:, -1] = 0
        names = tuple(label_names or (f"label{c}" for c in range(labels)))
        half = np.full((1, labels), 0.5)
        models = {
            "base": ModelPredictions(rng.random((1, 60, labels)), half),
            "lddu": ModelPredictions(probs, half),
        }
        history = [
            {"epoch": e, "member": m, "train_nll": 1 / e, "valid_nll": 0.5 + 0.1 * abs(e - 2)}
            for m in range(members)
            for e in (1, 2, 3)
        ]
        cfg = config.tiny({name: (3, 4) for name in modality_names}, names)
        given = {
            "title": "A run",
            "seconds": 1.0,
            "config": cfg,
            "predictions": RunPredictions(
                np.arange(60), truth, names, "validation", "lddu", models
            ),
            "table": {"lddu": {"nll": stat(0.5)}, "base": {"nll": stat(0.9)}},
            "command": "lddu train --seed 3",
            "history": history,
            "weights": rng.dirichlet([1, 1, 1], (60, labels))[..., :2],
        }
        return Run(**{**given, **changes})

    return make
