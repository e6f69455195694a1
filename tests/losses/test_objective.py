from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit

from lddu.config import LossConfig, ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.losses import (
    empty_bank,
    initial_bank,
    objective,
    spread_calibration,
    supervised_contrastive,
)
from lddu.losses.contrastive import embed, label_state_classes
from lddu.official.losses import official_spread
from lddu.structs import Batch, Modality, Prediction

B, C, M, Z = 6, 2, 3, 4
NAMES = ("text", "audio", "vision")
TERMS = ("unimodal", "kl", "spread", "contrastive")
OFF = dict.fromkeys(TERMS, 0.0)
ALL = LossConfig(unimodal=0.3, contrastive=0.2, spread=0.5, kl=0.01, bank_size=5)
OFFICIAL = LossConfig(
    unimodal=0.0,
    direct=0.3,
    contrastive=1.0,
    spread=0.5,
    spread_target="probability",
    kl=0.0,
    cross_modal_positives=False,
    anchors="bank",
    bank_size=5,
)
BHATTACHARYYA = LossConfig(**{**vars(ALL), "similarity": "bhattacharyya"})
# The official losses with the gate, which has no fused posterior.
every_loss = pytest.mark.parametrize(
    ("loss", "fused"),
    [(ALL, True), (ALL, False), (BHATTACHARYYA, True), (OFFICIAL, False)],
    ids=["fused", "not fused", "bhattacharyya", "official"],
)
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1]], bool)


def model(names=NAMES):
    modalities = tuple(ModalityConfig(name, 2, 2) for name in names)
    return ModelConfig(modalities, ("a", "b"), latent=Z)


def make_batch(present=PRESENT, labels=None, weight=None, names=NAMES):
    rng = np.random.default_rng(1)
    if labels is None:
        labels = (rng.random((B, C)) < 0.5).astype(np.float32)
    n = len(labels)
    modalities = {
        m: Modality(np.zeros((n, 2, 2), np.float32), np.ones((n, 2), bool)) for m in names
    }
    here = {name: present[:, m] for m, name in enumerate(names)}
    # Explicit weights, so that all tests share the programs.
    return Batch(modalities, here, labels, np.ones(n, np.float32) if weight is None else weight)


def make_prediction(seed=0):
    rng = np.random.default_rng(seed)

    def gaussian():
        draws = rng.normal(size=(B, C, Z)), rng.uniform(0.1, 2, (B, C, Z))
        return Gaussian(*(x.astype(np.float32) for x in draws))

    logits = rng.normal(size=(B, C)).astype(np.float32)
    return Prediction(
        probs=expit(logits),
        logits=logits,
        logit_mean=logits,
        logit_var=np.ones_like(logits),
        latents={name: gaussian() for name in NAMES},
        fused=gaussian(),
        weights=np.full((B, C, M), 0.2, np.float32),
        unimodal_logits=rng.normal(size=(B, C, M)).astype(np.float32),
        direct_logits=rng.normal(size=(B, C)).astype(np.float32),
    )


@partial(jax.jit, static_argnums=(3, 4))
def run(prediction, batch, bank, model, loss):
    def total(prediction):
        value, terms, after = objective(prediction, batch, bank, model, loss)
        return value, (terms, after)

    (value, (terms, after)), slope = jax.value_and_grad(total, has_aux=True)(prediction)
    return value, terms, after, slope


def evaluate(prediction, batch, loss=ALL, names=NAMES):
    cfg = model(names)
    return run(prediction, batch, initial_bank(cfg, loss), cfg, loss)


@jax.jit
def contrast_of(latents, labels, weights):
    stacked = Gaussian(*(jnp.stack(x, 1) for x in zip(*(latents[n] for n in NAMES), strict=True)))
    classes = label_state_classes(labels, M, PRESENT, cross_modal=True).reshape(-1)
    features = embed(stacked, "cosine").reshape(-1, 2 * Z)
    return supervised_contrastive(features, classes, empty_bank(0, 2 * Z), weights=weights)


def bce(logits, y):
    logits = logits.astype(np.float64)
    return -(y * log_expit(logits) + (1 - y) * log_expit(-logits))


