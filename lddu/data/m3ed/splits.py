"""The split of each dialogue: by its series, or as the feature file says."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lddu.data.card import Findings
from lddu.data.dataset import SPLITS


def read_lists(lists: Mapping[str, Path]) -> dict[str, str]:
    """Reads the lists of splitInfo.

    Args:
      lists: Split -> file with the names of its series.

    Returns:
      Series -> split.

    Raises:
      ValueError: If a list is not UTF-8 text, is empty, or has a series of another list.
    """
    splits: dict[str, str] = {}
    for split, path in lists.items():
        try:
            series = path.read_text(encoding="utf-8-sig").split()
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        if not series:
            raise ValueError(f"{path} names no series")
        for name in series:
            if splits.setdefault(name, split) != split:
                raise ValueError(
                    f"{path}: the series {name!r} is also in the list of {splits[name]}"
                )
    return splits


def assign(
    dialogues: Mapping[str, str],
    own: Mapping[str, Sequence[str]],
    lists: Mapping[str, str] | None,
    where: str,
    findings: Findings,
) -> dict[str, list[str]]:
    """Puts each dialogue into its split.

    Args:
      dialogues: Dialogue id -> its series.
      own: Split -> dialogue ids, as the feature file has them.
      lists: Series -> split, which comes before `own`; None follows the feature file.
      where: The feature file, which errors name.
      findings: Collects what does not fit.

    Returns:
      Split -> dialogue ids, in the order of `dialogues`.

    Raises:
      ValueError: If a dialogue is in two splits, or a split is empty.
    """
    stated: dict[str, str] = {}
    for split in SPLITS:
        for name in own[split]:
            if stated.setdefault(name, split) != split:
                raise ValueError(f"{where}: dialogue {name!r} is in {stated[name]} and in {split}")
    unknown = [name for name in stated if name not in dialogues]
    if unknown:
        findings.warn(f"{_count(unknown)} in the splits, but without features")
    chosen = stated
    if lists is not None:
        chosen = {name: lists[s] for name, s in dialogues.items() if s in lists}
        other = [n for n, s in chosen.items() if n in stated and stated[n] != s]
        if other:
            findings.warn(
                f"{_count(other)} in another split of the feature file than splitInfo says; "
                "splitInfo was followed"
            )
        absent = [name for name in chosen if name not in stated]
        if absent:
            findings.warn(f"{_count(absent)} in no split of the feature file; splitInfo has them")
    dropped = [name for name in dialogues if name not in chosen]
    if dropped:
        findings.repaired("dialogues in no split, dropped", len(dropped))
        findings.warn(f"{_count(dropped)} in no split, dropped")
    out = {s: [name for name in dialogues if chosen.get(name) == s] for s in SPLITS}
    empty = [split for split, names in out.items() if not names]
    if empty:
        source = "splitInfo" if lists is not None else "the file"
        raise ValueError(f"{where}: no dialogue is in {', '.join(empty)}, by {source}")
    return out


def _count(names: Sequence[str]) -> str:
    return f"{len(names):,} dialogues ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
