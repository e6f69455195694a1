import functools

import chex
import jax
import numpy as np
import pytest
from scipy.special import expit

from lddu import LDDU, gaussian
from lddu.data import take
from lddu.gaussian import Gaussian
from lddu.model import FUSIONS, example_batch
from lddu.nn.heads import GaussianLogit

close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("modalities", "labels", "statistics"), [(1, 1, 0), (1, 7, 0), (2, 3, 4), (3, 3, 4)]
)
def test_shapes_for_any_number_of_modalities_and_labels(models, modalities, labels, statistics):
    cfg = models.configure(modalities, labels, statistics)
    variables, batch = models.variables(cfg), models.batch(modalities, labels)
    p = jax.eval_shape(LDDU(cfg).apply, variables, batch)
    rows = models.rows
    assert p.probs.shape == p.logits.shape == p.logit_mean.shape == (rows, labels)
    assert p.weights.shape == p.unimodal_logits.shape == (rows, labels, modalities)
    assert set(p.latents) == set(cfg.modality_names)
    for q in (p.fused, *p.latents.values()):
        assert q.mean.shape == q.var.shape == (rows, labels, cfg.latent)
    assert p.aleatoric is None
    # 6 (B, C)-like and (B, C, M)-like arrays, and mean and variance of M + 1 Gaussians.
    assert isinstance(p.fused, Gaussian)
    assert len(jax.tree.leaves(p)) == 6 + 2 * (modalities + 1)


@pytest.mark.parametrize("modalities", [1, 3])
def test_values_are_in_their_ranges(models, modalities):
    cfg = models.configure(modalities)
    p, _ = models.learner(cfg)(models.variables(cfg), models.batch(modalities))
    assert all((q.var > 0).all() for q in (p.fused, *p.latents.values()))
    assert ((p.probs > 0) & (p.probs < 1)).all()
    np.testing.assert_allclose(p.probs, expit(p.logits), rtol=1e-5)
    assert (p.weights >= 0).all()
    assert (p.weights.sum(-1) < 1).all()
    assert np.ptp(p.probs, axis=0).min() > 1e-3
    # The variance attenuates.
    assert (np.abs(p.logits) <= np.abs(p.logit_mean) * (1 + 1e-5) + 1e-5).all()
    assert (p.logit_var > 0).all()


def test_prediction_is_consistent_with_its_parts(models, tiny_model):
    batch, names = tiny_model.batch, models.names
    p = tiny_model.predict(batch)

    @jax.jit
    def parts(latents, fused):
        params = tiny_model.variables["params"]["fusion"]["head"]
        head = GaussianLogit(3, terms=9).bind({"params": params})

        def read(q):
            return gaussian.expected_sigmoid_logit(*head(q))

        experts = [latents[name] for name in names]
        present = [batch.present[name][:, None] for name in names]
        alone = [gaussian.fuse([q], [here])[0] for q, here in zip(experts, present, strict=True)]
        return gaussian.fuse(experts, present), head(fused), read(fused), [read(q) for q in alone]

    fused, linear, logits, alone = parts(p.latents, p.fused)
    close(fused, (p.fused, p.weights))
    close(linear, (p.logit_mean, p.logit_var))
    close(logits, p.logits)
    close(np.stack(alone, -1), p.unimodal_logits)


def test_init_is_near_even_odds_and_the_initial_variance(models):
    cfg = models.configure(1, 1, 0)
    p, variables = jax.jit(LDDU(cfg).init_with_output)(jax.random.key(0), models.batch(1, 1))
    np.testing.assert_allclose(p.latents["text"].var.mean(), cfg.initial_variance, rtol=0.5)
    assert np.abs(p.probs - 0.5).max() < 0.4
    np.testing.assert_array_equal(variables["params"]["fusion"]["head"]["prior_logit"], 0)


def test_the_example_batch_gives_the_shapes_of_any_batch(models):
    cfg = models.configure()
    shapes = jax.eval_shape(LDDU(cfg).init, jax.random.key(0), example_batch(cfg))
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, models.variables(cfg))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_fits_into_the_model(models, fusion):
    cfg = models.configure(2, fusion=fusion)
    p = jax.eval_shape(LDDU(cfg).apply, models.variables(cfg), models.batch(2))
    assert p.probs.shape == p.logits.shape == (models.rows, 3)
    assert (p.fused is None) == (fusion in ("gate", "concatenation"))


