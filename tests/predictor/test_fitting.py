import functools
import json

import chex
import jax
import numpy as np
import pytest

import lddu
from lddu import config, metrics
from lddu.data.batching import concatenate
from lddu.data.corruptions import subset
from lddu.data.labels import base_rate
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.predictor import train_only
from lddu.structs import Modality

close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


def test_fit_on_tiny_data(predictor, tiny_data):
    train, valid, test = tiny_data
    epochs = [(r["member"], r["epoch"]) for r in predictor.history]
    assert epochs == [(0, 1), (0, 2), (1, 1), (1, 2)]
    prediction = predictor.predict(test.batch)
    assert prediction.epistemic.max() > 0
    np.testing.assert_allclose(predictor.base_rate, base_rate(train.batch.labels))
    members = predictor.members(valid.batch)
    raw, calibrated = (
        metrics.nll(predictor.combine(members, calibrated=c).probs, valid.batch.labels)
        for c in (False, True)
    )
    assert calibrated <= raw + 1e-5
    nothing = predictor.predict(subset(test.batch, []))
    rate = np.tile(predictor.base_rate, (test.batch.size, 1))
    np.testing.assert_allclose(nothing.probs, rate, atol=1e-5)
    # It learned: over all rows it gains many standard errors on the base rate.
    everything = concatenate([train.batch, valid.batch, test.batch])
    gain = row_nll(predictor.base_rate, everything.labels)
    gain -= row_nll(predictor.predict(everything).probs, everything.labels)
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))


law = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 5),), missing=0.0)


def row_nll(probs, labels):
    return -np.where(labels > 0, np.log(probs), np.log1p(-probs)).mean(1)


@pytest.mark.slow
def test_fit_copes_with_awkward_data(tmp_path, toy_config):
    """Soft and integer labels, one that never occurs, a modality never seen, and one unknown."""
    train, valid = (generate(40, seed=n, config=law).batch for n in (20, 12))

    def awkward(batch, labels):
        never = Modality(np.full((40, 2, 4), np.nan, np.float32), np.zeros((40, 2), bool))
        unknown = Modality(np.ones((40, 2, 1), np.float32), np.ones((40, 2), bool))
        labels[:, 1] = 0
        return batch.replace(
            modalities={**batch.modalities, "y": never, "unknown": unknown},
            present={**batch.present, "y": np.ones(40, bool), "unknown": np.ones(40, bool)},
            labels=labels,
        )

    train = awkward(train, np.where(train.labels > 0, np.float32(0.75), np.float32(0.25)))
    valid = awkward(valid, valid.labels.astype(int))
    valid = valid.replace(
        modalities={k: m for k, m in valid.modalities.items() if k != "unknown"},
    )
    cfg = config.replace(toy_config, {"train.epochs": 2, "train.members": 1})
    predictor = lddu.fit(cfg, train, valid, folder=tmp_path / "run", progress=False)
    prediction = predictor.predict(train)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))
    assert np.isfinite(predictor.thresholds).all()
    assert prediction.probs[:, 1].max() < 0.3
    assert not prediction.weights[..., 1].any()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["train"]["epochs"] == 2
    # Called again, fit only loads what it finds.
    again = lddu.fit(cfg, train, valid, folder=tmp_path / "run", progress=False)
    assert again.history == predictor.history
    chex.assert_trees_all_equal(again.predict(train), prediction)


def test_fit_refuses_validation_rows_that_weigh_nothing_before_it_trains(toy_config, toy_data):
    nothing = toy_data.replace(weight=np.zeros(len(toy_data.labels)))
    for function in (lddu.fit, train_only):
        with pytest.raises(ValueError, match=r"weights .* not all 0"):
            function(toy_config, toy_data, nothing, progress=False)


def test_fit_refuses_the_folder_of_another_configuration(toy_config, toy_data, tmp_path):
    other = config.replace(toy_config, {"train.seed": 7})
    (tmp_path / "config.json").write_text(other.to_json())
    with pytest.raises(ValueError, match="holds a run of another configuration"):
        lddu.fit(toy_config, toy_data, toy_data, folder=tmp_path, progress=False)
    assert (tmp_path / "config.json").read_text() == other.to_json()


def test_fit_checks_both_splits(toy_config, toy_data):
    bare = toy_data.replace(labels=None)
    for train, valid in ((bare, toy_data), (toy_data, bare)):
        with pytest.raises(ValueError, match="no labels"):
            lddu.fit(toy_config, train, valid, progress=False)
