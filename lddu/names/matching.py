"""The order in which two lists of names agree."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

_SHOWN = 20  # names of a list in a message, so that row names stay readable


def positions(
    axis: str,
    reference: Sequence[Hashable],
    names: Sequence[Hashable],
    reference_of: str,
    names_of: str,
) -> np.ndarray | None:
    """Returns where the names of a reference stand in another list.

    Args:
      axis: What is named, such as "label", for messages.
      reference: Names in the order wanted.
      names: The same names in any order.
      reference_of: Argument that the reference belongs to, for messages.
      names_of: Argument that `names` belongs to, for messages.

    Returns:
      Positions p with names[p[i]] equal to reference[i]; None if the lists are equal.

    Raises:
      ValueError: If the lists do not hold the same names, or differ in order and a name occurs
        twice; gives both lists.

    Example:
      >>> positions("label", ["joy", "fear"], ["fear", "joy"], "probs", "labels").tolist()
      [1, 0]
    """
    reference, names = tuple(reference), tuple(names)
    if reference == names:
        return None
    plural = f"{axis.removesuffix('y')}ies" if axis.endswith("y") else f"{axis}s"
    lists = f"{reference_of} has {_shown(reference)}, {names_of} has {_shown(names)}"
    if Counter(reference) != Counter(names):
        only = [
            f"only in {where}: {_shown(tuple(dict.fromkeys(x for x in these if x not in others)))}"
            for where, these, others in (
                (reference_of, reference, frozenset(names)),
                (names_of, names, frozenset(reference)),
            )
        ]
        raise ValueError(
            f"{reference_of} and {names_of} name different {plural}: {lists}; {', '.join(only)}. "
            "Rename or select them so that both have the same, or pass arrays without names"
        )
    place = {name: i for i, name in enumerate(names)}
    if len(place) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(
            f"{reference_of} and {names_of} name their {plural} in another order, and {twice!r} "
            f"occurs more than once, so that they cannot be matched: {lists}"
        )
    return np.array([place[name] for name in reference])


def _shown(names: tuple[Hashable, ...]) -> str:
    if len(names) <= _SHOWN:
        return str(list(names))
    return f"[{', '.join(map(repr, names[:_SHOWN]))}, ... {len(names)} in all]"