@pytest.mark.parametrize("scale", [1e4, 1.0, 0.0])
def test_finite_at_extreme_inputs(models, tiny_model, scale):
    batch = tiny_model.batch
    batch = batch.replace(
        modalities={
            name: m.replace(values=np.float32(scale) * m.values)
            for name, m in batch.modalities.items()
        }
    )
    p, slope = tiny_model.learn(batch)
    chex.assert_tree_all_finite((p, slope))
    assert ((p.probs >= 0) & (p.probs <= 1)).all()
    # Every parameter is used, except for the base rate, which is data.
    if scale == 1:
        assert models.unused(slope) == ["['params']['fusion']['head']['prior_logit']"]
        encoder = slope["params"]["encoder_vision"]
        assert np.shape(encoder["positions"]) == (3, 16)  # of strides
        assert np.shape(encoder["project"]["kernel"]) == (2 * 2, 16)


def test_rows_do_not_see_each_other(tiny_model):
    p = tiny_model.predict(tiny_model.batch)
    for rows in (np.array([3, 0, 4, 1, 2]), np.array([2, 2, 0, 2, 2])):
        close(tiny_model.predict(take(tiny_model.batch, rows)), take(p, rows))


def test_order_and_extra_modalities_of_the_batch_do_not_matter(models):
    cfg, batch = models.configure(2), models.batch(2)
    variables, apply = models.variables(cfg), models.predictor(cfg)
    back = batch.replace(modalities=dict(reversed(batch.modalities.items())))
    back.modalities["other"] = batch.modalities["text"]
    close(apply(variables, back), apply(variables, batch))


# ---- other ways to compute the same -------------------------------------------------------------


def test_without_jit(models):
    cfg, batch = models.configure(1), models.batch(1)
    variables = models.variables(cfg)
    close(LDDU(cfg).apply(variables, batch), models.learner(cfg)(variables, batch)[0])


def test_vmaps_over_ensemble_members(models):
    cfg, batch = models.configure(1), models.batch(1)
    variables, apply = models.variables(cfg), models.learner(cfg)
    members = [jax.tree.map(lambda x, s=s: np.float32(s) * x, variables) for s in (1.0, 0.5)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *members)
    together = jax.jit(jax.vmap(LDDU(cfg).apply, in_axes=(0, None)))(stacked, batch)
    for k, member in enumerate(members):
        close(jax.tree.map(lambda x, k=k: x[k], together), apply(member, batch)[0])


def test_float64(models):
    cfg, batch = models.configure(1), models.batch(1)
    variables = models.variables(cfg)
    single, _ = models.learner(cfg)(variables, batch)
    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, (variables, batch)
        )
        double = jax.jit(LDDU(cfg).apply)(*wide)
        assert all(x.dtype == np.float64 for x in jax.tree.leaves(double))
        double = jax.tree.map(lambda x: np.asarray(x, np.float32), double)
    close(single, double, rtol=1e-3, atol=1e-4)


# ---- training -----------------------------------------------------------------------------------


def test_samples_agree_with_the_closed_form(models):
    cfg, batch, count = models.configure(1, samples=4000), models.batch(1), 4000
    variables = models.variables(cfg)

    @jax.jit
    def run(key):
        rngs = {"sample": key, "dropout": jax.random.key(9)}
        plain = LDDU(cfg).apply(variables, batch)
        return plain, LDDU(cfg).apply(variables, batch, False, rngs=rngs).probs

    closed = models.learner(models.configure(1))(variables, batch)[0]
    (plain, first), (_, other) = (run(jax.random.key(k)) for k in (0, 1))
    # Deterministic, the closed form stands, whatever `samples` is.
    close(plain, closed)
    assert (first != other).any()
    # Mean and deviation of the probability by quadrature; seven standard errors.
    z = np.linspace(-8, 8, 1001)
    weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    mean, std = np.asarray(closed.logit_mean), np.sqrt(closed.logit_var)
    draws = expit(mean[..., None] + std[..., None] * z)
    exact = draws @ weight
    error = 7 * np.sqrt((draws**2 @ weight - exact**2) / count) + 1e-4
    assert (np.abs(first - exact) < error).all()
    assert (np.abs(first - closed.probs) < error).all()


def test_dropout_draws_only_in_training(models):
    cfg, batch = models.configure(1, label_dropout=0.5, statistics_dropout=0.5), models.batch(1)
    variables = models.variables(cfg)

    @jax.jit
    def run(key):
        plain = LDDU(cfg).apply(variables, batch)
        return plain, LDDU(cfg).apply(variables, batch, False, rngs={"dropout": key}).probs

    (plain, one), (_, other) = (run(jax.random.key(k)) for k in (0, 1))
    close(plain, models.learner(models.configure(1))(variables, batch)[0])
    assert np.abs(one - other).max() > 1e-3
