"""Training on merged corpora, each of which knows some of the labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lddu
from lddu import config
from lddu.data import merge, take
from lddu.data.labels import base_rate
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.predictor import train_only
from lddu.training.trainer import Trainer

LAW = SyntheticConfig(
    labels=("a", "b", "c"), features=(("x", 5), ("y", 4)), length=(("x", 4), ("y", 2)), missing=0.2
)
CONFIG = config.replace(
    config.tiny({"x": (5, 4), "y": (4, 2)}, ("a", "b", "c", "never")),
    {
        "model.encoder.hidden": 4,
        "model.encoder.layers": 0,  # compiles soon
        "model.latent": 2,
        "model.latent_hidden": (),
        "loss.bank_size": 64,
        "loss.unimodal": 0.0,
        "train.batch_size": 16,
        "train.epochs": 2,
        "train.patience": 0,
        "execution.packing": False,
    },
)


def corpora(rows, seed):
    """Two corpora with different labels and modalities, one with weights."""
    batch = generate(rows, seed=seed, config=LAW).batch
    halves = take(batch, slice(0, rows // 2)), take(batch, slice(rows // 2, rows))
    first = halves[0].replace(
        labels=halves[0].labels[:, [1, 0]], weight=np.linspace(0, 2, rows // 2, dtype=np.float32)
    )
    second = halves[1].replace(
        labels=halves[1].labels[:, [1, 2]],
        modalities={"x": halves[1].modalities["x"]},
        present={"x": halves[1].present["x"]},
    )
    return {"first": (first, ("b", "a")), "second": (second, ("b", "c"))}


@pytest.fixture(scope="module")
def merged():
    """(train, valid)."""
    return [merge(corpora(rows, rows), CONFIG.model.labels).batch for rows in (60, 40)]


@pytest.fixture(scope="module")
def trainer(merged):
    return Trainer(CONFIG, *merged)


@pytest.fixture(scope="module")
def trained(trainer):
    return trainer.run(progress=False)[0]


def test_history_is_that_of_known_entries(trainer, trained, merged):
    valid = merged[1]
    params = jax.tree.map(lambda x: x[None], trained.params)
    probs = trainer._evaluate(params)[0].astype(float)
    assert np.isfinite(probs).all()
    entries = np.where(np.isnan(valid.labels), 0, valid.weight[:, None])
    y = np.nan_to_num(valid.labels)
    nll = -(y * np.log(probs) + (1 - y) * np.log1p(-probs))
    want = np.average(nll, weights=entries)
    got = [record for record in trained.history if record["epoch"] == trained.best_epoch]
    np.testing.assert_allclose(got[0]["valid_nll"], want, rtol=1e-4)
    assert all(np.isfinite(list(record.values())).all() for record in trained.history)


@pytest.mark.filterwarnings("ignore:labels .* have no known entry:lddu.UnknownLabelWarning")
def test_fit_on_merged_corpora(merged, trained):
    train, valid = merged
    with pytest.warns(lddu.UnknownLabelWarning, match=r"knows the labels \['never'\]") as caught:
        predictor = lddu.fit(CONFIG, train, valid, progress=False)
    # Calibration warns too, in other words.
    assert len([w for w in caught if "training row" in str(w.message)]) == 1
    np.testing.assert_allclose(predictor.base_rate, base_rate(train.labels, train.weight))
    assert predictor.base_rate[3] == 0.5
    prediction = predictor.predict(valid)
    assert prediction.probs.shape == (40, 4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))
    assert np.isfinite(predictor.thresholds).all()
    scores = [[r["valid_nll"] for r in x.history] for x in (predictor, trained)]
    assert scores[0] == scores[1]


def test_the_initial_read_out_is_the_base_rate(trainer, merged):
    params = trainer._start([0])[0].params
    logit = np.asarray(params["fusion"]["head"]["prior_logit"])[0]
    rate = base_rate(merged[0].labels, merged[0].weight)
    np.testing.assert_allclose(logit, np.log(rate) - np.log1p(-rate), rtol=1e-4, atol=1e-6)


def test_what_stands_under_the_mask_does_not_reach_the_weights(trainer, merged, trained):
    """Bit by bit: other bits of NaN, and other labels in rows of weight 0."""
    train = merged[0]
    labels = train.labels.copy()
    labels.view(np.uint32)[np.isnan(labels)] = 0xFFC54321
    labels[train.weight == 0] = 1 - train.labels[train.weight == 0]
    assert (train.weight == 0).any()
    kept = trainer._train
    trainer._train = kept._replace(batch=kept.batch.replace(labels=jnp.asarray(labels)))
    try:
        (again,) = trainer.run(progress=False)
    finally:
        trainer._train = kept
    jax.tree.map(np.testing.assert_array_equal, trained.params, again.params)


def test_nothing_known_is_refused(merged):
    train, valid = merged
    nothing = train.replace(labels=np.full_like(train.labels, np.nan))
    with pytest.raises(ValueError, match="labels are all NaN"):
        train_only(CONFIG, nothing, valid, progress=False)
    weightless = train.replace(weight=np.zeros(train.size))
    with pytest.raises(ValueError, match="not all 0"):
        train_only(CONFIG, weightless, valid, progress=False)