def take(tree, rows):
    return jax.tree.map(lambda x: x[rows], tree)


def finite(tree):
    return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


def test_terms_equal_a_numpy_reference():
    weight = np.array([1, 2, 0.5, 1, 3, 1], np.float32)
    prediction, batch = make_prediction(), make_batch(weight=weight)
    value, terms, _, _ = evaluate(prediction, batch)
    y, w = batch.labels, weight / weight.sum()

    share = PRESENT / np.maximum(PRESENT.sum(1, keepdims=True), 1)
    alone = bce(prediction.unimodal_logits, y[..., None]).mean(1)
    kl = np.stack(
        [
            0.5 * (q.var + q.mean**2 - 1 - np.log(q.var)).sum(-1).mean(-1)
            for q in prediction.latents.values()
        ],
        -1,
    )
    spread = np.sqrt(prediction.fused.var.mean(-1))
    each = np.repeat(weight, M * C)
    contrast = contrast_of(prediction.latents, y, each)
    want = {
        "nll": w @ bce(prediction.logits, y).mean(1),
        "unimodal": w @ (alone * share).sum(1),
        "kl": w @ (kl * share).sum(1),
        "spread": spread_calibration(spread, np.abs(prediction.probs - y), weight).mean(),
        "contrastive": np.average(contrast, weights=each * (contrast > 0)),
    }
    assert set(terms) == set(want)
    for name in want:
        np.testing.assert_allclose(terms[name], want[name], rtol=1e-4, err_msg=name)
    total = want["nll"] + sum(getattr(ALL, name) * want[name] for name in TERMS)
    np.testing.assert_allclose(value, total, rtol=1e-4)


def test_official_terms_equal_a_numpy_reference():
    weight = np.array([1, 2, 0.5, 1, 3, 1], np.float32)
    prediction, batch = make_prediction(), make_batch(weight=weight)
    value, terms, _, slope = evaluate(prediction, batch, OFFICIAL)
    variances = sum(
        PRESENT[:, m, None] * prediction.latents[name].var.sum(-1) for m, name in enumerate(NAMES)
    )
    direct = prediction.direct_logits
    want = {
        "nll": weight @ bce(prediction.logits, batch.labels).mean(1) / weight.sum(),
        "direct": weight @ bce(direct, batch.labels).mean(1) / weight.sum(),
        "spread": official_spread(np.sqrt(variances), direct, weight),
    }
    assert set(terms) == {*want, "contrastive"}
    for name in want:
        np.testing.assert_allclose(terms[name], want[name], rtol=1e-4, err_msg=name)
    total = sum(getattr(OFFICIAL, name, 1.0) * terms[name] for name in terms)
    np.testing.assert_allclose(value, total, rtol=1e-5)
    assert (slope.direct_logits != 0).all()


def test_spread_without_a_fused_posterior_is_that_of_the_modalities_there():
    prediction, batch = make_prediction().replace(fused=None), make_batch()
    terms = evaluate(prediction, batch)[1]
    variance = np.stack([prediction.latents[n].var.mean(-1) for n in NAMES], 1)
    share = PRESENT / np.maximum(PRESENT.sum(1, keepdims=True), 1)
    spread = np.sqrt(np.einsum("bmc,bm->bc", variance, share))
    want = spread_calibration(spread, np.abs(prediction.probs - batch.labels)).mean()
    np.testing.assert_allclose(terms["spread"], want, rtol=1e-4)


def test_anchors_in_the_bank_count_too():
    changes = {**OFF, "contrastive": 1.0, "bank_size": 50, "cross_modal_positives": False}
    batch, cfg, got = make_batch(), model(), {}
    for anchors in ("batch", "bank"):
        loss = LossConfig(**changes, anchors=anchors)
        bank = run(make_prediction(0), batch, initial_bank(cfg, loss), cfg, loss)[2]
        got[anchors] = run(make_prediction(1), batch, bank, cfg, loss)[1]["contrastive"]
    assert abs(got["batch"] - got["bank"]) > 1e-3


