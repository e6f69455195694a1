"""Contract tests: every fusion in `FUSIONS` runs through the same properties."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logit

from lddu.config import ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.nn.fusion import FUSIONS
from lddu.nn.heads import JointHead

B, C, H, Z = 5, 3, 6, 4
# Rows: all there, each one missing, nothing there; the last as the first.
PRESENT = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]], bool)
# Compiled without optimisation: these programs run for microseconds and compile for seconds.
FAST = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
jit = partial(jax.jit, compiler_options=FAST)
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
def build(name, modalities=3, labels=C, samples=0):
    """The module, random variables, and its jitted `apply`."""
    streams = tuple(ModalityConfig(f"m{i}", 2, 2) for i in range(modalities))
    names = tuple(f"label {c}" for c in range(labels))
    cfg = ModelConfig(
        streams, names, fusion=name, latent=Z, head_hidden=7, head_dropout=0.5, samples=samples
    )
    module = FUSIONS[name](cfg)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *draw(modalities), False))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)
    return module, variables, jit(module.apply, static_argnums=4)


@functools.cache
def slopes(name):
    module, _, _ = build(name)

    def total(variables, features, latents, present):
        fused = module.apply(variables, features, latents, present, False)
        rest = (fused.unimodal_logits, fused.direct_logits)
        return fused.logits.sum() + sum(x.sum() for x in rest if x is not None)

    return jit(jax.grad(total, argnums=(0, 1, 2)))


def close(got, want, rtol=1e-5, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), got, want)


def finite(tree):
    return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


@every_fusion
@pytest.mark.parametrize("modalities", [1, 3])
def test_shapes(name, modalities):
    _, variables, apply = build(name, modalities)
    fused = apply(variables, *draw(modalities), False)
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
    _, variables, apply = build(name)
    features, latents, present = (
        *jax.tree.map(lambda x: x * np.float32(scale), draw()[:2]),
        PRESENT,
    )
    assert finite(apply(variables, features, latents, present, False))
    slope = slopes(name)(variables, features, latents, present)
    assert finite(slope)
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
    _, variables, apply = build(name)
    features, latents, present = draw()

    def fill(x, m):
        return np.where(present[:, m, None, None], x, np.float32(filler))

    filled = (
        [fill(x, m) for m, x in enumerate(features)],
        [Gaussian(fill(q.mean, m), fill(q.var, m)) for m, q in enumerate(latents)],
        present,
    )
    close(apply(variables, *filled, False), apply(variables, features, latents, present, False))
    got, want = (slopes(name)(variables, *x) for x in (filled, (features, latents, present)))
    close(got, want)
    for m in range(3):
        for g in jax.tree.leaves([got[1][m], got[2][m]]):
            np.testing.assert_array_equal(g[~present[:, m]], 0)
        # Where it is there, it is learned from.
        assert (got[2][m].mean[present[:, m]] != 0).any((1, 2)).all()


@every_fusion
def test_presence_matters(name):
    _, variables, apply = build(name)
    features, latents, present = draw()
    everywhere = apply(variables, features, latents, np.ones_like(present), False).logits
    moved = np.abs(everywhere - apply(variables, features, latents, present, False).logits)
    np.testing.assert_array_equal((moved > 1e-3).any(1), ~present.all(1))


@every_fusion
def test_rows_do_not_see_each_other(name):
    _, variables, apply = build(name)
    inputs = draw()
    fused = apply(variables, *inputs, False)
    for rows in ([3, 0, 4, 1, 2], [2, 2, 0, 2, 2]):
        got = apply(variables, *jax.tree.map(lambda x, r=rows: x[np.array(r)], inputs), False)
        close(got, jax.tree.map(lambda x, r=rows: x[np.array(r)], fused))


@every_fusion
def test_jit_equals_no_jit(name):
    module, variables, apply = build(name)
    close(module.apply(variables, *draw(), False), apply(variables, *draw(), False), rtol=1e-4)


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
    _module, variables, apply = build(name, samples=samples)
    assert set(FUSIONS) == {
        "precision",
        "equal",
        "gate",
        "concatenation",
    }  # a new one belongs above

    def draws(train):
        return [
            np.asarray(
                apply(
                    variables,
                    *draw(),
                    train,
                    rngs={kind: jax.random.key(seed) for kind in ("dropout", "sample")},
                ).logits
            )
            for seed in (0, 0, 1)
        ]

    plain = np.asarray(apply(variables, *draw(), False).logits)  # needs no key
    for logits in draws(False):
        np.testing.assert_array_equal(logits, plain)
    first, again, other = draws(True)
    np.testing.assert_array_equal(first, again)
    differs = np.abs(first - other) > 1e-3
    assert differs.mean() > 0.8 if random else not differs.any()


def head(params, x):
    """A `JointHead` entry by entry, in float64; one set of weights, or one per label."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    out = np.empty((B, C))
    for b, c in np.ndindex(B, C):
        own = params
        if params["out"]["bias"].ndim == 2:
            own = jax.tree.map(lambda p, c=c: p[c], params)
        h = x[b, c] @ own["hidden"]["kernel"] + own["hidden"]["bias"]
        out[b, c] = (np.maximum(h, 0) @ own["out"]["kernel"] + own["out"]["bias"]).item()
    return out


