import dataclasses

import numpy as np
import pytest

from lddu import config
from lddu.runs.detail import Detail
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


HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\"quotes\" & 'quotes' <!-- \u2028",
)


@pytest.fixture(scope="session")
def explored(make_run):
    """A run whose names are hostile, with every detail, unknown labels and equal probabilities."""
    rng = np.random.default_rng(1)
    run = make_run(labels=3, label_names=HOSTILE, modality_names=(HOSTILE[0], "audio"))
    rows, labels = 60, 3
    probs = rng.beta(1, 2, (1, rows, labels)).round(2)  # so that some are equal
    probs[0, :2] = [[0, 1, 0], [1, 0, 1]]
    truth = (rng.random((rows, labels)) < probs[0]).astype(float)
    truth[rng.random((rows, labels)) < 0.1] = np.nan
    ids = np.array([f"{HOSTILE[i % 3]} \U0001f642 {i}" for i in range(rows)])
    models = {"lddu": ModelPredictions(probs.astype(np.float32), np.array([[0.3, 0.4, 0.5]]))}
    share = rng.random((rows, labels)).astype(np.float32)
    variance = models["lddu"].probs[0] * (1 - models["lddu"].probs[0])
    ends = np.sort(rng.random((2, rows, labels)), axis=0)
    detail = Detail(
        aleatoric=(1 - share) * variance,
        epistemic=share * variance,
        low=ends[0],
        high=ends[1],
        unimodal=rng.random((rows, labels, 2)),
        observed=np.arange(rows * 2).reshape(rows, 2) % 5 > 0,
        neighbours=(np.arange(rows)[:, None] + [1, 2, 3]).astype(np.int32) % rows,
        distances=np.sort(rng.random((rows, 3)), axis=1),
    )
    predictions = RunPredictions(ids, truth, HOSTILE, "validation", "lddu", models)
    return dataclasses.replace(run, title=HOSTILE[0], predictions=predictions, detail=detail)