def test_initial_bank_as_the_configuration_starts_it():
    loss = LossConfig(bank_size=8, bank_start="random")
    banks = [
        initial_bank(model(), loss, key) for key in (None, *jax.random.split(jax.random.key(1)))
    ]
    for bank in banks:
        assert bank.features.shape == (8, 2 * Z)
        assert (bank.classes > 2 * C * M).all()
    assert (banks[1].features != banks[2].features).all()
    empty = initial_bank(model(), LossConfig(bank_size=8), jax.random.key(1))
    np.testing.assert_array_equal(empty.classes, -1)


@pytest.mark.parametrize("term", TERMS)
def test_each_term_can_be_switched(term):
    prediction, batch = make_prediction(), make_batch()
    everything = evaluate(prediction, batch)
    one = evaluate(prediction, batch, LossConfig(**{**OFF, term: 2.0}, bank_size=0))
    assert set(one[1]) == {"nll", term}
    np.testing.assert_allclose(one[1][term], everything[1][term], rtol=1e-5)
    np.testing.assert_allclose(one[0], one[1]["nll"] + 2 * one[1][term], rtol=1e-5)
    # Its gradient reaches what it is about, and only that.
    slope = one[3]
    reaches = {
        "unimodal": np.any(slope.unimodal_logits),
        "kl": any(np.any(g) for g in jax.tree.leaves(slope.latents)),
        "spread": np.any(slope.fused.var),
        "contrastive": any(np.any(g) for g in jax.tree.leaves(slope.latents)),
    }
    about_latents = term in ("kl", "contrastive")
    assert reaches == {
        t: t == term or (about_latents and t in ("kl", "contrastive")) for t in TERMS
    }


def test_all_terms_off_leaves_the_likelihood():
    prediction, batch = make_prediction(), make_batch()
    value, terms, bank, slope = evaluate(prediction, batch, LossConfig(**OFF))
    assert set(terms) == {"nll"}
    np.testing.assert_allclose(value, bce(prediction.logits, batch.labels).mean(), rtol=1e-5)
    want = (expit(prediction.logits) - batch.labels) / (B * C)
    np.testing.assert_allclose(slope.logits, want, rtol=1e-4, atol=1e-6)
    assert not any(np.any(g) for g in jax.tree.leaves(slope.replace(logits=None)))
    assert bank.classes.shape == (0,)


@every_loss
def test_rows_of_weight_zero_do_not_count_in_any_term(loss, fused):
    weight = np.array([1, 0, 1, 1, 0, 2], np.float32)
    rows = np.flatnonzero(weight)
    prediction, batch = make_prediction(), make_batch(weight=weight)
    if not fused:
        prediction = prediction.replace(fused=None)
    filled = evaluate(prediction, batch, loss)
    subset = evaluate(take(prediction, rows), take(batch, rows), loss)
    chex.assert_trees_all_close(filled[:2], subset[:2], rtol=1e-4)
    got, rest = take(filled[3], rows), take(filled[3], np.flatnonzero(weight == 0))
    chex.assert_trees_all_close(got, subset[3], rtol=1e-3, atol=1e-5)
    assert not any(np.any(g) for g in jax.tree.leaves(rest))


@every_loss
def test_a_modality_that_all_samples_lack_equals_a_model_without_it(loss, fused):
    present = PRESENT & np.array([True, True, False])
    prediction = make_prediction()
    if not fused:
        prediction = prediction.replace(fused=None)
    with_it = evaluate(prediction, make_batch(present), loss)
    two = NAMES[:2]
    smaller = prediction.replace(
        latents={m: prediction.latents[m] for m in two},
        unimodal_logits=prediction.unimodal_logits[..., :2],
    )
    without = evaluate(smaller, make_batch(present[:, :2], names=two), loss, two)
    chex.assert_trees_all_close(with_it[:2], without[:2], rtol=1e-4)
    assert not any(np.any(g) for g in jax.tree.leaves(with_it[3].latents["vision"]))
    assert not np.any(with_it[3].unimodal_logits[..., 2])


