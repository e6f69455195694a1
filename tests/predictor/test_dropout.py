import dataclasses

import numpy as np
import pytest

from lddu import config, uncertainty
from lddu.data.batching import take
from lddu.data.corruptions import subset
from lddu.predictor.dropout import compiled_dropout, has_dropout

SIZE = 40


@pytest.fixture(scope="module")
def probs(toy, toy_inputs):
    return toy.dropout_probs(toy_inputs, samples=5, batch_size=SIZE)


def test_dropout_masks_differ_by_draw_member_and_seed(toy, toy_inputs, probs):
    assert probs.shape == (15, 40, 2)
    assert np.isfinite(probs).all()
    again = toy.dropout_probs(toy_inputs, samples=5, batch_size=SIZE)
    np.testing.assert_array_equal(again, probs)
    other = toy.dropout_probs(toy_inputs, samples=5, seed=1, batch_size=SIZE)
    something = toy_inputs.observed(["x", "y"]).any(1)
    assert (other != probs)[:, something].mean() > 0.9
    # More draws only add to fewer.
    by_member = probs.reshape(3, 5, 40, 2)
    fewer = toy.dropout_probs(toy_inputs, samples=3, batch_size=SIZE).reshape(3, 3, 40, 2)
    np.testing.assert_array_equal(fewer, by_member[:, :3])
    assert (np.ptp(by_member, axis=1)[:, something] > 0).all()
    # Where draws hardly differ, the difference of two entropies rounds to 0.
    epistemic = np.asarray(uncertainty.decompose_entropy(probs[:5]).epistemic)[something]
    assert epistemic.min() >= 0
    assert (epistemic > 0).mean() > 0.9
    assert uncertainty.decompose_variance(probs[:5]).epistemic[something].min() > 0


def test_dropout_masks_differ_by_row_and_batch(toy, toy_inputs):
    # 100 copies of a row in three batches: rows of one batch and of several have masks of their
    # own. Few of them leave the prediction the same.
    row = np.flatnonzero(toy_inputs.present["x"] & toy_inputs.present["y"])[0]
    copies = take(toy_inputs, np.full(100, row))
    (draw,) = toy.dropout_probs(copies, samples=1, batch_size=SIZE)[:1, :, 0]
    assert len(np.unique(draw)) > 50
    batches = draw[:40], draw[40:80]
    assert (batches[0] != batches[1]).mean() > 0.5


def test_dropout_that_never_strikes_gives_the_members(fitted, toy_inputs):
    # Without training's samples of the latent too.
    rates = {"model.encoder.dropout": 1e-9, "model.samples": 2}
    rates |= {"model.encoder.attention_dropout": 0.0, "model.label_dropout": 0.0}
    small = fitted("temperature")
    never = dataclasses.replace(small, config=config.replace(small.config, rates))
    for calibrate in (True, False):
        got = never.dropout_probs(
            toy_inputs, samples=2, batch_size=SIZE, calibrated=calibrate
        ).reshape(3, 2, 40, 2)
        want = small.member_probs(toy_inputs, batch_size=SIZE, calibrated=calibrate)
        np.testing.assert_allclose(got, np.stack([want, want], axis=1), atol=1e-5)


def test_dropout_leaves_the_base_rate_without_any_modality(toy, toy_inputs):
    probs = toy.dropout_probs(subset(toy_inputs, []), samples=2, batch_size=SIZE)
    np.testing.assert_allclose(probs, np.broadcast_to(toy.base_rate, (6, 40, 2)), atol=1e-5)


def test_dropout_compiles_once_whatever_is_asked_of_it(fitted, toy_inputs, probs):
    predictor = fitted("temperature")
    forward = compiled_dropout(predictor.config.model, predictor.config.execution)
    compiled = forward._cache_size()
    assert compiled > 0
    for rows, samples in ((1, 1), (40, 3), (100, 2)):
        batch = take(toy_inputs, np.arange(rows) % 40)
        got = predictor.dropout_probs(
            batch, samples=samples, seed=rows, batch_size=SIZE, calibrated=rows > 1
        )
        assert got.shape == (3 * samples, rows, 2)
    assert forward._cache_size() == compiled


def test_samples_must_be_positive(toy, toy_inputs):
    with pytest.raises(ValueError, match="samples=0 must be at least 1"):
        toy.dropout_probs(toy_inputs, samples=0)


# ---- which layers drop --------------------------------------------------------------------------

NONE = {
    "encoder.dropout": 0.0,
    "encoder.attention_dropout": 0.0,
    "label_dropout": 0.0,
    "statistics": 2,
    "statistics_dropout": 0.0,
    "head_dropout": 0.0,
}


def configured(toy_config, fusion, **rates):
    """One member of one modality without dropout, but for the rates given ("__" stands for ".")."""
    changes = NONE | {"fusion": fusion, "head_hidden": 4}
    changes |= {name.replace("__", "."): rate for name, rate in rates.items()}
    changes = {f"model.{name}": value for name, value in changes.items()}
    changes["model.modalities"] = toy_config.model.modalities[:1]
    return config.replace(toy_config, changes | {"loss.unimodal": 0.0, "train.members": 1})


@pytest.mark.parametrize("fusion", ["equal", "precision", "gate", "concatenation"])
def test_a_model_without_dropout_is_an_error(toy_config, make_toy, toy_inputs, fusion):
    predictor = make_toy(configured(toy_config, fusion))
    with pytest.raises(ValueError, match=r"no dropout: the rates of all its layers .*train\.memb"):
        predictor.dropout_probs(toy_inputs)


@pytest.mark.parametrize("fusion", ["equal", "precision"])
def test_head_dropout_is_none_where_the_fusion_has_no_such_head(
    toy_config, make_toy, toy_inputs, fusion
):
    predictor = make_toy(configured(toy_config, fusion, head_dropout=0.5))
    with pytest.raises(ValueError, match="no dropout"):
        predictor.dropout_probs(toy_inputs)


def test_statistics_dropout_is_none_without_statistics(toy_config):
    assert not has_dropout(
        configured(toy_config, "precision", statistics=0, statistics_dropout=0.5).model
    )


EACH = [
    ("equal", "encoder__dropout"),
    ("equal", "encoder__attention_dropout"),
    ("equal", "label_dropout"),
    ("equal", "statistics_dropout"),
    ("gate", "head_dropout"),
    ("concatenation", "head_dropout"),
]


@pytest.mark.parametrize(("fusion", "layer"), EACH)
def test_each_layer_drops_by_itself(toy_config, make_toy, toy_inputs, fusion, layer):
    predictor = make_toy(configured(toy_config, fusion, **{layer: 0.5}))
    one, two = predictor.dropout_probs(toy_inputs, samples=2, batch_size=SIZE)
    # Of some thousand elements each is dropped in one of two; a few rows could stay the same.
    assert (np.abs(one - two).max(1) > 1e-6).mean() > 0.5


@pytest.mark.parametrize("layer", [layer for fusion, layer in EACH if fusion == "equal"])
def test_precision_fusion_has_the_same_layers(toy_config, layer):
    assert has_dropout(configured(toy_config, "precision", **{layer: 0.5}).model)
