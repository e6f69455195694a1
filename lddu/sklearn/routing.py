"""Which arguments of `fit` go to the classifier inside, and which to the splitter."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import has_fit_parameter


def route(
    owner: Any, sample_weight: Any, groups: Any, fit_params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sorts the arguments of a `fit` call.

    With scikit-learn's metadata routing, the requests of classifier and splitter decide. Without
    it, weights and groups go to a classifier whose `fit` names them, groups go to the splitter,
    and all else goes to the classifier.

    Args:
      owner: The estimator whose `fit` was called, with an attribute `estimator`.
      sample_weight: (N,) weights of the rows, or None.
      groups: (N,) groups of the rows, or None.
      fit_params: All other arguments.

    Returns:
      Arguments of the classifier's `fit`, and of the splitter's `split`.

    Warns:
      UserWarning: If there are weights that the classifier does not take.
    """
    given = {"sample_weight": sample_weight, "groups": groups}
    given = {name: value for name, value in given.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(owner, "fit", **given, **fit_params)
        return dict(routed.estimator.fit), dict(routed.splitter.split)
    taken = {k: v for k, v in given.items() if has_fit_parameter(owner.estimator, k)}
    if sample_weight is not None and "sample_weight" not in taken:
        warnings.warn(
            f"{type(owner.estimator).__name__}.fit takes no sample_weight: they count in the "
            "calibration only",
            stacklevel=3,
        )
    return {**taken, **fit_params}, {k: v for k, v in given.items() if k == "groups"}


def rows_of(params: Mapping[str, Any], rows: np.ndarray, count: int) -> dict[str, Any]:
    """Cuts the arguments that have one entry per row to some rows.

    Args:
      params: Arguments by name.
      rows: Positions of the rows.
      count: Number of rows that there are.

    Returns:
      The arguments; those without an entry per row as they are.
    """
    return {
        name: _safe_indexing(value, rows) if _length(value) == count else value
        for name, value in params.items()
    }


def _length(value: Any) -> int | None:
    if isinstance(value, str | Mapping):
        return None
    shape = getattr(value, "shape", None)
    return shape[0] if shape else len(value) if hasattr(value, "__len__") else None
