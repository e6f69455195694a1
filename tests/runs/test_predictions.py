import dataclasses

import numpy as np
import pytest

from lddu import metrics
from lddu.runs.predictions import ModelPredictions, RunPredictions, pool
from lddu.runs.scores import aggregate

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, (20, 3))
IDS = np.array([f"sample {i}" for i in range(20)])


def model(seeds=2):
    return ModelPredictions(RNG.random((seeds, 20, 3)), RNG.random((seeds, 3)))


def run_predictions():
    by_sample = ModelPredictions(RNG.random((1, 20, 3)), RNG.random((1, 20, 3)))
    models = {"a": model(), "by sample": by_sample}
    return RunPredictions(IDS, LABELS, ("x", "y", "z"), "validation", "a", models)


def test_they_come_back(tmp_path):
    made = run_predictions()
    made.save(tmp_path)
    read = RunPredictions.load(tmp_path)
    for field in ("label_names", "protocol", "main"):
        assert getattr(read, field) == getattr(made, field)
    np.testing.assert_array_equal(read.ids, made.ids)
    np.testing.assert_array_equal(read.labels, made.labels)
    assert list(read.models) == list(made.models)
    for name, saved in made.models.items():
        np.testing.assert_allclose(read.models[name].probs, saved.probs, atol=1e-7)
        np.testing.assert_array_equal(read.models[name].thresholds, saved.thresholds)
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.npz"]


def test_unknown_labels_come_back_and_have_no_part(tmp_path):
    labels = LABELS.astype(float)
    labels[::4, 1] = np.nan
    made = dataclasses.replace(run_predictions(), labels=labels)
    made.save(tmp_path)
    read = RunPredictions.load(tmp_path)
    np.testing.assert_array_equal(read.labels, labels)
    known = ~np.isnan(labels)
    probs = made.models["a"].probs
    want = np.mean([metrics.brier(p[known][:, None], labels[known][:, None]) for p in probs])
    assert read.table()["a"]["brier"]["mean"] == pytest.approx(want, abs=1e-6)


def test_a_damaged_file_is_named(tmp_path):
    path = run_predictions().save(tmp_path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"PK\x03\x04"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"predictions\.npz is damaged"):
            RunPredictions.load(tmp_path)


def test_scores_are_of_each_run_at_its_thresholds():
    made = model()
    expected = [
        metrics.summarise(p, LABELS, t) for p, t in zip(made.probs, made.thresholds, strict=True)
    ]
    assert made.scores(LABELS) == expected
    predictions = dataclasses.replace(run_predictions(), models={"a": made})
    assert predictions.table() == {"a": aggregate(expected)}


def test_pooled_parts_score_as_the_whole():
    whole = model()
    parts = [
        ModelPredictions(whole.probs[:, rows], whole.thresholds)
        for rows in (slice(8), slice(8, None))
    ]
    assert pool(parts).scores(LABELS) == whole.scores(LABELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"main": "b"}, "main='b' must be one of the models"),
        ({"label_names": ("x",)}, r"labels \(20, 3\) must be \(N, C\), with N=20 ids and C=1"),
        ({"models": {"a": ModelPredictions(np.zeros((1, 9, 3)), np.zeros((1, 3)))}}, "probs of a"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(run_predictions(), **changes)
