"""Roots, norms, logarithms and ratios: finite values and gradients at both ends of the numbers.

Every loss, and what it is computed from, in float32 and bfloat16. The ends are those at which the
exact value is still a number of these types: squares of means, sums of variances, sums of losses.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from lddu import gaussian, uncertainty
from lddu.config import LossConfig, ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.losses import (
    binary_cross_entropy,
    initial_bank,
    objective,
    spread_calibration,
    supervised_contrastive,
)
from lddu.losses.bank import Bank
from lddu.losses.contrastive import compare, embed
from lddu.nn.latent import LatentGaussian
from lddu.official.losses import official_spread
from lddu.structs import Batch, Modality, Prediction

B, C, Z = 4, 2, 3
NAMES = ("text", "audio")
PRESENT = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
every_type = pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
few = settings(max_examples=25, deadline=None)


def arrays(shape, ends):
    return hnp.arrays(np.float32, shape, elements=st.sampled_from(np.float32(ends)))


means = [0, 1e-30, -1e-6, 1, -300, 1e15, -1e15]
variances = [0, 1e-38, 1e-18, 1e-12, 1e-4, 1, 1e6, 1e30]
logits = [0, 1e-30, -20, 90, -1e4, 1e37, -1e37]
spreads = [0, 1e-30, 1e-6, 1, 1e4, 1e30]


@functools.partial(jax.jit, static_argnums=0)
def value_and_slopes(function, *args):
    """The outputs, and the gradient of their sum with respect to every argument."""

    def total(*args):
        values = function(*args)
        return sum(x.astype(jnp.float32).sum() for x in jax.tree.leaves(values)), values

    slopes, values = jax.grad(total, tuple(range(len(args))), has_aux=True)(*args)
    return values, slopes


def assert_finite(function, dtype, *args):
    args = jax.tree.map(lambda x: jnp.asarray(x, dtype), args)
    values, slopes = value_and_slopes(function, *args)
    chex.assert_tree_all_finite((values, slopes))
    return values, slopes


def of_gaussians(a, b):
    """What the library computes from two Gaussians."""
    here = [jnp.ones(B), jnp.asarray(PRESENT[:, 1])]
    fused, weights = gaussian.fuse([a, b], here)
    mean, share = gaussian.average([a, b], here)
    return (
        (fused, weights, fused.log_var, fused.std),
        (mean, share, mean.log_var),
        gaussian.kl_from_standard_normal(a),
        gaussian.sample(jax.random.key(0), a, 2),
        uncertainty.latent_noise(a),
    )


@every_type
@given(mean=arrays((2, B, Z), means), var=arrays((2, B, Z), variances))
@few
def test_gaussians(dtype, mean, var):
    assert_finite(of_gaussians, dtype, *map(Gaussian, mean, var))


def similarities(kind, a, b):
    features = embed(a, kind)
    return compare(features, embed(b, kind), kind), features


@every_type
@pytest.mark.parametrize("kind", ["cosine", "bhattacharyya"])
@given(mean=arrays((2, B, Z), means), var=arrays((2, B, Z), variances))
@few
def test_similarities(dtype, kind, mean, var):
    (value, _), _ = assert_finite(TO_COMPARE[kind], dtype, *map(Gaussian, mean, var))
    assert (np.abs(np.float32(value)) <= 1.02).all()  # a bfloat16 has 8 bits


TO_COMPARE = {kind: functools.partial(similarities, kind) for kind in ("cosine", "bhattacharyya")}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e18, 1e30])
def test_unit_vectors_have_norm_one_at_every_scale(scale):
    q = Gaussian(np.float32(scale) * np.float32([[3.0, 4.0]]), np.float32([[9.0, 16.0]]))
    np.testing.assert_allclose(embed(q, "cosine"), [[0.6, 0.8, 0.6, 0.8]], rtol=1e-5)


def contrast(kind, a, past):
    bank = Bank(embed(past, kind), np.array([0, 1, -1, 0]), jnp.ones(4), jnp.zeros((), jnp.int32))
    classes = np.array([0, 1, 0, -1])
    return supervised_contrastive(embed(a, kind), classes, bank, similarity=kind)


TO_CONTRAST = {kind: functools.partial(contrast, kind) for kind in ("cosine", "bhattacharyya")}


@every_type
@pytest.mark.parametrize("kind", ["cosine", "bhattacharyya"])
@given(mean=arrays((2, B, Z), means), var=arrays((2, B, Z), variances))
@few
def test_contrast(dtype, kind, mean, var):
    assert_finite(TO_CONTRAST[kind], dtype, *map(Gaussian, mean, var))


def likelihood(logits):
    return [binary_cross_entropy(logits, y) for y in (0.0, 0.3, 1.0)]


@every_type
@given(logits=arrays((5,), [*logits, 3e38, -3e38]))
@few
def test_likelihood(dtype, logits):
    assert_finite(likelihood, dtype, logits)


def spread_losses(spread, error, direct):
    where = PRESENT[:, 0]
    return (
        spread_calibration(spread, error, where),
        official_spread(spread, direct, where),
    )


@every_type
@given(
    spread=arrays((B, C), spreads),
    error=arrays((B, C), [0, 1e-38, 0.5, 1]),
    direct=arrays((B, C), logits),
)
@few
def test_spread(dtype, spread, error, direct):
    assert_finite(spread_losses, dtype, spread, error, direct)


@every_type
@pytest.mark.parametrize("split", [uncertainty.decompose_variance, uncertainty.decompose_entropy])
@given(p=arrays((2, B, C), [0, 1e-45, 1e-38, 1e-30, 1e-8, 0.5, 1 - 6e-8, 1]))
@few
def test_uncertainty(dtype, split, p):
    assert_finite(split, dtype, p)


# ---- the variance of the latents, and the objective ----------------------------------------------


def latent(variance):
    """From a number per latent dimension to the Gaussian whose variance is made of it."""
    module = LatentGaussian((), Z, 1e-4, 1.0, variance)
    layers = {
        "mean": {"kernel": jnp.eye(Z), "bias": jnp.zeros(Z)},
        "variance": {"kernel": jnp.eye(Z), "bias": jnp.zeros(Z)},
    }
    return lambda raw: module.apply({"params": layers}, raw)


LATENTS = {variance: latent(variance) for variance in ("softplus", "exp")}


def compared(variance, raw):
    q = LATENTS[variance](raw)
    return q, [similarities(kind, q, q) for kind in TO_COMPARE], of_gaussians(q, q)


COMPARED = {variance: functools.partial(compared, variance) for variance in LATENTS}


@every_type
@pytest.mark.parametrize("variance", ["softplus", "exp"])
@given(raw=arrays((B, Z), [0, 1, 30, 80, 100, 1e4, -30, -80, -100, -1e4]))
@few
def test_variances(dtype, variance, raw):
    values, _ = assert_finite(COMPARED[variance], dtype, raw)
    assert (values[0].var > 0).all()


@pytest.mark.parametrize("log_var", [-80.0, -100.0, -1e30, 80.0, 100.0, 1e30])
def test_a_log_variance_out_of_bounds_keeps_the_gradient_that_leads_back(log_var):
    def divergence(raw):
        q = LATENTS["exp"](raw)
        return gaussian.kl_from_standard_normal(q._replace(mean=jnp.zeros_like(q.mean))).sum()

    slope = jax.grad(divergence)(jnp.full((1, Z), log_var))
    # That of (exp(x) - 1 - x) / 2 at the bound.
    want = (np.exp(np.clip(log_var, -40, 40)) - 1) / 2
    np.testing.assert_allclose(slope, np.full((1, Z), want), rtol=1e-4)


MODEL = ModelConfig(tuple(ModalityConfig(n, 2, 2) for n in NAMES), ("a", "b"), latent=Z)
DEFAULT = LossConfig(unimodal=0.3, contrastive=0.2, spread=0.5, kl=0.01, bank_size=5)
LOSSES = {
    "cosine": DEFAULT,
    "bhattacharyya": LossConfig(**{**vars(DEFAULT), "similarity": "bhattacharyya"}),
    "official": LossConfig(
        unimodal=0.0,
        direct=0.3,
        contrastive=1.0,
        spread=0.5,
        spread_target="probability",
        anchors="bank",
        bank_size=5,
    ),
}


def whole(name, stacked, logits, weight=None):
    present = {n: PRESENT[:, m] for m, n in enumerate(NAMES)}
    modality = Modality(np.zeros((B, 2, 2), np.float32), np.ones((B, 2), bool))
    labels = np.float32([[0, 1], [1, 0], [1, 1], [0, 0]])
    batch = Batch(dict.fromkeys(NAMES, modality), present, labels, weight)
    latents = {n: jax.tree.map(lambda x, m=m: x[m], stacked) for m, n in enumerate(NAMES)}
    prediction = Prediction(
        probs=jax.nn.sigmoid(logits),
        logits=logits,
        logit_mean=None,
        logit_var=None,
        latents=latents,
        fused=None if name == "official" else latents["text"],
        weights=None,
        unimodal_logits=jnp.stack([logits, -logits], -1),
        direct_logits=logits,
    )
    loss = LOSSES[name]
    return objective(prediction, batch, initial_bank(MODEL, loss), MODEL, loss)[:2]


WHOLE = {name: functools.partial(whole, name) for name in LOSSES}


@every_type
@pytest.mark.parametrize("name", LOSSES)
@given(
    mean=arrays((2, B, C, Z), means),
    var=arrays((2, B, C, Z), variances),
    logits=arrays((B, C), logits),
)
@few
def test_objective(dtype, name, mean, var, logits):
    assert_finite(WHOLE[name], dtype, Gaussian(mean, var), logits)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1e-25, 1e-13, 1e30])
def test_the_scale_of_the_sample_weights_cancels_in_every_term(name, scale):
    rng = np.random.default_rng(0)
    latents = Gaussian(rng.normal(size=(2, B, C, Z)), rng.uniform(0.5, 2, (2, B, C, Z)))
    weight, logits = np.float32([1, 2, 0.3, 4]), np.float32(rng.normal(size=(B, C)))
    args = jax.tree.map(np.float32, latents), logits
    want = value_and_slopes(functools.partial(whole, name, weight=weight), *args)
    scaled = functools.partial(whole, name, weight=np.float32(scale) * weight)
    got = value_and_slopes(scaled, *args)
    (value, terms), slopes = got
    # There are as many negatives as weights say.
    shift = np.log(np.float32(scale))
    terms["contrastive"] -= shift
    value -= LOSSES[name].contrastive * shift
    chex.assert_trees_all_close(((value, terms), slopes), want, rtol=1e-4, atol=1e-5)
    assert set(terms) >= {"nll", "spread", "contrastive"}


@pytest.mark.parametrize("scale", [1e-25, 1e-13, 1e30])
def test_the_likelihood_is_a_weighted_mean_at_every_scale(scale):
    rng = np.random.default_rng(0)
    logits, weight = rng.normal(size=(B, C)).astype(np.float32), np.float32([1, 2, 0, 4])
    modality = Modality(np.zeros((B, 2, 2), np.float32), np.ones((B, 2), bool))
    labels, here = np.float32([[0, 1], [1, 0], [1, 1], [0, 0]]), np.ones(B, bool)
    batch = Batch(
        dict.fromkeys(NAMES, modality),
        dict.fromkeys(NAMES, here),
        labels,
        np.float32(scale) * weight,
    )
    off = LossConfig(unimodal=0.0, contrastive=0.0, spread=0.0, kl=0.0)
    empty = dict.fromkeys(("logit_mean", "logit_var", "fused", "weights", "unimodal_logits"))
    prediction = Prediction(probs=expit(logits), logits=logits, latents={}, **empty)
    value, *_ = objective(prediction, batch, initial_bank(MODEL, off), MODEL, off)
    wide = logits.astype(float)
    per_row = (np.logaddexp(0, wide) - labels * wide).mean(1)
    np.testing.assert_allclose(value, np.average(per_row, weights=weight), rtol=1e-5)
