"""The training objective: a weighted sum of the library's losses on one prediction."""

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import Array

from lddu.config import LossConfig, ModelConfig
from lddu.gaussian import Gaussian, kl_from_standard_normal
from lddu.losses.bank import Bank, empty_bank, enqueue
from lddu.losses.classification import binary_cross_entropy
from lddu.losses.contrastive import embed, label_state_classes, supervised_contrastive
from lddu.losses.spread import spread_calibration
from lddu.official.losses import official_spread, random_bank_entries
from lddu.structs import Batch, Prediction


def objective(
    prediction: Prediction, batch: Batch, bank: Bank, model: ModelConfig, loss: LossConfig
) -> tuple[Array, dict[str, Array], Bank]:
    """Computes the loss of a batch, its terms, and the bank after it.

    Args:
      prediction: The model's output for `batch`.
      batch: A batch with labels, NaN where unknown: such entries do not count in the terms that
        read labels (all but "kl" and a spread that follows the probability). Rows of weight 0 do
        not count in any term.
      bank: Memory bank that earlier steps filled.
      model: The configuration of the model.
      loss: The weights of the terms; a term of weight 0 is not computed.

    Returns:
      () loss in nats; its terms before weighting, by name ("nll" and those switched on); the bank.
      Each term is a weighted mean over what counts, and 0 where nothing does.
    """
    known = ~jnp.isnan(batch.labels)
    # Replaced before any arithmetic: masked afterwards, NaN would still reach the gradient.
    labels = jnp.where(known, batch.labels, 0.0)
    targets = labels + loss.label_smoothing * (0.5 - labels)
    weight = jnp.ones(labels.shape[0]) if batch.weight is None else jnp.asarray(batch.weight)
    names = model.modality_names
    present = batch.observed(names)
    entries = known * weight[:, None]
    # Exactly 1 where all labels are known.
    rescale = known.shape[1] * weight.sum() / jnp.where(entries.any(), entries.sum(), 1.0)
    share_of_row = weight / jnp.where(weight.sum() > 0, weight.sum(), 1.0)

    def mean(per_row: Array) -> Array:
        return (per_row * share_of_row).sum()

    def mean_over_present(per_modality: Array) -> Array:
        share = present / jnp.maximum(present.sum(-1, keepdims=True), 1)
        return mean((per_modality * share).sum(-1))

    def mean_over_known(per_entry: Array) -> Array:
        return rescale * mean(jnp.where(known, per_entry, 0.0).mean(-1))

    terms = {"nll": mean_over_known(binary_cross_entropy(prediction.logits, targets))}
    total = terms["nll"]
    if loss.unimodal:
        alone = binary_cross_entropy(prediction.unimodal_logits, targets[..., None])
        alone = jnp.where(known[..., None], alone, 0.0)
        terms["unimodal"] = rescale * mean_over_present(alone.mean(1))
        total += loss.unimodal * terms["unimodal"]
    if loss.direct:
        direct = binary_cross_entropy(prediction.direct_logits, targets)
        terms["direct"] = mean_over_known(direct)
        total += loss.direct * terms["direct"]
    if loss.kl:
        kl = [kl_from_standard_normal(prediction.latents[m]).mean(-1) for m in names]
        terms["kl"] = mean_over_present(jnp.stack(kl, -1))
        total += loss.kl * terms["kl"]
    if loss.spread:
        terms["spread"] = _spread(prediction, labels, weight, entries, present, names, loss)
        total += loss.spread * terms["spread"]
    if loss.contrastive:
        terms["contrastive"], bank = _contrast(
            prediction, batch.labels, weight, present, bank, names, loss
        )
        total += loss.contrastive * terms["contrastive"]
    return total, terms, bank


def initial_bank(model: ModelConfig, loss: LossConfig, key: Array | None = None) -> Bank:
    """Returns the memory bank for the first call of `objective`.

    Args:
      model: The configuration of the model.
      loss: The configuration of the objective.
      key: PRNG key for `bank_start="random"`; None uses a fixed one.

    Returns:
      A bank of `loss.bank_size` slots, or of none if there is no contrastive term.
    """
    size, width = loss.bank_size if loss.contrastive else 0, 2 * model.latent
    bank = empty_bank(size, width)
    if loss.bank_start == "random":
        key = jax.random.key(0) if key is None else key
        features, classes = random_bank_entries(key, size, width)
        bank = bank._replace(features=features, classes=classes)
    return bank


def _spread(
    prediction: Prediction,
    labels: Array,
    weight: Array,
    entries: Array,
    present: Array,
    names: tuple[str, ...],
    loss: LossConfig,
) -> Array:
    # Epsilons inside the roots: their gradient at zero variance is infinite otherwise.
    latents = jnp.stack([prediction.latents[name].var for name in names], axis=1)
    latents = jnp.where(present[:, :, None, None], latents, 0.0)
    if loss.spread_target == "probability":
        norm = jnp.sqrt(latents.sum((1, 3)) + 1e-12)
        return official_spread(norm, prediction.direct_logits, weight)
    if prediction.fused is not None:
        variance = prediction.fused.var.mean(-1)
    else:
        here = jnp.maximum(present.sum(1), 1)
        variance = latents.mean(-1).sum(1) / here[:, None]
    error = jnp.abs(prediction.probs - labels)
    per_label = spread_calibration(jnp.sqrt(variance + 1e-12), error, entries)
    known = (entries > 0).any(0)
    return jnp.where(known, per_label, 0.0).mean() * (len(known) / jnp.maximum(known.sum(), 1))


def _contrast(
    prediction: Prediction,
    labels: Array,
    weight: Array,
    present: Array,
    bank: Bank,
    names: tuple[str, ...],
    loss: LossConfig,
) -> tuple[Array, Bank]:
    stacked = jax.tree.map(
        lambda *x: jnp.stack(x, axis=1), *(prediction.latents[name] for name in names)
    )
    features = rearrange(embed(Gaussian(*stacked), loss.similarity), "b m c f -> (b m c) f")
    classes = label_state_classes(
        labels, len(names), present, cross_modal=loss.cross_modal_positives
    )
    weights = jnp.broadcast_to(weight[:, None, None], classes.shape).ravel()
    classes = rearrange(classes, "b m c -> (b m c)")
    losses = supervised_contrastive(
        features,
        classes,
        bank,
        weights=weights,
        temperature=loss.temperature,
        similarity=loss.similarity,
        anchors=loss.anchors,
        num_classes=2 * labels.shape[1] * (1 if loss.cross_modal_positives else len(names)),
    )
    of_anchors = weights if loss.anchors == "batch" else jnp.concatenate([weights, bank.weights])
    of_anchors = jnp.where(losses != 0, of_anchors, 0.0)
    value = (of_anchors * losses).sum() / jnp.where(of_anchors.any(), of_anchors.sum(), 1.0)
    if loss.bank_size:
        bank = enqueue(bank, features, classes, weights)
    return value, bank
