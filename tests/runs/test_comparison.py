import dataclasses

import numpy as np
import pytest

from lddu import metrics
from lddu.runs import comparison
from lddu.runs.predictions import ModelPredictions, RunPredictions

OWN = "each run's own thresholds, on average 0.500"
RNG = np.random.default_rng(0)
TRUTH = RNG.random((300, 3))
LABELS = (RNG.random((300, 3)) < TRUTH).astype(np.int8)
IDS = np.array([f"sample {i}" for i in range(300)])


def scored(noise, seeds=2):
    """Models that see the true probabilities through noise."""
    rng = np.random.default_rng(int(10 * noise))
    probs = np.clip(TRUTH + noise * rng.normal(size=(seeds, *TRUTH.shape)), 0.01, 0.99)
    return ModelPredictions(probs.astype(np.float32).astype(float), np.full((seeds, 3), 0.5))


def predictions(noise=0.0, **changes):
    models = {"lddu_ensemble_calibrated": scored(noise, 1), "lddu": scored(noise)}
    made = RunPredictions(
        IDS, LABELS, ("a", "b", "c"), "validation", "lddu_ensemble_calibrated", models
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def run(tmp_path):
    """Writes predictions as the run of a name, and returns its folder as text."""

    def write(name, made):
        (tmp_path / name).mkdir()
        made.save(tmp_path / name)
        return str(tmp_path / name)

    return write


def test_a_worse_model_is_called_worse_and_noise_is_called_noise(run):
    runs = run("good", predictions(0.0)), run("bad", predictions(1.0))
    good, bad = comparison.compare(runs, resamples=60, progress=False)
    assert good.against_first == {}
    assert set(bad.against_first) == set(comparison.COLUMNS) - {"ece"}
    assert set(bad.scores) == set(comparison.COLUMNS)
    nll = bad.against_first["nll"]
    assert nll.low > 0
    assert nll.estimate == pytest.approx(bad.scores["nll"] - good.scores["nll"])
    text = comparison.format_comparison([good, bad])
    line = next(line for line in text.splitlines() if line.startswith("nll "))
    assert line.endswith("worse")
    assert "No interval of a difference in ece" in text
    assert f"micro_f1, macro_f1, jaccard_empty_zero: of decisions at {OWN}" in text
    assert "WARNING" not in text


def test_a_run_against_itself_differs_by_nothing(run):
    folder = run("a", predictions(0.3))
    first, second = comparison.compare([folder, folder], resamples=20, progress=False)
    assert first.scores == second.scores
    for difference in second.against_first.values():
        assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)
    assert "inside chance" in comparison.format_comparison([first, second])


def test_a_model_of_several_seeds_scores_their_mean(run):
    folder = run("a", predictions(0.5))
    model = predictions(0.5).models["lddu"]
    want = np.mean([metrics.summarise(p, LABELS)["nll"] for p in model.probs])
    first, _ = comparison.compare([f"{folder}:lddu", folder], resamples=2, progress=False)
    assert first.scores["nll"] == pytest.approx(want, rel=1e-6)
    assert first.name == f"{folder}:lddu"


def test_thresholds_per_sample_count(run):
    """Those of a run over folds: here they decide every second sample the wrong way round."""
    made = predictions(0.0)
    model = made.models["lddu"]
    cuts = np.repeat(model.thresholds[:, None], len(IDS), axis=1)
    cuts[:, ::2] = np.where(model.probs[:, ::2] > 0.5, 1.0, 0.0)
    by_sample = ModelPredictions(model.probs, cuts)
    first = run("a", made)
    second = run("b", dataclasses.replace(made, main="lddu", models={"lddu": by_sample}))
    a, b = comparison.compare([f"{first}:lddu", second], resamples=2, progress=False)
    assert a.scores["nll"] == pytest.approx(b.scores["nll"], rel=1e-6)
    assert a.scores["micro_f1"] > b.scores["micro_f1"]


