"""The training objective: a weighted sum of the library's losses on one prediction."""

import jax
import jax.numpy as jnp
from jax import Array

from lddu.config import LossConfig, ModelConfig
from lddu.gaussian import Gaussian, kl_from_standard_normal
from lddu.losses.classification import binary_cross_entropy
from lddu.losses.contrastive import (
    Bank,
    embed,
    empty_bank,
    enqueue,
    label_state_classes,
    supervised_contrastive,
)
from lddu.losses.spread import spread_calibration
from lddu.structs import Batch, Prediction


def objective(
    prediction: Prediction, batch: Batch, bank: Bank, model: ModelConfig, loss: LossConfig
) -> tuple[Array, dict[str, Array], Bank]:
    """The loss of a batch, its terms, and the bank after it.

    Args:
      prediction: The model's output for `batch`.
      batch: With labels. Rows of weight 0 do not count, in any term.
      bank: Contrastive memory from the steps before.
      model: The model's configuration.
      loss: Term weights; a term of weight 0 is not computed.

    Returns:
      The scalar loss; its terms before weighting, by name ("nll" and those switched on); the bank.
    """
    labels = batch.labels
    targets = labels + loss.label_smoothing * (0.5 - labels)
    weight = jnp.ones(labels.shape[0]) if batch.weight is None else jnp.asarray(batch.weight)
    names = model.modality_names
    present = batch.observed(names)
    counts = (weight > 0)[:, None] & present

    def mean(per_row: Array) -> Array:
        return (per_row * weight).sum() / jnp.maximum(weight.sum(), 1e-12)

    def mean_over_present(per_modality: Array) -> Array:
        share = present / jnp.maximum(present.sum(-1, keepdims=True), 1)
        return mean((per_modality * share).sum(-1))

    terms = {"nll": mean(binary_cross_entropy(prediction.logits, targets).mean(-1))}
    total = terms["nll"]
    if loss.unimodal:
        alone = binary_cross_entropy(prediction.unimodal_logits, targets[..., None])
        terms["unimodal"] = mean_over_present(alone.mean(1))
        total += loss.unimodal * terms["unimodal"]
    if loss.kl:
        kl = [kl_from_standard_normal(prediction.latents[m]).mean(-1) for m in names]
        terms["kl"] = mean_over_present(jnp.stack(kl, -1))
        total += loss.kl * terms["kl"]
    if loss.spread:
        spread = jnp.sqrt(prediction.fused.var.mean(-1) + 1e-12)
        error = jnp.abs(prediction.probs - labels)
        terms["spread"] = spread_calibration(spread, error, weight > 0).mean()
        total += loss.spread * terms["spread"]
    if loss.contrastive:
        terms["contrastive"], bank = _contrast(prediction, labels, counts, bank, names, loss)
        total += loss.contrastive * terms["contrastive"]
    return total, terms, bank


def initial_bank(model: ModelConfig, loss: LossConfig) -> Bank:
    """The empty bank that the first call of `objective` takes."""
    return empty_bank(loss.bank_size if loss.contrastive else 0, 2 * model.latent)


def _contrast(
    prediction: Prediction,
    labels: Array,
    counts: Array,
    bank: Bank,
    names: tuple[str, ...],
    loss: LossConfig,
) -> tuple[Array, Bank]:
    stacked = jax.tree.map(
        lambda *x: jnp.stack(x, axis=2), *(prediction.latents[name] for name in names)
    )
    features = embed(Gaussian(*stacked), loss.similarity)
    features = features.reshape(-1, features.shape[-1])
    classes = label_state_classes(
        labels, len(names), counts, cross_modal=loss.cross_modal_positives
    ).reshape(-1)
    losses = supervised_contrastive(
        features, classes, bank, temperature=loss.temperature, similarity=loss.similarity
    )
    value = losses.sum() / jnp.maximum((losses != 0).sum(), 1)
    if loss.bank_size:
        bank = enqueue(bank, features, classes)
    return value, bank
