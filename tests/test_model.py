import jax
import numpy as np
import pytest
from scipy.special import expit

from lddu import LDDU, gaussian
from lddu.data import take
from lddu.gaussian import Gaussian
from lddu.nn.heads import GaussianLogit
from tests.toy_model import (
    NAMES,
    RATE,
    ROWS,
    STRIDES,
    build,
    change,
    close,
    finite,
    jit,
    make_batch,
    slopes,
)


@pytest.mark.parametrize(
    ("modalities", "labels", "statistics"), [(1, 1, 0), (1, 7, 0), (2, 3, 4), (3, 3, 4)]
)
def test_any_number_of_modalities_and_labels(modalities, labels, statistics):
    cfg, variables, apply = build(modalities, labels, statistics)
    p = apply(variables, make_batch(modalities, labels))
    assert p.probs.shape == p.logits.shape == p.logit_mean.shape == (ROWS, labels)
    assert p.weights.shape == p.unimodal_logits.shape == (ROWS, labels, modalities)
    assert set(p.latents) == set(cfg.modality_names)
    for q in (p.fused, *p.latents.values()):
        assert q.mean.shape == q.var.shape == (ROWS, labels, cfg.latent)
        assert (q.var > 0).all()
    assert ((p.probs > 0) & (p.probs < 1)).all()
    np.testing.assert_allclose(p.probs, expit(p.logits), rtol=1e-5)
    assert (p.weights >= 0).all()
    assert (p.weights.sum(-1) < 1).all()
    assert p.aleatoric is None
    assert np.ptp(p.probs, axis=0).min() > 1e-3


def test_prediction_is_consistent_with_its_parts():
    cfg, variables, apply = build()
    batch = make_batch()
    p = apply(variables, batch)
    experts = [p.latents[name] for name in cfg.modality_names]
    present = [batch.present[name][:, None] for name in cfg.modality_names]
    fused, weights = gaussian.fuse(experts, present)
    close((fused, weights), (p.fused, p.weights))
    head = GaussianLogit(3).bind({"params": variables["params"]["fusion"]["head"]})
    mean, var = head(p.fused)
    close((mean, var), (p.logit_mean, p.logit_var))
    close(gaussian.expected_sigmoid_logit(mean, var), p.logits)
    for m, name in enumerate(cfg.modality_names):
        alone, _ = gaussian.fuse([p.latents[name]], [present[m]])
        close(gaussian.expected_sigmoid_logit(*head(alone)), p.unimodal_logits[..., m])


def test_init_is_near_even_odds_and_the_initial_variance():
    cfg, _, _ = build(1, 1, 0)
    p, variables = jit(LDDU(cfg).init_with_output)(jax.random.key(0), make_batch(1, 1))
    np.testing.assert_allclose(p.latents["text"].var.mean(), cfg.initial_variance, rtol=0.5)
    assert np.abs(p.probs - 0.5).max() < 0.4
    np.testing.assert_array_equal(variables["params"]["fusion"]["head"]["prior_logit"], 0)


def test_jit_equals_no_jit():
    cfg, variables, apply = build(1, 1, 0)
    batch = make_batch(1, 1)
    close(LDDU(cfg).apply(variables, batch), apply(variables, batch))


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4])
@pytest.mark.parametrize("how", ["present", "mask"])
def test_a_missing_modality_weighs_nothing_whatever_its_values(filler, how):
    _, variables, apply = build()
    batch = make_batch()
    plain = apply(variables, batch)
    for m, name in enumerate(NAMES):
        values, mask = batch.modalities[name].values.copy(), batch.modalities[name].mask.copy()
        values[m + 1] = filler
        if how == "present":
            other = change(batch, name, values)
        else:
            mask[m + 1] = False
            other = change(batch, name, values, mask, np.ones(ROWS, bool))
        p = apply(variables, other)
        close(p, plain)
        np.testing.assert_array_equal(p.weights[m + 1, :, m], 0)
        assert (np.delete(p.weights[..., m], m + 1, axis=0) > 0).all()
        assert finite(slopes()(variables, other))