def test_samples_are_matched_by_id(run):
    order = np.random.default_rng(1).permutation(len(IDS))
    made = predictions(0.3)
    shuffled = predictions(
        0.3,
        ids=IDS[order],
        labels=LABELS[order],
        models={
            n: ModelPredictions(m.probs[:, order], m.thresholds) for n, m in made.models.items()
        },
    )
    runs = run("a", made), run("b", shuffled)
    _, second = comparison.compare(runs, resamples=20, progress=False)
    assert second.against_first["nll"].estimate == pytest.approx(0, abs=1e-12)


def test_unknown_labels_have_no_part(run):
    labels = LABELS.astype(float)
    labels[:100, 0] = np.nan
    runs = [run(name, predictions(noise, labels=labels)) for name, noise in (("a", 0), ("b", 1.0))]
    first, second = comparison.compare(runs, resamples=30, progress=False)
    known = ~np.isnan(labels)
    for contestant, noise in ((first, 0), (second, 1.0)):
        probs = predictions(noise).models["lddu_ensemble_calibrated"].probs[0]
        want = metrics.nll(probs[known][:, None], labels[known][:, None])
        assert contestant.scores["nll"] == pytest.approx(want, rel=1e-6)
    assert second.against_first["nll"].low > 0
    other = run("c", predictions(labels=LABELS))
    with pytest.raises(ValueError, match="disagree on the labels"):
        comparison.compare([runs[0], other], 5, progress=False)


def test_what_soft_labels_leave_undefined_has_no_verdict(run):
    soft = np.where(LABELS == 1, 0.75, 0.0)
    runs = run("a", predictions(labels=soft)), run("b", predictions(1.0, labels=soft))
    text = comparison.format_comparison(comparison.compare(runs, 5, progress=False))
    line = next(x for x in text.splitlines() if x.startswith("jaccard_empty_zero "))
    assert line.endswith("undefined")


def test_labels_are_matched_by_name(run):
    order = [2, 0, 1]
    made = predictions(0.3)
    turned = predictions(
        0.3,
        label_names=tuple(made.label_names[c] for c in order),
        labels=LABELS[:, order],
        models={
            name: ModelPredictions(m.probs[..., order], m.thresholds[..., order])
            for name, m in made.models.items()
        },
    )
    runs = run("a", made), run("b", turned)
    first, second = comparison.compare(runs, resamples=20, progress=False)
    assert second.scores == first.scores
    assert second.against_first["macro_f1"].estimate == 0.0


def test_test_selected_runs_are_named(run):
    runs = run("a", predictions()), run("b", predictions(protocol="official"))
    text = comparison.format_comparison(comparison.compare(runs, 5, progress=False))
    assert f"WARNING: {runs[1]}:lddu_ensemble_calibrated was SELECTED ON TEST" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_names": ("a", "b", "x")}, r"name different labels: .*'c'.*'x'"),
        ({"label_names": ("a", "c", "b")}, "disagree on the labels"),
        ({"ids": np.char.add(IDS, "x")}, "not tested on the same samples: 300 and 300"),
        ({"labels": 1 - LABELS}, "disagree on the labels"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(run, changes, message):
    runs = run("a", predictions()), run("b", predictions(**changes))
    with pytest.raises(ValueError, match=message):
        comparison.compare(runs, 5, progress=False)


def test_other_mistakes_say_what_to_do(run, tmp_path):
    folder = run("a", predictions())
    with pytest.raises(ValueError, match="at least two"):
        comparison.compare([folder], progress=False)
    with pytest.raises(ValueError, match=r"no model 'forest'; it has \['lddu_ensemble_cal"):
        comparison.compare([folder, f"{folder}:forest"], progress=False)
    with pytest.raises(FileNotFoundError, match="is this the folder of a finished run"):
        comparison.compare([folder, str(tmp_path)], progress=False)
