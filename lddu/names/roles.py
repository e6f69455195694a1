"""What the axes of an argument stand for, by the argument's name.

A role lists the axes for one axis, for two axes and so on, divided by "|".
"""

from typing import NamedTuple

Axes = tuple[str, ...]


class Role(NamedTuple):
    """The axes of an argument.

    Attributes:
      axes: Number of axes -> what each stands for.
      numeric: Whether its values are numbers.
      estimates: Whether it may be the list that a `predict_proba` returns.
    """

    axes: dict[int, Axes]
    numeric: bool = True
    estimates: bool = False


def role(text: str, numeric: bool = True, estimates: bool = False) -> Role:
    """Reads a role.

    Example:
      >>> role("label|row label").axes
      {1: ('label',), 2: ('row', 'label')}
    """
    alternatives = [tuple(part.split()) for part in text.split("|")]
    return Role({len(axes): axes for axes in alternatives}, numeric, estimates)


_TABLE = role("label|row label|member row label")
_PROBS = role("label|row label|member row label", estimates=True)
_ENTRIES = role("row|row label")
_SAMPLED = role("row|row label", numeric=False, estimates=True)

ROLES = {
    "probs": _PROBS,
    "before": _PROBS,
    "after": _PROBS,
    "sets": role("row label"),
    "logits": _TABLE,
    "labels": _TABLE,
    "decisions": _TABLE,
    "member_probs": _TABLE,
    "thresholds": _TABLE,
    "anchor": _TABLE,
    "false_positive_cost": _TABLE,
    "false_negative_cost": _TABLE,
    "risk": _ENTRIES,
    "uncertainty": _ENTRIES,
    "wrong": _ENTRIES,
    "truth": _ENTRIES,
    "estimate": _ENTRIES,
    "weights": role("row"),
    "groups": role("row", numeric=False),
    "arrays": _SAMPLED,
    "a": _SAMPLED,
    "b": _SAMPLED,
    "shared": _SAMPLED,
}
"""Argument -> its role, unless a function says otherwise."""

LISTS = {"names": "label", "label_names": "label", "modality_names": "modality"}
"""Argument that is a list of names -> the axis that it names."""

RESULTS = {"entries": ("member", "row", "label"), "labels": ("label",), "rows": ("row",)}
"""What a function returns -> the axes of its arrays, of which the last ones count."""
