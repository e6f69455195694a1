"""From the members' logits to the calibrated prediction of the ensemble."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lddu import uncertainty
from lddu.calibration import Calibrator, Isotonic, Temperature, apply
from lddu.names import positions
from lddu.names.states import unlabelled
from lddu.predictor.network import Members
from lddu.structs import Prediction

_KNOTS = 256  # of isotonic maps; few labels have more


def combine(members: Members, calibrator: Calibrator) -> Prediction:
    """Computes the calibrated prediction of the ensemble.

    The calibrator acts on the log-odds of the members' mean probability; for the shares of the two
    parts of the uncertainty, the same map acts on each member's log-odds.

    Args:
      members: Uncalibrated predictions of the members.
      calibrator: A state of `lddu.calibration`.

    Returns:
      `members.rest` with `probs`, `logits`, `aleatoric` and `epistemic`, on the device.
    """
    state = one_shape(calibrator, members.logits.shape[-1])
    return members.rest.replace(**_combined(members.logits, state, members.seen))


def mean_logits(logits: jax.typing.ArrayLike) -> jax.Array:
    """Returns the log-odds (N, C) of the mean probability of members with logits (K, N, C)."""
    # From log-probabilities, so that certain members do not overflow.
    log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(logits), axis=0)
    log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-logits), axis=0)
    return log_p - log_q


def member_probs(members: Members, calibrator: Calibrator) -> np.ndarray:
    """Returns the calibrated probabilities (K, N, C) of each member."""
    state = one_shape(calibrator, members.logits.shape[-1])
    return np.asarray(_member_probs(members.logits, state, members.seen))


def of_labels(calibrator: Calibrator, labels: Sequence[str]) -> Calibrator:
    """Returns a calibrator without names of its own, which must be these labels in this order.

    Raises:
      ValueError: If it was fitted on arrays with other names; gives both lists.
    """
    names = tuple(getattr(calibrator, "label_names", labels))
    if positions("label", tuple(labels), names, "the model", "calibrator") is not None:
        raise ValueError(
            f"calibrator was fitted on labels in the order {list(names)}, the model has "
            f"{list(labels)}; fit it on columns in that order"
        )
    return unlabelled(calibrator)


def one_shape(calibrator: Calibrator, labels: int) -> Calibrator:
    """Gives all calibrators of a kind one shape, so that they share one compilation."""
    if isinstance(calibrator, Temperature):  # shared or per label
        return Temperature(*(np.broadcast_to(x, (labels,)) for x in calibrator))
    if isinstance(calibrator, Isotonic):  # the last knot may be repeated
        more = max(_KNOTS - len(calibrator.knots), 0)
        return Isotonic(*(np.pad(x, ((0, more), (0, 0)), "edge") for x in calibrator))
    return calibrator


def combined_fields(
    logits: jax.Array, seen: jax.Array, calibrate: Callable[[jax.Array], jax.Array]
) -> dict[str, jax.Array]:
    """Computes the fields of a `Prediction` that calibration changes.

    Args:
      logits: (K, N, C) logits of the members.
      seen: (N,) bool, where a sample has any input; the others stay uncalibrated.
      calibrate: Maps logits (..., N, C) to calibrated ones.
    """

    def where_seen(logits: jax.Array) -> jax.Array:
        return jnp.where(seen[:, None], calibrate(logits), logits)

    together = where_seen(mean_logits(logits))
    probs = jax.nn.sigmoid(together)
    parts = uncertainty.decompose_variance(jax.nn.sigmoid(where_seen(logits)), probs)
    return {
        "probs": probs,
        "logits": together,
        "aleatoric": parts.aleatoric,
        "epistemic": parts.epistemic,
    }


@jax.jit
def _combined(logits: jax.Array, calibrator: Calibrator, seen: jax.Array) -> dict[str, jax.Array]:
    return combined_fields(logits, seen, lambda x: apply(calibrator, x))


@jax.jit
def _member_probs(logits: jax.Array, calibrator: Calibrator, seen: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(jnp.where(seen[:, None], apply(calibrator, logits), logits))