@pytest.mark.parametrize("strides", [(1, 1, 1), STRIDES])
def test_values_at_padding_change_nothing_and_padding_may_be_longer(strides):
    _, variables, apply = build(1, strides=strides)
    batch = make_batch(1)
    text = batch.modalities["text"]
    batch = change(batch, "text", mask=text.mask & (np.arange(4) < 2))
    mask = batch.modalities["text"].mask
    plain = apply(variables, batch)
    filled = np.where(mask[..., None], text.values, np.float32(np.nan))
    close(apply(variables, change(batch, "text", filled)), plain)
    close(apply(variables, change(batch, "text", text.values[:, :2], mask[:, :2])), plain)


@pytest.mark.parametrize("masked", [True, False])
def test_whether_padded_steps_count(masked):
    _, variables, apply = build(2, mask_padding=masked)
    batch = make_batch(2)
    text = batch.modalities["text"]
    batch = change(batch, "text", mask=text.mask & (np.arange(4) < 2))
    mask = batch.modalities["text"].mask
    padded = apply(variables, batch)
    # What stands at padded steps never matters.
    filled = np.where(mask[..., None], text.values, np.float32(np.nan))
    close(apply(variables, change(batch, "text", filled)), padded)
    # How many there are does where they are not masked, and where the modality is present.
    cut = apply(variables, change(batch, "text", text.values[:, :2], mask[:, :2]))
    moved = np.abs(cut.probs - padded.probs).max(1) > 1e-4
    np.testing.assert_array_equal(moved, batch.present["text"] & (not masked))
    if masked:
        close(cut, padded)


def test_a_missing_modality_equals_a_model_without_it():
    _, variables, apply = build()
    batch = change(make_batch(), "vision", present=np.zeros(ROWS, bool))
    p = apply(variables, batch)
    _, _, smaller = build(2)
    params = {k: v for k, v in variables["params"].items() if not k.endswith("vision")}
    q = smaller({"params": params}, make_batch(2))
    close((q.probs, q.fused), (p.probs, p.fused))
    close(q.weights, p.weights[..., :2])


def test_one_modality_alone_is_its_unimodal_prediction():
    _, variables, apply = build()
    batch = make_batch()
    full = apply(variables, batch)
    for m, name in enumerate(NAMES):
        present = {n: batch.present[n] & (n == name) for n in NAMES}
        alone = apply(variables, batch.replace(present=present))
        close(alone.logits, full.unimodal_logits[..., m])


@pytest.mark.parametrize("filler", [0.0, np.nan])
def test_all_missing_falls_back_to_the_base_rate(filler):
    _, variables, apply = build()
    variables = LDDU.with_base_rate(variables, RATE)
    batch = make_batch()
    empty = batch.replace(
        modalities={
            name: m.replace(values=np.full_like(m.values, filler))
            for name, m in batch.modalities.items()
        },
        present={name: np.zeros(ROWS, bool) for name in NAMES},
    )
    p = apply(variables, empty)
    np.testing.assert_allclose(p.probs, np.tile(RATE, (ROWS, 1)), rtol=1e-5)
    np.testing.assert_allclose(expit(p.unimodal_logits[..., 1]), p.probs, rtol=1e-5)
    np.testing.assert_array_equal(p.weights, 0)
    np.testing.assert_array_equal(p.fused.mean, 0)
    np.testing.assert_array_equal(p.fused.var, 1)
    assert finite(p)
    assert finite(slopes()(variables, empty))
    # With something to see, it is no longer the base rate.
    assert np.abs(apply(variables, batch).probs - RATE).max() > 0.01


def test_with_base_rate_changes_nothing_else_and_not_its_argument():
    _, variables, _ = build()
    before = jax.tree.map(np.copy, variables)
    changed = LDDU.with_base_rate(variables, RATE)
    jax.tree.map(np.testing.assert_array_equal, variables, before)
    head = changed["params"]["fusion"]["head"]
    np.testing.assert_allclose(expit(head["prior_logit"]), RATE, rtol=1e-6)
    assert head["weight"] is variables["params"]["fusion"]["head"]["weight"]
    rest = [{**t["params"], "fusion": None} for t in (changed, variables)]
    jax.tree.map(np.testing.assert_array_equal, *rest)


