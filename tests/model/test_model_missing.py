"""Missing modalities and padding: neither what stands there nor how much of it matters."""

import functools

import chex
import jax
import numpy as np
import pytest
from scipy.special import expit

from lddu import LDDU

RATE = np.array([0.1, 0.5, 0.8])
close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4])
@pytest.mark.parametrize("how", ["present", "mask"])
def test_a_missing_modality_weighs_nothing_whatever_its_values(models, tiny_model, filler, how):
    batch = tiny_model.batch
    plain = tiny_model.predict(batch)
    for m, name in enumerate(models.names):
        values, mask = batch.modalities[name].values.copy(), batch.modalities[name].mask.copy()
        values[m + 1] = filler
        if how == "present":
            other = models.change(batch, name, values)
        else:
            mask[m + 1] = False
            other = models.change(batch, name, values, mask, np.ones(models.rows, bool))
        p, slope = tiny_model.learn(other)
        close(p, plain)
        np.testing.assert_array_equal(p.weights[m + 1, :, m], 0)
        assert (np.delete(p.weights[..., m], m + 1, axis=0) > 0).all()
        chex.assert_tree_all_finite(slope)


def cut_batches(models):
    """Text of at most 2 of its 4 steps, and the same without the last two steps."""
    batch = models.batch(1)
    text = batch.modalities["text"]
    batch = models.change(batch, "text", mask=text.mask & (np.arange(4) < 2))
    cut = models.change(batch, "text", text.values[:, :2], batch.modalities["text"].mask[:, :2])
    return batch, cut


def test_values_at_padding_change_nothing_and_padding_may_be_longer(models):
    cfg = models.configure(1)  # the padding is a window of its own
    variables, run = models.variables(cfg), models.learner(cfg)
    batch, cut = cut_batches(models)
    text = batch.modalities["text"]
    plain, _ = run(variables, batch)
    filled = np.where(text.mask[..., None], text.values, np.float32(np.nan))
    close(run(variables, models.change(batch, "text", filled))[0], plain)
    close(models.predictor(cfg)(variables, cut), plain)


@pytest.mark.parametrize("masked", [True, False])
def test_whether_padded_steps_count(models, masked):
    cfg = models.configure(1, strides=(1, 1, 1), mask_padding=masked)
    variables, apply = models.variables(cfg), models.predictor(cfg)
    batch, cut = cut_batches(models)
    text = batch.modalities["text"]
    padded = apply(variables, batch)
    # What stands at padded steps never matters.
    filled = np.where(text.mask[..., None], text.values, np.float32(np.nan))
    close(apply(variables, models.change(batch, "text", filled)), padded)
    # How many there are does where they are not masked, and where the modality is present.
    cut = apply(variables, cut)
    moved = np.abs(cut.probs - padded.probs).max(1) > 1e-4
    np.testing.assert_array_equal(moved, batch.present["text"] & (not masked))
    if masked:
        close(cut, padded)


def test_a_missing_modality_equals_a_model_without_it(models, tiny_model):
    absent = np.zeros(models.rows, bool)
    p = tiny_model.predict(models.change(tiny_model.batch, "vision", present=absent))
    params = {k: v for k, v in tiny_model.variables["params"].items() if not k.endswith("vision")}
    q = models.predictor(models.configure(2))({"params": params}, models.batch(2))
    close((q.probs, q.fused), (p.probs, p.fused))
    close(q.weights, p.weights[..., :2])


def test_one_modality_alone_is_its_unimodal_prediction(models, tiny_model):
    batch = tiny_model.batch
    full = tiny_model.predict(batch)
    for m, name in enumerate(models.names):
        present = {n: batch.present[n] & (n == name) for n in models.names}
        alone = tiny_model.predict(batch.replace(present=present))
        close(alone.logits, full.unimodal_logits[..., m])


@pytest.mark.parametrize("filler", [0.0, np.nan])
def test_all_missing_falls_back_to_the_base_rate(models, tiny_model, filler):
    variables = LDDU.with_base_rate(tiny_model.variables, RATE)
    batch, rows = tiny_model.batch, models.rows
    empty = batch.replace(
        modalities={
            name: m.replace(values=np.full_like(m.values, filler))
            for name, m in batch.modalities.items()
        },
        present={name: np.zeros(rows, bool) for name in models.names},
    )
    p, slope = tiny_model.learn(empty, variables)
    np.testing.assert_allclose(p.probs, np.tile(RATE, (rows, 1)), rtol=1e-4)
    np.testing.assert_allclose(expit(p.unimodal_logits[..., 1]), p.probs, rtol=1e-4)
    np.testing.assert_array_equal(p.weights, 0)
    np.testing.assert_array_equal(p.fused.mean, 0)
    np.testing.assert_array_equal(p.fused.var, 1)
    chex.assert_tree_all_finite((p, slope))
    # With something to see, it is no longer the base rate.
    assert np.abs(tiny_model.predict(batch, variables).probs - RATE).max() > 0.01


def test_with_base_rate_changes_nothing_else_and_not_its_argument(tiny_model):
    variables = tiny_model.variables
    before = jax.tree.map(np.copy, variables)
    changed = LDDU.with_base_rate(variables, RATE)
    chex.assert_trees_all_equal(variables, before)
    head = changed["params"]["fusion"]["head"]
    np.testing.assert_allclose(expit(head["prior_logit"]), RATE, rtol=1e-5)
    assert head["weight"] is variables["params"]["fusion"]["head"]["weight"]
    rest = [{**t["params"], "fusion": {}} for t in (changed, variables)]
    chex.assert_trees_all_equal(*rest)


@pytest.mark.parametrize("fusion", ["gate", "concatenation"])
def test_a_fusion_without_a_prior_has_no_base_rate(models, fusion):
    variables = models.variables(models.configure(2, fusion=fusion))
    chex.assert_trees_all_equal(LDDU.with_base_rate(variables, RATE), variables)
