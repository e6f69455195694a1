"""Contract tests: every fusion in `FUSIONS` runs through the same properties."""

import functools
from functools import partial

import chex
import jax
import numpy as np
import pytest

from lddu.config import ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.model import FUSIONS

B, C, H, Z = 5, 3, 6, 4
# Rows: all there, each one missing, nothing there; the last as the first.
PRESENT = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]], bool)
every_fusion = pytest.mark.parametrize("name", FUSIONS)


def draw(modalities=3, seed=0):
    """Label features (B, C, H), latents (B, C, Z) per modality, and who has which."""
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(B, C, H)).astype(np.float32) for _ in range(modalities)]
    latents = [
        Gaussian(
            rng.normal(size=(B, C, Z)).astype(np.float32),
            rng.uniform(0.2, 3, (B, C, Z)).astype(np.float32),
        )
        for _ in range(modalities)
    ]
    return features, latents, PRESENT[:, :modalities]


@functools.cache
def build(name, modalities=3, samples=0):
    """The module and random variables."""
    streams = tuple(ModalityConfig(f"m{i}", 2, 2) for i in range(modalities))
    names = tuple(f"label {c}" for c in range(C))
    cfg = ModelConfig(
        streams,
        names,
        fusion=name,
        expectation_terms=0,
        latent=Z,
        head_hidden=7,
        head_dropout=0.5,
        samples=samples,
    )
    module = FUSIONS[name](cfg)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *draw(modalities), False))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)
    return module, variables


@functools.cache
def program(name):
    """The jitted result with the gradient (variables, features, latents) of its logits."""
    module, _ = build(name)

    def total(variables, features, latents, present):
        fused = module.apply(variables, features, latents, present, False)
        rest = (fused.unimodal_logits, fused.direct_logits)
        return fused.logits.sum() + sum(x.sum() for x in rest if x is not None), fused

    def run(*args):
        slopes, fused = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(*args)
        return fused, slopes

    return jax.jit(run)


def fuse(name, features, latents, present):
    return program(name)(build(name)[1], features, latents, present)[0]


close = partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


@every_fusion
@pytest.mark.parametrize("modalities", [1, 3])
def test_shapes(name, modalities):
    module, variables = build(name, modalities)
    if modalities == 3:
        fused = fuse(name, *draw())
    else:
        fused = jax.jit(module.apply, static_argnums=4)(variables, *draw(modalities), False)
    assert fused.logits.shape == (B, C)
    shapes = {
        "logit_mean": (B, C),
        "logit_var": (B, C),
        "weights": (B, C, modalities),
        "unimodal_logits": (B, C, modalities),
        "direct_logits": (B, C),
    }
    found = {field: getattr(fused, field) for field in shapes}
    found = {field: x.shape for field, x in found.items() if x is not None}
    gaussian = set(shapes) - {"direct_logits"}
    own = {"precision": gaussian, "equal": gaussian, "gate": {"direct_logits"}}
    assert found == {field: shapes[field] for field in own.get(name, set())}
    assert (fused.posterior is not None) == (name in ("precision", "equal"))
    # Rows and labels differ, so that the other tests compare something.
    assert np.ptp(fused.logits[:3], axis=0).min() > 1e-2
    assert np.ptp(fused.logits, axis=1).min() > 1e-2


@every_fusion
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4])
def test_finite(name, scale):
    _, variables = build(name)
    features, latents = jax.tree.map(lambda x: x * np.float32(scale), draw()[:2])
    fused, slope = program(name)(variables, features, latents, PRESENT)
    chex.assert_tree_all_finite((fused, slope))
    if scale == 1:
        used = {
            jax.tree_util.keystr(path)
            for path, g in jax.tree_util.tree_leaves_with_path(slope[0])
            if np.any(g)
        }
        every = jax.tree_util.tree_leaves_with_path(variables)
        fixed = "['params']['head']['prior_logit']"  # data, not trained
        assert used == {jax.tree_util.keystr(path) for path, _ in every} - {fixed}


@every_fusion
@pytest.mark.parametrize("filler", [0.0, 1e4, np.inf, np.nan])
def test_what_a_missing_modality_holds_does_not_matter(name, filler):
    _, variables = build(name)
    features, latents, present = draw()

    def fill(x, m):
        return np.where(present[:, m, None, None], x, np.float32(filler))

    filled = (
        [fill(x, m) for m, x in enumerate(features)],
        [Gaussian(fill(q.mean, m), fill(q.var, m)) for m, q in enumerate(latents)],
        present,
    )
    got, want = (program(name)(variables, *x) for x in (filled, (features, latents, present)))
    close(got, want)
    _, slopes = got
    for m in range(3):
        for g in jax.tree.leaves([slopes[1][m], slopes[2][m]]):
            np.testing.assert_array_equal(g[~present[:, m]], 0)
        # Where it is there, it is learned from.
        assert (slopes[2][m].mean[present[:, m]] != 0).any((1, 2)).all()


@every_fusion
def test_presence_matters(name):
    features, latents, present = draw()
    everywhere = fuse(name, features, latents, np.ones_like(present)).logits
    moved = np.abs(everywhere - fuse(name, features, latents, present).logits)
    np.testing.assert_array_equal((moved > 1e-3).any(1), ~present.all(1))