def test_samples_agree_with_the_closed_form():
    _, variables, apply = build(1)
    _, _, sampled = build(1, samples=4000)
    batch = make_batch(1)
    closed = apply(variables, batch)
    # Deterministic, the closed form stands, whatever `samples` is.
    close(sampled(variables, batch), closed)
    draws = [
        sampled(
            variables,
            batch,
            deterministic=False,
            rngs={"sample": jax.random.key(k), "dropout": jax.random.key(9)},
        )
        for k in (0, 1)
    ]
    # 0.02 by the approximation, 0.5 / sqrt(4000) by chance.
    np.testing.assert_allclose(draws[0].probs, closed.probs, atol=0.02 + 4 * 0.008)
    assert (draws[0].probs != draws[1].probs).any()
    # The expectation by quadrature, without the approximation.
    z = np.linspace(-8, 8, 1001)
    weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    mean, std = np.asarray(closed.logit_mean), np.sqrt(closed.logit_var)
    exact = expit(mean[..., None] + std[..., None] * z) @ weight
    np.testing.assert_allclose(draws[0].probs, exact, atol=4 * 0.008)


def test_variance_attenuates():
    _, variables, apply = build()
    p = apply(variables, make_batch())
    assert (np.abs(p.logits) <= np.abs(p.logit_mean) * (1 + 1e-6)).all()
    assert (p.logit_var > 0).all()


def test_dropout_draws_only_in_training():
    _, variables, apply = build(1, label_dropout=0.5, statistics_dropout=0.5)
    batch = make_batch(1)
    close(apply(variables, batch), build(1)[2](variables, batch))
    one, other = (
        apply(variables, batch, deterministic=False, rngs={"dropout": jax.random.key(k)})
        for k in (0, 1)
    )
    assert np.abs(one.probs - other.probs).max() > 1e-3


def test_rows_do_not_see_each_other():
    _, variables, apply = build()
    batch = make_batch()
    p = apply(variables, batch)
    for rows in ([3, 0, 4, 1, 2], [2, 2, 0, 2, 2]):
        close(apply(variables, take(batch, np.array(rows))), take(p, np.array(rows)))


def test_order_and_extra_modalities_of_the_batch_do_not_matter():
    _, variables, apply = build(2)
    batch = make_batch(2)
    back = batch.replace(modalities=dict(reversed(batch.modalities.items())))
    back.modalities["other"] = batch.modalities["text"]
    close(apply(variables, back), apply(variables, batch))


def test_vmaps_over_ensemble_members():
    _, variables, apply = build(1)
    batch = make_batch(1)
    members = [jax.tree.map(lambda x, s=s: s * x, variables) for s in (1.0, 0.5)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *members)
    together = jax.vmap(apply, in_axes=(0, None))(stacked, batch)
    for k, member in enumerate(members):
        close(jax.tree.map(lambda x, k=k: x[k], together), apply(member, batch))


@pytest.mark.parametrize("scale", [1e4, 1.0, 0.0])
def test_finite_at_extreme_inputs(scale):
    _, variables, apply = build()
    batch = make_batch()
    batch = batch.replace(
        modalities={
            name: m.replace(values=scale * m.values) for name, m in batch.modalities.items()
        }
    )
    p = apply(variables, batch)
    assert finite(p)
    assert ((p.probs >= 0) & (p.probs <= 1)).all()
    slope = slopes()(variables, batch)
    assert finite(slope)
    # Every parameter is used, but for the base rate, which is data.
    if scale == 1:
        unused = [
            jax.tree_util.keystr(path)
            for path, g in jax.tree_util.tree_leaves_with_path(slope)
            if not np.any(g)
        ]
        assert unused == ["['params']['fusion']['head']['prior_logit']"]


def test_float64():
    _, variables, apply = build(1)
    single = apply(variables, make_batch(1))
    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda x: x.astype(np.float64) if x.dtype == np.float32 else x,
            (variables, make_batch(1)),
        )
        double = apply(*wide)
        assert all(x.dtype == np.float64 for x in jax.tree.leaves(double))
    close(single, double, rtol=1e-3, atol=1e-4)


def test_pytree_of_gaussians():
    _, variables, apply = build()
    p = apply(variables, make_batch())
    assert isinstance(p.fused, Gaussian)
    # 5 (B, C)-like and (B, C, M)-like arrays, and mean and variance of 3 + 1 Gaussians.
    assert len(jax.tree.leaves(p)) == 6 + 8