def join(parts, present):
    """(B, C, sum D), zero where missing."""
    return np.concatenate([x * present[:, m, None, None] for m, x in enumerate(parts)], -1)


def test_gate_is_the_mixture_of_two_heads():
    _, variables, apply = build("gate")
    features, latents, present = draw()
    params = variables["params"]
    assert params["direct"]["hidden"]["kernel"].shape == (3 * H, 7)  # shared by the labels
    assert params["mean"]["hidden"]["kernel"].shape == (C, 3 * Z, 7)
    gate = expit(head(params["direct"], join(features, present)))
    mean = expit(head(params["mean"], join([q.mean for q in latents], present)))
    spread = expit(head(params["deviation"], join([np.sqrt(q.var) for q in latents], present)))
    fused = apply(variables, features, latents, present, False)
    np.testing.assert_allclose(expit(fused.direct_logits), gate, rtol=1e-5)
    np.testing.assert_allclose(
        fused.logits, logit(gate * mean + (1 - gate) * spread), rtol=1e-4, atol=1e-5
    )


def test_gate_stays_finite_where_probabilities_round_to_one():
    _, variables, apply = build("gate")
    certain = jax.tree.map(np.copy, variables)
    for name in ("direct", "mean", "deviation"):
        certain["params"][name]["out"]["bias"][...] = 60.0
    logits = apply(certain, *draw(), False).logits
    assert ((logits > 40) & (logits < 80)).all()


def test_concatenation_is_one_head_on_means_and_variances():
    _, variables, apply = build("concatenation")
    features, latents, present = draw()
    parts = [*(q.mean for q in latents), *(q.var for q in latents)]
    x = join(parts, np.concatenate([present, present], 1))
    assert x.shape == (B, C, 6 * Z)
    want = head(variables["params"]["head"], x)
    got = apply(variables, features, latents, present, False).logits
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_precision_is_the_product_of_experts():
    _, variables, apply = build("precision")
    features, latents, present = draw()
    here = present[:, :, None, None]
    mean, var = (np.stack(x, 1).astype(np.float64) for x in zip(*latents, strict=True))
    precision = 1 + (here / var).sum(1)
    posterior = (here * mean / var).sum(1) / precision
    weight = variables["params"]["head"]["weight"].astype(np.float64)
    spread = (weight**2 / precision).sum(-1)
    tilt = np.sqrt(1 + np.pi / 8 * (weight**2).sum(-1))
    center = (weight * posterior).sum(-1) + variables["params"]["head"]["prior_logit"] * tilt
    fused = apply(variables, features, latents, present, False)
    close((fused.posterior.mean, fused.posterior.var), (posterior, 1 / precision), atol=1e-5)
    close((fused.logit_mean, fused.logit_var), (center, spread), rtol=1e-4, atol=1e-5)
    close(fused.logits, center / np.sqrt(1 + np.pi / 8 * spread), rtol=1e-4, atol=1e-5)


@every_fusion
def test_labels_keep_apart(name):
    # A label's latent reaches its own logit only.
    _, variables, apply = build(name)
    features, latents, present = draw()
    plain = apply(variables, features, latents, present, False).logits
    changed = [
        Gaussian(q.mean + 2 * np.eye(C)[1][:, None], q.var + np.eye(C)[1][:, None]) for q in latents
    ]
    other = apply(variables, features, jax.tree.map(np.float32, changed), present, False).logits
    np.testing.assert_array_equal(
        np.abs(other - plain).max(0) > 1e-6, np.array([False, True, False])
    )


def test_head_per_label_is_a_separate_head_per_label():
    x = np.random.default_rng(0).normal(size=(B, C, H)).astype(np.float32)
    module = JointHead(7, 0.0, labels=C)
    variables = jit(module.init)(jax.random.key(0), x, True)
    params = variables["params"]
    # Each is initialised as a Dense of its own, and differently.
    scale = np.std(params["hidden"]["kernel"], axis=(1, 2)) * np.sqrt(H)
    np.testing.assert_allclose(scale, 1, atol=0.4)
    assert (params["hidden"]["kernel"][0] != params["hidden"]["kernel"][1]).all()
    got = jit(module.apply)(variables, x, True)
    for c in range(C):
        own = jax.tree.map(lambda p, c=c: p[c], params)
        h = jnp.maximum(nn.Dense(7).apply({"params": own["hidden"]}, x[:, c]), 0)
        want = nn.Dense(1).apply({"params": own["out"]}, h)[:, 0]
        np.testing.assert_allclose(got[:, c], want, rtol=1e-5, atol=1e-6)


def test_shared_head_is_one_for_all_labels():
    x = np.random.default_rng(0).normal(size=(B, C, H)).astype(np.float32)
    module = JointHead(7, 0.0, labels=None)
    variables = jit(module.init)(jax.random.key(0), x, True)
    got = module.apply(variables, x, True)
    np.testing.assert_allclose(got, head(variables["params"], x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(module.apply(variables, x[:, ::-1], True), got[:, ::-1], rtol=1e-5)
