import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from lddu import LDDU, gaussian
from lddu.config import ModalityConfig, replace, tiny
from lddu.data import take
from lddu.gaussian import Gaussian
from lddu.nn.heads import GaussianLogit
from lddu.packing.plan import first_fit, lengths, widths
from lddu.packing.structs import Packing
from lddu.structs import Batch, Modality

LENGTHS = (4, 2, 6)
WIDTHS = (3, 5, 2)
NAMES = ("text", "audio", "vision")
STRIDES = (3, 1, 2)  # 4 steps in two windows, 2 steps, 6 steps in three windows
RATE = np.array([0.1, 0.5, 0.8])
ROWS = 5
# Compiled without optimisation: these programs run for microseconds and compile for seconds.
FAST = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
jit = partial(jax.jit, compiler_options=FAST)


def make_batch(modalities=3, labels=3, seed=0):
    """Every modality of another length and width; row r lacks modality m where r = m + 1."""
    rng = np.random.default_rng(seed)
    streams, present = {}, {}
    for m, name in enumerate(NAMES[:modalities]):
        values = rng.normal(size=(ROWS, LENGTHS[m], WIDTHS[m])).astype(np.float32)
        mask = np.arange(LENGTHS[m]) < rng.integers(1, LENGTHS[m] + 1, (ROWS, 1))
        streams[name] = Modality(values, mask)
        present[name] = np.arange(ROWS) != m + 1
    return Batch(streams, present, (rng.random((ROWS, labels)) < 0.5).astype(np.float32))


@functools.cache
def build(modalities=3, labels=3, statistics=4, strides=(1, 1, 1), **changes):
    """Configuration, random variables (compiling no init) and the jitted model."""
    shapes = zip(NAMES, WIDTHS, LENGTHS, strides, strict=True)
    streams = [ModalityConfig(*shape) for shape in shapes][:modalities]
    cfg = tiny(streams, [f"label {c}" for c in range(labels)])
    changes["statistics"] = statistics
    cfg = replace(cfg, {f"model.{k}": v for k, v in changes.items()}).model
    module = LDDU(cfg)
    shapes = jax.eval_shape(module.init, jax.random.key(0), make_batch(modalities, labels))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)
    return cfg, variables, jit(module.apply, static_argnames="deterministic")


@functools.cache
def slopes():
    """The gradient of `trained_on`."""
    cfg, _, _ = build()
    return jit(jax.grad(lambda variables, batch: trained_on(LDDU(cfg).apply(variables, batch))))


def close(got, want, **tolerance):
    tolerance = {"rtol": 1e-4, "atol": 1e-5, **tolerance}
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), got, want)


def finite(tree):
    return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


def change(batch, name, values=None, mask=None, present=None):
    modality = batch.modalities[name]
    modality = Modality(
        modality.values if values is None else values, modality.mask if mask is None else mask
    )
    present = batch.present if present is None else {**batch.present, name: present}
    return batch.replace(modalities={**batch.modalities, name: modality}, present=present)


def trained_on(prediction):
    """A sum over everything in a prediction that is trained on."""
    p = prediction
    return p.logits.sum() + p.unimodal_logits.sum() + jnp.log(p.fused.var).sum()


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


# ---- packed rows, strides, bfloat16 -------------------------------------------------------------


def sparse():
    """Short and long sequences, some with gaps, NaN at masked steps, and a row without anything."""
    batch = make_batch()
    masks = {
        "text": ["1000", "1000", "1101", "1111", "1000"],
        "audio": ["10", "11", "01", "11", "10"],
        "vision": ["010000", "110110", "110000", "111111", "001000"],
    }
    for name, rows in masks.items():
        mask = np.array([[step == "1" for step in row] for row in rows])
        values = np.where(mask[..., None], batch.modalities[name].values, np.float32(np.nan))
        batch = change(batch, name, values, mask, batch.present[name] & (np.arange(ROWS) != 3))
    return batch


def pack(cfg, batch):
    packing = {}
    for name, steps in lengths(batch, cfg).items():
        slots, rows = first_fit(steps[None], widths(batch, cfg)[name])
        packing[name] = Packing(slots[0], int(rows[0]))
        assert rows[0] < (steps > 0).sum()  # some share
    return packing


@functools.cache
def with_slopes(strides=(1, 1, 1), **changes):
    """The jitted model with the gradient of `trained_on`: ((sum, prediction), gradient)."""
    cfg, variables, _ = build(strides=strides, **changes)

    def run(variables, batch, packing=None):
        p = LDDU(cfg).apply(variables, batch, packing=packing)
        return trained_on(p), p

    return cfg, variables, jit(jax.value_and_grad(run, has_aux=True))


def test_packed_equals_padded():
    cfg, variables, run = with_slopes(STRIDES)
    batch = sparse()
    padded = run(variables, batch)
    packing = pack(cfg, batch)
    assert {name: p.rows for name, p in packing.items()} == {"text": 2, "audio": 2, "vision": 3}
    packed = run(variables, batch, packing)
    close(packed, padded, atol=1e-5, rtol=1e-5)
    assert finite(packed)
    # What stands at padding does not matter to it either.
    zeros = jax.tree.map(lambda x: np.nan_to_num(x) if x.dtype == np.float32 else x, batch)
    close(run(variables, zeros, packing), packed, rtol=1e-6)


def test_packing_is_not_for_models_that_see_padding():
    cfg, variables, _ = build(mask_padding=False)
    with pytest.raises(ValueError, match="packing needs mask_padding"):
        LDDU(cfg).apply(variables, sparse(), packing={"audio": Packing(np.zeros(ROWS, int), 2)})


def test_gradients_with_strides_are_finite_and_reach_every_parameter():
    _, variables, run = with_slopes(STRIDES)
    (_, p), slope = run(variables, sparse())
    assert finite((p, slope))
    assert np.shape(slope["params"]["encoder_vision"]["positions"]) == (3, 16)
    assert np.shape(slope["params"]["encoder_vision"]["project"]["kernel"]) == (2 * 2, 16)
    unused = [
        jax.tree_util.keystr(path)
        for path, g in jax.tree_util.tree_leaves_with_path(slope)
        if not np.any(g)
    ]
    assert unused == ["['params']['fusion']['head']['prior_logit']"]


def test_bfloat16_is_near_float32():
    cfg, variables, run = with_slopes(STRIDES, modalities=1)
    (_, want), slope = run(variables, sparse())
    half, _, run = with_slopes(STRIDES, modalities=1, **{"encoder.dtype": "bfloat16"})
    (_, got), other = run(variables, sparse())
    np.testing.assert_allclose(got.probs, want.probs, atol=3e-2)
    assert (got.probs != want.probs).any()
    assert all(x.dtype == np.float32 for x in jax.tree.leaves((got, other)))
    assert finite((got, other))
    shapes = [jax.eval_shape(LDDU(c).init, jax.random.key(0), sparse()) for c in (cfg, half)]
    assert jax.tree.leaves(shapes[0]) == jax.tree.leaves(shapes[1])  # the types too
    # The slopes point the same way.
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (slope, other))
    assert a @ b > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)


def test_some_modalities_may_be_packed_and_in_bfloat16_too():
    cfg, variables, apply = build(2, strides=STRIDES, **{"encoder.dtype": "bfloat16"})
    padded = apply(variables, sparse())
    packed = apply(variables, sparse(), packing={"text": pack(cfg, sparse())["text"]})
    np.testing.assert_allclose(packed.probs, padded.probs, atol=1e-2)
