"""The contrastive loss that disentangles latent Gaussians, on the batch and a memory bank."""

from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array

from lddu.config import Similarity
from lddu.gaussian import Gaussian
from lddu.losses.bank import EMPTY, Bank


def embed(q: Gaussian, similarity: Similarity) -> Array:
    """Returns the feature vector that represents a Gaussian in a contrast.

    Args:
      q: Gaussian of shape (..., Z).
      similarity: "cosine" concatenates the unit mean and the unit deviation (Huang et al.,
        arXiv:2502.13954, equation 9); "bhattacharyya" mean and variance as they are.

    Returns:
      (..., 2 Z) embeddings.
    """
    if similarity == "bhattacharyya":
        return jnp.concatenate([q.mean, q.var], -1)
    unit = [_unit(q.mean), _unit(q.std)]
    return jnp.concatenate(unit, -1)


def compare(a: Array, b: Array, similarity: Similarity) -> Array:
    """Computes the pairwise similarity, in [-1, 1], of embeddings.

    Args:
      a: (n, 2 Z) embeddings.
      b: (m, 2 Z) embeddings.
      similarity: The similarity that they were made for by `embed`. "bhattacharyya" is the
        coefficient per latent dimension (the Z-th root of the overlap of the Gaussians), computed
        in blocks of rows to bound memory.

    Returns:
      (n, m) similarities.
    """
    chex.assert_rank([a, b], 2)
    if similarity == "cosine":
        return 0.5 * (a @ b.T)  # the norm of each is sqrt(2)
    z = a.shape[-1] // 2
    others = Gaussian(b[:, :z], b[:, z:])

    def against_all(row: Array) -> Array:
        own = Gaussian(row[:z], row[z:])
        middle = Gaussian(own.mean - others.mean, 0.5 * own.var + 0.5 * others.var)
        # Clipped so that its square is finite; the similarity is 0 by then.
        gap = jnp.clip(middle.mean / middle.std, -1e6, 1e6)
        narrowing = middle.log_var - 0.5 * (own.log_var + others.log_var)
        return jnp.exp(-(0.125 * jnp.square(gap) + 0.5 * narrowing).mean(-1))

    return jax.lax.map(jax.checkpoint(against_all), a, batch_size=64)


def supervised_contrastive(
    features: Array,
    classes: Array,
    bank: Bank,
    *,
    weights: Array | None = None,
    temperature: float = 0.07,
    similarity: Similarity = "cosine",
    anchors: Literal["batch", "bank"] = "batch",
    num_classes: int | None = None,
) -> Array:
    """Computes the supervised contrastive loss of each anchor against the batch and the bank.

    For anchor i with positives P(i), the entries of its class other than itself, of total weight
    W(i): -1/W(i) sum_p w_p log( exp(s_ip / t) / sum_{j != i} w_j exp(s_ij / t) ). An integer weight
    therefore counts as so many copies of an entry that are not compared with each other, and a
    factor of all weights adds its logarithm to the loss and nothing to its gradient.

    Args:
      features: (n, F) embeddings of the batch.
      classes: (n,) int class ids; -1 for entries to ignore.
      bank: Past features with their weights; empty slots are ignored.
      weights: (n,) non-negative weights w of the entries of the batch; those of weight 0 are
        ignored. None gives all weight 1.
      temperature: Temperature t of the similarities.
      similarity: The similarity that the embeddings were made for by `embed`.
      anchors: "batch" uses the n entries of the batch, "bank" also the N of the bank, as in the
        official code; the matrix of similarities is then (n + N, n + N).
      num_classes: A number above all ids that occur more than once. With it "cosine" needs less
        time: an anchor's similarities to its positives sum to its similarity with their sum.

    Returns:
      (n,) or (n + N,) losses in nats, 0 for ignored entries and for anchors without a positive. A
      mean over anchors takes those that are not 0, each with its own weight.

    References:
      Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, L_out.
    """
    if weights is None:
        weights = jnp.ones(classes.shape[0], bank.weights.dtype)
    chex.assert_equal_shape_prefix([features, classes, weights], 1)
    own = _keys(features, classes, weights)
    past = jax.lax.stop_gradient(_keys(bank.features, bank.classes, bank.weights))
    anchor = (
        own if anchors == "batch" else _Keys(*map(jnp.concatenate, zip(own, past, strict=True)))
    )
    places = jnp.arange(anchor.classes.shape[0])
    # The bank is contrasted apart from the batch because it needs no gradient.
    parts = [
        _contrast(anchor, keys, places[:, None] - first, similarity, temperature, num_classes)
        for keys, first in ((own, 0), (past, own.classes.shape[0]))
        if keys.classes.shape[0]
    ]
    count, positives, log_total = parts[0]
    for part in parts[1:]:
        count, positives = count + part.count, positives + part.positives
        log_total = jnp.logaddexp(log_total, part.log_total)
    # The logarithm of an empty sum is -inf: select before subtracting.
    log_total = jnp.where(count > 0, log_total, 0.0)
    return jnp.where(count > 0, log_total - positives / jnp.where(count > 0, count, 1.0), 0.0)