def test_an_empty_mask_counts_as_missing():
    batch = make_batch()
    mask = np.ones((B, 2), bool)
    mask[0] = False
    empty = batch.replace(
        modalities={**batch.modalities, "audio": batch.modalities["audio"].replace(mask=mask)}
    )
    present = PRESENT.copy()
    present[0, 1] = False
    got, want = (evaluate(make_prediction(), b)[:2] for b in (empty, make_batch(present)))
    chex.assert_trees_all_equal(got, want)
    assert got[0] != evaluate(make_prediction(), batch)[0]


def test_cross_modal_positives_matter():
    apart = LossConfig(**{**vars(ALL), "cross_modal_positives": False})
    values = [
        evaluate(make_prediction(), make_batch(), loss)[1]["contrastive"] for loss in (ALL, apart)
    ]
    assert abs(values[0] - values[1]) > 1e-3


def test_soft_labels_and_smoothing():
    soft = np.random.default_rng(3).random((B, C)).astype(np.float32)
    prediction = make_prediction()
    value, terms, _, _ = evaluate(prediction, make_batch(labels=soft))
    np.testing.assert_allclose(terms["nll"], bce(prediction.logits, soft).mean(), rtol=1e-5)
    assert np.isfinite(value)
    # Smoothing s moves a target y to y + s (1/2 - y).
    smooth = LossConfig(**OFF, label_smoothing=0.2)
    got, _, _, _ = evaluate(prediction, make_batch(), smooth)
    want = bce(prediction.logits, 0.8 * make_batch().labels + 0.1).mean()
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("loss", [ALL, BHATTACHARYYA], ids=["cosine", "bhattacharyya"])
@pytest.mark.parametrize("case", ["all missing", "no weight", "one row", "extreme"])
def test_value_and_gradient_are_finite(loss, case):
    prediction, present, weight = make_prediction(), PRESENT, np.ones(B, np.float32)
    if case == "all missing":
        present = np.zeros_like(PRESENT)
    elif case == "no weight":
        weight = 0 * weight
    elif case == "one row":
        weight = np.eye(B, dtype=np.float32)[0]
    else:
        prediction = jax.tree.map(lambda x: np.float32(1e4) * x, prediction)
        prediction = prediction.replace(probs=expit(prediction.logits))
    value, terms, bank, slope = evaluate(prediction, make_batch(present, weight=weight), loss)
    assert finite((value, terms, bank, slope))
    if case == "all missing":
        assert terms["unimodal"] == terms["kl"] == terms["contrastive"] == 0
        assert terms["nll"] > 0
        np.testing.assert_array_equal(bank.classes, -1)
    if case == "no weight":
        assert value == 0
        assert not any(np.any(g) for g in jax.tree.leaves(slope))


def test_bank_carries_past_batches():
    loss = LossConfig(**{**OFF, "contrastive": 1.0}, bank_size=50)
    cfg, batch = model(), make_batch()
    bank = initial_bank(cfg, loss)
    assert bank.features.shape == (50, 2 * Z)
    first = run(make_prediction(0), batch, bank, cfg, loss)
    no_bank = evaluate(make_prediction(0), batch, LossConfig(**{**vars(loss), "bank_size": 0}))
    np.testing.assert_allclose(first[0], no_bank[0], rtol=1e-4)
    bank = first[2]
    assert int(bank.cursor) == C * PRESENT.sum()
    assert (np.asarray(bank.classes) >= 0).sum() == C * PRESENT.sum()
    with_past = run(make_prediction(1), batch, bank, cfg, loss)
    without = run(make_prediction(1), batch, initial_bank(cfg, loss), cfg, loss)
    assert with_past[0] > without[0] + 0.1  # more negatives, the same likelihood


def test_initial_bank_is_empty_without_contrast():
    assert initial_bank(model(), LossConfig(contrastive=0.0)).classes.shape == (0,)
    assert initial_bank(model(), LossConfig(bank_size=3)).classes.shape == (3,)


def test_takes_device_arrays_too():
    on_device = jax.tree.map(jnp.asarray, make_batch())
    got, want = (evaluate(make_prediction(), b)[0] for b in (on_device, make_batch()))
    np.testing.assert_allclose(got, want, rtol=1e-5)
