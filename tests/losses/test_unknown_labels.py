"""The objective where labels are unknown (NaN) and rows have weights, against NumPy in float64."""

from functools import partial

import chex
import jax
import numpy as np
import pytest
from scipy.special import expit, log_expit, rel_entr, softmax

from lddu.config import LossConfig, ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.losses import initial_bank, objective
from lddu.losses.contrastive import embed
from lddu.structs import Batch, Modality, Prediction

B, C, Z = 6, 3, 4
NAMES = ("text", "audio")
M = len(NAMES)
PRESENT = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [1, 1], [0, 1]], bool)
LABELS = np.float32([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0]])
# Row 4 knows nothing, and the last label is known in half of the rows.
KNOWN = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
UNKNOWN = np.where(KNOWN, LABELS, np.nan).astype(np.float32)
WEIGHT = np.float32([1, 0.5, 2, 0, 3, 1.5])
ONES = np.ones(B, np.float32)
ALL = LossConfig(unimodal=0.3, contrastive=0.2, spread=0.5, kl=0.01, bank_size=40)
LOSSES = {
    "default": ALL,
    "bhattacharyya": LossConfig(**{**vars(ALL), "similarity": "bhattacharyya"}),
    "official": LossConfig(
        direct=0.3,
        unimodal=0.0,
        contrastive=1.0,
        spread=0.5,
        spread_target="probability",
        cross_modal_positives=False,
        anchors="bank",
        bank_size=40,
    ),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
READ_LABELS = ("nll", "unimodal", "direct", "spread", "contrastive")


def model(labels=C):
    return ModelConfig(
        tuple(ModalityConfig(n, 2, 2) for n in NAMES), tuple("abcd"[:labels]), latent=Z
    )


def make_batch(labels=UNKNOWN, weight=ONES):
    modality = Modality(np.zeros((B, 2, 2), np.float32), np.ones((B, 2), bool))
    present = {n: PRESENT[:, m] for m, n in enumerate(NAMES)}
    return Batch(dict.fromkeys(NAMES, modality), present, labels, weight)


def make_prediction(seed=0):
    rng = np.random.default_rng(seed)

    def gaussian():
        draws = rng.normal(size=(B, C, Z)), rng.uniform(0.1, 2, (B, C, Z))
        return Gaussian(*(x.astype(np.float32) for x in draws))

    logits = rng.normal(size=(B, C)).astype(np.float32)
    return Prediction(
        probs=expit(logits),
        logits=logits,
        logit_mean=None,
        logit_var=None,
        latents={name: gaussian() for name in NAMES},
        fused=gaussian(),
        weights=None,
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


def evaluate(prediction, batch, loss=ALL, bank=None):
    cfg = model(batch.labels.shape[1])
    return run(prediction, batch, initial_bank(cfg, loss) if bank is None else bank, cfg, loss)


def rows_of(tree, rows):
    return jax.tree.map(lambda x: x[rows], tree)


def contrast(entries, similarity, temperature, copies=False):
    """The weighted formula, entry by entry; `copies`: an entry does not meet those of its origin.

    Args:
      entries: (origin, feature, class, weight) of each entry.
    """

    def likeness(a, b):
        if similarity == "cosine":
            return (a @ b) / 2
        (m1, v1), (m2, v2) = (x.reshape(2, Z) for x in (a, b))
        gap = 0.25 * (m1 - m2) ** 2 / (v1 + v2)
        return np.exp((0.5 * np.log(2 * np.sqrt(v1 * v2) / (v1 + v2)) - gap).mean())

    sums = np.zeros(2)
    for i, (origin, feature, label, weight) in enumerate(entries):
        others = [e for j, e in enumerate(entries) if (e[0] != origin if copies else j != i)]
        positives = [e for e in others if e[2] == label]
        if not positives:
            continue
        total = sum(w * np.exp(likeness(feature, f) / temperature) for _, f, _, w in others)
        scores = [
            w * (likeness(feature, f) / temperature - np.log(total)) for _, f, _, w in positives
        ]
        sums += weight * np.array([-sum(scores) / sum(e[3] for e in positives), 1.0])
    return sums[0] / sums[1] if sums[1] else 0.0


def entries_of(prediction, labels, weight, loss):
    """What of a batch takes part in a contrast, as `contrast` takes it."""
    found = []
    for m, name in enumerate(NAMES):
        features = np.asarray(embed(prediction.latents[name], loss.similarity), float)
        for b, c in zip(*np.nonzero(~np.isnan(labels) & (weight > 0)[:, None]), strict=True):
            if PRESENT[b % B, m]:
                label = (c, labels[b, c] >= 0.5, 0 if loss.cross_modal_positives else m)
                found.append(((b % B, m, c), features[b, c], label, weight[b]))
    return found


def reference(prediction, labels, weight, loss):
    """Every term that reads labels, in float64."""
    known = ~np.isnan(labels)
    share = weight[:, None] * known / (weight[:, None] * known).sum()
    y = np.where(known, labels, 0.5).astype(float)

    def bce(logits):
        x = np.asarray(logits, float)
        return -(y * log_expit(x.T).T + (1 - y) * log_expit(-x.T).T)

    present = PRESENT / PRESENT.sum(1, keepdims=True)
    alone = sum(present[:, m, None] * bce(prediction.unimodal_logits[..., m]) for m in range(M))
    spread = np.sqrt(np.asarray(prediction.fused.var, float).mean(-1))
    per_label = []
    for c in np.flatnonzero(share.any(0)):
        rows = share[:, c] > 0
        # Each entry as its weight says, in the limit of many copies.
        p, q = (
            softmax(x[rows, c] + np.log(weight[rows].astype(float)))
            for x in (spread, np.abs(np.asarray(prediction.probs, float) - y))
        )
        per_label.append((rel_entr(p, q) + rel_entr(q, p)).sum())
    return {
        "nll": (share * bce(prediction.logits)).sum(),
        "unimodal": (share * alone).sum(),
        "direct": (share * bce(prediction.direct_logits)).sum(),
        "spread": np.mean(per_label),
        "contrastive": contrast(
            entries_of(prediction, labels, weight, loss), loss.similarity, loss.temperature
        ),
    }


@every_loss
@pytest.mark.parametrize("weight", [ONES, WEIGHT], ids=["equal", "weighted"])
def test_every_term_is_a_weighted_mean_over_known_entries(loss, weight):
    prediction = make_prediction()
    _, terms, _, _ = evaluate(prediction, make_batch(weight=weight), loss)
    want = reference(prediction, UNKNOWN, weight, loss)
    for name in set(terms) & set(READ_LABELS):
        if name != "spread" or loss.spread_target == "error":
            np.testing.assert_allclose(terms[name], want[name], rtol=1e-4, err_msg=name)


@every_loss
def test_unknown_entries_have_no_gradient(loss):
    prediction = make_prediction()
    value, terms, bank, slope = evaluate(prediction, make_batch(weight=WEIGHT), loss)
    chex.assert_tree_all_finite((value, terms, bank, slope))
    counts = KNOWN & (WEIGHT > 0)[:, None]
    # The official spread follows the direct probability, whatever the label.
    direct = () if loss.spread_target == "probability" else (slope.direct_logits,)
    for logits in (slope.logits, slope.unimodal_logits, *direct):
        np.testing.assert_array_equal(logits[~counts], 0)
    assert (slope.logits[counts] != 0).all()
    want = (expit(prediction.logits) - LABELS) * WEIGHT[:, None]
    want = np.where(counts, want, 0) / (WEIGHT[:, None] * KNOWN).sum()
    np.testing.assert_allclose(slope.logits, want, rtol=1e-4, atol=1e-6)


@every_loss
def test_where_nothing_is_known_there_is_no_loss(loss):
    loss = LossConfig(**{**vars(loss), "kl": 0.0})
    prediction, nothing = make_prediction(), np.full_like(LABELS, np.nan)
    cfg = model()
    past = run(make_prediction(1), make_batch(LABELS), initial_bank(cfg, loss), cfg, loss)[2]
    for bank in (initial_bank(cfg, loss), past):
        value, terms, after, slope = evaluate(prediction, make_batch(nothing), loss, bank)
        for name in set(terms) & set(READ_LABELS):
            if loss.anchors == "batch":
                assert terms[name] == 0
        chex.assert_tree_all_finite((value, slope))
        chex.assert_trees_all_equal(after, bank)
        assert not slope.logits.any()
        if loss.anchors == "batch":
            assert not any(np.any(leaf) for leaf in jax.tree.leaves(slope))


@every_loss
def test_a_row_that_knows_nothing_and_weighs_nothing_is_absent(loss):
    weight = np.where(KNOWN.any(1), np.float32([1, 0.5, 2, 1, 0, 1.5]), 0).astype(np.float32)
    rows = np.flatnonzero(weight)
    prediction, batch = make_prediction(), make_batch(weight=weight)
    got = evaluate(prediction, batch, loss)
    want = evaluate(rows_of(prediction, rows), rows_of(batch, rows), loss)
    chex.assert_trees_all_close(got[:3], want[:3], rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(rows_of(got[3], rows), want[3], rtol=1e-3, atol=1e-5)
    # The next step meets the same bank.
    later = [evaluate(make_prediction(1), batch, loss, bank)[0] for bank in (got[2], want[2])]
    np.testing.assert_allclose(*later, rtol=1e-4)


def test_a_label_that_nobody_knows_equals_a_model_without_it():
    loss = LossConfig(**{**vars(ALL), "kl": 0.0})
    labels = np.where(np.arange(C) == 1, np.nan, UNKNOWN).astype(np.float32)
    prediction, keep = make_prediction(), np.array([0, 2])
    got = evaluate(prediction, make_batch(labels, WEIGHT), loss)
    smaller = jax.tree.map(lambda x: x[:, keep], prediction)
    want = evaluate(smaller, make_batch(labels[:, keep], WEIGHT), loss)
    chex.assert_trees_all_close(got[:2], want[:2], rtol=1e-4)
    for slope, rest in zip(jax.tree.leaves(got[3]), jax.tree.leaves(want[3]), strict=True):
        np.testing.assert_allclose(slope[:, keep], rest, rtol=1e-3, atol=1e-5)
        assert not slope[:, 1].any()


@every_loss
def test_integer_weights_equal_repeated_rows(loss):
    """Contrasts too, but for pairs of copies, which no weight makes.

    The official spread depends on the number of rows, which copies change.
    """
    weight = np.float32([1, 3, 2, 0, 1, 2])
    copies = np.repeat(np.arange(B), weight.astype(int))
    copies = copies[np.argsort(np.random.default_rng(0).random(len(copies)))]
    prediction, batch = make_prediction(), make_batch(weight=weight)
    repeated = rows_of(prediction, copies), rows_of(batch.replace(weight=None), copies)
    _, terms, _, _ = evaluate(prediction, batch, loss)
    _, of_copies, _, _ = evaluate(*repeated, loss)
    official = {"spread"} if loss.spread_target == "probability" else set()
    for name in set(terms) - {"contrastive"} - official:
        np.testing.assert_allclose(terms[name], of_copies[name], rtol=1e-4, err_msg=name)
    found = [
        entry
        for entry in entries_of(prediction, UNKNOWN, np.sign(weight), loss)
        for _ in range(int(weight[entry[0][0]]))
    ]
    want = contrast(found, loss.similarity, loss.temperature, copies=True)
    np.testing.assert_allclose(terms["contrastive"], want, rtol=1e-4)


@every_loss
def test_the_bank_holds_known_entries_with_their_weights(loss):
    batch, cfg = make_batch(weight=WEIGHT), model()
    past = evaluate(make_prediction(0), batch, loss)[2]
    now = evaluate(make_prediction(1), batch, loss, past)[1]["contrastive"]
    entries = [
        [((seed, *e[0]), *e[1:]) for e in entries_of(make_prediction(seed), UNKNOWN, WEIGHT, loss)]
        for seed in (0, 1)
    ]
    assert int((past.classes >= 0).sum()) == len(entries[0]) == int(past.cursor)
    both = [*entries[1], *entries[0]]
    if loss.anchors == "bank":
        want = contrast(both, loss.similarity, loss.temperature)
        np.testing.assert_allclose(now, want, rtol=1e-4)
    filled = np.asarray(past.classes) >= 0
    assert sorted(past.weights[filled].tolist()) == sorted(float(e[3]) for e in entries[0])
    assert cfg.labels == ("a", "b", "c")


def test_compiled_or_not_and_weights_of_one_change_no_bit():
    prediction, cfg = make_prediction(), model()
    step = partial(objective, bank=initial_bank(cfg, ALL), model=cfg, loss=ALL)
    eager = step(prediction, make_batch(weight=WEIGHT))
    compiled = evaluate(prediction, make_batch(weight=WEIGHT))[:3]
    chex.assert_trees_all_close(compiled, eager, rtol=1e-4, atol=1e-5)
    plain, weighted = (step(prediction, make_batch(LABELS, w)) for w in (None, ONES))
    chex.assert_trees_all_equal(plain, weighted)
    want = -np.asarray(LABELS) * jax.nn.log_sigmoid(prediction.logits)
    want = (want - (1 - LABELS) * jax.nn.log_sigmoid(-prediction.logits)).mean(-1)
    assert plain[1]["nll"] == (want * (ONES / ONES.sum())).sum()