class _Keys(NamedTuple):
    features: Array  # (m, F)
    classes: Array  # (m,)
    weights: Array  # (m,)


def _keys(features: Array, classes: Array, weights: Array) -> _Keys:
    """Marks entries of weight 0 as ignored, and gives ignored ones a valid embedding."""
    counts = (classes != EMPTY) & (weights > 0)
    # What is ignored may hold anything, NaN included.
    return _Keys(
        jnp.where(counts[:, None], features, 1.0),
        jnp.where(counts, classes, EMPTY),
        jnp.where(counts, weights, 1.0),
    )


class _Contrast(NamedTuple):
    count: Array  # (n,) weight of the positives of each anchor
    positives: Array  # (n,) weighted sum of the logits of its positives
    log_total: Array  # (n,) log of the weighted sum over all other keys of exp(logit)


def _contrast(
    anchor: _Keys,
    keys: _Keys,
    offsets: Array,
    similarity: Similarity,
    temperature: float,
    num_classes: int | None,
) -> _Contrast:
    """Contrasts anchors with keys; the key at `offsets` (n, 1) is the anchor itself."""
    logits = compare(anchor.features, keys.features, similarity) / temperature
    valid = (keys.classes != EMPTY) & (jnp.arange(keys.classes.shape[0]) != offsets)
    if similarity == "cosine" and num_classes is not None:
        count, positives = _positives(anchor, keys, offsets[:, 0], num_classes)
        positives = positives / temperature
    else:
        positive = valid & (keys.classes == anchor.classes[:, None])
        count = jnp.where(positive, keys.weights, 0.0).sum(1)
        positives = jnp.where(positive, keys.weights * logits, 0.0).sum(1)
    weighted = logits + jnp.log(keys.weights)
    return _Contrast(count, positives, jax.nn.logsumexp(weighted, axis=1, where=valid))


def _positives(anchor: _Keys, keys: _Keys, offsets: Array, num_classes: int) -> tuple[Array, Array]:
    """Sums the weights of each anchor's positives, and its weighted cosine similarities to them."""
    dtype = keys.features.dtype
    # Zeros for ids outside the classes. Products rather than indices, for the gradient.
    of_anchors, of_keys = (
        jax.nn.one_hot(x.classes, num_classes, dtype=dtype) for x in (anchor, keys)
    )
    of_keys *= keys.weights[:, None]
    known = (anchor.classes >= 0) & (anchor.classes < num_classes)
    among = known & (offsets >= 0) & (offsets < keys.classes.shape[0])
    itself = jnp.where(among, anchor.weights, 0.0)
    counts = of_keys.sum(0)[jnp.where(known, anchor.classes, 0)]
    sums = of_anchors @ (of_keys.T @ keys.features) - itself[:, None] * anchor.features
    return jnp.where(known, counts - itself, 0.0), 0.5 * (anchor.features * sums).sum(1)


def label_state_classes(
    labels: Array, modalities: int, where: Array, *, cross_modal: bool
) -> Array:
    """Returns class ids of (sample, modality, label) entries: which label, present or absent.

    Args:
      labels: (B, C) targets in [0, 1], NaN where unknown; from 1/2 on a label counts as present.
      modalities: Number of modalities M.
      where: (B, M) bool, True where a sample has the modality.
      cross_modal: Whether modalities share classes, so that positives cross modalities.

    Returns:
      (B, M, C) int ids, -1 where an entry does not exist or its label is unknown.
    """
    num_labels = labels.shape[1]
    state = (labels < 0.5).astype(jnp.int32)
    ids = (jnp.arange(num_labels) + num_labels * state)[:, None, :]
    if not cross_modal:
        ids = ids + 2 * num_labels * jnp.arange(modalities)[:, None]
    return jnp.where(where[:, :, None] & ~jnp.isnan(labels)[:, None, :], ids, EMPTY)


def _unit(x: Array) -> Array:
    """Scales vectors to norm 1, those far shorter than 1e-6 to less."""
    # Divided by the largest entry, so that squares are finite.
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.abs(x).max(-1, keepdims=True), 1.0))
    x = x / largest
    # An epsilon inside the root: the gradient of a norm at zero is infinite otherwise.
    square = jnp.square(x).sum(-1, keepdims=True) + 1e-12 / jnp.square(largest)
    return x * jax.lax.rsqrt(square)