@every_fusion
def test_rows_do_not_see_each_other(name):
    inputs = draw()
    fused = fuse(name, *inputs)
    for rows in ([3, 0, 4, 1, 2], [2, 2, 0, 2, 2]):
        got = fuse(name, *jax.tree.map(lambda x, r=rows: x[np.array(r)], inputs))
        close(got, jax.tree.map(lambda x, r=rows: x[np.array(r)], fused))


@pytest.mark.parametrize(
    ("name", "samples", "random"),
    [
        ("precision", 0, False),
        ("precision", 5, True),
        ("equal", 0, False),
        ("equal", 5, True),
        ("gate", 0, True),
        ("concatenation", 0, True),
    ],
)
def test_random_in_training_only(name, samples, random):
    assert set(FUSIONS) == {
        "precision",
        "equal",
        "gate",
        "concatenation",
    }  # a new one belongs above
    module, variables = build(name, samples=samples)

    @jax.jit
    def run(key):
        rngs = {"dropout": key, "sample": key}
        plain = module.apply(variables, *draw(), False).logits  # needs no key
        return plain, module.apply(variables, *draw(), True, rngs=rngs).logits

    plain, first = run(jax.random.key(0))
    _, again = run(jax.random.key(0))
    _, other = run(jax.random.key(1))
    close(plain, fuse(name, *draw()).logits)
    np.testing.assert_array_equal(first, again)
    differs = np.abs(np.asarray(first - other)) > 1e-5
    assert differs.mean() > 0.5 if random else not differs.any()


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_members_at_once_sample_as_each_does_alone(impl):
    module, variables = build("precision", samples=5)
    keys = jax.random.split(jax.random.key(0, impl=impl), 3)

    def run(scale, key):
        scaled = jax.tree.map(lambda x: scale * x, variables)
        return module.apply(scaled, *draw(), True, rngs={"sample": key}).logits

    scales = np.array([1.0, 0.5, 2.0], np.float32)
    alone, together = jax.jit(run), jax.jit(jax.vmap(run))(scales, keys)
    for k, scale in enumerate(scales):
        close(together[k], alone(scale, keys[k]))
    # Apart, if the weights are the same.
    same = jax.jit(jax.vmap(run))(np.ones(3, np.float32), keys)
    assert np.abs(np.asarray(same[0] - same[1])).max() > 1e-2


def head(params, x):
    """A `JointHead` with weights per label, in float64."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    h = np.einsum("bcd,cdh->bch", x, params["hidden"]["kernel"]) + params["hidden"]["bias"]
    out = np.einsum("bch,cho->bco", np.maximum(h, 0), params["out"]["kernel"])
    return (out + params["out"]["bias"])[..., 0]


def join(parts, present):
    """(B, C, sum D), zero where missing."""
    return np.concatenate([x * present[:, m, None, None] for m, x in enumerate(parts)], -1)


def test_concatenation_is_one_head_on_means_and_variances():
    _, variables = build("concatenation")
    features, latents, present = draw()
    parts = [*(q.mean for q in latents), *(q.var for q in latents)]
    x = join(parts, np.concatenate([present, present], 1))
    assert x.shape == (B, C, 6 * Z)
    want = head(variables["params"]["head"], x)
    got = fuse("concatenation", features, latents, present).logits
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["precision", "equal"])
def test_gaussian_fusion_equals_a_numpy_reference(name):
    _, variables = build(name)
    features, latents, present = draw()
    here = present[:, :, None, None]
    mean, var = (np.stack(x, 1).astype(np.float64) for x in zip(*latents, strict=True))
    if name == "precision":  # the product of experts
        posterior_var = 1 / (1 + (here / var).sum(1))
        posterior = posterior_var * (here * mean / var).sum(1)
    else:  # the mean of independent variables, a standard normal among them
        count = 1 + here.sum(1)
        posterior, posterior_var = (
            (here * mean).sum(1) / count,
            (1 + (here * var).sum(1)) / count**2,
        )
    weight = variables["params"]["head"]["weight"].astype(np.float64)
    spread = (weight**2 * posterior_var).sum(-1)
    tilt = np.sqrt(1 + np.pi / 8 * (weight**2).sum(-1))
    center = (weight * posterior).sum(-1) + variables["params"]["head"]["prior_logit"] * tilt
    fused = fuse(name, features, latents, present)
    want = (posterior, posterior_var, center, spread, center / np.sqrt(1 + np.pi / 8 * spread))
    got = (*fused.posterior, fused.logit_mean, fused.logit_var, fused.logits)
    for ours, reference in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-4, atol=1e-5)


@every_fusion
def test_labels_keep_apart(name):
    # A label's latent reaches its own logit only.
    features, latents, present = draw()
    plain = fuse(name, features, latents, present).logits
    changed = [
        Gaussian(q.mean + 2 * np.eye(C)[1][:, None], q.var + np.eye(C)[1][:, None]) for q in latents
    ]
    other = fuse(name, features, jax.tree.map(np.float32, changed), present).logits
    np.testing.assert_array_equal(np.abs(other - plain).max(0) > 1e-4, [False, True, False])
