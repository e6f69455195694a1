"""`calibrate`: fits the calibrator and the thresholds of a `Predictor` on validation data."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from lddu.calibration import CALIBRATORS, Calibrator, Choice, Identity, choose, inputs
from lddu.calibration.thresholds import fit_per_label, fit_shared
from lddu.config import CalibrationConfig, Config
from lddu.data.batching import check_batch
from lddu.data.label_names import in_order
from lddu.metrics import checks
from lddu.predictor.combination import mean_logits
from lddu.predictor.network import Members
from lddu.predictor.predictor import Predictor
from lddu.structs import Batch


def calibrate(
    predictor: Predictor,
    valid: Batch,
    groups: jax.typing.ArrayLike | None = None,
    *,
    members: Members | None = None,
) -> Predictor:
    """Returns the predictor with its calibrator and thresholds fitted anew; the weights stay.

    To try another method: `calibrate(dataclasses.replace(predictor, config=other), valid)`.

    Args:
      predictor: A trained predictor; its `config.calibration` says what is fitted.
      valid: Raw validation rows with labels, hard or soft, NaN where unknown. Their `weight`
        counts in every fit. For thresholds, a soft label y is present with weight y and absent with
        weight 1 - y.
      groups: (N,) names or numbers, for method "choose": rows of one group, such as windows of one
        film, stay in one fold of its cross-validation. None makes every row a group of its own.
        Other methods do not need it.
      members: What `predictor.members(valid)` returned, to save another pass over the data.

    Returns:
      A `Predictor`; with method "choose", its `choice` holds the scores of all candidates. A label
      without a known entry has no calibrator of its own, and the shared threshold.

    Raises:
      ValueError: If `valid` does not fit the model, no label is known, or it has too few rows or
        groups for the method; or if `members` are not those of `valid`.

    Warns:
      UnknownLabelWarning: If a label has no known entry.
    """
    config = predictor.config
    valid = in_order(valid, config.model.labels)
    check_valid(valid, config)
    labels = np.asarray(valid.labels)
    if members is None:
        members = predictor.members(valid)
    if np.shape(members.logits)[1:] != labels.shape:
        raise ValueError(
            f"members has logits of shape {np.shape(members.logits)}, must be (K, "
            f"{', '.join(map(str, labels.shape))}): pass predictor.members(valid)"
        )
    logits = np.asarray(mean_logits(members.logits))
    weights = checks.row_weights(valid.weight, len(labels))
    inputs.check_known(checks.known_entries(labels, weights)[1])
    with inputs.quiet():
        seen = weights * np.asarray(members.seen)
        calibrator, choice = _fit_calibrator(
            config.calibration, predictor.base_rate, logits, labels, seen, groups
        )
        predictor = dataclasses.replace(predictor, calibrator=calibrator, choice=choice)
        probs = predictor.combine(members).probs
        shared = fit_shared(probs, labels, weights=weights)
        each = fit_per_label(probs, labels, fallback=float(shared), weights=weights)
    return dataclasses.replace(predictor, shared_threshold=shared, label_thresholds=each)


def check_valid(valid: Batch, config: Config) -> None:
    """Raises ValueError unless validation rows fit the model and some of their labels are known."""
    check_batch(valid, config.model, labelled=True)
    inputs.check_known(checks.known_entries(valid.labels, valid.weight)[1], per_label=False)


def _fit_calibrator(
    config: CalibrationConfig,
    rate: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    groups: jax.typing.ArrayLike | None,
) -> tuple[Calibrator, Choice | None]:
    """Fits the configured calibrator; rows without any input weigh 0."""
    if groups is not None and np.shape(groups) != weights.shape:
        raise ValueError(
            f"groups has shape {np.shape(groups)}, must be one group per row of valid, "
            f"({len(weights)},)"
        )
    fits = _fits(config, rate)
    if config.method == "none":
        return Identity(), None
    if not np.any(weights[:, None] * ~np.isnan(labels)):
        raise ValueError(
            "valid has no row with any input and a known label, so that "
            f"method={config.method!r} cannot be fitted; give such rows, or set "
            "calibration.method='none'"
        )
    if config.method == "choose":
        choice = choose(logits, labels, fits, groups=groups, weights=weights)
        return choice.state, choice
    return fits[config.method](logits, labels, weights=weights), None


def _fits(config: CalibrationConfig, rate: np.ndarray) -> dict[str, Callable[..., Calibrator]]:
    """Returns `CALIBRATORS` with the anchor and the shrinkage of the configuration."""
    rate = jnp.asarray(rate, jnp.float32)
    anchor = (
        jnp.log(rate) - jnp.log1p(-rate) if config.anchor == "base_rate" else jnp.zeros_like(rate)
    )
    scaling = {"anchor": anchor, "shrinkage": config.shrinkage or 0.0}
    settings = {"temperature": scaling, "temperature_per_label": scaling}
    if config.shrinkage is not None:
        pull = {"shrinkage": config.shrinkage}
        settings |= {"platt": pull, "vector": pull, "beta": pull}
        # In the proportion of the defaults of `fit_matrix`.
        settings["matrix"] = {**pull, "off_diagonal": 10 * config.shrinkage}
    return {
        name: functools.partial(fit, **settings.get(name, {})) for name, fit in CALIBRATORS.items()
    }
